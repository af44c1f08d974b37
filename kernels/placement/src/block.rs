//! One demand's candidates and what it has placed on them.

use crate::curve::Curve;
use crate::dual::reduced_costs;
use crate::problem::{ArcNumbers, Number, Numbers, Problem, number};
use crate::simplex::Simplex;

/// Share of a limit that the fractional plan may use: rounding to whole replicas needs the rest.
const LIMIT_MARGIN: f64 = 0.97;
/// How strongly a limit's price answers to its load, and the most that it does at once (powers of e).
const LIMIT_STEEPNESS: f64 = 4.0;
const MOST_LIMIT_OVER: f64 = 2.0;
/// How often the candidates of a cover could give its quantity if they had their supplies for themselves.
const REACH: f64 = 3.0;
/// Share of its worth by which a candidate's price may be off before its demand chooses anew.
const CONTENT: f64 = 0.02;
/// Share of its worth by which an unused candidate is too dear to remember.
const TOO_DEAR: f64 = 0.2;
/// $/h that nobody pays.
const UNREACHABLE: f64 = 1e15;
/// A curve that rises by less than this share while a demand takes all it could is flat for it.
const FLAT: f64 = 0.1;
/// Shares of what a demand could take at which a curve that is not flat is cut, and shares of the supply.
const EVEN: [f64; 3] = [0.1, 0.3, 0.6];
const WALL: [f64; 10] = [0.4, 0.65, 0.8, 0.9, 0.97, 1.0, 1.05, 1.12, 1.25, 1.5];
/// Relative width at which the search for a single cover's price ends.
const PRICE_WIDTH: f64 = 1e-6;

/// What demands use together, and what limits cost.
#[derive(Debug, Clone)]
pub struct Shared {
    /// Units used per position of `Problem::capacity`.
    pub used: Vec<f64>,
    /// Per limit.
    pub limited: Vec<f64>,
    /// pi at the present loads, per position of `Problem::capacity`; only kept up while candidates are looked for.
    pub prices: Vec<f64>,
    /// mu at the present loads.
    pub limit_prices: Vec<f64>,
    /// Multipliers: mu where a limit is just reached.
    pub multipliers: Vec<f64>,
    /// Changes since the lanes met: (position, or number of positions + limit; change).
    pub changes: Vec<(u32, f64)>,
    /// Whether to keep the changes.
    pub record: bool,
}

impl Shared {
    /// Nothing is used.
    pub fn new(problem: &Problem) -> Self {
        Self {
            used: vec![0.0; problem.capacity.values().len()],
            limited: vec![0.0; problem.bounds.len()],
            prices: vec![0.0; problem.capacity.values().len()],
            limit_prices: vec![0.0; problem.bounds.len()],
            multipliers: vec![0.0; problem.bounds.len()],
            changes: Vec::new(),
            record: false,
        }
    }

    /// Take over what others use.
    pub fn copy_loads(&mut self, other: &Self) {
        self.used.copy_from_slice(&other.used);
        self.limited.copy_from_slice(&other.limited);
        self.prices.copy_from_slice(&other.prices);
    }

    /// Make changes that were recorded elsewhere.
    pub fn apply(&mut self, changes: &[(u32, f64)]) {
        for &(position, change) in changes {
            self.add(position as usize, change);
        }
    }

    /// Price a supply's resources at its present load.
    pub fn reprice(&mut self, problem: &Problem, curves: &[Curve], weights: &[f64], supply: usize) {
        let positions = problem.capacity.range(supply);
        let load: f64 = positions
            .clone()
            .map(|position| self.used[position] * weights[position])
            .sum();
        let price = curves[supply].price(load);
        for position in positions {
            let capacity = problem.capacity.values()[position];
            self.prices[position] = if capacity > 0.0 {
                price * weights[position] / capacity
            } else {
                UNREACHABLE
            };
        }
    }

