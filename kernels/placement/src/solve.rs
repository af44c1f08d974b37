//! From a problem to a plan with its certificate.

use crate::assignment::{Assignment, Charges};
use crate::bound::{RowPrices, bound, linear_part};
use crate::budget::Budget;
use crate::candidates::Candidates;
use crate::error::InvalidProblem;
use crate::greedy::{by_value, serve_all};
use crate::integer_part::integer_part;
use crate::market::{Cleared, clear};
use crate::prices::{Parts, Point, climb, evaluate};
use crate::problem::{Problem, Rows};
use crate::rounding;
use crate::search;
use crate::single::Single;
use crate::solution::{ExactPart, Prices, Solution};
use crate::state::State;
use crate::status::Status;
use crate::{COVER_TOLERANCE, OPTIMAL_GAP};
use rayon::prelude::*;

/// Steps of the linear and of the integer ascent.
const LINEAR_ROUNDS: usize = 300;
const INTEGER_ROUNDS: usize = 100;

/// Up to so many arcs, the whole problem is searched again and again, and prices see integer parts.
const SMALL: usize = 20_000;

/// Find a feasible plan and a bound within the budget.
#[must_use]
pub fn solve(problem: &Problem, budget: &mut Budget<'_>) -> Solution {
    solve_from(problem, None, budget).0
}

/// Find a feasible plan and a bound within the budget, from where an earlier solve ended; returns where this one did.
///
/// The state must fit the problem ([`State::check`]).
#[must_use]
pub fn solve_from(
    problem: &Problem,
    last: Option<&State>,
    budget: &mut Budget<'_>,
) -> (Solution, State) {
    if let Some(single) = Single::of(problem) {
        let solution = assign(problem, &single, budget);
        return (solution, State::empty(problem));
    }
    let market = clear(problem, by_value(problem), last, budget);
    let solution = plan(problem, &market, last, budget);
    let replicas = solution.replicas.iter().copied().enumerate();
    let replicas = replicas.filter(|entry| entry.1 > 0).collect();
    (
        solution,
        State {
            replicas,
            ..market.state
        },
    )
}

/// From prices and a fractional plan to a whole one.
fn plan(
    problem: &Problem,
    market: &Cleared,
    last: Option<&State>,
    budget: &mut Budget<'_>,
) -> Solution {
    let (prices, candidates) = (&market.evaluation.prices, &market.candidates);
    let round = |budget: &mut Budget<'_>| {
        if let Some(last) = last.filter(|last| !last.replicas.is_empty()) {
            let running = last.on_columns(problem, candidates);
            rounding::mend(problem, candidates, &running, prices, budget)
        } else {
            rounding::plan(problem, candidates, &market.flow, prices, budget)
        }
    };
    if problem.arcs() <= SMALL {
        let plan = round(budget);
        return search_thoroughly(problem, &plan, prices, budget);
    }
    let beside = budget.beside();
    let (plan, point) = rayon::join(
        || round(budget),
        || certify(problem, prices, last.is_none(), &beside),
    );
    publish(problem, &plan, &point, budget)
}

/// The bound at given prices. Integer minima take as long as a whole warm start, so that only a cold one has them.
fn certify(
    problem: &Problem,
    prices: &RowPrices,
    with_integers: bool,
    budget: &Budget<'_>,
) -> Point {
    let exact = if with_integers {
        exact_parts(problem, prices, budget)
    } else {
        Vec::new()
    };
    Point {
        bound: bound(problem, prices, &exact),
        prices: prices.clone(),
        exact,
        flow: Vec::new(),
    }
}

/// The parts of the bound that are dearer as integer minima than as linear ones.
fn exact_parts(problem: &Problem, prices: &RowPrices, budget: &Budget<'_>) -> Vec<ExactPart> {
    let batches = problem.batches().into_par_iter();
    let parts = batches.flat_map_iter(|demands| {
        let open = demands.filter(|_| !budget.is_interrupted());
        let parts = open.filter_map(|demand| integer_part(problem, prices, demand).0);
        parts.filter(|part| part.value > linear_part(problem, prices, part.demand))
    });
    parts.collect()
}

/// Give each demand one replica; prices, and with them the bound, come first.
fn assign(problem: &Problem, single: &Single<'_>, budget: &mut Budget<'_>) -> Solution {
    let point = evaluate(problem, single.prices(budget), Parts::Linear, budget);
    let replicas = single.plan(&point.prices, point.bound, budget);
    let candidates = Candidates::all(problem);
    let plan = Assignment::of_replicas(problem, &candidates, &replicas);
    publish(problem, &plan, &point, budget)
}

