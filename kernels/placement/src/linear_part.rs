//! One demand's part of the dual as a linear programme: which arcs it would use at given prices of everything shared.
//!
//! ```text
//! minimise sum reduced_cost*x + sum short_cost*short
//!          yield*x + short - surplus = quantity, 0 <= x <= max, short and surplus >= 0
//! ```
//!
//! A bounded primal simplex with one row a cover (a handful), from the basis in which everything is short. Its dual
//! values are the cover prices. They need no proof: any prices in range give a valid bound.

use crate::problem::{Cover, number};

/// The programme: arcs of one demand, their reduced costs in the same order.
pub struct LinearPart<'a> {
    /// Covers of the demand: the rows.
    pub covers: &'a [Cover],
    /// Yields per arc, one for each cover.
    pub yields: Vec<Vec<f64>>,
    /// $/h of one replica at the prices, per arc.
    pub costs: Vec<f64>,
    /// Most replicas per arc.
    pub max: Vec<i64>,
}

/// Where the simplex stopped.
pub struct LinearFlow {
    /// theta per cover.
    pub prices: Vec<f64>,
    /// Replicas, not whole, per arc.
    pub replicas: Vec<f64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Column {
    Arc(usize),
    Short(usize),
    Surplus(usize),
}

struct Simplex<'a> {
    part: &'a LinearPart<'a>,
    basis: Vec<Column>,
    /// Values of the basic columns.
    level: Vec<f64>,
    /// Row-major inverse of the basis.
    inverse: Vec<f64>,
    is_basic: Vec<bool>,
    at_max: Vec<bool>,
}

/// Relative size below which a reduced cost counts as zero.
const PRICE_TOLERANCE: f64 = 1e-10;
/// Pivots smaller than this are not divided by.
const PIVOT_TOLERANCE: f64 = 1e-11;

impl LinearPart<'_> {
    /// Solve; the pivots are limited, so that a degenerate part ends with prices that are merely less good.
    pub fn solve(&self) -> LinearFlow {
        let mut simplex = Simplex::all_short(self);
        let most_pivots = 20 * (self.costs.len() + self.covers.len()) + 50;
        for pivot in 0..most_pivots {
            let theta = simplex.prices();
            // The first eligible column instead of the steepest one ends a cycle (Bland's rule).
            let steepest = pivot < most_pivots / 2;
            match simplex.entering(&theta, steepest) {
                Some((column, rising)) => simplex.step(column, rising),
                None => break,
            }
        }
        simplex.flow()
    }
}

impl<'a> Simplex<'a> {
    fn all_short(part: &'a LinearPart<'a>) -> Self {
        let rows = part.covers.len();
        let mut inverse = vec![0.0; rows * rows];
        for row in 0..rows {
            inverse[row * rows + row] = 1.0;
        }
        Self {
            part,
            basis: (0..rows).map(Column::Short).collect(),
            level: part.covers.iter().map(|cover| cover.quantity).collect(),
            inverse,
            is_basic: vec![false; part.costs.len()],
            at_max: vec![false; part.costs.len()],
        }
    }

    fn cost(&self, column: Column) -> f64 {
        match column {
            Column::Arc(arc) => self.part.costs[arc],
            Column::Short(row) => self.part.covers[row].short_cost,
            Column::Surplus(_) => 0.0,
        }
    }

    fn most(&self, column: Column) -> f64 {
        match column {
            Column::Arc(arc) => number(self.part.max[arc]),
            Column::Short(_) | Column::Surplus(_) => f64::INFINITY,
        }
    }

    fn prices(&self) -> Vec<f64> {
        let rows = self.basis.len();
        let mut theta = vec![0.0; rows];
        for (row, &column) in self.basis.iter().enumerate() {
            let cost = self.cost(column);
            for (price, entry) in theta.iter_mut().zip(&self.inverse[row * rows..]) {
                *price += cost * entry;
            }
        }
        theta
    }

    /// The column that lowers the cost, and whether it rises from 0 or falls from its maximum.
    fn entering(&self, theta: &[f64], steepest: bool) -> Option<(Column, bool)> {
        let mut best = (PRICE_TOLERANCE, None);
        for (arc, yields) in self.part.yields.iter().enumerate() {
            if self.is_basic[arc] || self.part.max[arc] == 0 {
                continue;
            }
            let worth: f64 = theta
                .iter()
                .zip(yields)
                .map(|(price, yielded)| price * yielded)
                .sum();
            let cost = self.part.costs[arc];
            let gain = if self.at_max[arc] {
                cost - worth
            } else {
                worth - cost
            };
            let score = gain / (cost.abs() + worth.abs()).max(f64::MIN_POSITIVE);
            if score > best.0 {
                best = (score, Some((Column::Arc(arc), !self.at_max[arc])));
                if !steepest {
                    return best.1;
                }
            }
        }
        for (row, (&price, cover)) in theta.iter().zip(self.part.covers).enumerate() {
            let scale = cover.short_cost.max(f64::MIN_POSITIVE);
            for (gain, column) in [
                (price - cover.short_cost, Column::Short(row)),
                (-price, Column::Surplus(row)),
            ] {
                if gain / scale > best.0 && !self.basis.contains(&column) {
                    best = (gain / scale, Some((column, true)));
                }
            }
        }
        best.1
    }

