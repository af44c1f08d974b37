//! Problems and solutions as named numpy arrays.

use numpy::{PyArray1, PyReadonlyArray1};
use parkade_placement::flat::{Source, Values};
use parkade_placement::{InvalidProblem, Solution, State};
use pyo3::exceptions::PyKeyError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

/// Any mapping from names to arrays; an opened `.npz` file reads each when it is asked for.
pub struct Arrays<'py>(pub Bound<'py, PyAny>);

impl<'py> Arrays<'py> {
    fn get(&self, name: &str) -> Result<Bound<'py, PyAny>, InvalidProblem> {
        self.0.get_item(name).map_err(|error| {
            InvalidProblem::new(if error.is_instance_of::<PyKeyError>(self.0.py()) {
                format!("{name} is missing from the problem; docs/placement.md lists the arrays")
            } else {
                format!("{name} cannot be read: {error}; write the file again")
            })
        })
    }
}

fn wrong(name: &str, wanted: &str) -> InvalidProblem {
    InvalidProblem::new(format!(
        "{name} must be a one-dimensional array of {wanted}"
    ))
}

/// The array as one of the listed types, converted value by value.
macro_rules! first_of {
    ($array:expr, $($kind:ty => $convert:expr),+) => {
        $(if let Ok(array) = $array.extract::<PyReadonlyArray1<'_, $kind>>() {
            return Ok($convert(array.as_array().iter().copied()));
        })+
    };
}

impl Source for Arrays<'_> {
    fn integers(&mut self, name: &str) -> Result<Vec<i64>, InvalidProblem> {
        let array = self.get(name)?;
        let array = array
            .call_method1("reshape", (-1,))
            .map_err(|_| wrong(name, "whole numbers"))?;
        first_of!(array,
            i64 => Iterator::collect::<Vec<i64>>,
            u32 => |values: _| Iterator::map(values, i64::from).collect::<Vec<i64>>(),
            i32 => |values: _| Iterator::map(values, i64::from).collect::<Vec<i64>>(),
            u8 => |values: _| Iterator::map(values, i64::from).collect::<Vec<i64>>(),
            u16 => |values: _| Iterator::map(values, i64::from).collect::<Vec<i64>>(),
            i16 => |values: _| Iterator::map(values, i64::from).collect::<Vec<i64>>(),
            i8 => |values: _| Iterator::map(values, i64::from).collect::<Vec<i64>>(),
            u64 => |values: _| {
                // A number beyond the range is out of range wherever it stands.
                Iterator::map(values, |value| i64::try_from(value).unwrap_or(i64::MAX)).collect::<Vec<i64>>()
            }
        );
        Err(wrong(name, "whole numbers"))
    }

    fn numbers(&mut self, name: &str) -> Result<Values, InvalidProblem> {
        let array = self.get(name)?;
        first_of!(array,
            f32 => |values| Values::Single(Iterator::collect(values)),
            f64 => |values| Values::Double(Iterator::collect(values))
        );
        Err(wrong(name, "float32 or float64"))
    }

    fn resource_names(&mut self, offsets: &[usize]) -> Result<usize, InvalidProblem> {
        let name = "supplies.capacity.name";
        let names: Vec<String> = self
            .get(name)?
            .call_method0("tolist")
            .and_then(|names| names.extract())
            .map_err(|_| wrong(name, "texts"))?;
        for row in offsets.windows(2).filter(|row| row[1] <= names.len()) {
            let row = &names[row[0]..row[1]];
            if let Some(pair) = row.windows(2).find(|pair| pair[0] >= pair[1]) {
                return Err(InvalidProblem::new(format!(
                    "{name} has {:?} before {:?} in one supply; sort the names, each once",
                    pair[0], pair[1]
                )));
            }
        }
        Ok(names.len())
    }
}

