//! Where something is short because supplies or limits are full: auctions of their room, in rounds.
//!
//! In a round every full row is auctioned on its own: its price rises to where the losses of those who would leave
//! meet the bids of the short demands; they change places, and who finds no other place bids in the next round
//! (D. P. Bertsekas, *The auction algorithm*, 1988). Then single trades at true costs, each kept only if it pays.

use crate::assignment::{Assignment, Charges};
use crate::budget::Budget;
use crate::relocation::{Relocation, keep_if_cheaper};
use crate::rows::{Bid, Offer, Row, bids};

/// Rounds of auctions.
const MOST_ROUNDS: usize = 20;
/// Rounds without a cheaper plan after which no further one is tried.
const PATIENCE: usize = 4;
/// Shortfall below this share of the plan's cost is left alone: moving many for it costs more.
const NEGLIGIBLE: f64 = 1e-6;
/// Laps of single trades.
const MOST_LAPS: usize = 6;
/// By how much a price rises above the dearest offer that is taken, as a share of it.
const ABOVE: f64 = 0.01;

/// Auction until nothing is short that could be served for its worth; returns to the cheapest plan found.
///
/// The plan pays true costs afterwards; the charges keep the prices of the last round.
pub fn ration(
    plan: &mut Assignment<'_>,
    charges: &mut Charges,
    relocation: &mut Relocation,
    budget: &mut Budget<'_>,
) {
    let mut best = (plan.true_cost(), plan.replicas().to_vec());
    // The first round upsets more than it mends; only rounds are compared for whether to go on.
    let (mut lowest, mut waited) = (f64::INFINITY, 0);
    for _ in 0..MOST_ROUNDS {
        let short = short_demands(plan);
        let bids = bids(plan, &short, charges);
        if bids.is_empty() || waited == PATIENCE || !budget.is_open() {
            break;
        }
        let rows = bids.chunk_by(|left, right| left.row == right.row);
        let leavers: Vec<(usize, i64)> = rows
            .flat_map(|bids| auction(plan, bids, charges, budget))
            .collect();
        plan.charge(Some(charges.clone()));
        change_places(plan, &short, &leavers, charges, relocation, budget);
        let cost = plan.true_cost();
        waited += 1;
        if cost < lowest {
            (lowest, waited) = (cost, 0);
        }
        if cost < best.0 {
            best = (cost, plan.replicas().to_vec());
        }
    }
    plan.restart(&best.1);
}

/// Demands whose shortfall is worth something, dearest first.
fn short_demands(plan: &Assignment<'_>) -> Vec<usize> {
    let least = NEGLIGIBLE * plan.cost().abs();
    let demands = 0..plan.problem().demands();
    let mut short: Vec<(f64, usize)> = demands
        .map(|demand| (plan.short_cost(demand), demand))
        .filter(|entry| entry.0 > least)
        .collect();
    short.sort_by(|left, right| right.0.total_cmp(&left.0).then(left.1.cmp(&right.1)));
    short.into_iter().map(|entry| entry.1).collect()
}

/// Raise the row's price to where offers meet bids; returns who leaves, as (column, replicas).
fn auction(
    plan: &Assignment<'_>,
    bids: &[Bid],
    charges: &mut Charges,
    budget: &mut Budget<'_>,
) -> Vec<(usize, i64)> {
    let row = bids[0].row;
    let mut leavers = Vec::new();
    let mut wanted: f64 = bids.iter().map(|bid| bid.amount).sum();
    let mut weakest = bids.iter().rev().peekable();
    let mut price = None;
    for offer in row.offers(plan, charges, budget) {
        while let Some(bid) = weakest.next_if(|bid| bid.price <= offer.price) {
            wanted -= bid.amount;
        }
        if wanted <= 0.0 {
            break;
        }
        let count = replicas_for(&offer, wanted, offer.most);
        #[allow(clippy::cast_precision_loss)] // far below 2^53
        {
            wanted -= count as f64 * offer.each;
        }
        price = Some(offer.price);
        leavers.push((offer.column, count));
    }
    if let Some(price) = price {
        match row {
            Row::Supply(supply) => {
                let present = plan.unit_price(supply, charges);
                charges.rents[supply] += price + ABOVE * (price + present);
            }
            Row::Limit(limit) => {
                let present = &mut charges.prices.limits[limit];
                *present += price + ABOVE * (price + *present);
            }
        }
    }
    leavers
}

/// Replicas of an offer that give the room wanted, at most `most`.
#[allow(clippy::cast_possible_truncation)] // the quotient saturates
fn replicas_for(offer: &Offer, wanted: f64, most: i64) -> i64 {
    ((wanted / offer.each).ceil() as i64).clamp(1, most)
}

