//! Class tables from Python, and their arcs as numpy arrays.

use numpy::{Element, PyArray1, PyReadonlyArrayDyn};
use parkade_framing::{
    Arcs, Constants, Covers, Number, Places, Reach, Sparse, Tables, Workloads, expand,
};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// The arcs of class tables: named arrays as `parkade.problem.expansion` gives them, and takes them.
///
/// Numbers of arcs come back in single precision where `single` says so.
#[pyfunction]
#[pyo3(name = "expand", signature = (tables, single, threads=0))]
pub fn expanded<'py>(
    py: Python<'py>,
    tables: Bound<'py, PyAny>,
    single: bool,
    threads: usize,
) -> PyResult<Bound<'py, PyDict>> {
    let tables = Named(tables).tables()?;
    if single {
        arrays(py, run::<f32>(py, &tables, threads)?)
    } else {
        arrays(py, run::<f64>(py, &tables, threads)?)
    }
}

fn run<T: Number>(py: Python<'_>, tables: &Tables, threads: usize) -> PyResult<Arcs<T>> {
    py.detach(|| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let pool = pool.map_err(|error| PyRuntimeError::new_err(error.to_string()))?;
        Ok(pool.install(|| expand(tables)))
    })
}

fn arrays<T: Element>(py: Python<'_>, arcs: Arcs<T>) -> PyResult<Bound<'_, PyDict>> {
    let found = PyDict::new(py);
    macro_rules! give {
        ($($field:ident),+) => {
            $(found.set_item(stringify!($field), PyArray1::from_vec(py, arcs.$field))?;)+
        };
    }
    give!(
        workload, place, late, kept, apart, cost, most, yields, watts, megabits
    );
    give!(use_offsets, use_resource, use_amount);
    give!(short_cost, best_rate, alone_place, alone_workload);
    Ok(found)
}

/// A mapping from names to arrays.
struct Named<'py>(Bound<'py, PyAny>);

impl Named<'_> {
    /// The array's entries, row after row.
    fn all<T: Element + Copy>(&self, name: &str) -> PyResult<Vec<T>> {
        let array = self.0.get_item(name)?;
        let array: PyReadonlyArrayDyn<'_, T> = array.extract().map_err(|_| {
            PyValueError::new_err(format!(
                "{name} is no array of the type that arcs are made of"
            ))
        })?;
        Ok(array.as_array().iter().copied().collect())
    }

    /// Whole numbers of 0 or more.
    fn counts(&self, name: &str) -> PyResult<Vec<usize>> {
        let values = self.all::<i64>(name)?.into_iter().map(usize::try_from);
        values
            .collect::<Result<_, _>>()
            .map_err(|_| PyValueError::new_err(format!("{name} has an entry below 0")))
    }

    fn number(&self, name: &str) -> PyResult<f64> {
        self.0.get_item(name)?.extract()
    }

    fn count(&self, name: &str) -> PyResult<usize> {
        self.0.get_item(name)?.extract()
    }

    fn tables(&self) -> PyResult<Tables> {
        Ok(Tables {
            workloads: self.workloads()?,
            places: self.places()?,
            reached: self.reached()?,
            covers: self.covers()?,
            usable: self.all("usable")?,
            of_usable: self.counts("of_usable")?,
            kept: self.sparse("kept.pair", "kept.replicas")?,
            kept_units: self.sparse("kept.pair", "kept.units")?,
            most_new: self.sparse("most_new.pair", "most_new.replicas")?,
            constants: self.constants()?,
        })
    }

    fn sparse(&self, pair: &str, value: &str) -> PyResult<Sparse> {
        Ok(Sparse {
            pair: self.counts(pair)?,
            value: self.counts(value)?,
        })
    }

    fn workloads(&self) -> PyResult<Workloads> {
        Ok(Workloads {
            demand: self.all("workloads.demand")?,
            batch: self.all("workloads.batch")?,
            least: self.all("workloads.least")?,
            priority: self.all("workloads.priority")?,
            memory: self.counts("workloads.memory")?,
            request: self.all("workloads.request")?,
            response: self.all("workloads.response")?,
            of_profile: self.counts("workloads.of_profile")?,
            seconds: self.all("workloads.seconds")?,
            joules: self.all("workloads.joules")?,
            server_rate: self.all("workloads.server_rate")?,
            size: self.all("workloads.size")?,
        })
    }

    fn places(&self) -> PyResult<Places> {
        Ok(Places {
            of_class: self.counts("places.of_class")?,
            of_region: self.counts("places.of_region")?,
            of_hardware: self.counts("places.of_hardware")?,
            class_region: self.counts("places.class_region")?,
            class_hardware: self.counts("places.class_hardware")?,
            class_availability: self.all("places.class_availability")?,
            car: self.all("places.car")?,
            memory: self.counts("places.memory")?,
            slots: self.counts("places.slots")?,
            units: self.counts("places.units")?,
            unit_cost: self.all("places.unit_cost")?,
            unit_watts: self.all("places.unit_watts")?,
            dollars: self.all("places.dollars")?,
            carbon_dollars: self.all("places.carbon_dollars")?,
            pue: self.all("places.pue")?,
            dynamic_watts: self.all("places.dynamic_watts")?,
            per_gb: self.all("places.per_gb")?,
            availability: self.all("places.availability")?,
            alone: self.all("alone")?,
            shocks: self.all("shocks")?,
        })
    }

    fn reached(&self) -> PyResult<Reach> {
        Ok(Reach {
            pools: self.all("reached.pools")?,
            table: self.all("reached.table")?,
            trips: self.count("reached.trips")?,
            row: self.all("reached.row")?,
            tail: self.counts("reached.tail")?,
            trip: self.counts("reached.trip")?,
            callers: self.all("reached.callers")?,
            group: self.counts("reached.group")?,
            mask: self.all("reached.mask")?,
            late: self.all("reached.late")?,
            of_kind: self.counts("reached.of_kind")?,
            asked: self.all("reached.asked")?,
        })
    }

    fn covers(&self) -> PyResult<Covers> {
        Ok(Covers {
            offsets: self.counts("covers.offsets")?,
            kind: self.counts("covers.kind")?,
            argument: self.all("covers.argument")?,
            quantity: self.all("covers.quantity")?,
            wants_apart: self.all("covers.wants_apart")?,
        })
    }

    fn constants(&self) -> PyResult<Constants> {
        Ok(Constants {
            late_utilisation: self.number("late_utilisation")?,
            burst_factor: self.number("burst_factor")?,
            egress_per_gb: self.number("egress_per_gb")?,
            stay_hours: self.number("stay_hours")?,
            late_cost_factor: self.number("late_cost_factor")?,
            short_cost_factor: self.number("short_cost_factor")?,
            structure_cost_factor: self.number("structure_cost_factor")?,
            least_short_cost: self.number("least_short_cost")?,
            rate_safety: self.number("rate_safety")?,
            largest_pool: self.number("largest_pool")?,
            warm_up: self.number("warm_up")?,
            risk_share: self.number("risk_share")?,
            least_risk: self.number("least_risk")?,
            apart: self.count("apart")?,
        })
    }
}
