//! From a JSON file's entries to a checked [`Problem`]; each refusal names the entry and the remedy.

use crate::error::InvalidProblem;
use crate::flat;
use crate::flat::{Source, Values};
use crate::json::{ArcEntry, DemandEntry, LimitEntry, ProblemEntry, SupplyEntry};
use crate::problem::Problem;
use std::collections::BTreeMap;
use std::fmt::Display;

/// Counts and maxima stay exact as floats, and no sum overflows.
const LARGEST_COUNT: i64 = 1_000_000_000;
/// Products of a few numbers of this size stay finite.
const LARGEST_NUMBER: f64 = 1e15;
/// Products of a few numbers of this size do not underflow, so that the bound's rounding errors are relative.
const SMALLEST_NUMBER: f64 = 1e-60;

type Checked<T> = Result<T, InvalidProblem>;

/// Check every entry and lay the problem out.
pub fn check(file: &ProblemEntry) -> Checked<Problem> {
    if file.version != 1 {
        return refuse("version must be 1, the only version of the problem file");
    }
    unique(
        "demands",
        file.demands.iter().map(|demand| demand.id.as_str()),
    )?;
    unique(
        "supplies",
        file.supplies.iter().map(|supply| supply.id.as_str()),
    )?;
    unique("limits", file.limits.iter().map(|limit| limit.id.as_str()))?;
    for (index, demand) in file.demands.iter().enumerate() {
        check_demand(&format!("demands[{index}]"), demand)?;
    }
    for (index, supply) in file.supplies.iter().enumerate() {
        check_supply(&format!("supplies[{index}]"), supply)?;
    }
    for (index, arc) in file.arcs.iter().enumerate() {
        check_arc(&format!("arcs[{index}]"), arc, file)?;
    }
    for (index, limit) in file.limits.iter().enumerate() {
        check_limit(&format!("limits[{index}]"), limit, file.arcs.len())?;
    }
    flat::read(&mut Columns::of(file))
}

pub(crate) fn refuse<T>(sentence: impl Into<String>) -> Checked<T> {
    Err(InvalidProblem::new(sentence))
}

fn unique<'a>(section: &str, ids: impl Iterator<Item = &'a str>) -> Checked<()> {
    let mut seen = BTreeMap::new();
    for (index, id) in ids.enumerate() {
        if let Some(first) = seen.insert(id, index) {
            return refuse(format!(
                "{section}[{index}].id {id:?} is also the id of {section}[{first}]; give each its own"
            ));
        }
    }
    Ok(())
}

pub(crate) fn number_in_range(place: &dyn Display, value: f64) -> Checked<()> {
    if value.is_nan() || value.abs() > LARGEST_NUMBER {
        return refuse(format!(
            "{place} is {value:e}; it must be a number between -1e15 and 1e15"
        ));
    }
    if value != 0.0 && value.abs() < SMALLEST_NUMBER {
        return refuse(format!(
            "{place} is {value:e}; write 0 for numbers smaller than {SMALLEST_NUMBER:e}"
        ));
    }
    Ok(())
}

pub(crate) fn not_negative(place: &dyn Display, value: f64) -> Checked<()> {
    number_in_range(place, value)?;
    if value < 0.0 {
        return refuse(format!("{place} is {value}; it must be 0 or more"));
    }
    Ok(())
}

pub(crate) fn count(place: &dyn Display, value: i64) -> Checked<()> {
    if (0..=LARGEST_COUNT).contains(&value) {
        return Ok(());
    }
    refuse(format!(
        "{place} is {value}; it must be a whole number from 0 to {LARGEST_COUNT}"
    ))
}

pub(crate) fn index(place: &dyn Display, value: i64, length: usize, section: &str) -> Checked<()> {
    if usize::try_from(value).is_ok_and(|index| index < length) {
        return Ok(());
    }
    refuse(format!(
        "{place} is {value}, but the file has {length} {section}, counted from 0; correct the index"
    ))
}

