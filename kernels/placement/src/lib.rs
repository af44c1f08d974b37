//! The placement problem, its solver and its certificate.
//!
//! A demand is served by whole replicas on arcs to supplies; supplies are bought by the unit along merit-order
//! curves; limits tie arcs together. [`solve`] returns a feasible plan and a lower bound that anyone can recompute
//! from the published prices. The crate is pure: no clock, no I/O, no randomness; equal input gives equal bytes.
//!
//! The pipeline: [`json::read`] checks a file into a [`Problem`]; `greedy` makes a first plan; `prices` climbs to
//! good prices; `search` improves the plan; [`bound`](mod@bound) certifies; [`json::write`] publishes.

mod assignment;
mod budget;
mod candidates;
mod check;
mod closing;
mod completion;
mod curve;
mod dual;
mod equilibrium;
mod error;
mod greedy;
mod integer_part;
mod market;
mod merit_order;
mod prices;
mod problem;
mod rationing;
mod relocation;
#[allow(dead_code)] // for problems beyond those that `solve` takes today
mod rounding;
mod rows;
mod search;
mod simplex;
mod single;
mod solution;
mod solve;
mod state;
mod status;

pub mod bound;
pub mod flat;
pub mod json;

pub use budget::Budget;
pub use error::InvalidProblem;
pub use problem::{Arc, ArcNumbers, Cover, Number, Numbers, Problem, Rows, Step, Term, Use};
pub use solution::{ExactPart, Prices, Solution};
pub use solve::{improve, solve, solve_from};
pub use state::State;
pub use status::Status;

/// A supply or a limit holds within this share of what it gives; the bound already pays for it.
///
/// Decimal fractions such as a use of 0.2 are not exact in binary: without it five of them would not fit into 1.0.
pub const ROW_TOLERANCE: f64 = 1e-9;

/// A cover is met within this share of its quantity: room for rounding a sum, and no more, because a shortfall is
/// dear and the bound pays for this too.
pub const COVER_TOLERANCE: f64 = 1e-12;

/// A plan is called optimal when its cost without shortfall is at most this share above what the bound leaves of it.
pub const OPTIMAL_GAP: f64 = 1e-6;
