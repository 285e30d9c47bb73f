//! The ledger, told by hand what happened. Timeouts are one minute, unless a test says otherwise.

use super::*;
use crate::result::{Invariant, SessionEnds};
use crate::session::observer::{Grant, Release, RequestNumber, ServerIndex, Written};
use crate::session::{EndNotice, Item, Minutes, Noticed, Stamp};
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);
const TIMEOUT: Minutes = Minutes(1);
const OWNER: u64 = 7;

fn id() -> SessionId {
    SessionId::private(1)
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn at(seconds: u64) -> Instant {
    Instant::START + secs(seconds)
}

/// A content after so many page views; every life here starts with its own number.
fn stamp(life: u64, pages: u32) -> Stamp {
    (0..pages).fold(Stamp::begin(OWNER, life), |stamp, page| {
        stamp.updated(life * 100 + u64::from(page), 1)
    })
}

fn item(stamp: Stamp) -> Item {
    let mut item = Item::new(TIMEOUT);
    stamp.write(&mut item);
    item
}

fn tick() -> Noticed {
    Noticed::Tick {
        origin: at(0),
        period: secs(20),
    }
}

/// A ledger and the promises it watches.
struct Book {
    ledger: Ledger,
    integrity: Integrity,
    /// How long every operation takes.
    latency: Duration,
}

impl Book {
    fn new() -> Self {
        Self::of(StoreKind::Private, Some(Detection::CacheWheel))
    }

    fn of(kind: StoreKind, detection: Option<Detection>) -> Self {
        Self {
            ledger: Ledger::new(kind, MINUTE, EndDesign { detection }, at(0)),
            integrity: Integrity::default(),
            latency: Duration::ZERO,
        }
    }

    fn operation(&mut self, verb: Verb, outcome: Outcome, started: Instant) {
        let operation = Operation {
            server: ServerIndex(0),
            request: RequestNumber(0),
            id: id(),
            verb,
            started,
            done: started + self.latency,
            outcome,
            timeout: TIMEOUT,
        };
        self.ledger.operation(&operation, &mut self.integrity);
    }

    fn grant(&mut self, request: u64, at: Instant, item: Option<&Item>, exclusive: bool) {
        let grant = Grant {
            server: ServerIndex(0),
            request: RequestNumber(request),
            id: id(),
            exclusive,
            asked: at,
            granted: at + self.latency,
            polls: 1,
            item,
        };
        self.ledger.granted(&grant, &mut self.integrity);
    }

    fn release(&mut self, request: u64, at: Instant, written: Written<'_>) -> Option<Duration> {
        let release = Release {
            server: ServerIndex(0),
            request: RequestNumber(request),
            id: id(),
            sent: at,
            done: at + self.latency,
            written,
        };
        self.ledger.released(&release, &mut self.integrity)
    }

    /// A request gets the session with this content and its lock.
    fn takes(&mut self, request: u64, at: Instant, content: Stamp) {
        self.operation(Verb::GetItemExclusive, Outcome::Found, at);
        self.grant(request, at, Some(&item(content)), true);
    }

    /// A request finds no session, creates one and holds its lock.
    fn takes_new(&mut self, request: u64, at: Instant) {
        self.operation(Verb::GetItemExclusive, Outcome::Missing, at);
        self.operation(Verb::GetItemExclusive, Outcome::Found, at);
        self.grant(request, at, None, true);
    }

    /// A request writes a content, and the store says that it did.
    fn writes(&mut self, request: u64, at: Instant, content: Stamp) {
        self.operation(Verb::SetAndReleaseItemExclusive, Outcome::Done, at);
        self.release(request, at, Written::Item(&item(content)));
    }

    /// A write of which nobody knows whether the store did it.
    fn writes_perhaps(&mut self, request: u64, at: Instant, content: Stamp) {
        self.operation(Verb::SetAndReleaseItemExclusive, Outcome::TimedOut, at);
        self.release(request, at, Written::Unknown(&item(content)));
    }

    fn logs_out(&mut self, request: u64, at: Instant) {
        self.operation(Verb::RemoveItem, Outcome::Done, at);
        self.release(request, at, Written::Removed);
    }

    fn ends_with(&mut self, at: Instant, item: Option<Item>, noticed: Noticed) -> RaisedEnd {
        let notice = EndNotice {
            id: id(),
            item,
            noticed,
        };
        self.ledger.end_raised(&notice, at, &mut self.integrity)
    }

    fn ends(&mut self, at: Instant, content: Stamp) -> RaisedEnd {
        self.ends_with(at, Some(item(content)), tick())
    }

    /// The session ends and its visit is committed.
    fn ends_and_commits(&mut self, at: Instant, content: Stamp) {
        let end = self.ends(at, content);
        self.ledger.end_handled(&end, at + secs(1), true);
    }

    fn forget_old(&mut self, at: Instant) {
        self.ledger.forget_old(at, &mut self.integrity);
    }

    fn finish(&mut self, at: Instant) -> SessionEnds {
        self.ledger.finish(at, &mut self.integrity)
    }

    /// Page views after closing the books long after everything.
    fn views(&mut self) -> PageViews {
        self.finish(at(100_000));
        self.ledger.page_views()
    }

    fn promise(&self, promise: Promise) -> Invariant {
        self.integrity.result(at(0))[promise as usize - 1].clone()
    }

    fn broken(&self, promise: Promise) -> u64 {
        self.promise(promise).violations
    }
}

/// A session created at 0 s, and so due at 60 s.
fn created() -> Book {
    let mut book = Book::new();
    book.writes(1, at(0), stamp(1, 1));
    book
}

#[test]
fn a_session_that_ends_once_is_counted_once() {
    let mut book = created();
    book.ends(at(60), stamp(1, 1));
    let ends = book.finish(at(100));
    assert_eq!((ends.started, ends.ended_once), (1, 1));
}

#[test]
fn a_session_that_ends_twice_is_one_session_with_a_duplicate() {
    let mut book = created();
    book.ends(at(60), stamp(1, 1));
    book.ends(at(61), stamp(1, 1));
    let ends = book.finish(at(100));
    assert_eq!(
        (ends.ended_once, ends.ended_more, ends.duplicates),
        (0, 1, 1)
    );
    assert_eq!(book.broken(Promise::EndsOnce), 1);
}

#[test]
fn a_session_that_is_due_and_has_not_ended_is_missed() {
    let mut book = created();
    let ends = book.finish(at(90));
    assert_eq!((ends.missed, ends.alive), (1, 0));
    assert_eq!(book.broken(Promise::EndsOnce), 1);
}

#[test]
fn a_missed_end_tells_how_long_it_is_overdue() {
    let overdue = created().finish(at(90)).overdue;
    assert_eq!(overdue.count, 1);
    assert!(
        overdue.max.abs_diff(30_000_000_000) < 30_000_000,
        "{overdue:?}"
    );
}

#[test]
fn a_session_that_is_not_due_yet_is_alive() {
    let ends = created().finish(at(59));
    assert_eq!((ends.missed, ends.alive), (0, 1));
}

#[test]
fn an_end_before_the_deadline_is_premature() {
    let mut book = created();
    book.ends(at(55), stamp(1, 1));
    let ends = book.finish(at(100));
    assert_eq!((ends.premature, ends.lateness.count), (1, 0));
    assert!(ends.earliness.max.abs_diff(5_000_000_000) < 5_000_000);
    assert_eq!(book.broken(Promise::NotEarly), 1);
}

#[test]
fn an_end_within_the_uncertainty_of_the_deadline_is_not_premature() {
    let mut book = Book::new();
    // The store saw the write somewhere between 0 and 10 s, so the session is due from 60 s to 70 s.
    book.latency = secs(10);
    book.writes(1, at(0), stamp(1, 1));
    book.ends(at(60), stamp(1, 1));
    assert_eq!(book.finish(at(100)).premature, 0);
}

#[test]
fn an_end_before_the_uncertainty_of_the_deadline_is_premature() {
    let mut book = Book::new();
    book.latency = secs(10);
    book.writes(1, at(0), stamp(1, 1));
    book.ends(at(59), stamp(1, 1));
    assert_eq!(book.finish(at(100)).premature, 1);
}

#[test]
fn the_uncertainty_of_the_deadline_is_how_long_the_last_touch_took() {
    let mut book = Book::new();
    book.latency = secs(10);
    book.writes(1, at(0), stamp(1, 1));
    book.ends(at(70), stamp(1, 1));
    let uncertainty = book.finish(at(100)).due_uncertainty;
    assert!(uncertainty.max.abs_diff(10_000_000_000) < 10_000_000);
}

#[test]
fn a_touch_that_timed_out_leaves_the_earliest_deadline_where_it_was() {
    let mut book = created();
    book.operation(Verb::ResetItemTimeout, Outcome::TimedOut, at(30));
    // Due at 60 s if the store never got it, at 90 s if it did.
    book.ends(at(60), stamp(1, 1));
    assert_eq!(book.finish(at(100)).premature, 0);
}

#[test]
fn lateness_counts_from_the_latest_deadline() {
    let mut book = created();
    book.operation(Verb::ResetItemTimeout, Outcome::TimedOut, at(30));
    book.ends(at(95), stamp(1, 1));
    let lateness = book.finish(at(100)).lateness;
    assert!(lateness.max.abs_diff(5_000_000_000) < 5_000_000);
}

#[test]
fn a_get_that_found_the_session_moves_its_deadline() {
    let mut book = created();
    book.takes(2, at(50), stamp(1, 1));
    assert_eq!(book.finish(at(109)).alive, 1);
}

#[test]
fn a_get_that_found_the_session_locked_moves_no_deadline() {
    let mut book = created();
    book.operation(Verb::GetItemExclusive, Outcome::Locked, at(50));
    assert_eq!(book.finish(at(61)).missed, 1);
}

#[test]
fn an_end_more_than_a_minute_late_breaks_a_promise() {
    let mut book = created();
    book.ends(at(121), stamp(1, 1));
    assert_eq!(book.broken(Promise::NotLate), 1);
}

#[test]
fn an_end_a_minute_late_breaks_none() {
    let mut book = created();
    book.ends(at(120), stamp(1, 1));
    assert_eq!(book.broken(Promise::NotLate), 0);
}

/// Parts of lateness in whole seconds, by cause.
fn parts(ends: &SessionEnds) -> Vec<(&str, u64)> {
    let parts = ends.lateness_by_cause.iter();
    parts
        .map(|(cause, values)| (cause.as_str(), (values.max as f64 / 1e9).round() as u64))
        .collect()
}

#[test]
fn lateness_up_to_the_next_tick_is_phase_and_the_rest_is_backlog() {
    let mut book = created();
    book.takes(2, at(7), stamp(1, 1));
    // Due at 67 s, found by the tick at 80 s, raised 3 s later.
    book.ends(at(83), stamp(1, 1));
    let expected = [("backlog", 3), ("cache wheel", 13)];
    assert_eq!(parts(&book.finish(at(100))), expected);
}

#[test]
fn a_session_that_is_due_at_a_tick_waits_for_no_other() {
    let mut book = created();
    book.ends(at(63), stamp(1, 1));
    let expected = [("backlog", 3), ("cache wheel", 0)];
    assert_eq!(parts(&book.finish(at(100))), expected);
}

#[test]
fn a_tick_that_was_left_out_is_backlog() {
    let mut book = created();
    book.takes(2, at(7), stamp(1, 1));
    // The tick at 80 s was still at work; the one at 100 s found it.
    book.ends(at(100), stamp(1, 1));
    let expected = [("backlog", 20), ("cache wheel", 13)];
    assert_eq!(parts(&book.finish(at(200))), expected);
}

#[test]
fn lateness_up_to_a_notification_is_scan_and_the_rest_is_backlog() {
    let mut book = Book::of(StoreKind::Private, Some(Detection::Notification));
    book.writes(1, at(0), stamp(1, 1));
    let noticed = Noticed::Event {
        arrived: at(70),
        lead: Duration::ZERO,
    };
    book.ends_with(at(74), Some(item(stamp(1, 1))), noticed);
    let expected = [("backlog", 4), ("expiry scan", 10)];
    assert_eq!(parts(&book.finish(at(100))), expected);
}

#[test]
fn a_notification_is_late_against_the_deadline_of_its_shadow_key() {
    let mut book = Book::of(StoreKind::Private, Some(Detection::Notification));
    book.writes(1, at(0), stamp(1, 1));
    let noticed = Noticed::Event {
        arrived: at(48),
        lead: secs(20),
    };
    book.ends_with(at(48), Some(item(stamp(1, 1))), noticed);
    let expected = [("backlog", 0), ("expiry scan", 8)];
    assert_eq!(parts(&book.finish(at(100))), expected);
}

#[test]
fn an_end_that_a_request_noticed_is_late_by_access() {
    let mut book = created();
    book.ends_with(at(66), Some(item(stamp(1, 1))), Noticed::Access);
    let expected = [("access", 6), ("backlog", 0)];
    assert_eq!(parts(&book.finish(at(100))), expected);
}

#[test]
fn a_session_that_is_served_after_it_was_due_is_resurrected() {
    let mut book = created();
    book.takes(2, at(65), stamp(1, 1));
    assert_eq!(book.finish(at(70)).resurrected, 1);
    assert_eq!(book.broken(Promise::NoUseAfterEnd), 1);
}

#[test]
fn nothing_resurrects_where_no_end_is_raised() {
    let mut book = Book::of(StoreKind::Private, None);
    book.writes(1, at(0), stamp(1, 1));
    book.takes(2, at(65), stamp(1, 1));
    assert_eq!(book.finish(at(70)).resurrected, 0);
}

#[test]
fn a_session_that_is_served_after_its_end_is_used_after_end() {
    let mut book = created();
    book.ends(at(60), stamp(1, 1));
    book.takes(2, at(61), stamp(1, 1));
    assert_eq!(book.finish(at(70)).used_after_end, 1);
    assert_eq!(book.broken(Promise::NoUseAfterEnd), 1);
}

#[test]
fn use_after_end_is_counted_once_for_each_session() {
    let mut book = created();
    book.ends(at(60), stamp(1, 1));
    book.takes(2, at(61), stamp(1, 1));
    book.release(2, at(62), Written::Nothing);
    book.takes(3, at(63), stamp(1, 1));
    assert_eq!(book.finish(at(70)).used_after_end, 1);
}

#[test]
fn a_session_that_is_missing_before_it_is_due_has_vanished() {
    let mut book = created();
    book.takes_new(2, at(30));
    assert_eq!(book.finish(at(40)).vanished, 1);
}

#[test]
fn a_session_that_is_missing_after_its_end_has_not_vanished() {
    let mut book = created();
    book.ends(at(60), stamp(1, 1));
    book.takes_new(2, at(61));
    assert_eq!(book.finish(at(70)).vanished, 0);
}

#[test]
fn a_session_that_is_created_again_before_its_end_is_told_does_not_revive_it() {
    let mut book = created();
    book.takes_new(2, at(65));
    book.ends_with(at(65), Some(item(stamp(1, 1))), Noticed::Access);
    let ends = book.finish(at(70));
    let wrong = (ends.premature, ends.resurrected, ends.vanished);
    assert_eq!(wrong, (0, 0, 0));
}

#[test]
fn a_get_that_was_sent_before_the_session_was_written_does_not_show_that_it_vanished() {
    let mut book = Book::new();
    book.writes(1, at(1), stamp(1, 1));
    book.latency = secs(2);
    book.operation(Verb::GetItem, Outcome::Missing, at(0));
    assert_eq!(book.finish(at(40)).vanished, 0);
}

#[test]
fn a_session_that_one_server_misses_and_another_serves_lives_on() {
    let mut book = created();
    book.takes_new(2, at(30));
    book.release(2, at(30), Written::Nothing);
    book.takes(3, at(40), stamp(1, 1));
    let ends = book.finish(at(99));
    assert_eq!((ends.started, ends.alive), (1, 1));
}

#[test]
fn a_session_that_is_created_again_after_its_end_is_another_life() {
    let mut book = created();
    book.ends(at(60), stamp(1, 1));
    book.takes_new(2, at(61));
    book.writes(2, at(62), stamp(2, 1));
    let ends = book.finish(at(70));
    assert_eq!((ends.started, ends.ended_once, ends.alive), (2, 1, 1));
}

#[test]
fn a_late_end_belongs_to_the_life_that_its_data_names() {
    let mut book = created();
    // The first life vanished, a second began, and then the end of the first comes.
    book.takes_new(2, at(30));
    book.writes(2, at(31), stamp(2, 1));
    let end = book.ends(at(61), stamp(1, 1));
    assert_eq!(end.life, Some(stamp(1, 1).life));
    let ends = book.finish(at(70));
    assert_eq!((ends.ended_once, ends.alive), (1, 1));
}

#[test]
fn an_end_without_data_belongs_to_the_life_that_waits_longest() {
    let mut book = created();
    book.takes_new(2, at(30));
    book.writes(2, at(31), stamp(2, 1));
    let end = book.ends_with(at(61), None, tick());
    assert_eq!(end.life, Some(stamp(1, 1).life));
}

#[test]
fn an_end_without_data_is_counted() {
    let mut book = created();
    book.ends_with(at(60), None, tick());
    assert_eq!(book.finish(at(70)).without_data, 1);
}

#[test]
fn a_log_out_ends_a_session_once_and_at_once() {
    let mut book = created();
    book.takes(2, at(10), stamp(1, 1));
    book.logs_out(2, at(11));
    book.ends_with(at(11), Some(item(stamp(1, 1))), Noticed::Abandoned);
    let ends = book.finish(at(70));
    assert_eq!((ends.abandoned, ends.ended_once, ends.premature), (1, 1, 0));
}

#[test]
fn the_end_of_a_log_out_may_come_before_the_log_out_returns() {
    let mut book = created();
    book.takes(2, at(10), stamp(1, 1));
    book.ends_with(at(11), Some(item(stamp(1, 1))), Noticed::Abandoned);
    book.logs_out(2, at(11));
    let ends = book.finish(at(70));
    assert_eq!((ends.abandoned, ends.ended_once, ends.premature), (1, 1, 0));
}

#[test]
fn a_log_out_has_no_lateness() {
    let mut book = created();
    book.takes(2, at(10), stamp(1, 1));
    book.logs_out(2, at(11));
    book.ends_with(at(11), Some(item(stamp(1, 1))), Noticed::Abandoned);
    assert_eq!(book.finish(at(70)).lateness.count, 0);
}

#[test]
fn a_log_out_whose_end_never_comes_is_missed() {
    let mut book = created();
    book.takes(2, at(10), stamp(1, 1));
    book.logs_out(2, at(11));
    assert_eq!(book.finish(at(12)).missed, 1);
}

#[test]
fn an_end_of_a_session_that_nobody_wrote_into_is_empty() {
    let mut book = Book::new();
    book.ends_with(at(60), Some(Item::new(TIMEOUT)), tick());
    let ends = book.finish(at(70));
    assert_eq!((ends.empty, ends.unknown, ends.started), (1, 0, 0));
}

#[test]
fn an_end_of_a_session_of_somebody_else_is_unknown() {
    let mut book = Book::new();
    book.ends(at(60), stamp(1, 1));
    assert_eq!(book.finish(at(70)).unknown, 1);
}

#[test]
fn a_lock_that_leads_to_no_write_is_no_session() {
    let mut book = Book::new();
    book.takes_new(1, at(0));
    book.release(1, at(1), Written::Nothing);
    assert_eq!(book.finish(at(70)).started, 0);
    assert!(book.ledger.lives.is_empty());
}

#[test]
fn a_lock_is_held_from_its_grant_until_its_release_is_sent() {
    let mut book = created();
    book.takes(2, at(10), stamp(1, 1));
    assert_eq!(book.release(2, at(13), Written::Nothing), Some(secs(3)));
}

#[test]
fn content_that_is_as_acknowledged_breaks_nothing() {
    let mut book = created();
    book.takes(2, at(10), stamp(1, 1));
    book.writes(2, at(11), stamp(1, 2));
    book.takes(3, at(12), stamp(1, 2));
    let promise = book.promise(Promise::NoLostUpdate);
    assert_eq!((promise.checked, promise.violations), (2, 0));
}

#[test]
fn an_acknowledged_update_that_is_not_there_is_lost() {
    let mut book = created();
    book.takes(2, at(10), stamp(1, 1));
    book.writes(2, at(11), stamp(1, 2));
    book.takes(3, at(12), stamp(1, 1));
    assert_eq!(book.broken(Promise::NoLostUpdate), 1);
}

#[test]
fn a_lost_update_is_found_once() {
    let mut book = created();
    book.takes(2, at(10), stamp(1, 1));
    book.writes(2, at(11), stamp(1, 2));
    book.takes(3, at(12), stamp(1, 1));
    book.release(3, at(13), Written::Nothing);
    book.takes(4, at(14), stamp(1, 1));
    assert_eq!(book.broken(Promise::NoLostUpdate), 1);
}

#[test]
fn an_unknown_write_that_happened_is_no_lost_update() {
    let mut book = created();
    book.takes(2, at(10), stamp(1, 1));
    book.writes_perhaps(2, at(11), stamp(1, 2));
    book.takes(3, at(12), stamp(1, 2));
    assert_eq!(book.broken(Promise::NoLostUpdate), 0);
}

#[test]
fn an_unknown_write_that_did_not_happen_is_no_lost_update() {
    let mut book = created();
    book.takes(2, at(10), stamp(1, 1));
    book.writes_perhaps(2, at(11), stamp(1, 2));
    book.takes(3, at(12), stamp(1, 1));
    assert_eq!(book.broken(Promise::NoLostUpdate), 0);
}

#[test]
fn a_first_write_that_timed_out_and_happened_starts_the_session() {
    let mut book = Book::new();
    book.writes_perhaps(1, at(0), stamp(1, 1));
    book.takes(2, at(1), stamp(1, 1));
    assert_eq!(book.finish(at(2)).started, 1);
}

/// Request 2's lock is taken away by request 3, which writes; then request 2 writes.
fn stale_write() -> Book {
    let mut book = created();
    book.takes(2, at(10), stamp(1, 1));
    book.ledger.stolen(id());
    book.takes(3, at(20), stamp(1, 1));
    book.writes(3, at(21), stamp(1, 2));
    book.writes(2, at(22), stamp(1, 3));
    book
}

#[test]
fn a_steal_is_no_second_holder() {
    assert_eq!(stale_write().broken(Promise::OneHolder), 0);
}

#[test]
fn a_stale_write_that_is_refused_breaks_nothing() {
    let mut book = stale_write();
    book.takes(4, at(30), stamp(1, 2));
    assert_eq!(book.broken(Promise::Fenced), 0);
    assert_eq!(book.broken(Promise::NoLostUpdate), 0);
}

#[test]
fn a_stale_write_that_is_accepted_breaks_the_fence() {
    let mut book = stale_write();
    book.takes(4, at(30), stamp(1, 3));
    assert_eq!(book.broken(Promise::Fenced), 1);
}

#[test]
fn two_requests_that_hold_one_lock_break_a_promise() {
    let mut book = created();
    book.takes(2, at(10), stamp(1, 1));
    book.takes(3, at(11), stamp(1, 1));
    assert_eq!(book.broken(Promise::OneHolder), 1);
}

#[test]
fn a_reader_is_no_second_holder() {
    let mut book = created();
    book.takes(2, at(10), stamp(1, 1));
    book.grant(3, at(11), Some(&item(stamp(1, 1))), false);
    assert_eq!(book.broken(Promise::OneHolder), 0);
}

#[test]
fn another_contacts_data_in_a_session_is_a_mix_up() {
    let mut book = created();
    let foreign = Stamp::begin(OWNER + 1, 1);
    book.takes(2, at(10), foreign);
    assert_eq!(book.broken(Promise::NoMixUp), 1);
}

#[test]
fn a_shared_session_that_two_requests_create_at_once_is_one_life() {
    let mut book = Book::of(StoreKind::Shared, Some(Detection::CacheWheel));
    book.grant(1, at(0), None, false);
    book.grant(2, at(0), None, false);
    book.writes(1, at(1), stamp(1, 0));
    book.writes(2, at(2), stamp(2, 0));
    book.ends(at(62), stamp(2, 0));
    let ends = book.finish(at(100));
    assert_eq!((ends.started, ends.ended_once, ends.unknown), (1, 1, 0));
}

#[test]
fn page_views_of_a_committed_visit_are_committed() {
    let mut book = created();
    book.takes(2, at(10), stamp(1, 1));
    book.writes(2, at(11), stamp(1, 2));
    book.ends_and_commits(at(71), stamp(1, 2));
    let expected = PageViews {
        performed: 2,
        committed: 2,
        ..PageViews::default()
    };
    assert_eq!(book.views(), expected);
}

#[test]
fn page_views_of_a_session_that_lives_on_are_alive() {
    let mut book = created();
    book.finish(at(30));
    let expected = PageViews {
        performed: 1,
        alive: 1,
        ..PageViews::default()
    };
    assert_eq!(book.ledger.page_views(), expected);
}

#[test]
fn page_views_of_a_missed_session_are_lost_with_their_visit() {
    let expected = PageViews {
        performed: 1,
        lost_with_visit: 1,
        ..PageViews::default()
    };
    assert_eq!(created().views(), expected);
}

#[test]
fn page_views_are_lost_with_their_visit_when_the_handler_throws() {
    let mut book = created();
    let end = book.ends(at(60), stamp(1, 1));
    book.ledger.end_handled(&end, at(61), false);
    let expected = PageViews {
        performed: 1,
        lost_with_visit: 1,
        ..PageViews::default()
    };
    assert_eq!(book.views(), expected);
}

#[test]
fn a_handler_that_throws_is_counted() {
    let mut book = created();
    let end = book.ends(at(60), stamp(1, 1));
    book.ledger.end_handled(&end, at(61), false);
    assert_eq!(book.finish(at(70)).handler_failed, 1);
}

#[test]
fn page_views_are_lost_with_their_visit_when_an_end_has_no_data() {
    let mut book = created();
    let end = book.ends_with(at(60), None, tick());
    book.ledger.end_handled(&end, at(61), true);
    assert_eq!(book.views().lost_with_visit, 1);
}

#[test]
fn page_views_that_are_missing_in_a_committed_visit_are_lost_in_it() {
    let mut book = created();
    book.takes(2, at(10), stamp(1, 1));
    book.writes(2, at(11), stamp(1, 2));
    book.ends_and_commits(at(71), stamp(1, 1));
    let views = book.views();
    assert_eq!((views.committed, views.lost_in_visit), (1, 1));
}

#[test]
fn page_views_that_are_committed_twice_are_committed_again() {
    let mut book = created();
    book.ends_and_commits(at(60), stamp(1, 1));
    book.ends_and_commits(at(61), stamp(1, 1));
    let views = book.views();
    assert_eq!((views.committed, views.committed_again), (1, 1));
}

#[test]
fn page_views_in_committed_shared_sessions_do_not_count() {
    let mut book = Book::of(StoreKind::Shared, Some(Detection::CacheWheel));
    book.writes(1, at(0), stamp(1, 1));
    assert_eq!(book.views(), PageViews::default());
}

#[test]
fn a_lost_page_view_breaks_a_promise() {
    let mut book = created();
    book.views();
    assert_eq!(book.broken(Promise::PageViewsConserved), 1);
}

#[test]
fn a_session_that_ended_is_forgotten_after_two_minutes() {
    let mut book = created();
    book.ends_and_commits(at(60), stamp(1, 1));
    book.forget_old(at(180));
    assert_eq!(book.ledger.lives.len(), 1);
    book.forget_old(at(181));
    assert_eq!(book.ledger.lives.len(), 0);
}

#[test]
fn a_session_that_lives_is_not_forgotten() {
    let mut book = created();
    book.forget_old(at(10_000));
    assert_eq!(book.ledger.lives.len(), 1);
}

#[test]
fn what_is_forgotten_stays_counted() {
    let mut book = created();
    book.ends_and_commits(at(60), stamp(1, 1));
    book.forget_old(at(1000));
    let ends = book.finish(at(1001));
    assert_eq!((ends.started, ends.ended_once), (1, 1));
    assert_eq!(book.ledger.page_views().committed, 1);
}

#[test]
fn a_missed_end_breaks_a_promise_however_long_ago_it_was() {
    let missed = |forget: bool| {
        let mut book = Book::of(StoreKind::Private, None);
        book.writes(1, at(0), stamp(1, 1));
        if forget {
            book.forget_old(at(1000));
        }
        let ends = book.finish(at(1000));
        (ends.missed, book.broken(Promise::EndsOnce))
    };
    assert_eq!(missed(true), missed(false));
}

#[test]
fn a_step_tells_who_is_alive_and_who_is_overdue() {
    let mut book = created();
    let alive = book.ledger.step(at(60));
    let overdue = book.ledger.step(at(62));
    assert_eq!((alive.alive, alive.overdue), (1, 0));
    assert_eq!((overdue.alive, overdue.overdue), (0, 1));
}

#[test]
fn an_end_is_awaited_until_it_comes() {
    let mut book = created();
    assert_eq!(book.ledger.awaited(), 1);
    book.ends(at(60), stamp(1, 1));
    assert_eq!(book.ledger.awaited(), 0);
}

#[test]
fn a_contact_is_over_when_its_session_has_ended() {
    let mut book = created();
    assert!(!book.ledger.is_over(id()));
    book.ends(at(60), stamp(1, 1));
    assert!(book.ledger.is_over(id()));
}

/// A first request writes a content; the next one gets the session before the answer is here, and
/// finds `found`. Returns what is broken then.
fn overtaken(found: Stamp) -> Book {
    let mut book = Book::new();
    let (old, new) = (stamp(1, 1), stamp(1, 2));
    book.takes_new(1, at(0));
    book.writes(1, at(1), old);
    book.takes(2, at(2), old);
    let written = item(new);
    book.ledger
        .releasing(RequestNumber(2), id(), at(3), Some(&written));
    book.takes(3, at(3), found);
    book.writes(2, at(3), new);
    book
}

#[test]
fn a_lock_that_changes_hands_before_the_answer_to_its_release_has_one_holder() {
    let book = overtaken(stamp(1, 2));
    assert_eq!(book.broken(Promise::OneHolder), 0);
    assert_eq!(book.broken(Promise::NoLostUpdate), 0);
    assert_eq!(book.broken(Promise::Fenced), 0);
}

#[test]
fn the_next_holders_write_counts_though_the_answer_before_it_came_late() {
    let mut book = overtaken(stamp(1, 2));
    book.writes(3, at(4), stamp(1, 3));
    book.takes(4, at(5), stamp(1, 3));
    assert_eq!(book.broken(Promise::OneHolder), 0);
    assert_eq!(book.broken(Promise::NoLostUpdate), 0);
}

#[test]
fn an_update_that_the_next_holder_did_not_find_is_lost_when_it_is_acknowledged() {
    let mut book = overtaken(stamp(1, 1));
    book.release(3, at(4), Written::Nothing);
    book.takes(4, at(5), stamp(1, 1));
    assert_eq!(book.broken(Promise::NoLostUpdate), 1);
}

#[test]
fn a_lock_that_nobody_is_about_to_release_has_two_holders() {
    let mut book = Book::new();
    book.takes_new(1, at(0));
    book.writes(1, at(1), stamp(1, 1));
    book.takes(2, at(2), stamp(1, 1));
    book.takes(3, at(3), stamp(1, 1));
    assert_eq!(book.broken(Promise::OneHolder), 1);
}
