//! What a replica adds to the covers of its workload.

use crate::tables::Tables;
use crate::ways::{Load, Way};

/// `parkade.problem.covers.Kind`.
const RATE: usize = 0;
const READY: usize = 1;
const APART: usize = 2;
const SPREAD: usize = 3;
const DEPARTURES: usize = 4;

/// The argument of a departure cover for all regions at once.
const ALL: i64 = -1;

/// What one replica adds to a cover, saturated at its quantity.
pub(crate) fn yielded(tables: &Tables, cover: usize, way: &Way, load: &Load) -> f64 {
    let places = &tables.places;
    let (kind, argument) = (tables.covers.kind[cover], tables.covers.argument[cover]);
    let (region, car) = (places.of_region[way.place], places.car[way.place]);
    let inside = i64::try_from(region) == Ok(argument);
    let each = match kind {
        READY => return 1.0,
        APART => return if way.apart { 1.0 } else { 0.0 },
        RATE if i64::from(load.mask) & argument != 0 => load.rate,
        SPREAD if !inside => load.rate,
        RATE | SPREAD => 0.0,
        DEPARTURES if !car => load.burst,
        DEPARTURES if inside || argument == ALL => load.rate * (1.0 - places.shocks[region]),
        DEPARTURES => load.rate,
        _ if car => 0.0, // computed again on servers alone
        _ => load.rate,
    };
    each.min(tables.covers.quantity[cover])
}

/// $/h for each unit of a cover that is not met: so dear that the dearest place is taken before.
///
/// (1 + priority / 100) * factor * the dearest full cost for a unit of this cover over the workload's arcs; others
/// than rate covers cost the share `structure_cost_factor` of that.
pub(crate) fn short_cost(tables: &Tables, workload: usize, cover: usize, dearest: f64) -> f64 {
    let constants = &tables.constants;
    let share = if tables.covers.kind[cover] == RATE {
        1.0
    } else {
        constants.structure_cost_factor
    };
    let factor = constants.short_cost_factor * share;
    let urgent = 1.0 + tables.workloads.priority[workload] / 100.0;
    (urgent * factor * dearest).max(constants.least_short_cost)
}
