//! From a problem to a plan with its certificate.

use crate::assignment::{Assignment, Charges};
use crate::bound::RowPrices;
use crate::budget::Budget;
use crate::candidates::Candidates;
use crate::error::InvalidProblem;
use crate::greedy::serve_all;
use crate::prices::{Parts, Point, climb, evaluate, starting_prices};
use crate::problem::{Problem, Rows};
use crate::search;
use crate::solution::{ExactPart, Prices, Solution};
use crate::status::Status;
use crate::{COVER_TOLERANCE, OPTIMAL_GAP};

/// Steps of the linear and of the integer ascent.
const LINEAR_ROUNDS: usize = 300;
const INTEGER_ROUNDS: usize = 100;

/// Find a feasible plan and a bound within the budget.
#[must_use]
pub fn solve(problem: &Problem, budget: &mut Budget<'_>) -> Solution {
    // 1. A first plan at true costs: every later step has something to beat.
    let candidates = Candidates::all(problem);
    let mut best = Assignment::empty(problem, &candidates);
    serve_all(&mut best, budget);

    // 2. Prices from its marginal units upwards.
    let units: Vec<i64> = (0..problem.steps.count())
        .map(|supply| best.units_needed(supply))
        .collect();
    let start = evaluate(
        problem,
        starting_prices(problem, &units),
        Parts::Linear,
        budget,
    );
    let point = climb(
        problem,
        start,
        best.cost(),
        LINEAR_ROUNDS,
        Parts::Linear,
        budget,
    );

    // 3. Plans from three starts; the cheapest after a first round of visits gets the long search.
    search::visit(&mut best, budget);
    for mut other in [
        rounded(problem, &candidates, &point),
        guided(problem, &candidates, &point, budget),
    ] {
        search::visit(&mut other, budget);
        if other.cost() < best.cost() {
            best = other;
        }
    }
    search::improve(&mut best, budget);
    search::ruin_and_recreate(&mut best, budget);

    // 4. The certificate: the ascent again, now with integer parts.
    let point = climb_integers(problem, point, best.cost(), budget);
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

/// The whole replicas of the average flow, filled up.
fn rounded<'p>(problem: &'p Problem, candidates: &'p Candidates, point: &Point) -> Assignment<'p> {
    #[allow(clippy::cast_possible_truncation)] // flows lie between 0 and max
    let whole: Vec<i64> = point
        .flow
        .iter()
        .map(|flow| (flow + 1e-6).floor() as i64)
        .collect();
    Assignment::of_replicas(problem, candidates, &whole)
}

/// Served one after another at the prices instead of at true costs.
fn guided<'p>(
    problem: &'p Problem,
    candidates: &'p Candidates,
    point: &Point,
    budget: &mut Budget<'_>,
) -> Assignment<'p> {
    let mut priced = Assignment::empty(problem, candidates);
    priced.charge(Some(Charges::flat(&point.prices)));
    serve_all(&mut priced, budget);
    Assignment::of_replicas(problem, candidates, priced.replicas())
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
    let served = (objective - shortfall).abs();
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
        replicas: problem.in_file_order(&plan.replicas_of_arcs()),
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

/// Temporary.
pub fn trial(problem: &Problem, budget: &mut Budget<'_>) {
    let order = crate::greedy::by_value(problem);
    let cleared = crate::market::clear(problem, order, budget);
    eprintln!("candidates {}", cleared.candidates.arcs().len());
}
