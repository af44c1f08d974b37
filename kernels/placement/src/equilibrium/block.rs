//! One demand's candidates and what it has placed on them.

use super::shared::Shared;
use crate::problem::{Problem, number};

/// Share of its worth by which a candidate's price may be off before its demand chooses anew.
const CONTENT: f64 = 0.02;
/// Share of its worth by which an unused candidate is too dear to remember.
const TOO_DEAR: f64 = 0.08;

/// One way to serve the demand, with what it takes of rows.
#[derive(Debug, Clone)]
pub struct Candidate {
    pub arc: usize,
    pub supply: usize,
    pub cost: f64,
    pub max: f64,
    /// Replicas, not whole.
    pub flow: f64,
    /// Where its uses and terms start in the block's arrays.
    pub uses: usize,
    pub terms: usize,
}

/// A demand's candidates, by supply and cost.
#[derive(Debug, Clone, Default)]
pub struct Block {
    pub candidates: Vec<Candidate>,
    /// Candidate by candidate, a value per cover.
    pub yields: Vec<f64>,
    /// (position of `Problem::capacity`, units per replica).
    pub uses: Vec<(usize, f64)>,
    pub terms: Vec<(usize, f64)>,
    /// The last price of each cover.
    pub theta: Vec<f64>,
}

impl Block {
    /// What runs already: arcs that have a dearer twin on their supply; and what is paid for.
    pub fn kept(problem: &Problem, demand: usize) -> Self {
        let arcs = problem.arcs_of(demand);
        let kept = arcs.filter(|&arc| problem.cost_of(arc) < 0.0 || runs(problem, demand, arc));
        Self::of_arcs(problem, &kept.collect::<Vec<_>>())
    }

    /// Take up where another solve rested: candidates with their flow, and the covers' prices.
    pub fn resume(
        &mut self,
        problem: &Problem,
        demand: usize,
        flow: &[(usize, f64)],
        theta: &[f64],
    ) {
        let kept = self.flow().into_iter().filter(|entry| {
            flow.binary_search_by_key(&entry.0, |known| known.0)
                .is_err()
        });
        let mut known: Vec<(usize, f64)> = kept.collect();
        known.extend(
            flow.iter()
                .filter(|entry| problem.arcs_of(demand).contains(&entry.0)),
        );
        self.rebuild(problem, known);
        for candidate in &mut self.candidates {
            candidate.flow = candidate.flow.clamp(0.0, candidate.max);
        }
        if theta.iter().all(|price| price.is_finite()) {
            self.theta = theta.to_vec();
        }
    }

    /// Put what is placed onto the supplies and limits.
    pub fn settle_in(&self, shared: &mut Shared) {
        self.load(shared, 1.0);
    }

    /// theta per cover; nothing when the demand has not chosen yet.
    pub fn theta(&self) -> &[f64] {
        &self.theta
    }

    /// A block of given arcs, nothing placed.
    fn of_arcs(problem: &Problem, arcs: &[usize]) -> Self {
        let mut block = Self::default();
        let mut arcs = arcs.to_vec();
        arcs.sort_by(|&left, &right| {
            let by_cost = problem.cost_of(left).total_cmp(&problem.cost_of(right));
            problem
                .supply_of(left)
                .cmp(&problem.supply_of(right))
                .then(by_cost)
                .then(left.cmp(&right))
        });
        for arc in arcs {
            block.push(problem, arc, 0.0);
        }
        block
    }

