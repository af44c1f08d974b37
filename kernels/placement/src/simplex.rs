//! One demand on its own, at given prices of everything shared: which arcs would it use?
//!
//! ```text
//! minimise sum cost*x + sum short_cost*short
//!          yield*x + short - surplus = quantity, 0 <= x <= max, short and surplus >= 0
//! ```
//!
//! A bounded primal simplex with one row a cover (a handful), from the basis in which everything is short or from the
//! last one: when only costs change, a basis stays primal feasible. Its dual values are the cover prices. They need
//! no proof: any prices in range give a valid bound.

use crate::problem::Cover;

/// A basis member or a column at its maximum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// A column of the programme.
    Arc(u32),
    /// What is missing of a cover.
    Short(u32),
    /// What is too much of a cover.
    Surplus(u32),
}

/// Where a simplex stopped, to go on from when costs have changed.
#[derive(Debug, Clone, Default)]
pub struct Basis {
    columns: Vec<Column>,
    at_max: Vec<u32>,
}

/// The programme and its solution; buffers are kept between demands.
#[derive(Debug, Default)]
pub struct Simplex {
    /// $/h per column.
    pub costs: Vec<f64>,
    /// Most per column.
    pub max: Vec<f64>,
    /// Cover by cover, a value per column.
    pub yields: Vec<f64>,
    covers: Vec<Cover>,
    basis: Basis,
    level: Vec<f64>,
    /// Row-major inverse of the basis.
    inverse: Vec<f64>,
    /// theta per cover.
    theta: Vec<f64>,
    direction: Vec<f64>,
    gains: Vec<f64>,
}

/// Relative size below which a gain counts as zero.
const PRICE_TOLERANCE: f64 = 1e-9;
/// A column that costs less than this share more than it is worth is near to being used.
const NEARLY: f64 = 0.01;
/// Pivots smaller than this are not divided by.
const PIVOT_TOLERANCE: f64 = 1e-11;

impl Simplex {
    /// Start a programme with no columns for these covers.
    pub fn clear(&mut self, covers: &[Cover]) {
        self.costs.clear();
        self.max.clear();
        self.yields.clear();
        self.covers.clear();
        self.covers.extend_from_slice(covers);
    }

    fn rows(&self) -> usize {
        self.covers.len()
    }

    /// Yield of a column for a cover.
    fn yielded(&self, row: usize, column: usize) -> f64 {
        self.yields[row * self.costs.len() + column]
    }

    /// Solve; the pivots are limited, so that a degenerate programme ends with prices that are merely less good.
    ///
    /// Returns the pivots done.
    pub fn solve(&mut self, from: Option<&Basis>) -> usize {
        if !from.is_some_and(|basis| self.resume(basis)) {
            self.all_short();
        }
        let most_pivots = 10 * self.rows() * self.rows() + 4 * self.costs.len() + 200;
        for pivot in 0..most_pivots {
            self.price();
            // The first eligible column instead of the steepest one ends a cycle (Bland's rule).
            match self.entering(pivot > most_pivots / 2) {
                Some((column, rising)) => self.step(column, rising),
                None => return pivot,
            }
        }
        self.price();
        most_pivots
    }

    fn all_short(&mut self) {
        let rows = self.rows();
        self.basis.columns.clear();
        self.basis.at_max.clear();
        self.level.clear();
        self.inverse.clear();
        self.inverse.resize(rows * rows, 0.0);
        for (row, cover) in self.covers.iter().enumerate() {
            self.basis.columns.push(Column::Short(position(row)));
            self.level.push(cover.quantity);
            self.inverse[row * rows + row] = 1.0;
        }
    }

    /// Take over a basis; false when it does not fit these columns or quantities.
    fn resume(&mut self, basis: &Basis) -> bool {
        let (rows, columns) = (self.rows(), self.costs.len());
        let known = |column: &Column| match column {
            Column::Arc(arc) => (*arc as usize) < columns,
            Column::Short(row) | Column::Surplus(row) => (*row as usize) < rows,
        };
        if basis.columns.len() != rows
            || !basis.columns.iter().all(known)
            || !basis.at_max.iter().all(|&arc| (arc as usize) < columns)
        {
            return false;
        }
        self.basis.columns.clone_from(&basis.columns);
        self.basis.at_max.clone_from(&basis.at_max);
        self.invert() && self.set_levels()
    }