/// The solution file's arrays.
pub fn solution<'py>(py: Python<'py>, solution: Solution) -> PyResult<Bound<'py, PyDict>> {
    let arrays = PyDict::new(py);
    let status = serde_json::to_string(&solution.status).unwrap_or_default();
    arrays.set_item("version", solution.version)?;
    arrays.set_item("status", PyString::new(py, status.trim_matches('"')))?;
    arrays.set_item("objective", solution.objective)?;
    arrays.set_item("bound", solution.bound)?;
    arrays.set_item("gap", solution.gap)?;
    arrays.set_item("replicas", PyArray1::from_vec(py, solution.replicas))?;
    arrays.set_item("units", PyArray1::from_slice(py, &solution.units))?;
    arrays.set_item("short", PyArray1::from_vec(py, solution.short.concat()))?;
    let prices = &solution.prices;
    arrays.set_item(
        "prices.covers",
        PyArray1::from_vec(py, prices.covers.concat()),
    )?;
    arrays.set_item(
        "prices.supplies",
        PyArray1::from_vec(py, prices.supplies.concat()),
    )?;
    arrays.set_item("prices.limits", PyArray1::from_slice(py, &prices.limits))?;
    let exact = &solution.exact;
    let mut offsets = vec![0_u64];
    for part in exact {
        offsets.push(offsets[offsets.len() - 1] + part.replicas.len() as u64);
    }
    let replicas = || exact.iter().flat_map(|part| &part.replicas);
    let demands = exact.iter().map(|part| part.demand as u64);
    arrays.set_item("exact.demand", PyArray1::from_iter(py, demands))?;
    arrays.set_item(
        "exact.value",
        PyArray1::from_iter(py, exact.iter().map(|part| part.value)),
    )?;
    arrays.set_item("exact.replicas_offsets", PyArray1::from_vec(py, offsets))?;
    let arcs = replicas().map(|entry| entry.0 as u64);
    arrays.set_item("exact.replicas.arc", PyArray1::from_iter(py, arcs))?;
    let counts = replicas().map(|entry| entry.1);
    arrays.set_item("exact.replicas.count", PyArray1::from_iter(py, counts))?;
    Ok(arrays)
}

/// The arrays that [`read_state`] reads.
pub fn state<'py>(py: Python<'py>, state: &State) -> PyResult<Bound<'py, PyDict>> {
    let arrays = PyDict::new(py);
    arrays.set_item("version", 1)?;
    for (name, values) in [
        ("rents", &state.rents),
        ("weights", &state.weights),
        ("multipliers", &state.multipliers),
        ("unit_prices", &state.unit_prices),
        ("limit_prices", &state.limit_prices),
        ("theta", &state.theta),
        ("flow", &state.flow),
    ] {
        arrays.set_item(name, PyArray1::from_slice(py, values))?;
    }
    let arcs = state.arcs.iter().map(|&arc| arc as u64);
    arrays.set_item("arcs", PyArray1::from_iter(py, arcs))?;
    let arcs = state.replicas.iter().map(|entry| entry.0 as u64);
    arrays.set_item("replicas.arc", PyArray1::from_iter(py, arcs))?;
    let counts = state.replicas.iter().map(|entry| entry.1);
    arrays.set_item("replicas.count", PyArray1::from_iter(py, counts))?;
    Ok(arrays)
}

/// A state as [`state`] gave it.
pub fn read_state(source: &mut Arrays<'_>) -> Result<State, InvalidProblem> {
    let mut numbers = |name: &str| match source.numbers(name)? {
        Values::Double(values) => Ok(values),
        Values::Single(_) => Err(wrong(name, "float64")),
    };
    let (rents, weights) = (numbers("rents")?, numbers("weights")?);
    let (multipliers, theta) = (numbers("multipliers")?, numbers("theta")?);
    let (unit_prices, limit_prices) = (numbers("unit_prices")?, numbers("limit_prices")?);
    let flow = numbers("flow")?;
    let mut indices = |name: &str| {
        let values = source.integers(name)?.into_iter();
        let indices =
            values.map(|value| usize::try_from(value).map_err(|_| wrong(name, "indices of arcs")));
        indices.collect::<Result<Vec<usize>, InvalidProblem>>()
    };
    let (arcs, running) = (indices("arcs")?, indices("replicas.arc")?);
    let counts = source.integers("replicas.count")?;
    if counts.len() != running.len() {
        return Err(wrong(
            "replicas.count",
            "as many numbers as replicas.arc has",
        ));
    }
    Ok(State {
        rents,
        weights,
        multipliers,
        unit_prices,
        limit_prices,
        theta,
        arcs,
        flow,
        replicas: running.into_iter().zip(counts).collect(),
    })
}
