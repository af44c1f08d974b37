//! The arcs that a search may use: all of a small problem, the promising ones of a large one.
//!
//! A candidate is a column; its number is its place in [`Candidates::arcs`]. A search reads columns in no order over
//! and over, so all that one needs of a column lies together here, in double precision.

use std::ops::Range;

use crate::problem::{Problem, Rows, Term};

/// What a search needs of one candidate.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// $/h for one replica.
    pub cost: f64,
    /// Index of the demand.
    pub demand: u32,
    /// Index of the supply.
    pub supply: u32,
    /// Most replicas.
    pub max: u32,
    yields: u32,
    uses: u32,
    terms: u32,
}

/// What one replica takes of one resource.
#[derive(Debug, Clone, Copy)]
pub struct Used {
    /// Position in `Problem::capacity`.
    pub position: u32,
    /// Above 0, in the resource's unit.
    pub amount: f64,
}

/// Columns by demand, by supply and by limit, each in rising order.
#[derive(Debug, Clone)]
pub struct Candidates {
    demands: Rows<usize>,
    supplies: Rows<u32>,
    limits: Rows<u32>,
    /// One more than there are candidates: a column's lists end where the next one's begin.
    columns: Vec<Column>,
    yields: Vec<f64>,
    uses: Vec<Used>,
    terms: Vec<Term>,
}

impl Candidates {
    /// Every arc.
    pub fn all(problem: &Problem) -> Self {
        Self::new(
            problem,
            (0..problem.demands()).map(|demand| problem.arcs_of(demand)),
        )
    }

    /// Given arcs, demand by demand, in rising order.
    pub fn new(
        problem: &Problem,
        arcs: impl IntoIterator<Item = impl IntoIterator<Item = usize>>,
    ) -> Self {
        let demands = Rows::new(arcs);
        let count = demands.values().len();
        let mut candidates = Self {
            demands,
            supplies: Rows::new([[0; 0]; 0]),
            limits: Rows::new([[0; 0]; 0]),
            columns: Vec::with_capacity(count + 1),
            yields: Vec::with_capacity(2 * count),
            uses: Vec::with_capacity(count),
            terms: Vec::new(),
        };
        for at in 0..count {
            let arc = candidates.demands.values()[at];
            let entry = problem.arc(arc);
            candidates.begin(entry.cost, entry.demand, entry.supply, problem.max_of(arc));
            candidates.yields.extend(problem.yields(arc));
            let first = problem.capacity.range(entry.supply).start;
            candidates.uses.extend(problem.uses(arc).map(|used| Used {
                position: narrow(first + used.resource),
                amount: used.amount,
            }));
            candidates.terms.extend(problem.terms(arc));
        }
        candidates.begin(0.0, 0, 0, 0);
        let columns = &candidates.columns[..count];
        candidates.supplies = grouped(
            problem.supplies(),
            columns
                .iter()
                .zip(0..)
                .map(|(column, at)| (column.supply as usize, at)),
        );
        candidates.limits = grouped(
            problem.bounds.len(),
            (0..count).flat_map(|at| {
                let terms = candidates.terms(at);
                terms.iter().map(move |term| (term.limit, narrow(at)))
            }),
        );
        candidates
    }

    fn begin(&mut self, cost: f64, demand: usize, supply: usize, max: i64) {
        self.columns.push(Column {
            cost,
            demand: narrow(demand),
            supply: narrow(supply),
            max: u32::try_from(max).unwrap_or(u32::MAX),
            yields: narrow(self.yields.len()),
            uses: narrow(self.uses.len()),
            terms: narrow(self.terms.len()),
        });
    }

    /// Number of candidates.
    pub fn count(&self) -> usize {
        self.columns.len() - 1
    }

    /// Columns of a demand.
    pub fn of_demand(&self, demand: usize) -> Range<usize> {
        self.demands.range(demand)
    }

    /// Columns on a supply.
    pub fn of_supply(&self, supply: usize) -> &[u32] {
        self.supplies.row(supply)
    }

    /// Columns that a limit counts.
    pub fn of_limit(&self, limit: usize) -> &[u32] {
        self.limits.row(limit)
    }

    /// The arc of every candidate, demand by demand.
    pub fn arcs(&self) -> &[usize] {
        self.demands.values()
    }

    /// One candidate.
    pub fn column(&self, column: usize) -> &Column {
        &self.columns[column]
    }

    /// Index of a column's demand.
    pub fn demand_of(&self, column: usize) -> usize {
        self.columns[column].demand as usize
    }

    /// Index of a column's supply.
    pub fn supply_of(&self, column: usize) -> usize {
        self.columns[column].supply as usize
    }

    /// Most replicas of a column.
    pub fn max_of(&self, column: usize) -> i64 {
        i64::from(self.columns[column].max)
    }

    /// What one replica adds to each cover of its demand.
    pub fn yields(&self, column: usize) -> &[f64] {
        &self.yields[self.columns[column].yields as usize..self.columns[column + 1].yields as usize]
    }

    /// What one replica takes of its supply.
    pub fn uses(&self, column: usize) -> &[Used] {
        &self.uses[self.columns[column].uses as usize..self.columns[column + 1].uses as usize]
    }

    /// What one replica takes of the limits.
    pub fn terms(&self, column: usize) -> &[Term] {
        &self.terms[self.columns[column].terms as usize..self.columns[column + 1].terms as usize]
    }
}

/// Columns into rows, in their order (a counting sort).
fn grouped(rows: usize, entries: impl Iterator<Item = (usize, u32)> + Clone) -> Rows<u32> {
    let mut starts = vec![0; rows + 1];
    for (row, _) in entries.clone() {
        starts[row + 1] += 1;
    }
    for row in 0..rows {
        starts[row + 1] += starts[row];
    }
    let mut next = starts.clone();
    let mut values = vec![0; starts[rows]];
    for (row, column) in entries {
        values[next[row]] = column;
        next[row] += 1;
    }
    Rows::of_parts(starts, values)
}

/// Problems have fewer than 2^32 arcs, uses and terms.
fn narrow(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
