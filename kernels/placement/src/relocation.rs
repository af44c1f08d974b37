//! One demand at a time at fleet scale: few moves, each chosen at marginal costs and kept only if it pays.

use crate::assignment::{Assignment, Charges};
use crate::budget::Budget;
use crate::completion::Completion;
use crate::problem::number;

/// Gains below this share of the whole cost are rounding noise.
const NOISE: f64 = 1e-13;
/// Weight of the short cost in what a cover is worth when most of it is missing: a price of 0 must not hide a want.
const SHORT_WEIGHT: f64 = 0.002;

/// Reusable memory for one demand after another.
#[derive(Debug, Default)]
pub struct Relocation {
    completion: Completion,
    /// $/h of one more replica, per column of the demand at hand.
    marginal: Vec<f64>,
    /// Columns of the demand that run, and their replicas.
    running: Vec<(usize, i64)>,
    /// $/h of one more replica for what it yields at the cover prices, per column.
    dearness: Vec<f64>,
    found: Vec<(usize, i64)>,
}

impl Relocation {
    /// Serve what is short: most of it in bulk, the last few replicas by search.
    pub fn fill(
        &mut self,
        assignment: &mut Assignment<'_>,
        demand: usize,
        charges: &Charges,
        budget: &mut Budget<'_>,
    ) {
        self.look(assignment, demand, charges);
        while let Some((column, count)) = self.bulk(assignment, demand, charges) {
            assignment.change(column, count);
            self.look(assignment, demand, charges);
            if !budget.spend(self.marginal.len()) {
                return;
            }
        }
        let short_cost = assignment.short_cost(demand);
        self.complete(assignment, demand, charges, short_cost);
        budget.spend(self.completion.work());
    }

    /// Drop what nothing needs, finish anew with one replica less of each column, move whole columns; each is kept
    /// only if it lowers the cost. True when anything changed.
    pub fn improve(
        &mut self,
        assignment: &mut Assignment<'_>,
        demand: usize,
        charges: &Charges,
        budget: &mut Budget<'_>,
    ) -> bool {
        if !budget.spend(assignment.candidates().of_demand(demand).len()) {
            return false;
        }
        self.note_running(assignment, demand);
        let mut changed = self.drop(assignment);
        self.look(assignment, demand, charges);
        changed |= self.exchange(assignment, demand, charges);
        budget.spend(self.completion.work());
        changed | self.shift(assignment, demand, charges)
    }

    fn look(&mut self, assignment: &Assignment<'_>, demand: usize, charges: &Charges) {
        let columns = assignment.candidates().of_demand(demand);
        self.marginal.clear();
        self.marginal
            .extend(columns.map(|column| assignment.marginal(column, charges)));
    }

    /// Prices afresh on the supplies of running columns; two columns of one supply lie side by side.
    fn look_again(&mut self, assignment: &Assignment<'_>, charges: &Charges, first: usize) {
        let candidates = assignment.candidates();
        let end = first + self.marginal.len();
        for &(column, _) in &self.running {
            let supply = candidates.supply_of(column);
            for near in column.saturating_sub(1).max(first)..(column + 2).min(end) {
                if candidates.supply_of(near) == supply {
                    self.marginal[near - first] = assignment.marginal(near, charges);
                }
            }
        }
    }

    fn note_running(&mut self, assignment: &Assignment<'_>, demand: usize) {
        let columns = assignment.candidates().of_demand(demand);
        let counts = columns.map(|column| (column, assignment.replicas()[column]));
        self.running.clear();
        self.running.extend(counts.filter(|entry| entry.1 > 0));
    }

    /// The column that is cheapest for what it yields, and as many replicas as are surely needed.
    fn bulk(
        &self,
        assignment: &Assignment<'_>,
        demand: usize,
        charges: &Charges,
    ) -> Option<(usize, i64)> {
        let covers = assignment.problem().covers.range(demand);
        let columns = assignment.candidates().of_demand(demand);
        let mut best = (f64::INFINITY, None);
        for (column, &cost) in columns.zip(&self.marginal) {
            let (mut worth, mut most, mut needed) = (0.0, 0.0, f64::INFINITY);
            let yields = assignment.candidates().yields(column);
            for (position, &yielded) in covers.clone().zip(yields) {
                let left = assignment.short(position);
                if left > 0.0 && yielded > 0.0 {
                    let short_cost = assignment.problem().covers.values()[position].short_cost;
                    let price = charges.prices.covers[position] + SHORT_WEIGHT * short_cost;
                    worth += price * yielded.min(left);
                    most += short_cost * yielded.min(left);
                    needed = needed.min(left / yielded);
                }
            }
            // The last replicas are left to the search.
            if needed < 3.0 || cost >= most || cost >= best.0 * worth {
                continue;
            }
            #[allow(clippy::cast_possible_truncation)] // the quotient saturates
            let count = (needed as i64 - 1)
                .min(assignment.room(column))
                .min(assignment.level_room(column));
            if count > 0 {
                best = (cost / worth, Some((column, count)));
            }
        }
        best.1
    }

