//! A problem as named arrays in memory.

use parkade_placement::InvalidProblem;
use parkade_placement::flat::{Source, Values};
use std::collections::BTreeMap;

/// One array, in the width that the file would have.
#[derive(Debug, Clone)]
pub enum Array {
    /// Whole numbers.
    Integers(Vec<i64>),
    /// Numbers.
    Numbers(Values),
}

/// What an `.npz` file holds.
#[derive(Debug, Clone, Default)]
pub struct Arrays {
    /// By their names in the file.
    pub named: BTreeMap<&'static str, Array>,
    /// Names of resources there are; they are sorted.
    pub names: usize,
}

impl Arrays {
    /// Set whole numbers.
    pub fn integers(&mut self, name: &'static str, values: Vec<i64>) {
        self.named.insert(name, Array::Integers(values));
    }

    /// Set numbers, in single precision if `narrow`: those are the problem then.
    #[allow(clippy::cast_possible_truncation)]
    pub fn numbers(&mut self, name: &'static str, values: Vec<f64>, narrow: bool) {
        let values = if narrow {
            Values::Single(values.into_iter().map(|value| value as f32).collect())
        } else {
            Values::Double(values)
        };
        self.named.insert(name, Array::Numbers(values));
    }

    fn fetch(&self, name: &str) -> Result<Array, InvalidProblem> {
        let missing = || InvalidProblem::new(format!("{name} is missing from the problem"));
        self.named.get(name).cloned().ok_or_else(missing)
    }
}

impl Source for Arrays {
    fn integers(&mut self, name: &str) -> Result<Vec<i64>, InvalidProblem> {
        match self.fetch(name)? {
            Array::Integers(values) => Ok(values),
            Array::Numbers(_) => Err(InvalidProblem::new(format!("{name} must be whole numbers"))),
        }
    }

    fn numbers(&mut self, name: &str) -> Result<Values, InvalidProblem> {
        match self.fetch(name)? {
            Array::Numbers(values) => Ok(values),
            Array::Integers(_) => Err(InvalidProblem::new(format!("{name} must be numbers"))),
        }
    }

    fn resource_names(&mut self, _offsets: &[usize]) -> Result<usize, InvalidProblem> {
        Ok(self.names)
    }
}
