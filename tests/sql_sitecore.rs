//! `sql_sitecore` on the real databases: what lies in the tables, each rule of locking, each fault.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod sql_support;

use sessionbench::clock::utc;
use sessionbench::providers::Seat;
use sessionbench::providers::sql::call::{Kind as CellKind, Value as Cell};
use sessionbench::providers::sql::settings::SqlSitecore;
use sessionbench::session::{
    Actions, GetItem, Item, LockId, Minutes, Noticed, SessionId, SessionStateStore, StoreError,
    StoreKind,
};
use sql_support::*;
use std::rc::Rc;
use std::time::Duration;

on_both_databases! {
    a_session_is_a_row_with_the_whole_frame
    a_lock_is_a_cookie_of_32_digits_and_the_time_it_was_taken
    of_many_that_take_a_lock_at_once_one_gets_it
    a_read_takes_no_lock_and_sees_anothers
    an_update_writes_and_releases
    a_release_leaves_the_data
    a_write_whose_lock_was_stolen_is_lost_without_a_word
    an_uninitialised_session_asks_for_its_start_once
    creating_never_overwrites
    a_new_session_whose_id_is_taken_is_lost
    removing_needs_the_lock
    an_expired_session_that_nobody_claimed_is_served
    every_verb_moves_the_deadline
    a_request_costs_two_round_trips_and_its_bytes
    a_minute_may_be_shorter
    private_and_shared_sessions_lie_apart
    an_expired_session_ends_at_a_tick_and_is_removed
    several_pollers_raise_every_end_once
    one_end_is_handled_at_a_time
    a_session_is_locked_while_its_end_is_handled
    a_handler_that_throws_loses_its_visit
    a_session_that_a_request_holds_does_not_end
    a_claim_whose_poller_died_is_never_raised_again
    a_session_that_cannot_be_decoded_loses_its_own_end_alone
    a_request_that_meets_an_undecodable_session_fails
    abandoning_raises_the_end_in_the_request
    dispose_raises_nothing_more
}

const MINUTE: Duration = Duration::from_millis(50);

fn polling() -> SqlSitecore {
    SqlSitecore {
        pollingInterval: 1,
        ..SqlSitecore::default()
    }
}

async fn poll(bench: &Bench, seat: &Seat) -> (Rc<dyn SessionStateStore>, Rc<Ends>) {
    let store = bench.open(seat).await;
    let ends = Rc::new(Ends::default());
    assert!(store.set_item_expire_callback(Rc::clone(&ends) as Rc<_>));
    (store, ends)
}

/// The holder's lock, as a waiter sees it.
async fn lock_of(store: &Rc<dyn SessionStateStore>, id: SessionId) -> (LockId, Duration) {
    match store.get_item_exclusive(&request(), id).await.unwrap() {
        GetItem::Locked { age, lock } => (lock, age),
        other => panic!("not locked: {other:?}"),
    }
}

async fn a_session_is_a_row_with_the_whole_frame(kind: Kind) {
    for compression in [false, true] {
        let settings = SqlSitecore {
            compression,
            ..SqlSitecore::default()
        };
        let bench = Bench::with(kind, settings).await;
        let store = bench.open(&seat(0)).await;
        store_new(&store, id(7), "hello").await;
        let rows = bench
            .ask(
                "SELECT a.\"Name\", s.\"Id\", s.\"Locked\", s.\"LockTimestamp\", \
                 s.\"LockCookie\", s.\"Timeout\", s.\"Flags\", s.\"Item\" \
                 FROM \"SessionState\" s JOIN \"Application\" a ON a.\"Id\" = s.\"Application\"",
            )
            .await;
        let item = if compression {
            item("hello").encode_compressed()
        } else {
            item("hello").encode()
        };
        let expected = [
            Cell::Text("sessionbench_private".into()),
            Cell::Text("aaaaaaaaaaaaaaaaaaaaaaah".into()),
            Cell::Bit(false),
            Cell::Null(CellKind::Time),
            Cell::Null(CellKind::Text),
            Cell::Int(20),
            Cell::Int(0),
            Cell::Bytes(item),
        ];
        assert_eq!(rows, [expected]);
        let found = take(&store, &request(), id(7)).await;
        assert_eq!(text_of(&found.item), "hello");
        assert_eq!(found.item.timeout(), Minutes(20));
        bench.end().await;
    }
}

