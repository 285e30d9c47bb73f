//! The end of the books: sessions that are long over are forgotten on the way, the others counted
//! when the run is over.

use super::Ledger;
use crate::clock::Instant;
use crate::measure::integrity::{Integrity, Promise};
use crate::measure::life::Life;
use crate::result::SessionEnds;
use crate::session::SessionId;
use std::mem::take;
use std::time::Duration;

/// How long an ended session is remembered, so that a second end or a use after it is recognised.
const REMEMBERED: Duration = Duration::from_secs(120);

/// Lives that are kept whether old or not.
pub(super) const FEW: usize = 1024;

impl Ledger {
    /// Whether there are so many more lives than after the last time that old ones were forgotten, that
    /// it is worth while to look at all of them once more.
    #[must_use]
    pub fn has_grown(&self) -> bool {
        self.held() >= self.grown
    }

    pub(super) fn held(&self) -> usize {
        self.lives.len() + self.books.superseded_lives
    }

    /// Forgets sessions that ended long ago, so that memory does not grow with the run: with
    /// [`has_grown`](Self::has_grown) there are at most twice as many lives as are not old.
    pub fn forget_old(&mut self, now: Instant, integrity: &mut Integrity) {
        let (minute, raises) = (self.books.minute, self.books.design.detection.is_some());
        let over = |life: &Life| match life.ends {
            0 => life.born && !raises && life.due(minute) + REMEMBERED < now,
            _ => life.holder.is_none() && life.ended + REMEMBERED < now,
        };
        let mut old: Vec<(SessionId, Life)> = Vec::new();
        self.lives.retain(|id, life| {
            let over = over(life);
            if over {
                old.push((*id, take(life)));
            }
            !over
        });
        self.books.superseded.retain(|id, lives| {
            let over = lives.extract_if(.., |life| over(life));
            old.extend(over.map(|life| (*id, life)));
            !lives.is_empty()
        });
        self.books.superseded_lives = self.books.superseded.values().map(Vec::len).sum();
        self.grown = FEW.max(2 * self.held());
        for (id, life) in old {
            self.close(id, &life, now, integrity);
        }
    }

    /// Adds a life to the final counts.
    fn close(&mut self, id: SessionId, life: &Life, now: Instant, integrity: &mut Integrity) {
        if !life.born {
            return;
        }
        let due = life.due(self.books.minute);
        let alive = life.ends == 0 && due >= now;
        match life.ends {
            0 if alive => self.books.counts.alive += 1,
            0 => {
                self.books.counts.missed += 1;
                let overdue = now.since(due);
                integrity.checked(Promise::EndsOnce);
                let found = || format!("not ended {overdue:.1?} after it was due");
                integrity.broken(Promise::EndsOnce, now, Some(id), found);
                let found = || format!("due, and not ended {overdue:.1?} later");
                integrity.offended("missed", due, id, found);
                if due >= self.books.measured_from {
                    self.books.counts.overdue.record_duration(overdue);
                }
            }
            1 => self.books.counts.ended_once += 1,
            _ => self.books.counts.ended_more += 1,
        }
        let performed = u64::from(life.performed);
        let views = &mut self.books.page_views;
        let (kept, at) = match life.committed() {
            Some(committed) => {
                let kept = performed.min(committed.into());
                views.committed += kept;
                (kept, life.ended)
            }
            None if alive => {
                let kept = performed.min(life.expected.pages.into());
                views.alive += kept;
                (kept, now)
            }
            None => {
                views.lost_with_visit += performed;
                return;
            }
        };
        let lost = performed - kept;
        views.lost_in_visit += lost;
        if lost > 0 {
            let found = || format!("{lost} of {performed} page views are missing in it");
            integrity.offended("lost_in_visit", at, id, found);
        }
    }

    /// Closes the ledger: what has not ended by now never does.
    #[must_use]
    pub fn finish(&mut self, now: Instant, integrity: &mut Integrity) -> SessionEnds {
        let (lives, superseded) = (take(&mut self.lives), take(&mut self.books.superseded));
        let mut all: Vec<(SessionId, &Life)> = lives.iter().map(|(id, life)| (*id, life)).collect();
        all.extend(
            (superseded.iter()).flat_map(|(id, lives)| lives.iter().map(|life| (*id, life))),
        );
        // The first offenders come first, and are the same in every run.
        all.sort_by_key(|(id, life)| (life.due(self.books.minute), *id));
        for (id, life) in all {
            self.close(id, life, now, integrity);
        }
        let views = &self.books.page_views;
        integrity.checked_times(Promise::PageViewsConserved, views.performed);
        let lost = views.lost_in_visit + views.lost_with_visit;
        integrity.broken_times(Promise::PageViewsConserved, lost);
        let counts = &mut self.books.counts;
        SessionEnds {
            kind: self.books.kind.name().to_owned(),
            supported: self.books.design.detection.is_some(),
            started: counts.started,
            ended_once: counts.ended_once,
            ended_more: counts.ended_more,
            missed: counts.missed,
            alive: counts.alive,
            duplicates: counts.duplicates,
            premature: counts.premature,
            used_after_end: counts.used_after_end,
            resurrected: counts.resurrected,
            vanished: counts.vanished,
            abandoned: counts.abandoned,
            without_data: counts.without_data,
            handler_failed: counts.handler_failed,
            unknown: counts.unknown,
            empty: counts.empty,
            contact_gone: counts.contact_gone,
            lateness: counts.lateness.distribution(),
            earliness: counts.earliness.distribution(),
            lateness_by_cause: counts
                .by_cause
                .iter_mut()
                .map(|(cause, values)| ((*cause).to_owned(), values.distribution()))
                .collect(),
            due_uncertainty: counts.due_uncertainty.distribution(),
            handler: counts.handler.distribution(),
            overdue: counts.overdue.distribution(),
        }
    }
}
