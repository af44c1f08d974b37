//! The example of the reference, by hand.

use parkade_placement::bound::{RowPrices, bound};
use parkade_placement::{Budget, Problem, Solution, Status, json, solve};

const REFERENCE: &str = include_str!("../../../docs/placement.md");

fn example() -> Problem {
    let text = REFERENCE
        .split("```json\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next());
    json::read(text.expect("the reference has an example")).expect("the example is valid")
}

fn solved(problem: &Problem, work: u64) -> Solution {
    let never = || false;
    solve(problem, &mut Budget::new(work, &never))
}

#[test]
fn three_kept_cars_serve_the_example() {
    let solution = solved(&example(), 1_000_000);
    assert_eq!(solution.replicas, [3, 0, 0]);
    assert_eq!(solution.units, [3, 0]);
    assert!((solution.objective - 3.0 * 0.0792).abs() < 1e-12);
    assert!(solution.bound <= solution.objective);
}

#[test]
fn equal_problems_give_equal_bytes() {
    let write = || json::write(&solved(&example(), 1_000_000));
    assert_eq!(write(), write());
}

#[test]
fn the_bound_follows_the_formula_and_is_rounded_downwards() {
    let problem = example();
    let mut prices = RowPrices::zero(&problem);
    prices.covers.copy_from_slice(&[0.002, 0.01]);
    prices.supplies.copy_from_slice(&[0.08, 1.2, 0.005]);
    // Both cars' arcs cost more than 41.2*0.002 + 0.01 = 0.0924; the server's arc costs 0.099 and is worth 0.25.
    let server = 32.0 * (120.0 * 0.002 + 0.01 - 0.02 - 0.06 * 1.2 - 1.4 * 0.005);
    let cars = 12.0 * (0.0924 - 0.0812) + 1300.0 * (0.0924 - 0.0832);
    let units = 400.0 * (0.08 - 0.078) + 6.0 * (1.6 - 1.5) + 2.0 * (1.6 - 1.54);
    let by_hand = 0.002 * 120.0 + 0.01 * 2.0 - server - cars - units;
    let computed = bound(&problem, &prices, &[]);
    assert!(
        computed < by_hand && by_hand - computed < 1e-6,
        "{computed} {by_hand}"
    );
}

#[test]
fn an_interrupt_ends_with_a_feasible_plan_that_says_so() {
    let text = r#"{"version": 1, "limits": [], "demands": [{"id": "w", "covers": [{"id": "rate", "quantity": 9, "short_cost": 1}]}],
        "supplies": [{"id": "s", "steps": [{"count": 9, "cost": 0.3}], "capacity": {"unit": 1}}], "arcs": [ARCS]}"#;
    let arc = r#"{"id": "new", "demand": 0, "supply": 0, "yields": [1], "cost": 0.1, "use": {"unit": 0.7}, "max": 5}"#;
    let problem = json::read(&text.replace("ARCS", &vec![arc; 2000].join(","))).expect("valid");
    let always = || true;
    let solution = solve(&problem, &mut Budget::new(u64::MAX, &always));
    assert_eq!(solution.status, Status::TimeLimit);
    assert!(solution.bound <= solution.objective);
}

#[test]
fn a_refusal_names_the_entry() {
    let broken = r#"{"version": 1, "demands": [], "supplies": [], "limits": [], "arcs": [
        {"id": "new", "demand": 0, "supply": 0, "yields": [], "cost": 1, "use": {}, "max": 1}]}"#;
    let refusal = json::read(broken)
        .expect_err("there is no demand")
        .to_string();
    assert_eq!(
        refusal,
        "arcs[0].demand is 0, but the file has 0 demands, counted from 0; correct the index"
    );
}