async fn a_lock_is_a_cookie_of_32_digits_and_the_time_it_was_taken(kind: Kind) {
    let bench = Bench::new(kind).await;
    let store = bench.open(&seat(0)).await;
    store_new(&store, id(7), "hello").await;
    let before = utc();
    let found = take(&store, &request(), id(7)).await;
    let Some(LockId::Text(cookie)) = &found.lock else {
        panic!("{:?}", found.lock);
    };
    assert_eq!(cookie.len(), 32);
    assert!(
        cookie
            .chars()
            .all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c))
    );
    let row = &bench
        .ask("SELECT \"Locked\", \"LockCookie\", \"LockTimestamp\" FROM \"SessionState\"")
        .await[0];
    assert_eq!(row[..2], [Cell::Bit(true), Cell::Text(Rc::clone(cookie))]);
    let Cell::Time(taken) = row[2] else {
        panic!("{:?}", row[2]);
    };
    let off = taken.since_epoch().abs_diff(before.since_epoch());
    assert!(off < Duration::from_secs(5), "{off:?}");
    let (lock, age) = lock_of(&store, id(7)).await;
    assert_eq!(Some(&lock), found.lock.as_ref());
    assert!(age < Duration::from_secs(5), "{age:?}");
    bench
        .change("UPDATE \"SessionState\" SET \"LockTimestamp\" = '2001-01-01'")
        .await;
    let (_, age) = lock_of(&store, id(7)).await;
    assert!(age > Duration::from_secs(86_400), "{age:?}");
    bench.end().await;
}

async fn of_many_that_take_a_lock_at_once_one_gets_it(kind: Kind) {
    Box::pin(assert_one_of_many_takes_the_lock(Bench::new(kind).await)).await;
}

async fn a_read_takes_no_lock_and_sees_anothers(kind: Kind) {
    let bench = Bench::new(kind).await;
    let store = bench.open(&seat(0)).await;
    assert_eq!(
        store.get_item(&request(), id(7)).await.unwrap(),
        GetItem::Missing
    );
    store_new(&store, id(7), "hello").await;
    for _ in 0..2 {
        let GetItem::Found(found) = store.get_item(&request(), id(7)).await.unwrap() else {
            panic!("not found");
        };
        assert_eq!(text_of(&found.item), "hello");
        assert_eq!(found.lock, None);
    }
    let holder = take(&store, &request(), id(7)).await;
    let GetItem::Locked { lock, .. } = store.get_item(&request(), id(7)).await.unwrap() else {
        panic!("not locked");
    };
    assert_eq!(Some(lock), holder.lock);
    bench.end().await;
}

async fn an_update_writes_and_releases(kind: Kind) {
    let bench = Bench::new(kind).await;
    let store = bench.open(&seat(0)).await;
    store_new(&store, id(7), "hello").await;
    let found = take(&store, &request(), id(7)).await;
    let mut changed = item("changed");
    changed.set_timeout(Minutes(5));
    store
        .set_and_release_item_exclusive(&request(), id(7), &changed, found.lock.as_ref(), false)
        .await
        .unwrap();
    let row = &bench
        .ask("SELECT \"Locked\", \"LockCookie\", \"Timeout\" FROM \"SessionState\"")
        .await[0];
    let expected = [Cell::Bit(false), Cell::Null(CellKind::Text), Cell::Int(5)];
    assert_eq!(*row, expected);
    let found = take(&store, &request(), id(7)).await;
    assert_eq!(text_of(&found.item), "changed");
    assert_eq!(found.item.timeout(), Minutes(5));
    bench.end().await;
}

async fn a_release_leaves_the_data(kind: Kind) {
    let bench = Bench::new(kind).await;
    let store = bench.open(&seat(0)).await;
    store_new(&store, id(7), "hello").await;
    let found = take(&store, &request(), id(7)).await;
    let wrong = LockId::Text("0".repeat(32).into());
    store
        .release_item_exclusive(&request(), id(7), &wrong)
        .await
        .unwrap();
    lock_of(&store, id(7)).await;
    store
        .release_item_exclusive(&request(), id(7), &found.lock.unwrap())
        .await
        .unwrap();
    let found = take(&store, &request(), id(7)).await;
    assert_eq!(text_of(&found.item), "hello");
    bench.end().await;
}

