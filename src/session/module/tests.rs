//! The module against a store of a few lines, on the virtual clock.

use super::*;
use crate::clock::{run_virtual, sleep, spawn, spawn_detached};
use crate::session::{ExpireCallback, Value};
use async_trait::async_trait;
use std::cell::Cell;

const TIMEOUT: Minutes = Minutes(20);

fn id() -> SessionId {
    SessionId::private(1)
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn at(milliseconds: u64) -> Instant {
    Instant::START + ms(milliseconds)
}

/// One session behind one lock, and a list of what was called when.
#[derive(Default)]
struct FakeStore {
    item: RefCell<Option<Item>>,
    uninitialised: Cell<bool>,
    locked: Cell<Option<Instant>>,
    cookie: Cell<u64>,
    /// How long every get takes.
    latency: Cell<Duration>,
    /// Whether a held lock looks freshly taken at every get.
    always_fresh: Cell<bool>,
    failing: Cell<bool>,
    calls: RefCell<Vec<(Instant, Verb)>>,
    /// `new_item` of every set.
    new_items: RefCell<Vec<bool>>,
}

impl FakeStore {
    fn call(&self, verb: Verb) -> Result<(), StoreError> {
        self.calls.borrow_mut().push((clock::now(), verb));
        match self.failing.get() {
            true => Err(StoreError::Connection("gone".to_owned())),
            false => Ok(()),
        }
    }

    fn lock(&self) -> LockId {
        LockId::Cookie(self.cookie.get())
    }

    fn put(&self) {
        *self.item.borrow_mut() = Some(Item::new(TIMEOUT));
    }

    /// Stores a session that somebody else holds from now on.
    fn hold(&self) {
        self.put();
        self.cookie.set(self.cookie.get() + 1);
        self.locked.set(Some(clock::now()));
    }

    fn free(&self) {
        self.locked.set(None);
    }

    async fn get(&self, verb: Verb) -> Result<GetItem, StoreError> {
        self.call(verb)?;
        sleep(self.latency.get()).await;
        let Some(item) = self.item.borrow().clone() else {
            return Ok(GetItem::Missing);
        };
        if let Some(since) = self.locked.get() {
            let held = clock::now().since(since);
            return Ok(GetItem::Locked {
                age: if self.always_fresh.get() { ms(0) } else { held },
                lock: self.lock(),
            });
        }
        let exclusive = verb == Verb::GetItemExclusive;
        if exclusive {
            self.hold();
            *self.item.borrow_mut() = Some(item.clone());
        }
        let actions = match self.uninitialised.take() {
            true => Actions::InitializeItem,
            false => Actions::None,
        };
        Ok(GetItem::Found(Found {
            item,
            lock: exclusive.then(|| self.lock()),
            actions,
        }))
    }
}

#[async_trait(?Send)]
impl SessionStateStore for FakeStore {
    fn set_item_expire_callback(&self, _: Rc<dyn ExpireCallback>) -> bool {
        false
    }

    async fn get_item(&self, _: &RequestContext, _: SessionId) -> Result<GetItem, StoreError> {
        self.get(Verb::GetItem).await
    }

    async fn get_item_exclusive(
        &self,
        _: &RequestContext,
        _: SessionId,
    ) -> Result<GetItem, StoreError> {
        self.get(Verb::GetItemExclusive).await
    }

    async fn set_and_release_item_exclusive(
        &self,
        _: &RequestContext,
        _: SessionId,
        item: &Item,
        _: Option<&LockId>,
        new_item: bool,
    ) -> Result<(), StoreError> {
        self.call(Verb::SetAndReleaseItemExclusive)?;
        self.new_items.borrow_mut().push(new_item);
        *self.item.borrow_mut() = Some(item.stored());
        self.free();
        Ok(())
    }

    async fn release_item_exclusive(
        &self,
        _: &RequestContext,
        _: SessionId,
        lock: &LockId,
    ) -> Result<(), StoreError> {
        self.call(Verb::ReleaseItemExclusive)?;
        if *lock == self.lock() {
            self.free();
        }
        Ok(())
    }

    async fn remove_item(
        &self,
        _: &RequestContext,
        _: SessionId,
        _: Option<&LockId>,
        _: &Item,
    ) -> Result<(), StoreError> {
        self.call(Verb::RemoveItem)?;
        self.item.borrow_mut().take();
        self.free();
        Ok(())
    }

    async fn reset_item_timeout(&self, _: &RequestContext, _: SessionId) -> Result<(), StoreError> {
        self.call(Verb::ResetItemTimeout)
    }

    async fn create_uninitialized_item(
        &self,
        _: &RequestContext,
        _: SessionId,
        _: Minutes,
    ) -> Result<(), StoreError> {
        self.call(Verb::CreateUninitializedItem)?;
        self.put();
        self.uninitialised.set(true);
        Ok(())
    }

    async fn end_request(&self, _: &RequestContext) -> Result<(), StoreError> {
        self.call(Verb::EndRequest)
    }

    async fn dispose(&self) {}
}

/// Keeps what the module tells.
#[derive(Default)]
struct Seen {
    /// Request, instant and polls of every grant.
    granted: RefCell<Vec<(u64, Instant, u32)>>,
    stolen: RefCell<Vec<Instant>>,
    refused: RefCell<Vec<(Instant, AcquireError)>>,
    waiting: RefCell<Vec<Instant>>,
    released: Cell<u32>,
}

impl Observer for Seen {
    fn operation(&self, _: &Operation) {}

    fn waiting(&self, _: ServerIndex, _: RequestNumber, _: SessionId, since: Instant) {
        self.waiting.borrow_mut().push(since);
    }

    fn stolen(&self, _: ServerIndex, _: RequestNumber, _: SessionId, at: Instant) {
        self.stolen.borrow_mut().push(at);
    }

    fn granted(&self, grant: &Grant<'_>) {
        let seen = (grant.request.0, grant.granted, grant.polls);
        self.granted.borrow_mut().push(seen);
    }

    fn refused(&self, _: ServerIndex, _: RequestNumber, _: SessionId, why: &AcquireError) {
        self.refused.borrow_mut().push((clock::now(), why.clone()));
    }

    fn releasing(&self, _: RequestNumber, _: SessionId, _: Instant, _: Option<&Item>) {}
    fn released(&self, _: &Release<'_>) {
        self.released.set(self.released.get() + 1);
    }
}

/// A module with its store and its observer.
struct Bench {
    store: Rc<FakeStore>,
    seen: Rc<Seen>,
    module: SessionStateModule,
}

impl Bench {
    async fn acquire(&self, number: u64, access: Access) -> Result<Session, AcquireError> {
        let request = request(number);
        self.module.acquire(&request, id(), access, TIMEOUT).await
    }

    async fn take(&self) -> Session {
        self.acquire(1, Access::Exclusive).await.unwrap()
    }

    /// Releases a session, and returns what the store was asked for that, and the answer.
    async fn release(&self, session: Session, ending: Ending) -> (Vec<Verb>, bool) {
        let before = self.store.calls.borrow().len();
        let kept = self.module.release(&request(1), &session, ending).await;
        (self.verbs().split_off(before), kept.unwrap())
    }

    fn verbs(&self) -> Vec<Verb> {
        self.store.calls.borrow().iter().map(|it| it.1).collect()
    }

    /// When the store was asked for the session.
    fn gets(&self) -> Vec<Instant> {
        let calls = self.store.calls.borrow();
        let gets = calls.iter().filter(|it| it.1 == Verb::GetItemExclusive);
        gets.map(|it| it.0).collect()
    }

    /// Frees the lock after a while.
    fn free_at(&self, instant: Instant) {
        let store = Rc::clone(&self.store);
        spawn_detached(async move {
            clock::sleep_until(instant).await;
            store.free();
        });
    }
}

fn request(number: u64) -> Request {
    Request {
        number: RequestNumber(number),
        started: clock::now(),
        context: RequestContext::default(),
    }
}

/// Plays a test on the genuine constants.
fn play(test: impl AsyncFnOnce(Rc<Bench>) + 'static) {
    let (store, seen) = (Rc::new(FakeStore::default()), Rc::new(Seen::default()));
    let module = SessionStateModule::new(
        Rc::clone(&store) as Rc<dyn SessionStateStore>,
        Rc::clone(&seen) as Rc<dyn Observer>,
        ServerIndex(0),
        Constants::of(&ModuleSettings::default(), StoreKind::Private),
    );
    let bench = Rc::new(Bench {
        store,
        seen,
        module,
    });
    run_virtual(async move { test(bench).await }).unwrap();
}

fn write(session: &mut Session) {
    session.item.set("goal", Value::Boolean(true));
}

#[test]
fn a_free_session_is_had_at_the_first_get() {
    play(async |bench| {
        bench.store.put();
        bench.take().await;
        assert_eq!(*bench.seen.granted.borrow(), [(1, at(0), 1)]);
    });
}

#[test]
fn a_wait_is_a_whole_number_of_polls_however_early_the_lock_was_free() {
    play(async |bench| {
        bench.store.hold();
        bench.free_at(at(501));
        bench.take().await;
        assert_eq!(*bench.seen.granted.borrow(), [(1, at(1000), 3)]);
    });
}

#[test]
fn a_waiter_asks_again_every_500_ms() {
    play(async |bench| {
        bench.store.hold();
        bench.free_at(at(1800));
        bench.take().await;
        assert_eq!(bench.gets(), [0, 500, 1000, 1500, 2000].map(at));
    });
}

#[test]
fn a_tick_less_than_250_ms_after_the_last_answer_is_skipped() {
    play(async |bench| {
        // The timer starts at 300 ms and ticks at 800, 1300 and 1800 ms; the second get returns at
        // 1100 ms.
        bench.store.latency.set(ms(300));
        bench.store.hold();
        bench.free_at(at(1900));
        bench.take().await;
        assert_eq!(bench.gets(), [0, 800, 1800].map(at));
    });
}

#[test]
fn a_tick_250_ms_after_the_last_answer_is_not_skipped() {
    play(async |bench| {
        bench.store.latency.set(ms(250));
        bench.store.hold();
        bench.free_at(at(1300));
        bench.take().await;
        assert_eq!(bench.gets(), [0, 750, 1250].map(at));
    });
}

#[test]
fn a_tick_during_a_get_is_skipped() {
    play(async |bench| {
        // Ticks at 1.2, 1.7, 2.2 s and so on; the second get returns at 1.9 s.
        bench.store.latency.set(ms(700));
        bench.store.hold();
        bench.free_at(at(2300));
        bench.take().await;
        assert_eq!(bench.gets(), [0, 1200, 2200].map(at));
    });
}

#[test]
fn a_lock_is_released_by_force_when_it_is_110_s_old_and_not_before() {
    play(async |bench| {
        bench.store.hold();
        sleep(ms(10_250)).await;
        bench.take().await;
        assert_eq!(*bench.seen.stolen.borrow(), [at(110_250)]);
    });
}

#[test]
fn a_steal_costs_one_more_poll() {
    play(async |bench| {
        bench.store.hold();
        sleep(ms(10_000)).await;
        bench.take().await;
        let granted = bench.seen.granted.borrow()[0].1;
        assert_eq!(granted, at(110_500));
    });
}

#[test]
fn a_lock_that_is_too_old_at_the_first_get_is_stolen_at_once() {
    play(async |bench| {
        bench.store.hold();
        sleep(ms(300_000)).await;
        bench.take().await;
        assert_eq!(*bench.seen.stolen.borrow(), [at(300_000)]);
    });
}

#[test]
fn a_shared_lock_is_stolen_after_its_own_maximum_age() {
    let constants = Constants::of(&ModuleSettings::default(), StoreKind::Shared);
    assert_eq!(constants.steal_after, ms(5000));
}

#[test]
fn a_waiter_fails_at_its_own_execution_timeout() {
    play(async |bench| {
        bench.store.hold();
        bench.store.always_fresh.set(true);
        let result = bench.acquire(1, Access::Exclusive).await;
        assert_eq!(result.err(), Some(AcquireError::WaitedTooLong));
        assert_eq!(clock::now(), at(110_000));
    });
}

#[test]
fn the_waits_of_a_request_for_two_sessions_add_up_to_its_execution_timeout() {
    play(async |bench| {
        // The request is 100 s old when it asks for its second session.
        let request = request(1);
        sleep(ms(100_000)).await;
        bench.store.hold();
        let result = bench
            .module
            .acquire(&request, id(), Access::Exclusive, TIMEOUT)
            .await;
        assert_eq!(result.err(), Some(AcquireError::WaitedTooLong));
        assert_eq!(clock::now(), at(110_000));
    });
}

#[test]
fn a_waiter_that_fails_asks_the_store_no_more() {
    play(async |bench| {
        bench.store.hold();
        bench.store.always_fresh.set(true);
        let _ = bench.acquire(1, Access::Exclusive).await;
        assert_eq!(bench.gets().last(), Some(&at(109_500)));
    });
}

#[test]
fn a_read_only_request_waits_for_a_locked_session_too() {
    play(async |bench| {
        bench.store.hold();
        bench.free_at(at(100));
        bench.acquire(1, Access::ReadOnly).await.unwrap();
        assert_eq!(clock::now(), at(500));
    });
}

/// Lets so many requests wait for a held session.
async fn queue_up(bench: &Rc<Bench>, requests: u64) {
    bench.store.hold();
    for number in 0..requests {
        let bench = Rc::clone(bench);
        spawn_detached(async move { bench.acquire(number, Access::ReadOnly).await.map(|_| ()) });
    }
    sleep(ms(1)).await;
}

#[test]
fn fifty_requests_of_a_session_may_wait() {
    play(async |bench| {
        queue_up(&bench, 50).await;
        assert_eq!(bench.seen.waiting.borrow().len(), 50);
        assert_eq!(*bench.seen.refused.borrow(), []);
    });
}

#[test]
fn the_51st_waiter_is_refused_at_once() {
    play(async |bench| {
        queue_up(&bench, 50).await;
        let before = clock::now();
        let result = bench.acquire(50, Access::Exclusive).await;
        assert_eq!(result.err(), Some(AcquireError::QueueLimit));
        assert_eq!(clock::now(), before);
    });
}

#[test]
fn a_refused_request_takes_no_place_in_the_queue() {
    play(async |bench| {
        queue_up(&bench, 51).await;
        assert_eq!(bench.module.waiting.borrow().get(&id()), Some(&50));
    });
}

#[test]
fn the_queue_is_empty_when_all_waiters_have_got_the_session() {
    play(async |bench| {
        queue_up(&bench, 50).await;
        bench.store.free();
        sleep(ms(500)).await;
        assert!(bench.module.waiting.borrow().is_empty());
    });
}

#[test]
fn a_waiter_that_is_dropped_leaves_the_queue() {
    play(async |bench| {
        bench.store.hold();
        let waiting = bench.acquire(1, Access::Exclusive);
        assert!(clock::timeout(ms(100), waiting).await.is_err());
        assert!(bench.module.waiting.borrow().is_empty());
    });
}

#[test]
fn sessions_have_queues_of_their_own() {
    play(async |bench| {
        queue_up(&bench, 50).await;
        let other = SessionId::private(2);
        let request = request(51);
        let waiting = bench
            .module
            .acquire(&request, other, Access::ReadOnly, TIMEOUT);
        assert!(clock::timeout(ms(100), waiting).await.is_err());
    });
}

#[test]
fn a_fresh_arrival_overtakes_a_waiter() {
    play(async |bench| {
        bench.store.hold();
        bench.free_at(at(600));
        let early = {
            let bench = Rc::clone(&bench);
            spawn(async move { bench.acquire(1, Access::Exclusive).await.map(|_| ()) })
        };
        sleep(ms(700)).await;
        let session = bench.acquire(2, Access::Exclusive).await.unwrap();
        bench.release(session, Ending::Success).await;
        early.await.unwrap();
        let order: Vec<_> = bench.seen.granted.borrow().iter().map(|it| it.0).collect();
        assert_eq!(order, [2, 1]);
    });
}

#[test]
fn a_store_error_while_waiting_stops_the_wait() {
    play(async |bench| {
        bench.store.hold();
        let store = Rc::clone(&bench.store);
        spawn_detached(async move {
            sleep(ms(700)).await;
            store.failing.set(true);
        });
        let result = bench.acquire(1, Access::Exclusive).await;
        let gone = AcquireError::Store(StoreError::Connection("gone".to_owned()));
        assert_eq!(result.err(), Some(gone.clone()));
        assert_eq!(*bench.seen.refused.borrow(), [(at(1000), gone)]);
        assert!(bench.module.waiting.borrow().is_empty());
    });
}

#[test]
fn a_missing_session_is_created_and_asked_for_again() {
    play(async |bench| {
        let session = bench.take().await;
        assert!(session.is_new);
        let create = Verb::CreateUninitializedItem;
        let get = Verb::GetItemExclusive;
        assert_eq!(bench.verbs(), [get, create, get]);
    });
}

#[test]
fn a_read_only_request_creates_nothing() {
    play(async |bench| {
        let session = bench.acquire(1, Access::ReadOnly).await.unwrap();
        assert!(session.is_new);
        assert_eq!(bench.verbs(), [Verb::GetItem]);
    });
}

#[test]
fn an_untouched_session_that_a_read_only_request_missed_is_not_stored() {
    play(async |bench| {
        let session = bench.acquire(1, Access::ReadOnly).await.unwrap();
        let released = bench.release(session, Ending::Success).await;
        assert_eq!(released, (vec![], false));
    });
}

#[test]
fn a_written_session_that_a_read_only_request_missed_is_stored_as_new() {
    play(async |bench| {
        let mut session = bench.acquire(1, Access::ReadOnly).await.unwrap();
        write(&mut session);
        let released = bench.release(session, Ending::Success).await;
        assert_eq!(released, (vec![Verb::SetAndReleaseItemExclusive], true));
        assert_eq!(*bench.store.new_items.borrow(), [true]);
    });
}

#[test]
fn a_read_only_session_is_released_without_a_call() {
    play(async |bench| {
        bench.store.put();
        let mut session = bench.acquire(1, Access::ReadOnly).await.unwrap();
        write(&mut session);
        let released = bench.release(session, Ending::Success).await;
        assert_eq!(released, (vec![], true));
    });
}

#[test]
fn without_a_cookie_the_cookie_is_withdrawn_when_nothing_was_written() {
    play(async |bench| {
        let session = Session::without_cookie(id(), TIMEOUT);
        let released = bench.release(session, Ending::Success).await;
        assert_eq!(released, (vec![], false));
    });
}

#[test]
fn without_a_cookie_a_written_session_is_stored_as_new_in_one_call() {
    play(async |bench| {
        let mut session = Session::without_cookie(id(), TIMEOUT);
        write(&mut session);
        let released = bench.release(session, Ending::Success).await;
        assert_eq!(released, (vec![Verb::SetAndReleaseItemExclusive], true));
        assert_eq!(*bench.store.new_items.borrow(), [true]);
    });
}

#[test]
fn without_a_cookie_a_written_session_is_not_stored_after_an_error() {
    play(async |bench| {
        let mut session = Session::without_cookie(id(), TIMEOUT);
        write(&mut session);
        let released = bench.release(session, Ending::Error).await;
        assert_eq!(released, (vec![], false));
    });
}

#[test]
fn a_dirty_session_is_set_and_released() {
    play(async |bench| {
        bench.store.put();
        let mut session = bench.take().await;
        write(&mut session);
        let released = bench.release(session, Ending::Success).await;
        assert_eq!(released, (vec![Verb::SetAndReleaseItemExclusive], true));
        assert_eq!(*bench.store.new_items.borrow(), [false]);
    });
}

#[test]
fn a_clean_session_is_only_released() {
    play(async |bench| {
        bench.store.put();
        let session = bench.take().await;
        let released = bench.release(session, Ending::Success).await;
        assert_eq!(released, (vec![Verb::ReleaseItemExclusive], true));
    });
}

#[test]
fn a_session_of_which_only_the_timeout_changed_is_set() {
    play(async |bench| {
        bench.store.put();
        let mut session = bench.take().await;
        session.item.set_timeout(Minutes(5));
        let released = bench.release(session, Ending::Success).await;
        assert_eq!(released, (vec![Verb::SetAndReleaseItemExclusive], true));
    });
}

#[test]
fn changes_are_discarded_on_an_error() {
    play(async |bench| {
        bench.store.put();
        let mut session = bench.take().await;
        write(&mut session);
        let released = bench.release(session, Ending::Error).await;
        assert_eq!(released, (vec![Verb::ReleaseItemExclusive], true));
        let item = bench.store.item.borrow();
        assert_eq!(item.as_ref().and_then(|item| item.get("goal")), None);
    });
}

#[test]
fn an_abandoned_session_is_removed_whatever_was_written() {
    play(async |bench| {
        bench.store.put();
        let mut session = bench.take().await;
        write(&mut session);
        let released = bench.release(session, Ending::Abandon).await;
        assert_eq!(released, (vec![Verb::RemoveItem], false));
    });
}

#[test]
fn an_abandoned_session_that_was_never_stored_is_not_removed() {
    play(async |bench| {
        let session = Session::without_cookie(id(), TIMEOUT);
        let released = bench.release(session, Ending::Abandon).await;
        assert_eq!(released, (vec![], false));
    });
}

#[test]
fn a_release_that_fails_is_told_all_the_same() {
    play(async |bench| {
        bench.store.put();
        let session = bench.take().await;
        bench.store.failing.set(true);
        let request = request(1);
        let result = bench.module.release(&request, &session, Ending::Success);
        assert!(result.await.is_err());
        assert_eq!(bench.seen.released.get(), 1);
    });
}

#[test]
fn a_request_that_needs_no_session_only_resets_its_timeout() {
    play(async |bench| {
        let kept = bench.module.keep_alive(&request(1), id(), TIMEOUT).await;
        kept.unwrap();
        assert_eq!(bench.verbs(), [Verb::ResetItemTimeout]);
    });
}
