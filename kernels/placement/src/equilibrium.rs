//! Fractional plan and prices together: demands choose in turn on the smoothed supply curves until they rest.
//!
//! This is the block Gauss-Seidel method of traffic assignment (T. Larsson and M. Patriksson, *Simplicial
//! decomposition with disaggregated representation*, 1992): a demand takes back what it has, sees every candidate's
//! price as it rises with its own load, and places itself anew at least cost. Supplies with several resources are
//! loaded by a weighted sum of them; weights and rents follow the loads after every sweep.
//!
//! Demands of little value are visited in lanes that do not see each other; the lanes' number is fixed, so that the
//! result does not depend on the number of threads.

mod block;
mod choice;
mod looking;
mod shared;

use crate::bound::RowPrices;
use crate::budget::Budget;
use crate::curve::Curve;
use crate::dual::{Evaluation, out_of_reach};
use crate::problem::Problem;
use crate::state::State;
use block::Block;
use choice::Scratch;
use looking::Wanted;
use rayon::prelude::*;
use shared::{Market, Shared, limit_pressure};

/// The demands of most value choose one after another, each seeing all others.
const SERIAL: usize = 128;
/// Lanes that visit demands side by side, and demands that each visits before the lanes meet.
const LANES: usize = 2;
const SPAN: usize = 8;
/// Sweeps after which they look at all their arcs again.
const HEADS_LOOK_EVERY: usize = 5;
/// How fast the weights of a supply's resources follow their loads, in the first sweep.
const WEIGHT_PACE: f64 = 1.5;
const LEAST_WEIGHT: f64 = 1e-6;
/// How much of the way rents and limits' multipliers go in late sweeps; all of it in the first.
const LEAST_PACE: f64 = 0.5;
/// Share of the newest prices in the published ones: prices of one sweep are noisy, so that it falls, `MEMORY` by the
/// number of sweeps, down to `NEWEST`.
const MEMORY: f64 = 4.0;
const NEWEST: f64 = 0.15;
/// A limit's multiplier starts at this share of what its replicas cost for what they take of it, and never falls
/// below the least one.
const FIRST_LIMIT_PRICE: f64 = 0.02;
const LEAST_LIMIT_PRICE: f64 = 1e-4;
/// The most that it changes in one sweep: e to this power.
const MOST_LIMIT_CHANGE: f64 = 1.0;
/// Sweeps that count as done when the market goes on from an earlier solve: prices then follow with care.
const RESUMED: usize = 10;
/// In the first sweeps demands look at all their arcs, not only at their candidates.
const LOOKS: [Wanted; 3] = [
    Wanted {
        first: 16,
        further: 6,
    },
    Wanted {
        first: 8,
        further: 3,
    },
    Wanted {
        first: 4,
        further: 2,
    },
];

/// The state of the whole market.
pub struct Equilibrium<'p> {
    problem: &'p Problem,
    curves: Vec<Curve>,
    /// Per position of `Problem::capacity`: the weight of the resource in its supply's load; they sum to 1.
    weights: Vec<f64>,
    shared: Shared,
    blocks: Vec<Block>,
    /// Demands, those of most value first.
    order: Vec<usize>,
    least_limit_prices: Vec<f64>,
    /// Supply of each position of `Problem::capacity`.
    supply_of: Vec<usize>,
    sweeps: usize,
    /// Published prices: of a unit per supply, and of each limit.
    smooth: Vec<f64>,
    smooth_limits: Vec<f64>,
    /// Prices of rows that give nothing at any price, and 0 for the others.
    unreachable: RowPrices,
}

impl<'p> Equilibrium<'p> {
    /// Nothing is placed; every demand knows the arcs that are cheapest at the first prices.
    pub fn new(problem: &'p Problem, order: Vec<usize>) -> Self {
        let curves = Curve::of_supplies(problem);
        let mut weights = Vec::with_capacity(problem.capacity.values().len());
        for supply in 0..problem.supplies() {
            let row = problem.capacity.row(supply);
            let useful = row
                .iter()
                .filter(|&&capacity| capacity > 0.0)
                .count()
                .max(1);
            #[allow(clippy::cast_precision_loss)] // at most 65535
            let weight = 1.0 / useful as f64;
            weights.extend(
                row.iter()
                    .map(|&capacity| if capacity > 0.0 { weight } else { 0.0 }),
            );
        }
        let mut equilibrium = Self {
            problem,
            curves,
            weights,
            shared: Shared::new(problem),
            blocks: Vec::new(),
            order,
            least_limit_prices: vec![0.0; problem.bounds.len()],
            supply_of: (0..problem.supplies())
                .flat_map(|supply| {
                    std::iter::repeat_n(supply, problem.capacity.range(supply).len())
                })
                .collect(),
            sweeps: 0,
            smooth: vec![0.0; problem.supplies()],
            smooth_limits: vec![0.0; problem.bounds.len()],
            unreachable: out_of_reach(problem),
        };
        let demands = (0..problem.demands()).into_par_iter();
        equilibrium.blocks = demands.map(|demand| Block::kept(problem, demand)).collect();
        equilibrium
    }