async fn a_write_whose_lock_was_stolen_is_lost_without_a_word(kind: Kind) {
    let bench = Bench::new(kind).await;
    let store = bench.open(&seat(0)).await;
    store_new(&store, id(7), "hello").await;
    let slow = take(&store, &request(), id(7)).await;
    let (lock, _) = lock_of(&store, id(7)).await;
    store
        .release_item_exclusive(&request(), id(7), &lock)
        .await
        .unwrap();
    let write = async |text: &str, lock: &Option<LockId>| {
        store
            .set_and_release_item_exclusive(&request(), id(7), &item(text), lock.as_ref(), false)
            .await
            .unwrap();
    };
    // Before anybody took the lock again, and after it.
    write("late", &slow.lock).await;
    let next = take(&store, &request(), id(7)).await;
    assert_eq!(text_of(&next.item), "hello");
    write("later", &slow.lock).await;
    let (held, _) = lock_of(&store, id(7)).await;
    assert_eq!(Some(held), next.lock);
    write("next", &next.lock).await;
    let last = take(&store, &request(), id(7)).await;
    assert_eq!(text_of(&last.item), "next");
    bench.end().await;
}

async fn an_uninitialised_session_asks_for_its_start_once(kind: Kind) {
    let bench = Bench::new(kind).await;
    let store = bench.open(&seat(0)).await;
    store
        .create_uninitialized_item(&request(), id(7), Minutes(20))
        .await
        .unwrap();
    assert_eq!(
        bench
            .ask_one("SELECT \"Flags\" FROM \"SessionState\"")
            .await,
        Cell::Int(1)
    );
    let found = take(&store, &request(), id(7)).await;
    assert_eq!(found.actions, Actions::InitializeItem);
    assert_eq!(found.item, Item::new(Minutes(20)));
    store
        .release_item_exclusive(&request(), id(7), &found.lock.unwrap())
        .await
        .unwrap();
    let found = take(&store, &request(), id(7)).await;
    assert_eq!(found.actions, Actions::None);
    bench.end().await;
}

async fn creating_never_overwrites(kind: Kind) {
    let bench = Bench::new(kind).await;
    let store = bench.open(&seat(0)).await;
    store_new(&store, id(7), "hello").await;
    let request = request();
    store
        .create_uninitialized_item(&request, id(7), Minutes(20))
        .await
        .unwrap();
    assert_eq!(request.swallowed.get(), 0);
    let found = take(&store, &request, id(7)).await;
    assert_eq!(text_of(&found.item), "hello");
    assert_eq!(found.actions, Actions::None);
    bench.end().await;
}

async fn a_new_session_whose_id_is_taken_is_lost(kind: Kind) {
    let bench = Bench::new(kind).await;
    let store = bench.open(&seat(0)).await;
    store_new(&store, id(7), "first").await;
    let second = request();
    store
        .set_and_release_item_exclusive(&second, id(7), &item("second"), None, true)
        .await
        .unwrap();
    assert_eq!(second.swallowed.get(), 1);
    let found = take(&store, &request(), id(7)).await;
    assert_eq!(text_of(&found.item), "first");
    bench.end().await;
}

async fn removing_needs_the_lock(kind: Kind) {
    let bench = Bench::new(kind).await;
    let store = bench.open(&seat(0)).await;
    store_new(&store, id(7), "hello").await;
    let remove = async |lock: Option<&LockId>| {
        store
            .remove_item(&request(), id(7), lock, &item("hello"))
            .await
            .unwrap();
    };
    remove(None).await;
    remove(Some(&LockId::Text("0".repeat(32).into()))).await;
    assert_eq!(bench.sessions().await, 1);
    let found = take(&store, &request(), id(7)).await;
    remove(found.lock.as_ref()).await;
    assert_eq!(bench.sessions().await, 0);
    bench.end().await;
}

async fn an_expired_session_that_nobody_claimed_is_served(kind: Kind) {
    let bench = Bench::new(kind).await;
    let store = bench.open(&seat(0)).await;
    store_new(&store, id(7), "hello").await;
    bench.expire(id(7)).await;
    let found = take(&store, &request(), id(7)).await;
    assert_eq!(text_of(&found.item), "hello");
    bench.end().await;
}

