//! The kernels as a Python module.

mod arrays;
mod expansion;

use std::time::{Duration, Instant};

use parkade_placement as placement;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// The kernel's one error as a `ValueError`; `parkade.solver` turns it into `InvalidProblem`.
#[allow(clippy::needless_pass_by_value)] // the signature that `map_err` wants
fn refusal(error: placement::InvalidProblem) -> PyErr {
    PyValueError::new_err(error.to_string())
}

/// Share of a time limit that prices may take; the plan needs the rest.
const PRICES_SHARE: f64 = 0.6;

/// Run with a budget whose backstop is the clock.
fn within<T>(
    work: u64,
    seconds: Option<f64>,
    run: impl FnOnce(&mut placement::Budget<'_>) -> T,
) -> T {
    let limit = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds.max(0.0)).ok());
    let start = Instant::now();
    let past = |share| limit.is_some_and(|limit| start.elapsed() >= limit.mul_f64(share));
    let (interrupt, hurry) = (|| past(1.0), || past(PRICES_SHARE));
    run(&mut placement::Budget::new(work, &interrupt).hurried_by(&hurry))
}

/// A checked problem, laid out for the kernel.
#[pyclass(frozen, module = "parkade.solver._kernel")]
struct Problem {
    inner: placement::Problem,
}

#[pymethods]
impl Problem {
    #[new]
    fn new(py: Python<'_>, text: &str) -> PyResult<Self> {
        let inner = py.detach(|| placement::json::read(text)).map_err(refusal)?;
        Ok(Self { inner })
    }

    /// A problem from named numpy arrays, as an `.npz` file has them.
    #[staticmethod]
    fn from_arrays(arrays: Bound<'_, PyAny>) -> PyResult<Self> {
        let inner = placement::flat::read(&mut arrays::Arrays(arrays)).map_err(refusal)?;
        Ok(Self { inner })
    }

    /// Solve, from the state of an earlier solve if there is one; the solution file's arrays and the new state's.
    #[pyo3(signature = (work_limit, time_limit=None, threads=0, state=None))]
    fn solve_arrays<'py>(
        &self,
        py: Python<'py>,
        work_limit: u64,
        time_limit: Option<f64>,
        threads: usize,
        state: Option<Bound<'py, PyAny>>,
    ) -> PyResult<(Bound<'py, PyDict>, Bound<'py, PyDict>)> {
        let last = state.map(|state| arrays::read_state(&mut arrays::Arrays(state)));
        let last = last.transpose().map_err(refusal)?;
        if let Some(last) = &last {
            last.check(&self.inner).map_err(refusal)?;
        }
        let (solution, state) = py.detach(|| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            let pool = pool.map_err(|error| PyRuntimeError::new_err(error.to_string()))?;
            PyResult::Ok(pool.install(|| {
                within(work_limit, time_limit, |budget| {
                    placement::solve_from(&self.inner, last.as_ref(), budget)
                })
            }))
        })?;
        Ok((arrays::solution(py, solution)?, arrays::state(py, &state)?))
    }

    /// Solve; the solution file's text.
    #[pyo3(signature = (work_limit, time_limit=None))]
    fn solve(&self, py: Python<'_>, work_limit: u64, time_limit: Option<f64>) -> String {
        py.detach(|| {
            let solution = within(work_limit, time_limit, |budget| {
                placement::solve(&self.inner, budget)
            });
            placement::json::write(&solution)
        })
    }

    /// A lower bound on every plan's cost at the given prices, all parts linear.
    fn bound(&self, py: Python<'_>, prices: &str) -> PyResult<f64> {
        py.detach(|| {
            let prices = placement::json::read_prices(prices)?;
            let rows = placement::bound::RowPrices::from_published(&self.inner, &prices)?;
            Ok(placement::bound::bound(&self.inner, &rows, &[]))
        })
        .map_err(refusal)
    }

    /// The better of a solution and of given replicas and prices; the solution file's text.
    #[pyo3(signature = (solution, replicas, prices, work_limit, time_limit=None))]
    fn improve(
        &self,
        py: Python<'_>,
        solution: &str,
        replicas: Vec<i64>,
        prices: &str,
        work_limit: u64,
        time_limit: Option<f64>,
    ) -> PyResult<String> {
        py.detach(|| {
            let solution = placement::json::read_solution(solution)?;
            let prices = placement::json::read_prices(prices)?;
            let improved = within(work_limit, time_limit, |budget| {
                placement::improve(&self.inner, &solution, &replicas, &prices, budget)
            })?;
            Ok(placement::json::write(&improved))
        })
        .map_err(refusal)
    }
}

/// The extension module `parkade.solver._kernel`.
#[pymodule]
fn _kernel(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(expansion::expanded, module)?)?;
    module.add_class::<Problem>()
}
