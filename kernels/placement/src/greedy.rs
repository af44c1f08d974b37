//! One demand at a time: the best single change, until none helps.

use crate::assignment::Assignment;
use crate::budget::Budget;
use crate::problem::Problem;
use std::ops::Range;

/// Gains below this share of the scale are rounding noise.
pub const NOISE: f64 = 1e-13;
/// Changes of one demand in one visit; each strictly lowers the cost, so this only guards against rounding.
const MOST_CHANGES: usize = 200;

/// One change of a demand: some replicas of one column go, some of another come.
#[derive(Clone, Copy)]
struct Change {
    gain: f64,
    out: Option<(usize, i64)>,
    into: Option<(usize, i64)>,
}

/// Serve the demands one after another, those with most to lose first.
pub fn serve_all(assignment: &mut Assignment<'_>, budget: &mut Budget<'_>) {
    for demand in by_value(assignment.problem()) {
        serve(assignment, demand, budget);
    }
    assignment.settle();
}

/// Demands by what leaving them unserved would cost, dearest first.
pub fn by_value(problem: &Problem) -> Vec<usize> {
    let value = |demand: usize| -> f64 {
        problem
            .covers
            .row(demand)
            .iter()
            .map(|cover| cover.quantity * cover.short_cost)
            .sum()
    };
    let mut order: Vec<usize> = (0..problem.covers.count()).collect();
    order.sort_by(|&left, &right| value(right).total_cmp(&value(left)).then(left.cmp(&right)));
    order
}

/// Take the demand's best change again and again; true when anything changed.
pub fn serve(assignment: &mut Assignment<'_>, demand: usize, budget: &mut Budget<'_>) -> bool {
    let mut changed = false;
    for _ in 0..MOST_CHANGES {
        let Some(best) = best_change(assignment, demand, budget) else {
            break;
        };
        if let Some((column, count)) = best.out {
            assignment.change(column, -count);
        }
        if let Some((column, count)) = best.into {
            assignment.change(column, count);
        }
        changed = true;
    }
    changed
}

fn best_change(
    assignment: &mut Assignment<'_>,
    demand: usize,
    budget: &mut Budget<'_>,
) -> Option<Change> {
    let columns = assignment.candidates().of_demand(demand);
    let mut best = Change {
        gain: 0.0,
        out: None,
        into: None,
    };
    if !budget.spend(columns.len()) {
        return None;
    }
    best_addition(assignment, columns.clone(), (None, 0.0), &mut best);
    for column in columns.clone() {
        let running = assignment.replicas()[column];
        if running == 0 {
            continue;
        }
        for count in distinct(
            [1, assignment.superfluous(column), running / 2, running],
            running,
        ) {
            let Some(delta) = assignment.delta(column, -count) else {
                continue;
            };
            if !budget.spend(columns.len()) {
                return None;
            }
            consider(
                &mut best,
                Change {
                    gain: -delta,
                    out: Some((column, count)),
                    into: None,
                },
                assignment,
            );
            let mark = assignment.mark();
            assignment.change(column, -count);
            best_addition(
                assignment,
                columns.clone(),
                (Some((column, count)), delta),
                &mut best,
            );
            assignment.roll_back(mark);
        }
    }
    (best.gain > 0.0).then_some(best)
}

/// Try every column for what left room or is missing; `gone` has already left and changed the cost by `delta`.
fn best_addition(
    assignment: &Assignment<'_>,
    columns: Range<usize>,
    (gone, delta): (Option<(usize, i64)>, f64),
    best: &mut Change,
) {
    for column in columns {
        if gone.is_some_and(|gone| gone.0 == column) {
            continue;
        }
        let room = assignment.room(column);
        let (most, least) = assignment.wanted(column);
        // A replica that is paid for running is worth having as often as it fits.
        let all = if assignment.candidates().column(column).cost < 0.0 {
            room
        } else {
            0
        };
        for count in distinct(
            [
                least.min(room),
                most.min(room),
                assignment.spare(column).min(most),
                all.max(1),
            ],
            room,
        ) {
            if let Some(added) = assignment.delta(column, count) {
                consider(
                    best,
                    Change {
                        gain: -delta - added,
                        out: gone,
                        into: Some((column, count)),
                    },
                    assignment,
                );
            }
        }
    }
}

fn consider(best: &mut Change, change: Change, assignment: &Assignment<'_>) {
    if change.gain > best.gain + NOISE * assignment.cost().abs() {
        *best = change;
    }
}

/// The counts from 1 to `most`, each once.
fn distinct<const N: usize>(mut counts: [i64; N], most: i64) -> impl Iterator<Item = i64> {
    counts.sort_unstable();
    let mut last = 0;
    counts.into_iter().filter(move |&count| {
        count <= most && std::mem::replace(&mut last, count) != count && count > 0
    })
}
