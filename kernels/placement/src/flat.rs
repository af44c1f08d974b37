//! The problem as named flat arrays (`docs/placement.md`): checked, ordered by demand and supply, and laid out.

use crate::check::{count, index, not_negative, number_in_range, refuse};
use crate::error::InvalidProblem;
use crate::problem::{ArcNumbers, Cover, Number, Numbers, Problem, Rows, Step};

type Checked<T> = Result<T, InvalidProblem>;

/// Numbers in the width they came in.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// Single precision.
    Single(Vec<f32>),
    /// Double precision.
    Double(Vec<f64>),
}

impl Values {
    fn len(&self) -> usize {
        match self {
            Self::Single(values) => values.len(),
            Self::Double(values) => values.len(),
        }
    }

    fn get(&self, at: usize) -> f64 {
        match self {
            Self::Single(values) => f64::from(values[at]),
            Self::Double(values) => values[at],
        }
    }

    fn double(self) -> Vec<f64> {
        match self {
            Self::Single(values) => values.into_iter().map(f64::from).collect(),
            Self::Double(values) => values,
        }
    }

    fn gather(self, order: impl Iterator<Item = usize>) -> Self {
        match self {
            Self::Single(values) => Self::Single(order.map(|at| values[at]).collect()),
            Self::Double(values) => Self::Double(order.map(|at| values[at]).collect()),
        }
    }
}

/// Where the arrays come from; each is asked for once and dropped when it is laid out.
pub trait Source {
    /// Whole numbers.
    ///
    /// # Errors
    /// [`InvalidProblem`] when there is no such array, or it has something else in it.
    fn integers(&mut self, name: &str) -> Result<Vec<i64>, InvalidProblem>;

    /// Numbers.
    ///
    /// # Errors
    /// [`InvalidProblem`] when there is no such array, or it has something else in it.
    fn numbers(&mut self, name: &str) -> Result<Values, InvalidProblem>;

    /// How many names of resources there are, and whether they are sorted within the rows that the offsets make.
    ///
    /// # Errors
    /// [`InvalidProblem`] when they are not sorted, or not there.
    fn resource_names(&mut self, offsets: &[usize]) -> Result<usize, InvalidProblem>;
}

/// Read, check and lay out a problem.
///
/// # Errors
/// [`InvalidProblem`] names the entry that breaks the format and the remedy.
pub fn read(source: &mut dyn Source) -> Result<Problem, InvalidProblem> {
    let version = source.integers("version")?;
    if version != [1] {
        return refuse("version must be 1, the only version of the problem file");
    }
    let covers = covers(source)?;
    let steps = steps(source)?;
    let capacity = capacity(source, steps.count())?;
    let bounds = not_negatives(source, "limits.bound")?;
    if bounds.len() > usize::from(u16::MAX) {
        return refuse("limits: there are more than 65535; join some");
    }
    let demand = indices(source, "arcs.demand", covers.count(), "demands")?;
    let supply = indices(source, "arcs.supply", steps.count(), "supplies")?;
    let arcs = demand.len();
    same_length("arcs.supply", supply.len(), arcs)?;
    if u32::try_from(arcs).is_err() {
        return refuse("arcs: there are more than 4294967295; leave out the dearest");
    }
    let order = order(&demand, &supply);
    let gathered = |values: Vec<u32>| match &order {
        Some(order) => order.iter().map(|&at| values[at as usize]).collect(),
        None => values,
    };
    let layout = Layout::new(&covers, gathered(demand), gathered(supply), order);
    let max = layout.maxima(source)?;
    let cost = layout.costs(source)?;
    let yields = layout.yields(source, &covers)?;
    let (use_starts, resources, amounts) = layout.uses(source, &capacity)?;
    let (term_starts, limits, coefficients) = layout.terms(source, bounds.len())?;
    Ok(Problem {
        covers,
        steps,
        capacity,
        bounds,
        arc_starts: layout.arc_starts,
        yield_starts: layout.yield_starts,
        demand: layout.demand,
        supply: layout.supply,
        max,
        use_starts,
        resources,
        term_starts,
        limits,
        numbers: numbers(cost, yields, amounts, coefficients),
        file_index: layout.order,
    })
}

fn covers(source: &mut dyn Source) -> Checked<Rows<Cover>> {
    let offsets = source.integers("demands.covers_offsets")?;
    let quantity = not_negatives(source, "demands.covers.quantity")?;
    let short_cost = not_negatives(source, "demands.covers.short_cost")?;
    same_length(
        "demands.covers.short_cost",
        short_cost.len(),
        quantity.len(),
    )?;
    let starts = starts("demands.covers_offsets", offsets, None, quantity.len())?;
    let entries = quantity.into_iter().zip(short_cost);
    let covers = entries.map(|(quantity, short_cost)| Cover {
        quantity,
        short_cost,
    });
    Ok(Rows::of_parts(starts, covers.collect()))
}

