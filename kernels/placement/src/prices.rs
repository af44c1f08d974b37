//! Prices for units and limits under which the bound is high: projected subgradient ascent with Polyak's step.
//!
//! At given pi and mu every demand is on its own; its cover prices and the replicas it would use follow exactly.
//! The subgradient is what all demands together would use minus what supplies and limits would give (B. T. Polyak,
//! *Minimization of unsmooth functionals*, 1969). Every point on the way has a valid bound; the best is kept.

use crate::bound::{RowPrices, bound, linear_part, reduced_cost};
use crate::budget::Budget;
use crate::integer_part::integer_part;
use crate::linear_part::LinearPart;
use crate::problem::{Problem, number};
use crate::solution::ExactPart;

/// Weight of the past in the direction; damps the zigzag of plain subgradients.
const DEFLECTION: f64 = 0.7;
/// Steps without a better bound after which the step is shortened.
const PATIENCE: usize = 8;
/// Weight of the newest point in the average of the flows, which tends to a primal solution.
const AVERAGING: f64 = 0.1;

/// How the demands' parts are valued.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Parts {
    /// By their linear programme.
    Linear,
    /// By their integer minimum where that is found quickly, else linearly.
    Integer,
}

/// A point of the dual.
#[derive(Clone)]
pub struct Point {
    /// The prices, theta included.
    pub prices: RowPrices,
    /// The bound there.
    pub bound: f64,
    /// Parts that are integer minima.
    pub exact: Vec<ExactPart>,
    /// Replicas per arc that the demands would use.
    pub flow: Vec<f64>,
}

/// Value the prices of supplies and limits; the covers' prices follow.
pub fn evaluate(
    problem: &Problem,
    mut prices: RowPrices,
    parts: Parts,
    budget: &mut Budget<'_>,
) -> Point {
    prices.project(problem);
    let mut flow = vec![0.0; problem.arcs()];
    let mut exact = Vec::new();
    for demand in 0..problem.covers.count() {
        price_covers(problem, &mut prices, demand, &mut flow);
        budget.spend(problem.arcs_of(demand).len());
        if parts == Parts::Integer {
            let (part, nodes) = integer_part(problem, &prices, demand);
            budget.spend(nodes);
            if let Some(part) =
                part.filter(|part| part.value > linear_part(problem, &prices, demand))
            {
                for arc in problem.arcs_of(demand) {
                    flow[arc] = 0.0;
                }
                for &(arc, count) in &part.replicas {
                    flow[arc] = number(count);
                }
                exact.push(part);
            }
        }
    }
    Point {
        bound: bound(problem, &prices, &exact),
        prices,
        exact,
        flow,
    }
}

fn price_covers(problem: &Problem, prices: &mut RowPrices, demand: usize, flow: &mut [f64]) {
    let arcs = problem.arcs_of(demand);
    let part = LinearPart {
        covers: problem.covers.row(demand),
        yields: arcs
            .clone()
            .map(|arc| problem.yields(arc).collect())
            .collect(),
        costs: arcs
            .clone()
            .map(|arc| reduced_cost(problem, prices, arc).estimate().high())
            .collect(),
        max: arcs.clone().map(|arc| problem.max_of(arc)).collect(),
    };
    let solved = part.solve();
    prices.covers[problem.covers.range(demand)].copy_from_slice(&solved.prices);
    for (arc, &replicas) in arcs.zip(&solved.replicas) {
        flow[arc] = replicas;
    }
}

