//! One demand's part of the dual as its exact integer minimum: dearer than the linear one, so a better bound.
//!
//! Depth first over the arcs, cheapest relative to the cover prices first. A branch is cut when the linear bound at
//! those prices says that nothing below it can win; any prices in range make that bound valid. An arc that costs more
//! than another one and yields no more is never needed where the other one can be had often enough.

use crate::bound::{RowPrices, loosened_quantity, reduced_cost};
use crate::problem::{Problem, number};
use crate::solution::ExactPart;

/// Branches after which a part is given up and its linear bound stays.
const MOST_NODES: usize = 5_000;
/// Replicas of the most yielding arc beyond which a part is not tried: its linear value is nearly as good.
const MOST_REPLICAS: f64 = 40.0;
/// Pays for the rounding errors along a branch, as a share of the magnitudes that enter it.
const ROUNDING: f64 = 1e-12;

struct Item {
    arc: usize,
    cost: f64,
    yields: Vec<f64>,
    max: i64,
    /// Whether it can be had as often as it could help.
    is_plenty: bool,
    /// $/h by which a replica beats the cover prices; negative when it does not.
    gain: f64,
}

struct Search<'p> {
    items: Vec<Item>,
    /// Sum of `max * gain^+` over the items from each position on.
    gains: Vec<f64>,
    theta: &'p [f64],
    short_costs: Vec<f64>,
    best: f64,
    best_replicas: Vec<i64>,
    replicas: Vec<i64>,
    nodes: usize,
}

/// The demand's integer minimum at the prices, rounded downwards, or `None` when it takes too many branches.
pub fn integer_part(
    problem: &Problem,
    prices: &RowPrices,
    demand: usize,
) -> (Option<ExactPart>, usize) {
    let covers = problem.covers.range(demand);
    let theta = &prices.covers[covers.clone()];
    let mut left: Vec<f64> = problem
        .covers
        .row(demand)
        .iter()
        .map(|cover| loosened_quantity(cover.quantity))
        .collect();
    let short_costs: Vec<f64> = problem
        .covers
        .row(demand)
        .iter()
        .map(|cover| cover.short_cost)
        .collect();
    let mut magnitude: f64 = left
        .iter()
        .zip(&short_costs)
        .map(|(quantity, cost)| quantity * cost)
        .sum();
    if needed(problem, demand) > MOST_REPLICAS {
        return (None, 0);
    }
    let mut paid = Vec::new();
    let mut items = Vec::new();
    let mut base = 0.0;
    for (cost, arc) in reduced(problem, prices, demand) {
        let max = problem.max_of(arc);
        if cost < 0.0 {
            // Running it earns money and covers never mind more: all of it is best.
            base += cost * number(max);
            for (left, yielded) in left.iter_mut().zip(problem.yields(arc)) {
                *left -= yielded * number(max);
            }
            paid.push((arc, max));
        } else if !is_dominated(problem, &items, arc)
            && problem.yields(arc).any(|yielded| yielded > 0.0)
        {
            let item = item_of(problem, theta, (cost, arc), &left);
            magnitude += number(max) * item.gain.max(0.0);
            items.push(item);
        }
    }
    magnitude += f64::abs(base);
    items.sort_by(|left, right| {
        right
            .gain
            .total_cmp(&left.gain)
            .then(left.arc.cmp(&right.arc))
    });
    let mut search = Search::new(items, theta, short_costs);
    search.branch(0, 0.0, &left);
    if search.nodes > MOST_NODES {
        return (None, search.nodes);
    }
    let value = base + search.best - ROUNDING * (magnitude + search.best.abs());
    let chosen = search
        .items
        .iter()
        .zip(&search.best_replicas)
        .map(|(item, &count)| (item.arc, count));
    let mut replicas: Vec<(usize, i64)> = paid
        .into_iter()
        .chain(chosen.filter(|entry| entry.1 > 0))
        .collect();
    replicas.sort_unstable();
    (
        Some(ExactPart {
            demand,
            value,
            replicas,
        }),
        search.nodes,
    )
}

/// Replicas that the demand needs at least, if every cover had the arc that yields most for it.
fn needed(problem: &Problem, demand: usize) -> f64 {
    let arcs = problem.arcs_of(demand);
    let covers = problem.covers.row(demand).iter().enumerate();
    let needed = covers.map(|(row, cover)| {
        let most = arcs
            .clone()
            .map(|arc| problem.yield_of(arc, row))
            .fold(0.0, f64::max);
        if most > 0.0 {
            cover.quantity / most
        } else {
            0.0
        }
    });
    needed.fold(0.0, f64::max)
}

/// (reduced cost, arc) of the demand, rounded downwards, cheapest first.
fn reduced(problem: &Problem, prices: &RowPrices, demand: usize) -> Vec<(f64, usize)> {
    let arcs = problem
        .arcs_of(demand)
        .filter(|&arc| problem.max_of(arc) > 0);
    let costs = arcs.map(|arc| (reduced_cost(problem, prices, arc).estimate().low(), arc));
    let mut costs: Vec<(f64, usize)> = costs.collect();
    costs.sort_unstable_by(|one, other| one.0.total_cmp(&other.0).then(one.1.cmp(&other.1)));
    costs
}

/// Whether a cheaper item yields as much of everything and can be had as often as it could help.
fn is_dominated(problem: &Problem, cheaper: &[Item], arc: usize) -> bool {
    let plenty = cheaper.iter().filter(|item| item.is_plenty);
    plenty.into_iter().any(|item| {
        let mut pairs = item.yields.iter().zip(problem.yields(arc));
        pairs.all(|(&known, yielded)| known >= yielded)
    })
}

