//! Which of all its arcs a demand makes candidates.

use super::block::Block;
use super::choice::Scratch;
use super::shared::{Market, Shared};
use crate::curve::Curve;
use crate::dual::reduced_costs;
use crate::problem::{ArcNumbers, Number, Numbers, Problem, number};

/// How often the candidates of a cover could give its quantity if they had their supplies for themselves.
const REACH: f64 = 3.0;

/// How many of the cheapest arcs become candidates: for the first cover, and for each further one.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// For the first cover, which is the rate of the demand or a part of it.
    pub first: usize,
    /// For each other cover.
    pub further: usize,
}

impl Block {
    /// Make candidates of the arcs that are cheapest for each cover at the present prices.
    pub fn look_around(
        &mut self,
        Market {
            problem, curves, ..
        }: Market<'_>,
        whose: (usize, Wanted),
        shared: &Shared,
        scratch: &mut Scratch,
    ) {
        let prices = (&shared.prices[..], &shared.limit_prices[..]);
        let mut found = Vec::new();
        match &problem.numbers {
            Numbers::Single(numbers) => {
                reduced_costs(problem, numbers, prices, whose.0, &mut scratch.costs);
                cheapest(problem, numbers, whose, curves, scratch, &mut found);
            }
            Numbers::Double(numbers) => {
                reduced_costs(problem, numbers, prices, whose.0, &mut scratch.costs);
                cheapest(problem, numbers, whose, curves, scratch, &mut found);
            }
        }
        self.learn(problem, &found);
    }
}

/// Per cover, the arcs with the least cost for what they yield: so many as are wanted, and more until their supplies
/// together could give the quantity some times over.
fn cheapest<T: Number>(
    problem: &Problem,
    numbers: &ArcNumbers<T>,
    (demand, wanted): (usize, Wanted),
    curves: &[Curve],
    Scratch { costs, best, .. }: &mut Scratch,
    found: &mut Vec<usize>,
) {
    let first = problem.arcs_of(demand).start;
    for (row, cover) in problem.covers.row(demand).iter().enumerate() {
        let yields = &numbers.yields[problem.yields_of(demand, row)];
        let mut most = if row == 0 {
            wanted.first
        } else {
            wanted.further
        };
        loop {
            best.clear();
            let mut worst = f64::INFINITY;
            for ((at, &cost), &yielded) in costs.iter().enumerate().zip(yields) {
                let ratio = cost / yielded.into();
                if ratio < worst && problem.max[first + at] > 0 {
                    let place = best.partition_point(|entry| entry.0 <= ratio);
                    best.insert(place, (ratio, at));
                    best.truncate(most);
                    if best.len() == most {
                        worst = best[most - 1].0;
                    }
                }
            }
            let given = |at: usize| room(problem, curves, first + at) * yields[at].into();
            let reach: f64 = best.iter().map(|entry| given(entry.1)).sum();
            if best.len() < most || reach >= REACH * cover.quantity {
                break;
            }
            most *= 2;
        }
        found.extend(best.iter().map(|entry| first + entry.1));
    }
}

/// Most replicas of an arc if its supply were all its own.
fn room(problem: &Problem, curves: &[Curve], arc: usize) -> f64 {
    let supply = problem.supply_of(arc);
    let capacity = problem.capacity.row(supply);
    let max = number(problem.max_of(arc));
    let uses = problem.uses(arc);
    let rooms = uses.map(|used| curves[supply].total() * capacity[used.resource] / used.amount);
    rooms.fold(max, f64::min)
}
