//! Where something is short because a supply or a limit is full: raise its price, so that those who can leave it most
//! cheaply do, and serve the short demands with what they free.

use crate::assignment::{Assignment, Charges};
use crate::budget::Budget;
use crate::relocation::Relocation;

/// Growth of a full row's price in a round.
const RAISE: f64 = 1.1;
/// Rounds; the prices of rows that stay full and wanted grow from round to round.
const MOST_ROUNDS: usize = 6;
/// Rounds without a cheaper plan after which no further one is tried.
const PATIENCE: usize = 2;
/// Shortfall below this share of the plan's cost is left alone: moving many for it costs more.
const NEGLIGIBLE: f64 = 1e-6;

/// Supplies and limits that keep a demand from a column, each once.
#[derive(Default)]
struct Full {
    supplies: Vec<usize>,
    limits: Vec<usize>,
}

/// Search at rising prices; returns to the cheapest plan found, at true costs.
pub fn ration(
    plan: &mut Assignment<'_>,
    charges: &Charges,
    relocation: &mut Relocation,
    budget: &mut Budget<'_>,
) {
    let mut raised = charges.clone();
    let mut best = (plan.true_cost(), plan.replicas().to_vec());
    let mut waited = 0;
    for _ in 0..MOST_ROUNDS {
        let short = short_demands(plan, NEGLIGIBLE * best.0.abs());
        let full = Full::of(plan, &short);
        if (full.supplies.is_empty() && full.limits.is_empty()) || waited == PATIENCE {
            break;
        }
        full.raise(plan, &mut raised);
        let tenants = full.tenants(plan);
        plan.charge(Some(raised.clone()));
        visit(plan, &tenants, &raised, relocation, budget);
        for &demand in &short {
            relocation.fill(plan, demand, &raised, budget);
        }
        // At the prices that were right for most, what the raise drove out too far comes back.
        plan.charge(Some(charges.clone()));
        visit(plan, &tenants, charges, relocation, budget);
        let cost = plan.true_cost();
        waited += 1;
        if cost < best.0 {
            best = (cost, plan.replicas().to_vec());
            waited = 0;
        }
    }
    plan.restart(&best.1);
}

fn visit(
    plan: &mut Assignment<'_>,
    demands: &[usize],
    charges: &Charges,
    relocation: &mut Relocation,
    budget: &mut Budget<'_>,
) {
    for &demand in demands {
        relocation.improve(plan, demand, charges, budget);
    }
}

/// Demands with a shortfall that costs more than `least`, dearest first.
fn short_demands(plan: &Assignment<'_>, least: f64) -> Vec<usize> {
    let demands = 0..plan.problem().demands();
    let mut short: Vec<(f64, usize)> = demands
        .map(|demand| (plan.short_cost(demand), demand))
        .filter(|entry| entry.0 > least)
        .collect();
    short.sort_by(|left, right| right.0.total_cmp(&left.0).then(left.1.cmp(&right.1)));
    short.into_iter().map(|entry| entry.1).collect()
}

impl Full {
    /// The rows that refuse the short demands a further replica; a full limit goes before its supply.
    fn of(plan: &Assignment<'_>, short: &[usize]) -> Self {
        let candidates = plan.candidates();
        let mut full = Self::default();
        for column in short
            .iter()
            .flat_map(|&demand| candidates.of_demand(demand))
        {
            let has_more = plan.replicas()[column] < candidates.max_of(column);
            if !has_more || plan.room(column) > 0 || plan.wanted(column).0 == 0 {
                continue;
            }
            let limits = full.limits.len();
            let terms = candidates.terms(column).iter();
            full.limits.extend(
                terms
                    .filter(|term| plan.is_full(term))
                    .map(|term| term.limit),
            );
            if full.limits.len() == limits {
                full.supplies.push(candidates.supply_of(column));
            }
        }
        for rows in [&mut full.supplies, &mut full.limits] {
            rows.sort_unstable();
            rows.dedup();
        }
        full
    }

    fn raise(&self, plan: &Assignment<'_>, charges: &mut Charges) {
        for &supply in &self.supplies {
            charges.rents[supply] += (RAISE - 1.0) * plan.unit_price(supply, charges);
        }
        for &limit in &self.limits {
            charges.prices.limits[limit] *= RAISE;
        }
    }

    /// Whose replicas are in these rows.
    fn tenants(&self, plan: &Assignment<'_>) -> Vec<usize> {
        let candidates = plan.candidates();
        let supplies = self
            .supplies
            .iter()
            .map(|&supply| candidates.of_supply(supply));
        let limits = self.limits.iter().map(|&limit| candidates.of_limit(limit));
        let columns = supplies
            .chain(limits)
            .flatten()
            .map(|&column| column as usize);
        let mut demands: Vec<usize> = columns
            .filter(|&column| plan.replicas()[column] > 0)
            .map(|column| candidates.demand_of(column))
            .collect();
        demands.sort_unstable();
        demands.dedup();
        demands
    }
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
        let charges = Charges::new(&problem, &RowPrices::zero(&problem));
        let mut never = || false;
        ration(
            &mut plan,
            &charges,
            &mut Relocation::default(),
            &mut Budget::new(10_000, &mut never),
        );
        assert_eq!(plan.replicas(), [1, 1, 1]);
        assert!((plan.cost() - 3.2).abs() < 1e-12);
    }
}
