//! A run as it went, step by step.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A time series of everything that changes: one entry per step in each column.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Timeline {
    /// Length of a step.
    pub step_ns: u64,
    /// End of the warm-up.
    pub measured_from_ns: u64,
    /// End of the measured time, when visitors stop.
    pub measured_until_ns: u64,
    /// Requests done in the step.
    pub requests: Vec<u64>,
    /// Requests failed in the step.
    pub failed: Vec<u64>,
    /// Requests that waited for a lock at the end of the step.
    pub waiting: Vec<u64>,
    /// Private sessions alive at the end of the step.
    pub live_private: Vec<u64>,
    /// Shared sessions alive at the end of the step.
    pub live_shared: Vec<u64>,
    /// Session ends raised in the step, both kinds.
    pub ends: Vec<u64>,
    /// Sessions that are due and not ended at the end of the step, both kinds.
    pub backlog: Vec<u64>,
    /// 99th percentile of response in the step.
    pub response_p99_ns: Vec<u64>,
    /// Longest lag in the step.
    pub lag_max_ns: Vec<u64>,
    /// Longest lateness of an end raised in the step.
    pub lateness_max_ns: Vec<u64>,
}