    /// Add the best completion if it costs less than `most` at marginal costs.
    fn complete(
        &mut self,
        assignment: &mut Assignment<'_>,
        demand: usize,
        charges: &Charges,
        most: f64,
    ) {
        let theta = &charges.prices.covers[assignment.problem().covers.range(demand)];
        self.found.clear();
        self.found.extend(
            self.completion
                .find(assignment, demand, theta, &self.marginal, most),
        );
        for &(column, count) in &self.found {
            // Two columns may share the room of one supply.
            let fitting = count.min(assignment.room(column));
            if fitting > 0 {
                assignment.change(column, fitting);
            }
        }
    }

    fn drop(&mut self, assignment: &mut Assignment<'_>) -> bool {
        let mut changed = false;
        for (column, running) in &mut self.running {
            let count = assignment.superfluous(*column);
            let saves = |delta| delta < -NOISE * assignment.cost().abs();
            if count > 0 && assignment.delta(*column, -count).is_some_and(saves) {
                assignment.change(*column, -count);
                *running -= count;
                changed = true;
            }
        }
        changed
    }

    fn exchange(
        &mut self,
        assignment: &mut Assignment<'_>,
        demand: usize,
        charges: &Charges,
    ) -> bool {
        let first = assignment.candidates().of_demand(demand).start;
        let mark = assignment.mark();
        let mut most = assignment.short_cost(demand);
        for &(column, running) in &self.running {
            if running > 0 {
                assignment.change(column, -1);
            }
        }
        self.look_again(assignment, charges, first);
        for &(column, running) in &self.running {
            if running > 0 {
                most += self.marginal[column - first];
            }
        }
        self.complete(assignment, demand, charges, most);
        keep_if_cheaper(assignment, mark)
    }

    fn weigh(&mut self, assignment: &Assignment<'_>, demand: usize, charges: &Charges) {
        let theta = &charges.prices.covers[assignment.problem().covers.range(demand)];
        let columns = assignment.candidates().of_demand(demand);
        self.dearness.clear();
        self.dearness
            .extend(columns.zip(&self.marginal).map(|(column, marginal)| {
                let yields = assignment.candidates().yields(column).iter();
                let worth: f64 = yields
                    .zip(theta)
                    .map(|(yielded, price)| yielded * price)
                    .sum();
                marginal / worth
            }));
    }

    /// All or half of a column's replicas to another column, the first that pays.
    fn shift(&mut self, assignment: &mut Assignment<'_>, demand: usize, charges: &Charges) -> bool {
        let columns = assignment.candidates().of_demand(demand);
        self.note_running(assignment, demand);
        self.look_again(assignment, charges, columns.start);
        self.weigh(assignment, demand, charges);
        for &(out, running) in &self.running {
            let dearness = self.dearness[out - columns.start];
            for count in [running, running / 2]
                .into_iter()
                .filter(|&count| count > 1)
            {
                let mark = assignment.mark();
                assignment.change(out, -count);
                let mut best = (self.marginal[out - columns.start] * number(count), None);
                for (into, marginal) in columns.clone().zip(&self.marginal) {
                    // Only what serves at least one cover more cheaply can win.
                    if self.dearness[into - columns.start] >= dearness || into == out {
                        continue;
                    }
                    let wanted = assignment.wanted(into).0;
                    let cost = marginal * number(wanted);
                    if wanted > 0 && cost < best.0 && wanted <= assignment.room(into) {
                        best = (cost, Some((into, wanted)));
                    }
                }
                if let Some((into, wanted)) = best.1 {
                    assignment.change(into, wanted);
                }
                if keep_if_cheaper(assignment, mark) {
                    return true;
                }
            }
        }
        false
    }
}

/// Keep what was tried since the mark if it lowered the cost, else undo it.
pub fn keep_if_cheaper(assignment: &mut Assignment<'_>, mark: (usize, f64)) -> bool {
    let cheaper = assignment.cost() < mark.1 - NOISE * mark.1.abs();
    if !cheaper {
        assignment.roll_back(mark);
    }
    cheaper
}
