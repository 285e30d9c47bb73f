//! The in-process store on the virtual clock, whose day starts on a multiple of 20 s.

use super::*;
use crate::clock::{run_virtual, sleep, sleep_until};
use crate::session::contract::EndHandlerFailed;
use crate::session::{StoreKind, Value};

/// One minute, so that a session created at 7 s is due at 67 s.
const TIMEOUT: Minutes = Minutes(1);

fn id() -> SessionId {
    SessionId::private(1)
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn at(seconds: u64) -> Instant {
    Instant::START + Duration::from_secs(seconds)
}

/// Session ends, with when they were raised.
#[derive(Default)]
struct Ends(RefCell<Vec<(Instant, EndNotice)>>);

#[async_trait(?Send)]
impl ExpireCallback for Ends {
    async fn session_end(&self, notice: EndNotice) -> Result<(), EndHandlerFailed> {
        self.0.borrow_mut().push((clock::now(), notice));
        Ok(())
    }
}

struct Bench {
    store: Rc<dyn SessionStateStore>,
    ends: Rc<Ends>,
    context: RequestContext,
}

impl Bench {
    async fn open(provider: &InprocProvider) -> Self {
        let seat = Seat {
            server: 0,
            kind: StoreKind::Private,
            timeout: TIMEOUT,
            minute: Duration::from_secs(60),
            execution_timeout: Duration::from_secs(110),
        };
        let store = provider.open(&seat).await.unwrap();
        let ends = Rc::new(Ends::default());
        assert!(store.set_item_expire_callback(Rc::clone(&ends) as Rc<dyn ExpireCallback>));
        Self {
            store,
            ends,
            context: RequestContext::default(),
        }
    }

    /// Stores a new session with a number in it.
    async fn create(&self, number: i32) {
        self.set(number, None, true).await;
    }

    async fn set(&self, number: i32, lock: Option<&LockId>, new_item: bool) {
        self.set_item(&item(number, TIMEOUT), lock, new_item).await;
    }

    async fn set_item(&self, item: &Item, lock: Option<&LockId>, new_item: bool) {
        let store = &self.store;
        let set = store.set_and_release_item_exclusive(&self.context, id(), item, lock, new_item);
        set.await.unwrap();
    }

    async fn get(&self) -> GetItem {
        self.store.get_item(&self.context, id()).await.unwrap()
    }

    async fn take(&self) -> GetItem {
        let get = self.store.get_item_exclusive(&self.context, id());
        get.await.unwrap()
    }

    async fn lock(&self) -> LockId {
        match self.take().await {
            GetItem::Found(Found { lock, .. }) => lock.unwrap(),
            other => panic!("{other:?}"),
        }
    }

    async fn release(&self, lock: &LockId) {
        let release = self.store.release_item_exclusive(&self.context, id(), lock);
        release.await.unwrap();
    }

    async fn remove(&self, lock: Option<&LockId>) {
        let item = item(0, TIMEOUT);
        let remove = self.store.remove_item(&self.context, id(), lock, &item);
        remove.await.unwrap();
    }

    async fn create_uninitialized(&self) {
        let store = &self.store;
        let create = store.create_uninitialized_item(&self.context, id(), TIMEOUT);
        create.await.unwrap();
    }

    /// The number in the stored session.
    async fn number(&self) -> Option<i32> {
        match self.get().await {
            GetItem::Found(found) => match found.item.get("number") {
                Some(Value::Int32(number)) => Some(number),
                _ => None,
            },
            other => panic!("{other:?}"),
        }
    }

    /// When ends were raised, after as long as any session here can live.
    async fn all_ends(&self) -> Vec<Instant> {
        sleep(Duration::from_secs(600)).await;
        self.ends.0.borrow().iter().map(|(at, _)| *at).collect()
    }
}

fn item(number: i32, timeout: Minutes) -> Item {
    let mut item = Item::new(timeout);
    item.set("number", Value::Int32(number));
    item
}

/// Plays a test on a store that is opened 7 s after the start of the run.
fn play(test: impl AsyncFnOnce(Bench) + 'static) {
    run_virtual(async move {
        sleep_until(at(7)).await;
        test(Bench::open(&InprocProvider::default()).await).await;
    })
    .unwrap();
}

#[test]
fn a_session_ends_at_the_next_utc_multiple_of_20_s_after_it_is_due() {
    play(async |bench| {
        bench.create(1).await;
        assert_eq!(bench.all_ends().await, [at(80)]);
    });
}

#[test]
fn a_session_that_is_due_at_a_tick_ends_at_that_tick() {
    play(async |bench| {
        sleep_until(at(20)).await;
        bench.create(1).await;
        assert_eq!(bench.all_ends().await, [at(80)]);
    });
}

#[test]
fn an_end_tells_the_grid_of_the_wheel() {
    play(async |bench| {
        bench.create(1).await;
        bench.all_ends().await;
        let tick = Noticed::Tick {
            origin: at(80),
            period: Duration::from_secs(20),
        };
        assert_eq!(bench.ends.0.borrow()[0].1.noticed, tick);
    });
}

#[test]
fn an_end_carries_the_session() {
    play(async |bench| {
        bench.create(5).await;
        bench.all_ends().await;
        let item = bench.ends.0.borrow()[0].1.item.clone().unwrap();
        assert_eq!(item.get("number"), Some(Value::Int32(5)));
    });
}

#[test]
fn a_get_keeps_a_session_alive() {
    play(async |bench| {
        bench.create(1).await;
        sleep_until(at(50)).await;
        bench.get().await;
        assert_eq!(bench.all_ends().await, [at(120)]);
    });
}

#[test]
fn the_poll_of_a_waiter_keeps_a_session_alive() {
    play(async |bench| {
        bench.create(1).await;
        bench.lock().await;
        sleep_until(at(50)).await;
        assert!(matches!(bench.take().await, GetItem::Locked { .. }));
        assert_eq!(bench.all_ends().await, [at(120)]);
    });
}

#[test]
fn a_release_keeps_a_session_alive() {
    play(async |bench| {
        bench.create(1).await;
        let lock = bench.lock().await;
        sleep_until(at(50)).await;
        bench.release(&lock).await;
        assert_eq!(bench.all_ends().await, [at(120)]);
    });
}

#[test]
fn resetting_the_timeout_keeps_a_session_alive() {
    play(async |bench| {
        bench.create(1).await;
        sleep_until(at(50)).await;
        let store = &bench.store;
        store
            .reset_item_timeout(&bench.context, id())
            .await
            .unwrap();
        assert_eq!(bench.all_ends().await, [at(120)]);
    });
}

#[test]
fn a_get_that_would_gain_less_than_a_second_gains_nothing() {
    play(async |bench| {
        sleep_until(at(20)).await;
        bench.create(1).await;
        sleep(ms(999)).await;
        bench.get().await;
        assert_eq!(bench.all_ends().await, [at(80)]);
    });
}

#[test]
fn a_get_that_gains_a_second_moves_the_expiry() {
    play(async |bench| {
        sleep_until(at(20)).await;
        bench.create(1).await;
        sleep(ms(1000)).await;
        bench.get().await;
        assert_eq!(bench.all_ends().await, [at(100)]);
    });
}

#[test]
fn an_expired_session_is_not_served_before_the_wheel_turns() {
    play(async |bench| {
        bench.create(1).await;
        sleep_until(at(70)).await;
        assert_eq!(bench.get().await, GetItem::Missing);
    });
}

#[test]
fn touching_an_expired_session_raises_its_end_at_once_and_once() {
    play(async |bench| {
        bench.create(1).await;
        sleep_until(at(70)).await;
        bench.get().await;
        assert_eq!(bench.all_ends().await, [at(70)]);
        assert_eq!(bench.ends.0.borrow()[0].1.noticed, Noticed::Access);
    });
}

#[test]
fn a_lock_tells_its_age() {
    play(async |bench| {
        bench.create(1).await;
        bench.lock().await;
        sleep(ms(3000)).await;
        let GetItem::Locked { age, .. } = bench.take().await else {
            panic!("it is not locked");
        };
        assert_eq!(age, ms(3000));
    });
}

#[test]
fn every_lock_has_the_next_cookie() {
    play(async |bench| {
        bench.create(1).await;
        let first = bench.lock().await;
        bench.release(&first).await;
        let second = bench.lock().await;
        assert_eq!([first, second], [LockId::Cookie(2), LockId::Cookie(3)]);
    });
}

#[test]
fn a_reader_finds_a_locked_session_locked() {
    play(async |bench| {
        bench.create(1).await;
        bench.lock().await;
        assert!(matches!(bench.get().await, GetItem::Locked { .. }));
    });
}

#[test]
fn a_write_with_a_stolen_lock_is_lost_without_a_word() {
    play(async |bench| {
        bench.create(1).await;
        let stolen = bench.lock().await;
        bench.release(&stolen).await;
        let lock = bench.lock().await;
        bench.set(2, Some(&stolen), false).await;
        bench.release(&lock).await;
        assert_eq!(bench.number().await, Some(1));
    });
}

#[test]
fn a_write_with_a_stolen_lock_leaves_the_new_holder_its_lock() {
    play(async |bench| {
        bench.create(1).await;
        let stolen = bench.lock().await;
        bench.release(&stolen).await;
        bench.lock().await;
        bench.set(2, Some(&stolen), false).await;
        assert!(matches!(bench.take().await, GetItem::Locked { .. }));
    });
}

#[test]
fn a_write_without_a_lock_into_an_existing_session_is_lost() {
    play(async |bench| {
        bench.create(1).await;
        bench.set(2, None, false).await;
        assert_eq!(bench.number().await, Some(1));
    });
}

#[test]
fn a_write_into_a_session_that_is_gone_does_not_bring_it_back() {
    play(async |bench| {
        bench.create(1).await;
        let lock = bench.lock().await;
        sleep_until(at(90)).await;
        bench.set(2, Some(&lock), false).await;
        assert_eq!(bench.get().await, GetItem::Missing);
    });
}

#[test]
fn a_release_with_a_foreign_cookie_does_nothing() {
    play(async |bench| {
        bench.create(1).await;
        bench.lock().await;
        bench.release(&LockId::Cookie(77)).await;
        assert!(matches!(bench.take().await, GetItem::Locked { .. }));
    });
}

#[test]
fn creating_an_uninitialised_session_never_overwrites() {
    play(async |bench| {
        bench.create(3).await;
        bench.create_uninitialized().await;
        assert_eq!(bench.number().await, Some(3));
    });
}

#[test]
fn only_the_first_get_of_an_uninitialised_session_is_told_to_initialise_it() {
    play(async |bench| {
        bench.create_uninitialized().await;
        let actions = |answer| match answer {
            GetItem::Found(found) => found.actions,
            other => panic!("{other:?}"),
        };
        let told = [actions(bench.get().await), actions(bench.get().await)];
        assert_eq!(told, [Actions::InitializeItem, Actions::None]);
    });
}

#[test]
fn a_session_that_is_still_uninitialised_raises_no_end() {
    play(async |bench| {
        bench.create_uninitialized().await;
        assert_eq!(bench.all_ends().await, []);
    });
}

#[test]
fn an_abandoned_session_ends_at_once() {
    play(async |bench| {
        bench.create(1).await;
        let lock = bench.lock().await;
        bench.remove(Some(&lock)).await;
        assert_eq!(bench.all_ends().await, [at(7)]);
        assert_eq!(bench.ends.0.borrow()[0].1.noticed, Noticed::Abandoned);
    });
}

#[test]
fn a_session_is_removed_only_by_its_holder() {
    play(async |bench| {
        bench.create(4).await;
        bench.remove(None).await;
        bench.remove(Some(&LockId::Cookie(77))).await;
        assert_eq!(bench.number().await, Some(4));
    });
}

#[test]
fn a_changed_timeout_counts_from_the_write_and_raises_no_end_of_its_own() {
    play(async |bench| {
        bench.create(1).await;
        let lock = bench.lock().await;
        let longer = item(1, Minutes(3));
        bench.set_item(&longer, Some(&lock), false).await;
        assert_eq!(bench.all_ends().await, [at(200)]);
    });
}

#[test]
fn a_shorter_timeout_counts_from_the_write_too() {
    play(async |bench| {
        bench.set_item(&item(1, Minutes(5)), None, true).await;
        let lock = bench.lock().await;
        bench.set(1, Some(&lock), false).await;
        assert_eq!(bench.all_ends().await, [at(80)]);
    });
}

#[test]
fn each_server_has_sessions_of_its_own() {
    run_virtual(async {
        let provider = InprocProvider::default();
        let (one, other) = (Bench::open(&provider).await, Bench::open(&provider).await);
        one.create(1).await;
        assert_eq!(other.get().await, GetItem::Missing);
    })
    .unwrap();
}

#[test]
fn no_end_is_raised_after_dispose() {
    play(async |bench| {
        bench.create(1).await;
        bench.store.dispose().await;
        assert_eq!(bench.all_ends().await, []);
    });
}
