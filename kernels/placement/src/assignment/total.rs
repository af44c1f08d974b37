//! The sums of an assignment, computed afresh.

use super::Assignment;
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

    fn units_in_use(&self, supply: usize) -> i64 {
        let mut units = i64::from(self.busy[supply] > 0);
        if units > 0 {
            for position in self.problem.capacity.range(supply) {
                units = self
                    .units_for(position, self.used[position], units)
                    .unwrap_or(i64::MAX);
            }
        }
        units
    }

    fn total(&self) -> f64 {
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
        cost + self.short_total()
    }

    /// $/h of the shortfall.
    pub fn short_total(&self) -> f64 {
        let covers = self.problem.covers.values().iter().enumerate();
        covers
            .map(|(position, cover)| cover.short_cost * self.short(position))
            .sum()
    }
}
