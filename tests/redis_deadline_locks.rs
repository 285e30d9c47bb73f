//! `redis_deadline` on a real server: locks, their queue, and who is woken.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod redis_support;

use redis_support::*;
use sessionbench::clock::{now, run_real, spawn_detached};
use sessionbench::providers::redis::settings::RedisDeadline;
use sessionbench::providers::{ProviderSettings, Seat};
use sessionbench::quantity::Span;
use sessionbench::session::module::{Access, Constants, Ending, Request, SessionStateModule};
use sessionbench::session::observer::{Nobody, RequestNumber, ServerIndex};
use sessionbench::session::settings::ModuleSettings;
use sessionbench::session::{
    GetItem, LockId, Minutes, RequestContext, SessionId, SessionStateStore, StoreKind,
};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

const TIMEOUT: Minutes = Minutes(20);

async fn bench(settings: RedisDeadline) -> Bench {
    Bench::new(ProviderSettings::RedisDeadline(settings)).await
}

/// Settings by which a waiter may be silent for so long.
fn with_lease(waiter_lease: Span) -> RedisDeadline {
    RedisDeadline {
        waiter_lease,
        ..RedisDeadline::default()
    }
}

/// Session 7 and the request that holds it.
struct Held {
    bench: Bench,
    store: Rc<dyn SessionStateStore>,
    holder: RequestContext,
    lock: LockId,
}

impl Held {
    async fn new(settings: RedisDeadline) -> Self {
        let bench = bench(settings).await;
        let store = bench.open(&seat(9)).await;
        store_new(&store, id(7), "hello").await;
        let holder = request();
        let found = take(&store, &holder, id(7)).await;
        Self {
            bench,
            store,
            holder,
            lock: found.lock.unwrap(),
        }
    }

    /// A request that waits finds it locked.
    async fn waits(&self, request: &RequestContext) -> (Duration, LockId) {
        locked(&self.store, request, id(7)).await
    }

    async fn release(&self) {
        release(&self.store, &self.holder, id(7), &self.lock).await;
    }
}

/// A request that waits finds the session locked.
async fn locked(
    store: &Rc<dyn SessionStateStore>,
    request: &RequestContext,
    id: SessionId,
) -> (Duration, LockId) {
    request.waits.set(true);
    match store.get_item_exclusive(request, id).await.unwrap() {
        GetItem::Locked { age, lock } => (age, lock),
        other => panic!("not locked: {other:?}"),
    }
}

async fn release(
    store: &Rc<dyn SessionStateStore>,
    request: &RequestContext,
    id: SessionId,
    lock: &LockId,
) {
    store
        .release_item_exclusive(request, id, lock)
        .await
        .unwrap();
}

/// The module of a CD server that polls once in a minute, which no test lasts.
async fn patient(bench: &Bench, server: u32) -> SessionStateModule {
    module(bench, server, Span::from_secs(60)).await
}

async fn module(bench: &Bench, server: u32, poll_interval: Span) -> SessionStateModule {
    let settings = ModuleSettings {
        poll_interval,
        ..ModuleSettings::default()
    };
    let store = bench.open(&seat(server)).await;
    let constants = Constants::of(&settings, StoreKind::Private);
    SessionStateModule::new(store, Rc::new(Nobody), ServerIndex(server), constants)
}

fn page(number: u64) -> Request {
    Request {
        number: RequestNumber(number),
        started: now(),
        context: request(),
    }
}

/// Starts a request that waits for session 7, tells its number when it gets it, and releases it.
fn wait_on(
    module: &Rc<SessionStateModule>,
    number: u64,
    access: Access,
    got: &Rc<RefCell<Vec<u64>>>,
) {
    let (module, got) = (Rc::clone(module), Rc::clone(got));
    spawn_detached(async move {
        let page = page(number);
        let session = module.acquire(&page, id(7), access, TIMEOUT).await.unwrap();
        got.borrow_mut().push(number);
        module
            .release(&page, &session, Ending::Success)
            .await
            .unwrap();
        module.end_request(&page, id(7)).await.unwrap();
    });
}

fn waiters(bench: &Bench) -> u64 {
    bench.ask("HLEN {sessionbench_private#7}_aaaaaaaaaaaaaaaaaaaaaaah_Waiters")
}