    /// How the basic levels fall when the column rises by one.
    fn direction(&self, column: Column) -> Vec<f64> {
        let rows = self.basis.len();
        let along = |row: usize| match column {
            Column::Arc(arc) => {
                let entries = &self.inverse[row * rows..(row + 1) * rows];
                entries
                    .iter()
                    .zip(&self.part.yields[arc])
                    .map(|(entry, yielded)| entry * yielded)
                    .sum()
            }
            Column::Short(cover) => self.inverse[row * rows + cover],
            Column::Surplus(cover) => -self.inverse[row * rows + cover],
        };
        (0..rows).map(along).collect()
    }

    fn step(&mut self, column: Column, rising: bool) {
        let sign = if rising { 1.0 } else { -1.0 };
        let direction = self.direction(column);
        let mut length = self.most(column);
        let mut leaving = None;
        for (row, &fall) in direction.iter().enumerate() {
            let fall = fall * sign;
            let room = if fall > PIVOT_TOLERANCE {
                self.level[row] / fall
            } else if fall < -PIVOT_TOLERANCE {
                (self.level[row] - self.most(self.basis[row])) / fall
            } else {
                continue;
            };
            if room < length {
                length = room.max(0.0);
                leaving = Some((row, fall < 0.0));
            }
        }
        if length.is_infinite() {
            return; // only rounding can leave no row to stop at; the pivot limit ends the part
        }
        for (level, fall) in self.level.iter_mut().zip(&direction) {
            *level -= sign * length * fall;
        }
        let start = if rising { 0.0 } else { self.most(column) };
        match leaving {
            Some((row, to_max)) => {
                self.exchange(row, column, to_max, &direction, start + sign * length);
            }
            None => self.flip(column),
        }
    }

    fn flip(&mut self, column: Column) {
        if let Column::Arc(arc) = column {
            self.at_max[arc] = !self.at_max[arc];
        }
    }

    fn exchange(
        &mut self,
        row: usize,
        column: Column,
        to_max: bool,
        direction: &[f64],
        level: f64,
    ) {
        if let Column::Arc(arc) = self.basis[row] {
            self.is_basic[arc] = false;
            self.at_max[arc] = to_max;
        }
        if let Column::Arc(arc) = column {
            self.is_basic[arc] = true;
            self.at_max[arc] = false;
        }
        self.basis[row] = column;
        self.level[row] = level;
        let rows = self.basis.len();
        let pivot = direction[row];
        for entry in 0..rows {
            self.inverse[row * rows + entry] /= pivot;
        }
        for other in (0..rows).filter(|&other| other != row) {
            for entry in 0..rows {
                self.inverse[other * rows + entry] -=
                    direction[other] * self.inverse[row * rows + entry];
            }
        }
    }

    fn flow(&self) -> LinearFlow {
        let full = self.at_max.iter().zip(&self.part.max);
        let mut replicas: Vec<f64> = full
            .map(|(&full, &max)| if full { number(max) } else { 0.0 })
            .collect();
        for (&column, &level) in self.basis.iter().zip(&self.level) {
            if let Column::Arc(arc) = column {
                replicas[arc] = level.clamp(0.0, number(self.part.max[arc]));
            }
        }
        let mut prices = self.prices();
        for (price, cover) in prices.iter_mut().zip(self.part.covers) {
            *price = price.clamp(0.0, cover.short_cost);
        }
        LinearFlow { prices, replicas }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two covers, three arcs: the rate is cheapest on the first, the second cover only on the last.
    fn part(yields: &[[f64; 2]; 3]) -> LinearFlow {
        let covers = [
            Cover {
                quantity: 10.0,
                short_cost: 5.0,
            },
            Cover {
                quantity: 3.0,
                short_cost: 9.0,
            },
        ];
        let yields = yields.iter().map(|row| row.to_vec()).collect();
        LinearPart {
            covers: &covers,
            yields,
            costs: vec![1.0, 1.5, 4.0],
            max: vec![4, 100, 100],
        }
        .solve()
    }

    #[test]
    fn fills_the_cheapest_first_and_prices_by_the_last() {
        let flow = part(&[[2.0, 0.0], [1.0, 0.0], [0.0, 1.0]]);
        assert_eq!(flow.replicas, [4.0, 2.0, 3.0]);
        assert_eq!(flow.prices, [1.5, 4.0]);
    }

    #[test]
    fn weak_and_strong_duality_meet() {
        let flow = part(&[[2.0, 0.3], [1.0, 0.5], [0.5, 1.0]]);
        let cost: f64 = flow
            .replicas
            .iter()
            .zip([1.0, 1.5, 4.0])
            .map(|(count, cost)| count * cost)
            .sum();
        let full = 4.0 * (flow.prices[0] * 2.0 + flow.prices[1] * 0.3 - 1.0).max(0.0);
        let dual = 10.0 * flow.prices[0] + 3.0 * flow.prices[1] - full;
        assert!((cost - dual).abs() < 1e-9, "{cost} {dual}");
    }

    #[test]
    fn stays_short_where_arcs_are_dearer() {
        let flow = part(&[[0.1, 0.0], [0.1, 0.0], [0.0, 0.1]]);
        assert_eq!(flow.replicas, [0.0, 0.0, 0.0]);
        assert_eq!(flow.prices, [5.0, 9.0]);
    }
}
