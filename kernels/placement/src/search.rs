//! Local search over all demands: visits, supplies closed or opened by a unit, rivals swapped; at last some demands
//! are taken off together and served again in another order.

use crate::assignment::Assignment;
use crate::budget::Budget;
use crate::greedy::{NOISE, by_value, serve};

/// Rounds of the whole search; each must lower the cost.
const MOST_ROUNDS: usize = 50;
/// Attempts of ruin and recreate for each demand.
const ATTEMPTS: usize = 40;
/// Demands taken off at once.
const TAKEN_OFF: usize = 4;

/// Improve the assignment until nothing helps or the budget is spent.
pub fn improve(assignment: &mut Assignment<'_>, budget: &mut Budget<'_>) {
    for _ in 0..MOST_ROUNDS {
        let before = assignment.cost();
        visit(assignment, budget);
        for supply in 0..assignment.problem().supplies() {
            close(assignment, supply, budget);
            open(assignment, supply, budget);
        }
        swap_rivals(assignment, budget);
        assignment.settle();
        if !budget.is_open() || assignment.cost() >= before - NOISE * before.abs() {
            break;
        }
    }
}

/// Let every demand make its best changes, again and again until none has any.
pub fn visit(assignment: &mut Assignment<'_>, budget: &mut Budget<'_>) {
    let order = by_value(assignment.problem());
    for _ in 0..MOST_ROUNDS {
        let mut changed = false;
        for &demand in &order {
            changed |= serve(assignment, demand, budget);
        }
        assignment.settle();
        if !changed || !budget.is_open() {
            break;
        }
    }
}

/// Keep what was tried since the mark if it lowered the cost, else undo it.
fn keep_if_better(assignment: &mut Assignment<'_>, mark: (usize, f64)) -> bool {
    let better = assignment.cost() < mark.1 - NOISE * mark.1.abs();
    if !better {
        assignment.roll_back(mark);
    }
    better
}

fn demands_of(assignment: &Assignment<'_>, supply: usize) -> Vec<usize> {
    let candidates = assignment.candidates();
    let mut demands: Vec<usize> = candidates
        .of_supply(supply)
        .iter()
        .map(|&column| candidates.demand_of(column as usize))
        .collect();
    demands.sort_unstable();
    demands.dedup();
    demands
}

/// Do with one unit less, or with none.
fn close(assignment: &mut Assignment<'_>, supply: usize, budget: &mut Budget<'_>) {
    for target in [assignment.units_needed(supply) - 1, 0] {
        let needed = assignment.units_needed(supply);
        if target < 0 || target >= needed || !budget.is_open() {
            continue;
        }
        let mark = assignment.mark();
        assignment.allow(supply, Some(target));
        let evicted = evict(assignment, supply, target, budget);
        for demand in evicted {
            serve(assignment, demand, budget);
        }
        assignment.allow(supply, None);
        keep_if_better(assignment, mark);
    }
}

/// Remove replicas, those that are missed least first, until the units are enough; returns whose they were.
fn evict(
    assignment: &mut Assignment<'_>,
    supply: usize,
    units: i64,
    budget: &mut Budget<'_>,
) -> Vec<usize> {
    let candidates = assignment.candidates();
    let columns = candidates.of_supply(supply);
    let mut evicted = Vec::new();
    while assignment.units_needed(supply) > units {
        let running = columns.iter().map(|&column| column as usize);
        let running = running.filter(|&column| {
            assignment.replicas()[column] > 0 && (units > 0 || !candidates.uses(column).is_empty())
        });
        let missed = running.filter_map(|column| {
            let missed = assignment.delta(column, -1)?;
            Some((missed / assignment.pressure(column), column))
        });
        let least =
            missed.min_by(|left, right| left.0.total_cmp(&right.0).then(left.1.cmp(&right.1)));
        let (Some((_, column)), true) = (least, budget.spend(columns.len())) else {
            break;
        };
        let count = if units == 0 {
            assignment.replicas()[column]
        } else {
            1
        };
        assignment.change(column, -count);
        evicted.push(candidates.demand_of(column));
    }
    evicted.sort_unstable();
    evicted.dedup();
    evicted
}

