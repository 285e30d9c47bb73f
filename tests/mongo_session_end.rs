//! How Sitecore's MongoDB provider notices that sessions have expired, and what becomes of them.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod mongo_support;

use mongo_support::{
    Bench, fast_seat, id, instant, minutes, poll, request, seat, set, store_new, take, text_of,
    until,
};
use mongodb::bson::{Document, doc};
use sessionbench::clock::{now, run_real};
use sessionbench::providers::mongo::partition;
use sessionbench::session::{Item, Minutes, Noticed, StoreError};
use std::time::Duration;

/// 20 of these are 1 s.
const MINUTE: Duration = Duration::from_millis(50);

#[test]
#[ignore = "needs SESSIONBENCH_TEST_MONGODB"]
fn an_expired_session_ends_at_a_tick_and_leaves_the_store() {
    run_real(async {
        let bench = Bench::new("end").await;
        let (store, ends) = poll(&bench, &fast_seat(0, MINUTE)).await;
        let stored = now();
        store_new(&store, id(7), "hello").await;
        until("the session ended", async || !ends.seen.borrow().is_empty()).await;
        until("it is gone", async || bench.count().await == 0).await;
        store.dispose().await;
        let seen = ends.seen.take();
        let [end] = seen.as_slice() else {
            panic!("{} ends", seen.len());
        };
        assert_eq!(end.notice.id, id(7));
        assert_eq!(text_of(end.notice.item.as_ref().unwrap()), "hello");
        // 20 minutes are 1 s here.
        assert!(end.at.since(stored) >= Duration::from_secs(1));
        let Noticed::Tick { period, .. } = end.notice.noticed else {
            panic!("{:?}", end.notice.noticed);
        };
        assert_eq!(period, Duration::from_secs(1));
        assert_eq!(bench.provider.background_work().claimed, 1);
        bench.close().await;
    })
    .unwrap();
}

#[test]
#[ignore = "needs SESSIONBENCH_TEST_MONGODB"]
fn a_handler_that_throws_loses_its_visit() {
    run_real(async {
        let bench = Bench::new("throws").await;
        let (store, ends) = poll(&bench, &fast_seat(0, MINUTE)).await;
        ends.throws.set(true);
        store_new(&store, id(7), "hello").await;
        until("it is gone", async || bench.count().await == 0).await;
        store.dispose().await;
        assert_eq!(ends.ids(), [id(7)]);
        assert_eq!(bench.provider.background_work().failed_ends, 1);
        bench.close().await;
    })
    .unwrap();
}

#[test]
#[ignore = "needs SESSIONBENCH_TEST_MONGODB"]
fn the_poller_takes_a_session_from_a_request_that_holds_its_lock_and_arms_it_for_two_minutes() {
    run_real(async {
        let bench = Bench::new("steal").await;
        let (store, ends) = poll(&bench, &seat(0)).await;
        ends.takes.set(Duration::from_secs(3));
        store_new(&store, id(7), "hello").await;
        let holder = take(&store, &request(), id(7)).await.lock;
        bench.change(doc! { "e": instant(-1_000) }).await;
        until("the session ended", async || !ends.seen.borrow().is_empty()).await;
        let claimed = bench.stored().await.unwrap();
        assert_ne!(
            claimed.get_str("lc").unwrap(),
            holder.clone().unwrap().to_string()
        );
        assert!(minutes(2).contains(&bench.left().await), "{claimed}");
        // The holder's write is lost in silence.
        set(&store, &request(), holder.as_ref()).await;
        assert_eq!(bench.stored().await, Some(claimed));
        until("it is gone", async || bench.count().await == 0).await;
        store.dispose().await;
        assert_eq!(ends.ids(), [id(7)]);
        bench.close().await;
    })
    .unwrap();
}

#[test]
#[ignore = "needs SESSIONBENCH_TEST_MONGODB"]
fn a_claim_whose_owner_died_is_due_again_after_two_minutes() {
    run_real(async {
        let bench = Bench::new("died").await;
        let (dying, ends) = poll(&bench, &seat(0)).await;
        ends.takes.set(Duration::from_secs(600));
        store_new(&dying, id(7), "hello").await;
        bench.change(doc! { "e": instant(-1_000) }).await;
        until("it is claimed", async || !ends.seen.borrow().is_empty()).await;
        // The handler never returns: to the store that is a server that died.
        drop(dying);
        let (store, heirs) = poll(&bench, &seat(1)).await;
        // Two minutes pass.
        bench.change(doc! { "e": instant(-1) }).await;
        until("it ended again", async || !heirs.seen.borrow().is_empty()).await;
        until("it is gone", async || bench.count().await == 0).await;
        store.dispose().await;
        assert_eq!(heirs.ids(), [id(7)]);
        bench.close().await;
    })
    .unwrap();
}

