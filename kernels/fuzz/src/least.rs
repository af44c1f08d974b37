//! The cheapest plan of a problem by looking at all of them.

use crate::laws::{ROUNDING, Sum, add_units, float};
use parkade_placement::{COVER_TOLERANCE, Problem, ROW_TOLERANCE};

/// Plans that are looked at, at most.
const MOST_PLANS: i64 = 3_000;

/// The least cost, over all plans that hold within the tolerances; `None` when there are too many plans.
#[must_use]
pub fn least(problem: &Problem) -> Option<Sum> {
    let arcs: Vec<usize> = (0..problem.arcs()).collect();
    let mut best: Option<Sum> = None;
    for_each_plan(problem, &arcs, |replicas| {
        if let Some(cost) = cost(problem, replicas)
            && best.is_none_or(|best| cost.value < best.value)
        {
            best = Some(cost);
        }
    })?;
    best
}

/// The same of one demand's part of the bound, at the reduced costs of its arcs.
#[must_use]
pub fn least_of_demand(problem: &Problem, demand: usize, arcs: &[(usize, Sum)]) -> Option<Sum> {
    let own: Vec<usize> = arcs.iter().map(|entry| entry.0).collect();
    let mut best: Option<Sum> = None;
    for_each_plan(problem, &own, |replicas| {
        let mut cost = Sum::default();
        for ((_, reduced), &count) in arcs.iter().zip(replicas) {
            cost.value += reduced.value * float(count);
            cost.magnitude += reduced.magnitude * float(count);
        }
        let counts = own.iter().copied().zip(replicas.iter().copied());
        add_shortfall(problem, demand, counts, &mut cost);
        if best.is_none_or(|best| cost.value < best.value) {
            best = Some(cost);
        }
    })?;
    best
}

/// Call with the replicas of every plan of these arcs, rows aside.
fn for_each_plan(problem: &Problem, arcs: &[usize], mut look: impl FnMut(&[i64])) -> Option<()> {
    let most: Vec<i64> = arcs.iter().map(|&arc| problem.max_of(arc)).collect();
    let plans = most
        .iter()
        .try_fold(1_i64, |plans, most| plans.checked_mul(most + 1))?;
    if plans > MOST_PLANS {
        return None;
    }
    let mut replicas = vec![0; arcs.len()];
    for plan in 0..plans {
        let mut rest = plan;
        for (count, most) in replicas.iter_mut().zip(&most) {
            *count = rest % (most + 1);
            rest /= most + 1;
        }
        look(&replicas);
    }
    Some(())
}

/// What a plan costs with the fewest units that it needs, or `None` when it does not fit.
fn cost(problem: &Problem, replicas: &[i64]) -> Option<Sum> {
    let mut used = vec![0.0; problem.capacity.values().len()];
    let mut limited = vec![0.0; problem.bounds.len()];
    let mut cost = Sum::default();
    for (arc, &count) in replicas.iter().enumerate() {
        cost.add(problem.cost_of(arc) * float(count));
        let first = problem.capacity.range(problem.supply_of(arc)).start;
        for taken in problem.uses(arc) {
            used[first + taken.resource] += taken.amount * float(count);
        }
        for term in problem.terms(arc) {
            limited[term.limit] += term.coefficient * float(count);
        }
    }
    // Plans at the edge of the tolerances are left out: whether they hold is a matter of rounding.
    let inside = 1.0 + ROW_TOLERANCE * (1.0 - 1e-4);
    if limited
        .iter()
        .zip(&problem.bounds)
        .any(|(taken, bound)| *taken > bound * inside)
    {
        return None;
    }
    for supply in 0..problem.supplies() {
        let units = units(
            problem,
            supply,
            &used[problem.capacity.range(supply)],
            inside,
        )?;
        add_units(
            problem,
            supply,
            units.max(problem.paid_units(supply)),
            &mut cost,
        );
    }
    for demand in 0..problem.demands() {
        let arcs = problem.arcs_of(demand);
        add_shortfall(
            problem,
            demand,
            arcs.clone().zip(replicas[arcs].iter().copied()),
            &mut cost,
        );
    }
    Some(cost)
}

/// The fewest units that give what is used.
#[allow(clippy::cast_possible_truncation)] // far below 2^53 where it matters
fn units(problem: &Problem, supply: usize, used: &[f64], inside: f64) -> Option<i64> {
    let mut units = 0;
    for (&taken, &capacity) in used.iter().zip(problem.capacity.row(supply)) {
        if taken > 0.0 {
            let ratio = taken / (capacity * inside);
            if ratio > float(problem.total_units(supply)) {
                return None;
            }
            units = units.max(ratio.ceil() as i64);
        }
    }
    Some(units)
}

fn add_shortfall(
    problem: &Problem,
    demand: usize,
    replicas: impl Iterator<Item = (usize, i64)>,
    cost: &mut Sum,
) {
    let own = problem.covers.row(demand);
    let mut covered = vec![0.0; own.len()];
    for (arc, count) in replicas {
        for (covered, yielded) in covered.iter_mut().zip(problem.yields(arc)) {
            *covered += yielded * float(count);
        }
    }
    for (cover, covered) in own.iter().zip(covered) {
        let wanted = cover.quantity * (1.0 - COVER_TOLERANCE * (1.0 - 1e-2));
        let short = (wanted - covered).max(0.0);
        cost.add(cover.short_cost * short);
        if short > 0.0 {
            cost.magnitude += cover.short_cost * cover.quantity * ROUNDING;
        }
    }
}
