//! The rules of one workload.

use std::time::Duration;

use crate::callers::Callers;
use crate::definition::Definition;

/// What a manifest says about requests.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// Latency target.
    pub target: Duration,
    /// Deadline of requests that name none.
    pub timeout: Duration,
    /// Fleets that may see payloads; empty means every fleet.
    pub fleets: Vec<String>,
    /// How far two right floats may be apart, relative to 1 + their size.
    pub tolerance: f64,
    /// Whose requests it takes, where callers are asked who they are.
    pub callers: Callers,
    /// Places of the plan that may not see its payloads.
    pub barred: Vec<String>,
    /// Whether its owner suspended it.
    pub suspended: bool,
}

impl Rules {
    /// As they are defined.
    pub fn of(definition: &Definition) -> Self {
        Self {
            target: definition.target,
            timeout: definition.timeout,
            fleets: definition.fleets.clone(),
            tolerance: definition.tolerance,
            callers: definition.callers.clone(),
            barred: definition.barred.clone(),
            suspended: definition.suspended,
        }
    }

    /// Whether a car, by `fleet/vehicle`, may see payloads.
    pub fn trust(&self, vehicle: &str) -> bool {
        let fleet = vehicle.split_once('/').map_or("", |(fleet, _)| fleet);
        self.fleets.is_empty() || self.fleets.iter().any(|name| name == fleet)
    }
}