    /// Price the limits at their present loads.
    pub fn reprice_limits(&mut self, problem: &Problem) {
        for (limit, price) in self.limit_prices.iter_mut().enumerate() {
            let over = limit_pressure(problem.bounds[limit], self.limited[limit]);
            *price = self.multipliers[limit] * over.clamp(-MOST_LIMIT_OVER, MOST_LIMIT_OVER).exp();
        }
    }

    fn add(&mut self, position: usize, change: f64) {
        let resources = self.used.len();
        let sum = if position < resources {
            &mut self.used[position]
        } else {
            &mut self.limited[position - resources]
        };
        *sum = (*sum + change).max(0.0);
    }

    #[allow(clippy::cast_possible_truncation)] // rows are far fewer than 2^32
    fn change(&mut self, position: usize, change: f64) {
        if change != 0.0 {
            self.add(position, change);
            if self.record {
                self.changes.push((position as u32, change));
            }
        }
    }
}

/// One way to serve the demand, with what it takes of rows.
#[derive(Debug, Clone)]
struct Candidate {
    arc: usize,
    supply: usize,
    cost: f64,
    max: f64,
    /// Replicas, not whole.
    flow: f64,
    /// Where its uses and terms start in the block's arrays.
    uses: usize,
    terms: usize,
}

/// A demand's candidates, by supply and cost.
#[derive(Debug, Clone, Default)]
pub struct Block {
    candidates: Vec<Candidate>,
    /// Candidate by candidate, a value per cover.
    yields: Vec<f64>,
    /// (position of `Problem::capacity`, units per replica).
    uses: Vec<(usize, f64)>,
    terms: Vec<(usize, f64)>,
    /// The last price of each cover.
    theta: Vec<f64>,
}

/// Buffers kept between demands.
#[derive(Debug, Default)]
pub struct Scratch {
    simplex: Simplex,
    offers: Vec<Offer>,
    segment_of: Vec<usize>,
    ends: Vec<f64>,
    costs: Vec<f64>,
    best: Vec<(f64, usize)>,
}

/// How many of the cheapest arcs become candidates: for the first cover, and for each further one.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// For the first cover, which is the rate of the demand or a part of it.
    pub first: usize,
    /// For each other cover.
    pub further: usize,
}

/// A candidate at present prices.
#[derive(Debug, Clone, Copy)]
struct Offer {
    /// $/h beyond the unit, limits included.
    cost: f64,
    /// Units of load per replica.
    fraction: f64,
    /// Load of the supply before this candidate.
    load: f64,
    /// Most replicas that can help.
    need: f64,
}

