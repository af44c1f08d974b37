//! Prices, candidates and a fractional plan of the whole problem.

use crate::budget::Budget;
use crate::candidates::Candidates;
use crate::dual::{Dual, Evaluation};
use crate::equilibrium::Equilibrium;
use crate::problem::Problem;
use crate::state::State;

/// Sweeps at most, and sweeps between two exact evaluations of the dual: from nothing, and from an earlier solve.
const COLD: (usize, usize) = (30, 6);
const WARM: (usize, usize) = (2, 2);
/// The sweeps end when the fractional plan costs at most this share more than the bound.
const CLOSE: f64 = 0.006;
/// They also end when the bound rises by at most this share between two evaluations and is this near to the cost.
const STUCK: f64 = 0.001;
const NEAR: f64 = 0.02;

/// What the market ended with.
pub struct Cleared {
    /// The best prices found, and what demands would use there.
    pub evaluation: Evaluation,
    /// Arcs that are worth a search.
    pub candidates: Candidates,
    /// Replicas, not whole, per candidate.
    pub flow: Vec<f64>,
    /// Where the market rests, for the next solve.
    pub state: State,
}

/// The arcs on which the last plan ran, in rising order.
fn running(problem: &Problem, last: &State) -> Vec<usize> {
    let indices: Vec<usize> = last.replicas.iter().map(|entry| entry.0).collect();
    let mut arcs = problem.arcs_at(&indices);
    arcs.sort_unstable();
    arcs
}

/// Find prices and a fractional plan.
pub fn clear(
    problem: &Problem,
    order: Vec<usize>,
    last: Option<&State>,
    budget: &mut Budget<'_>,
) -> Cleared {
    let mut equilibrium = Equilibrium::new(problem, order);
    let (sweeps, evaluate_every) = if let Some(last) = last {
        equilibrium.resume(last);
        WARM
    } else {
        COLD
    };
    let mut dual = Dual::new(problem);
    let mut best: Option<Evaluation> = None;
    for sweep in 1..=sweeps {
        let work = equilibrium.sweep(budget);
        equilibrium.follow();
        if !budget.spend(work) || budget.is_in_hurry() {
            break;
        }
        if sweep % evaluate_every == 0 {
            let here = dual.evaluate(equilibrium.prices());
            budget.spend(problem.arcs());
            equilibrium.learn(&here);
            equilibrium.forget();
            let before = best.as_ref().map_or(f64::NEG_INFINITY, |best| best.value);
            let bound = before.max(here.value);
            if here.value > before {
                best = Some(here);
            }
            let distance = (equilibrium.cost() - bound) / bound.abs();
            let is_stuck = bound - before <= STUCK * bound.abs() && distance <= NEAR;
            if distance <= CLOSE || is_stuck {
                break;
            }
        }
    }
    let evaluation = best.unwrap_or_else(|| dual.evaluate(equilibrium.prices()));
    if let Some(last) = last {
        equilibrium.learn_arcs(&running(problem, last));
    }
    let flows: Vec<Vec<(usize, f64)>> = equilibrium.flows().collect();
    let candidates = Candidates::new(
        problem,
        flows.iter().map(|flow| flow.iter().map(|entry| entry.0)),
    );
    Cleared {
        state: equilibrium.state(),
        evaluation,
        candidates,
        flow: flows.concat().into_iter().map(|entry| entry.1).collect(),
    }
}