#[test]
fn waiters_get_the_lock_in_the_order_in_which_they_came_without_a_poll() {
    run_real(async {
        let held = Held::new(with_lease(Span::from_secs(60))).await;
        let modules = [
            Rc::new(patient(&held.bench, 0).await),
            Rc::new(patient(&held.bench, 1).await),
        ];
        let got = Rc::new(RefCell::new(Vec::new()));
        for number in 1..=10 {
            let access = match number {
                3 | 4 => Access::ReadOnly,
                _ => Access::Exclusive,
            };
            wait_on(&modules[number as usize % 2], number, access, &got);
            until("it waits", || waiters(&held.bench) == number).await;
        }
        held.release().await;
        until("all had it", || got.borrow().len() == 10).await;
        assert_eq!(*got.borrow(), (1..=10).collect::<Vec<_>>());
        until("nobody waits", || waiters(&held.bench) == 0).await;
    })
    .unwrap();
}

#[test]
fn who_comes_later_does_not_overtake_a_waiter_whose_turn_it_is() {
    run_real(async {
        let held = Held::new(RedisDeadline::default()).await;
        let (waiter, late) = (request(), request());
        held.waits(&waiter).await;
        held.release().await;
        let (age, _) = held.waits(&late).await;
        assert_eq!(age, Duration::ZERO, "it is free, and another's turn");
        let found = take(&held.store, &waiter, id(7)).await;
        release(&held.store, &waiter, id(7), &found.lock.unwrap()).await;
        take(&held.store, &late, id(7)).await;
    })
    .unwrap();
}

#[test]
fn a_dead_waiter_is_waited_for_no_longer_than_its_lease() {
    run_real(async {
        let held = Held::new(with_lease(Span::from_millis(300))).await;
        let (dead, living) = (request(), request());
        held.waits(&dead).await;
        let left = now();
        held.release().await;
        living.waits.set(true);
        while let GetItem::Locked { .. } =
            held.store.get_item_exclusive(&living, id(7)).await.unwrap()
        {
            assert!(now().since(left) < Duration::from_secs(20));
        }
        let waited = now().since(left);
        assert!(waited < Duration::from_secs(2), "{waited:?}");
    })
    .unwrap();
}

#[test]
fn a_waiter_that_asks_again_in_time_keeps_its_place() {
    run_real(async {
        let held = Held::new(RedisDeadline::default()).await;
        let (first, second) = (request(), request());
        for waiter in [&first, &second, &first] {
            held.waits(waiter).await;
        }
        assert_eq!(waiters(&held.bench), 2);
        held.release().await;
        held.waits(&second).await;
        take(&held.store, &first, id(7)).await;
    })
    .unwrap();
}

#[test]
fn a_waiter_that_gives_up_passes_its_turn_on() {
    run_real(async {
        let held = Held::new(with_lease(Span::from_secs(60))).await;
        let gives_up = request();
        held.waits(&gives_up).await;
        let module = Rc::new(patient(&held.bench, 0).await);
        let got = Rc::new(RefCell::new(Vec::new()));
        wait_on(&module, 1, Access::Exclusive, &got);
        until("it waits", || waiters(&held.bench) == 2).await;
        held.release().await;
        assert!(got.borrow().is_empty());
        held.store.end_request(&gives_up).await.unwrap();
        until("the next one has it", || got.borrow().len() == 1).await;
    })
    .unwrap();
}

#[test]
fn a_waiter_that_is_not_called_asks_at_its_next_poll() {
    run_real(async {
        let held = Held::new(RedisDeadline::default()).await;
        let module = Rc::new(module(&held.bench, 0, Span::from_millis(500)).await);
        let got = Rc::new(RefCell::new(Vec::new()));
        wait_on(&module, 1, Access::Exclusive, &got);
        until("it waits", || waiters(&held.bench) == 1).await;
        // No client hears anything from here on, until each has subscribed again.
        assert_eq!(held.bench.ask::<u64>("CLIENT KILL TYPE pubsub"), 2);
        held.release().await;
        until("it polled", || got.borrow().len() == 1).await;
        until("they subscribe again", || {
            held.bench.provider.background_work().resubscriptions == 2
        })
        .await;
    })
    .unwrap();
}

