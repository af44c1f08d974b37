//! The problem as flat arrays: what every later step reads.
//!
//! Arcs lie demand by demand, and by supply within a demand; yields lie cover by cover within a demand, so that a
//! pass over a demand's arcs reads memory in order. Numbers of arcs keep the width they came in: single precision
//! halves the memory of ten million arcs, and the values read are then exactly the problem's.

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

    /// Rows that are already laid out; `starts` has one entry more than there are rows.
    pub(crate) fn of_parts(starts: Vec<usize>, values: Vec<T>) -> Self {
        debug_assert_eq!(starts.last(), Some(&values.len()));
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

/// A number of an arc in the width it is stored in.
pub trait Number: Copy + Into<f64> + Send + Sync {}
impl Number for f32 {}
impl Number for f64 {}

/// The numbers of all arcs; uses and terms lie as their index arrays in [`Problem`] say.
#[derive(Debug, Clone, PartialEq)]
pub struct ArcNumbers<T> {
    /// $/h of a replica, per arc.
    pub cost: Vec<T>,
    /// Cover by cover within a demand: [`Problem::yields_of`].
    pub yields: Vec<T>,
    /// Above 0, per use.
    pub amounts: Vec<T>,
    /// Above 0, per term.
    pub coefficients: Vec<T>,
}

/// The numbers of all arcs, all of one width.
#[derive(Debug, Clone, PartialEq)]
pub enum Numbers {
    /// Every number came in single precision.
    Single(ArcNumbers<f32>),
    /// Some number came in double precision.
    Double(ArcNumbers<f64>),
}

/// Read one array of [`ArcNumbers`], whichever width it has.
macro_rules! pick {
    ($numbers:expr, $field:ident, $at:expr) => {
        match $numbers {
            Numbers::Single(numbers) => f64::from(numbers.$field[$at]),
            Numbers::Double(numbers) => numbers.$field[$at],
        }
    };
}

/// Arcs in a batch: enough to be worth a thread's turn.
const ARCS_PER_BATCH: usize = 100_000;

/// A checked problem; [`crate::json::read`] and [`crate::flat::read`] make it.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    /// Covers per demand.
    pub covers: Rows<Cover>,
    /// Steps per supply, cheapest first.
    pub steps: Rows<Step>,
    /// Capacity of one unit per supply and resource (names sorted).
    pub capacity: Rows<f64>,
    /// Bound per limit.
    pub bounds: Vec<f64>,
    /// Where each demand's arcs start; one entry more than there are demands.
    pub(crate) arc_starts: Vec<usize>,
    /// Where each demand's yields start in `ArcNumbers::yields`.
    pub(crate) yield_starts: Vec<usize>,
    /// Demand, supply and most replicas per arc.
    pub(crate) demand: Vec<u32>,
    pub(crate) supply: Vec<u32>,
    pub(crate) max: Vec<u32>,
    /// Where each arc's uses start, and their resources.
    pub(crate) use_starts: Vec<u32>,
    pub(crate) resources: Vec<u16>,
    /// Where each arc's terms start (empty when there are no limits), and their limits.
    pub(crate) term_starts: Vec<u32>,
    pub(crate) limits: Vec<u16>,
    pub(crate) numbers: Numbers,
    /// The file's index of each arc, when the file has them in another order.
    pub(crate) file_index: Option<Vec<u32>>,
}

impl Problem {
    /// Number of demands.
    #[must_use]
    pub fn demands(&self) -> usize {
        self.covers.count()
    }

    /// Number of supplies.
    #[must_use]
    pub fn supplies(&self) -> usize {
        self.steps.count()
    }

    /// Number of arcs.
    #[must_use]
    pub fn arcs(&self) -> usize {
        self.supply.len()
    }

    /// A demand's arcs.
    #[must_use]
    pub fn arcs_of(&self, demand: usize) -> Range<usize> {
        self.arc_starts[demand]..self.arc_starts[demand + 1]
    }

    /// The demands in batches of about equally many arcs, whatever the number of threads.
    #[must_use]
    pub fn batches(&self) -> Vec<Range<usize>> {
        let mut batches = Vec::new();
        let mut start = 0;
        for demand in 0..self.demands() {
            if self.arc_starts[demand + 1] - self.arc_starts[start] >= ARCS_PER_BATCH {
                batches.push(start..demand + 1);
                start = demand + 1;
            }
        }
        if start < self.demands() {
            batches.push(start..self.demands());
        }
        batches
    }

    /// One arc.
    #[must_use]
    pub fn arc(&self, arc: usize) -> Arc {
        Arc {
            demand: self.demand[arc] as usize,
            supply: self.supply[arc] as usize,
            cost: pick!(&self.numbers, cost, arc),
            max: i64::from(self.max[arc]),
        }
    }

    /// Index of an arc's demand.
    #[must_use]
    pub fn demand_of(&self, arc: usize) -> usize {
        self.demand[arc] as usize
    }