    /// Take up where another solve rested.
    pub fn resume(&mut self, state: &State) {
        let problem = self.problem;
        for (curve, &rent) in self.curves.iter_mut().zip(&state.rents) {
            curve.set_rent(rent);
        }
        self.weights.clone_from(&state.weights);
        self.shared.multipliers.clone_from(&state.multipliers);
        let arcs = problem.arcs_at(&state.arcs);
        let mut flow: Vec<(usize, f64)> =
            arcs.into_iter().zip(state.flow.iter().copied()).collect();
        flow.sort_unstable_by_key(|entry| entry.0);
        let blocks = self.blocks.par_iter_mut().enumerate();
        blocks.for_each(|(demand, block)| {
            let own = problem.arcs_of(demand);
            let from = flow.partition_point(|entry| entry.0 < own.start);
            let to = flow.partition_point(|entry| entry.0 < own.end);
            block.resume(
                problem,
                demand,
                &flow[from..to],
                &state.theta[problem.covers.range(demand)],
            );
        });
        for block in &self.blocks {
            block.settle_in(&mut self.shared);
        }
        self.shared.reprice_limits(problem);
        let market = Market {
            problem,
            curves: &self.curves,
            weights: &self.weights,
        };
        for supply in 0..problem.supplies() {
            self.shared.reprice(market, supply);
            let price = state.unit_prices[supply];
            self.smooth[supply] = if price.is_finite() {
                price
            } else {
                self.curves[supply].price(self.load(supply))
            };
        }
        for (limit, &price) in state.limit_prices.iter().enumerate() {
            self.smooth_limits[limit] = if price.is_finite() {
                price
            } else {
                self.shared.limit_prices[limit]
            };
        }
        self.sweeps = RESUMED;
    }

    /// Where the market rests now; the plan is still to come.
    pub fn state(&self) -> State {
        let problem = self.problem;
        let mut theta = Vec::with_capacity(problem.covers.values().len());
        let (mut arcs, mut flow) = (Vec::new(), Vec::new());
        for (demand, block) in self.blocks.iter().enumerate() {
            let covers = problem.covers.range(demand).len();
            if block.theta().len() == covers {
                theta.extend(block.theta());
            } else {
                theta.extend(std::iter::repeat_n(f64::NAN, covers));
            }
            for (arc, replicas) in block.flow() {
                arcs.push(problem.file_index_of(arc));
                flow.push(replicas);
            }
        }
        State {
            rents: self.curves.iter().map(Curve::rent).collect(),
            weights: self.weights.clone(),
            multipliers: self.shared.multipliers.clone(),
            unit_prices: self.smooth.clone(),
            limit_prices: self.smooth_limits.clone(),
            theta,
            arcs,
            flow,
            replicas: Vec::new(),
        }
    }

    /// Limits start at a small share of what their arcs cost.
    fn price_limits(&mut self) {
        let mut sums = vec![(0.0, 0.0); self.problem.bounds.len()];
        for block in &self.blocks {
            block.limit_scales(self.problem, &self.shared, &mut sums);
        }
        for (limit, (sum, count)) in sums.into_iter().enumerate() {
            let usual: f64 = if count > 0.0 { sum / count } else { 1.0 };
            self.least_limit_prices[limit] = (LEAST_LIMIT_PRICE * usual).max(1e-12);
            self.shared.multipliers[limit] = FIRST_LIMIT_PRICE * usual;
        }
    }

