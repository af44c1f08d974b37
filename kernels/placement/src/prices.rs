//! Prices for units and limits under which the bound is high: projected subgradient ascent with Polyak's step.
//!
//! At given pi and mu every demand is on its own; its cover prices and the replicas it would use follow exactly.
//! The subgradient is what all demands together would use minus what supplies and limits would give (B. T. Polyak,
//! *Minimization of unsmooth functionals*, 1969). Every point on the way has a valid bound; the best is kept.

use crate::bound::{RowPrices, bound, linear_part, reduced_cost};
use crate::budget::Budget;
use crate::integer_part::integer_part;
use crate::problem::{Problem, number};
use crate::simplex::Simplex;
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
    let mut simplex = Simplex::default();
    simplex.clear(problem.covers.row(demand));
    let costs = arcs
        .clone()
        .map(|arc| reduced_cost(problem, prices, arc).estimate().high());
    simplex.costs.extend(costs);
    simplex
        .max
        .extend(arcs.clone().map(|arc| number(problem.max_of(arc))));
    for row in 0..problem.covers.range(demand).len() {
        simplex
            .yields
            .extend(arcs.clone().map(|arc| problem.yield_of(arc, row)));
    }
    simplex.solve(None);
    for (theta, price) in prices.covers[problem.covers.range(demand)]
        .iter_mut()
        .zip(simplex.prices())
    {
        *theta = price;
    }
    for (at, replicas) in simplex.flow() {
        flow[arcs.start + at] = replicas;
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
