//! The certificate: a lower bound on every plan's cost, for any prices, rounded downwards.
//!
//! For 0 <= theta <= `short_cost`, pi >= 0 and mu >= 0
//!
//! ```text
//! D = sum theta_i*quantity_i - sum_l mu_l*bound_l
//!   - sum_a max_a * (sum_i theta_i*yield_ia - cost_a - sum_r pi_kr*use_ra - sum_l mu_l*coefficient_la)^+
//!   - sum_k sum_steps count * (sum_r pi_kr*capacity_kr - step_cost)^+
//! ```
//!
//! is the Lagrangian dual of the problem (`docs/placement.md`). Two things make the computed number smaller than D:
//! every right-hand side is first loosened by its tolerance, so that plans which use it cannot undercut the bound, and each rounding error is bounded and subtracted (Higham, *Accuracy and Stability of Numerical
//! Algorithms*, section 3.1: a sum of n products is off by at most n*u/(1-n*u) of the sum of magnitudes).

use crate::error::InvalidProblem;
use crate::problem::{Problem, Rows, number};
use crate::solution::{ExactPart, Prices};
use rayon::prelude::*;

use crate::{COVER_TOLERANCE, ROW_TOLERANCE};

/// The tolerances with a hundredth on top, which pays for the roundings of the factors themselves.
const LOOSENED: f64 = 1.01 * ROW_TOLERANCE;
const COVER_LOOSENED: f64 = 1.01 * COVER_TOLERANCE;

/// Prices below this are nothing, so that products with them cannot underflow.
const SMALLEST_PRICE: f64 = 1e-60;

/// Prices laid out like the rows they belong to.
#[derive(Debug, Clone, PartialEq)]
pub struct RowPrices {
    /// theta, one for each position of `Problem::covers`.
    pub covers: Vec<f64>,
    /// pi, one for each position of `Problem::capacity`.
    pub supplies: Vec<f64>,
    /// mu, one for each limit.
    pub limits: Vec<f64>,
}

impl RowPrices {
    /// All zero: valid, and worth nothing.
    #[must_use]
    pub fn zero(problem: &Problem) -> Self {
        Self {
            covers: vec![0.0; problem.covers.values().len()],
            supplies: vec![0.0; problem.capacity.values().len()],
            limits: vec![0.0; problem.bounds.len()],
        }
    }

    /// Lay out published prices and project them into their valid ranges.
    ///
    /// # Errors
    /// [`InvalidProblem`] when their shape is not the problem's.
    pub fn from_published(problem: &Problem, prices: &Prices) -> Result<Self, InvalidProblem> {
        let fits = |given: &Vec<Vec<f64>>, lengths: &mut dyn Iterator<Item = usize>| {
            given.iter().map(Vec::len).eq(lengths)
        };
        let mut covers = (0..problem.covers.count()).map(|row| problem.covers.row(row).len());
        let mut supplies = (0..problem.capacity.count()).map(|row| problem.capacity.row(row).len());
        if !fits(&prices.covers, &mut covers)
            || !fits(&prices.supplies, &mut supplies)
            || prices.limits.len() != problem.bounds.len()
        {
            return Err(InvalidProblem::new(
                "the prices do not fit the problem; use prices of a solution of this very problem",
            ));
        }
        let mut rows = Self {
            covers: prices.covers.concat(),
            supplies: prices.supplies.concat(),
            limits: prices.limits.clone(),
        };
        rows.project(problem);
        Ok(rows)
    }

    /// Cut into the shape of the solution file.
    #[must_use]
    pub fn publish(&self, problem: &Problem) -> Prices {
        Prices {
            covers: Rows::shape_of(&problem.covers, &self.covers),
            supplies: Rows::shape_of(&problem.capacity, &self.supplies),
            limits: self.limits.clone(),
        }
    }

    /// Move every price to the nearest valid one; NaN becomes 0.
    pub fn project(&mut self, problem: &Problem) {
        for (theta, cover) in self.covers.iter_mut().zip(problem.covers.values()) {
            *theta = valid(*theta, cover.short_cost);
        }
        for price in self.supplies.iter_mut().chain(&mut self.limits) {
            *price = valid(*price, 1e15);
        }
    }
}

fn valid(price: f64, most: f64) -> f64 {
    let price = price.min(most);
    if price >= SMALLEST_PRICE { price } else { 0.0 }
}

