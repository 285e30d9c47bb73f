//! Session ends, and what became of the page views that they commit.

use super::Distribution;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Session ends of one store kind.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SessionEnds {
    /// `private` or `shared`.
    pub kind: String,
    /// Whether the provider raises ends of this kind at all.
    pub supported: bool,
    /// Lives of sessions that began.
    pub started: u64,
    /// Of those, ended once.
    pub ended_once: u64,
    /// Of those, ended more than once.
    pub ended_more: u64,
    /// Of those, due and never ended.
    pub missed: u64,
    /// Of those, not due yet when the run ended.
    pub alive: u64,
    /// Session ends raised beyond the first of a life.
    pub duplicates: u64,
    /// Ends before the session was due, beyond the uncertainty of its due instant.
    pub premature: u64,
    /// Sessions that a store served after their end was raised.
    pub used_after_end: u64,
    /// Sessions that a store served although they were due and not ended.
    pub resurrected: u64,
    /// Sessions that were gone from the store before they were due.
    pub vanished: u64,
    /// Ends by log-out.
    pub abandoned: u64,
    /// Ends without data: gone before the provider read it, so that nothing is committed.
    pub without_data: u64,
    /// Ends whose handler threw.
    pub handler_failed: u64,
    /// Ends of sessions that this run does not know.
    pub unknown: u64,
    /// Ends of sessions that no request had written anything into.
    pub empty: u64,
    /// Private ends that found the contact's shared session ended already.
    pub contact_gone: u64,
    /// End raised − due, of first ends that were not early; at least 0.
    pub lateness: Distribution,
    /// Due − end raised, of premature ends.
    pub earliness: Distribution,
    /// Parts of lateness by cause: `poll phase`, `cache wheel`, `expiry scan`, `backlog`.
    pub lateness_by_cause: BTreeMap<String, Distribution>,
    /// Uncertainty of the due instant: how long the operation took that kept the session alive
    /// last.
    pub due_uncertainty: Distribution,
    /// Session-end handler, from the end raised to the visit committed.
    pub handler: Distribution,
    /// Missed ends, by how long they were overdue when the run ended.
    pub overdue: Distribution,
}

/// Page views: what visits did, and what of it was committed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PageViews {
    /// Page views that visitors saw succeed.
    pub performed: u64,
    /// In visits that were committed once or more.
    pub committed: u64,
    /// In sessions that live on at the end of the run.
    pub alive: u64,
    /// Of visits whose end never came, or came without data, or whose handler threw.
    pub lost_with_visit: u64,
    /// Of committed visits, but missing in what was committed.
    pub lost_in_visit: u64,
    /// Committed more than once.
    pub committed_again: u64,
}