fn steps(source: &mut dyn Source) -> Checked<Rows<Step>> {
    let offsets = source.integers("supplies.steps_offsets")?;
    let counts = source.integers("supplies.steps.count")?;
    let costs = source.numbers("supplies.steps.cost")?.double();
    same_length("supplies.steps.cost", costs.len(), counts.len())?;
    let starts = starts("supplies.steps_offsets", offsets, None, counts.len())?;
    let mut values = Vec::with_capacity(counts.len());
    for (at, (&many, &cost)) in counts.iter().zip(&costs).enumerate() {
        count(&format_args!("supplies.steps.count[{at}]"), many)?;
        number_in_range(&format_args!("supplies.steps.cost[{at}]"), cost)?;
        values.push(Step { count: many, cost });
    }
    for (supply, row) in starts.windows(2).enumerate() {
        let steps = &mut values[row[0]..row[1]];
        let total = steps
            .iter()
            .map(|step| step.count)
            .fold(0, i64::saturating_add);
        count(
            &format_args!("supplies[{supply}].steps: the sum of their counts"),
            total,
        )?;
        steps.sort_by(|left, right| left.cost.total_cmp(&right.cost));
    }
    Ok(Rows::of_parts(starts, values))
}

fn capacity(source: &mut dyn Source, supplies: usize) -> Checked<Rows<f64>> {
    let offsets = source.integers("supplies.capacity_offsets")?;
    let amounts = not_negatives(source, "supplies.capacity.amount")?;
    let starts = starts(
        "supplies.capacity_offsets",
        offsets,
        Some(supplies),
        amounts.len(),
    )?;
    let names = source.resource_names(&starts)?;
    same_length("supplies.capacity.name", names, amounts.len())?;
    if starts
        .windows(2)
        .any(|row| row[1] - row[0] > usize::from(u16::MAX))
    {
        return refuse("supplies: one has more than 65535 resources; join some");
    }
    Ok(Rows::of_parts(starts, amounts))
}

/// Numbers of 0 or more; -0 becomes 0, because dividing by it must not give less than nothing.
fn not_negatives(source: &mut dyn Source, name: &str) -> Checked<Vec<f64>> {
    let mut values = source.numbers(name)?.double();
    for (at, value) in values.iter_mut().enumerate() {
        not_negative(&format_args!("{name}[{at}]"), *value)?;
        *value += 0.0;
    }
    Ok(values)
}

fn same_length(name: &str, length: usize, wanted: usize) -> Checked<()> {
    if length == wanted {
        return Ok(());
    }
    refuse(format!(
        "{name} has {length} entries where {wanted} are needed; write one for each entry of its section"
    ))
}

