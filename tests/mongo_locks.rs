//! The lock of Sitecore's MongoDB provider: who holds it, who loses it, and what passes it by.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod mongo_support;

use mongo_support::{
    Bench, id, instant, item, minutes, request, seat, set, store_new, take, text_of,
};
use mongodb::bson::doc;
use sessionbench::clock::run_real;
use sessionbench::session::{Actions, GetItem, LockId, Minutes};
use std::time::Duration;

#[test]
#[ignore = "needs SESSIONBENCH_TEST_MONGODB"]
fn a_lock_keeps_others_out_and_tells_holder_and_age() {
    run_real(async {
        let bench = Bench::new("lock").await;
        let (one, other) = (bench.open(&seat(0)).await, bench.open(&seat(1)).await);
        store_new(&one, id(7), "hello").await;
        let holder = take(&one, &request(), id(7)).await.lock.unwrap();
        let text = holder.to_string();
        assert_eq!(text.len(), 32);
        assert!(text.bytes().all(|byte| byte.is_ascii_hexdigit()));
        bench.change(doc! { "lt": instant(-9_000) }).await;
        for get in [
            other.get_item_exclusive(&request(), id(7)).await.unwrap(),
            other.get_item(&request(), id(7)).await.unwrap(),
        ] {
            let GetItem::Locked { age, lock } = get else {
                panic!("{get:?}");
            };
            assert_eq!(lock, holder);
            assert!(age >= Duration::from_secs(9), "{age:?}");
        }
        // By force, as the module does.
        other
            .release_item_exclusive(&request(), id(7), &holder)
            .await
            .unwrap();
        let new = take(&other, &request(), id(7)).await.lock.unwrap();
        assert_ne!(new, holder);
        bench.close().await;
    })
    .unwrap();
}

#[test]
#[ignore = "needs SESSIONBENCH_TEST_MONGODB"]
fn a_lost_lock_makes_update_release_and_removal_do_nothing_in_silence() {
    run_real(async {
        let bench = Bench::new("lost_lock").await;
        let store = bench.open(&seat(0)).await;
        store_new(&store, id(7), "hello").await;
        take(&store, &request(), id(7)).await;
        let before = bench.stored().await;
        let lost = LockId::Text("0123456789abcdef0123456789abcdef".into());
        set(&store, &request(), Some(&lost)).await;
        store
            .release_item_exclusive(&request(), id(7), &lost)
            .await
            .unwrap();
        store
            .remove_item(&request(), id(7), Some(&lost), &item("x"))
            .await
            .unwrap();
        assert_eq!(bench.stored().await, before);
        bench.close().await;
    })
    .unwrap();
}

#[test]
#[ignore = "needs SESSIONBENCH_TEST_MONGODB"]
fn an_insert_overwrites_a_locked_session() {
    run_real(async {
        let bench = Bench::new("overwrite").await;
        let (one, other) = (bench.open(&seat(0)).await, bench.open(&seat(1)).await);
        store_new(&one, id(7), "hello").await;
        take(&one, &request(), id(7)).await;
        store_new(&other, id(7), "mine").await;
        let found = take(&other, &request(), id(7)).await;
        assert_eq!(text_of(&found.item), "mine");
        bench.close().await;
    })
    .unwrap();
}

#[test]
#[ignore = "needs SESSIONBENCH_TEST_MONGODB"]
fn an_expired_session_lives_on_when_a_request_comes_first() {
    run_real(async {
        let bench = Bench::new("resurrection").await;
        let store = bench.open(&seat(0)).await;
        store_new(&store, id(7), "hello").await;
        bench.change(doc! { "e": instant(-3_600_000) }).await;
        let found = take(&store, &request(), id(7)).await;
        assert_eq!(text_of(&found.item), "hello");
        assert!(minutes(20).contains(&bench.left().await));
        bench.close().await;
    })
    .unwrap();
}

#[test]
#[ignore = "needs SESSIONBENCH_TEST_MONGODB"]
fn an_uninitialised_session_stays_so_until_it_is_written() {
    run_real(async {
        let bench = Bench::new("uninitialised").await;
        let store = bench.open(&seat(0)).await;
        store
            .create_uninitialized_item(&request(), id(7), Minutes(20))
            .await
            .unwrap();
        for _clean in 0..2 {
            let found = take(&store, &request(), id(7)).await;
            assert_eq!(found.actions, Actions::InitializeItem);
            store
                .release_item_exclusive(&request(), id(7), &found.lock.unwrap())
                .await
                .unwrap();
        }
        let lock = take(&store, &request(), id(7)).await.lock;
        set(&store, &request(), lock.as_ref()).await;
        let found = take(&store, &request(), id(7)).await;
        assert_eq!(found.actions, Actions::None);
        bench.close().await;
    })
    .unwrap();
}
