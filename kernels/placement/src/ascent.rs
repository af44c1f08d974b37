//! From good prices to better ones: projected subgradient ascent of the dual with Polyak's step
//! (B. T. Polyak, *Minimization of unsmooth functionals*, 1969), deflected by the past.
//!
//! The subgradient is what all demands together would use minus what supplies and limits would give at the prices.
//! Every point on the way has a valid bound; the best is kept.

use crate::bound::RowPrices;
use crate::budget::Budget;
use crate::dual::{Evaluation, unit_price};
use crate::problem::{Problem, number};

/// Weight of the past in the direction; damps the zigzag of plain subgradients.
const DEFLECTION: f64 = 0.7;
/// Share of Polyak's step that is taken.
const PACE: f64 = 0.7;
/// Points without a better bound after which the aim comes nearer, and by how much.
const PATIENCE: usize = 5;
const NEARER: f64 = 0.6;
/// The ascent ends when its aim is at most this share above the bound.
const NOTHING: f64 = 1e-6;

/// Climb from a point in at most so many rounds; the first aim is `gain` above it.
pub fn climb(
    problem: &Problem,
    start: Evaluation,
    gain: f64,
    rounds: usize,
    budget: &mut Budget<'_>,
    evaluate: &mut dyn FnMut(RowPrices) -> Evaluation,
) -> Evaluation {
    let scales = Scales::of(problem, &start);
    let mut best = start;
    let mut direction = vec![0.0; scales.values.len()];
    let (mut gain, mut waited) = (gain, 0);
    let mut here: Option<Evaluation> = None;
    for _ in 0..rounds {
        let point = here.as_ref().unwrap_or(&best);
        if gain <= NOTHING * best.value.abs()
            || !budget.spend(problem.arcs())
            || budget.is_interrupted()
        {
            break;
        }
        let slope = scales.slope(problem, point);
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
        let length = PACE * (best.value + gain - point.value) / steepness;
        let next = evaluate(scales.moved(problem, &point.prices, &direction, length));
        waited += 1;
        if next.value > best.value {
            waited = 0;
            best = next;
            here = None;
        } else if waited >= PATIENCE {
            (gain, waited, here) = (gain * NEARER, 0, None);
            direction.fill(0.0);
        } else {
            here = Some(next);
        }
    }
    best
}

/// Unlike rows made alike: a supply's price counts in $/h for a whole unit, a limit's in $/h for its whole bound.
struct Scales {
    /// Size of a sensible step squared, per position of `Problem::capacity` and then per limit.
    values: Vec<f64>,
}

impl Scales {
    fn of(problem: &Problem, start: &Evaluation) -> Self {
        let steps = problem.steps.values();
        let usual = steps.iter().map(|step| step.cost.abs()).sum::<f64>() / number_of(steps.len());
        let mut values = Vec::new();
        for supply in 0..problem.supplies() {
            let last = problem
                .steps
                .row(supply)
                .last()
                .map_or(0.0, |step| step.cost.abs());
            let price = unit_price(problem, &start.prices, supply);
            let scale = last.max(price).max(0.01 * usual).max(1e-9);
            let units = number(problem.total_units(supply).max(1));
            values.extend(problem.capacity.row(supply).iter().map(|_| scale / units));
        }
        for (limit, &bound) in problem.bounds.iter().enumerate() {
            values.push(
                (start.prices.limits[limit] * bound)
                    .max(0.01 * usual)
                    .max(1e-9),
            );
        }
        Self { values }
    }

    /// Use minus what is given, in units of the supply and in shares of the limit.
    fn slope(&self, problem: &Problem, point: &Evaluation) -> Vec<f64> {
        let mut slope = Vec::with_capacity(self.values.len());
        for supply in 0..problem.supplies() {
            let price = unit_price(problem, &point.prices, supply);
            let steps = problem.steps.row(supply).iter();
            let given: i64 = steps
                .filter(|step| step.cost < price)
                .map(|step| step.count)
                .sum();
            for position in problem.capacity.range(supply) {
                let capacity = problem.capacity.values()[position];
                let given = if capacity > 0.0 { number(given) } else { 0.0 };
                let used = point.used[position] / size(capacity);
                slope.push(cut_at_zero(used - given, point.prices.supplies[position]));
            }
        }
        for (limit, &bound) in problem.bounds.iter().enumerate() {
            let given = f64::from(bound > 0.0);
            let used = point.limited[limit] / size(bound);
            slope.push(cut_at_zero(used - given, point.prices.limits[limit]));
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
        let sizes = problem.capacity.values().iter().chain(&problem.bounds);
        let prices = moved.supplies.iter_mut().chain(&mut moved.limits);
        for ((price, &size_of), (scale, slope)) in
            prices.zip(sizes).zip(self.values.iter().zip(direction))
        {
            *price += length * scale * slope / size(size_of);
        }
        moved
    }
}

#[allow(clippy::cast_precision_loss)] // an estimate
fn number_of(count: usize) -> f64 {
    count.max(1) as f64
}

/// A price at 0 cannot fall.
fn cut_at_zero(slope: f64, price: f64) -> f64 {
    if price <= 0.0 { slope.max(0.0) } else { slope }
}

fn size(right_hand_side: f64) -> f64 {
    if right_hand_side > 0.0 {
        right_hand_side
    } else {
        1.0
    }
}
