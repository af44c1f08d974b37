//! Rounds in which overloading a room costs more and more, from next to nothing to far too much.
//!
//! While a room may be overloaded a little for little, demands change places freely; as the charge grows the rooms
//! fill exactly. Exchanges may also cost a little (the temperature), which lets equally good plans take turns. Two
//! lanes of their own temperature share the best plan after each round, on as many threads as there are.

use rayon::prelude::*;

use crate::OPTIMAL_GAP;
use crate::budget::Budget;
use crate::single::choices::{Choices, NOWHERE, Offers};
use crate::single::draws::Draws;
use crate::single::exchange::Exchange;
use crate::single::plan::{Charges, Plan};

const LANES: usize = 2;
/// Parts of a round, of which in the last ones nothing may be overloaded.
const PARTS: usize = 200;
const HARD_PARTS: usize = 20;
/// How a unit left over is charged, as a share of its price, in the first round; and in later ones by lane.
const FIRST: Course = Course(0.01, 1.03);
const LATER: [Course; LANES] = [Course(0.1, 1.017), Course(0.05, 1.021)];
/// What an exchange may cost, usually, as a share of the usual excess; by lane, and by the rounds that found nothing.
const HEATS: [[f64; 4]; LANES] = [[0.1, 0.1, 0.3, 1.0], [0.03, 0.05, 0.1, 0.2]];
/// A unit that lacks is charged so many times what a unit left over is.
const OVER: f64 = 3.0;
/// The least charge for a unit that lacks, as a share of what a unit is worth on average.
const LEAST: f64 = 0.3;
/// What a unit that lacks is charged when none may: more than any cost.
const FORBIDDEN: f64 = 1e40;
/// Members that a lane looks at in a part, for each choice, at least and at most.
const PART: usize = 24;
const SHORTEST_PART: usize = 500;
const LONGEST_PART: usize = 500_000;
/// Members that cost as much as one arc evaluation elsewhere.
const MEMBERS_PER_WORK: usize = 16;
/// Rounds without a better plan after which nothing more is hoped for.
const PATIENCE: usize = 100;
/// Of the usual cost of a choice: rounding noise.
const NOISE: f64 = 1e-9;

/// A share at first, and the factor by which it grows with each part of a round.
#[derive(Clone, Copy)]
struct Course(f64, f64);

/// When a plan is good enough.
pub struct Goal {
    /// $/h.
    cost: f64,
}

impl Goal {
    /// With whole costs no plan is cheaper than the bound rounded upwards.
    pub fn new(offers: &Offers, bound: f64) -> Self {
        let costs = offers.rows.values().iter().map(|offer| offer.cost);
        let is_whole = costs
            .chain(offers.unserved.iter().copied())
            .all(|cost| cost.fract() == 0.0);
        let rounded = if is_whole {
            (bound - 1e-6).ceil()
        } else {
            bound
        };
        Self {
            cost: rounded + 0.5 * OPTIMAL_GAP * bound.abs(),
        }
    }
}

/// The best feasible plan.
#[derive(Clone)]
pub struct Best {
    cost: f64,
    /// Position of each demand's choice.
    pub chosen: Vec<u32>,
}

impl Best {
    fn of(plan: &Plan<'_>) -> Self {
        Self {
            cost: plan.cost,
            chosen: plan.chosen.clone(),
        }
    }
}

/// Search until the budget is spent, the goal is reached or nothing helps any more.
pub fn search(choices: &Choices, goal: &Goal, budget: &mut Budget<'_>) -> Best {
    let mut lanes: Vec<Lane<'_>> = (0..LANES).map(|lane| Lane::new(choices, lane)).collect();
    let mut waited = 0;
    for round in 0.. {
        let before = cheapest(&lanes).cost;
        // The first round only makes a feasible plan.
        let first = if round == 0 { PARTS - HARD_PARTS } else { 0 };
        for part in first..PARTS {
            let spent: usize = lanes.par_iter_mut().map(|lane| lane.part(part)).sum();
            let is_open = budget.spend(spent / MEMBERS_PER_WORK + 1);
            if !is_open || cheapest(&lanes).cost <= goal.cost {
                return cheapest(&lanes).clone();
            }
        }
        let best = cheapest(&lanes).clone();
        waited = if best.cost < before { 0 } else { waited + 1 };
        if waited == PATIENCE {
            break;
        }
        for lane in &mut lanes {
            lane.restart(round, waited, &best);
        }
    }
    cheapest(&lanes).clone()
}

