//! Problems that are valid and odd: things that are 0, missing, or very many.

use parkade_placement::{Budget, Solution, json, solve};

const WORK: u64 = 1_000_000;

fn solved(supplies: &str, arcs: &str, quantity: f64) -> Solution {
    let text = format!(
        r#"{{"version": 1, "limits": [], "supplies": [{supplies}], "arcs": [{arcs}], "demands": [
            {{"id": "nowhere", "covers": [{{"id": "rate", "quantity": 1, "short_cost": 1}}]}},
            {{"id": "w", "covers": [{{"id": "rate", "quantity": {quantity}, "short_cost": 1}}]}}]}}"#
    );
    let problem = json::read(&text).expect("valid");
    let never = || false;
    let solution = solve(&problem, &mut Budget::new(WORK, &never));
    assert!(solution.bound <= solution.objective);
    solution
}

fn supply(count: i64, cost: f64, capacity: f64) -> String {
    format!(
        r#"{{"id": "s", "steps": [{{"count": {count}, "cost": {cost}}}], "capacity": {{"unit": {capacity:?}}}}}"#
    )
}

fn arc(yielded: f64, amount: f64, max: i64) -> String {
    let cost = yielded / 1000.0;
    format!(
        r#"{{"id": "a", "demand": 1, "supply": 0, "yields": [{yielded}], "cost": {cost}, "use": {{"unit": {amount}}}, "max": {max}}}"#
    )
}

#[test]
fn a_demand_without_arcs_is_short() {
    let solution = solved(&supply(9, 0.1, 1.0), &arc(1.0, 0.5, 9), 2.0);
    assert_eq!(solution.replicas, [2]);
    assert_eq!(solution.short, [[1.0], [0.0]]);
}

#[test]
fn the_gap_holds_beside_a_huge_shortfall() {
    let text = r#"{"version": 1, "limits": [],
        "demands": [{"id": "w", "covers": [{"id": "rate", "quantity": 9, "short_cost": 1e15}]}],
        "supplies": [{"id": "s", "steps": [{"count": 2, "cost": 1.5}], "capacity": {"unit": 1}}],
        "arcs": [{"id": "a", "demand": 0, "supply": 0, "yields": [1], "cost": 0, "use": {"unit": 1}, "max": 9}]}"#;
    let problem = json::read(text).expect("valid");
    let never = || false;
    let solution = solve(&problem, &mut Budget::new(WORK, &never));
    assert_eq!(solution.replicas, [2]);
    let gap = (solution.objective - solution.bound) / 3.0;
    assert!((solution.gap - gap).abs() <= 1e-9 * gap, "{solution:?}");
}

#[test]
fn a_capacity_of_less_than_nothing_by_its_sign_is_none() {
    let solution = solved(&supply(9, 0.1, -0.0), &arc(1.0, 0.5, 9), 2.0);
    assert_eq!(solution.replicas, [0]);
}

#[test]
fn a_hundred_million_replicas_leave_a_unit_at_once() {
    // Two units are little more than one: the plan asks what it would cost to do without the second.
    let solution = solved(&supply(9, 5.0, 1.0), &arc(1e-6, 4e-9, 1_000_000_000), 350.0);
    assert_eq!(solution.units, [2]);
    assert!(solution.replicas[0] >= 349_000_000);
}