async fn every_verb_moves_the_deadline(kind: Kind) {
    let bench = Bench::new(kind).await;
    let store = bench.open(&seat(0)).await;
    store_new(&store, id(7), "hello").await;
    let alive = async |verb: &str| {
        let expires = bench
            .ask_one("SELECT \"Expires\" FROM \"SessionState\"")
            .await;
        let Cell::Time(expires) = expires else {
            panic!("{expires:?}");
        };
        let left = expires.since_epoch().saturating_sub(utc().since_epoch());
        let minutes = Duration::from_secs(1180)..=Duration::from_secs(1210);
        assert!(minutes.contains(&left), "{verb}: {left:?}");
        bench.expire(id(7)).await;
    };
    alive("new").await;
    store.get_item(&request(), id(7)).await.unwrap();
    alive("get_item").await;
    let found = take(&store, &request(), id(7)).await;
    alive("get_item_exclusive").await;
    lock_of(&store, id(7)).await;
    alive("a waiter's get_item_exclusive").await;
    store.get_item(&request(), id(7)).await.unwrap();
    alive("get_item of a locked session").await;
    store.reset_item_timeout(&request(), id(7)).await.unwrap();
    alive("reset_item_timeout").await;
    store
        .release_item_exclusive(&request(), id(7), &found.lock.unwrap())
        .await
        .unwrap();
    alive("release_item_exclusive").await;
    let found = take(&store, &request(), id(7)).await;
    alive("get_item_exclusive").await;
    store
        .set_and_release_item_exclusive(&request(), id(7), &item("x"), found.lock.as_ref(), false)
        .await
        .unwrap();
    alive("set_and_release_item_exclusive").await;
    bench.end().await;
}

async fn a_request_costs_two_round_trips_and_its_bytes(kind: Kind) {
    let bench = Bench::new(kind).await;
    let store = bench.open(&seat(0)).await;
    let text = "x".repeat(20_000);
    store_new(&store, id(7), &text).await;
    let request = request();
    let found = take(&store, &request, id(7)).await;
    assert_eq!(request.round_trips.get(), 1);
    assert!(
        (20_000..22_000).contains(&request.bytes_received.get()),
        "{request:?}"
    );
    assert!(
        (50..2_000).contains(&request.bytes_sent.get()),
        "{request:?}"
    );
    store
        .set_and_release_item_exclusive(&request, id(7), &found.item, found.lock.as_ref(), false)
        .await
        .unwrap();
    store.end_request(&request).await.unwrap();
    assert_eq!(request.round_trips.get(), 2);
    assert!(
        (20_000..24_000).contains(&request.bytes_sent.get()),
        "{request:?}"
    );
    bench.end().await;
}

async fn a_minute_may_be_shorter(kind: Kind) {
    let bench = Bench::new(kind).await;
    let store = bench.open(&fast_seat(0, Duration::from_secs(6))).await;
    store_new(&store, id(7), "hello").await;
    let expires = bench
        .ask_one("SELECT \"Expires\" FROM \"SessionState\"")
        .await;
    let Cell::Time(expires) = expires else {
        panic!("{expires:?}");
    };
    let left = expires.since_epoch().saturating_sub(utc().since_epoch());
    let scaled = Duration::from_secs(100)..=Duration::from_secs(121);
    assert!(scaled.contains(&left), "{left:?}");
    let found = take(&store, &request(), id(7)).await;
    assert_eq!(found.item.timeout(), Minutes(20));
    bench.end().await;
}

async fn private_and_shared_sessions_lie_apart(kind: Kind) {
    let bench = Bench::new(kind).await;
    let private = bench.open(&seat(0)).await;
    let shared = bench
        .open(&Seat {
            kind: StoreKind::Shared,
            timeout: Minutes(21),
            ..seat(0)
        })
        .await;
    let contact = SessionId::shared(7);
    store_new(&shared, contact, "hello").await;
    assert_eq!(
        private.get_item(&request(), contact).await.unwrap(),
        GetItem::Missing
    );
    let rows = bench.ask("SELECT \"Id\" FROM \"SessionState\"").await;
    let id = Cell::Text("00000000-0000-0000-0000-000000000007".into());
    assert_eq!(rows, [[id]]);
    let names = bench
        .ask("SELECT \"Name\" FROM \"Application\" ORDER BY \"Name\"")
        .await;
    let name = |kind| [Cell::Text(format!("sessionbench_{kind}").into())];
    assert_eq!(names, [name("private"), name("shared")]);
    bench.end().await;
}

