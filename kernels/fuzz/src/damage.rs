//! What can be wrong with arrays.

use crate::arrays::{Array, Arrays};
use crate::draw::Draw;
use arbitrary::Result;
use parkade_placement::flat::Values;

const WHOLE: [i64; 8] = [
    -1,
    0,
    1,
    2,
    1_000_000_000,
    1_000_000_001,
    i64::MAX,
    i64::MIN,
];
const NUMBERS: [f64; 10] = [
    f64::NAN,
    f64::INFINITY,
    f64::NEG_INFINITY,
    -1.0,
    -0.0,
    1e15,
    1.1e15,
    1e-60,
    1e-61,
    f64::MAX,
];

/// Break one array; now and then it stays valid.
///
/// # Errors
/// Never.
///
/// # Panics
/// When there are no arrays.
pub fn damage(draw: &mut Draw<'_>, arrays: &mut Arrays) -> Result<()> {
    if draw.chance(1, 16)? {
        arrays.names = draw.count(4)?;
        return Ok(());
    }
    let place = draw.count(arrays.named.len() - 1)?;
    let (&name, array) = arrays.named.iter_mut().nth(place).expect("counted");
    match draw.count(7)? {
        0 => {
            arrays.named.remove(name);
        }
        1 => *array = other(array),
        2 => array.resize(draw.count(4)?),
        3 => array.resize(array.len() + 1),
        _ => array.set(draw)?,
    }
    Ok(())
}

/// Numbers for whole numbers, and the other way round.
fn other(array: &Array) -> Array {
    match array {
        Array::Integers(values) => Array::Numbers(Values::Double(vec![1.0; values.len()])),
        Array::Numbers(_) => Array::Integers(vec![1; array.len()]),
    }
}

impl Array {
    fn len(&self) -> usize {
        match self {
            Self::Integers(values) => values.len(),
            Self::Numbers(Values::Single(values)) => values.len(),
            Self::Numbers(Values::Double(values)) => values.len(),
        }
    }

    fn resize(&mut self, length: usize) {
        match self {
            Self::Integers(values) => values.resize(length, 1),
            Self::Numbers(Values::Single(values)) => values.resize(length, 1.0),
            Self::Numbers(Values::Double(values)) => values.resize(length, 1.0),
        }
    }

    #[allow(clippy::cast_possible_truncation)] // whatever comes of it is as good
    fn set(&mut self, draw: &mut Draw<'_>) -> Result<()> {
        if self.len() == 0 {
            return Ok(());
        }
        let at = draw.count(self.len() - 1)?;
        let number = NUMBERS[draw.count(NUMBERS.len() - 1)?];
        match self {
            Self::Integers(values) => values[at] = WHOLE[draw.count(WHOLE.len() - 1)?],
            Self::Numbers(Values::Single(values)) => values[at] = number as f32,
            Self::Numbers(Values::Double(values)) => values[at] = number,
        }
        Ok(())
    }
}