    fn push(&mut self, problem: &Problem, arc: usize, flow: f64) {
        let supply = problem.supply_of(arc);
        let first = problem.capacity.range(supply).start;
        let mut max = number(problem.max_of(arc));
        self.candidates.push(Candidate {
            arc,
            supply,
            cost: problem.cost_of(arc),
            max,
            flow,
            uses: self.uses.len(),
            terms: self.terms.len(),
        });
        for used in problem.uses(arc) {
            let capacity = problem.capacity.values()[first + used.resource];
            if capacity > 0.0 {
                self.uses
                    .push((first + used.resource, used.amount / capacity));
            } else {
                max = 0.0;
            }
        }
        if problem.is_used(arc) && problem.total_units(supply) == 0 {
            max = 0.0;
        }
        for term in problem.terms(arc) {
            if problem.bounds[term.limit] > 0.0 {
                self.terms.push((term.limit, term.coefficient));
            } else {
                max = 0.0;
            }
        }
        self.yields.extend(problem.yields(arc));
        if let Some(candidate) = self.candidates.last_mut() {
            candidate.max = max;
        }
    }

    /// Number of candidates.
    pub fn len(&self) -> usize {
        self.candidates.len()
    }

    /// Make candidates of arcs.
    pub fn learn(&mut self, problem: &Problem, arcs: &[usize]) {
        let mut known = self.flow();
        let before = known.len();
        for &arc in arcs {
            if let Err(place) = known.binary_search_by_key(&arc, |entry| entry.0) {
                known.insert(place, (arc, 0.0));
            }
        }
        if known.len() > before {
            self.rebuild(problem, known);
        }
    }

    /// (candidate, replicas), arcs in rising order.
    pub fn flow(&self) -> Vec<(usize, f64)> {
        let mut flow: Vec<(usize, f64)> = self
            .candidates
            .iter()
            .map(|candidate| (candidate.arc, candidate.flow))
            .collect();
        flow.sort_by_key(|entry| entry.0);
        flow
    }

    /// $/h of the replicas beyond their units, and of what is short.
    pub fn cost(&self, problem: &Problem, demand: usize) -> f64 {
        let covers = problem.covers.row(demand);
        let mut cost: f64 = self
            .candidates
            .iter()
            .map(|candidate| candidate.cost * candidate.flow)
            .sum();
        for (row, cover) in covers.iter().enumerate() {
            let yields = self.yields.iter().skip(row).step_by(covers.len());
            let covered: f64 = self
                .candidates
                .iter()
                .zip(yields)
                .map(|(candidate, yielded)| candidate.flow * yielded)
                .sum();
            cost += cover.short_cost * (cover.quantity - covered).max(0.0);
        }
        cost
    }

    /// Add up, per limit, what the replicas cost, and how much of the limit they take.
    pub fn limit_scales(&self, problem: &Problem, shared: &Shared, sums: &mut [(f64, f64)]) {
        for at in 0..self.candidates.len() {
            for &(limit, coefficient) in self.terms_of(at) {
                let candidate = &self.candidates[at];
                let units = self.uses_of(at).iter();
                let units: f64 = units
                    .map(|&(position, units)| {
                        shared.prices[position] * problem.capacity.values()[position] * units
                    })
                    .sum();
                sums[limit].0 += candidate.flow * (candidate.cost + units).abs();
                sums[limit].1 += candidate.flow * coefficient;
            }
        }
    }

    pub fn uses_of(&self, at: usize) -> &[(usize, f64)] {
        let end = self
            .candidates
            .get(at + 1)
            .map_or(self.uses.len(), |next| next.uses);
        &self.uses[self.candidates[at].uses..end]
    }

    pub fn terms_of(&self, at: usize) -> &[(usize, f64)] {
        let end = self
            .candidates
            .get(at + 1)
            .map_or(self.terms.len(), |next| next.terms);
        &self.terms[self.candidates[at].terms..end]
    }

    /// Change what all candidates load by so many times their flow.
    pub fn load(&self, shared: &mut Shared, sign: f64) {
        let resources = shared.used.len();
        for (at, candidate) in self.candidates.iter().enumerate() {
            if candidate.flow > 0.0 {
                for &(position, units) in self.uses_of(at) {
                    shared.change(position, sign * units * candidate.flow);
                }
                for &(limit, coefficient) in self.terms_of(at) {
                    shared.change(resources + limit, sign * coefficient * candidate.flow);
                }
            }
        }
    }

