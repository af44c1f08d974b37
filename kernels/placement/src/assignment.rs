//! Replicas on arcs, and what changing them costs: the incumbent of greedy and search.

use crate::bound::RowPrices;
use crate::candidates::Candidates;
use crate::problem::{Problem, number};
use crate::{COVER_TOLERANCE, ROW_TOLERANCE};

/// Half of each tolerance; the other half pays for sums that are kept incrementally.
const FITS: f64 = 0.5 * ROW_TOLERANCE;
const COVERS: f64 = 0.5 * COVER_TOLERANCE;

/// Far more than any supply has.
const MOST_UNITS: f64 = 1e12;

/// Always feasible: every change that would break a row is refused.
pub struct Assignment<'p> {
    problem: &'p Problem,
    /// The only arcs that may run.
    candidates: &'p Candidates,
    replicas: Vec<i64>,
    /// Per position of `Problem::covers`.
    covered: Vec<f64>,
    /// Per position of `Problem::capacity`.
    used: Vec<f64>,
    /// Per limit.
    limited: Vec<f64>,
    /// Replicas that use anything, per supply: 0 means that its sums are exactly 0.
    busy: Vec<i64>,
    cost: f64,
    /// Units paid for even if nothing needs them, per supply.
    held: Vec<i64>,
    /// Most units that may be used, per supply.
    allowed: Vec<i64>,
    /// Instead of true unit costs, and with limits charged too.
    prices: Option<&'p RowPrices>,
    journal: Vec<(usize, i64)>,
}

impl<'p> Assignment<'p> {
    /// Nothing runs: feasible for every problem.
    pub fn empty(problem: &'p Problem, candidates: &'p Candidates) -> Self {
        let supplies = problem.steps.count();
        let mut assignment = Self {
            problem,
            candidates,
            replicas: vec![0; problem.arcs()],
            covered: vec![0.0; problem.covers.values().len()],
            used: vec![0.0; problem.capacity.values().len()],
            limited: vec![0.0; problem.bounds.len()],
            busy: vec![0; supplies],
            cost: 0.0,
            held: vec![0; supplies],
            allowed: (0..supplies)
                .map(|supply| problem.total_units(supply))
                .collect(),
            prices: None,
            journal: Vec::new(),
        };
        assignment.settle();
        assignment
    }

    /// As many of the wished replicas as fit, arcs in order.
    pub fn of_replicas(problem: &'p Problem, candidates: &'p Candidates, wished: &[i64]) -> Self {
        let mut assignment = Self::empty(problem, candidates);
        for &arc in candidates.arcs() {
            let fitting = wished[arc].min(assignment.room(arc));
            if fitting > 0 {
                assignment.change(arc, fitting);
            }
        }
        assignment.settle();
        assignment
    }