#[test]
fn a_lock_is_as_old_as_the_server_says_and_is_released_by_its_number() {
    run_real(async {
        let held = Held::new(RedisDeadline::default()).await;
        let robber = request();
        let (first_age, lock) = held.waits(&robber).await;
        assert_eq!(lock, held.lock);
        let (age, _) = held.waits(&robber).await;
        assert!(age > first_age);
        release(&held.store, &robber, id(7), &lock).await;
        let taken = take(&held.store, &robber, id(7)).await;
        let (LockId::Cookie(old), Some(LockId::Cookie(new))) = (lock, taken.lock) else {
            panic!("a lock is a number");
        };
        assert!(new > old, "numbers rise: {old}, {new}");
    })
    .unwrap();
}

#[test]
fn a_write_with_a_lost_lock_is_refused_without_an_error_and_counted() {
    run_real(async {
        let held = Held::new(RedisDeadline::default()).await;
        let robber = request();
        release(&held.store, &robber, id(7), &held.lock).await;
        let write = async |text| {
            let (item, lock) = (item(text), Some(&held.lock));
            held.store
                .set_and_release_item_exclusive(&held.holder, id(7), &item, lock, false)
                .await
                .unwrap();
        };
        write("too late").await;
        assert_eq!(held.holder.refused.get(), 1);
        let taken = take(&held.store, &robber, id(7)).await;
        assert_eq!(text_of(&taken.item), "hello");
        write("still too late").await;
        held.waits(&request()).await;
        held.store
            .remove_item(&held.holder, id(7), Some(&held.lock), &item("x"))
            .await
            .unwrap();
        held.waits(&request()).await;
        assert_eq!(held.holder.refused.get(), 2);
    })
    .unwrap();
}

#[test]
fn a_lock_outlasts_the_execution_timeout_until_it_is_stolen() {
    run_real(async {
        let bench = bench(RedisDeadline::default()).await;
        let store = bench
            .open(&Seat {
                execution_timeout: Duration::from_millis(50),
                ..seat(0)
            })
            .await;
        store_new(&store, id(7), "hello").await;
        take(&store, &request(), id(7)).await;
        let robber = request();
        let lock = loop {
            let (age, lock) = locked(&store, &robber, id(7)).await;
            if age > Duration::from_millis(200) {
                break lock;
            }
        };
        release(&store, &robber, id(7), &lock).await;
        take(&store, &robber, id(7)).await;
    })
    .unwrap();
}

#[test]
fn a_request_that_does_not_wait_keeps_nobody_from_the_lock() {
    run_real(async {
        let held = Held::new(RedisDeadline::default()).await;
        let answer = held
            .store
            .get_item_exclusive(&request(), id(7))
            .await
            .unwrap();
        assert!(matches!(answer, GetItem::Locked { .. }), "{answer:?}");
        assert_eq!(waiters(&held.bench), 0);
        held.release().await;
        take(&held.store, &request(), id(7)).await;
    })
    .unwrap();
}

#[test]
fn of_two_requests_that_store_a_new_session_the_first_one_writes_and_the_second_is_told() {
    run_real(async {
        let bench = bench(RedisDeadline::default()).await;
        let store = bench.open(&seat(0)).await;
        let write = async |text| {
            let request = request();
            store
                .set_and_release_item_exclusive(&request, id(7), &item(text), None, true)
                .await
                .unwrap();
            request.refused.get()
        };
        assert_eq!(write("first").await, 0);
        assert_eq!(write("second").await, 1);
        // As a first attempt whose answer was lost.
        assert_eq!(write("first").await, 0);
        let found = take(&store, &request(), id(7)).await;
        assert_eq!(text_of(&found.item), "first");
    })
    .unwrap();
}

#[test]
fn a_request_whose_answer_was_lost_gets_its_lock_when_it_asks_again() {
    run_real(async {
        let bench = bench(RedisDeadline::default()).await;
        let store = bench.open(&seat(0)).await;
        store_new(&store, id(7), "hello").await;
        let request = request();
        let found = take(&store, &request, id(7)).await;
        // What remains of a first attempt that timed out: its number, the second of this instance.
        request.queued.set(Some((id(7), 1)));
        let again = take(&store, &request, id(7)).await;
        assert_eq!(again.lock, found.lock);
        // Or it gives up: the lock does not stay.
        request.queued.set(Some((id(7), 1)));
        store.end_request(&request).await.unwrap();
        take(
            &store,
            &sessionbench::session::RequestContext::default(),
            id(7),
        )
        .await;
    })
    .unwrap();
}
