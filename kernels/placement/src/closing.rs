//! Do with one unit less of a supply where placing its last replicas elsewhere is cheaper than the unit.

use crate::assignment::{Assignment, Charges};
use crate::budget::Budget;
use crate::relocation::{Relocation, keep_if_cheaper};
use crate::rows::Row;

/// Part of a unit that must be idle for the try: a unit in better use is cheaper to fill than to empty.
const LEAST_IDLE: f64 = 0.6;

/// A replica that could leave.
struct Leaver {
    /// $/h that placing it elsewhere costs more, for a whole unit of replicas like it.
    loss: f64,
    column: usize,
    count: i64,
}

/// Try every supply once; the plan pays true costs here.
pub fn close_units(
    plan: &mut Assignment<'_>,
    charges: &Charges,
    relocation: &mut Relocation,
    budget: &mut Budget<'_>,
) {
    for supply in 0..plan.problem().supplies() {
        let needed = plan.units_needed(supply);
        if needed > 0 && plan.spare_of(supply) > LEAST_IDLE && budget.is_open() {
            let mark = plan.mark();
            plan.allow(supply, Some(needed - 1));
            leave(plan, supply, needed - 1, charges, relocation, budget);
            plan.allow(supply, None);
            keep_if_cheaper(plan, mark);
        }
    }
}

/// Take off what is cheapest to place elsewhere until `units` are enough, and place it.
fn leave(
    plan: &mut Assignment<'_>,
    supply: usize,
    units: i64,
    charges: &Charges,
    relocation: &mut Relocation,
    budget: &mut Budget<'_>,
) {
    let columns = plan.candidates().of_supply(supply).iter();
    let running = columns.map(|&column| (column as usize, plan.replicas()[column as usize]));
    let mut leavers: Vec<Leaver> = running
        .filter(|entry| entry.1 > 0)
        .map(|(column, count)| Leaver {
            loss: Row::Supply(supply).loss(plan, column, charges, budget).0 / plan.pressure(column),
            column,
            count,
        })
        .collect();
    leavers.sort_by(|left, right| {
        left.loss
            .total_cmp(&right.loss)
            .then(left.column.cmp(&right.column))
    });
    for leaver in &leavers {
        let gone = plan.fewest_without(leaver.column, units, leaver.count);
        if gone > 0 {
            plan.change(leaver.column, -gone);
            let demand = plan.candidates().demand_of(leaver.column);
            relocation.fill(plan, demand, charges, budget);
        }
    }
}
