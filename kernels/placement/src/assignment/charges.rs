//! What a search may pay instead of true costs: smooth prices, so that the move of one demand shows what it is worth
//! before the moves of others make a whole unit of it.

use super::{Assignment, whole};
use crate::bound::RowPrices;
use crate::problem::{Problem, Term, number};

/// Share of a unit that the fullest resource alone accounts for. By the prices alone nothing draws demands to the
/// resource that others leave idle; by the fullest alone the idle one is free until it is the fullest.
const FULLEST: f64 = 0.25;

/// Part of a unit costs that part, at the unit's place in the merit order; limits and full supplies cost extra.
#[derive(Debug, Clone)]
pub struct Charges {
    /// theta, pi and mu.
    pub prices: RowPrices,
    /// $/h for a unit on top of its cost, per supply.
    pub rents: Vec<f64>,
    /// While the search pays true costs: share of its price that the spare part of a unit in use is charged.
    pub spare_share: f64,
    /// Units that one of a resource accounts for by the prices, and as the fullest, per position of
    /// `Problem::capacity`; empty where all use is paid at pi.
    weights: Vec<(f64, f64)>,
}

impl Charges {
    /// All use of supplies is paid at pi, however loaded they are.
    pub fn flat(prices: &RowPrices) -> Self {
        Self {
            prices: prices.clone(),
            rents: Vec::new(),
            spare_share: 1.0,
            weights: Vec::new(),
        }
    }

    fn is_flat(&self) -> bool {
        self.weights.is_empty()
    }

    /// Charges that agree with the prices where supplies are as loaded as the prices say.
    pub fn new(problem: &Problem, prices: &RowPrices) -> Self {
        let mut weights = Vec::with_capacity(problem.capacity.values().len());
        let mut rents = Vec::with_capacity(problem.supplies());
        for supply in 0..problem.supplies() {
            let positions = problem.capacity.range(supply);
            let capacity = problem.capacity.row(supply);
            let pi = &prices.supplies[positions];
            let price: f64 = pi.iter().zip(capacity).map(|(pi, size)| pi * size).sum();
            let inverse = |size: f64| if size > 0.0 { 1.0 / size } else { 0.0 };
            #[allow(clippy::cast_precision_loss)] // at most 65,535 resources
            let alike = 1.0 / capacity.len() as f64;
            weights.extend(pi.iter().zip(capacity).map(|(pi, &size)| {
                let by_price = if price > 0.0 {
                    pi / price
                } else {
                    alike * inverse(size)
                };
                ((1.0 - FULLEST) * by_price, FULLEST * inverse(size))
            }));
            let dearest = problem
                .steps
                .row(supply)
                .last()
                .map_or(0.0, |step| step.cost);
            rents.push((price - dearest).max(0.0));
        }
        Self {
            prices: prices.clone(),
            rents,
            spare_share: 1.0,
            weights,
        }
    }
}

impl Assignment<'_> {
    /// Units of a supply in use after `change` replicas more on a column of it, the last in part.
    fn load_after(&self, column: usize, change: i64, charges: &Charges) -> f64 {
        let mut uses = self.candidates.uses(column).iter().peekable();
        let (mut sum, mut fullest) = (0.0, 0.0_f64);
        for position in self
            .problem
            .capacity
            .range(self.candidates.supply_of(column))
        {
            let entry = uses.next_if(|used| used.position as usize == position);
            let more = entry.map_or(0.0, |used| used.amount * number(change));
            let amount = (self.used[position] + more).max(0.0);
            let (weight, share) = charges.weights[position];
            sum += weight * amount;
            fullest = fullest.max(share * amount);
        }
        sum + fullest
    }

    fn load(&self, supply: usize, charges: &Charges) -> f64 {
        let (mut sum, mut fullest) = (0.0, 0.0_f64);
        for position in self.problem.capacity.range(supply) {
            let (weight, share) = charges.weights[position];
            sum += weight * self.used[position];
            fullest = fullest.max(share * self.used[position]);
        }
        sum + fullest
    }

    /// $/h that a supply is charged.
    pub(super) fn charge_of(&self, supply: usize, charges: &Charges) -> f64 {
        if charges.is_flat() {
            let positions = self.problem.capacity.range(supply);
            let paid = positions.map(|at| charges.prices.supplies[at] * self.used[at]);
            return paid.sum();
        }
        let load = self.load(supply, charges);
        self.merit_order.part_cost(supply, load) + charges.rents[supply] * load
    }

    pub(super) fn charge_delta(&self, column: usize, change: i64, charges: &Charges) -> f64 {
        if charges.is_flat() {
            return number(change) * self.flat_charge(column, charges);
        }
        let supply = self.candidates.supply_of(column);
        let before = self.load(supply, charges);
        let after = self.load_after(column, change, charges);
        self.merit_order.part_cost(supply, after) - self.merit_order.part_cost(supply, before)
            + charges.rents[supply] * (after - before)
    }

    fn flat_charge(&self, column: usize, charges: &Charges) -> f64 {
        let uses = self.candidates.uses(column).iter();
        uses.map(|used| charges.prices.supplies[used.position as usize] * used.amount)
            .sum()
    }

    /// $/h that a supply's next unit is charged.
    pub fn unit_price(&self, supply: usize, charges: &Charges) -> f64 {
        let load = self.load(supply, charges);
        self.merit_order.part_price(supply, load) + charges.rents[supply]
    }

    /// $/h of one more replica on a column, shortfall left out.
    pub fn marginal(&self, column: usize, charges: &Charges) -> f64 {
        let supply = self.candidates.supply_of(column);
        let terms = self.candidates.terms(column).iter();
        let limited = terms.map(|term| charges.prices.limits[term.limit] * term.coefficient);
        let cost = self.candidates.column(column).cost + limited.sum::<f64>();
        if self.candidates.uses(column).is_empty() {
            return cost;
        }
        let mut share = 1.0;
        if self.charges.is_none() {
            if self.fits_units(column, supply) {
                share = charges.spare_share;
            } else if self.needed[supply] < self.allowed[supply] {
                return cost + self.merit_order.next(supply, self.needed[supply]).0;
            }
        }
        let load = self.load(supply, charges);
        let more = self.load_after(column, 1, charges) - load;
        let price = self.merit_order.part_price(supply, load) + charges.rents[supply];
        cost + share * more * price
    }

    /// Replicas that fit before the price of units rises, at least 1.
    pub fn level_room(&self, column: usize) -> i64 {
        let supply = self.candidates.supply_of(column);
        let needed = self.needed[supply];
        let units = needed + self.merit_order.next(supply, (needed - 1).max(0)).1;
        let units = units.min(self.allowed[supply]);
        whole(self.room_in_units(column, units)).max(1)
    }

    /// Whether one more replica breaks the term's limit.
    pub fn is_full(&self, term: &Term) -> bool {
        let bound = self.problem.bounds[term.limit];
        self.limited[term.limit] + term.coefficient > bound * (1.0 + super::FITS)
    }
}
