//! From the file's entries to a checked [`Problem`]; each refusal names the entry and the remedy.

use crate::error::InvalidProblem;
use crate::json::{ArcEntry, DemandEntry, LimitEntry, ProblemEntry, SupplyEntry};
use crate::problem::{Arc, Cover, Problem, Rows, Step, Term, Use};
use std::collections::BTreeMap;

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
    Ok(lay_out(file))
}

fn refuse<T>(sentence: impl Into<String>) -> Checked<T> {
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

fn finite(place: &str, value: f64) -> Checked<()> {
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

fn not_negative(place: &str, value: f64) -> Checked<()> {
    finite(place, value)?;
    if value < 0.0 {
        return refuse(format!("{place} is {value}; it must be 0 or more"));
    }
    Ok(())
}

fn count(place: &str, value: i64) -> Checked<()> {
    if (0..=LARGEST_COUNT).contains(&value) {
        return Ok(());
    }
    refuse(format!(
        "{place} is {value}; it must be a whole number from 0 to {LARGEST_COUNT}"
    ))
}

fn index(place: &str, value: i64, length: usize, section: &str) -> Checked<()> {
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
        not_negative(&format!("{place}.covers[{index}].quantity"), cover.quantity)?;
        not_negative(
            &format!("{place}.covers[{index}].short_cost"),
            cover.short_cost,
        )?;
    }
    Ok(())
}

fn check_supply(place: &str, supply: &SupplyEntry) -> Checked<()> {
    for (index, step) in supply.steps.iter().enumerate() {
        count(&format!("{place}.steps[{index}].count"), step.count)?;
        finite(&format!("{place}.steps[{index}].cost"), step.cost)?;
    }
    let total = supply
        .steps
        .iter()
        .map(|step| step.count)
        .fold(0, i64::saturating_add);
    count(&format!("{place}.steps: the sum of their counts"), total)?;
    for (name, &capacity) in &supply.capacity {
        not_negative(&format!("{place}.capacity[{name:?}]"), capacity)?;
    }
    Ok(())
}

fn check_arc(place: &str, arc: &ArcEntry, file: &ProblemEntry) -> Checked<()> {
    index(
        &format!("{place}.demand"),
        arc.demand,
        file.demands.len(),
        "demands",
    )?;
    index(
        &format!("{place}.supply"),
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
        not_negative(&format!("{place}.yields[{index}]"), yielded)?;
    }
    finite(&format!("{place}.cost"), arc.cost)?;
    count(&format!("{place}.max"), arc.max)?;
    let capacity = &file.supplies[position(arc.supply)].capacity;
    for (name, &amount) in &arc.uses {
        not_negative(&format!("{place}.use[{name:?}]"), amount)?;
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
    not_negative(&format!("{place}.bound"), limit.bound)?;
    let mut seen = BTreeMap::new();
    for (term, &(arc, coefficient)) in limit.terms.iter().enumerate() {
        index(&format!("{place}.terms[{term}][0]"), arc, arcs, "arcs")?;
        not_negative(&format!("{place}.terms[{term}][1]"), coefficient)?;
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

fn lay_out(file: &ProblemEntry) -> Problem {
    let arcs: Vec<Arc> = file.arcs.iter().map(arc_of).collect();
    Problem {
        covers: Rows::new(file.demands.iter().map(|demand| {
            demand.covers.iter().map(|cover| Cover {
                quantity: cover.quantity,
                short_cost: cover.short_cost,
            })
        })),
        steps: Rows::new(file.supplies.iter().map(merit_order)),
        capacity: Rows::new(
            file.supplies
                .iter()
                .map(|supply| supply.capacity.values().copied()),
        ),
        yields: Rows::new(file.arcs.iter().map(|arc| arc.yields.iter().copied())),
        uses: Rows::new(
            file.arcs
                .iter()
                .map(|arc| uses_of(arc, &file.supplies[position(arc.supply)])),
        ),
        terms: Rows::new(terms_by_arc(&file.limits, arcs.len())),
        bounds: file.limits.iter().map(|limit| limit.bound).collect(),
        arcs_of_demand: grouped(file.demands.len(), arcs.iter().map(|arc| arc.demand)),
        arcs_of_supply: grouped(file.supplies.len(), arcs.iter().map(|arc| arc.supply)),
        arcs,
    }
}

fn arc_of(arc: &ArcEntry) -> Arc {
    Arc {
        demand: position(arc.demand),
        supply: position(arc.supply),
        cost: arc.cost,
        max: arc.max,
    }
}

fn merit_order(supply: &SupplyEntry) -> Vec<Step> {
    let mut steps: Vec<Step> = supply
        .steps
        .iter()
        .map(|step| Step {
            count: step.count,
            cost: step.cost,
        })
        .collect();
    steps.sort_by(|left, right| left.cost.total_cmp(&right.cost));
    steps
}

fn uses_of(arc: &ArcEntry, supply: &SupplyEntry) -> Vec<Use> {
    let named = supply.capacity.keys().enumerate();
    let used = named.filter_map(|(resource, name)| {
        Some(Use {
            resource,
            amount: *arc.uses.get(name)?,
        })
    });
    used.filter(|used| used.amount > 0.0).collect()
}

fn terms_by_arc(limits: &[LimitEntry], arcs: usize) -> Vec<Vec<Term>> {
    let mut by_arc = vec![Vec::new(); arcs];
    for (limit, entry) in limits.iter().enumerate() {
        for &(arc, coefficient) in entry.terms.iter().filter(|term| term.1 > 0.0) {
            by_arc[position(arc)].push(Term { limit, coefficient });
        }
    }
    by_arc
}

fn grouped(groups: usize, members: impl Iterator<Item = usize>) -> Rows<usize> {
    let mut by_group = vec![Vec::new(); groups];
    for (arc, group) in members.enumerate() {
        by_group[group].push(arc);
    }
    Rows::new(by_group)
}
