//! Promises with their first offenders, and sums that must come out even.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A promise, and how often it was broken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Invariant {
    /// Its number in METHODOLOGY.md.
    pub number: u32,
    /// What is promised.
    pub promise: String,
    /// How often it was checked.
    pub checked: u64,
    /// How often it was broken.
    pub violations: u64,
    /// The first offenders.
    pub offenders: Vec<Offender>,
}

/// One breach of a promise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Offender {
    /// When it was found.
    pub at_ns: u64,
    /// The session's id in its store.
    pub session: String,
    /// What was found.
    pub found: String,
}

/// A sum that must come out even.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Conservation {
    /// The equation in words.
    pub equation: String,
    /// Its left side.
    pub left: u64,
    /// Its right side.
    pub right: u64,
    /// Whether they are equal.
    pub holds: bool,
}
