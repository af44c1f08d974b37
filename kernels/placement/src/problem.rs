//! The problem as flat arrays: what every later step reads.

use std::ops::Range;

/// Rows of different lengths in one array (compressed sparse rows).
#[derive(Debug, Clone, PartialEq)]
pub struct Rows<T> {
    starts: Vec<usize>,
    values: Vec<T>,
}

impl<T> Rows<T> {
    /// Lay the rows one after another.
    pub fn new(rows: impl IntoIterator<Item = impl IntoIterator<Item = T>>) -> Self {
        let mut starts = vec![0];
        let mut values = Vec::new();
        for row in rows {
            values.extend(row);
            starts.push(values.len());
        }
        Self { starts, values }
    }

    /// Number of rows.
    #[must_use]
    pub fn count(&self) -> usize {
        self.starts.len() - 1
    }

    /// Positions of a row in [`Rows::values`].
    #[must_use]
    pub fn range(&self, row: usize) -> Range<usize> {
        self.starts[row]..self.starts[row + 1]
    }

    /// One row.
    #[must_use]
    pub fn row(&self, row: usize) -> &[T] {
        &self.values[self.range(row)]
    }

    /// All rows, one after another.
    #[must_use]
    pub fn values(&self) -> &[T] {
        &self.values
    }
}

impl Rows<f64> {
    /// Cut an array with one value per position into the rows' shape.
    #[must_use]
    pub fn shape_of<T>(rows: &Rows<T>, values: &[f64]) -> Vec<Vec<f64>> {
        (0..rows.count())
            .map(|row| values[rows.range(row)].to_vec())
            .collect()
    }
}

/// One want of a demand.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cover {
    /// In the cover's own unit.
    pub quantity: f64,
    /// $/h for each unit of the quantity that is not covered.
    pub short_cost: f64,
}

/// Units of a supply at one price.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// Units.
    pub count: i64,
    /// $/h for one unit.
    pub cost: f64,
}

/// One way to run a demand on a supply.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Arc {
    /// Index of the demand.
    pub demand: usize,
    /// Index of the supply.
    pub supply: usize,
    /// $/h for one replica.
    pub cost: f64,
    /// Most replicas.
    pub max: i64,
}

/// What one replica takes of one resource.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Use {
    /// Index into the supply's resources (names sorted).
    pub resource: usize,
    /// Above 0, in the resource's unit.
    pub amount: f64,
}

/// What one replica takes of one limit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Term {
    /// Index of the limit.
    pub limit: usize,
    /// Above 0.
    pub coefficient: f64,
}

/// A checked problem; [`crate::json::read`] makes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    /// Covers per demand.
    pub covers: Rows<Cover>,
    /// Steps per supply, cheapest first.
    pub steps: Rows<Step>,
    /// Capacity of one unit per supply and resource (names sorted).
    pub capacity: Rows<f64>,
    /// Arcs in the file's order.
    pub arcs: Vec<Arc>,
    /// Yield of one replica per arc, for each cover of its demand.
    pub yields: Rows<f64>,
    /// Uses above 0 per arc.
    pub uses: Rows<Use>,
    /// Limit terms above 0 per arc.
    pub terms: Rows<Term>,
    /// Bound per limit.
    pub bounds: Vec<f64>,
    /// Arcs per demand.
    pub arcs_of_demand: Rows<usize>,
    /// Arcs per supply.
    pub arcs_of_supply: Rows<usize>,
}

impl Problem {
    /// Units that a supply has at any price.
    #[must_use]
    pub fn total_units(&self, supply: usize) -> i64 {
        self.steps.row(supply).iter().map(|step| step.count).sum()
    }

    /// Units of a supply that cost less than nothing: they are taken whether needed or not.
    #[must_use]
    pub fn paid_units(&self, supply: usize) -> i64 {
        self.steps
            .row(supply)
            .iter()
            .filter(|step| step.cost < 0.0)
            .map(|step| step.count)
            .sum()
    }

    /// $/h of the cheapest `units` units of a supply.
    #[must_use]
    pub fn units_cost(&self, supply: usize, units: i64) -> f64 {
        let mut left = units;
        let mut cost = 0.0;
        for step in self.steps.row(supply) {
            let taken = left.min(step.count);
            cost += number(taken) * step.cost;
            left -= taken;
            if left == 0 {
                break;
            }
        }
        cost
    }
}

/// A count as a float; the checks keep counts far below 2^53.
#[allow(clippy::cast_precision_loss)] // checked counts are at most 10^9
#[must_use]
pub fn number(count: i64) -> f64 {
    count as f64
}
