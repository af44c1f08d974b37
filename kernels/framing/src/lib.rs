//! The last step of framing: class tables as the arcs of a problem.
//!
//! All that is decided about workloads and places is in [`Tables`]; [`expand`] applies the same few formulas
//! (`docs/placement.md`, "How the numbers are made") to every (workload, place) pair. An arc is kept (replicas that
//! run already) or new, alone on its server or further (a second instance on the same one), in time or late.
//! The crate is pure; equal tables give equal arcs, whatever the number of threads.

mod arcs;
mod covering;
mod pools;
mod tables;
mod ways;

pub use arcs::{Arcs, Number, expand};
pub use tables::{Constants, Covers, Places, Reach, Sparse, Tables, Workloads};