/// Search over all arcs from several plans, then climb to prices at which the integer parts are best.
fn search_thoroughly(
    problem: &Problem,
    plan: &Assignment<'_>,
    prices: &RowPrices,
    budget: &mut Budget<'_>,
) -> Solution {
    let candidates = Candidates::all(problem);
    let mut best = Assignment::of_replicas(problem, &candidates, &plan.replicas_of_arcs());
    search::visit(&mut best, budget);
    for mut other in [
        Assignment::empty(problem, &candidates),
        guided(problem, &candidates, prices, budget),
    ] {
        serve_all(&mut other, budget);
        search::visit(&mut other, budget);
        if other.cost() < best.cost() {
            best = other;
        }
    }
    search::improve(&mut best, budget);
    search::ruin_and_recreate(&mut best, budget);
    let start = evaluate(problem, prices.clone(), Parts::Linear, budget);
    let linear = climb(
        problem,
        start,
        best.cost(),
        LINEAR_ROUNDS,
        Parts::Linear,
        budget,
    );
    let point = climb_integers(problem, linear, best.cost(), budget);
    publish(problem, &best, &point, budget)
}

/// Take the better of a solution's plan and the given replicas, and of its prices and the given ones.
///
/// # Errors
/// [`InvalidProblem`] when replicas or prices do not fit the problem.
pub fn improve(
    problem: &Problem,
    solution: &Solution,
    replicas: &[i64],
    prices: &Prices,
    budget: &mut Budget<'_>,
) -> Result<Solution, InvalidProblem> {
    if solution.replicas.len() != problem.arcs() || replicas.len() != problem.arcs() {
        return Err(InvalidProblem::new(
            "the replicas do not fit the problem; give one number for each of its arcs",
        ));
    }
    let candidates = Candidates::all(problem);
    let plan = |replicas: &[i64]| {
        Assignment::of_replicas(problem, &candidates, &problem.from_file_order(replicas))
    };
    let (mut best, mut other) = (plan(&solution.replicas), plan(replicas));
    search::improve(&mut other, budget);
    if other.cost() < best.cost() {
        best = other;
    }
    let mut point = evaluate(
        problem,
        RowPrices::from_published(problem, &solution.prices)?,
        Parts::Integer,
        budget,
    );
    let given = evaluate(
        problem,
        RowPrices::from_published(problem, prices)?,
        Parts::Integer,
        budget,
    );
    if given.bound > point.bound {
        point = given;
    }
    let point = climb_integers(problem, point, best.cost(), budget);
    let mut improved = publish(problem, &best, &point, budget);
    if improved.status == Status::Feasible && solution.status != Status::Optimal {
        improved.status = solution.status; // what stopped the first search may still have cost something
    }
    Ok(improved)
}

/// Served one after another at the prices instead of at true costs.
fn guided<'p>(
    problem: &'p Problem,
    candidates: &'p Candidates,
    prices: &RowPrices,
    budget: &mut Budget<'_>,
) -> Assignment<'p> {
    let mut guided = Assignment::empty(problem, candidates);
    guided.charge(Some(Charges::flat(prices)));
    serve_all(&mut guided, budget);
    Assignment::of_replicas(problem, candidates, guided.replicas())
}

fn climb_integers(problem: &Problem, linear: Point, target: f64, budget: &mut Budget<'_>) -> Point {
    let start = evaluate(problem, linear.prices.clone(), Parts::Integer, budget);
    let start = if start.bound > linear.bound {
        start
    } else {
        linear
    };
    climb(
        problem,
        start,
        target,
        INTEGER_ROUNDS,
        Parts::Integer,
        budget,
    )
}

fn publish(
    problem: &Problem,
    plan: &Assignment<'_>,
    point: &Point,
    budget: &Budget<'_>,
) -> Solution {
    let objective = plan.cost();
    let short: Vec<f64> = (0..problem.covers.values().len())
        .map(|position| plan.short(position))
        .collect();
    let shortfall = plan.short_total();
    // Not the difference of the two: beside a huge shortfall it would be nothing but rounding.
    let served = plan.served_total().abs();
    let gap = (objective - point.bound) / served.max(1e-9);
    // The tolerances themselves keep the bound that far below the cost of a shortfall.
    let status =
        if objective - point.bound <= OPTIMAL_GAP * served + 10.0 * COVER_TOLERANCE * shortfall {
            Status::Optimal
        } else if budget.was_interrupted() {
            Status::TimeLimit
        } else if budget.is_open() {
            Status::Feasible
        } else {
            Status::WorkLimit
        };
    Solution {
        version: 1,
        status,
        objective,
        bound: point.bound,
        gap,
        replicas: problem.in_file_order(plan.replicas_of_arcs()),
        units: (0..problem.steps.count())
            .map(|supply| plan.units(supply))
            .collect(),
        short: Rows::shape_of(&problem.covers, &short),
        prices: point.prices.publish(problem),
        exact: point
            .exact
            .iter()
            .map(|part| in_file_order(problem, part))
            .collect(),
    }
}

/// The part with the file's indices of arcs.
fn in_file_order(problem: &Problem, part: &ExactPart) -> ExactPart {
    let replicas = part.replicas.iter();
    let mut replicas: Vec<(usize, i64)> = replicas
        .map(|&(arc, count)| (problem.file_index_of(arc), count))
        .collect();
    replicas.sort_unstable();
    ExactPart {
        replicas,
        ..part.clone()
    }
}