    /// Gauss-Jordan with row exchange on the basis matrix.
    fn invert(&mut self) -> bool {
        let rows = self.rows();
        let mut matrix = vec![0.0; rows * rows];
        for (at, &column) in self.basis.columns.iter().enumerate() {
            for row in 0..rows {
                matrix[row * rows + at] = self.entry(row, column);
            }
        }
        self.inverse.clear();
        self.inverse.resize(rows * rows, 0.0);
        for row in 0..rows {
            self.inverse[row * rows + row] = 1.0;
        }
        for at in 0..rows {
            let best = (at..rows)
                .max_by(|&a, &b| {
                    f64::total_cmp(&matrix[a * rows + at].abs(), &matrix[b * rows + at].abs())
                })
                .unwrap_or(at);
            let pivot = matrix[best * rows + at];
            if pivot.abs() < PIVOT_TOLERANCE {
                return false;
            }
            for entry in 0..rows {
                matrix.swap(best * rows + entry, at * rows + entry);
                self.inverse.swap(best * rows + entry, at * rows + entry);
                matrix[at * rows + entry] /= pivot;
                self.inverse[at * rows + entry] /= pivot;
            }
            for other in (0..rows).filter(|&other| other != at) {
                let factor = matrix[other * rows + at];
                for entry in 0..rows {
                    matrix[other * rows + entry] -= factor * matrix[at * rows + entry];
                    self.inverse[other * rows + entry] -= factor * self.inverse[at * rows + entry];
                }
            }
        }
        true
    }

    fn set_levels(&mut self) -> bool {
        let rows = self.rows();
        let mut wanted: Vec<f64> = self.covers.iter().map(|cover| cover.quantity).collect();
        for &arc in &self.basis.at_max {
            for (row, wanted) in wanted.iter_mut().enumerate() {
                *wanted -=
                    self.yields[row * self.costs.len() + arc as usize] * self.max[arc as usize];
            }
        }
        self.level.clear();
        for row in 0..rows {
            let entries = &self.inverse[row * rows..(row + 1) * rows];
            let level: f64 = entries
                .iter()
                .zip(&wanted)
                .map(|(entry, wanted)| entry * wanted)
                .sum();
            let most = self.most(self.basis.columns[row]);
            let noise = 1e-9 * self.covers[row].quantity.max(1.0);
            if level < -noise || level > most + noise {
                return false;
            }
            self.level.push(level.clamp(0.0, most));
        }
        true
    }

    fn entry(&self, row: usize, column: Column) -> f64 {
        match column {
            Column::Arc(arc) => self.yielded(row, arc as usize),
            Column::Short(cover) => f64::from(cover as usize == row),
            Column::Surplus(cover) => -f64::from(cover as usize == row),
        }
    }

    fn cost(&self, column: Column) -> f64 {
        match column {
            Column::Arc(arc) => self.costs[arc as usize],
            Column::Short(row) => self.covers[row as usize].short_cost,
            Column::Surplus(_) => 0.0,
        }
    }

    fn most(&self, column: Column) -> f64 {
        match column {
            Column::Arc(arc) => self.max[arc as usize],
            Column::Short(_) | Column::Surplus(_) => f64::INFINITY,
        }
    }

    fn price(&mut self) {
        let rows = self.rows();
        self.theta.clear();
        self.theta.resize(rows, 0.0);
        for row in 0..rows {
            let cost = self.cost(self.basis.columns[row]);
            for (price, entry) in self.theta.iter_mut().zip(&self.inverse[row * rows..]) {
                *price += cost * entry;
            }
        }
    }