/// Climb from a point; `target` is the cost of the best plan known, which no bound can exceed.
///
/// Returns the best point, with the average of all flows on the way.
pub fn climb(
    problem: &Problem,
    start: Point,
    target: f64,
    rounds: usize,
    parts: Parts,
    budget: &mut Budget<'_>,
) -> Point {
    let scales = Scales::of(problem);
    let mut best = start;
    let mut here = best.clone();
    let mut average = best.flow.clone();
    let mut direction = vec![0.0; scales.values.len()];
    let (mut pace, mut waited) = (1.0, 0);
    for _ in 0..rounds {
        let room = target - best.bound;
        if room <= 1e-9 * target.abs() || pace < 1e-4 || !budget.is_open() {
            break;
        }
        let slope = scales.slope(problem, &here);
        for (direction, slope) in direction.iter_mut().zip(&slope) {
            *direction = DEFLECTION * *direction + (1.0 - DEFLECTION) * slope;
        }
        let steepness: f64 = direction
            .iter()
            .zip(&scales.values)
            .map(|(slope, scale)| slope * slope * scale)
            .sum();
        if steepness <= 0.0 {
            break;
        }
        let length = pace * (target - here.bound).max(room) * 0.5 / steepness;
        here = evaluate(
            problem,
            scales.moved(problem, &here.prices, &direction, length),
            parts,
            budget,
        );
        for (average, flow) in average.iter_mut().zip(&here.flow) {
            *average += AVERAGING * (flow - *average);
        }
        waited += 1;
        if here.bound > best.bound {
            waited = 0;
            best = here.clone();
        } else if waited >= PATIENCE {
            (pace, waited) = (pace * 0.6, 0);
            here = best.clone();
            direction.fill(0.0);
        }
    }
    best.flow = average;
    best
}

/// Unlike rows made alike: a supply's price counts in $/h for a whole unit, a limit's in $/h for its whole bound.
struct Scales {
    /// Size of a sensible step squared, per resource position and then per limit.
    values: Vec<f64>,
}

impl Scales {
    fn of(problem: &Problem) -> Self {
        let mean = |costs: &mut dyn Iterator<Item = f64>| {
            let (sum, count) = costs.fold((0.0, 0.0), |(sum, count), cost| {
                (sum + cost.abs(), count + 1.0)
            });
            if sum > 0.0 { sum / count } else { 1.0 }
        };
        let usual_arc = mean(&mut (0..problem.arcs()).map(|arc| problem.cost_of(arc)));
        let mut values = Vec::new();
        for supply in 0..problem.steps.count() {
            let steps = problem.steps.row(supply);
            let dearest = steps
                .iter()
                .map(|step| step.cost.abs())
                .fold(usual_arc, f64::max);
            let scale = dearest / number(problem.total_units(supply).max(1));
            values.extend(problem.capacity.row(supply).iter().map(|_| scale));
        }
        let usual_step = mean(&mut problem.steps.values().iter().map(|step| step.cost));
        values.extend(
            problem
                .bounds
                .iter()
                .map(|_| (usual_arc + usual_step).max(1e-9)),
        );
        Self { values }
    }

    /// Use minus what is given, in units of the supply and in shares of the limit.
    fn slope(&self, problem: &Problem, point: &Point) -> Vec<f64> {
        let resources = problem.capacity.values().len();
        let mut slope = vec![0.0; self.values.len()];
        for (arc, &flow) in point.flow.iter().enumerate().filter(|entry| *entry.1 > 0.0) {
            let first = problem.capacity.range(problem.supply_of(arc)).start;
            for used in problem.uses(arc) {
                slope[first + used.resource] +=
                    flow * used.amount / size(problem.capacity.values()[first + used.resource]);
            }
            for term in problem.terms(arc) {
                slope[resources + term.limit] +=
                    flow * term.coefficient / size(problem.bounds[term.limit]);
            }
        }
        for supply in 0..problem.steps.count() {
            let positions = problem.capacity.range(supply);
            let price: f64 = positions
                .clone()
                .map(|at| point.prices.supplies[at] * problem.capacity.values()[at])
                .sum();
            let steps = problem.steps.row(supply).iter();
            let given: i64 = steps
                .filter(|step| step.cost < price)
                .map(|step| step.count)
                .sum();
            for position in positions {
                slope[position] -=
                    number(given) * f64::from(problem.capacity.values()[position] > 0.0);
                cut_at_zero(&mut slope[position], point.prices.supplies[position]);
            }
        }
        for (limit, &bound) in problem.bounds.iter().enumerate() {
            slope[resources + limit] -= f64::from(bound > 0.0);
            cut_at_zero(&mut slope[resources + limit], point.prices.limits[limit]);
        }
        slope
    }

