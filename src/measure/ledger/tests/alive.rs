//! What keeps a session alive, and what is found where one should be.

use super::*;

#[test]
fn a_touch_that_timed_out_leaves_the_earliest_deadline_where_it_was() {
    let mut book = created();
    book.operation(Verb::ResetItemTimeout, Outcome::TimedOut, at(30));
    // Due at 60 s if the store never got it, at 90 s if it did.
    book.ends(at(60), stamp(1, 1));
    assert_eq!(book.finish(at(100)).premature, 0);
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