    /// Index of an arc's supply.
    #[must_use]
    pub fn supply_of(&self, arc: usize) -> usize {
        self.supply[arc] as usize
    }

    /// Most replicas of an arc.
    #[must_use]
    pub fn max_of(&self, arc: usize) -> i64 {
        i64::from(self.max[arc])
    }

    /// $/h of one replica of an arc, beyond its units.
    #[must_use]
    pub fn cost_of(&self, arc: usize) -> f64 {
        pick!(&self.numbers, cost, arc)
    }

    /// Where the yields of a demand's cover lie in `ArcNumbers::yields`, in the order of its arcs.
    #[must_use]
    pub fn yields_of(&self, demand: usize, cover: usize) -> Range<usize> {
        let arcs = self.arcs_of(demand).len();
        let start = self.yield_starts[demand] + cover * arcs;
        start..start + arcs
    }

    /// What one replica of an arc adds to a cover of its demand.
    #[must_use]
    pub fn yield_of(&self, arc: usize, cover: usize) -> f64 {
        let demand = self.demand_of(arc);
        let at = self.yields_of(demand, cover).start + arc - self.arc_starts[demand];
        pick!(&self.numbers, yields, at)
    }

    /// The most that one replica of any arc adds to a cover of its demand.
    #[must_use]
    pub fn most_yield(&self, demand: usize, cover: usize) -> f64 {
        let at = self.yields_of(demand, cover);
        match &self.numbers {
            Numbers::Single(numbers) => most(&numbers.yields[at]),
            Numbers::Double(numbers) => most(&numbers.yields[at]),
        }
    }

    /// What one replica of an arc adds to each cover of its demand.
    pub fn yields(&self, arc: usize) -> impl Iterator<Item = f64> + '_ {
        let demand = self.demand_of(arc);
        let arcs = self.arcs_of(demand);
        let first = self.yield_starts[demand] + arc - arcs.start;
        let count = self.covers.range(demand).len();
        (0..count).map(move |cover| pick!(&self.numbers, yields, first + cover * arcs.len()))
    }

    /// What one replica of an arc takes of its supply's resources.
    pub fn uses(&self, arc: usize) -> impl Iterator<Item = Use> + '_ {
        let range = self.use_starts[arc] as usize..self.use_starts[arc + 1] as usize;
        range.map(|at| Use {
            resource: self.resources[at] as usize,
            amount: pick!(&self.numbers, amounts, at),
        })
    }

    /// Whether a replica of an arc takes anything of its supply.
    #[must_use]
    pub fn is_used(&self, arc: usize) -> bool {
        self.use_starts[arc] < self.use_starts[arc + 1]
    }

    /// What one replica of an arc takes of the limits.
    pub fn terms(&self, arc: usize) -> impl Iterator<Item = Term> + '_ {
        let range = if self.term_starts.is_empty() {
            0..0
        } else {
            self.term_starts[arc] as usize..self.term_starts[arc + 1] as usize
        };
        range.map(|at| Term {
            limit: self.limits[at] as usize,
            coefficient: pick!(&self.numbers, coefficients, at),
        })
    }

    /// The file's index of an arc.
    #[must_use]
    pub fn file_index_of(&self, arc: usize) -> usize {
        self.file_index
            .as_ref()
            .map_or(arc, |index| index[arc] as usize)
    }

    /// The arcs at indices of the file.
    #[must_use]
    pub fn arcs_at(&self, file_indices: &[usize]) -> Vec<usize> {
        let Some(index) = &self.file_index else {
            return file_indices.to_vec();
        };
        let mut arcs = vec![0; index.len()];
        for (arc, &file) in index.iter().enumerate() {
            arcs[file as usize] = arc;
        }
        file_indices.iter().map(|&file| arcs[file]).collect()
    }

    /// One value per arc, from the kernel's order into the file's.
    #[must_use]
    pub fn in_file_order<T: Copy + Default>(&self, values: Vec<T>) -> Vec<T> {
        if self.file_index.is_none() {
            return values;
        }
        let mut ordered = vec![T::default(); values.len()];
        for (arc, value) in values.into_iter().enumerate() {
            ordered[self.file_index_of(arc)] = value;
        }
        ordered
    }

    /// One value per arc, from the file's order into the kernel's.
    #[must_use]
    pub fn from_file_order<T: Copy>(&self, values: &[T]) -> Vec<T> {
        (0..values.len())
            .map(|arc| values[self.file_index_of(arc)])
            .collect()
    }

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

fn most<T: Number>(values: &[T]) -> f64 {
    values.iter().map(|&value| value.into()).fold(0.0, f64::max)
}

/// A count as a float; the checks keep counts far below 2^53.
#[allow(clippy::cast_precision_loss)] // checked counts are at most 10^9
#[must_use]
pub fn number(count: i64) -> f64 {
    count as f64
}
