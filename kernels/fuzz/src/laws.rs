//! What every answer keeps (`docs/placement.md`), computed from the problem and the solution file alone.

use crate::least::{least, least_of_demand};
use parkade_placement::{COVER_TOLERANCE, Problem, ROW_TOLERANCE, Solution};

/// Of the magnitude of a sum: what its roundings in double precision can make, several times over.
pub const ROUNDING: f64 = 1e-13;

/// A sum, and the sum of its magnitudes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sum {
    /// Signed.
    pub value: f64,
    /// Of all terms without their signs.
    pub magnitude: f64,
}

impl Sum {
    /// Add a term.
    pub fn add(&mut self, term: f64) {
        self.value += term;
        self.magnitude += term.abs();
    }

    /// How far the true sum may be from the value.
    #[must_use]
    pub fn slack(self) -> f64 {
        self.magnitude * ROUNDING
    }
}

/// Check plan, objective, gap, prices and bound; for few plans also against the cheapest of all.
///
/// # Panics
/// When a law is broken.
pub fn check(problem: &Problem, solution: &Solution) {
    let replicas = problem.from_file_order(&solution.replicas);
    check_rows(problem, solution, &replicas);
    let cost = objective(problem, solution, &replicas);
    let shortfall = shortfall(problem, solution);
    let (objective, bound) = (solution.objective, solution.bound);
    assert!(objective.is_finite() && bound.is_finite() && solution.gap.is_finite());
    assert!(
        (objective - cost.value).abs() <= 1e-9 * cost.magnitude,
        "the objective {objective} is {}",
        cost.value
    );
    assert!(
        bound <= objective,
        "the bound {bound} is above the objective {objective}"
    );
    let base = (objective - shortfall).abs().max(1e-9);
    let error = 1e-9 * (cost.magnitude / base) * (1.0 + solution.gap.abs());
    assert!(((objective - bound) / base - solution.gap).abs() <= error + 1e-9);
    check_prices(problem, solution);
    let dual = dual(problem, solution);
    assert!(
        bound <= dual.value + dual.slack(),
        "the bound {bound} is above D = {}",
        dual.value
    );
    if let Some(least) = least(problem) {
        let slack = least.slack();
        assert!(
            bound <= least.value + slack,
            "the bound {bound} is above the cheapest plan {}",
            least.value
        );
        assert!(least.value <= cost.value + slack + cost.slack());
    }
}

fn check_rows(problem: &Problem, solution: &Solution, replicas: &[i64]) {
    let short = solution.short.concat();
    let mut covered = vec![Sum::default(); short.len()];
    let mut used = vec![Sum::default(); problem.capacity.values().len()];
    let mut limited = vec![Sum::default(); problem.bounds.len()];
    for (arc, &count) in replicas.iter().enumerate() {
        assert!(
            (0..=problem.max_of(arc)).contains(&count),
            "arc {arc} has {count} replicas"
        );
        let first = problem.covers.range(problem.demand_of(arc)).start;
        for (cover, yielded) in problem.yields(arc).enumerate() {
            covered[first + cover].add(yielded * float(count));
        }
        let first = problem.capacity.range(problem.supply_of(arc)).start;
        for taken in problem.uses(arc) {
            used[first + taken.resource].add(taken.amount * float(count));
        }
        for term in problem.terms(arc) {
            limited[term.limit].add(term.coefficient * float(count));
        }
    }
    for (at, cover) in problem.covers.values().iter().enumerate() {
        covered[at].add(short[at]);
        let wanted = cover.quantity * (1.0 - COVER_TOLERANCE);
        assert!(
            short[at] >= 0.0 && covered[at].value + covered[at].slack() >= wanted,
            "a shortfall of {} leaves {} of {wanted}",
            short[at],
            covered[at].value
        );
    }
    for (supply, &units) in solution.units.iter().enumerate() {
        let total = problem.total_units(supply);
        assert!(
            (0..=total).contains(&units),
            "supply {supply} has {total} units, not {units}"
        );
        for at in problem.capacity.range(supply) {
            fits(used[at], problem.capacity.values()[at] * float(units));
        }
    }
    for (taken, &bound) in limited.iter().zip(&problem.bounds) {
        fits(*taken, bound);
    }
}

