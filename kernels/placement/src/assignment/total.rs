//! The sums of an assignment, computed afresh.

use super::{Assignment, HOLDS};
use crate::problem::number;

impl Assignment<'_> {
    /// Compute every sum afresh, so that rounding errors do not pile up; forgets the journal.
    pub fn settle(&mut self) {
        for sums in [&mut self.covered, &mut self.used, &mut self.limited] {
            sums.fill(0.0);
        }
        self.busy.fill(0);
        for column in 0..self.replicas.len() {
            let count = std::mem::take(&mut self.replicas[column]);
            if count > 0 {
                self.add(column, count);
            }
        }
        for supply in 0..self.needed.len() {
            self.needed[supply] = self.units_in_use(supply);
        }
        self.journal.clear();
        self.cost = self.total();
    }

    /// $/h whatever the charges.
    pub fn true_cost(&mut self) -> f64 {
        let charges = self.charges.take();
        let cost = self.total();
        self.charges = charges;
        cost
    }

    /// Run these replicas instead, at true costs; they must be feasible.
    pub fn restart(&mut self, replicas: &[i64]) {
        self.replicas.copy_from_slice(replicas);
        self.charges = None;
        self.settle();
    }

    fn units_in_use(&self, supply: usize) -> i64 {
        let mut units = i64::from(self.busy[supply] > 0);
        if units > 0 {
            for position in self.problem.capacity.range(supply) {
                units = self
                    .units_for(position, self.used[position], units, HOLDS)
                    .unwrap_or(i64::MAX);
            }
        }
        units
    }

    fn total(&self) -> f64 {
        self.served_total() + self.short_total()
    }

    /// $/h of everything but the shortfall.
    pub fn served_total(&self) -> f64 {
        let running = self
            .replicas
            .iter()
            .enumerate()
            .filter(|entry| *entry.1 > 0);
        let mut cost: f64 = running
            .map(|(column, &count)| self.candidates.column(column).cost * number(count))
            .sum();
        for supply in 0..self.needed.len() {
            cost += self.unit_cost(supply, self.needed[supply]);
        }
        if let Some(charges) = &self.charges {
            let limits = charges.prices.limits.iter().zip(&self.limited);
            cost += limits.map(|(price, limited)| price * limited).sum::<f64>();
        }
        cost
    }

    /// $/h of a demand's shortfall.
    pub fn short_cost(&self, demand: usize) -> f64 {
        let covers = &self.problem.covers;
        covers
            .range(demand)
            .map(|position| covers.values()[position].short_cost * self.short(position))
            .sum()
    }

    /// $/h of the shortfall.
    pub fn short_total(&self) -> f64 {
        let covers = self.problem.covers.values().iter().enumerate();
        covers
            .map(|(position, cover)| cover.short_cost * self.short(position))
            .sum()
    }
}
