//! What one solve leaves for the next: where the market rested and what the plan ran.

use crate::candidates::Candidates;
use crate::error::InvalidProblem;
use crate::problem::Problem;

/// The end of a solve, for a warm start of a problem with the same demands, supplies, arcs and limits; quantities,
/// costs and capacities may have changed. Arcs have the file's indices.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    /// $/h of a unit that its capacity alone is worth, per supply.
    pub rents: Vec<f64>,
    /// Weight of a resource in its supply's load, per position of `Problem::capacity`; they sum to 1 in a supply.
    pub weights: Vec<f64>,
    /// mu where a limit is just reached, per limit.
    pub multipliers: Vec<f64>,
    /// Published price of a unit, per supply; NaN where it is not known.
    pub unit_prices: Vec<f64>,
    /// Published price per limit; NaN where it is not known.
    pub limit_prices: Vec<f64>,
    /// The price of each cover; NaN where it is not known.
    pub theta: Vec<f64>,
    /// Candidates.
    pub arcs: Vec<usize>,
    /// Replicas, not whole, per candidate.
    pub flow: Vec<f64>,
    /// (arc, replicas) of the plan.
    pub replicas: Vec<(usize, i64)>,
}

impl State {
    /// Nothing is known.
    #[must_use]
    pub fn empty(problem: &Problem) -> Self {
        Self {
            rents: vec![0.0; problem.supplies()],
            weights: vec![1.0; problem.capacity.values().len()],
            multipliers: vec![0.0; problem.bounds.len()],
            unit_prices: vec![f64::NAN; problem.supplies()],
            limit_prices: vec![f64::NAN; problem.bounds.len()],
            theta: vec![f64::NAN; problem.covers.values().len()],
            arcs: Vec::new(),
            flow: Vec::new(),
            replicas: Vec::new(),
        }
    }

    /// The plan's replicas per column of the candidates; arcs that are no candidates are left out.
    pub(crate) fn on_columns(&self, problem: &Problem, candidates: &Candidates) -> Vec<i64> {
        let indices: Vec<usize> = self.replicas.iter().map(|entry| entry.0).collect();
        let mut running = vec![0; candidates.count()];
        for (arc, entry) in problem.arcs_at(&indices).into_iter().zip(&self.replicas) {
            let columns = candidates.of_demand(problem.demand_of(arc));
            if let Ok(place) = candidates.arcs()[columns.clone()].binary_search(&arc) {
                running[columns.start + place] = entry.1;
            }
        }
        running
    }

    /// Check that the state is one of this problem.
    ///
    /// # Errors
    /// [`InvalidProblem`] names the part that does not fit.
    pub fn check(&self, problem: &Problem) -> Result<(), InvalidProblem> {
        for (name, length, wanted) in [
            ("rents", self.rents.len(), problem.supplies()),
            (
                "weights",
                self.weights.len(),
                problem.capacity.values().len(),
            ),
            ("multipliers", self.multipliers.len(), problem.bounds.len()),
            ("unit_prices", self.unit_prices.len(), problem.supplies()),
            (
                "limit_prices",
                self.limit_prices.len(),
                problem.bounds.len(),
            ),
            ("theta", self.theta.len(), problem.covers.values().len()),
            ("flow", self.flow.len(), self.arcs.len()),
        ] {
            if length != wanted {
                return Err(InvalidProblem::new(format!(
                    "the state's {name} has {length} entries where the problem needs {wanted}; use the state of a problem with the same demands, supplies and limits"
                )));
            }
        }
        let arcs = self
            .arcs
            .iter()
            .chain(self.replicas.iter().map(|entry| &entry.0));
        if let Some(arc) = arcs.into_iter().find(|&&arc| arc >= problem.arcs()) {
            return Err(InvalidProblem::new(format!(
                "the state names arc {arc}, but the problem has {} arcs; use the state of a problem with the same arcs",
                problem.arcs()
            )));
        }
        Ok(())
    }
}
