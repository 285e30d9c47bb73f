//! The twelve promises (facts/simulation.md §5), how often each was checked and broken, and by whom
//! first. Beside them, the first offenders of what the ledger counts and no promise tells apart.

use crate::clock::Instant;
use crate::result::{Invariant, Offender};
use crate::session::{SessionId, StoreKind};
use std::collections::BTreeMap;

/// A promise of the session contract, or of the harness itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promise {
    /// 1: an exclusive session has one holder.
    OneHolder = 1,
    /// 2: a write of a holder whose lock was taken away is refused.
    Fenced,
    /// 3: no acknowledged update is lost or doubled.
    NoLostUpdate,
    /// 4: session end fires exactly once.
    EndsOnce,
    /// 5: session end is not early. The in-process store breaks this by design, by up to 1 s: it
    /// does not move an expiry by less (facts §3.2).
    NotEarly,
    /// 6: session end is not later than 60 s.
    NotLate,
    /// 7: a session end survives the death of a CD server.
    SurvivesCrash,
    /// 8: page views are conserved.
    PageViewsConserved,
    /// 9: no session is used after its end, and none resurrects. A provider that polls breaks this
    /// by design: a session that is due lives on until the next poll (facts §9.1).
    NoUseAfterEnd,
    /// 10: sessions do not mix.
    NoMixUp,
    /// 11: a waiting request gets its session.
    Liveness,
    /// 12: the harness is honest: it was not what it measured.
    HonestHarness,
}

/// From here on a session end counts as late: the minute by which shared state outlives private
/// state, and the overhead that Sitecore's documents call typical (facts §9.5, §12).
pub const LATE: std::time::Duration = std::time::Duration::from_secs(60);

/// Offenders that are kept of each promise.
const OFFENDERS: usize = 5;

impl Promise {
    /// All promises, by number.
    pub const ALL: [Self; 12] = [
        Self::OneHolder,
        Self::Fenced,
        Self::NoLostUpdate,
        Self::EndsOnce,
        Self::NotEarly,
        Self::NotLate,
        Self::SurvivesCrash,
        Self::PageViewsConserved,
        Self::NoUseAfterEnd,
        Self::NoMixUp,
        Self::Liveness,
        Self::HonestHarness,
    ];

    const fn text(self) -> &'static str {
        match self {
            Self::OneHolder => "a locked session has one holder",
            Self::Fenced => "a write with a lost lock is refused",
            Self::NoLostUpdate => "no acknowledged update is lost or doubled",
            Self::EndsOnce => "session end fires exactly once",
            Self::NotEarly => "session end is not early",
            Self::NotLate => "session end comes within 60 s of the deadline",
            Self::SurvivesCrash => "session end survives the death of a CD server",
            Self::PageViewsConserved => "every page view is committed or still in a live session",
            Self::NoUseAfterEnd => {
                "no session is used after its end, or between its due instant and its end"
            }
            Self::NoMixUp => "a session holds its own contact's data",
            Self::Liveness => "a waiting request gets its session",
            Self::HonestHarness => "the load generator was not the bottleneck",
        }
    }
}

/// Counts of all promises.
#[derive(Debug, Default)]
pub struct Integrity {
    counts: [Counts; 12],
    wrongs: BTreeMap<(StoreKind, &'static str), FirstOffenders>,
}

#[derive(Debug, Default)]
struct Counts {
    checked: u64,
    violations: u64,
    offenders: FirstOffenders,
}

#[derive(Debug, Default)]
struct FirstOffenders(Vec<(Instant, Offender)>);

impl FirstOffenders {
    fn note(&mut self, at: Instant, session: Option<SessionId>, found: impl FnOnce() -> String) {
        if self.0.len() < OFFENDERS {
            let offender = Offender {
                at_ns: 0,
                session: session.map(|id| id.to_string()).unwrap_or_default(),
                found: found(),
            };
            self.0.push((at, offender));
        }
    }

    /// With instants since the start of the traffic.
    fn result(&self, started: Instant) -> Vec<Offender> {
        (self.0.iter())
            .map(|(at, offender)| Offender {
                at_ns: at.since(started).as_nanos() as u64,
                ..offender.clone()
            })
            .collect()
    }
}

impl Integrity {
    /// Notes that a promise was checked.
    pub fn checked(&mut self, promise: Promise) {
        self.checked_times(promise, 1);
    }

    /// Notes that a promise was checked so many times.
    pub fn checked_times(&mut self, promise: Promise, times: u64) {
        self.counts[promise as usize - 1].checked += times;
    }

    /// Notes that a promise was broken.
    #[cold]
    #[inline(never)]
    pub fn broken(
        &mut self,
        promise: Promise,
        at: Instant,
        session: Option<SessionId>,
        found: impl FnOnce() -> String,
    ) {
        let counts = &mut self.counts[promise as usize - 1];
        counts.violations += 1;
        counts.offenders.note(at, session, found);
    }

    /// Remembers who was among the first of what the result counts under this name.
    #[cold]
    #[inline(never)]
    pub fn offended(
        &mut self,
        wrong: &'static str,
        at: Instant,
        id: SessionId,
        found: impl FnOnce() -> String,
    ) {
        let wrong = self.wrongs.entry((id.kind(), wrong)).or_default();
        wrong.note(at, Some(id), found);
    }

    /// Adds breaches that were only counted.
    pub fn broken_times(&mut self, promise: Promise, times: u64) {
        self.counts[promise as usize - 1].violations += times;
    }

    /// The counts as they go into the result, with instants since the start of the traffic.
    #[must_use]
    pub fn result(&self, started: Instant) -> Vec<Invariant> {
        Promise::ALL
            .into_iter()
            .zip(&self.counts)
            .map(|(promise, counts)| Invariant {
                number: promise as u32,
                promise: promise.text().to_owned(),
                checked: counts.checked,
                violations: counts.violations,
                offenders: counts.offenders.result(started),
            })
            .collect()
    }

    /// The first offenders of everything else, under `private.` or `shared.` and the name of its
    /// count.
    #[must_use]
    pub fn offenders(&self, started: Instant) -> BTreeMap<String, Vec<Offender>> {
        (self.wrongs.iter())
            .map(|((kind, wrong), first)| (format!("{kind}.{wrong}"), first.result(started)))
            .collect()
    }
}
