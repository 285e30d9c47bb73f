//! The ledger: what every session really did, and what became of it.
//!
//! In: operations, grants, releases and session ends, as they happen. Out: how many sessions ended
//! once, twice, early, late or never; which updates were lost; what was committed of the page views.
//! It knows nothing of providers: a session is due when the contract says so, and its content is
//! what was acknowledged.
//!
//! Here is what keeps a session alive. `ledger/content.rs` follows what is found and written in it,
//! `ledger/ends.rs` its ends, and `ledger/closing.rs` adds everything up.
//!
//! The surprising fact: a due instant has an uncertainty. The store saw the last touch somewhere
//! between the operation's start and its end, so an end counts as early only if it came before the
//! earliest possible due instant, and late only after the latest.

mod closing;
mod content;
mod ends;

use super::due::DueCounts;
use super::handover::Releases;
use super::integrity::{Integrity, Promise};
use super::life::{Holder, Life};
use super::values::Values;
use crate::clock::Instant;
use crate::fetch::Kept;
use crate::providers::Detection;
use crate::result::PageViews;
use crate::session::observer::{Operation, Outcome, Verb};
use crate::session::{IdMap, IdTable, SessionId, StoreKind};
use std::collections::BTreeMap;
use std::mem::take;
use std::time::Duration;

/// How the sessions of one kind end, by the provider's design.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndDesign {
    /// How expired sessions are noticed; `None`: session end is never raised.
    pub detection: Option<Detection>,
}

/// The ledger of one store kind.
pub struct Ledger {
    lives: IdTable<Life>,
    /// With so many lives it is worth while to look for old ones.
    grown: usize,
    releases: Releases,
    books: Books,
}

/// What the ledger adds up over all lives.
struct Books {
    kind: StoreKind,
    minute: Duration,
    design: EndDesign,
    /// Earlier lives of sessions that live again, and whose end has not come yet.
    superseded: IdMap<Vec<Life>>,
    /// How many, of all sessions.
    superseded_lives: usize,
    due: DueCounts,
    counts: Counts,
    page_views: PageViews,
    /// Sessions due before this instant belong to the warm-up: counted, but not in distributions.
    measured_from: Instant,
}

#[derive(Default)]
struct Counts {
    started: u64,
    ended_once: u64,
    ended_more: u64,
    missed: u64,
    alive: u64,
    duplicates: u64,
    premature: u64,
    used_after_end: u64,
    resurrected: u64,
    vanished: u64,
    abandoned: u64,
    without_data: u64,
    handler_failed: u64,
    unknown: u64,
    empty: u64,
    contact_gone: u64,
    ends_in_step: u64,
    lateness_max_in_step: Duration,
    lateness: Values,
    earliness: Values,
    by_cause: BTreeMap<&'static str, Values>,
    due_uncertainty: Values,
    handler: Values,
    overdue: Values,
}

/// Whether an operation kept its session alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Touch {
    /// By contract it did.
    Sure,
    /// It did unless the session had expired a moment before, or the store never got it.
    Possible,
}

impl Touch {
    fn of(operation: &Operation) -> Option<Self> {
        match (operation.outcome, operation.verb) {
            // A log-out makes the session due at once; see `released`.
            (_, Verb::RemoveItem | Verb::CreateUninitializedItem | Verb::EndRequest) => None,
            (Outcome::TimedOut | Outcome::Failed, _) => Some(Self::Possible),
            // The one operation that does not tell whether there was a session.
            (Outcome::Done, Verb::ResetItemTimeout) => Some(Self::Possible),
            (Outcome::Found | Outcome::Done, _) => Some(Self::Sure),
            (Outcome::Missing | Outcome::Locked, _) => None,
        }
    }
}

/// A session end that was raised and whose handler is still to run.
#[derive(Debug, Clone, Copy)]
pub struct RaisedEnd {
    /// The session.
    pub id: SessionId,
    /// Which life of it; `None` when the run does not know it.
    pub life: Option<u64>,
    /// Whose session it is.
    pub owner: Option<u64>,
    /// Page views in what is to be committed; `None` when the data was gone.
    pub pages: Option<u32>,
    /// When it was raised.
    pub raised: Instant,
}

