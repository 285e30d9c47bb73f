//! Session ends: how often, how early, how late and why.

use super::*;

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
    let mut book = created_slowly();
    book.ends(at(60), stamp(1, 1));
    assert_eq!(book.finish(at(100)).premature, 0);
}

#[test]
fn an_end_before_the_uncertainty_of_the_deadline_is_premature() {
    let mut book = created_slowly();
    book.ends(at(59), stamp(1, 1));
    assert_eq!(book.finish(at(100)).premature, 1);
}

#[test]
fn the_uncertainty_of_the_deadline_is_how_long_the_last_touch_took() {
    let mut book = created_slowly();
    book.ends(at(70), stamp(1, 1));
    let uncertainty = book.finish(at(100)).due_uncertainty;
    assert!(uncertainty.max.abs_diff(10_000_000_000) < 10_000_000);
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
    let mut book = logged_out();
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
    let mut book = logged_out();
    book.ends_with(at(11), Some(item(stamp(1, 1))), Noticed::Abandoned);
    assert_eq!(book.finish(at(70)).lateness.count, 0);
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
fn a_handler_that_throws_is_counted() {
    let mut book = created();
    let end = book.ends(at(60), stamp(1, 1));
    book.handled(&end, false);
    assert_eq!(book.finish(at(70)).handler_failed, 1);
}