fn check_demand(place: &str, demand: &DemandEntry) -> Checked<()> {
    unique(
        &format!("{place}.covers"),
        demand.covers.iter().map(|cover| cover.id.as_str()),
    )?;
    for (index, cover) in demand.covers.iter().enumerate() {
        not_negative(
            &format_args!("{place}.covers[{index}].quantity"),
            cover.quantity,
        )?;
        not_negative(
            &format_args!("{place}.covers[{index}].short_cost"),
            cover.short_cost,
        )?;
    }
    Ok(())
}

fn check_supply(place: &str, supply: &SupplyEntry) -> Checked<()> {
    for (index, step) in supply.steps.iter().enumerate() {
        count(&format_args!("{place}.steps[{index}].count"), step.count)?;
        number_in_range(&format_args!("{place}.steps[{index}].cost"), step.cost)?;
    }
    let total = supply
        .steps
        .iter()
        .map(|step| step.count)
        .fold(0, i64::saturating_add);
    count(
        &format_args!("{place}.steps: the sum of their counts"),
        total,
    )?;
    for (name, &capacity) in &supply.capacity {
        not_negative(&format_args!("{place}.capacity[{name:?}]"), capacity)?;
    }
    Ok(())
}

fn check_arc(place: &str, arc: &ArcEntry, file: &ProblemEntry) -> Checked<()> {
    index(
        &format_args!("{place}.demand"),
        arc.demand,
        file.demands.len(),
        "demands",
    )?;
    index(
        &format_args!("{place}.supply"),
        arc.supply,
        file.supplies.len(),
        "supplies",
    )?;
    let covers = file.demands[position(arc.demand)].covers.len();
    if arc.yields.len() != covers {
        let (given, demand) = (arc.yields.len(), arc.demand);
        return refuse(format!(
            "{place}.yields has {given} numbers, but demands[{demand}] has {covers} covers; write one yield for each"
        ));
    }
    for (index, &yielded) in arc.yields.iter().enumerate() {
        not_negative(&format_args!("{place}.yields[{index}]"), yielded)?;
    }
    number_in_range(&format_args!("{place}.cost"), arc.cost)?;
    count(&format_args!("{place}.max"), arc.max)?;
    let capacity = &file.supplies[position(arc.supply)].capacity;
    for (name, &amount) in &arc.uses {
        not_negative(&format_args!("{place}.use[{name:?}]"), amount)?;
        if !capacity.contains_key(name) {
            let supply = arc.supply;
            return refuse(format!(
                "{place}.use names {name:?}, which supplies[{supply}].capacity does not have; add it there or remove it"
            ));
        }
    }
    Ok(())
}

fn check_limit(place: &str, limit: &LimitEntry, arcs: usize) -> Checked<()> {
    not_negative(&format_args!("{place}.bound"), limit.bound)?;
    let mut seen = BTreeMap::new();
    for (term, &(arc, coefficient)) in limit.terms.iter().enumerate() {
        index(&format_args!("{place}.terms[{term}][0]"), arc, arcs, "arcs")?;
        not_negative(&format_args!("{place}.terms[{term}][1]"), coefficient)?;
        if let Some(first) = seen.insert(arc, term) {
            return refuse(format!(
                "{place}.terms[{term}] names arc {arc} again after terms[{first}]; add the two coefficients"
            ));
        }
    }
    Ok(())
}

/// An index that [`index`] has accepted.
fn position(index: i64) -> usize {
    usize::try_from(index).expect("the index was checked")
}

/// The entries as the flat arrays of the same names.
struct Columns {
    integers: BTreeMap<&'static str, Vec<i64>>,
    numbers: BTreeMap<&'static str, Vec<f64>>,
}

