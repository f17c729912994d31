//! Facts about a store that an operator should know, each with what to do.

/// Weight of a fact; the worst is the greatest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// It is as it should be.
    Good,
    /// It may do harm.
    Doubtful,
    /// It does harm.
    Bad,
}

/// Fact about a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// Subject, e.g. `connections`.
    pub what: &'static str,
    pub weight: Weight,
    /// Finding, and what to do about it.
    pub text: String,
}

impl Fact {
    /// Makes a fact.
    pub fn new(what: &'static str, weight: Weight, text: impl Into<String>) -> Self {
        Self { what, weight, text: text.into() }
    }
}
