//! Routers to fuzz: each run has its own, so that no run depends on another.

use parkade_router::fuzzing::Router;
use serde_json::{Value, json};

fn router(placements: &Value) -> Router {
    Router::of(json!({
        "metadata": {"name": "w", "namespace": "n"},
        "spec": {"model": {"name": "m"}},
        "status": {"placements": placements},
    }))
}

/// One that knows the model `m` and no place for it.
#[must_use]
pub fn nowhere() -> Router {
    router(&json!([]))
}

/// One that waits for cars of the cell `c`, to serve the model `m` of the workload `n/w`.
#[must_use]
pub fn one_cell() -> Router {
    router(&json!([{"place": "c", "tier": "Vehicle", "share": 100}]))
}
