//! The cheapest whole replicas that finish one demand, by depth-first search at marginal costs.
//!
//! Columns are tried in the order of their slack, the marginal cost beyond what their yields are worth at the cover
//! prices. What is left of the covers at those prices is a lower bound on what finishing costs, so that the first
//! column whose slack leads above the best completion ends its branch.

use crate::assignment::Assignment;
use crate::problem::number;

/// Branches after which the best completion so far is taken.
const MOST_NODES: usize = 150;
/// Replicas of a column below the cover prices that the bound counts with; completions are a few replicas.
const MOST_GAINING: i64 = 8;
/// A completion must be cheaper than the best by this share.
const LEAST_GAIN: f64 = 1e-9;

/// A column that may take part.
#[derive(Debug, Clone, Copy)]
struct Item {
    column: usize,
    /// $/h of one replica, what shared rows charge included.
    cost: f64,
    /// $/h beyond what its yields are worth.
    slack: f64,
    room: i64,
}

/// Reusable memory for completing one demand after another.
#[derive(Debug, Default)]
pub struct Completion {
    items: Vec<Item>,
    /// Per item, one entry for each cover.
    yields: Vec<f64>,
    /// What the items from each on can gain at most: a few replicas of those whose slack is negative.
    gains: Vec<f64>,
    theta: Vec<f64>,
    short_costs: Vec<f64>,
    /// What is missing of each cover, one row for each level of the search.
    left: Vec<f64>,
    counts: Vec<i64>,
    best: f64,
    best_counts: Vec<i64>,
    nodes: usize,
}

