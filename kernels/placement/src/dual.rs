//! The exact Lagrangian dual at prices of supplies and limits: every demand on its own, over all of its arcs.
//!
//! What demands would use is summed batch by batch in a fixed order, so that the result does not depend on the number
//! of threads.

use crate::bound::RowPrices;
use crate::problem::{ArcNumbers, Number, Numbers, Problem, number};
use crate::simplex::{Basis, Simplex};
use rayon::prelude::*;
use std::ops::Range;

/// Arcs of a demand that are reported as near, at most.
const NEAR: usize = 2;

/// The dual of one problem; remembers where each demand's simplex stopped.
pub struct Dual<'p> {
    problem: &'p Problem,
    batches: Vec<Batch>,
}

struct Batch {
    demands: Range<usize>,
    bases: Vec<Basis>,
}

/// The dual at some prices.
#[derive(Debug, Clone)]
pub struct Evaluation {
    /// The prices, theta included.
    pub prices: RowPrices,
    /// D there, not rounded downwards.
    pub value: f64,
    /// What all demands together would use, per position of `Problem::capacity`.
    pub used: Vec<f64>,
    /// The same per limit.
    pub limited: Vec<f64>,
    /// (arc, replicas) above 0, demand by demand.
    pub flow: Vec<(usize, f64)>,
    /// Arcs that are nearly as good as those with flow, a few for each demand.
    pub near: Vec<usize>,
}

/// One batch's part of an evaluation.
struct Part {
    value: f64,
    theta: Vec<f64>,
    used: Vec<f64>,
    limited: Vec<f64>,
    flow: Vec<(usize, f64)>,
    near: Vec<usize>,
}

impl<'p> Dual<'p> {
    /// Nothing known yet.
    pub fn new(problem: &'p Problem) -> Self {
        let batches = problem.batches().into_iter();
        let batches = batches.map(|demands| Batch {
            bases: vec![Basis::default(); demands.len()],
            demands,
        });
        Self {
            problem,
            batches: batches.collect(),
        }
    }

    /// The dual at the given pi and mu; theta follows.
    pub fn evaluate(&mut self, mut prices: RowPrices) -> Evaluation {
        prices.project(self.problem);
        let problem = self.problem;
        let parts: Vec<Part> = match &problem.numbers {
            Numbers::Single(numbers) => {
                let batches = self.batches.par_iter_mut();
                batches
                    .map(|batch| batch.price(problem, numbers, &prices))
                    .collect()
            }
            Numbers::Double(numbers) => {
                let batches = self.batches.par_iter_mut();
                batches
                    .map(|batch| batch.price(problem, numbers, &prices))
                    .collect()
            }
        };
        let mut whole = Evaluation {
            value: -supply_value(problem, &prices),
            used: vec![0.0; problem.capacity.values().len()],
            limited: vec![0.0; problem.bounds.len()],
            flow: Vec::new(),
            near: Vec::new(),
            prices,
        };
        let mut covers = 0;
        for part in parts {
            whole.value += part.value;
            add(&mut whole.used, &part.used);
            add(&mut whole.limited, &part.limited);
            whole.flow.extend(part.flow);
            whole.near.extend(part.near);
            whole.prices.covers[covers..covers + part.theta.len()].copy_from_slice(&part.theta);
            covers += part.theta.len();
        }
        whole
    }
}

fn add(sum: &mut [f64], part: &[f64]) {
    for (sum, part) in sum.iter_mut().zip(part) {
        *sum += part;
    }
}

/// What D subtracts for supplies and limits.
fn supply_value(problem: &Problem, prices: &RowPrices) -> f64 {
    let limits = prices.limits.iter().zip(&problem.bounds);
    let mut value: f64 = limits.map(|(price, bound)| price * bound).sum();
    for supply in 0..problem.supplies() {
        let price = unit_price(problem, prices, supply);
        for step in problem.steps.row(supply) {
            value += number(step.count) * (price - step.cost).max(0.0);
        }
    }
    value
}

/// $/h that one unit of a supply is worth at the prices of its resources.
pub fn unit_price(problem: &Problem, prices: &RowPrices, supply: usize) -> f64 {
    let positions = problem.capacity.range(supply);
    let prices = &prices.supplies[positions.clone()];
    let capacity = &problem.capacity.values()[positions];
    prices
        .iter()
        .zip(capacity)
        .map(|(price, capacity)| price * capacity)
        .sum()
}