    /// $/h by which a candidate costs more than it is worth to the demand, as a share of its worth.
    fn excess(&self, problem: &Problem, demand: usize, at: usize, shared: &Shared) -> f64 {
        let covers = problem.covers.range(demand).len();
        let mut cost = self.candidates[at].cost;
        for &(position, units) in self.uses_of(at) {
            cost += shared.prices[position] * problem.capacity.values()[position] * units;
        }
        for &(limit, coefficient) in self.terms_of(at) {
            cost += shared.limit_prices[limit] * coefficient;
        }
        let yields = &self.yields[at * covers..(at + 1) * covers];
        let worth: f64 = self
            .theta
            .iter()
            .zip(yields)
            .map(|(price, yielded)| price * yielded)
            .sum();
        (cost - worth) / worth.max(1e-12)
    }

    /// Whether what the demand uses is no dearer than it is worth, and nothing else is cheaper.
    pub fn is_content(&self, problem: &Problem, demand: usize, shared: &Shared) -> bool {
        self.theta.len() == problem.covers.range(demand).len()
            && self.covers_as_wanted(problem, demand)
            && self.candidates.iter().enumerate().all(|(at, candidate)| {
                let excess = self.excess(problem, demand, at, shared);
                (candidate.flow <= 0.0 || excess <= CONTENT)
                    && (candidate.flow >= 0.999 * candidate.max || excess >= -CONTENT)
            })
    }

    /// Whether nothing is short that is worth covering, and nothing that costs something is covered in excess.
    fn covers_as_wanted(&self, problem: &Problem, demand: usize) -> bool {
        let covers = problem.covers.row(demand);
        covers
            .iter()
            .zip(&self.theta)
            .enumerate()
            .all(|(row, (cover, &theta))| {
                let yields = self.yields.iter().skip(row).step_by(covers.len());
                let covered: f64 = self
                    .candidates
                    .iter()
                    .zip(yields)
                    .map(|(candidate, yielded)| candidate.flow * yielded)
                    .sum();
                let slack = CONTENT * cover.quantity;
                (covered >= cover.quantity - slack || theta >= 0.999 * cover.short_cost)
                    && (covered <= cover.quantity + slack || theta <= 0.001 * cover.short_cost)
            })
    }

    /// Forget candidates that are not used and far too dear.
    pub fn forget(&mut self, problem: &Problem, demand: usize, shared: &Shared) {
        let kept: Vec<(usize, f64)> = (0..self.candidates.len())
            .filter(|&at| {
                self.candidates[at].flow > 0.0
                    || runs(problem, demand, self.candidates[at].arc)
                    || self.excess(problem, demand, at, shared) <= TOO_DEAR
            })
            .map(|at| (self.candidates[at].arc, self.candidates[at].flow))
            .collect();
        if kept.len() < self.candidates.len() {
            self.rebuild(problem, kept);
        }
    }

    fn rebuild(&mut self, problem: &Problem, mut known: Vec<(usize, f64)>) {
        known.sort_unstable_by_key(|entry| entry.0);
        let arcs: Vec<usize> = known.iter().map(|entry| entry.0).collect();
        let theta = std::mem::take(&mut self.theta);
        *self = Self::of_arcs(problem, &arcs);
        self.theta = theta;
        for candidate in &mut self.candidates {
            if let Ok(place) = known.binary_search_by_key(&candidate.arc, |entry| entry.0) {
                candidate.flow = known[place].1;
            }
        }
    }
}

/// Whether the arc stands for what runs already: its supply offers the demand a dearer twin.
fn runs(problem: &Problem, demand: usize, arc: usize) -> bool {
    let arcs = problem.arcs_of(demand);
    let is_cheaper_than = |other: usize| {
        problem.supply_of(other) == problem.supply_of(arc)
            && problem.cost_of(arc) < problem.cost_of(other)
    };
    (arc + 1 < arcs.end && is_cheaper_than(arc + 1))
        || (arc > arcs.start && is_cheaper_than(arc - 1))
}
