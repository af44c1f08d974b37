//! Valid problems and states of them.

use crate::arrays::{Array, Arrays};
use crate::draw::Draw;
use arbitrary::Result;
use parkade_placement::flat::Values;
use parkade_placement::{Problem, State};

/// How many entries there are of each kind.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// At most.
    pub demands: usize,
    /// At most.
    pub supplies: usize,
    /// At least and at most, in any order; none where nobody wants or offers anything.
    pub arcs: (usize, usize),
    /// At most.
    pub limits: usize,
}

const COVERS: usize = 3;
const STEPS: usize = 3;
const RESOURCES: usize = 2;

/// A valid problem: first who is there, then the numbers.
///
/// # Errors
/// Never.
pub fn shape(draw: &mut Draw<'_>, sizes: Sizes) -> Result<Arrays> {
    let mut arrays = Arrays::default();
    arrays.integers("version", vec![1]);
    let covers = lengths(draw, sizes.demands, COVERS)?;
    let steps = lengths(draw, sizes.supplies, STEPS)?;
    let mut resources = Vec::new();
    for _ in &steps {
        resources.push(draw.count(RESOURCES)?);
    }
    arrays.names = resources.iter().sum();
    arrays.integers("demands.covers_offsets", offsets(&covers));
    arrays.integers("supplies.steps_offsets", offsets(&steps));
    arrays.integers("supplies.capacity_offsets", offsets(&resources));
    for name in ["demands.covers.quantity", "demands.covers.short_cost"] {
        arrays.numbers(name, vec![0.0; covers.iter().sum()], false);
    }
    arrays.integers("supplies.steps.count", vec![0; steps.iter().sum()]);
    arrays.numbers("supplies.steps.cost", vec![0.0; steps.iter().sum()], false);
    arrays.numbers("supplies.capacity.amount", vec![0.0; arrays.names], false);
    let arcs = arcs(draw, &mut arrays, &covers, &resources, sizes.arcs)?;
    limits(draw, &mut arrays, arcs, sizes.limits)?;
    redraw(draw, &mut arrays)?;
    Ok(arrays)
}

fn arcs(
    draw: &mut Draw<'_>,
    arrays: &mut Arrays,
    covers: &[usize],
    resources: &[usize],
    (least, most): (usize, usize),
) -> Result<usize> {
    let none = covers.is_empty() || resources.is_empty();
    let arcs = if none {
        0
    } else {
        most - draw.count(most - least)?
    };
    let (mut demand, mut supply, mut used) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..arcs {
        demand.push(draw.count(covers.len() - 1)?);
        supply.push(draw.count(resources.len() - 1)?);
        let own = 0..resources[supply[supply.len() - 1]];
        used.push(some(draw, own, 3)?);
    }
    let yields = demand.iter().map(|&demand| covers[demand]).sum();
    rows(arrays, "arcs.use_offsets", "arcs.use.resource", &used);
    let entries = used.iter().map(Vec::len).sum();
    arrays.integers("arcs.demand", whole(&demand));
    arrays.integers("arcs.supply", whole(&supply));
    arrays.integers("arcs.max", vec![0; arcs]);
    arrays.numbers("arcs.cost", vec![0.0; arcs], draw.narrow);
    arrays.numbers("arcs.yields", vec![0.0; yields], draw.narrow);
    arrays.numbers("arcs.use.amount", vec![0.0; entries], draw.narrow);
    Ok(arcs)
}

fn limits(draw: &mut Draw<'_>, arrays: &mut Arrays, arcs: usize, most: usize) -> Result<()> {
    let mut terms = Vec::new();
    for _ in 0..draw.count(most)? {
        terms.push(some(draw, 0..arcs, 2)?);
    }
    rows(arrays, "limits.terms_offsets", "limits.terms.arc", &terms);
    let count = terms.iter().map(Vec::len).sum();
    arrays.numbers("limits.bound", vec![0.0; terms.len()], false);
    arrays.numbers("limits.terms.coefficient", vec![0.0; count], draw.narrow);
    Ok(())
}