    /// The problem it is for.
    pub fn problem(&self) -> &'p Problem {
        self.problem
    }

    /// The arcs that may run.
    pub fn candidates(&self) -> &'p Candidates {
        self.candidates
    }

    /// Replicas per arc.
    pub fn replicas(&self) -> &[i64] {
        &self.replicas
    }

    /// $/h, shortfall included.
    pub fn cost(&self) -> f64 {
        self.cost
    }

    /// Nothing runs, and from now on units and limits cost their prices instead of what they truly cost.
    pub fn charged(
        problem: &'p Problem,
        candidates: &'p Candidates,
        prices: &'p RowPrices,
    ) -> Self {
        let mut assignment = Self {
            prices: Some(prices),
            ..Self::empty(problem, candidates)
        };
        assignment.settle();
        assignment
    }

    /// Pay for at least so many units of a supply.
    pub fn hold(&mut self, supply: usize, units: i64) {
        self.cost -= self.unit_cost(supply, self.units_needed(supply));
        self.held[supply] = units;
        self.cost += self.unit_cost(supply, self.units_needed(supply));
    }

    /// Let a supply give at most so many units to further replicas; `None` for all it has.
    pub fn allow(&mut self, supply: usize, units: Option<i64>) {
        self.allowed[supply] = units.unwrap_or_else(|| self.problem.total_units(supply));
    }

    /// Shortfall of the cover at a position of `Problem::covers`.
    pub fn short(&self, position: usize) -> f64 {
        self.short_if(position, self.covered[position])
    }

    fn short_if(&self, position: usize, covered: f64) -> f64 {
        let quantity = self.problem.covers.values()[position].quantity;
        if covered >= quantity * (1.0 - COVERS) {
            0.0
        } else {
            quantity - covered
        }
    }

    /// How far above its quantity a cover is.
    fn surplus(&self, position: usize) -> f64 {
        self.covered[position] - self.problem.covers.values()[position].quantity * (1.0 - COVERS)
    }

    /// Units that the replicas on a supply need.
    pub fn units_needed(&self, supply: usize) -> i64 {
        if self.busy[supply] == 0 {
            0
        } else {
            self.units_for(supply, |_| 0.0).unwrap_or(i64::MAX)
        }
    }

    /// Units to publish: needed, or taken because they cost less than nothing.
    pub fn units(&self, supply: usize) -> i64 {
        self.units_needed(supply)
            .max(self.problem.paid_units(supply))
    }

    /// Fewest units for the present use plus `extra` per resource; at least 1, `None` when no number is enough.
    fn units_for(&self, supply: usize, extra: impl Fn(usize) -> f64) -> Option<i64> {
        let mut most = 1;
        for (resource, position) in self.problem.capacity.range(supply).enumerate() {
            let used = self.used[position] + extra(resource);
            let capacity = self.problem.capacity.values()[position] * (1.0 + FITS);
            if used > number(most) * capacity {
                let units = (used / capacity).ceil();
                if units.is_nan() || units > MOST_UNITS {
                    return None; // no capacity, or more units than any supply has
                }
                most = whole(units);
            }
        }
        Some(most)
    }

    fn unit_cost(&self, supply: usize, needed: i64) -> f64 {
        if self.prices.is_some() {
            return 0.0;
        }
        let units = needed
            .max(self.held[supply])
            .max(self.problem.paid_units(supply));
        self.problem.units_cost(supply, units)
    }

    /// Units needed after `change` replicas more on the arc, or `None` when that is too many.
    fn units_after(&self, arc: usize, change: i64) -> Option<i64> {
        let supply = self.problem.supply_of(arc);
        if !self.problem.is_used(arc) {
            return Some(self.units_needed(supply));
        }
        if self.busy[supply] + change == 0 {
            return Some(0);
        }
        let extra = |resource| {
            let entry = self
                .problem
                .uses(arc)
                .find(|entry| entry.resource == resource);
            entry.map_or(0.0, |entry| entry.amount * number(change))
        };
        let units = self.units_for(supply, extra)?;
        (change < 0 || units <= self.allowed[supply]).then_some(units)
    }

    /// What `change` replicas more (or fewer) on the arc would cost, or `None` when a row forbids it.
    pub fn delta(&self, arc: usize, change: i64) -> Option<f64> {
        let entry = self.problem.arc(arc);
        if !(0..=entry.max).contains(&(self.replicas[arc] + change)) {
            return None;
        }
        let mut cost = entry.cost * number(change);
        for term in self.problem.terms(arc) {
            let limited = self.limited[term.limit] + term.coefficient * number(change);
            if change > 0 && limited > self.problem.bounds[term.limit] * (1.0 + FITS) {
                return None;
            }
            cost += self.prices.map_or(0.0, |prices| {
                prices.limits[term.limit] * term.coefficient * number(change)
            });
        }
        let units = self.units_after(arc, change)?;
        cost += self.supply_delta(arc, change, units);
        let first = self.problem.covers.range(entry.demand).start;
        for (cover, yielded) in self.problem.yields(arc).enumerate() {
            let position = first + cover;
            let short = self.short_if(position, self.covered[position] + yielded * number(change));
            cost +=
                self.problem.covers.values()[position].short_cost * (short - self.short(position));
        }
        Some(cost)
    }

    fn supply_delta(&self, arc: usize, change: i64, units: i64) -> f64 {
        let supply = self.problem.supply_of(arc);
        let Some(prices) = self.prices else {
            let before = self.units_needed(supply);
            return if before == units {
                0.0
            } else {
                self.unit_cost(supply, units) - self.unit_cost(supply, before)
            };
        };
        let first = self.problem.capacity.range(supply).start;
        let uses = self.problem.uses(arc);
        uses.map(|used| prices.supplies[first + used.resource] * used.amount * number(change))
            .sum()
    }

    /// Change an arc's replicas; the change must be one that [`Self::delta`] accepts.
    pub fn change(&mut self, arc: usize, change: i64) {
        self.cost += self.delta(arc, change).unwrap_or(0.0);
        self.journal.push((arc, change));
        self.put(arc, change);
    }

    fn put(&mut self, arc: usize, change: i64) {
        let entry = self.problem.arc(arc);
        self.replicas[arc] += change;
        let first = self.problem.covers.range(entry.demand).start;
        for (cover, yielded) in self.problem.yields(arc).enumerate() {
            self.covered[first + cover] += yielded * number(change);
        }
        for term in self.problem.terms(arc) {
            self.limited[term.limit] += term.coefficient * number(change);
        }
        let resources = self.problem.capacity.range(entry.supply);
        if !self.problem.is_used(arc) {
            return;
        }
        self.busy[entry.supply] += change;
        for used in self.problem.uses(arc) {
            self.used[resources.start + used.resource] += used.amount * number(change);
        }
        if self.busy[entry.supply] == 0 {
            self.used[resources].fill(0.0);
        }
    }

    /// A point to which [`Self::roll_back`] can return.
    pub fn mark(&self) -> (usize, f64) {
        (self.journal.len(), self.cost)
    }

    /// Undo every change since the mark.
    pub fn roll_back(&mut self, (length, cost): (usize, f64)) {
        while self.journal.len() > length {
            if let Some((arc, change)) = self.journal.pop() {
                self.put(arc, -change);
            }
        }
        self.cost = cost;
    }

    /// Compute every sum afresh, so that rounding errors do not pile up; forgets the journal.
    pub fn settle(&mut self) {
        for sums in [&mut self.covered, &mut self.used, &mut self.limited] {
            sums.fill(0.0);
        }
        self.busy.fill(0);
        for &arc in self.candidates.arcs() {
            let count = std::mem::take(&mut self.replicas[arc]);
            if count > 0 {
                self.put(arc, count);
            }
        }
        self.journal.clear();
        self.cost = self.total();
    }

    fn total(&self) -> f64 {
        let running = self
            .candidates
            .arcs()
            .iter()
            .filter(|&&arc| self.replicas[arc] > 0);
        let mut cost: f64 = running
            .map(|&arc| self.problem.cost_of(arc) * number(self.replicas[arc]))
            .sum();
        for supply in 0..self.problem.steps.count() {
            cost += self.unit_cost(supply, self.units_needed(supply));
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

    /// Most replicas that can still be added to an arc.
    pub fn room(&self, arc: usize) -> i64 {
        let entry = self.problem.arc(arc);
        let mut room = number(entry.max - self.replicas[arc]);
        for term in self.problem.terms(arc) {
            let left = self.problem.bounds[term.limit] * (1.0 + FITS) - self.limited[term.limit];
            room = room.min(left / term.coefficient);
        }
        room = room.min(self.room_in_units(arc, self.allowed[entry.supply]));
        whole(room.floor())
    }

    /// Most replicas that can be added to an arc without another unit.
    pub fn spare(&self, arc: usize) -> i64 {
        let supply = self.problem.supply_of(arc);
        let units = self
            .units(supply)
            .max(self.held[supply])
            .min(self.allowed[supply]);
        whole(self.room_in_units(arc, units).floor()).min(self.room(arc))
    }

    fn room_in_units(&self, arc: usize, units: i64) -> f64 {
        let positions = self.problem.capacity.range(self.problem.supply_of(arc));
        let mut room = f64::from(u32::MAX);
        for used in self.problem.uses(arc) {
            let position = positions.start + used.resource;
            let capacity = self.problem.capacity.values()[position] * (1.0 + FITS);
            room = room.min((capacity * number(units) - self.used[position]) / used.amount);
        }
        room
    }

    /// Replicas on the arc that would end the shortfall of its demand's most and of its least demanding cover.
    pub fn wanted(&self, arc: usize) -> (i64, i64) {
        let positions = self.problem.covers.range(self.problem.demand_of(arc));
        let (mut most, mut least) = (0, i64::MAX);
        for (position, yielded) in positions.zip(self.problem.yields(arc)) {
            let short = -self.surplus(position);
            if yielded > 0.0 && self.short(position) > 0.0 {
                let replicas = whole((short / yielded).ceil());
                most = most.max(replicas);
                least = least.min(replicas);
            }
        }
        (most, least)
    }

    /// Replicas of the arc that can go without any new shortfall.
    pub fn superfluous(&self, arc: usize) -> i64 {
        let positions = self.problem.covers.range(self.problem.demand_of(arc));
        let mut most = self.replicas[arc];
        for (position, yielded) in positions.zip(self.problem.yields(arc)) {
            if yielded > 0.0 {
                most = most.min(whole((self.surplus(position) / yielded).floor()));
            }
        }
        most
    }
}

/// A float without fraction as a count; huge ones and negative ones are cut.
#[allow(clippy::cast_possible_truncation)] // cut into range first
fn whole(value: f64) -> i64 {
    value.clamp(0.0, MOST_UNITS) as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::read;

    fn problem() -> Problem {
        read(
            r#"{"version": 1, "limits": [{"id": "l", "bound": 3, "terms": [[1, 1]]}],
            "demands": [{"id": "w", "covers": [{"id": "rate", "quantity": 10, "short_cost": 2}]}],
            "supplies": [{"id": "s", "steps": [{"count": 1, "cost": 2}, {"count": 2, "cost": 0.5}], "capacity": {"u": 1}}],
            "arcs": [{"id": "a", "demand": 0, "supply": 0, "yields": [1], "cost": 0.1, "use": {"u": 0.2}, "max": 40},
                     {"id": "b", "demand": 0, "supply": 0, "yields": [3], "cost": 0.1, "use": {"u": 0.5}, "max": 9}]}"#,
        )
        .expect("valid")
    }

    #[test]
    fn five_fifths_are_one_unit_and_the_sixth_opens_another() {
        let problem = problem();
        let candidates = Candidates::all(&problem);
        let mut assignment = Assignment::empty(&problem, &candidates);
        assignment.change(0, 5);
        assert_eq!(
            (
                assignment.units_needed(0),
                assignment.spare(0),
                assignment.room(0)
            ),
            (1, 0, 10)
        );
        assert!((assignment.delta(0, 1).expect("fits") - (0.1 + 0.5 - 2.0)).abs() < 1e-12);
        assert_eq!(assignment.delta(0, 11), None);
    }

    #[test]
    fn limits_and_maxima_refuse() {
        let problem = problem();
        let candidates = Candidates::all(&problem);
        let assignment = Assignment::empty(&problem, &candidates);
        assert_eq!(assignment.room(1), 3);
        assert_eq!(assignment.delta(1, 4), None);
        assert_eq!(assignment.delta(1, -1), None);
    }

    #[test]
    fn rolling_back_restores_everything() {
        let problem = problem();
        let candidates = Candidates::all(&problem);
        let mut assignment = Assignment::empty(&problem, &candidates);
        assignment.change(0, 7);
        let (mark, cost) = (assignment.mark(), assignment.cost());
        assignment.change(0, -7);
        assignment.change(1, 2);
        assignment.roll_back(mark);
        assert_eq!(assignment.replicas(), [7, 0]);
        assert_eq!((assignment.cost(), assignment.units_needed(0)), (cost, 2));
        assignment.settle();
        assert!((assignment.cost() - cost).abs() < 1e-12);
    }
}