async fn an_expired_session_ends_at_a_tick_and_is_removed(kind: Kind) {
    let bench = Bench::with(kind, polling()).await;
    let (store, ends) = poll(&bench, &fast_seat(0, MINUTE)).await;
    store_new(&store, id(7), "hello").await;
    until("session end", || !ends.seen.borrow().is_empty()).await;
    {
        let seen = ends.seen.borrow();
        assert_eq!(text_of(seen[0].notice.item.as_ref().unwrap()), "hello");
        let Noticed::Tick { origin, period } = seen[0].notice.noticed else {
            panic!("{:?}", seen[0].notice.noticed);
        };
        assert_eq!(period, Duration::from_secs(1));
        let phase = seen[0].at.since(origin).as_nanos() % period.as_nanos();
        assert!(phase < 700_000_000, "it ended {phase} ns after a tick");
        assert!(seen[0].at.since(origin) >= 20 * MINUTE);
    }
    bench.until_left(0).await;
    store.dispose().await;
    assert_eq!(ends.ids(), [id(7)]);
    bench.end().await;
}

async fn several_pollers_raise_every_end_once(kind: Kind) {
    let bench = Bench::with(kind, polling()).await;
    let (one, ends_of_one) = poll(&bench, &fast_seat(0, MINUTE)).await;
    let (other, ends_of_other) = poll(&bench, &fast_seat(1, MINUTE)).await;
    for number in 0..50 {
        store_new(&one, id(number), "hello").await;
    }
    bench.until_left(0).await;
    one.dispose().await;
    other.dispose().await;
    let mut ids = [ends_of_one.ids(), ends_of_other.ids()].concat();
    ids.sort();
    assert_eq!(ids, (0..50).map(id).collect::<Vec<_>>());
    bench.end().await;
}

async fn one_end_is_handled_at_a_time(kind: Kind) {
    let bench = Bench::with(kind, polling()).await;
    let (store, ends) = poll(&bench, &fast_seat(0, MINUTE)).await;
    ends.takes.set(Duration::from_millis(30));
    for number in 0..9 {
        store_new(&store, id(number), "hello").await;
    }
    until("all ends", || ends.seen.borrow().len() == 9).await;
    assert_eq!(ends.most_at_work.get(), 1);
    store.dispose().await;
    bench.end().await;
}

async fn a_session_is_locked_while_its_end_is_handled(kind: Kind) {
    let bench = Bench::with(kind, polling()).await;
    let (store, ends) = poll(&bench, &seat(0)).await;
    ends.takes.set(Duration::from_millis(500));
    store_new(&store, id(7), "hello").await;
    bench.expire(id(7)).await;
    until("the handler starts", || ends.at_work.get() == 1).await;
    let (_, age) = lock_of(&store, id(7)).await;
    assert!(age < Duration::from_secs(30), "{age:?}");
    bench.until_left(0).await;
    let gone = store.get_item_exclusive(&request(), id(7)).await.unwrap();
    assert_eq!(gone, GetItem::Missing);
    store.dispose().await;
    bench.end().await;
}

async fn a_handler_that_throws_loses_its_visit(kind: Kind) {
    let bench = Bench::with(kind, polling()).await;
    let (store, ends) = poll(&bench, &seat(0)).await;
    ends.throws.set(true);
    store_new(&store, id(7), "hello").await;
    bench.expire(id(7)).await;
    bench.until_left(0).await;
    store.dispose().await;
    assert_eq!(ends.ids(), [id(7)]);
    assert_eq!(bench.provider.background_work().failed_ends, 1);
    bench.end().await;
}

async fn a_session_that_a_request_holds_does_not_end(kind: Kind) {
    let bench = Bench::with(kind, polling()).await;
    let (store, ends) = poll(&bench, &seat(0)).await;
    store_new(&store, id(7), "held").await;
    let held = take(&store, &request(), id(7)).await;
    store_new(&store, id(8), "free").await;
    bench.expire(id(7)).await;
    bench.expire(id(8)).await;
    until("the free one ends", || !ends.seen.borrow().is_empty()).await;
    let ticks = bench.provider.background_work().ticks;
    until("a tick more", || {
        bench.provider.background_work().ticks > ticks
    })
    .await;
    assert_eq!(ends.ids(), [id(8)]);
    store
        .release_item_exclusive(&request(), id(7), &held.lock.unwrap())
        .await
        .unwrap();
    bench.expire(id(7)).await;
    until("the other one ends", || ends.ids() == [id(8), id(7)]).await;
    store.dispose().await;
    bench.end().await;
}