fn item_of(problem: &Problem, theta: &[f64], (cost, arc): (f64, usize), left: &[f64]) -> Item {
    let yields: Vec<f64> = problem.yields(arc).collect();
    let worth: f64 = theta
        .iter()
        .zip(&yields)
        .map(|(price, yielded)| price * yielded)
        .sum();
    let covers = left.iter().zip(&yields).filter(|pair| *pair.1 > 0.0);
    let useful = covers
        .map(|(left, yielded)| left / yielded)
        .fold(0.0, f64::max);
    Item {
        arc,
        cost,
        max: problem.max_of(arc),
        is_plenty: number(problem.max_of(arc)) >= useful,
        yields,
        gain: worth - cost,
    }
}

impl<'p> Search<'p> {
    fn new(items: Vec<Item>, theta: &'p [f64], short_costs: Vec<f64>) -> Self {
        let mut gains = vec![0.0; items.len() + 1];
        for position in (0..items.len()).rev() {
            gains[position] =
                gains[position + 1] + number(items[position].max) * items[position].gain.max(0.0);
        }
        let replicas = vec![0; items.len()];
        Self {
            best_replicas: replicas.clone(),
            replicas,
            items,
            gains,
            theta,
            short_costs,
            best: f64::INFINITY,
            nodes: 0,
        }
    }

    fn branch(&mut self, position: usize, cost: f64, left: &[f64]) {
        self.nodes += 1;
        if self.nodes > MOST_NODES {
            return;
        }
        let stopping = cost + worth(&self.short_costs, left);
        if stopping < self.best {
            self.best = stopping;
            self.best_replicas.clone_from(&self.replicas);
        }
        if position == self.items.len()
            || cost + worth(self.theta, left) - self.gains[position] >= self.best
        {
            return;
        }
        let item_cost = self.items[position].cost;
        for count in (0..=self.useful(position, left)).rev() {
            let remaining: Vec<f64> = left
                .iter()
                .zip(&self.items[position].yields)
                .map(|(left, yielded)| left - yielded * number(count))
                .collect();
            self.replicas[position] = count;
            self.branch(position + 1, cost + item_cost * number(count), &remaining);
            if self.nodes > MOST_NODES {
                break;
            }
        }
        self.replicas[position] = 0;
    }

    /// Replicas beyond which every cover is met.
    #[allow(clippy::cast_possible_truncation)] // cut into the range of counts first
    fn useful(&self, position: usize, left: &[f64]) -> i64 {
        let item = &self.items[position];
        let needed = left
            .iter()
            .zip(&item.yields)
            .filter(|entry| *entry.0 > 0.0 && *entry.1 > 0.0);
        let most = needed
            .map(|(left, yielded)| (left / yielded).ceil())
            .fold(0.0, f64::max);
        // One more than the quotient says, in case it was rounded down to a whole number.
        item.max.min(if most > 0.0 {
            most.min(1e12) as i64 + 1
        } else {
            0
        })
    }
}

/// $/h of what is left of the covers at a price each.
fn worth(prices: &[f64], left: &[f64]) -> f64 {
    prices
        .iter()
        .zip(left)
        .map(|(price, left)| price * left.max(0.0))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::read;

    /// One demand, two covers, three arcs; the middle one is paid for running.
    fn problem(paid: f64) -> Problem {
        let text = r#"{"version": 1, "limits": [],
            "demands": [{"id": "w", "covers": [{"id": "rate", "quantity": 10, "short_cost": 2},
                                               {"id": "min", "quantity": 3, "short_cost": 4}]}],
            "supplies": [{"id": "s", "steps": [], "capacity": {}}],
            "arcs": [{"id": "a", "demand": 0, "supply": 0, "yields": [7, 1], "cost": 3.1, "use": {}, "max": 4},
                     {"id": "b", "demand": 0, "supply": 0, "yields": [1, 1], "cost": PAID, "use": {}, "max": 2},
                     {"id": "c", "demand": 0, "supply": 0, "yields": [3, 1], "cost": 1.7, "use": {}, "max": 4}]}"#;
        read(&text.replace("PAID", &paid.to_string())).expect("valid")
    }

    /// Every combination of replicas.
    fn enumerated(paid: f64) -> f64 {
        let mut best = f64::INFINITY;
        for (a, b, c) in
            (0..=4).flat_map(|a| (0..=2).flat_map(move |b| (0..=4).map(move |c| (a, b, c))))
        {
            let (a, b, c) = (f64::from(a), f64::from(b), f64::from(c));
            let short =
                2.0 * (10.0 - 7.0 * a - b - 3.0 * c).max(0.0) + 4.0 * (3.0 - a - b - c).max(0.0);
            best = best.min(3.1 * a + paid * b + 1.7 * c + short);
        }
        best
    }

    #[test]
    fn finds_what_enumeration_finds_rounded_downwards() {
        for paid in [-0.5, 0.0, 0.4, 1.6] {
            let problem = problem(paid);
            let prices = RowPrices {
                covers: vec![0.3, 0.8],
                ..RowPrices::zero(&problem)
            };
            let part = integer_part(&problem, &prices, 0).0.expect("few branches");
            assert!(
                part.value <= enumerated(paid) && part.value > enumerated(paid) - 1e-9,
                "{paid}"
            );
        }
    }
}