    /// Let every demand choose once; returns the work done in arc evaluations.
    pub fn sweep(&mut self, budget: &Budget<'_>) -> usize {
        let problem = self.problem;
        let market = Market {
            problem,
            curves: &self.curves,
            weights: &self.weights,
        };
        let mut scratch = Scratch::default();
        let wanted = LOOKS.get(self.sweeps).copied();
        for supply in 0..problem.supplies() {
            self.shared.reprice(market, supply);
        }
        let heads =
            wanted.or((self.sweeps % HEADS_LOOK_EVERY == 0).then_some(LOOKS[LOOKS.len() - 1]));
        let serial = SERIAL.min(self.order.len());
        for &demand in &self.order[..serial] {
            if budget.is_in_hurry() {
                return 0;
            }
            self.blocks[demand].choose(market, demand, &mut self.shared, &mut scratch, heads);
        }
        let mut lanes: Vec<Lane> = (0..LANES).map(|_| Lane::new(&self.shared)).collect();
        for round in self.order[serial..].chunks(LANES * SPAN) {
            if budget.is_in_hurry() {
                break;
            }
            for (lane, demands) in lanes.iter_mut().zip(round.chunks(SPAN)) {
                lane.take(demands, &mut self.blocks);
            }
            lanes
                .par_iter_mut()
                .for_each(|lane| lane.visit(market, wanted));
            meet(
                &mut lanes,
                &mut self.shared,
                &mut self.blocks,
                |shared, position| {
                    if let Some(&supply) = self.supply_of.get(position) {
                        shared.reprice(market, supply);
                    }
                },
            );
        }
        self.sweeps += 1;
        self.blocks.iter().map(Block::len).sum()
    }

    /// Let rents, weights and limit prices follow the loads.
    #[allow(clippy::cast_precision_loss)] // a few dozen sweeps
    pub fn follow(&mut self) {
        let sweeps = self.sweeps as f64;
        let pace = (1.0 / sweeps.sqrt()).max(LEAST_PACE);
        let share = (MEMORY / (sweeps + 2.0)).clamp(NEWEST, 1.0);
        for supply in 0..self.problem.supplies() {
            self.weigh(supply, WEIGHT_PACE / sweeps.sqrt());
            let load = self.load(supply);
            let price = self.curves[supply].price(load);
            self.smooth[supply] = blend(self.smooth[supply], price, share);
            self.curves[supply].follow(load, pace);
        }
        if self.sweeps == 1 {
            self.price_limits();
        }
        for (limit, &bound) in self.problem.bounds.iter().enumerate() {
            let over = limit_pressure(bound, self.shared.limited[limit]);
            let change = (pace * over)
                .clamp(-MOST_LIMIT_CHANGE, MOST_LIMIT_CHANGE)
                .exp();
            let multiplier = &mut self.shared.multipliers[limit];
            *multiplier = (*multiplier * change).max(self.least_limit_prices[limit]);
        }
        self.shared.reprice_limits(self.problem);
        for (smooth, &price) in self.smooth_limits.iter_mut().zip(&self.shared.limit_prices) {
            *smooth = if self.sweeps <= 2 {
                price
            } else {
                blend(*smooth, price, share)
            };
        }
    }

    /// Shift a supply's weights towards the resource that is used most.
    fn weigh(&mut self, supply: usize, pace: f64) {
        let positions = self.problem.capacity.range(supply);
        let used = &self.shared.used[positions.clone()];
        let most = used.iter().copied().fold(0.0, f64::max);
        if used.len() < 2 || most <= 0.0 {
            return;
        }
        let weights = &mut self.weights[positions];
        for (weight, used) in weights.iter_mut().zip(used) {
            if *weight > 0.0 {
                *weight = (*weight * (pace * (used - most) / most).exp()).max(LEAST_WEIGHT);
            }
        }
        let sum: f64 = weights.iter().sum();
        for weight in weights {
            *weight /= sum;
        }
    }

    fn load(&self, supply: usize) -> f64 {
        let positions = self.problem.capacity.range(supply);
        let used = self.shared.used[positions.clone()].iter();
        used.zip(&self.weights[positions])
            .map(|(used, weight)| used * weight)
            .sum()
    }

    /// The present prices of supplies and limits; theta is left at 0.
    pub fn prices(&self) -> RowPrices {
        let mut prices = self.unreachable.clone();
        for supply in 0..self.problem.supplies() {
            let price = self.smooth[supply];
            for position in self.problem.capacity.range(supply) {
                let capacity = self.problem.capacity.values()[position];
                if capacity > 0.0 {
                    prices.supplies[position] = price * self.weights[position] / capacity;
                }
            }
        }
        for (price, &smooth) in prices.limits.iter_mut().zip(&self.smooth_limits) {
            *price = price.max(smooth);
        }
        prices
    }

