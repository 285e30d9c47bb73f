//! How many sessions are alive and how many are overdue, at any instant, in constant memory.
//!
//! Live sessions are counted by the second in which they are due. Moving a session's due instant
//! moves one count; as time passes, seconds fold into the overdue count. No list is kept, so a
//! session costs nothing here.

use crate::clock::Instant;
use std::collections::VecDeque;

/// Counts of sessions that have not ended, by when they are due.
#[derive(Debug, Default)]
pub struct DueCounts {
    /// First second that is still counted by itself.
    base: u64,
    seconds: VecDeque<i64>,
    due_later: i64,
    overdue: i64,
}

impl DueCounts {
    /// A session is due at an instant.
    pub fn add(&mut self, due: Instant) {
        self.change(due, 1);
    }

    /// A session is no longer due at an instant: it ended, or was kept alive.
    pub fn remove(&mut self, due: Instant) {
        self.change(due, -1);
    }

    /// A session is due at another instant than it was.
    pub fn moved(&mut self, from: Instant, to: Instant) {
        if second(from) != second(to) {
            self.change(from, -1);
            self.change(to, 1);
        }
    }

    /// Sessions that are not due yet.
    #[must_use]
    pub fn alive(&self) -> u64 {
        self.due_later.max(0) as u64
    }

    /// Sessions that are due and have not ended.
    #[must_use]
    pub fn overdue(&self) -> u64 {
        self.overdue.max(0) as u64
    }

    /// Lets time pass: whatever was due in a whole second before `now` is overdue.
    pub fn advance(&mut self, now: Instant) {
        let second = second(now);
        while self.base < second {
            let Some(count) = self.seconds.pop_front() else {
                self.base = second;
                return;
            };
            self.base += 1;
            self.due_later -= count;
            self.overdue += count;
        }
    }

    fn change(&mut self, due: Instant, by: i64) {
        let Some(at) = second(due).checked_sub(self.base) else {
            self.overdue += by;
            return;
        };
        let at = at as usize;
        if self.seconds.len() <= at {
            self.seconds.resize(at + 1, 0);
        }
        self.seconds[at] += by;
        self.due_later += by;
    }
}

fn second(instant: Instant) -> u64 {
    instant.as_nanos() / 1_000_000_000
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(seconds: u64) -> Instant {
        Instant::START + Duration::from_secs(seconds)
    }

    #[test]
    fn a_session_is_alive_until_it_is_due() {
        let mut counts = DueCounts::default();
        counts.add(at(5));
        counts.advance(at(5));
        assert_eq!((counts.alive(), counts.overdue()), (1, 0));
        counts.advance(at(6));
        assert_eq!((counts.alive(), counts.overdue()), (0, 1));
    }

    #[test]
    fn a_session_that_is_kept_alive_is_due_later() {
        let mut counts = DueCounts::default();
        counts.add(at(5));
        counts.remove(at(5));
        counts.add(at(9));
        counts.advance(at(7));
        assert_eq!((counts.alive(), counts.overdue()), (1, 0));
    }

    #[test]
    fn an_overdue_session_that_ends_is_no_longer_overdue() {
        let mut counts = DueCounts::default();
        counts.add(at(5));
        counts.advance(at(100));
        counts.remove(at(5));
        assert_eq!((counts.alive(), counts.overdue()), (0, 0));
    }
}