/// $/h of one replica of each of a demand's arcs at the prices of supplies and limits.
pub fn reduced_costs<T: Number>(
    problem: &Problem,
    numbers: &ArcNumbers<T>,
    (supply_prices, limit_prices): (&[f64], &[f64]),
    demand: usize,
    costs: &mut Vec<f64>,
) {
    costs.clear();
    for arc in problem.arcs_of(demand) {
        let mut cost: f64 = numbers.cost[arc].into();
        let first = problem.capacity.range(problem.supply[arc] as usize).start;
        for at in problem.use_starts[arc] as usize..problem.use_starts[arc + 1] as usize {
            let amount: f64 = numbers.amounts[at].into();
            cost += supply_prices[first + problem.resources[at] as usize] * amount;
        }
        costs.push(cost);
    }
    if problem.term_starts.is_empty() {
        return;
    }
    for (arc, cost) in problem.arcs_of(demand).zip(costs) {
        for at in problem.term_starts[arc] as usize..problem.term_starts[arc + 1] as usize {
            let coefficient: f64 = numbers.coefficients[at].into();
            *cost += limit_prices[problem.limits[at] as usize] * coefficient;
        }
    }
}

/// Prices at which nobody uses a row that gives nothing at any price, which costs the bound nothing; 0 for the others.
pub fn out_of_reach(problem: &Problem) -> RowPrices {
    let mut prices = RowPrices::zero(problem);
    let capacity = problem.capacity.values();
    let is_dead = |supply: usize| {
        problem.total_units(supply) == 0 || problem.capacity.row(supply).contains(&0.0)
    };
    let dead: Vec<bool> = (0..problem.supplies()).map(is_dead).collect();
    if !dead.contains(&true) && !problem.bounds.contains(&0.0) {
        return prices;
    }
    for arc in 0..problem.arcs() {
        let supply = problem.supply_of(arc);
        let covers = problem.covers.row(problem.demand_of(arc)).iter();
        let worth: f64 = covers
            .zip(problem.yields(arc))
            .map(|(cover, yielded)| cover.short_cost * yielded)
            .sum();
        let most = worth - problem.cost_of(arc).min(0.0);
        let first = problem.capacity.range(supply).start;
        for used in problem.uses(arc).filter(|_| dead[supply]) {
            let position = first + used.resource;
            if capacity[position] <= 0.0 || problem.total_units(supply) == 0 {
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
    prices
}

impl Batch {
    fn price<T: Number>(
        &mut self,
        problem: &Problem,
        numbers: &ArcNumbers<T>,
        prices: &RowPrices,
    ) -> Part {
        let mut part = Part {
            value: 0.0,
            theta: Vec::new(),
            used: vec![0.0; problem.capacity.values().len()],
            limited: vec![0.0; problem.bounds.len()],
            flow: Vec::new(),
            near: Vec::new(),
        };
        let mut simplex = Simplex::default();
        for (demand, basis) in self.demands.clone().zip(&mut self.bases) {
            simplex.clear(problem.covers.row(demand));
            reduced_costs(
                problem,
                numbers,
                (&prices.supplies, &prices.limits),
                demand,
                &mut simplex.costs,
            );
            let arcs = problem.arcs_of(demand);
            simplex
                .max
                .extend(problem.max[arcs.clone()].iter().map(|&max| f64::from(max)));
            let yields = problem.yield_starts[demand]..problem.yield_starts[demand + 1];
            simplex
                .yields
                .extend(numbers.yields[yields].iter().map(|&yielded| yielded.into()));
            simplex.solve(Some(basis));
            basis.clone_from(simplex.basis());
            part.theta.extend(simplex.prices());
            part.value += simplex.dual_value();
            part.near
                .extend(simplex.near(NEAR).into_iter().map(|at| arcs.start + at));
            for (at, replicas) in simplex.flow() {
                let arc = arcs.start + at;
                part.flow.push((arc, replicas));
                let first = problem.capacity.range(problem.supply_of(arc)).start;
                for used in problem.uses(arc) {
                    part.used[first + used.resource] += used.amount * replicas;
                }
                for term in problem.terms(arc) {
                    part.limited[term.limit] += term.coefficient * replicas;
                }
            }
        }
        part
    }
}
