//! The rules of facts §6.2 on the virtual clock, whose day starts on a multiple of 20 s.

use super::*;
use crate::clock::{run_virtual, sleep, sleep_until};

const MINUTE: Duration = Duration::from_secs(60);
const A: &str = "/app(hash)/a";

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn at(seconds: u64) -> Instant {
    Instant::START + secs(seconds)
}

/// A server without connections.
struct Bench(Sessions);

impl Bench {
    fn ask(&mut self, action: Action) -> Response {
        self.0.answer(Request {
            target: A.to_owned(),
            action,
        })
    }

    fn put(&mut self, timeout: Option<u32>, lock_cookie: Option<i32>, content: &str) -> Status {
        let action = Action::Set {
            timeout,
            lock_cookie,
            uninitialised: false,
            content: content.into(),
        };
        self.ask(action).status
    }

    fn put_uninitialised(&mut self) -> Status {
        let action = Action::Set {
            timeout: Some(1),
            lock_cookie: None,
            uninitialised: true,
            content: b"nothing".to_vec(),
        };
        self.ask(action).status
    }

    /// Status, lock cookie and data of a get.
    fn get(&mut self, action: Action) -> (Status, Option<i32>, String) {
        let found = self.ask(action);
        let content = String::from_utf8(found.content).unwrap();
        (found.status, found.lock_cookie, content)
    }

    fn lock(&mut self) -> i32 {
        let (status, cookie, _) = self.get(Action::GetExclusive);
        assert_eq!(status, Status::Ok);
        cookie.unwrap()
    }

    fn release(&mut self, lock_cookie: i32) -> Status {
        self.ask(Action::Release { lock_cookie }).status
    }

    fn head(&mut self) -> Status {
        self.ask(Action::ResetTimeout).status
    }
}

/// Plays a test on an empty server, 7 s after the start of the run.
fn play(test: impl AsyncFnOnce(Bench) + 'static) {
    run_virtual(async move {
        sleep_until(at(7)).await;
        test(Bench(Sessions::new(MINUTE))).await;
    })
    .unwrap();
}

#[test]
fn a_session_that_nobody_stored_is_not_found_by_any_request() {
    play(async |mut server| {
        let remove = Action::Remove { lock_cookie: None };
        assert_eq!(server.get(Action::Get).0, Status::NotFound);
        assert_eq!(server.get(Action::GetExclusive).0, Status::NotFound);
        assert_eq!(server.release(1), Status::NotFound);
        assert_eq!(server.ask(remove).status, Status::NotFound);
        assert_eq!(server.head(), Status::NotFound);
    });
}

#[test]
fn a_stored_session_is_found_with_its_timeout_and_without_a_cookie() {
    play(async |mut server| {
        assert_eq!(server.put(Some(3), None, "data"), Status::Ok);
        let expected = Response {
            timeout: Some(3),
            content: b"data".to_vec(),
            ..Response::new(Status::Ok)
        };
        assert_eq!(server.ask(Action::Get), expected);
    });
}

#[test]
fn a_new_session_has_cookie_1_and_each_lock_counts_it_up() {
    play(async |mut server| {
        server.put(Some(1), None, "data");
        assert_eq!(server.lock(), 2);
        assert_eq!(server.release(2), Status::Ok);
        assert_eq!(server.lock(), 3);
    });
}

#[test]
fn a_locked_session_tells_who_has_it_since_when_and_nothing_of_its_data() {
    play(async |mut server| {
        server.put(Some(20), None, "data");
        let cookie = server.lock();
        let taken = clock::utc().ticks();
        sleep(Duration::from_millis(3900)).await;
        for action in [Action::Get, Action::GetExclusive] {
            let expected = Response {
                lock_cookie: Some(cookie),
                lock_age: Some(3),
                lock_date: Some(taken),
                ..Response::new(Status::Locked)
            };
            assert_eq!(server.ask(action), expected);
        }
    });
}

#[test]
fn only_its_holder_can_release_write_or_delete_a_locked_session() {
    play(async |mut server| {
        server.put(Some(1), None, "data");
        let cookie = server.lock();
        for wrong in [None, Some(1), Some(cookie + 1)] {
            assert_eq!(server.put(Some(1), wrong, "theirs"), Status::Locked);
            let remove = Action::Remove { lock_cookie: wrong };
            assert_eq!(server.ask(remove).status, Status::Locked);
        }
        assert_eq!(server.release(cookie + 1), Status::Locked);
        assert_eq!(server.put(Some(1), Some(cookie), "mine"), Status::Ok);
        assert_eq!(server.get(Action::Get), (Status::Ok, None, "mine".into()));
    });
}

#[test]
fn releasing_a_session_that_is_not_locked_succeeds() {
    play(async |mut server| {
        server.put(Some(1), None, "data");
        assert_eq!(server.release(9), Status::Ok);
    });
}

#[test]
fn who_lost_the_lock_still_overwrites_once_nobody_holds_it() {
    play(async |mut server| {
        server.put(Some(1), None, "data");
        let robbed = server.lock();
        server.release(robbed);
        let next = server.lock();
        assert_eq!(server.put(Some(1), Some(robbed), "late"), Status::Locked);
        server.put(Some(1), Some(next), "next");
        assert_eq!(server.put(Some(1), Some(robbed), "late"), Status::Ok);
        assert_eq!(server.get(Action::Get).2, "late");
    });
}

