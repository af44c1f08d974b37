//! The arcs that a search may use: all of a small problem, the promising ones of a large one.

use crate::problem::{Problem, Rows};

/// Arcs by demand, by supply and by limit, each in rising order.
#[derive(Debug, Clone)]
pub struct Candidates {
    demands: Rows<usize>,
    supplies: Rows<usize>,
    limits: Rows<usize>,
}

impl Candidates {
    /// Every arc.
    pub fn all(problem: &Problem) -> Self {
        Self::new(
            problem,
            (0..problem.demands()).map(|demand| problem.arcs_of(demand)),
        )
    }

    /// Given arcs, demand by demand, in rising order.
    pub fn new(
        problem: &Problem,
        arcs: impl IntoIterator<Item = impl IntoIterator<Item = usize>>,
    ) -> Self {
        let demands = Rows::new(arcs);
        let mut supplies = vec![Vec::new(); problem.supplies()];
        let mut limits = vec![Vec::new(); problem.bounds.len()];
        for &arc in demands.values() {
            supplies[problem.supply_of(arc)].push(arc);
            for term in problem.terms(arc) {
                limits[term.limit].push(arc);
            }
        }
        Self {
            demands,
            supplies: Rows::new(supplies),
            limits: Rows::new(limits),
        }
    }

    /// Candidates of a demand.
    pub fn of_demand(&self, demand: usize) -> &[usize] {
        self.demands.row(demand)
    }

    /// Candidates on a supply.
    pub fn of_supply(&self, supply: usize) -> &[usize] {
        self.supplies.row(supply)
    }

    /// Candidates that a limit counts.
    pub fn of_limit(&self, limit: usize) -> &[usize] {
        self.limits.row(limit)
    }

    /// Every candidate, demand by demand.
    pub fn arcs(&self) -> &[usize] {
        self.demands.values()
    }
}