/// Offsets as checked row starts; `rows` when their number is known.
fn starts(
    name: &str,
    offsets: Vec<i64>,
    rows: Option<usize>,
    length: usize,
) -> Checked<Vec<usize>> {
    if let Some(rows) = rows {
        same_length(name, offsets.len(), rows + 1)?;
    }
    let rising = offsets.windows(2).all(|pair| pair[0] <= pair[1]);
    let ends = offsets
        .last()
        .is_some_and(|&last| usize::try_from(last) == Ok(length));
    if offsets.first() != Some(&0) || !rising || !ends {
        return refuse(format!(
            "{name} must start at 0, never fall and end at {length}, the length of the array it cuts into rows"
        ));
    }
    let fit = offsets
        .into_iter()
        .map(|offset| usize::try_from(offset).unwrap_or(0));
    Ok(fit.collect())
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // the check keeps them from 0 to 2^32
fn indices(source: &mut dyn Source, name: &str, length: usize, section: &str) -> Checked<Vec<u32>> {
    let values = source.integers(name)?;
    let mut checked = Vec::with_capacity(values.len());
    for (at, &value) in values.iter().enumerate() {
        index(&format_args!("{name}[{at}]"), value, length, section)?;
        checked.push(value as u32);
    }
    Ok(checked)
}

/// The file's indices by (demand, supply), or `None` when they are in that order already.
#[allow(clippy::cast_possible_truncation)] // the caller has checked that arcs fit 32 bits
fn order(demand: &[u32], supply: &[u32]) -> Option<Vec<u32>> {
    let key = |at: usize| (demand[at], supply[at]);
    if (1..demand.len()).all(|at| key(at - 1) <= key(at)) {
        return None;
    }
    let mut order: Vec<u32> = (0..demand.len() as u32).collect();
    order.sort_by_key(|&at| (key(at as usize), at));
    Some(order)
}

/// Where the arcs go.
struct Layout {
    demand: Vec<u32>,
    supply: Vec<u32>,
    arc_starts: Vec<usize>,
    yield_starts: Vec<usize>,
    order: Option<Vec<u32>>,
}

impl Layout {
    fn new(
        covers: &Rows<Cover>,
        demand: Vec<u32>,
        supply: Vec<u32>,
        order: Option<Vec<u32>>,
    ) -> Self {
        let mut arc_starts = vec![0; covers.count() + 1];
        for &demand in &demand {
            arc_starts[demand as usize + 1] += 1;
        }
        let mut yield_starts = vec![0; covers.count() + 1];
        for row in 0..covers.count() {
            let arcs: usize = arc_starts[row + 1];
            yield_starts[row + 1] = yield_starts[row] + arcs * covers.range(row).len();
            arc_starts[row + 1] += arc_starts[row];
        }
        Self {
            demand,
            supply,
            arc_starts,
            yield_starts,
            order,
        }
    }

    fn arcs(&self) -> usize {
        self.demand.len()
    }

    /// The file's index of an arc.
    fn file(&self, arc: usize) -> usize {
        self.order.as_ref().map_or(arc, |order| order[arc] as usize)
    }

    fn by_arc(&self, name: &str, values: Values) -> Checked<Values> {
        same_length(name, values.len(), self.arcs())?;
        Ok(match &self.order {
            Some(order) => values.gather(order.iter().map(|&at| at as usize)),
            None => values,
        })
    }

    #[allow(clippy::cast_possible_truncation)] // counts are at most 10^9
    #[allow(clippy::cast_sign_loss)] // and not negative
    fn maxima(&self, source: &mut dyn Source) -> Checked<Vec<u32>> {
        let values = source.integers("arcs.max")?;
        same_length("arcs.max", values.len(), self.arcs())?;
        for (at, &value) in values.iter().enumerate() {
            count(&format_args!("arcs[{at}].max"), value)?;
        }
        Ok((0..self.arcs())
            .map(|arc| values[self.file(arc)] as u32)
            .collect())
    }

    fn costs(&self, source: &mut dyn Source) -> Checked<Values> {
        let values = source.numbers("arcs.cost")?;
        for at in 0..values.len() {
            number_in_range(&format_args!("arcs[{at}].cost"), values.get(at))?;
        }
        self.by_arc("arcs.cost", values)
    }

    /// From arc by arc in the file to cover by cover within a demand.
    fn yields(&self, source: &mut dyn Source, covers: &Rows<Cover>) -> Checked<Values> {
        let values = source.numbers("arcs.yields")?;
        let total = self.yield_starts[covers.count()];
        same_length("arcs.yields", values.len(), total)?;
        for at in 0..values.len() {
            not_negative(&format_args!("arcs.yields[{at}]"), values.get(at))?;
        }
        let file_starts = self.order.as_ref().map(|order| {
            let mut starts = vec![0; self.arcs() + 1];
            for (arc, &at) in order.iter().enumerate() {
                starts[at as usize + 1] = covers.range(self.demand[arc] as usize).len();
            }
            for at in 0..self.arcs() {
                starts[at + 1] += starts[at];
            }
            starts
        });
        let demands = 0..covers.count();
        let places = demands.flat_map(|demand| {
            let (arcs, wide) = (self.arcs_of(demand), covers.range(demand).len());
            let file_starts = &file_starts;
            (0..wide).flat_map(move |cover| {
                arcs.clone().map(move |arc| match file_starts {
                    Some(starts) => starts[self.file(arc)] + cover,
                    None => {
                        self.yield_starts[demand] + (arc - self.arc_starts[demand]) * wide + cover
                    }
                })
            })
        });
        Ok(values.gather(places))
    }

    fn arcs_of(&self, demand: usize) -> std::ops::Range<usize> {
        self.arc_starts[demand]..self.arc_starts[demand + 1]
    }

    // resources lie from 0 to 2^16, uses to 2^32: both are checked
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fn uses(
        &self,
        source: &mut dyn Source,
        capacity: &Rows<f64>,
    ) -> Checked<(Vec<u32>, Vec<u16>, Values)> {
        let offsets = source.integers("arcs.use_offsets")?;
        let resources = source.integers("arcs.use.resource")?;
        let starts = starts(
            "arcs.use_offsets",
            offsets,
            Some(self.arcs()),
            resources.len(),
        )?;
        if u32::try_from(resources.len()).is_err() {
            return refuse(
                "arcs.use: there are more than 4294967295 entries; leave out the dearest arcs",
            );
        }
        let amounts = source.numbers("arcs.use.amount")?;
        same_length("arcs.use.amount", amounts.len(), resources.len())?;
        let mut kept = Vec::with_capacity(resources.len());
        let mut use_starts = Vec::with_capacity(self.arcs() + 1);
        let mut laid = Vec::with_capacity(resources.len());
        use_starts.push(0);
        for arc in 0..self.arcs() {
            let file = self.file(arc);
            let wide = capacity.range(self.supply[arc] as usize).len();
            for at in starts[file]..starts[file + 1] {
                index(
                    &format_args!("arcs.use.resource[{at}]"),
                    resources[at],
                    wide,
                    "resources of its supply",
                )?;
                not_negative(
                    &format_args!("arcs[{file}].use[{}]", resources[at]),
                    amounts.get(at),
                )?;
                if resources[starts[file]..at].contains(&resources[at]) {
                    return refuse(format!(
                        "arcs[{file}].use names resource {} twice; add the two amounts",
                        resources[at]
                    ));
                }
                if amounts.get(at) > 0.0 {
                    kept.push(at);
                    laid.push(resources[at] as u16);
                }
            }
            use_starts.push(kept.len() as u32);
        }
        Ok((use_starts, laid, amounts.gather(kept.into_iter())))
    }

    /// From limit by limit in the file to arc by arc.
    #[allow(clippy::cast_possible_truncation)] // limits fit 16 bits, terms 32: both checked
    fn terms(
        &self,
        source: &mut dyn Source,
        limits: usize,
    ) -> Checked<(Vec<u32>, Vec<u16>, Values)> {
        let offsets = source.integers("limits.terms_offsets")?;
        let arcs = indices(source, "limits.terms.arc", self.arcs(), "arcs")?;
        let starts = starts("limits.terms_offsets", offsets, Some(limits), arcs.len())?;
        if u32::try_from(arcs.len()).is_err() {
            return refuse(
                "limits: they have more than 4294967295 terms; leave out the dearest arcs",
            );
        }
        let values = source.numbers("limits.terms.coefficient")?;
        same_length("limits.terms.coefficient", values.len(), arcs.len())?;
        if arcs.is_empty() {
            return Ok((Vec::new(), Vec::new(), values));
        }
        let position = self.order.as_ref().map(|order| {
            let mut position = vec![0; order.len()];
            for (arc, &file) in order.iter().enumerate() {
                position[file as usize] = arc as u32;
            }
            position
        });
        let arc_of = |at: usize| match &position {
            Some(position) => position[arcs[at] as usize] as usize,
            None => arcs[at] as usize,
        };
        let mut term_starts = vec![0_u32; self.arcs() + 1];
        for at in (0..arcs.len()).filter(|&at| values.get(at) > 0.0) {
            term_starts[arc_of(at) + 1] += 1;
        }
        for arc in 0..self.arcs() {
            term_starts[arc + 1] += term_starts[arc];
        }
        let total = term_starts[self.arcs()] as usize;
        let (mut next, mut last) = (term_starts.clone(), vec![u16::MAX; self.arcs()]);
        let (mut laid, mut places) = (vec![0; total], vec![0_u32; total]);
        for (limit, row) in starts.windows(2).enumerate() {
            for (term, &file_arc) in arcs[row[0]..row[1]].iter().enumerate() {
                let at = row[0] + term;
                not_negative(
                    &format_args!("limits[{limit}].terms[{term}][1]"),
                    values.get(at),
                )?;
                let arc = arc_of(at);
                if std::mem::replace(&mut last[arc], limit as u16) == limit as u16 {
                    return refuse(format!(
                        "limits[{limit}].terms name arc {file_arc} twice; add the two coefficients"
                    ));
                }
                if values.get(at) > 0.0 {
                    let slot = next[arc] as usize;
                    laid[slot] = limit as u16;
                    places[slot] = at as u32;
                    next[arc] += 1;
                }
            }
        }
        let coefficients = values.gather(places.into_iter().map(|at| at as usize));
        Ok((term_starts, laid, coefficients))
    }
}

/// All of the width of the widest; an empty array has none.
fn numbers(cost: Values, yields: Values, amounts: Values, coefficients: Values) -> Numbers {
    let arrays = [cost, yields, amounts, coefficients];
    let narrow = arrays
        .iter()
        .all(|array| matches!(array, Values::Single(_)) || array.len() == 0);
    if narrow {
        Numbers::Single(together(arrays.map(|array| match array {
            Values::Single(values) => values,
            Values::Double(_) => Vec::new(),
        })))
    } else {
        Numbers::Double(together(arrays.map(Values::double)))
    }
}

fn together<T: Number>([cost, yields, amounts, coefficients]: [Vec<T>; 4]) -> ArcNumbers<T> {
    ArcNumbers {
        cost,
        yields,
        amounts,
        coefficients,
    }
}
