//! From prices and fractional flows to a whole plan.

use crate::assignment::{Assignment, Charges};
use crate::bound::RowPrices;
use crate::budget::Budget;
use crate::candidates::Candidates;
use crate::closing::close_units;
use crate::greedy::by_value;
use crate::problem::Problem;
use crate::rationing::{ration, trade};
use crate::relocation::Relocation;

/// Passes over the demands at smooth charges; after the first, only demands that changed in the last.
const SMOOTH_PASSES: usize = 3;
/// Passes at true costs: in each, what units in use have to spare is charged this share of its price, so that those
/// to whom it is worth most come first.
const SPARE_SHARES: [f64; 3] = [0.6, 0.2, 0.0];

/// A whole plan near the flows (replicas, not whole, per candidate).
pub fn plan<'p>(
    problem: &'p Problem,
    candidates: &'p Candidates,
    flow: &[f64],
    prices: &RowPrices,
    budget: &mut Budget<'_>,
) -> Assignment<'p> {
    let order = by_value(problem);
    let mut relocation = Relocation::default();
    let mut charges = Charges::new(problem, prices);

    // 1. What is surely needed, then the rest of each demand with one replica of its largest column set free.
    let mut plan = floors(problem, candidates, flow);
    plan.charge(Some(charges.clone()));
    for &demand in &order {
        let columns = candidates.of_demand(demand);
        let largest = columns.max_by_key(|&column| (plan.replicas()[column], column));
        if let Some(column) = largest.filter(|&column| plan.replicas()[column] > 0) {
            plan.change(column, -1);
        }
        relocation.fill(&mut plan, demand, &charges, budget);
    }

    // 2. Local search while a part of a unit costs that part.
    let mut changed = order.clone();
    for _ in 0..SMOOTH_PASSES {
        plan.settle();
        changed.retain(|&demand| relocation.improve(&mut plan, demand, &charges, budget));
    }

    // 3. Room for those who are short and can pay for it.
    ration(&mut plan, &mut charges, &mut relocation, budget);

    // 4. At true costs: units that are hardly used close, rivals change places, units in use fill up.
    close_units(&mut plan, &charges, &mut relocation, budget);
    trade(&mut plan, &charges, &mut relocation, budget);
    for share in SPARE_SHARES {
        charges.spare_share = share;
        plan.settle();
        for &demand in &order {
            relocation.improve(&mut plan, demand, &charges, budget);
        }
    }
    plan.settle();
    plan
}

/// A whole plan near what runs already: only demands that are short or have too much are served anew.
pub fn mend<'p>(
    problem: &'p Problem,
    candidates: &'p Candidates,
    running: &[i64],
    prices: &RowPrices,
    budget: &mut Budget<'_>,
) -> Assignment<'p> {
    let mut relocation = Relocation::default();
    let mut charges = Charges::new(problem, prices);
    let mut plan = Assignment::of_replicas(problem, candidates, running);
    let before = (plan.cost(), plan.replicas().to_vec());
    let mut changed = by_value(problem);
    changed.retain(|&demand| {
        plan.short_cost(demand) > 0.0
            || candidates
                .of_demand(demand)
                .any(|column| plan.superfluous(column) > 0)
    });
    plan.charge(Some(charges.clone()));
    for &demand in &changed {
        relocation.fill(&mut plan, demand, &charges, budget);
    }
    let mut moving = changed.clone();
    for _ in 0..SMOOTH_PASSES {
        plan.settle();
        moving.retain(|&demand| relocation.improve(&mut plan, demand, &charges, budget));
    }
    ration(&mut plan, &mut charges, &mut relocation, budget);
    plan.charge(None);
    close_units(&mut plan, &charges, &mut relocation, budget);
    for share in SPARE_SHARES {
        charges.spare_share = share;
        for &demand in &changed {
            relocation.improve(&mut plan, demand, &charges, budget);
        }
    }
    plan.settle();
    if plan.cost() >= before.0 {
        plan.restart(&before.1);
    }
    plan
}

/// The whole replicas of every flow, as far as they fit.
fn floors<'p>(problem: &'p Problem, candidates: &'p Candidates, flow: &[f64]) -> Assignment<'p> {
    #[allow(clippy::cast_possible_truncation)] // flows lie between 0 and max
    let whole: Vec<i64> = flow
        .iter()
        .map(|flow| (flow + 1e-6).floor() as i64)
        .collect();
    Assignment::of_replicas(problem, candidates, &whole)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::read;

    /// Two demands share servers of two resources and cars; the flows fill 1.3 servers.
    fn problem() -> Problem {
        read(
            r#"{"version": 1, "limits": [{"id": "power", "bound": 3, "terms": [[1, 1], [3, 1]]}],
            "demands": [{"id": "a", "covers": [{"id": "rate", "quantity": 9, "short_cost": 5}]},
                        {"id": "b", "covers": [{"id": "rate", "quantity": 4, "short_cost": 5},
                                               {"id": "min", "quantity": 2, "short_cost": 5}]}],
            "supplies": [{"id": "pool", "steps": [{"count": 3, "cost": 1.5}], "capacity": {"c": 1, "m": 8}},
                         {"id": "cars", "steps": [{"count": 3, "cost": 0.3}, {"count": 4, "cost": 0.4}], "capacity": {"u": 1}}],
            "arcs": [{"id": "", "demand": 0, "supply": 0, "yields": [2], "cost": 0.01, "use": {"c": 0.2, "m": 1}, "max": 9},
                     {"id": "", "demand": 0, "supply": 1, "yields": [1.5], "cost": 0, "use": {"u": 1}, "max": 9},
                     {"id": "", "demand": 1, "supply": 0, "yields": [2, 1], "cost": 0.01, "use": {"c": 0.1, "m": 2}, "max": 9},
                     {"id": "", "demand": 1, "supply": 1, "yields": [1, 1], "cost": 0, "use": {"u": 1}, "max": 9}]}"#,
        )
        .expect("valid")
    }

    fn planned(flow: &[f64], work: u64) -> (Vec<i64>, f64) {
        let problem = problem();
        let candidates = Candidates::all(&problem);
        let prices = RowPrices {
            covers: vec![0.17, 0.15, 0.1],
            supplies: vec![1.0, 0.06, 0.3],
            limits: vec![0.0],
        };
        let never = || false;
        let plan = plan(
            &problem,
            &candidates,
            flow,
            &prices,
            &mut Budget::new(work, &never),
        );
        (plan.replicas_of_arcs(), plan.cost())
    }

    #[test]
    fn one_server_is_filled_instead_of_two_begun() {
        let (replicas, cost) = planned(&[4.5, 0.0, 2.0, 0.0], 1_000_000);
        assert_eq!(replicas, [4, 1, 2, 0]);
        assert!((cost - (1.5 + 0.3 + 0.06)).abs() < 1e-12, "{cost}");
    }

    #[test]
    fn without_work_left_the_plan_is_what_was_found_so_far() {
        let (_, best) = planned(&[4.5, 0.0, 2.0, 0.0], 1_000_000);
        for work in [0, 1, 10, 100] {
            assert!(planned(&[4.5, 0.0, 2.0, 0.0], work).1 >= best);
        }
    }
}
