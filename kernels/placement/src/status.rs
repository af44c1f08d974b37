//! How a solve ended.

use serde::{Deserialize, Serialize};

/// How a solve ended; the plan is feasible in every case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The certified gap is at most [`crate::OPTIMAL_GAP`].
    Optimal,
    /// The search found no further improvement; the gap says how far from optimal it can be.
    Feasible,
    /// The work limit stopped the search; the plan is the best one found so far.
    WorkLimit,
    /// The clock stopped the search; the plan is the best one found so far and may differ between machines.
    TimeLimit,
}