    fn moved(
        &self,
        problem: &Problem,
        prices: &RowPrices,
        direction: &[f64],
        length: f64,
    ) -> RowPrices {
        let mut moved = prices.clone();
        let resources = problem.capacity.values().len();
        for (position, price) in moved.supplies.iter_mut().enumerate() {
            *price += length * self.values[position] * direction[position]
                / size(problem.capacity.values()[position]);
        }
        for (limit, price) in moved.limits.iter_mut().enumerate() {
            *price += length * self.values[resources + limit] * direction[resources + limit]
                / size(problem.bounds[limit]);
        }
        moved
    }
}

/// A price at 0 cannot fall.
fn cut_at_zero(slope: &mut f64, price: f64) {
    if price <= 0.0 {
        *slope = slope.max(0.0);
    }
}

fn size(right_hand_side: f64) -> f64 {
    if right_hand_side > 0.0 {
        right_hand_side
    } else {
        1.0
    }
}

/// First prices: what the last unit in use costs, or the first one where none is; rows that give nothing at any
/// price are priced out of reach, which costs the bound nothing.
pub fn starting_prices(problem: &Problem, units: &[i64]) -> RowPrices {
    let mut prices = RowPrices::zero(problem);
    for (supply, &units) in units.iter().enumerate() {
        let resources = problem.capacity.row(supply);
        let mut left = units.max(1);
        let step = problem.steps.row(supply).iter().find(|step| {
            left -= step.count;
            left <= 0
        });
        let shares = use_shares(problem, supply);
        for (resource, position) in problem.capacity.range(supply).enumerate() {
            if resources[resource] > 0.0 && problem.total_units(supply) > 0 {
                prices.supplies[position] = step.map_or(0.0, |step| step.cost.max(0.0))
                    * shares[resource]
                    / resources[resource];
            }
        }
    }
    price_out_of_reach(problem, &mut prices);
    prices
}

/// How strongly the arcs of a supply press on each resource; sums to 1.
fn use_shares(problem: &Problem, supply: usize) -> Vec<f64> {
    let capacity = problem.capacity.row(supply);
    let mut shares = vec![0.0; capacity.len()];
    for arc in (0..problem.arcs()).filter(|&arc| problem.supply_of(arc) == supply) {
        for used in problem
            .uses(arc)
            .filter(|used| capacity[used.resource] > 0.0)
        {
            shares[used.resource] += used.amount / capacity[used.resource];
        }
    }
    let sum: f64 = shares.iter().sum();
    if sum > 0.0 {
        shares.iter().map(|share| share / sum).collect()
    } else {
        vec![0.0; capacity.len()]
    }
}

fn price_out_of_reach(problem: &Problem, prices: &mut RowPrices) {
    for arc in 0..problem.arcs() {
        let entry = problem.arc(arc);
        let covers = problem.covers.row(entry.demand).iter();
        let worth: f64 = covers
            .zip(problem.yields(arc))
            .map(|(cover, yielded)| cover.short_cost * yielded)
            .sum();
        let most = worth - entry.cost.min(0.0);
        let first = problem.capacity.range(entry.supply).start;
        for used in problem.uses(arc) {
            let position = first + used.resource;
            if problem.capacity.values()[position] <= 0.0 || problem.total_units(entry.supply) == 0
            {
                prices.supplies[position] =
                    prices.supplies[position].max(1.01 * most / used.amount);
            }
        }
        for term in problem
            .terms(arc)
            .filter(|term| problem.bounds[term.limit] <= 0.0)
        {
            prices.limits[term.limit] =
                prices.limits[term.limit].max(1.01 * most / term.coefficient);
        }
    }
}