/// The leavers go, the short demands come, and the leavers find other places.
fn change_places(
    plan: &mut Assignment<'_>,
    short: &[usize],
    leavers: &[(usize, i64)],
    charges: &Charges,
    relocation: &mut Relocation,
    budget: &mut Budget<'_>,
) {
    for &(column, count) in leavers {
        let count = count.min(plan.replicas()[column]); // a column may leave two rows
        if count > 0 {
            plan.change(column, -count);
        }
    }
    for &demand in short {
        relocation.fill(plan, demand, charges, budget);
    }
    for &(column, _) in leavers {
        let demand = plan.candidates().demand_of(column);
        relocation.fill(plan, demand, charges, budget);
        relocation.improve(plan, demand, charges, budget);
    }
}

/// One bid after another against the offers of its row; each trade is kept if it lowers what the plan pays.
pub fn trade(
    plan: &mut Assignment<'_>,
    charges: &Charges,
    relocation: &mut Relocation,
    budget: &mut Budget<'_>,
) {
    let mut short = short_demands(plan);
    for _ in 0..MOST_LAPS {
        let bids = bids(plan, &short, charges);
        let mut traded = Vec::new();
        for bids in bids.chunk_by(|left, right| left.row == right.row) {
            let offers = bids[0].row.offers(plan, charges, budget);
            for bid in bids {
                // All that is wanted, else a part that may be in better proportion to what leaves for it.
                let parts = [1.0, 0.3, 0.1].into_iter();
                let mut served = parts.filter(|part| {
                    let bid = Bid {
                        amount: part * bid.amount,
                        ..*bid
                    };
                    budget.is_open() && try_trade(plan, &bid, &offers, charges, relocation, budget)
                });
                if served.next().is_some() {
                    traded.push(bid.demand);
                }
            }
        }
        plan.settle();
        short = short_demands(plan);
        if traded.is_empty() {
            break;
        }
    }
}

fn try_trade(
    plan: &mut Assignment<'_>,
    bid: &Bid,
    offers: &[Offer],
    charges: &Charges,
    relocation: &mut Relocation,
    budget: &mut Budget<'_>,
) -> bool {
    let mut leavers = Vec::new();
    let mut wanted = bid.amount;
    for offer in offers {
        let running = plan.replicas()[offer.column];
        if wanted <= 0.0 || offer.price >= bid.price {
            break;
        }
        if running > 0 && plan.candidates().demand_of(offer.column) != bid.demand {
            let count = replicas_for(offer, wanted, offer.most.min(running));
            #[allow(clippy::cast_precision_loss)] // far below 2^53
            {
                wanted -= count as f64 * offer.each;
            }
            leavers.push((offer.column, count));
        }
    }
    let mark = plan.mark();
    change_places(plan, &[bid.demand], &leavers, charges, relocation, budget);
    keep_if_cheaper(plan, mark)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bound::RowPrices;
    use crate::candidates::Candidates;
    use crate::json::read;

    #[test]
    fn the_full_supply_goes_to_the_demand_that_has_no_other_place() {
        let problem = read(
            r#"{"version": 1, "limits": [],
            "demands": [{"id": "a", "covers": [{"id": "rate", "quantity": 2, "short_cost": 9}]},
                        {"id": "b", "covers": [{"id": "rate", "quantity": 1, "short_cost": 9}]}],
            "supplies": [{"id": "scarce", "steps": [{"count": 2, "cost": 1}], "capacity": {"u": 1}},
                         {"id": "dear", "steps": [{"count": 5, "cost": 1.2}], "capacity": {"u": 1}}],
            "arcs": [{"id": "", "demand": 0, "supply": 0, "yields": [1], "cost": 0, "use": {"u": 1}, "max": 9},
                     {"id": "", "demand": 0, "supply": 1, "yields": [1], "cost": 0, "use": {"u": 1}, "max": 9},
                     {"id": "", "demand": 1, "supply": 0, "yields": [1], "cost": 0, "use": {"u": 1}, "max": 9}]}"#,
        )
        .expect("valid");
        let candidates = Candidates::all(&problem);
        let mut plan = Assignment::of_replicas(&problem, &candidates, &[2, 0, 0]);
        let mut charges = Charges::new(&problem, &RowPrices::zero(&problem));
        let never = || false;
        ration(
            &mut plan,
            &mut charges,
            &mut Relocation::default(),
            &mut Budget::new(10_000, &never),
        );
        assert_eq!(plan.replicas(), [1, 1, 1]);
        assert!((plan.cost() - 3.2).abs() < 1e-12);
    }
}