fn fits(taken: Sum, given: f64) {
    assert!(
        taken.value - taken.slack() <= given * (1.0 + ROW_TOLERANCE),
        "{} does not fit into {given}",
        taken.value
    );
}

fn objective(problem: &Problem, solution: &Solution, replicas: &[i64]) -> Sum {
    let mut cost = Sum::default();
    for (arc, &count) in replicas.iter().enumerate() {
        cost.add(problem.cost_of(arc) * float(count));
    }
    for (supply, &units) in solution.units.iter().enumerate() {
        add_units(problem, supply, units, &mut cost);
    }
    for (cover, short) in problem
        .covers
        .values()
        .iter()
        .zip(solution.short.iter().flatten())
    {
        cost.add(cover.short_cost * short);
    }
    cost
}

/// Add what the cheapest units of a supply cost.
pub fn add_units(problem: &Problem, supply: usize, units: i64, cost: &mut Sum) {
    let mut left = units;
    for step in problem.steps.row(supply) {
        let taken = left.min(step.count);
        cost.add(float(taken) * step.cost);
        left -= taken;
    }
}

fn shortfall(problem: &Problem, solution: &Solution) -> f64 {
    let covers = problem.covers.values().iter();
    let short = covers.zip(solution.short.iter().flatten());
    short.map(|(cover, short)| cover.short_cost * short).sum()
}

fn check_prices(problem: &Problem, solution: &Solution) {
    let covers = problem.covers.values().iter();
    for (cover, theta) in covers.zip(solution.prices.covers.iter().flatten()) {
        assert!((0.0..=cover.short_cost).contains(theta), "theta is {theta}");
    }
    let supplies = solution.prices.supplies.iter().flatten();
    for price in supplies.chain(&solution.prices.limits) {
        assert!(*price >= 0.0 && price.is_finite(), "a price is {price}");
    }
}

/// D at the published prices, exact parts in the place of linear ones.
fn dual(problem: &Problem, solution: &Solution) -> Sum {
    let theta = solution.prices.covers.concat();
    let pi = solution.prices.supplies.concat();
    let mut dual = Sum::default();
    for (price, bound) in solution.prices.limits.iter().zip(&problem.bounds) {
        dual.add(-price * bound);
    }
    for supply in 0..problem.supplies() {
        let range = problem.capacity.range(supply);
        let worth = range.map(|at| pi[at] * problem.capacity.values()[at]);
        let worth: f64 = worth.sum();
        for step in problem.steps.row(supply) {
            dual.value -= float(step.count) * (worth - step.cost).max(0.0);
            dual.magnitude += float(step.count) * (worth + step.cost.abs());
        }
    }
    for demand in 0..problem.demands() {
        let arcs: Vec<(usize, Sum)> = problem
            .arcs_of(demand)
            .map(|arc| (arc, reduced_cost(problem, solution, &pi, arc)))
            .collect();
        if let Some(part) = solution.exact.iter().find(|part| part.demand == demand) {
            if let Some(least) = least_of_demand(problem, demand, &arcs) {
                assert!(
                    part.value <= least.value + least.slack(),
                    "an exact part is above the least"
                );
            }
            dual.add(part.value);
            continue;
        }
        let covers = problem.covers.range(demand);
        for at in covers.clone() {
            dual.add(theta[at] * problem.covers.values()[at].quantity);
        }
        for (arc, reduced) in arcs {
            let yields = problem.yields(arc).zip(&theta[covers.clone()]);
            let worth: f64 = yields.map(|(yielded, price)| yielded * price).sum();
            let most = float(problem.max_of(arc));
            dual.value -= most * (worth - reduced.value).max(0.0);
            dual.magnitude += most * (worth + reduced.magnitude);
        }
    }
    dual
}

fn reduced_cost(problem: &Problem, solution: &Solution, pi: &[f64], arc: usize) -> Sum {
    let mut cost = Sum::default();
    cost.add(problem.cost_of(arc));
    let first = problem.capacity.range(problem.supply_of(arc)).start;
    for used in problem.uses(arc) {
        cost.add(pi[first + used.resource] * used.amount);
    }
    for term in problem.terms(arc) {
        cost.add(solution.prices.limits[term.limit] * term.coefficient);
    }
    cost
}

/// A count as a number.
#[allow(clippy::cast_precision_loss)] // counts are at most 10^9
#[must_use]
pub fn float(count: i64) -> f64 {
    count as f64
}