impl Ledger {
    /// An empty ledger.
    #[must_use]
    pub fn new(
        kind: StoreKind,
        minute: Duration,
        design: EndDesign,
        measured_from: Instant,
    ) -> Self {
        Self {
            lives: IdTable::default(),
            grown: closing::FEW,
            releases: Releases::default(),
            books: Books {
                kind,
                minute,
                design,
                superseded: IdMap::default(),
                superseded_lives: 0,
                due: DueCounts::default(),
                counts: Counts::default(),
                page_views: PageViews::default(),
                measured_from,
            },
        }
    }

    /// Where it keeps what it knows of a session.
    #[must_use]
    pub fn kept(&self, id: SessionId) -> Kept {
        self.lives.kept(&id)
    }

    /// Who holds a session's lock, as far as the harness granted it.
    #[must_use]
    pub fn holder(&self, id: SessionId) -> Option<Holder> {
        self.lives.get(&id)?.holder
    }

    /// An operation ended.
    pub fn operation(&mut self, operation: &Operation, integrity: &mut Integrity) {
        let Some(life) = self.lives.get_mut(&operation.id) else {
            return;
        };
        // Whatever is found once a life is over is the empty session of one that has not begun.
        if !life.born || life.ends > 0 || life.abandoned || life.gone {
            return;
        }
        if operation.outcome == Outcome::Missing && life.untouched_since(operation.started) {
            life.gone = true;
            let early_by = life.due_earliest(self.books.minute).since(operation.done);
            if !early_by.is_zero() {
                self.books.counts.vanished += 1;
                let found = || format!("gone {early_by:.1?} before it was due");
                integrity.offended("vanished", operation.done, operation.id, found);
            }
        }
        let Some(touch) = Touch::of(operation) else {
            return;
        };
        if operation.outcome == Outcome::Found {
            integrity.checked(Promise::NoUseAfterEnd);
            let due = life.due(self.books.minute);
            if operation.started > due && self.books.design.detection.is_some() {
                self.books.counts.resurrected += 1;
                let overdue = operation.started.since(due);
                let found = || format!("served {overdue:.1?} after it was due, not ended");
                let (at, id) = (operation.done, operation.id);
                integrity.broken(Promise::NoUseAfterEnd, at, Some(id), found);
                integrity.offended("resurrected", at, id, found);
            }
        }
        if operation.outcome != Outcome::Found && operation.started > life.due(self.books.minute) {
            // Too late to keep it alive, and nothing says that it still was.
            return;
        }
        let due = life.due(self.books.minute);
        match touch {
            Touch::Sure => life.touch(operation.started, operation.done, operation.timeout),
            Touch::Possible => life.maybe_touch(operation.done),
        }
        self.books.due.moved(due, life.due(self.books.minute));
    }

    /// A lock was released by force.
    pub fn stolen(&mut self, id: SessionId) {
        if let Some(life) = self.lives.get_mut(&id) {
            life.robbed = true;
        }
    }

    /// Whether a contact's session has ended already, so that a visit finds it gone.
    #[must_use]
    pub fn is_over(&self, id: SessionId) -> bool {
        self.lives
            .get(&id)
            .is_none_or(|life| life.born && life.ends > 0)
    }

    /// Counts a private end that found the contact's session gone.
    pub fn contact_gone(&mut self, end: &RaisedEnd, integrity: &mut Integrity) {
        self.books.counts.contact_gone += 1;
        let found = || "ended after the contact's shared session".to_owned();
        integrity.offended("contact_gone", end.raised, end.id, found);
    }

    /// What changed since the last step, for the timeline.
    pub fn step(&mut self, now: Instant) -> Step {
        self.books.due.advance(now);
        Step {
            alive: self.books.due.alive(),
            overdue: self.books.due.overdue(),
            ends: take(&mut self.books.counts.ends_in_step),
            lateness_max: take(&mut self.books.counts.lateness_max_in_step),
        }
    }

    /// Sessions whose end is still awaited.
    #[must_use]
    pub fn awaited(&self) -> u64 {
        self.books.due.alive() + self.books.due.overdue()
    }

    /// What became of page views, once the ledger is closed.
    #[must_use]
    pub const fn page_views(&self) -> PageViews {
        self.books.page_views
    }
}

/// What a ledger tells of one step of the timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Sessions alive at its end.
    pub alive: u64,
    /// Sessions due and not ended at its end.
    pub overdue: u64,
    /// Ends raised in it.
    pub ends: u64,
    /// Longest lateness of them.
    pub lateness_max: Duration,
}

#[cfg(test)]
mod tests;