#[test]
fn a_removed_session_is_gone() {
    play(async |mut server| {
        server.put(Some(1), None, "data");
        let cookie = server.lock();
        let remove = Action::Remove {
            lock_cookie: Some(cookie),
        };
        assert_eq!(server.ask(remove).status, Status::Ok);
        assert_eq!(server.head(), Status::NotFound);
        assert_eq!((server.0.len(), server.0.counts.removed), (0, 1));
    });
}

#[test]
fn an_uninitialised_session_is_for_its_first_reader_to_initialise() {
    play(async |mut server| {
        assert_eq!(server.put_uninitialised(), Status::Ok);
        let first = server.ask(Action::GetExclusive);
        assert_eq!((first.action_flags, first.lock_cookie), (Some(1), Some(2)));
        server.release(2);
        assert_eq!(server.ask(Action::Get).action_flags, None);
    });
}

#[test]
fn an_uninitialised_session_never_overwrites() {
    play(async |mut server| {
        server.put(Some(1), None, "data");
        assert_eq!(server.put_uninitialised(), Status::Ok);
        assert_eq!(server.ask(Action::Get).action_flags, None);
        assert_eq!(server.get(Action::Get).2, "data");
        let cookie = server.lock();
        assert_eq!(server.put_uninitialised(), Status::Ok);
        assert_eq!(server.put(Some(1), Some(cookie), "mine"), Status::Ok);
    });
}

#[test]
fn a_session_without_a_timeout_lives_for_20_minutes() {
    play(async |mut server| {
        server.put(None, None, "data");
        assert_eq!(server.ask(Action::Get).timeout, Some(20));
        sleep(MINUTE * 20 - secs(1)).await;
        assert_eq!(server.head(), Status::Ok);
    });
}

#[test]
fn a_timeout_beyond_a_year_or_of_nothing_is_a_bad_request() {
    play(async |mut server| {
        assert_eq!(server.put(Some(525_600), None, "data"), Status::Ok);
        assert_eq!(server.put(Some(525_601), None, "data"), Status::BadRequest);
        assert_eq!(server.put(Some(0), None, "data"), Status::BadRequest);
    });
}

#[test]
fn a_write_with_the_same_timeout_replaces_in_place_and_counts_on() {
    play(async |mut server| {
        server.put(Some(1), None, "data");
        let cookie = server.lock();
        server.put(Some(1), Some(cookie), "more");
        assert_eq!(server.lock(), cookie + 1);
    });
}

#[test]
fn a_write_with_another_timeout_is_a_new_entry_from_now_on() {
    play(async |mut server| {
        server.put(Some(10), None, "data");
        let cookie = server.lock();
        assert_eq!(server.put(Some(1), Some(cookie), "more"), Status::Ok);
        sleep(secs(61)).await;
        assert_eq!(server.head(), Status::NotFound);
        server.put(Some(1), None, "data");
        let cookie = server.lock();
        server.put(Some(2), Some(cookie), "more");
        assert_eq!(server.lock(), cookie + 1);
    });
}

#[test]
fn every_request_keeps_a_session_alive_also_one_that_finds_it_locked() {
    for (what, touch) in [
        ("get", Action::Get),
        ("get exclusive", Action::GetExclusive),
        ("wrong release", Action::Release { lock_cookie: 99 }),
        ("head", Action::ResetTimeout),
        ("wrong delete", Action::Remove { lock_cookie: None }),
    ] {
        play(async move |mut server| {
            server.put(Some(1), None, "data");
            server.lock();
            for _ in 0..5 {
                sleep(secs(59)).await;
                assert_ne!(server.ask(touch.clone()).status, Status::NotFound, "{what}");
            }
            sleep(secs(60)).await;
            assert_eq!(server.head(), Status::NotFound, "{what}");
        });
    }
}

#[test]
fn an_expired_session_goes_at_the_next_touch() {
    play(async |mut server| {
        server.put(Some(1), None, "data");
        sleep(secs(60)).await;
        assert_eq!(server.0.len(), 1);
        assert_eq!(server.get(Action::Get).0, Status::NotFound);
        assert_eq!((server.0.len(), server.0.counts.expired), (0, 1));
    });
}

#[test]
fn an_expired_session_that_nobody_touches_goes_at_the_next_utc_multiple_of_20_s() {
    use std::cell::RefCell;
    use std::rc::Rc;
    play(async |mut server| {
        // Due at 67 s.
        server.put(Some(1), None, "data");
        let server = Rc::new(RefCell::new(server));
        let turned = Rc::clone(&server);
        let _wheel = clock::spawn(crate::cache::turn_wheel(move |_| {
            turned.borrow_mut().0.flush();
        }));
        sleep_until(at(79)).await;
        assert_eq!(server.borrow().0.len(), 1);
        sleep_until(at(81)).await;
        assert_eq!(server.borrow().0.len(), 0);
        assert_eq!(server.borrow().0.counts.expired, 1);
    });
}

#[test]
fn a_minute_lasts_as_long_as_the_server_was_told() {
    run_virtual(async {
        let mut server = Bench(Sessions::new(secs(3)));
        server.put(Some(2), None, "data");
        assert_eq!(server.ask(Action::Get).timeout, Some(2));
        sleep(secs(6)).await;
        assert_eq!(server.head(), Status::NotFound);
    })
    .unwrap();
}
