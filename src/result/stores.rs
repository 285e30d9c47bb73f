//! What session stores did: operations, locks, and the most contended sessions.

use super::Distribution;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What one session store did as one CD server saw it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Store {
    /// Cluster.
    pub cluster: String,
    /// Index of the CD server in its cluster.
    pub server: u32,
    /// `private` or `shared`.
    pub kind: String,
    /// Operations by verb.
    pub operations: BTreeMap<String, Operations>,
    /// Locks.
    pub locks: Locks,
}

/// Operations of one verb.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Operations {
    /// Latency; an operation that timed out counts with its limit.
    pub latency: Distribution,
    /// Operations that failed.
    pub failed: u64,
    /// Operations that ran into their time limit.
    pub timed_out: u64,
}

/// Locks of one session store.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Locks {
    /// From first asking for an exclusive session to holding its lock.
    pub acquire_wait: Distribution,
    /// Gets per acquired lock.
    pub polls: Distribution,
    /// Gets that found the session locked.
    pub wasted_polls: u64,
    /// From holding a lock to releasing it.
    pub hold: Distribution,
    /// From a release to the next waiter's grant, where somebody waited.
    pub hand_over: Distribution,
    /// Grants of a lock for which the request had to wait.
    pub contended: u64,
    /// Locks released by force.
    pub steals: u64,
    /// Requests refused by the queue limit.
    pub queue_limit_refusals: u64,
    /// Requests that gave up waiting at their execution timeout.
    pub waited_too_long: u64,
    /// Grants to a request while another one waited that had asked earlier.
    pub overtakes: u64,
    /// Most requests that waited for one session at once.
    pub longest_queue: u64,
}

/// What happened around one session's lock, moment by moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SessionTimeline {
    /// The session's id in its store.
    pub session: String,
    /// `private` or `shared`.
    pub kind: String,
    /// Sum of all waits for it.
    pub total_wait_ns: u64,
    /// Most requests that waited for it at once.
    pub longest_queue: u64,
    /// Whether there was more than is kept.
    pub truncated: bool,
    /// Its requests in the order in which they asked.
    pub requests: Vec<LockSpan>,
}

/// One request's way through a lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LockSpan {
    /// Number of the request.
    pub request: u64,
    /// CD server: index over all clusters.
    pub server: u32,
    /// When it asked.
    pub asked_ns: u64,
    /// When it got the lock, if it did.
    pub granted_ns: Option<u64>,
    /// When it released the lock, if it did; a request that only reads, when it got the session.
    pub released_ns: Option<u64>,
}
