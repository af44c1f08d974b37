//! Prices, candidates and a fractional plan of the whole problem.

use crate::ascent;
use crate::bound::RowPrices;
use crate::budget::Budget;
use crate::candidates::Candidates;
use crate::dual::{Dual, Evaluation};
use crate::equilibrium::Equilibrium;
use crate::problem::Problem;

const SWEEPS: usize = 25;
/// Sweeps between two exact evaluations of the dual.
const EVALUATE_EVERY: usize = 3;
/// Points of the ascent that ends the search for prices.
const ASCENT: usize = 0;

/// What the market ended with.
pub struct Cleared {
    /// The best prices found, and what demands would use there.
    pub evaluation: Evaluation,
    /// Arcs that are worth a search.
    pub candidates: Candidates,
    /// Replicas, not whole, per candidate.
    pub flow: Vec<f64>,
}

/// Find prices and a fractional plan.
pub fn clear(problem: &Problem, order: Vec<usize>, budget: &mut Budget<'_>) -> Cleared {
    let t0 = std::time::Instant::now();
    let mut equilibrium = Equilibrium::new(problem, order);
    eprintln!("init {:.3}", t0.elapsed().as_secs_f64());
    let mut dual = Dual::new(problem);
    let mut best: Option<Evaluation> = None;
    for sweep in 1..=SWEEPS {
        let c0 = cpu();
        let work = equilibrium.sweep(budget);
        eprintln!("  sweep {sweep} cpu {:.2} work {work}", cpu() - c0);
        let cost = equilibrium.cost();
        equilibrium.follow();
        if !budget.spend(work) {
            break;
        }
        if sweep % EVALUATE_EVERY == 0 || sweep == SWEEPS {
            let c0 = cpu();
            let here = dual.evaluate(equilibrium.prices());
            eprintln!("  eval cpu {:.2}", cpu() - c0);
            budget.spend(problem.arcs());
            let new = equilibrium.learn(&here);
            equilibrium.forget();
            eprintln!(
                "sweep {sweep} t {:.3} cpu {:.2} cost {:.2} D {:.2} new {new}",
                t0.elapsed().as_secs_f64(),
                cpu(),
                cost,
                here.value
            );
            if best.as_ref().is_none_or(|best| here.value > best.value) {
                best = Some(here);
            }
        }
    }
    let best = best.unwrap_or_else(|| dual.evaluate(RowPrices::zero(problem)));
    let cost = equilibrium.cost();
    let gain = (0.015 * best.value.abs()).max(0.5 * (cost - best.value));
    let mut learned = Vec::new();
    let best = ascent::climb(problem, best, gain, ASCENT, budget, &mut |prices| {
        let here = dual.evaluate(prices);
        learned.push(here.value);
        here
    });
    eprintln!(
        "ascent t {:.3} cpu {:.2} D {:.2} {:?}",
        t0.elapsed().as_secs_f64(),
        cpu(),
        best.value,
        learned.iter().map(|v| v.round()).collect::<Vec<_>>()
    );
    equilibrium.learn(&best);
    let flows: Vec<Vec<(usize, f64)>> = equilibrium.flows().collect();
    let candidates = Candidates::new(
        problem,
        flows.iter().map(|flow| flow.iter().map(|entry| entry.0)),
    );
    Cleared {
        evaluation: best,
        candidates,
        flow: flows.concat().into_iter().map(|entry| entry.1).collect(),
    }
}

fn cpu() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = text
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}