/// Other numbers for the same demands, supplies, arcs and limits.
///
/// # Errors
/// Never.
pub fn redraw(draw: &mut Draw<'_>, arrays: &mut Arrays) -> Result<()> {
    for (&name, array) in &mut arrays.named {
        match array {
            Array::Integers(values) if matches!(name, "arcs.max" | "supplies.steps.count") => {
                for value in values {
                    *value = draw.units()?;
                }
            }
            Array::Integers(_) => {}
            Array::Numbers(values) => redraw_numbers(draw, name, values)?,
        }
    }
    Ok(())
}

#[allow(clippy::cast_possible_truncation)] // the narrow numbers are the problem
fn redraw_numbers(draw: &mut Draw<'_>, name: &str, values: &mut Values) -> Result<()> {
    let mut number = || {
        if matches!(name, "arcs.cost" | "supplies.steps.cost") {
            draw.cost()
        } else {
            draw.amount()
        }
    };
    match values {
        Values::Single(values) => {
            for value in values {
                *value = number()? as f32;
            }
        }
        Values::Double(values) => {
            for value in values {
                *value = number()?;
            }
        }
    }
    Ok(())
}

/// A state that fits the problem and knows nothing of it: any numbers, none of them meant.
///
/// # Errors
/// Never.
pub fn state(draw: &mut Draw<'_>, problem: &Problem) -> Result<State> {
    let mut state = State::empty(problem);
    let rows = [
        &mut state.rents,
        &mut state.weights,
        &mut state.multipliers,
        &mut state.theta,
    ];
    for value in rows.into_iter().flatten() {
        *value = anything(draw)?;
    }
    for arc in 0..problem.arcs().min(20) {
        if draw.chance(1, 2)? {
            state.arcs.push(arc);
            state.flow.push(anything(draw)?);
        }
        if draw.chance(1, 2)? {
            let count = match draw.count(3)? {
                0 => draw.bits()?.cast_signed(),
                _ => draw.units()?,
            };
            state.replicas.push((arc, count));
        }
    }
    if draw.chance(1, 8)? {
        state.arcs.extend_from_within(..);
        state.flow.extend_from_within(..);
        state.replicas.extend_from_within(..);
    }
    Ok(state)
}

fn anything(draw: &mut Draw<'_>) -> Result<f64> {
    Ok(match draw.count(3)? {
        0 => f64::from_bits(draw.bits()?),
        1 => [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX][draw.count(3)?],
        2 => draw.cost()?,
        _ => draw.amount()?,
    })
}

/// Some of a range: all but one in `of`.
fn some(draw: &mut Draw<'_>, range: std::ops::Range<usize>, of: u8) -> Result<Vec<usize>> {
    let mut found = Vec::new();
    for index in range {
        if !draw.chance(1, of)? {
            found.push(index);
        }
    }
    Ok(found)
}

fn lengths(draw: &mut Draw<'_>, most: usize, longest: usize) -> Result<Vec<usize>> {
    let count = most - draw.count(most)?;
    (0..count).map(|_| draw.count(longest)).collect()
}

fn rows(arrays: &mut Arrays, starts: &'static str, values: &'static str, rows: &[Vec<usize>]) {
    let lengths: Vec<usize> = rows.iter().map(Vec::len).collect();
    arrays.integers(starts, offsets(&lengths));
    arrays.integers(values, whole(&rows.concat()));
}

fn offsets(lengths: &[usize]) -> Vec<i64> {
    let mut offsets = vec![0];
    for &length in lengths {
        offsets.push(offsets[offsets.len() - 1] + length);
    }
    whole(&offsets)
}

fn whole(values: &[usize]) -> Vec<i64> {
    let fit = values.iter().map(|&value| i64::try_from(value));
    fit.collect::<std::result::Result<_, _>>()
        .expect("few entries")
}
