//! What demands use together, and what it costs at the present loads.

use crate::curve::Curve;
use crate::problem::Problem;

/// How strongly a limit's price answers to its load, and the most that it does at once (powers of e).
const LIMIT_STEEPNESS: f64 = 4.0;
const MOST_LIMIT_OVER: f64 = 2.0;
/// $/h that nobody pays.
const UNREACHABLE: f64 = 1e15;

/// What every demand sees alike during a sweep.
#[derive(Debug, Clone, Copy)]
pub struct Market<'a> {
    /// Whose demands choose.
    pub problem: &'a Problem,
    /// The supplies' curves.
    pub curves: &'a [Curve],
    /// Per position of `Problem::capacity`: the weight of the resource in its supply's load; they sum to 1.
    pub weights: &'a [f64],
}

/// What demands use together, and what limits cost.
#[derive(Debug, Clone)]
pub struct Shared {
    /// Units used per position of `Problem::capacity`.
    pub used: Vec<f64>,
    /// Per limit.
    pub limited: Vec<f64>,
    /// pi at the present loads, per position of `Problem::capacity`; only kept up while candidates are looked for.
    pub prices: Vec<f64>,
    /// mu at the present loads.
    pub limit_prices: Vec<f64>,
    /// Multipliers: mu where a limit is just reached.
    pub multipliers: Vec<f64>,
    /// Changes since the lanes met: (position, or number of positions + limit; change).
    pub changes: Vec<(u32, f64)>,
    /// Whether to keep the changes.
    pub record: bool,
}

impl Shared {
    /// Nothing is used.
    pub fn new(problem: &Problem) -> Self {
        Self {
            used: vec![0.0; problem.capacity.values().len()],
            limited: vec![0.0; problem.bounds.len()],
            prices: vec![0.0; problem.capacity.values().len()],
            limit_prices: vec![0.0; problem.bounds.len()],
            multipliers: vec![0.0; problem.bounds.len()],
            changes: Vec::new(),
            record: false,
        }
    }

    /// Take over what others use.
    pub fn copy_loads(&mut self, other: &Self) {
        self.used.copy_from_slice(&other.used);
        self.limited.copy_from_slice(&other.limited);
        self.prices.copy_from_slice(&other.prices);
    }

    /// Make changes that were recorded elsewhere.
    pub fn apply(&mut self, changes: &[(u32, f64)]) {
        for &(position, change) in changes {
            self.add(position as usize, change);
        }
    }

    /// Price a supply's resources at its present load.
    pub fn reprice(&mut self, market: Market<'_>, supply: usize) {
        let Market {
            problem,
            curves,
            weights,
        } = market;
        let positions = problem.capacity.range(supply);
        let load: f64 = positions
            .clone()
            .map(|position| self.used[position] * weights[position])
            .sum();
        let price = curves[supply].price(load);
        for position in positions {
            let capacity = problem.capacity.values()[position];
            self.prices[position] = if capacity > 0.0 {
                price * weights[position] / capacity
            } else {
                UNREACHABLE
            };
        }
    }

    /// Price the limits at their present loads.
    pub fn reprice_limits(&mut self, problem: &Problem) {
        for (limit, price) in self.limit_prices.iter_mut().enumerate() {
            let over = limit_pressure(problem.bounds[limit], self.limited[limit]);
            *price = self.multipliers[limit] * over.clamp(-MOST_LIMIT_OVER, MOST_LIMIT_OVER).exp();
        }
    }

    fn add(&mut self, position: usize, change: f64) {
        let resources = self.used.len();
        let sum = if position < resources {
            &mut self.used[position]
        } else {
            &mut self.limited[position - resources]
        };
        *sum = (*sum + change).max(0.0);
    }

    #[allow(clippy::cast_possible_truncation)] // rows are far fewer than 2^32
    pub fn change(&mut self, position: usize, change: f64) {
        if change != 0.0 {
            self.add(position, change);
            if self.record {
                self.changes.push((position as u32, change));
            }
        }
    }
}

/// The power of e by which a limit's price is above its multiplier.
pub fn limit_pressure(bound: f64, load: f64) -> f64 {
    if bound > 0.0 {
        LIMIT_STEEPNESS * (load - bound) / bound
    } else {
        0.0
    }
}
