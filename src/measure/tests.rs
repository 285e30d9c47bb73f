//! The recorder as a whole: what is measured, what is only counted, and what two ledgers tell of
//! each other.

use super::*;
use crate::clock::{run_virtual, sleep_until};
use crate::session::contract::RequestContext;
use crate::session::observer::Written;
use crate::session::value::TextPool;
use crate::session::{Item, Minutes, Noticed, Stamp};
use crate::traffic::{Way, shared_id};
use std::rc::Rc;

const SEED: u64 = 3;

fn at(seconds: u64) -> Instant {
    Instant::START + Duration::from_secs(seconds)
}

/// A recorder on one server that measures from 10 s to 20 s.
fn recorder() -> Recorder {
    let detection = Some(crate::providers::Detection::CacheWheel);
    Recorder::new(Setup {
        servers: vec![("web".to_owned(), 0)],
        started: at(0),
        measured_from: at(10),
        measured_until: at(20),
        minute: Duration::from_secs(60),
        ends: [EndDesign { detection }; 2],
        shared_id,
        seed: SEED,
    })
}

/// A request that is answered, from its sending to its answer.
fn request(recorder: &Recorder, sent: u64, done: u64) {
    recorder.request_intended();
    recorder.request_sent(ServerIndex(0), at(sent));
    recorder.request_done(&RequestDone {
        server: ServerIndex(0),
        intended: at(sent),
        sent: at(sent),
        done: at(done),
        session: SessionId::private(1),
        way: Way::Clean,
        failure: None,
        context: &RequestContext::default(),
    });
}

/// Plays a test and closes the books at an instant.
fn finished(instant: Instant, test: impl FnOnce(&Recorder) + 'static) -> Recorded {
    let played = async move {
        let recorder = recorder();
        sleep_until(instant).await;
        test(&recorder);
        recorder.finish()
    };
    run_virtual(played).unwrap().0
}

#[test]
fn a_request_of_the_warm_up_is_counted_and_not_measured() {
    let requests = finished(at(30), |recorder| request(recorder, 9, 11)).requests;
    assert_eq!((requests.sent, requests.measured), (1, 0));
}

#[test]
fn a_request_that_was_sent_in_time_is_measured_however_late_its_answer() {
    let requests = finished(at(30), |recorder| request(recorder, 19, 29)).requests;
    assert_eq!(requests.measured, 1);
}

#[test]
fn a_request_that_is_not_answered_is_in_flight_and_the_sums_hold() {
    let recorded = finished(at(30), |recorder| {
        recorder.request_intended();
        recorder.request_sent(ServerIndex(0), at(12));
    });
    assert_eq!(recorded.requests.in_flight, 1);
    assert!(recorded.conservation.iter().all(|sum| sum.holds));
}

#[test]
fn a_request_that_was_never_sent_is_counted_and_the_sums_hold() {
    let recorded = finished(at(30), |recorder| {
        recorder.request_intended();
        recorder.request_not_sent();
    });
    assert_eq!(recorded.requests.not_sent, 1);
    assert!(recorded.conservation.iter().all(|sum| sum.holds));
}

#[test]
fn requests_in_progress_are_counted_within_the_measured_time_only() {
    // In progress for 2 of the 10 measured seconds.
    let recorded = finished(at(30), |recorder| request(recorder, 18, 25));
    assert!((recorded.in_progress.0 - 0.2).abs() < 1e-9);
}

#[test]
fn littles_law_holds_for_requests_that_cross_the_edges_of_the_measured_time() {
    let recorded = finished(at(30), |recorder| {
        request(recorder, 4, 13);
        request(recorder, 12, 13);
        request(recorder, 18, 29);
        request(recorder, 22, 25);
        recorder.request_sent(ServerIndex(0), at(26));
    });
    let (mean, expected) = recorded.in_progress;
    assert!((mean - 0.6).abs() < 1e-9, "{mean}");
    // The mean of a histogram has three digits.
    assert!((expected - mean).abs() < 0.01, "{expected}");
}

#[test]
fn littles_law_holds_when_requests_are_never_answered() {
    let recorded = finished(at(30), |recorder| {
        recorder.request_sent(ServerIndex(0), at(5));
        recorder.request_sent(ServerIndex(0), at(15));
    });
    let (mean, expected) = recorded.in_progress;
    assert!((mean - 1.5).abs() < 1e-9, "{mean}");
    assert!((expected - mean).abs() < 1e-9, "{expected}");
}

fn write(recorder: &Recorder, id: SessionId, owner: u64) {
    let stamp = Stamp::begin(owner, 1);
    let mut item = Item::new(Minutes(1));
    let text = Rc::new(TextPool::new(1, 0.0));
    stamp.updated(1, 1).write(&mut item, &text, 0);
    recorder.released(&Release {
        server: ServerIndex(0),
        request: RequestNumber(1),
        id,
        sent: at(0),
        done: at(0),
        written: Written::Item(&item),
    });
}

fn end(recorder: &Recorder, id: SessionId) {
    recorder.end_raised(&EndNotice {
        id,
        item: None,
        noticed: Noticed::Access,
    });
}

#[test]
fn a_private_end_that_finds_the_contact_ended_is_counted() {
    let recorded = finished(at(70), |recorder| {
        let (private, shared) = (SessionId::private(1), shared_id(SEED, 5));
        write(recorder, private, 5);
        write(recorder, shared, 5);
        end(recorder, shared);
        end(recorder, private);
    });
    assert_eq!(recorded.session_ends[0].contact_gone, 1);
}

#[test]
fn a_private_end_that_finds_the_contact_alive_is_not() {
    let recorded = finished(at(70), |recorder| {
        let (private, shared) = (SessionId::private(1), shared_id(SEED, 5));
        write(recorder, private, 5);
        write(recorder, shared, 5);
        end(recorder, private);
        end(recorder, shared);
    });
    assert_eq!(recorded.session_ends[0].contact_gone, 0);
}

#[test]
fn both_kinds_of_sessions_are_awaited() {
    finished(at(30), |recorder| {
        write(recorder, SessionId::private(1), 5);
        write(recorder, shared_id(SEED, 5), 5);
        assert_eq!(recorder.awaited(), 2);
    });
}
