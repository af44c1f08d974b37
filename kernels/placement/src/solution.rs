//! What a solve publishes.

use crate::status::Status;
use serde::{Deserialize, Serialize};

/// Prices of the rows; with them anyone can recompute the bound.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prices {
    /// theta: $/h for one more of each cover's quantity, per demand; between 0 and the cover's `short_cost`.
    pub covers: Vec<Vec<f64>>,
    /// pi: $/h for one more of each resource (names sorted), per supply; at least 0.
    pub supplies: Vec<Vec<f64>>,
    /// mu: $/h for one more of each limit's bound; at least 0.
    pub limits: Vec<f64>,
}

/// A demand whose part of the bound is its exact integer minimum at the prices.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExactPart {
    /// Index of the demand.
    pub demand: usize,
    /// $/h, rounded downwards.
    pub value: f64,
    /// `(arc, replicas)` of the minimum, arcs without replicas left out.
    pub replicas: Vec<(usize, i64)>,
}

/// A feasible plan with its certificate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Solution {
    /// Format version, 1.
    pub version: u32,
    /// How the solve ended.
    pub status: Status,
    /// $/h of the plan, with what its shortfall costs.
    pub objective: f64,
    /// $/h that no plan can undercut, rounded downwards.
    pub bound: f64,
    /// `(objective - bound) / max(|objective - cost of the shortfall|, 1e-9)`.
    pub gap: f64,
    /// Replicas per arc.
    pub replicas: Vec<i64>,
    /// Units per supply.
    pub units: Vec<i64>,
    /// Shortfall per cover, per demand, in the cover's own unit.
    pub short: Vec<Vec<f64>>,
    /// The prices behind the bound.
    pub prices: Prices,
    /// Demands whose part of the bound is an exact integer minimum.
    pub exact: Vec<ExactPart>,
}