/// The best plan of all lanes, of the first one that has it.
fn cheapest<'l>(lanes: &'l [Lane<'_>]) -> &'l Best {
    let mut best = &lanes[0].best;
    for lane in lanes {
        if lane.best.cost < best.cost {
            best = &lane.best;
        }
    }
    best
}

/// One of the searches that run side by side.
struct Lane<'c> {
    number: usize,
    plan: Plan<'c>,
    best: Best,
    exchange: Exchange,
    draws: Draws,
    charges: Charges,
    /// What a unit left over is charged now, as a share of its price.
    share: f64,
    growth: f64,
    /// $/h that an exchange may cost, usually.
    temperature: f64,
    /// What a unit that lacks is charged at a share of 1, per room.
    over: Vec<f64>,
    unserved: Vec<usize>,
}

impl<'c> Lane<'c> {
    fn new(choices: &'c Choices, lane: usize) -> Self {
        let mut plan = Plan::cheapest(choices);
        plan.evict();
        let rooms = choices.capacity.len();
        Self {
            number: lane,
            best: Best::of(&plan),
            plan,
            exchange: Exchange::default(),
            draws: Draws::new(lane as u64 + 1),
            charges: Charges {
                under: vec![0.0; rooms],
                over: vec![0.0; rooms],
            },
            share: 1.0,
            growth: 1.0,
            temperature: 0.0,
            over: dearest(choices),
            unserved: Vec::new(),
        }
    }

    /// Begin the round after the given one, hotter after rounds that found nothing.
    fn restart(&mut self, round: usize, waited: usize, best: &Best) {
        let choices = self.plan.choices;
        let heat = HEATS[self.number][waited % HEATS[0].len()];
        self.temperature = heat * choices.usual_excess;
        (self.plan, Course(self.share, self.growth)) = if round == 0 {
            (Plan::cheapest(choices), FIRST)
        } else {
            (Plan::new(choices, &best.chosen), LATER[self.number])
        };
    }

    /// Make exchanges; the members looked at.
    fn part(&mut self, part: usize) -> usize {
        let is_hard = part >= PARTS - HARD_PARTS;
        self.set_charges(is_hard);
        if is_hard {
            self.plan.evict();
            self.note();
        }
        let choices = self.plan.choices;
        self.unserved.clear();
        let is_unserved = |demand: &usize| self.plan.room_of(*demand) == NOWHERE;
        self.unserved
            .extend((0..choices.demands()).filter(is_unserved));

        let most = (PART * choices.len()).clamp(SHORTEST_PART, LONGEST_PART.max(choices.demands()));
        let mut work = choices.demands() / MEMBERS_PER_WORK;
        while work < most {
            let demand = self.draw();
            let limit = self.temperature * self.draws.exponential() + NOISE * choices.usual_cost;
            let (looked, changed) =
                self.exchange
                    .make(&mut self.plan, &self.charges, demand, limit);
            work += looked;
            if changed {
                self.note();
            }
        }
        work
    }

    /// A demand to move; every other time an unserved one while there are any.
    fn draw(&mut self) -> usize {
        if !self.unserved.is_empty() && self.draws.below(2) == 0 {
            let at = self.draws.below(self.unserved.len());
            if self.plan.room_of(self.unserved[at]) == NOWHERE {
                return self.unserved[at];
            }
            self.unserved.swap_remove(at);
        }
        self.draws.below(self.plan.choices.demands())
    }

    fn set_charges(&mut self, is_hard: bool) {
        for (room, price) in self.plan.choices.prices.iter().enumerate() {
            self.charges.under[room] = price * if is_hard { 1.0 } else { self.share.min(1.0) };
            self.charges.over[room] = if is_hard {
                FORBIDDEN
            } else {
                self.over[room] * self.share
            };
        }
        self.share *= self.growth;
    }

    /// Keep the plan if it is feasible and the cheapest so far.
    fn note(&mut self) {
        let scale = self.plan.choices.usual_cost;
        if self.plan.is_feasible() && self.plan.cost < self.best.cost - NOISE * scale {
            self.best.cost = self.plan.cost;
            self.best.chosen.copy_from_slice(&self.plan.chosen);
        }
    }
}

/// What a unit that lacks is charged at a share of 1, per room.
fn dearest(choices: &Choices) -> Vec<f64> {
    let worth = choices.prices.iter().zip(&choices.capacity);
    let worth = worth.map(|(price, capacity)| price * capacity).sum::<f64>();
    #[allow(clippy::cast_precision_loss)] // far fewer than 2^52
    let usual = (LEAST * worth / choices.prices.len().max(1) as f64).max(choices.usual_excess);
    let rooms = choices.prices.iter().zip(&choices.capacity);
    rooms
        .map(|(price, capacity)| OVER * price.max(usual / capacity.max(f64::MIN_POSITIVE)))
        .collect()
}
