//! How many replicas fit, are wanted, or are too many.

use super::{Assignment, COVERS, FITS, whole, whole_up};
use crate::problem::number;

impl Assignment<'_> {
    /// Most replicas that can still be added to a column.
    pub fn room(&self, column: usize) -> i64 {
        let candidates = self.candidates;
        let mut room = number(candidates.max_of(column) - self.replicas[column]);
        for term in candidates.terms(column) {
            let left = self.problem.bounds[term.limit] * (1.0 + FITS) - self.limited[term.limit];
            room = room.min(left / term.coefficient);
        }
        room = room.min(self.room_in_units(column, self.allowed[candidates.supply_of(column)]));
        whole(room)
    }

    /// Most replicas that can be added to a column without another unit.
    pub fn spare(&self, column: usize) -> i64 {
        let supply = self.candidates.supply_of(column);
        let units = self
            .units(supply)
            .max(self.held[supply])
            .min(self.allowed[supply]);
        whole(self.room_in_units(column, units)).min(self.room(column))
    }

    /// Whether the units in use have room for one more replica.
    pub(super) fn fits_units(&self, column: usize, supply: usize) -> bool {
        let units = number(self.units(supply).min(self.allowed[supply]));
        let capacity = self.problem.capacity.values();
        self.candidates.uses(column).iter().all(|used| {
            let position = used.position as usize;
            self.used[position] + used.amount <= units * capacity[position] * (1.0 + FITS)
        })
    }

    pub(super) fn room_in_units(&self, column: usize, units: i64) -> f64 {
        let mut room = f64::from(u32::MAX);
        for used in self.candidates.uses(column) {
            let position = used.position as usize;
            let capacity = self.problem.capacity.values()[position] * (1.0 + FITS);
            room = room.min((capacity * number(units) - self.used[position]) / used.amount);
        }
        room
    }

    /// Replicas on the column that would end the shortfall of its demand's most and of its least demanding cover.
    pub fn wanted(&self, column: usize) -> (i64, i64) {
        let positions = self.problem.covers.range(self.candidates.demand_of(column));
        let (mut most, mut least) = (0, i64::MAX);
        for (position, &yielded) in positions.zip(self.candidates.yields(column)) {
            let short = -self.surplus(position);
            if yielded > 0.0 && self.short(position) > 0.0 {
                let replicas = whole_up(short / yielded);
                most = most.max(replicas);
                least = least.min(replicas);
            }
        }
        (most, least)
    }

    /// $/h of shortfall that one more replica of the column ends.
    pub fn worth(&self, column: usize) -> f64 {
        let positions = self.problem.covers.range(self.candidates.demand_of(column));
        let covers = self.problem.covers.values();
        let ended = positions.zip(self.candidates.yields(column));
        ended
            .map(|(position, &yielded)| {
                covers[position].short_cost * yielded.min(self.short(position))
            })
            .sum()
    }

    /// $/h of shortfall that one replica of the column less would cause.
    pub fn missed(&self, column: usize) -> f64 {
        let positions = self.problem.covers.range(self.candidates.demand_of(column));
        let covers = self.problem.covers.values();
        let caused = positions.zip(self.candidates.yields(column));
        caused
            .map(|(position, &yielded)| {
                let short = self.short_if(position, self.covered[position] - yielded);
                covers[position].short_cost * (short - self.short(position))
            })
            .sum()
    }

    /// Replicas of the column that can go without any new shortfall.
    pub fn superfluous(&self, column: usize) -> i64 {
        let positions = self.problem.covers.range(self.candidates.demand_of(column));
        let mut most = self.replicas[column];
        for (position, &yielded) in positions.zip(self.candidates.yields(column)) {
            if yielded > 0.0 {
                most = most.min(whole(self.surplus(position) / yielded));
            }
        }
        most
    }

    /// Fewest replicas of the column, at most `most`, without which `units` of its supply are enough; else `most`.
    pub fn fewest_without(&self, column: usize, units: i64, most: i64) -> i64 {
        if self.needed[self.candidates.supply_of(column)] <= units {
            return 0;
        }
        let (mut few, mut enough) = (0, most);
        while few + 1 < enough {
            let middle = few + (enough - few) / 2;
            let needed = self.units_after(column, -middle);
            if needed.is_some_and(|needed| needed <= units) {
                enough = middle;
            } else {
                few = middle;
            }
        }
        enough
    }

    /// Units of its supply that one replica takes, at least a little.
    pub fn pressure(&self, column: usize) -> f64 {
        let uses = self.candidates.uses(column).iter();
        let capacity = self.problem.capacity.values();
        let shares = uses.map(|used| used.amount / capacity[used.position as usize]);
        shares.fold(1e-9, f64::max)
    }

    /// Part of a unit that the fullest resource of a supply leaves idle.
    pub fn spare_of(&self, supply: usize) -> f64 {
        let capacity = self.problem.capacity.values();
        let positions = self.problem.capacity.range(supply);
        let units = positions.map(|position| self.used[position] / capacity[position]);
        number(self.needed[supply]) - units.fold(0.0, f64::max)
    }

    /// How far above its quantity a cover is.
    fn surplus(&self, position: usize) -> f64 {
        self.covered[position] - self.problem.covers.values()[position].quantity * (1.0 - COVERS)
    }
}