async fn a_claim_whose_poller_died_is_never_raised_again(kind: Kind) {
    let bench = Bench::with(kind, polling()).await;
    let (dying, ends) = poll(&bench, &seat(0)).await;
    ends.takes.set(Duration::from_secs(3600));
    store_new(&dying, id(7), "lost").await;
    bench.expire(id(7)).await;
    until("the handler starts", || ends.at_work.get() == 1).await;
    drop(dying);
    let (store, again) = poll(&bench, &seat(1)).await;
    store_new(&store, id(8), "alive").await;
    bench.expire(id(8)).await;
    bench.expire(id(7)).await;
    until("the other one ends", || !again.seen.borrow().is_empty()).await;
    let ticks = bench.provider.background_work().ticks;
    until("two ticks", || {
        bench.provider.background_work().ticks >= ticks + 2
    })
    .await;
    assert_eq!(again.ids(), [id(8)]);
    let left = bench
        .ask("SELECT \"Id\", \"Locked\" FROM \"SessionState\"")
        .await;
    let orphan = [Cell::Text(id(7).to_string().into()), Cell::Bit(true)];
    assert_eq!(left, [orphan]);
    store.dispose().await;
    bench.end().await;
}

async fn a_session_that_cannot_be_decoded_loses_its_own_end_alone(kind: Kind) {
    let bench = Bench::with(kind, polling()).await;
    let (store, ends) = poll(&bench, &seat(0)).await;
    store_new(&store, id(7), "hello").await;
    store_new(&store, id(8), "behind").await;
    bench
        .change(&format!(
            "UPDATE \"SessionState\" SET \"Item\" = NULL WHERE \"Id\" = '{}'",
            id(7)
        ))
        .await;
    bench.expire(id(7)).await;
    bench
        .change(&format!(
            "UPDATE \"SessionState\" SET \"Expires\" = '2001-01-02' WHERE \"Id\" = '{}'",
            id(8)
        ))
        .await;
    until("the one behind ends", || ends.ids() == [id(8)]).await;
    bench.until_left(1).await;
    let work = bench.provider.background_work();
    assert_eq!((work.undecodable, work.failed_ticks), (1, 1));
    store.dispose().await;
    bench.end().await;
}

async fn a_request_that_meets_an_undecodable_session_fails(kind: Kind) {
    let bench = Bench::new(kind).await;
    let store = bench.open(&seat(0)).await;
    store_new(&store, id(7), "hello").await;
    bench
        .change("UPDATE \"SessionState\" SET \"Item\" = NULL")
        .await;
    let request = request();
    let error = store.get_item_exclusive(&request, id(7)).await.unwrap_err();
    assert!(matches!(error, StoreError::Undecodable(_)), "{error}");
    assert_eq!(request.undecodable.get(), 1);
    bench.end().await;
}

async fn abandoning_raises_the_end_in_the_request(kind: Kind) {
    let bench = Bench::new(kind).await;
    let (store, ends) = poll(&bench, &seat(0)).await;
    store_new(&store, id(7), "hello").await;
    let found = take(&store, &request(), id(7)).await;
    store
        .remove_item(&request(), id(7), found.lock.as_ref(), &found.item)
        .await
        .unwrap();
    assert_eq!(ends.seen.borrow()[0].notice.noticed, Noticed::Abandoned);
    assert_eq!(bench.sessions().await, 0);
    store.dispose().await;
    bench.end().await;
}

async fn dispose_raises_nothing_more(kind: Kind) {
    let bench = Bench::with(kind, polling()).await;
    let (store, ends) = poll(&bench, &seat(0)).await;
    ends.takes.set(Duration::from_millis(300));
    for number in 0..5 {
        store_new(&store, id(number), "hello").await;
        bench.expire(id(number)).await;
    }
    until("the handler starts", || ends.at_work.get() == 1).await;
    store.dispose().await;
    assert_eq!(ends.at_work.get(), 0);
    let seen = ends.seen.borrow().len();
    assert!(seen < 5, "{seen}");
    assert_eq!(bench.sessions().await, 5 - seen as i64);
    bench.end().await;
}
