//! Replicas on columns, and what changing them costs: the incumbent of every search.

mod charges;
mod room;
mod total;

use crate::candidates::Candidates;
use crate::merit_order::MeritOrder;
use crate::problem::{Problem, number};
use crate::{COVER_TOLERANCE, ROW_TOLERANCE};
pub use charges::Charges;

/// Half of each tolerance; the other half pays for sums that are kept incrementally.
const FITS: f64 = 0.5 * ROW_TOLERANCE;
const COVERS: f64 = 0.5 * COVER_TOLERANCE;
/// What was accepted still holds when its sums are computed afresh.
const HOLDS: f64 = 0.9 * ROW_TOLERANCE;

/// Far more than any supply has.
const MOST_UNITS: f64 = 1e12;

/// Always feasible: every change that would break a row is refused.
#[derive(Clone)]
pub struct Assignment<'p> {
    problem: &'p Problem,
    /// The only arcs that may run.
    candidates: &'p Candidates,
    merit_order: MeritOrder,
    /// Per column.
    replicas: Vec<i64>,
    /// Per position of `Problem::covers`.
    covered: Vec<f64>,
    /// Per position of `Problem::capacity`.
    used: Vec<f64>,
    /// Per limit.
    limited: Vec<f64>,
    /// Replicas that use anything, per supply: 0 means that its sums are exactly 0.
    busy: Vec<i64>,
    /// Units that they need.
    needed: Vec<i64>,
    cost: f64,
    /// Units paid for even if nothing needs them, per supply.
    held: Vec<i64>,
    /// Most units that may be used, per supply.
    allowed: Vec<i64>,
    charges: Option<Charges>,
    journal: Vec<(usize, i64)>,
}

impl<'p> Assignment<'p> {
    /// Nothing runs: feasible for every problem.
    pub fn empty(problem: &'p Problem, candidates: &'p Candidates) -> Self {
        let supplies = problem.supplies();
        let merit_order = MeritOrder::of(problem);
        let mut assignment = Self {
            problem,
            candidates,
            replicas: vec![0; candidates.count()],
            covered: vec![0.0; problem.covers.values().len()],
            used: vec![0.0; problem.capacity.values().len()],
            limited: vec![0.0; problem.bounds.len()],
            busy: vec![0; supplies],
            needed: vec![0; supplies],
            cost: 0.0,
            held: vec![0; supplies],
            allowed: (0..supplies)
                .map(|supply| merit_order.total(supply))
                .collect(),
            merit_order,
            charges: None,
            journal: Vec::new(),
        };
        assignment.settle();
        assignment
    }

