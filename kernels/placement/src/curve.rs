//! What the next unit of each supply costs, smoothed so that demands can share a supply in equilibrium.
//!
//! Between the starts of two steps the price rises in a straight line, so that a small demand sees a price that moves
//! with what others take. Every supply ends at a wall: beyond its last unit the price grows exponentially from its
//! last price plus a rent, and below it the rent falls likewise. Rents are multipliers of the capacities; after each sweep they follow the load
//! (the exponential method of multipliers: P. Tseng and D. P. Bertsekas, *On the convergence of the exponential
//! multiplier method for convex programming*, 1993), so they climb to any scarcity price in a few sweeps.

use crate::problem::{Problem, number};

/// Price at the end of the last step, relative to its cost.
const END_SLOPE: f64 = 0.003;
/// Growth of the price at the wall when a supply is twice as loaded as it can be: e to this power.
const STEEPNESS: f64 = 2.5;
/// The exponent at which the wall stops to grow.
const MOST_OVER: f64 = 30.0;
/// The most that the price at the wall rises in one sweep.
const MOST_RISE: f64 = 3.0;
/// Straight pieces of a whole curve, at least.
const PARTS: f64 = 8.0;
/// A rent starts and stays at least at this share of the usual price, so that it can grow.
const LEAST_RENT: f64 = 1e-3;

/// One supply's curve, in units of the supply and $/h.
#[derive(Debug, Clone)]
pub struct Curve {
    /// Loads from 0 to the total, rising.
    loads: Vec<f64>,
    /// Smoothed step cost at each of the loads.
    costs: Vec<f64>,
    /// Smoothed step cost and rent at each of the loads.
    prices: Vec<f64>,
    /// Multiplier of the capacity: its share of the price at the wall, $/h for a unit.
    rent: f64,
    least_rent: f64,
}

impl Curve {
    /// The curve of every supply.
    pub fn of_supplies(problem: &Problem) -> Vec<Self> {
        let steps = problem.steps.values();
        let count = number(i64::try_from(steps.len().max(1)).unwrap_or(i64::MAX));
        let usual = steps.iter().map(|step| step.cost.abs()).sum::<f64>() / count;
        let least_rent = (LEAST_RENT * usual).max(1e-9);
        (0..problem.supplies())
            .map(|supply| Self::new(problem, supply, least_rent))
            .collect()
    }

    fn new(problem: &Problem, supply: usize, least_rent: f64) -> Self {
        let (mut loads, mut costs) = (Vec::new(), Vec::new());
        let steps = problem
            .steps
            .row(supply)
            .iter()
            .filter(|step| step.count > 0);
        // Units that cost less than nothing are taken anyway: the next one is free.
        let last = steps
            .clone()
            .next_back()
            .map_or(0.0, |step| step.cost.max(0.0));
        let following = steps.clone().skip(1).map(|step| step.cost.max(0.0));
        let following = following.chain([last * (1.0 + END_SLOPE)]);
        let total = number(problem.total_units(supply));
        let mut start = 0.0;
        for (step, next) in steps.zip(following) {
            let (cost, width) = (step.cost.max(0.0), number(step.count));
            // The rent bends between the points: a wide step needs some.
            let parts = (PARTS * width / total).ceil().max(1.0);
            let mut part = 0.0;
            while part < parts {
                loads.push(start + width * part / parts);
                costs.push(cost + (next - cost) * part / parts);
                part += 1.0;
            }
            start += width;
        }
        loads.push(total);
        costs.push(last * (1.0 + END_SLOPE));
        let mut curve = Self {
            prices: costs.clone(),
            loads,
            costs,
            rent: least_rent,
            least_rent,
        };
        curve.set_rent(least_rent);
        curve
    }

    /// Units there are.
    pub fn total(&self) -> f64 {
        self.loads[self.loads.len() - 1]
    }

    /// The price at the wall.
    fn last(&self) -> f64 {
        self.prices[self.prices.len() - 1]
    }

    /// $/h of the next unit when so many are loaded.
    pub fn price(&self, load: f64) -> f64 {
        let total = self.total();
        if load >= total {
            let over = STEEPNESS * (load - total) / total.max(1.0);
            return self.last() * over.min(MOST_OVER).exp();
        }
        let next = self.loads.partition_point(|&known| known <= load);
        if next == 0 {
            return self.prices[0];
        }
        let width = self.loads[next] - self.loads[next - 1];
        let share = (load - self.loads[next - 1]) / width;
        self.prices[next - 1] + share * (self.prices[next] - self.prices[next - 1])
    }

    /// The load at which the next unit costs so much; 0 when the first one is dearer.
    pub fn load_at(&self, price: f64) -> f64 {
        let total = self.total();
        if price >= self.last() {
            let over = (price / self.last()).ln().min(MOST_OVER);
            return total + over * total.max(1.0) / STEEPNESS;
        }
        let next = self.prices.partition_point(|&known| known <= price);
        if next == 0 {
            return 0.0;
        }
        let rise = self.prices[next] - self.prices[next - 1];
        let share = (price - self.prices[next - 1]) / rise;
        self.loads[next - 1] + share * (self.loads[next] - self.loads[next - 1])
    }

    /// Let the rent follow the load of a sweep: it becomes what the capacity was worth at that load.
    pub fn follow(&mut self, load: f64, pace: f64) {
        // The loads of one sweep are noisy: go part of the way, in proportion.
        let total = self.total();
        let rent = if load > total {
            let rise = (self.price(load) / self.last()).powf(pace).min(MOST_RISE);
            self.last() * rise - self.costs[self.costs.len() - 1]
        } else {
            self.rent * (pace * STEEPNESS * (load - total) / total.max(1.0)).exp()
        };
        self.set_rent(rent);
    }

    /// Take over a rent.
    pub fn set_rent(&mut self, rent: f64) {
        self.rent = rent.max(self.least_rent);
        let total = self.total();
        for ((price, cost), load) in self.prices.iter_mut().zip(&self.costs).zip(&self.loads) {
            *price = cost + self.rent * (STEEPNESS * (load - total) / total.max(1.0)).exp();
        }
    }

    /// $/h of a unit that the capacity alone is worth.
    pub fn rent(&self) -> f64 {
        self.rent
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::read;

    fn curve() -> Curve {
        let problem = read(
            r#"{"version": 1, "limits": [], "demands": [], "arcs": [], "supplies": [{"id": "s", "capacity": {"u": 1},
            "steps": [{"count": 10, "cost": 1}, {"count": 5, "cost": 3}, {"count": 2, "cost": -1}]}]}"#,
        )
        .expect("valid");
        Curve::of_supplies(&problem).remove(0)
    }

    #[test]
    fn the_load_at_a_price_has_that_price() {
        let mut curve = curve();
        curve.set_rent(0.7);
        for load in [0.5, 2.0, 7.0, 12.0, 16.5, 17.0, 20.0, 40.0] {
            assert!(
                (curve.load_at(curve.price(load)) - load).abs() < 1e-9,
                "{load}"
            );
        }
        assert!(curve.load_at(0.01).abs() < 1e-12);
    }

    #[test]
    fn the_rent_climbs_while_overloaded_and_falls_while_not() {
        let mut curve = curve();
        for _ in 0..4 {
            curve.follow(1.5 * curve.total(), 1.0);
        }
        let scarce = curve.rent();
        assert!(scarce > 20.0, "{scarce}");
        curve.follow(0.5 * curve.total(), 1.0);
        assert!(curve.rent() < 0.3 * scarce);
    }
}