    /// The column that lowers the cost most for its worth, and whether it rises from 0 or falls from its maximum.
    fn entering(&mut self, first: bool) -> Option<(Column, bool)> {
        let count = self.costs.len();
        self.gains.clear();
        self.gains.resize(count, 0.0);
        for (row, &price) in self.theta.iter().enumerate() {
            let yields = &self.yields[row * count..(row + 1) * count];
            for (gain, yielded) in self.gains.iter_mut().zip(yields) {
                *gain += price * yielded;
            }
        }
        let mut best = (PRICE_TOLERANCE, None);
        for &arc in &self.basis.at_max {
            let (worth, cost) = (self.gains[arc as usize], self.costs[arc as usize]);
            let score = (cost - worth) / (cost.abs() + worth.abs()).max(f64::MIN_POSITIVE);
            if score > best.0 {
                best = (score, Some((Column::Arc(arc), false)));
            }
            self.gains[arc as usize] = f64::NEG_INFINITY; // it cannot rise
        }
        for column in &self.basis.columns {
            if let Column::Arc(arc) = column {
                self.gains[*arc as usize] = f64::NEG_INFINITY; // it is in already
            }
        }
        for ((at, &worth), &cost) in self.gains.iter().enumerate().zip(&self.costs) {
            if worth > cost {
                let score = (worth - cost) / (cost.abs() + worth.abs());
                if score > best.0 && self.max[at] > 0.0 {
                    best = (score, Some((Column::Arc(position(at)), true)));
                    if first {
                        return best.1;
                    }
                }
            }
        }
        for (row, (&price, cover)) in self.theta.iter().zip(&self.covers).enumerate() {
            let scale = cover.short_cost.max(f64::MIN_POSITIVE);
            for (gain, column) in [
                (price - cover.short_cost, Column::Short(position(row))),
                (-price, Column::Surplus(position(row))),
            ] {
                if gain / scale > best.0 && !self.basis.columns.contains(&column) {
                    best = (gain / scale, Some((column, true)));
                }
            }
        }
        best.1
    }

    fn step(&mut self, column: Column, rising: bool) {
        let rows = self.rows();
        let sign = if rising { 1.0 } else { -1.0 };
        self.direction.clear();
        for row in 0..rows {
            let along = (0..rows)
                .map(|entry| self.inverse[row * rows + entry] * self.entry(entry, column))
                .sum();
            self.direction.push(along);
        }
        let mut length = self.most(column);
        let mut leaving = None;
        for (row, &fall) in self.direction.iter().enumerate() {
            let fall = fall * sign;
            let room = if fall > PIVOT_TOLERANCE {
                self.level[row] / fall
            } else if fall < -PIVOT_TOLERANCE {
                (self.level[row] - self.most(self.basis.columns[row])) / fall
            } else {
                continue;
            };
            if room < length {
                length = room.max(0.0);
                leaving = Some((row, fall < 0.0));
            }
        }
        if length.is_infinite() {
            return; // only rounding can leave no row to stop at; the pivot limit ends the programme
        }
        for (level, fall) in self.level.iter_mut().zip(&self.direction) {
            *level -= sign * length * fall;
        }
        let start = if rising { 0.0 } else { self.most(column) };
        match leaving {
            Some((row, to_max)) => self.exchange(row, column, to_max, start + sign * length),
            None => self.flip(column),
        }
    }

    fn flip(&mut self, column: Column) {
        if let Column::Arc(arc) = column {
            match self.basis.at_max.iter().position(|&known| known == arc) {
                Some(at) => {
                    self.basis.at_max.remove(at);
                }
                None => self.basis.at_max.push(arc),
            }
        }
    }

    fn exchange(&mut self, row: usize, column: Column, to_max: bool, level: f64) {
        if let Column::Arc(arc) = column {
            self.basis.at_max.retain(|&known| known != arc);
        }
        if let (Column::Arc(arc), true) = (self.basis.columns[row], to_max) {
            self.basis.at_max.push(arc);
        }
        self.basis.columns[row] = column;
        self.level[row] = level;
        let rows = self.rows();
        let pivot = self.direction[row];
        for entry in 0..rows {
            self.inverse[row * rows + entry] /= pivot;
        }
        for other in (0..rows).filter(|&other| other != row) {
            for entry in 0..rows {
                self.inverse[other * rows + entry] -=
                    self.direction[other] * self.inverse[row * rows + entry];
            }
        }
    }

