//! Session ends as they are raised and handled, compared with when they were due.
//!
//! In: notices of a provider, and what its handler made of them. Out: lateness, split by what the
//! time was spent on; early, second and unknown ends; what was committed.

use super::{Ledger, RaisedEnd};
use crate::clock::Instant;
use crate::measure::integrity::{Integrity, LATE, Promise};
use crate::measure::life::Life;
use crate::providers::Detection;
use crate::session::{EndNotice, IdMap, IdTable, Noticed, SessionId, Stamp};
use std::time::Duration;

/// Store servers count a TTL in whole milliseconds of a clock that they read once per turn of their
/// event loop; an end that is early by no more is on time.
const CLOCK_GRAIN: Duration = Duration::from_millis(1);

impl Ledger {
    /// A provider raised session end.
    pub fn end_raised(
        &mut self,
        notice: &EndNotice,
        now: Instant,
        integrity: &mut Integrity,
    ) -> RaisedEnd {
        let stamp = notice.item.as_ref().and_then(Stamp::read);
        let pages = match (&notice.item, stamp) {
            (None, _) => None,
            (Some(_), stamp) => Some(stamp.map_or(0, |stamp| stamp.pages)),
        };
        let mut raised = RaisedEnd {
            id: notice.id,
            life: None,
            owner: stamp.map(|stamp| stamp.owner()),
            pages,
            raised: now,
        };
        self.books.counts.ends_in_step += 1;
        let minute = self.books.minute;
        if notice.item.is_some() && stamp.is_none() {
            self.books.counts.empty += 1;
            return raised;
        }
        let Some(life) = find(
            &mut self.lives,
            &mut self.books.superseded,
            notice.id,
            stamp,
        ) else {
            self.books.counts.unknown += 1;
            let found = || "ended, and never started in this run".to_owned();
            integrity.offended("unknown", now, notice.id, found);
            return raised;
        };
        raised.life = Some(life.expected.life);
        raised.owner = Some(life.expected.owner());
        life.ends = life.ends.saturating_add(1);
        if pages.is_none() {
            self.books.counts.without_data += 1;
            let found = || "ended, and its data was gone".to_owned();
            integrity.offended("without_data", now, notice.id, found);
        }
        integrity.checked(Promise::EndsOnce);
        if life.ends > 1 {
            self.books.counts.duplicates += 1;
            let ends = life.ends;
            let first = now.since(life.ended);
            let found = || format!("ended for the {ends}. time, {first:.1?} after the first");
            integrity.broken(Promise::EndsOnce, now, Some(notice.id), found);
            integrity.offended("duplicates", now, notice.id, found);
            return raised;
        }
        let due = life.due(minute);
        let early_by = life.due_earliest(minute).since(now + CLOCK_GRAIN);
        self.books.due.remove(due);
        life.ended = now;
        // A provider may raise the end of a log-out before the log-out returns.
        life.abandoned |= notice.noticed == Noticed::Abandoned;
        if life.abandoned {
            self.books.counts.abandoned += 1;
            return raised;
        }
        integrity.checked(Promise::NotEarly);
        integrity.checked(Promise::NotLate);
        let measured = due >= self.books.measured_from;
        if measured {
            self.books
                .counts
                .due_uncertainty
                .record_duration(life.uncertainty());
        }
        if !early_by.is_zero() {
            self.books.counts.premature += 1;
            let found = || format!("ended {early_by:.1?} before it was due");
            integrity.broken(Promise::NotEarly, now, Some(notice.id), found);
            integrity.offended("premature", now, notice.id, found);
        }
        let lateness = now.since(due);
        if lateness > LATE {
            let found = || format!("ended {lateness:.1?} after it was due");
            integrity.broken(Promise::NotLate, now, Some(notice.id), found);
        }
        self.books.counts.lateness_max_in_step =
            self.books.counts.lateness_max_in_step.max(lateness);
        if measured {
            if early_by.is_zero() {
                self.books.counts.lateness.record_duration(lateness);
            } else {
                self.books.counts.earliness.record_duration(early_by);
            }
            self.split(notice.noticed, due, now);
        }
        raised
    }

    /// Splits lateness by what the time was spent on.
    fn split(&mut self, noticed: Noticed, due: Instant, now: Instant) {
        let cause = self
            .books
            .design
            .detection
            .map_or("unknown", Detection::cause);
        let (cause, detected) = match noticed {
            Noticed::Tick { origin, period } => {
                // The first tick of the grid at or after the due instant; what comes after it is
                // backlog.
                let period = period.as_nanos().max(1) as i64;
                let past_tick = due.signed_nanos_since(origin).rem_euclid(period);
                let to_tick = if past_tick == 0 {
                    0
                } else {
                    period - past_tick
                };
                (cause, due + Duration::from_nanos(to_tick as u64))
            }
            Noticed::Event { arrived, .. } => (cause, arrived),
            Noticed::Claimed { woke, again: false } => (cause, woke),
            Noticed::Claimed { woke, again: true } => ("claim lease", woke),
            Noticed::Access => ("access", now),
            Noticed::Abandoned => return,
        };
        // What a provider detects early by design, it is late for against its own deadline.
        let own_due = match noticed {
            Noticed::Event { lead, .. } => due - lead,
            _ => due,
        };
        let detected = detected.min(now);
        let mut record = |cause, spent: Duration| {
            self.books
                .counts
                .by_cause
                .entry(cause)
                .or_default()
                .record_duration(spent);
        };
        record(cause, detected.since(own_due));
        record("backlog", now.since(detected.max(own_due)));
    }

    /// The handler of a session end is done.
    pub fn end_handled(
        &mut self,
        end: &RaisedEnd,
        now: Instant,
        committed: bool,
        integrity: &mut Integrity,
    ) {
        self.books
            .counts
            .handler
            .record_duration(now.since(end.raised));
        if !committed {
            self.books.counts.handler_failed += 1;
            let found = || "its session-end handler threw".to_owned();
            integrity.offended("handler_failed", now, end.id, found);
        }
        let (Some(number), Some(pages), true) = (end.life, end.pages, committed) else {
            return;
        };
        let stamp = Some(Stamp {
            life: number,
            ..Stamp::default()
        });
        if let Some(life) = find(&mut self.lives, &mut self.books.superseded, end.id, stamp) {
            if let Some(before) = life.committed() {
                self.books.page_views.committed_again += u64::from(before.min(pages));
            }
            life.commit(pages);
        }
    }
}

/// Finds the life that an end belongs to: the one in its data, or else the one that waits longest.
fn find<'a>(
    lives: &'a mut IdTable<Life>,
    superseded: &'a mut IdMap<Vec<Life>>,
    id: SessionId,
    stamp: Option<Stamp>,
) -> Option<&'a mut Life> {
    let is_it = |life: &Life| match stamp {
        Some(stamp) => life.born && life.expected.life == stamp.life,
        None => life.born && life.ends == 0,
    };
    let earlier = superseded
        .get_mut(&id)
        .and_then(|lives| lives.iter_mut().find(|life| is_it(life)));
    match earlier {
        Some(life) => Some(life),
        None => lives
            .get_mut(&id)
            .filter(|life| is_it(life) || stamp.is_none() && life.born),
    }
}
