//! The one error of this crate.

use std::fmt;

/// A problem file cannot be used; the sentence names the entry and says how to mend it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidProblem(String);

impl InvalidProblem {
    /// Wrap a sentence that names the entry and the remedy.
    pub fn new(sentence: impl Into<String>) -> Self {
        Self(sentence.into())
    }
}

impl fmt::Display for InvalidProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for InvalidProblem {}