impl Block {
    /// What runs already: arcs that have a dearer twin on their supply; and what is paid for.
    pub fn kept(problem: &Problem, demand: usize) -> Self {
        let arcs = problem.arcs_of(demand);
        let cheaper = |arc: usize, other: usize| {
            problem.supply_of(other) == problem.supply_of(arc)
                && problem.cost_of(arc) < problem.cost_of(other)
        };
        let kept = arcs.clone().filter(|&arc| {
            problem.cost_of(arc) < 0.0
                || (arc + 1 < arcs.end && cheaper(arc, arc + 1))
                || (arc > arcs.start && cheaper(arc, arc - 1))
        });
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

    /// Make candidates of the arcs that are cheapest for each cover at the present prices.
    fn look_around(
        &mut self,
        problem: &Problem,
        curves: &[Curve],
        demand: usize,
        wanted: Wanted,
        shared: &Shared,
        scratch: &mut Scratch,
    ) {
        let prices = (&shared.prices[..], &shared.limit_prices[..]);
        let mut found = Vec::new();
        let whose = (demand, wanted);
        match &problem.numbers {
            Numbers::Single(numbers) => {
                reduced_costs(problem, numbers, prices, demand, &mut scratch.costs);
                cheapest(problem, numbers, whose, curves, scratch, &mut found);
            }
            Numbers::Double(numbers) => {
                reduced_costs(problem, numbers, prices, demand, &mut scratch.costs);
                cheapest(problem, numbers, whose, curves, scratch, &mut found);
            }
        }
        self.learn(problem, &found);
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

    fn uses_of(&self, at: usize) -> &[(usize, f64)] {
        let end = self
            .candidates
            .get(at + 1)
            .map_or(self.uses.len(), |next| next.uses);
        &self.uses[self.candidates[at].uses..end]
    }

    fn terms_of(&self, at: usize) -> &[(usize, f64)] {
        let end = self
            .candidates
            .get(at + 1)
            .map_or(self.terms.len(), |next| next.terms);
        &self.terms[self.candidates[at].terms..end]
    }

    /// Change what all candidates load by so many times their flow.
    fn load(&self, shared: &mut Shared, sign: f64) {
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

    /// Take back what the demand has and place it anew at least cost.
    pub fn choose(
        &mut self,
        problem: &Problem,
        demand: usize,
        curves: &[Curve],
        weights: &[f64],
        shared: &mut Shared,
        scratch: &mut Scratch,
        wanted: Option<Wanted>,
    ) {
        if wanted.is_none() && self.is_content(problem, demand, shared) {
            return;
        }
        self.load(shared, -1.0);
        self.reprice(problem, curves, weights, shared);
        shared.reprice_limits(problem);
        if let Some(wanted) = wanted {
            self.look_around(problem, curves, demand, wanted, shared, scratch);
        }
        self.offers(problem, demand, weights, shared, &mut scratch.offers);
        let covers = problem.covers.row(demand);
        if covers.len() == 1 {
            self.fill(covers[0].quantity, covers[0].short_cost, curves, scratch);
        } else {
            self.choose_segments(problem, demand, curves, scratch);
        }
        self.load(shared, 1.0);
        self.reprice(problem, curves, weights, shared);
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
    fn is_content(&self, problem: &Problem, demand: usize, shared: &Shared) -> bool {
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

    /// Price the supplies that the demand uses at their present loads.
    fn reprice(&self, problem: &Problem, curves: &[Curve], weights: &[f64], shared: &mut Shared) {
        for candidate in self
            .candidates
            .iter()
            .filter(|candidate| candidate.flow > 0.0)
        {
            shared.reprice(problem, curves, weights, candidate.supply);
        }
    }

    fn offers(
        &self,
        problem: &Problem,
        demand: usize,
        weights: &[f64],
        shared: &Shared,
        offers: &mut Vec<Offer>,
    ) {
        offers.clear();
        let covers = problem.covers.row(demand);
        for (at, candidate) in self.candidates.iter().enumerate() {
            let mut offer = Offer {
                cost: candidate.cost,
                fraction: 0.0,
                load: 0.0,
                need: 0.0,
            };
            for &(limit, coefficient) in self.terms_of(at) {
                offer.cost += shared.limit_prices[limit] * coefficient;
            }
            for &(position, units) in self.uses_of(at) {
                offer.fraction += weights[position] * units;
            }
            let yields = &self.yields[at * covers.len()..(at + 1) * covers.len()];
            for (cover, &yielded) in covers.iter().zip(yields) {
                if yielded > 0.0 {
                    offer.need = offer.need.max(cover.quantity / yielded);
                }
            }
            offer.need = if offer.cost < 0.0 {
                candidate.max
            } else {
                offer.need.min(candidate.max)
            };
            if offer.fraction > 0.0 {
                for position in problem.capacity.range(candidate.supply) {
                    offer.load += weights[position] * shared.used[position];
                }
            }
            // What the cheaper twin on the same supply could take comes first on the curve.
            if at > 0 && self.candidates[at - 1].supply == candidate.supply {
                let before: &Offer = &offers[at - 1];
                offer.load = offer.load.max(before.load + before.fraction * before.need);
            }
            offers.push(offer);
        }
    }

    /// One cover: the price at which the candidates together yield the quantity.
    fn fill(&mut self, quantity: f64, short_cost: f64, curves: &[Curve], scratch: &mut Scratch) {
        let offers = &scratch.offers;
        let mut dear = self.supplied(short_cost, offers, curves);
        if dear < quantity {
            self.place_at(short_cost, offers, curves);
            self.theta = vec![short_cost];
            return;
        }
        let (mut low, mut high, mut cheap) = (0.0, short_cost, self.supplied(0.0, offers, curves));
        let known = self.theta.first().copied().unwrap_or(0.0);
        let mut trial = if known > 0.0 && known < short_cost {
            known
        } else {
            0.5 * short_cost
        };
        let mut reach = 0.02;
        for step in 0..60 {
            let supplied = self.supplied(trial, offers, curves);
            if supplied < quantity {
                (low, cheap) = (trial, supplied);
            } else {
                (high, dear) = (trial, supplied);
            }
            if high - low <= PRICE_WIDTH * high || dear - cheap <= 1e-9 * quantity {
                break;
            }
            // Near the last price first, with growing steps; then a secant that is kept off the ends.
            trial = if step < 6 && low > 0.0 && high >= short_cost {
                (low * (1.0 + reach)).min(0.5 * (low + high))
            } else if step < 6 && low == 0.0 && high < short_cost {
                high / (1.0 + reach)
            } else if step % 3 == 2 {
                0.5 * (low + high)
            } else {
                let share = (quantity - cheap) / (dear - cheap);
                low + (high - low) * share.clamp(0.05, 0.95)
            };
            reach *= 3.0;
        }
        // Between the two prices what is supplied jumps: take so much of the jump that the quantity comes out.
        self.place_at(low, offers, curves);
        let least: Vec<f64> = self
            .candidates
            .iter()
            .map(|candidate| candidate.flow)
            .collect();
        self.place_at(high, offers, curves);
        let share = if dear > cheap {
            ((quantity - cheap) / (dear - cheap)).clamp(0.0, 1.0)
        } else {
            1.0
        };
        for (candidate, least) in self.candidates.iter_mut().zip(least) {
            candidate.flow = least + share * (candidate.flow - least);
        }
        self.theta = vec![high];
    }

    fn supplied(&self, theta: f64, offers: &[Offer], curves: &[Curve]) -> f64 {
        let placed = self.candidates.iter().zip(offers).zip(&self.yields);
        placed
            .map(|((candidate, offer), &yielded)| {
                yielded * replicas_at(theta * yielded, offer, &curves[candidate.supply])
            })
            .sum()
    }

    fn place_at(&mut self, theta: f64, offers: &[Offer], curves: &[Curve]) {
        for ((candidate, offer), &yielded) in
            self.candidates.iter_mut().zip(offers).zip(&self.yields)
        {
            candidate.flow = replicas_at(theta * yielded, offer, &curves[candidate.supply]);
        }
    }

    /// Several covers: a linear programme over segments of the curves.
    fn choose_segments(
        &mut self,
        problem: &Problem,
        demand: usize,
        curves: &[Curve],
        scratch: &mut Scratch,
    ) {
        let Scratch {
            simplex,
            offers,
            segment_of,
            ends,
            ..
        } = scratch;
        let covers = problem.covers.row(demand);
        simplex.clear(covers);
        segment_of.clear();
        for (at, offer) in offers.iter().enumerate() {
            if offer.need <= 0.0 {
                continue;
            }
            let curve = &curves[self.candidates[at].supply];
            cut(offer, curve, ends);
            let mut from = offer.load;
            for &to in ends.iter() {
                let (unit, width) = if offer.fraction > 0.0 {
                    (
                        offer.fraction * curve.price(0.5 * (from + to)),
                        (to - from) / offer.fraction,
                    )
                } else {
                    (0.0, offer.need)
                };
                simplex.costs.push(offer.cost + unit);
                simplex.max.push(width);
                segment_of.push(at);
                from = to;
            }
        }
        for row in 0..covers.len() {
            simplex.yields.extend(
                segment_of
                    .iter()
                    .map(|&at| self.yields[at * covers.len() + row]),
            );
        }
        simplex.solve(None);
        for candidate in &mut self.candidates {
            candidate.flow = 0.0;
        }
        for (column, replicas) in simplex.flow() {
            self.candidates[segment_of[column]].flow += replicas;
        }
        self.theta.clear();
        self.theta.extend(simplex.prices());
    }
}

/// The power of e by which a limit's price is above its multiplier.
pub fn limit_pressure(bound: f64, load: f64) -> f64 {
    let bound = LIMIT_MARGIN * bound;
    if bound > 0.0 {
        LIMIT_STEEPNESS * (load - bound) / bound
    } else {
        0.0
    }
}

/// Per cover, the arcs with the least cost for what they yield: so many as are wanted, and more until their supplies
/// together could give the quantity some times over.
fn cheapest<T: Number>(
    problem: &Problem,
    numbers: &ArcNumbers<T>,
    (demand, wanted): (usize, Wanted),
    curves: &[Curve],
    Scratch { costs, best, .. }: &mut Scratch,
    found: &mut Vec<usize>,
) {
    let first = problem.arcs_of(demand).start;
    for (row, cover) in problem.covers.row(demand).iter().enumerate() {
        let yields = &numbers.yields[problem.yields_of(demand, row)];
        let mut most = if row == 0 {
            wanted.first
        } else {
            wanted.further
        };
        loop {
            best.clear();
            let mut worst = f64::INFINITY;
            for ((at, &cost), &yielded) in costs.iter().enumerate().zip(yields) {
                let ratio = cost / yielded.into();
                if ratio < worst && problem.max[first + at] > 0 {
                    let place = best.partition_point(|entry| entry.0 <= ratio);
                    best.insert(place, (ratio, at));
                    best.truncate(most);
                    if best.len() == most {
                        worst = best[most - 1].0;
                    }
                }
            }
            let given = |at: usize| room(problem, curves, first + at) * yields[at].into();
            let reach: f64 = best.iter().map(|entry| given(entry.1)).sum();
            if best.len() < most || reach >= REACH * cover.quantity {
                break;
            }
            most *= 2;
        }
        found.extend(best.iter().map(|entry| first + entry.1));
    }
}

/// Most replicas of an arc if its supply were all its own.
fn room(problem: &Problem, curves: &[Curve], arc: usize) -> f64 {
    let supply = problem.supply_of(arc);
    let capacity = problem.capacity.row(supply);
    let max = number(problem.max_of(arc));
    let uses = problem.uses(arc);
    let rooms = uses.map(|used| curves[supply].total() * capacity[used.resource] / used.amount);
    rooms.fold(max, f64::min)
}

/// Where the segments of a candidate's part of the curve end: one where the curve is flat, else some of about equal
/// load, and more where the wall rises.
fn cut(offer: &Offer, curve: &Curve, ends: &mut Vec<f64>) {
    ends.clear();
    let end = offer.load + offer.fraction * offer.need;
    if curve.price(end) > (1.0 + FLAT) * curve.price(offer.load) {
        let parts = EVEN
            .iter()
            .map(|share| offer.load + share * (end - offer.load));
        let walls = WALL.iter().map(|share| share * curve.total());
        ends.extend(
            parts
                .chain(walls)
                .filter(|&load| offer.load < load && load < end),
        );
        ends.sort_by(f64::total_cmp);
        let least = 0.01 * (end - offer.load);
        ends.dedup_by(|next, before| *next - *before < least.min(0.01 * curve.total()));
    }
    ends.push(end);
}

/// Replicas of a candidate that are worth so much each.
fn replicas_at(worth: f64, offer: &Offer, curve: &Curve) -> f64 {
    if offer.fraction <= 0.0 {
        return if worth > offer.cost { offer.need } else { 0.0 };
    }
    let room = curve.load_at((worth - offer.cost) / offer.fraction) - offer.load;
    (room / offer.fraction).clamp(0.0, offer.need)
}