    /// theta per cover, in its valid range.
    pub fn prices(&self) -> impl Iterator<Item = f64> + '_ {
        let prices = self.theta.iter().zip(&self.covers);
        prices.map(|(price, cover)| price.clamp(0.0, cover.short_cost))
    }

    /// Columns above 0 and how far, basic ones first.
    pub fn flow(&self) -> impl Iterator<Item = (usize, f64)> + '_ {
        let basic =
            self.basis.columns.iter().zip(&self.level).filter_map(
                |(column, &level)| match column {
                    Column::Arc(arc) => {
                        Some((*arc as usize, level.clamp(0.0, self.max[*arc as usize])))
                    }
                    _ => None,
                },
            );
        let full = self.basis.at_max.iter();
        let full = full.map(|&arc| (arc as usize, self.max[arc as usize]));
        basic.chain(full).filter(|entry| entry.1 > 0.0)
    }

    /// Columns that cost least more than they are worth at the end of [`Self::solve`], so many at most.
    pub fn near(&self, most: usize) -> Vec<usize> {
        let mut near: Vec<(f64, usize)> = Vec::with_capacity(most + 1);
        for ((at, &worth), &cost) in self.gains.iter().enumerate().zip(&self.costs) {
            let excess = (cost - worth) / worth;
            if excess < NEARLY
                && worth > 0.0
                && (near.len() < most || excess < near[near.len() - 1].0)
            {
                let place = near.partition_point(|entry| entry.0 <= excess);
                near.insert(place, (excess, at));
                near.truncate(most);
            }
        }
        near.into_iter().map(|entry| entry.1).collect()
    }

    /// Where it stopped.
    pub fn basis(&self) -> &Basis {
        &self.basis
    }

    /// The programme's value at theta: a lower bound on its minimum, exact at the end of [`Self::solve`].
    pub fn dual_value(&self) -> f64 {
        let theta: Vec<f64> = self.prices().collect();
        let mut value: f64 = theta
            .iter()
            .zip(&self.covers)
            .map(|(price, cover)| price * cover.quantity)
            .sum();
        for &arc in &self.basis.at_max {
            let arc = arc as usize;
            let worth: f64 = theta
                .iter()
                .enumerate()
                .map(|(row, price)| price * self.yielded(row, arc))
                .sum();
            value -= self.max[arc] * (worth - self.costs[arc]).max(0.0);
        }
        value
    }
}

#[allow(clippy::cast_possible_truncation)] // a demand has fewer than 2^32 arcs: checked when it is read
fn position(at: usize) -> u32 {
    at as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two covers, three arcs: the rate is cheapest on the first, the second cover only on the last.
    fn solved(yields: [[f64; 2]; 3], costs: [f64; 3], from: Option<&Basis>) -> Simplex {
        let mut simplex = Simplex::default();
        let cover = |quantity, short_cost| Cover {
            quantity,
            short_cost,
        };
        simplex.clear(&[cover(10.0, 5.0), cover(3.0, 9.0)]);
        simplex.costs.extend(costs);
        simplex.max.extend([4.0, 100.0, 100.0]);
        for row in 0..2 {
            simplex.yields.extend(yields.map(|entry| entry[row]));
        }
        simplex.solve(from);
        simplex
    }

    fn replicas(simplex: &Simplex) -> Vec<f64> {
        let mut replicas = vec![0.0; 3];
        for (arc, count) in simplex.flow() {
            replicas[arc] = count;
        }
        replicas
    }

    #[test]
    fn fills_the_cheapest_first_and_prices_by_the_last() {
        let part = solved([[2.0, 0.0], [1.0, 0.0], [0.0, 1.0]], [1.0, 1.5, 4.0], None);
        assert_eq!(replicas(&part), [4.0, 2.0, 3.0]);
        assert_eq!(part.prices().collect::<Vec<_>>(), [1.5, 4.0]);
    }

    #[test]
    fn weak_and_strong_duality_meet() {
        let costs = [1.0, 1.5, 4.0];
        let part = solved([[2.0, 0.3], [1.0, 0.5], [0.5, 1.0]], costs, None);
        let cost: f64 = replicas(&part)
            .iter()
            .zip(costs)
            .map(|(count, cost)| count * cost)
            .sum();
        assert!((cost - part.dual_value()).abs() < 1e-9, "{cost}");
    }

    #[test]
    fn goes_on_from_a_basis_to_the_same_prices() {
        let yields = [[2.0, 0.3], [1.0, 0.5], [0.5, 1.0]];
        let before = solved(yields, [1.0, 1.5, 4.0], None);
        let costs = [3.0, 1.4, 0.6];
        let (warm, cold) = (
            solved(yields, costs, Some(before.basis())),
            solved(yields, costs, None),
        );
        for (warm, cold) in warm.prices().zip(cold.prices()) {
            assert!((warm - cold).abs() < 1e-9);
        }
    }

    #[test]
    fn stays_short_where_arcs_are_dearer() {
        let part = solved([[0.1, 0.0], [0.1, 0.0], [0.0, 0.1]], [1.0, 1.5, 4.0], None);
        assert_eq!(replicas(&part), [0.0, 0.0, 0.0]);
        assert_eq!(part.prices().collect::<Vec<_>>(), [5.0, 9.0]);
    }
}
