//! How a demand places itself at least cost on the curves of its candidates.

use super::block::Block;
use super::looking::Wanted;
use super::shared::{Market, Shared};
use crate::curve::Curve;
use crate::problem::Problem;
use crate::simplex::Simplex;

/// A curve that rises by less than this share while a demand takes all it could is flat for it.
const FLAT: f64 = 0.1;
/// Shares of what a demand could take at which a curve that is not flat is cut, and shares of the supply.
const EVEN: [f64; 3] = [0.1, 0.3, 0.6];
const WALL: [f64; 10] = [0.4, 0.65, 0.8, 0.9, 0.97, 1.0, 1.05, 1.12, 1.25, 1.5];
/// Relative width at which the search for a single cover's price ends.
const PRICE_WIDTH: f64 = 1e-6;

/// Buffers kept between demands.
#[derive(Debug, Default)]
pub struct Scratch {
    pub simplex: Simplex,
    pub offers: Vec<Offer>,
    pub segment_of: Vec<usize>,
    pub ends: Vec<f64>,
    pub costs: Vec<f64>,
    pub best: Vec<(f64, usize)>,
}

/// A candidate at present prices.
#[derive(Debug, Clone, Copy)]
pub struct Offer {
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
    /// Take back what the demand has and place it anew at least cost.
    pub fn choose(
        &mut self,
        market: Market<'_>,
        demand: usize,
        shared: &mut Shared,
        scratch: &mut Scratch,
        wanted: Option<Wanted>,
    ) {
        let Market {
            problem,
            curves,
            weights,
        } = market;
        if wanted.is_none() && self.is_content(problem, demand, shared) {
            return;
        }
        self.load(shared, -1.0);
        self.reprice(market, shared);
        shared.reprice_limits(problem);
        if let Some(wanted) = wanted {
            self.look_around(market, (demand, wanted), shared, scratch);
        }
        self.offers(problem, demand, weights, shared, &mut scratch.offers);
        let covers = problem.covers.row(demand);
        if covers.len() == 1 {
            self.fill(covers[0].quantity, covers[0].short_cost, curves, scratch);
        } else {
            self.choose_segments(problem, demand, curves, scratch);
        }
        self.load(shared, 1.0);
        self.reprice(market, shared);
    }

    /// Price the supplies that the demand uses at their present loads.
    fn reprice(&self, market: Market<'_>, shared: &mut Shared) {
        for candidate in self
            .candidates
            .iter()
            .filter(|candidate| candidate.flow > 0.0)
        {
            shared.reprice(market, candidate.supply);
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