    /// Make candidates of the arcs that an exact evaluation uses, or nearly does.
    pub fn learn(&mut self, evaluation: &Evaluation) {
        let used = evaluation.flow.iter().map(|entry| entry.0);
        let mut arcs: Vec<usize> = used.chain(evaluation.near.iter().copied()).collect();
        arcs.par_sort_unstable();
        self.learn_arcs(&arcs);
    }

    /// Make candidates of arcs, given in rising order.
    pub fn learn_arcs(&mut self, arcs: &[usize]) {
        let problem = self.problem;
        let blocks = self.blocks.par_iter_mut().enumerate();
        blocks.for_each(|(demand, block)| {
            let own = problem.arcs_of(demand);
            let from = arcs.partition_point(|&arc| arc < own.start);
            let to = arcs.partition_point(|&arc| arc < own.end);
            block.learn(problem, &arcs[from..to]);
        });
    }

    /// Forget candidates that are not used and far too dear.
    pub fn forget(&mut self) {
        let problem = self.problem;
        let market = Market {
            problem,
            curves: &self.curves,
            weights: &self.weights,
        };
        for supply in 0..problem.supplies() {
            self.shared.reprice(market, supply);
        }
        let shared = &self.shared;
        let blocks = self.blocks.par_iter_mut().enumerate();
        blocks.for_each(|(demand, block)| block.forget(problem, demand, shared));
    }

    /// (candidate, replicas) of every demand, arcs in rising order.
    pub fn flows(&self) -> impl Iterator<Item = Vec<(usize, f64)>> + '_ {
        self.blocks.iter().map(Block::flow)
    }

    /// $/h of the fractional plan at true step costs, shortfall included; overload is paid at the price of the wall.
    pub fn cost(&self) -> f64 {
        let mut cost: f64 = self
            .blocks
            .iter()
            .enumerate()
            .map(|(demand, block)| block.cost(self.problem, demand))
            .sum();
        for supply in 0..self.problem.supplies() {
            let positions = self.problem.capacity.range(supply);
            let mut left = self.shared.used[positions]
                .iter()
                .copied()
                .fold(0.0, f64::max);
            for step in self.problem.steps.row(supply) {
                #[allow(clippy::cast_precision_loss)] // counts are at most 10^9
                let taken = if step.cost < 0.0 {
                    step.count as f64
                } else {
                    left.min(step.count as f64)
                };
                cost += taken * step.cost;
                left = (left - taken).max(0.0);
            }
            if left > 0.0 {
                cost += left * self.curves[supply].price(self.load(supply));
            }
        }
        cost
    }
}

/// The geometric mean of an old price and a new one that has the given share.
fn blend(old: f64, new: f64, share: f64) -> f64 {
    if share >= 1.0 {
        new
    } else {
        old.powf(1.0 - share) * new.powf(share)
    }
}

/// Bring the lanes' changes together, in their order.
fn meet(
    lanes: &mut [Lane],
    shared: &mut Shared,
    blocks: &mut [Block],
    reprice: impl Fn(&mut Shared, usize),
) {
    let mut changes = Vec::new();
    for lane in lanes.iter_mut() {
        for (demand, block) in lane.taken.drain(..) {
            blocks[demand] = block;
        }
        changes.append(&mut lane.shared.changes);
    }
    shared.apply(&changes);
    for (position, _) in changes {
        reprice(shared, position as usize);
    }
    for lane in lanes {
        lane.shared.copy_loads(shared);
    }
}

/// Demands that are visited one after another beside other lanes.
struct Lane {
    shared: Shared,
    taken: Vec<(usize, Block)>,
    scratch: Scratch,
}

impl Lane {
    fn new(shared: &Shared) -> Self {
        let mut shared = shared.clone();
        shared.record = true;
        Self {
            shared,
            taken: Vec::new(),
            scratch: Scratch::default(),
        }
    }

    fn take(&mut self, demands: &[usize], blocks: &mut [Block]) {
        let taken = demands
            .iter()
            .map(|&demand| (demand, std::mem::take(&mut blocks[demand])));
        self.taken.extend(taken);
    }

    fn visit(&mut self, market: Market<'_>, wanted: Option<Wanted>) {
        for (demand, block) in &mut self.taken {
            block.choose(market, *demand, &mut self.shared, &mut self.scratch, wanted);
        }
    }
}
