//! One life of a session: from the request that found none stored to its end.

use crate::clock::Instant;
use crate::session::observer::RequestNumber;
use crate::session::{Minutes, Stamp};
use std::num::NonZeroU64;
use std::time::Duration;

/// What the ledger knows of one life of a session, independent of any provider.
#[derive(Debug, Clone, Default)]
pub struct Life {
    /// What the store should hold: all acknowledged updates.
    pub expected: Stamp,
    /// Whether its first write was acknowledged; before that it is only a lock.
    pub born: bool,
    /// When the last operation that kept it alive returned.
    touched: Instant,
    /// How long that operation took, in microseconds rounded up: its true instant is somewhere in
    /// there.
    uncertain_us: u32,
    timeout: Minutes,
    /// Who holds its lock.
    pub holder: Option<Holder>,
    /// Whether the holder's lock was released by force.
    pub robbed: bool,
    /// Contents that the store may hold instead: writes that timed out, and writes with a lost lock.
    #[allow(
        clippy::box_collection,
        reason = "a vector is three words in every life, and hardly any life needs one"
    )]
    pub possible: Option<Box<Vec<Possible>>>,
    /// Session ends raised so far; 255 stands for any more.
    pub ends: u8,
    /// When the first one was raised.
    pub ended: Instant,
    /// Page views that the visitor saw succeed.
    pub performed: u32,
    /// Page views in what was committed, if anything was.
    committed_pages: u32,
    was_committed: bool,
    /// Whether a request found it gone from the store.
    pub gone: bool,
    /// Whether it logged out.
    pub abandoned: bool,
    /// Whether a use after its end was counted already.
    pub misuse_counted: bool,
}

/// Who holds a lock, and since when. Request numbers start at one, which keeps a life small.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    request: NonZeroU64,
    /// When it got the lock.
    pub since: Instant,
}

impl Holder {
    /// A holder; `None` for request zero, which there is none.
    #[must_use]
    pub fn new(request: RequestNumber, since: Instant) -> Option<Self> {
        let request = NonZeroU64::new(request.0)?;
        Some(Self { request, since })
    }

    /// The request that holds the lock.
    #[must_use]
    pub const fn request(self) -> RequestNumber {
        RequestNumber(self.request.get())
    }
}

/// A content that a store may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Possible {
    /// The content.
    pub stamp: Stamp,
    /// Whether it was written with a lock that had been taken away.
    pub stale: bool,
}

impl Life {
    /// Notes an operation that kept the session alive.
    pub fn touch(&mut self, started: Instant, done: Instant, timeout: Minutes) {
        self.touched = done;
        self.uncertain_us = micros(done.since(started));
        self.timeout = timeout;
    }

    /// Notes an operation that may have kept the session alive: the earliest due instant stays.
    pub fn maybe_touch(&mut self, done: Instant) {
        let later = micros(done.since(self.touched));
        self.uncertain_us = self.uncertain_us.saturating_add(later);
        self.touched = self.touched.max(done);
    }

    /// Whether nothing kept the session alive, or began it, after this instant.
    pub fn untouched_since(&self, instant: Instant) -> bool {
        self.touched <= instant
    }

    /// Makes the session due at once, as a log-out does.
    pub fn due_at_once(&mut self, started: Instant, done: Instant) {
        self.touched = done;
        self.uncertain_us = micros(done.since(started));
        self.timeout = Minutes(0);
    }

    /// A life that begins with the write of this content.
    #[must_use]
    pub fn new(expected: Stamp) -> Self {
        Self {
            expected,
            born: true,
            ..Self::default()
        }
    }

    /// Notes that the session was committed with so many page views.
    pub fn commit(&mut self, pages: u32) {
        self.committed_pages = self.committed_pages.max(pages);
        self.was_committed = true;
    }

    /// Page views in what was committed, if anything was.
    pub fn committed(&self) -> Option<u32> {
        self.was_committed.then_some(self.committed_pages)
    }

    /// The latest instant at which the session is due, when a minute of site time lasts `minute`.
    pub const fn due(&self, minute: Duration) -> Instant {
        // In nanoseconds at once: this is asked several times in every page request.
        let minute = minute.as_nanos() as u64;
        let timeout = minute.saturating_mul(self.timeout.0 as u64);
        Instant::from_nanos(self.touched.as_nanos().saturating_add(timeout))
    }

    /// The earliest instant at which the session is due.
    pub fn due_earliest(&self, minute: Duration) -> Instant {
        self.due(minute) - self.uncertainty()
    }

    /// How uncertain the due instant is.
    pub const fn uncertainty(&self) -> Duration {
        Duration::from_micros(self.uncertain_us as u64)
    }

    /// Remembers a content that the store may hold.
    pub fn may_hold(&mut self, stamp: Stamp, stale: bool) {
        self.possible
            .get_or_insert_default()
            .push(Possible { stamp, stale });
    }
}

/// Microseconds, rounded up; at most an hour and more.
fn micros(duration: Duration) -> u32 {
    let nanos = duration.as_nanos() as u64;
    nanos.div_ceil(1000).try_into().unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_is_small() {
        // A simulated site of 100,000 contacts has 200,000 of them.
        assert!(size_of::<Life>() <= 88, "{}", size_of::<Life>());
    }
}