#[test]
#[ignore = "needs SESSIONBENCH_TEST_MONGODB"]
fn two_servers_that_poll_end_each_session_once_between_them() {
    run_real(async {
        let bench = Bench::new("two_servers").await;
        let seats = [0, 1].map(|server| fast_seat(server, MINUTE));
        let (one, ends) = poll(&bench, &seats[0]).await;
        let (other, other_ends) = poll(&bench, &seats[1]).await;
        for number in 0..40 {
            store_new(&one, id(number), "hello").await;
        }
        until("all ended", async || bench.count().await == 0).await;
        one.dispose().await;
        other.dispose().await;
        let mut ids = [ends.ids(), other_ends.ids()].concat();
        ids.sort();
        assert_eq!(ids, (0..40).map(id).collect::<Vec<_>>());
        assert_eq!(bench.provider.background_work().claimed, 40);
        bench.close().await;
    })
    .unwrap();
}

#[test]
#[ignore = "needs SESSIONBENCH_TEST_MONGODB"]
fn a_session_that_cannot_be_decoded_fails_a_tick_and_blocks_nobody() {
    run_real(async {
        let bench = Bench::new("undecodable").await;
        let (store, ends) = poll(&bench, &seat(0)).await;
        store_new(&store, id(7), "hello").await;
        let damaged = mongodb::bson::Binary {
            subtype: mongodb::bson::spec::BinarySubtype::Generic,
            bytes: vec![1, 2, 3],
        };
        bench
            .change(doc! { "d": damaged, "e": instant(-1_000) })
            .await;
        let work = || bench.provider.background_work();
        until("a tick failed", async || work().failed_ticks > 0).await;
        store_new(&store, id(8), "hello").await;
        let sessions = bench.database().collection::<Document>("sessions");
        let other = doc! { "_id.s": id(8).to_string() };
        let soon = doc! { "$set": { "e": instant(-1) } };
        sessions.update_one(other, soon).await.unwrap();
        until("another ended", async || ends.ids() == [id(8)]).await;
        store.dispose().await;
        assert_eq!(work().undecodable, 1);
        assert!(minutes(2).contains(&bench.left().await));
        let error = store.get_item(&request(), id(7)).await.unwrap_err();
        assert!(matches!(error, StoreError::Undecodable(_)), "{error}");
        bench.close().await;
    })
    .unwrap();
}

#[test]
#[ignore = "needs SESSIONBENCH_TEST_MONGODB"]
fn an_abandoned_session_ends_in_the_request_and_is_removed() {
    run_real(async {
        let bench = Bench::new("abandon").await;
        let (store, ends) = poll(&bench, &seat(0)).await;
        store_new(&store, id(7), "hello").await;
        let found = take(&store, &request(), id(7)).await;
        store
            .remove_item(&request(), id(7), found.lock.as_ref(), &found.item)
            .await
            .unwrap();
        assert_eq!(bench.count().await, 0);
        store.dispose().await;
        let seen = ends.seen.take();
        assert_eq!(seen.len(), 1);
        assert_eq!(seen[0].notice.noticed, Noticed::Abandoned);
        bench.close().await;
    })
    .unwrap();
}

#[test]
#[ignore = "needs SESSIONBENCH_TEST_MONGODB"]
fn partitions_are_databases_and_sessions_of_all_of_them_end() {
    run_real(async {
        let bench = Bench::with("parts", |it| it.partitions = 3).await;
        let (store, ends) = poll(&bench, &fast_seat(0, MINUTE)).await;
        let mut expected = [0u64; 3];
        for number in 0..30 {
            let id = id(number << 100 | number);
            expected[partition::of(&id.to_string(), 3)] += 1;
            let item = Item::new(Minutes(60));
            store
                .set_and_release_item_exclusive(&request(), id, &item, None, true)
                .await
                .unwrap();
        }
        for (name, expected) in bench.databases.iter().zip(expected) {
            let sessions = bench
                .client
                .database(name)
                .collection::<Document>("sessions");
            let count = sessions.count_documents(doc! {}).await.unwrap();
            assert_eq!(count, expected, "{name}");
            assert!(name.ends_with("_000") || name.ends_with("_001") || name.ends_with("_002"));
        }
        until("all ended", async || ends.seen.borrow().len() == 30).await;
        store.dispose().await;
        bench.close().await;
    })
    .unwrap();
}
