//! The end of the books: what never ended, what became of page views, what may be forgotten.

use super::*;
use crate::measure::ledger::closing::FEW;

#[test]
fn a_session_that_is_due_and_has_not_ended_is_missed() {
    let mut book = created();
    let ends = book.finish(at(90));
    assert_eq!((ends.missed, ends.alive), (1, 0));
    assert_eq!(book.broken(Promise::EndsOnce), 1);
}

#[test]
fn a_duplicate_and_a_missed_end_have_offenders_of_their_own() {
    let mut book = created();
    book.ends(at(60), stamp(1, 1));
    book.ends(at(63), stamp(1, 1));
    book.takes_new(2, at(70));
    book.writes(2, at(70), stamp(2, 1));
    book.finish(at(160));
    let first = |wrong: &str| book.offenders(wrong);
    let (duplicate, missed) = (first("private.duplicates"), first("private.missed"));
    assert_eq!((duplicate.len(), missed.len()), (1, 1));
    let (_, at, found) = &duplicate[0];
    assert_eq!(
        (*at, found.as_str()),
        (63, "ended for the 2. time, 3.0s after the first")
    );
    let (_, at, found) = &missed[0];
    assert_eq!(
        (*at, found.as_str()),
        (130, "due, and not ended 30.0s later")
    );
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
fn a_log_out_whose_end_never_comes_is_missed() {
    assert_eq!(logged_out().finish(at(12)).missed, 1);
}

#[test]
fn page_views_of_a_committed_visit_are_committed() {
    let mut book = visited_twice();
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
    book.handled(&end, false);
    let expected = PageViews {
        performed: 1,
        lost_with_visit: 1,
        ..PageViews::default()
    };
    assert_eq!(book.views(), expected);
}

#[test]
fn page_views_are_lost_with_their_visit_when_an_end_has_no_data() {
    let mut book = created();
    let end = book.ends_with(at(60), None, tick());
    book.handled(&end, true);
    assert_eq!(book.views().lost_with_visit, 1);
}

#[test]
fn page_views_that_are_missing_in_a_committed_visit_are_lost_in_it() {
    let mut book = visited_twice();
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
fn however_often_a_session_lives_few_of_its_lives_are_remembered() {
    let mut book = Book::new();
    for life in 0..2_500 {
        let start = 100 * life;
        book.writes(life, at(start), stamp(life, 1));
        book.ends_and_commits(at(start + 60), stamp(life, 1));
        if book.ledger.has_grown() {
            book.forget_old(at(start + 61));
        }
    }
    assert!(book.ledger.held() <= FEW, "{}", book.ledger.held());
    assert_eq!(book.finish(at(1_000_000)).ended_once, 2_500);
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
