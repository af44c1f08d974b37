//! Full rows as markets: what short demands would give for room in a supply or a limit, and at what loss others
//! would leave it.

use crate::assignment::{Assignment, Charges};
use crate::budget::Budget;
use crate::problem::number;

/// A supply or a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Row {
    /// By index; room is counted in units.
    Supply(usize),
    /// By index; room is counted as the bound is.
    Limit(usize),
}

/// A short demand wants room.
#[derive(Debug, Clone, Copy)]
pub struct Bid {
    /// Where.
    pub row: Row,
    /// Whose.
    pub demand: usize,
    /// $/h for one of it, beyond its present price.
    pub price: f64,
    /// How much.
    pub amount: f64,
}

/// A running column could leave.
#[derive(Debug, Clone, Copy)]
pub struct Offer {
    /// Which.
    pub column: usize,
    /// $/h of loss for one of the row's room, beyond its present price.
    pub price: f64,
    /// Room that one replica takes.
    pub each: f64,
    /// Replicas that find a place at this loss.
    pub most: i64,
}

impl Row {
    fn columns<'p>(self, plan: &Assignment<'p>) -> &'p [u32] {
        match self {
            Self::Supply(supply) => plan.candidates().of_supply(supply),
            Self::Limit(limit) => plan.candidates().of_limit(limit),
        }
    }

    /// Room that one replica of a column takes.
    fn taken(self, plan: &Assignment<'_>, column: usize) -> f64 {
        let candidates = plan.candidates();
        match self {
            Self::Supply(supply) if candidates.supply_of(column) == supply => plan.pressure(column),
            Self::Supply(_) => 0.0,
            Self::Limit(limit) => {
                let mut terms = candidates.terms(column).iter();
                let term = terms.find(|term| term.limit == limit);
                term.map_or(0.0, |term| term.coefficient)
            }
        }
    }

    /// All running columns, those that lose least first.
    pub fn offers(
        self,
        plan: &Assignment<'_>,
        charges: &Charges,
        budget: &mut Budget<'_>,
    ) -> Vec<Offer> {
        let columns = self.columns(plan).iter().map(|&column| column as usize);
        let mut offers: Vec<Offer> = columns
            .filter(|&column| plan.replicas()[column] > 0)
            .map(|column| {
                let each = self.taken(plan, column);
                let (loss, most) = self.loss(plan, column, charges, budget);
                Offer {
                    column,
                    price: loss.max(0.0) / each,
                    each,
                    most,
                }
            })
            .collect();
        offers.sort_by(|left, right| {
            left.price
                .total_cmp(&right.price)
                .then(left.column.cmp(&right.column))
        });
        offers
    }

    /// $/h that one replica of a column loses by leaving, and how many can: the cheapest column outside the row that
    /// yields as much, or shortfall, less what the replica costs where it is.
    pub fn loss(
        self,
        plan: &Assignment<'_>,
        column: usize,
        charges: &Charges,
        budget: &mut Budget<'_>,
    ) -> (f64, i64) {
        let candidates = plan.candidates();
        let demand = candidates.demand_of(column);
        let yields = candidates.yields(column);
        let theta = &charges.prices.covers[plan.problem().covers.range(demand)];
        let columns = candidates.of_demand(demand);
        budget.spend(columns.len());
        let mut best = (plan.missed(column), plan.replicas()[column]);
        for other in columns.filter(|&other| self.taken(plan, other) <= 0.0) {
            let room = plan.room(other);
            if room == 0 {
                continue;
            }
            let ratios = yields.iter().zip(candidates.yields(other)).zip(theta);
            let wanted = ratios.filter(|entry| *entry.1 > 0.0 && *entry.0.0 > 0.0);
            let each = wanted
                .map(|((lost, yielded), _)| lost / yielded)
                .fold(0.0, f64::max);
            let cost = plan.marginal(other, charges) * each;
            if cost < best.0 {
                #[allow(clippy::cast_possible_truncation)] // the quotient saturates
                let most = ((number(room) / each) as i64).max(1);
                best = (cost, most.min(plan.replicas()[column]));
            }
        }
        (best.0 - plan.marginal(column, charges), best.1)
    }
}

/// What the demands give for the room that their best columns lack until they would be served; row by row, the
/// highest price first.
pub fn bids(plan: &Assignment<'_>, demands: &[usize], charges: &Charges) -> Vec<Bid> {
    let mut bids: Vec<Bid> = demands
        .iter()
        .flat_map(|&demand| bids_of(plan, demand, charges))
        .collect();
    bids.sort_by(|left, right| {
        left.row
            .cmp(&right.row)
            .then(right.price.total_cmp(&left.price))
            .then(left.demand.cmp(&right.demand))
    });
    bids
}

fn bids_of(plan: &Assignment<'_>, demand: usize, charges: &Charges) -> Vec<Bid> {
    let candidates = plan.candidates();
    let columns = candidates.of_demand(demand);
    let gains = columns.map(|column| {
        let worth = plan.worth(column);
        (column, worth, worth - plan.marginal(column, charges))
    });
    let mut gains: Vec<(usize, f64, f64)> = gains
        .filter(|entry| entry.1 > 0.0 && entry.2 > 0.0)
        .collect();
    gains.sort_by(|left, right| {
        (right.2 / right.1)
            .total_cmp(&(left.2 / left.1))
            .then(left.0.cmp(&right.0))
    });
    let mut bids = Vec::new();
    let mut left = 1.0;
    for (column, _, gain) in gains {
        let wanted = number(plan.wanted(column).0);
        let room = plan.room(column);
        let more = candidates.max_of(column) - plan.replicas()[column];
        let replicas = (left * wanted).min(number(if room > 0 { room } else { more }));
        left -= replicas / wanted;
        if room == 0 && more > 0 {
            bids.extend(full_rows(plan, column).into_iter().map(|(row, each)| Bid {
                row,
                demand,
                price: gain / each,
                amount: replicas * each,
            }));
        }
        if left <= 0.0 {
            break;
        }
    }
    bids
}

/// The rows that refuse a replica of the column, and how much it takes of each: full limits, else the supply.
fn full_rows(plan: &Assignment<'_>, column: usize) -> Vec<(Row, f64)> {
    let terms = plan.candidates().terms(column).iter();
    let full = terms.filter(|term| plan.is_full(term));
    let mut rows: Vec<(Row, f64)> = full
        .map(|term| (Row::Limit(term.limit), term.coefficient))
        .collect();
    if rows.is_empty() {
        let supply = plan.candidates().supply_of(column);
        rows.push((Row::Supply(supply), plan.pressure(column)));
    }
    rows
}