/// Pay for one more unit first, so that several demands can move to it together.
fn open(assignment: &mut Assignment<'_>, supply: usize, budget: &mut Budget<'_>) {
    let problem = assignment.problem();
    let needed = assignment.units_needed(supply);
    if needed >= problem.total_units(supply) || !budget.is_open() {
        return;
    }
    let mark = assignment.mark();
    assignment.hold(supply, needed + 1);
    for demand in demands_of(assignment, supply) {
        serve(assignment, demand, budget);
    }
    assignment.hold(supply, 0);
    keep_if_better(assignment, mark);
}

/// Where a supply or a limit is full, let one demand take another's place.
fn swap_rivals(assignment: &mut Assignment<'_>, budget: &mut Budget<'_>) {
    let problem = assignment.problem();
    for supply in 0..problem.supplies() {
        swap_among(
            assignment,
            assignment.candidates().of_supply(supply),
            budget,
        );
    }
    for limit in 0..problem.bounds.len() {
        swap_among(assignment, assignment.candidates().of_limit(limit), budget);
    }
}

fn swap_among(assignment: &mut Assignment<'_>, columns: &[u32], budget: &mut Budget<'_>) {
    let candidates = assignment.candidates();
    for into in columns.iter().map(|&into| into as usize) {
        for out in columns.iter().map(|&out| out as usize) {
            let rival = candidates.demand_of(out);
            let full =
                assignment.room(into) == 0 && assignment.replicas()[into] < candidates.max_of(into);
            if !full || !budget.is_open() {
                break;
            }
            if rival != candidates.demand_of(into) && assignment.replicas()[out] > 0 {
                swap(assignment, into, out, budget);
            }
        }
    }
}

fn swap(assignment: &mut Assignment<'_>, into: usize, out: usize, budget: &mut Budget<'_>) {
    let candidates = assignment.candidates();
    let mark = assignment.mark();
    let running = assignment.replicas()[out];
    let mut gone = 0;
    while gone < running && assignment.room(into) == 0 && budget.spend(1) {
        let count = gone.max(1).min(running - gone);
        assignment.change(out, -count);
        gone += count;
    }
    let wanted = assignment.wanted(into).0.max(1).min(assignment.room(into));
    if wanted > 0 {
        assignment.change(into, wanted);
        serve(assignment, candidates.demand_of(out), budget);
        serve(assignment, candidates.demand_of(into), budget);
    }
    keep_if_better(assignment, mark);
}

/// Take off a demand and some of its rivals, serve them in another order, keep the result if it is cheaper
/// (G. Schrimpf et al., *Record breaking optimization results using the ruin and recreate principle*, 2000).
pub fn ruin_and_recreate(assignment: &mut Assignment<'_>, budget: &mut Budget<'_>) {
    let problem = assignment.problem();
    let demands = problem.demands();
    let mut order = Order { state: 1 };
    for _ in 0..ATTEMPTS * demands {
        if !budget.is_open() {
            break;
        }
        let chosen = related(assignment, &mut order);
        let mark = assignment.mark();
        for &demand in &chosen {
            for column in assignment.candidates().of_demand(demand) {
                let running = assignment.replicas()[column];
                if running > 0 {
                    assignment.change(column, -running);
                }
            }
        }
        for &demand in chosen.iter().chain(&chosen) {
            serve(assignment, demand, budget);
        }
        if keep_if_better(assignment, mark) {
            assignment.settle();
        }
    }
    visit(assignment, budget);
}

/// A demand and up to three others that could use its supplies, in no particular order.
fn related(assignment: &Assignment<'_>, order: &mut Order) -> Vec<usize> {
    let candidates = assignment.candidates();
    let mut chosen = vec![order.below(assignment.problem().demands())];
    let columns = candidates.of_demand(chosen[0]);
    for _ in 0..2 * TAKEN_OFF {
        if columns.is_empty() || chosen.len() == TAKEN_OFF {
            break;
        }
        let supply = candidates.supply_of(columns.start + order.below(columns.len()));
        let rivals = candidates.of_supply(supply);
        let rival = candidates.demand_of(rivals[order.below(rivals.len())] as usize);
        if !chosen.contains(&rival) {
            chosen.insert(order.below(chosen.len() + 1), rival);
        }
    }
    chosen
}

/// A fixed sequence without pattern (`SplitMix64` of G. Steele et al., 2014): the same on every machine and run.
struct Order {
    state: u64,
}

impl Order {
    /// The next number from 0 to `most - 1`.
    fn below(&mut self, most: usize) -> usize {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % most as u64).unwrap_or(0)
    }
}