impl Columns {
    fn of(file: &ProblemEntry) -> Self {
        let covers = || file.demands.iter().flat_map(|demand| &demand.covers);
        let steps = || file.supplies.iter().flat_map(|supply| &supply.steps);
        let capacities = || {
            file.supplies
                .iter()
                .flat_map(|supply| supply.capacity.values())
        };
        let uses = || {
            file.arcs.iter().flat_map(|arc| {
                let names = file.supplies[position(arc.supply)]
                    .capacity
                    .keys()
                    .enumerate();
                names.filter_map(|(resource, name)| Some((resource, *arc.uses.get(name)?)))
            })
        };
        let terms = || file.limits.iter().flat_map(|limit| &limit.terms);
        let integers = [
            ("version", vec![file.version]),
            (
                "demands.covers_offsets",
                offsets(file.demands.iter().map(|demand| demand.covers.len())),
            ),
            (
                "supplies.steps_offsets",
                offsets(file.supplies.iter().map(|supply| supply.steps.len())),
            ),
            (
                "supplies.steps.count",
                steps().map(|step| step.count).collect(),
            ),
            (
                "supplies.capacity_offsets",
                offsets(file.supplies.iter().map(|supply| supply.capacity.len())),
            ),
            (
                "arcs.demand",
                file.arcs.iter().map(|arc| arc.demand).collect(),
            ),
            (
                "arcs.supply",
                file.arcs.iter().map(|arc| arc.supply).collect(),
            ),
            ("arcs.max", file.arcs.iter().map(|arc| arc.max).collect()),
            (
                "arcs.use_offsets",
                offsets(file.arcs.iter().map(|arc| arc.uses.len())),
            ),
            (
                "arcs.use.resource",
                uses().map(|used| whole(used.0)).collect(),
            ),
            (
                "limits.terms_offsets",
                offsets(file.limits.iter().map(|limit| limit.terms.len())),
            ),
            ("limits.terms.arc", terms().map(|term| term.0).collect()),
        ];
        let numbers = [
            (
                "demands.covers.quantity",
                covers().map(|cover| cover.quantity).collect(),
            ),
            (
                "demands.covers.short_cost",
                covers().map(|cover| cover.short_cost).collect(),
            ),
            (
                "supplies.steps.cost",
                steps().map(|step| step.cost).collect(),
            ),
            ("supplies.capacity.amount", capacities().copied().collect()),
            ("arcs.cost", file.arcs.iter().map(|arc| arc.cost).collect()),
            (
                "arcs.yields",
                file.arcs
                    .iter()
                    .flat_map(|arc| arc.yields.iter().copied())
                    .collect(),
            ),
            ("arcs.use.amount", uses().map(|used| used.1).collect()),
            (
                "limits.bound",
                file.limits.iter().map(|limit| limit.bound).collect(),
            ),
            (
                "limits.terms.coefficient",
                terms().map(|term| term.1).collect(),
            ),
        ];
        Self {
            integers: integers.into(),
            numbers: numbers.into(),
        }
    }
}

impl Source for Columns {
    fn integers(&mut self, name: &str) -> Checked<Vec<i64>> {
        Ok(self
            .integers
            .remove(name)
            .expect("every array is made from the entries"))
    }

    fn numbers(&mut self, name: &str) -> Checked<Values> {
        let values = self.numbers.remove(name);
        Ok(Values::Double(
            values.expect("every array is made from the entries"),
        ))
    }

    fn resource_names(&mut self, offsets: &[usize]) -> Checked<usize> {
        Ok(offsets.last().copied().unwrap_or(0)) // a BTreeMap sorts them
    }
}

fn offsets(lengths: impl Iterator<Item = usize>) -> Vec<i64> {
    let mut offsets = vec![0];
    let mut end = 0;
    for length in lengths {
        end += length;
        offsets.push(whole(end));
    }
    offsets
}

fn whole(count: usize) -> i64 {
    i64::try_from(count).expect("a file has fewer entries than 2^63")
}