    /// As many of the wished replicas as fit, columns in order.
    pub fn of_replicas(problem: &'p Problem, candidates: &'p Candidates, wished: &[i64]) -> Self {
        let mut assignment = Self::empty(problem, candidates);
        for (column, &wished) in wished.iter().enumerate().filter(|entry| *entry.1 > 0) {
            let fitting = wished.min(assignment.room(column));
            if fitting > 0 {
                assignment.put(column, fitting);
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

    /// Replicas per column.
    pub fn replicas(&self) -> &[i64] {
        &self.replicas
    }

    /// Replicas per arc of the problem.
    pub fn replicas_of_arcs(&self) -> Vec<i64> {
        let mut replicas = vec![0; self.problem.arcs()];
        for (&arc, &count) in self.candidates.arcs().iter().zip(&self.replicas) {
            replicas[arc] = count;
        }
        replicas
    }

    /// $/h, shortfall included; at the charges if there are any.
    pub fn cost(&self) -> f64 {
        self.cost
    }

    /// From now on, search at these charges; `None` for true costs.
    pub fn charge(&mut self, charges: Option<Charges>) {
        self.charges = charges;
        self.settle();
    }

    /// Pay for at least so many units of a supply.
    pub fn hold(&mut self, supply: usize, units: i64) {
        self.cost -= self.unit_cost(supply, self.needed[supply]);
        self.held[supply] = units;
        self.cost += self.unit_cost(supply, self.needed[supply]);
    }

    /// Let a supply give at most so many units to further replicas; `None` for all it has.
    pub fn allow(&mut self, supply: usize, units: Option<i64>) {
        self.allowed[supply] = units.unwrap_or_else(|| self.merit_order.total(supply));
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

    /// Units that the replicas on a supply need.
    pub fn units_needed(&self, supply: usize) -> i64 {
        self.needed[supply]
    }

    /// Units to publish: needed, or taken because they cost less than nothing.
    pub fn units(&self, supply: usize) -> i64 {
        self.needed[supply].max(self.merit_order.paid(supply))
    }

    /// Fewest units, at least `least`, that give a resource so much; `None` when no number is enough.
    fn units_for(&self, position: usize, used: f64, least: i64, tolerance: f64) -> Option<i64> {
        let capacity = self.problem.capacity.values()[position] * (1.0 + tolerance);
        if used <= number(least) * capacity {
            return Some(least);
        }
        let units = used / capacity;
        // No capacity, or more units than any supply has.
        (units <= MOST_UNITS).then(|| whole_up(units))
    }

    fn unit_cost(&self, supply: usize, needed: i64) -> f64 {
        if let Some(charges) = &self.charges {
            return self.charge_of(supply, charges);
        }
        let units = needed
            .max(self.held[supply])
            .max(self.merit_order.paid(supply));
        self.merit_order.cost(supply, units)
    }

    /// Units needed after `change` replicas more on the column, or `None` when no number is enough.
    fn units_after(&self, column: usize, change: i64) -> Option<i64> {
        let supply = self.candidates.supply_of(column);
        let uses = self.candidates.uses(column);
        if uses.is_empty() {
            return Some(self.needed[supply]);
        }
        if self.busy[supply] + change == 0 {
            return Some(0);
        }
        let mut units = 1;
        if change > 0 {
            units = units.max(self.needed[supply]);
            for used in uses {
                let position = used.position as usize;
                let amount = self.used[position] + used.amount * number(change);
                units = self.units_for(position, amount, units, FITS)?;
            }
            return Some(units);
        }
        let mut entries = uses.iter().peekable();
        for position in self.problem.capacity.range(supply) {
            let entry = entries.next_if(|used| used.position as usize == position);
            let freed = entry.map_or(0.0, |used| used.amount * number(change));
            units = self.units_for(position, self.used[position] + freed, units, FITS)?;
        }
        Some(units.min(self.needed[supply])) // fewer replicas never need more
    }

    /// What `change` replicas more (or fewer) on the column would cost, or `None` when a row forbids it.
    pub fn delta(&self, column: usize, change: i64) -> Option<f64> {
        let entry = self.candidates.column(column);
        if !(0..=i64::from(entry.max)).contains(&(self.replicas[column] + change)) {
            return None;
        }
        let count = number(change);
        let mut cost = entry.cost * count;
        for term in self.candidates.terms(column) {
            let limited = self.limited[term.limit] + term.coefficient * count;
            if change > 0 && limited > self.problem.bounds[term.limit] * (1.0 + FITS) {
                return None;
            }
            cost += self.charges.as_ref().map_or(0.0, |charges| {
                charges.prices.limits[term.limit] * term.coefficient * count
            });
        }
        cost += self.supply_delta(column, change)?;
        let covers = self.problem.covers.range(entry.demand as usize);
        for (position, &yielded) in covers.zip(self.candidates.yields(column)) {
            let short = self.short_if(position, self.covered[position] + yielded * count);
            cost +=
                self.problem.covers.values()[position].short_cost * (short - self.short(position));
        }
        Some(cost)
    }

    fn supply_delta(&self, column: usize, change: i64) -> Option<f64> {
        let supply = self.candidates.supply_of(column);
        let units = self.units_after(column, change)?;
        let uses_any = !self.candidates.uses(column).is_empty();
        if change > 0 && uses_any && units > self.allowed[supply] {
            return None;
        }
        if let Some(charges) = &self.charges {
            return Some(self.charge_delta(column, change, charges));
        }
        let before = self.needed[supply];
        Some(if before == units {
            0.0
        } else {
            self.unit_cost(supply, units) - self.unit_cost(supply, before)
        })
    }

    /// Change a column's replicas; the change must be one that [`Self::delta`] accepts.
    pub fn change(&mut self, column: usize, change: i64) {
        self.cost += self.delta(column, change).unwrap_or(0.0);
        self.journal.push((column, change));
        self.put(column, change);
    }

    fn put(&mut self, column: usize, change: i64) {
        self.needed[self.candidates.supply_of(column)] =
            self.units_after(column, change).unwrap_or(i64::MAX);
        self.add(column, change);
    }

    /// Add to the sums; the units needed are not among them.
    fn add(&mut self, column: usize, change: i64) {
        let entry = self.candidates.column(column);
        let count = number(change);
        self.replicas[column] += change;
        let covers = self.problem.covers.range(entry.demand as usize);
        for (covered, &yielded) in self.covered[covers]
            .iter_mut()
            .zip(self.candidates.yields(column))
        {
            *covered += yielded * count;
        }
        for term in self.candidates.terms(column) {
            self.limited[term.limit] += term.coefficient * count;
        }
        let uses = self.candidates.uses(column);
        if uses.is_empty() {
            return;
        }
        let supply = entry.supply as usize;
        self.busy[supply] += change;
        for used in uses {
            self.used[used.position as usize] += used.amount * count;
        }
        if self.busy[supply] == 0 {
            self.used[self.problem.capacity.range(supply)].fill(0.0);
        }
    }

    /// A point to which [`Self::roll_back`] can return.
    pub fn mark(&self) -> (usize, f64) {
        (self.journal.len(), self.cost)
    }

    /// Undo every change since the mark.
    pub fn roll_back(&mut self, (length, cost): (usize, f64)) {
        while self.journal.len() > length {
            if let Some((column, change)) = self.journal.pop() {
                self.put(column, -change);
            }
        }
        self.cost = cost;
    }
}

/// A float as a count, rounded down; huge ones and negative ones are cut.
#[allow(clippy::cast_possible_truncation)] // cut into range first
fn whole(value: f64) -> i64 {
    value.clamp(0.0, MOST_UNITS) as i64
}

/// The same, rounded up.
fn whole_up(value: f64) -> i64 {
    let below = whole(value);
    below + i64::from(number(below) < value.min(MOST_UNITS))
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
    fn what_was_accepted_replica_by_replica_holds_when_it_is_summed_afresh() {
        // A tenth is less than half of the last bit of the sum that the other column makes, up to FITS.
        let problem = read(
            r#"{"version": 1, "limits": [],
            "demands": [{"id": "w", "covers": [{"id": "rate", "quantity": 10, "short_cost": 2}]}],
            "supplies": [{"id": "s", "steps": [{"count": 8, "cost": 1}], "capacity": {"u": 2.5e14}}],
            "arcs": [{"id": "", "demand": 0, "supply": 0, "yields": [1], "cost": 0, "use": {"u": 0.1}, "max": 2000},
                     {"id": "", "demand": 0, "supply": 0, "yields": [1], "cost": 0, "use": {"u": 250000000124999.9375}, "max": 8}]}"#,
        )
        .expect("valid");
        let candidates = Candidates::all(&problem);
        let mut assignment = Assignment::empty(&problem, &candidates);
        assignment.change(1, 8);
        for _ in 0..1000 {
            assert!(assignment.delta(0, 1).is_some());
            assignment.change(0, 1);
        }
        assignment.settle();
        assert_eq!(assignment.units_needed(0), 8);
        assignment.change(0, -1);
        assert_eq!(assignment.units_needed(0), 8);
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
