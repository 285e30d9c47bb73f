//! What requests find in their sessions, and who holds them.

use super::*;

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
fn a_session_that_is_created_again_after_its_end_is_another_life() {
    let mut book = created();
    book.ends(at(60), stamp(1, 1));
    book.takes_new(2, at(61));
    book.writes(2, at(62), stamp(2, 1));
    let ends = book.finish(at(70));
    assert_eq!((ends.started, ends.ended_once, ends.alive), (2, 1, 1));
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
    let mut book = visited_twice();
    book.takes(3, at(12), stamp(1, 2));
    let promise = book.promise(Promise::NoLostUpdate);
    assert_eq!((promise.checked, promise.violations), (2, 0));
}

#[test]
fn an_acknowledged_update_that_is_not_there_is_lost() {
    let mut book = visited_twice();
    book.takes(3, at(12), stamp(1, 1));
    assert_eq!(book.broken(Promise::NoLostUpdate), 1);
}

#[test]
fn a_lost_update_is_found_once() {
    let mut book = visited_twice();
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