/// A computed number and how far the true one can be from it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Estimate {
    value: f64,
    error: f64,
}

impl Estimate {
    pub fn low(self) -> f64 {
        self.value - self.error
    }

    pub fn high(self) -> f64 {
        self.value + self.error
    }
}

/// A sum of products, and of their magnitudes for its error.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sum {
    value: f64,
    magnitude: f64,
    terms: u32,
}

impl Sum {
    pub fn add(&mut self, term: f64) {
        self.value += term;
        self.magnitude += term.abs();
        self.terms += 1;
    }

    /// `f64::EPSILON` is twice the unit roundoff, which also pays for rounding the magnitude, the error and the
    /// final addition; 3 stands for the product inside each term.
    pub fn estimate(self) -> Estimate {
        Estimate {
            value: self.value,
            error: (f64::from(self.terms) + 3.0) * f64::EPSILON * self.magnitude,
        }
    }
}

/// $/h of one replica of an arc when units and limits are paid at their prices.
pub(crate) fn reduced_cost(problem: &Problem, prices: &RowPrices, arc: usize) -> Sum {
    let mut sum = Sum::default();
    sum.add(problem.cost_of(arc));
    let resources = problem.capacity.range(problem.supply_of(arc)).start;
    for used in problem.uses(arc) {
        sum.add(prices.supplies[resources + used.resource] * used.amount);
    }
    for term in problem.terms(arc) {
        sum.add(prices.limits[term.limit] * term.coefficient);
    }
    sum
}

/// The demand's part of D, rounded downwards.
pub(crate) fn linear_part(problem: &Problem, prices: &RowPrices, demand: usize) -> f64 {
    let covers = problem.covers.range(demand);
    let theta = &prices.covers[covers.clone()];
    let mut part = Sum::default();
    for (price, cover) in theta.iter().zip(&problem.covers.values()[covers]) {
        part.add(price * loosened_quantity(cover.quantity));
    }
    for arc in problem.arcs_of(demand) {
        let mut gain = reduced_cost(problem, prices, arc);
        for (price, yielded) in theta.iter().zip(problem.yields(arc)) {
            gain.add(-(price * yielded));
        }
        part.add(number(problem.max_of(arc)) * gain.estimate().low().min(0.0));
    }
    part.estimate().low()
}

/// What D subtracts for supplies and limits, rounded upwards.
pub(crate) fn supply_part(problem: &Problem, prices: &RowPrices) -> f64 {
    let mut part = Sum::default();
    for (price, bound) in prices.limits.iter().zip(&problem.bounds) {
        part.add(price * bound * (1.0 + LOOSENED));
    }
    for supply in 0..problem.steps.count() {
        for step in problem.steps.row(supply) {
            let mut gain = Sum::default();
            for resource in problem.capacity.range(supply) {
                gain.add(
                    prices.supplies[resource]
                        * problem.capacity.values()[resource]
                        * (1.0 + LOOSENED),
                );
            }
            gain.add(-step.cost);
            part.add(number(step.count) * gain.estimate().high().max(0.0));
        }
    }
    part.estimate().high()
}

/// The quantity that a plan must at least reach to have no shortfall, rounded downwards.
pub(crate) fn loosened_quantity(quantity: f64) -> f64 {
    quantity * (1.0 - COVER_LOOSENED)
}

/// A lower bound on the cost of every plan; `exact` replaces the parts of its demands.
///
/// The prices are projected into their valid ranges by whoever made them; the values in `exact` are trusted.
#[must_use]
pub fn bound(problem: &Problem, prices: &RowPrices, exact: &[ExactPart]) -> f64 {
    let mut replaced = vec![None; problem.covers.count()];
    for part in exact {
        replaced[part.demand] = Some(part.value);
    }
    let batches = problem.batches().into_par_iter();
    let parts = batches.flat_map_iter(|demands| {
        let replaced = &replaced;
        demands.map(move |demand| {
            replaced[demand].unwrap_or_else(|| linear_part(problem, prices, demand))
        })
    });
    let parts: Vec<f64> = parts.collect();
    let mut total = Sum::default();
    for part in parts {
        total.add(part);
    }
    total.add(-supply_part(problem, prices));
    total.estimate().low()
}
