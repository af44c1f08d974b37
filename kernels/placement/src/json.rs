//! The problem file and the solution file as JSON.

use crate::check::check;
use crate::error::InvalidProblem;
use crate::problem::Problem;
use crate::solution::{Prices, Solution};
use serde::Deserialize;
use std::collections::BTreeMap;

/// A problem file as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProblemEntry {
    pub version: i64,
    pub demands: Vec<DemandEntry>,
    pub supplies: Vec<SupplyEntry>,
    pub arcs: Vec<ArcEntry>,
    pub limits: Vec<LimitEntry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DemandEntry {
    pub id: String,
    pub covers: Vec<CoverEntry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CoverEntry {
    pub id: String,
    pub quantity: f64,
    pub short_cost: f64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SupplyEntry {
    pub id: String,
    pub steps: Vec<StepEntry>,
    pub capacity: BTreeMap<String, f64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StepEntry {
    pub count: i64,
    pub cost: f64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ArcEntry {
    /// The kernel never needs it, but an arc without a name is a mistake.
    #[serde(rename = "id")]
    pub _id: String,
    pub demand: i64,
    pub supply: i64,
    pub yields: Vec<f64>,
    pub cost: f64,
    #[serde(rename = "use")]
    pub uses: BTreeMap<String, f64>,
    pub max: i64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LimitEntry {
    pub id: String,
    pub bound: f64,
    pub terms: Vec<(i64, f64)>,
}

/// Read and check a problem file.
///
/// # Errors
/// [`InvalidProblem`] names the entry that breaks the format and the remedy.
pub fn read(text: &str) -> Result<Problem, InvalidProblem> {
    let file: ProblemEntry = serde_json::from_str(text).map_err(|error| {
        InvalidProblem::new(format!(
            "the problem file cannot be read: {error}; docs/placement.md shows its format"
        ))
    })?;
    check(&file)
}

/// Read a solution file, for improving it.
///
/// # Errors
/// [`InvalidProblem`] says what is wrong with the file.
pub fn read_solution(text: &str) -> Result<Solution, InvalidProblem> {
    serde_json::from_str(text).map_err(|error| {
        InvalidProblem::new(format!(
            "the solution file cannot be read: {error}; write it by `parkade solve`"
        ))
    })
}

/// Write a solution file; equal solutions give equal bytes.
///
/// # Panics
/// Never: a solution has only finite numbers and string keys.
#[must_use]
pub fn write(solution: &Solution) -> String {
    serde_json::to_string(solution).expect("numbers and strings always serialise")
}

/// Read prices: a solution's `prices` object.
///
/// # Errors
/// [`InvalidProblem`] says what is wrong with them.
pub fn read_prices(text: &str) -> Result<Prices, InvalidProblem> {
    serde_json::from_str(text).map_err(|error| {
        InvalidProblem::new(format!(
            "the prices cannot be read: {error}; take them from a solution file"
        ))
    })
}