impl Completion {
    /// The (column, replicas) to add that cost least together with what stays short; none if that is not below `most`.
    ///
    /// `theta` are prices of the demand's covers, `marginal` $/h of a replica of each of its columns.
    pub fn find(
        &mut self,
        assignment: &Assignment<'_>,
        demand: usize,
        theta: &[f64],
        marginal: &[f64],
        most: f64,
    ) -> impl Iterator<Item = (usize, i64)> + '_ {
        self.begin(assignment, demand, theta);
        self.collect(assignment, demand, marginal);
        self.best = most - LEAST_GAIN * most.abs();
        self.nodes = 0;
        self.best_counts.clear();
        self.branch(0, 0, 0.0);
        let counts = self.items.iter().zip(&self.best_counts);
        counts
            .filter(|entry| *entry.1 > 0)
            .map(|(item, &count)| (item.column, count))
    }

    /// Arc evaluations that the last search was worth.
    pub fn work(&self) -> usize {
        self.nodes + self.items.len()
    }

    fn begin(&mut self, assignment: &Assignment<'_>, demand: usize, theta: &[f64]) {
        let positions = assignment.problem().covers.range(demand);
        self.left.clear();
        self.short_costs.clear();
        self.theta.clear();
        for (position, &price) in positions.zip(theta) {
            let cover = assignment.problem().covers.values()[position];
            self.left.push(assignment.short(position));
            self.short_costs.push(cover.short_cost);
            self.theta.push(price.min(cover.short_cost));
        }
    }

    fn collect(&mut self, assignment: &Assignment<'_>, demand: usize, marginal: &[f64]) {
        let candidates = assignment.candidates();
        self.items.clear();
        for (column, &cost) in candidates.of_demand(demand).zip(marginal) {
            let yields = candidates.yields(column);
            let helps = yields
                .iter()
                .zip(&self.left)
                .any(|(&y, &left)| y > 0.0 && left > 0.0);
            if !helps || cost == f64::INFINITY {
                continue;
            }
            let worth: f64 = yields
                .iter()
                .zip(&self.theta)
                .map(|(y, price)| y * price)
                .sum();
            let room = assignment.room(column);
            if room > 0 {
                self.items.push(Item {
                    column,
                    cost,
                    slack: cost - worth,
                    room,
                });
            }
        }
        self.items.sort_unstable_by(|left, right| {
            left.slack
                .total_cmp(&right.slack)
                .then(left.column.cmp(&right.column))
        });
        self.yields.clear();
        self.gains.clear();
        for item in &self.items {
            self.yields
                .extend_from_slice(candidates.yields(item.column));
            self.gains.push(0.0);
        }
        let mut gain = 0.0;
        for (at, item) in self.items.iter().enumerate().rev() {
            if item.slack < 0.0 {
                gain -= item.slack * number(item.room.min(MOST_GAINING));
            }
            self.gains[at] = gain;
        }
        self.counts.clear();
        self.counts.resize(self.items.len(), 0);
    }

    fn branch(&mut self, level: usize, first: usize, cost: f64) {
        self.nodes += 1;
        let covers = self.theta.len();
        let row = level * covers;
        let (mut priced, mut stopping) = (cost, cost);
        for cover in 0..covers {
            priced += self.theta[cover] * self.left[row + cover];
            stopping += self.short_costs[cover] * self.left[row + cover];
        }
        if stopping < self.best {
            self.best = stopping;
            self.best_counts.clone_from(&self.counts);
        }
        self.left.resize(row + 2 * covers, 0.0);
        for at in first..self.items.len() {
            let item = self.items[at];
            if priced + item.slack.max(0.0) - self.gains[at] >= self.best
                || self.nodes >= MOST_NODES
            {
                return;
            }
            if self.counts[at] == item.room {
                continue;
            }
            let mut helps = false;
            for cover in 0..covers {
                let (left, yielded) = (self.left[row + cover], self.yields[at * covers + cover]);
                helps |= left > 0.0 && yielded > 0.0;
                self.left[row + covers + cover] = (left - yielded).max(0.0);
            }
            if helps {
                self.counts[at] += 1;
                self.branch(level + 1, at, cost + item.cost);
                self.counts[at] -= 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::candidates::Candidates;
    use crate::json::read;
    use crate::problem::Problem;

    /// One demand, two covers; the second column alone yields to the second cover.
    fn problem() -> Problem {
        read(
            r#"{"version": 1, "limits": [],
            "demands": [{"id": "w", "covers": [{"id": "rate", "quantity": 10, "short_cost": 0.8},
                                               {"id": "min", "quantity": 3, "short_cost": 4}]}],
            "supplies": [{"id": "s", "steps": [], "capacity": {}}],
            "arcs": [{"id": "a", "demand": 0, "supply": 0, "yields": [7, 0], "cost": 3.1, "use": {}, "max": 4},
                     {"id": "b", "demand": 0, "supply": 0, "yields": [1, 2], "cost": 1.9, "use": {}, "max": 2},
                     {"id": "c", "demand": 0, "supply": 0, "yields": [3, 1], "cost": 1.7, "use": {}, "max": 4}]}"#,
        )
        .expect("valid")
    }

    fn cost(counts: [i64; 3]) -> f64 {
        let [a, b, c] = counts.map(number);
        let short =
            0.8 * (10.0 - 7.0 * a - b - 3.0 * c).max(0.0) + 4.0 * (3.0 - 2.0 * b - c).max(0.0);
        3.1 * a + 1.9 * b + 1.7 * c + short
    }

    #[test]
    fn finds_what_enumeration_finds_whatever_the_prices() {
        let problem = problem();
        let candidates = Candidates::all(&problem);
        let assignment = Assignment::empty(&problem, &candidates);
        let counts =
            (0..=4).flat_map(|a| (0..=2).flat_map(move |b| (0..=4).map(move |c| [a, b, c])));
        let least = counts.map(cost).fold(f64::INFINITY, f64::min);
        for theta in [[0.4, 0.6], [0.0, 0.0], [0.8, 4.0]] {
            let mut found = [0; 3];
            let mut completion = Completion::default();
            let marginal = [3.1, 1.9, 1.7];
            for (column, count) in completion.find(&assignment, 0, &theta, &marginal, 100.0) {
                found[column] = count;
            }
            assert!(
                (cost(found) - least).abs() < 1e-12,
                "{theta:?} {found:?} {least}"
            );
        }
    }

    #[test]
    fn finds_nothing_where_nothing_is_cheap_enough() {
        let problem = problem();
        let candidates = Candidates::all(&problem);
        let assignment = Assignment::empty(&problem, &candidates);
        let mut completion = Completion::default();
        let found = completion.find(&assignment, 0, &[0.4, 0.6], &[3.1, 1.9, 1.7], 1.0);
        assert_eq!(found.count(), 0);
    }
}
