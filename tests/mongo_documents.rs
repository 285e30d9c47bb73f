//! What Sitecore's MongoDB provider stores and sends: documents, commands, round trips, expirations.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod mongo_support;

use mongo_support::{
    Bench, SESSION, id, instant, item, minutes, request, seat, set, store_new, take, text_of, until,
};
use mongodb::bson::{Document, doc};
use sessionbench::clock::run_real;
use sessionbench::providers::Seat;
use sessionbench::session::{Item, Minutes, RequestContext, SessionId, StoreKind};

/// Round trips of an operation.
async fn cost(operation: impl AsyncFnOnce(&RequestContext)) -> u32 {
    let request = request();
    operation(&request).await;
    request.round_trips.get()
}

#[test]
#[ignore = "needs SESSIONBENCH_TEST_MONGODB"]
fn a_session_is_a_document_with_these_fields_in_this_order() {
    run_real(async {
        for compression in [false, true] {
            let bench = Bench::with("document", |it| it.compression = compression).await;
            let store = bench.open(&seat(0)).await;
            store_new(&store, id(7), "hello").await;
            let stored = bench.stored().await.unwrap();
            let names: Vec<&str> = stored.keys().map(String::as_str).collect();
            assert_eq!(names, ["_id", "t", "e", "lc", "lt", "f", "d"]);
            let key = doc! { "s": SESSION, "a": "sessionbench_private" };
            assert_eq!(stored.get_document("_id").unwrap(), &key);
            assert_eq!(stored.get_i32("t").unwrap(), 20);
            assert_eq!(stored.get_str("lc").unwrap(), "");
            assert_eq!(stored.get_i32("f").unwrap(), 0);
            let expected = match compression {
                true => item("hello").encode_compressed(),
                false => item("hello").encode(),
            };
            assert_eq!(stored.get_binary_generic("d").unwrap(), &expected);
            let inserted = *stored.get_datetime("lt").unwrap();
            let expires = *stored.get_datetime("e").unwrap();
            assert_eq!(
                expires.saturating_duration_since(inserted).as_secs(),
                20 * 60
            );
            let found = take(&store, &request(), id(7)).await;
            assert_eq!(text_of(&found.item), "hello");
            bench.close().await;
        }
    })
    .unwrap();
}

#[test]
#[ignore = "needs SESSIONBENCH_TEST_MONGODB"]
fn the_index_of_deadlines_is_made_when_a_site_starts() {
    run_real(async {
        let bench = Bench::new("index").await;
        let sessions = bench.database().collection::<Document>("sessions");
        let names = sessions.list_index_names().await.unwrap();
        assert!(
            names.contains(&"e_1__id.s_1__id.a_1".to_owned()),
            "{names:?}"
        );
        bench.close().await;
    })
    .unwrap();
}

#[test]
#[ignore = "needs SESSIONBENCH_TEST_MONGODB"]
fn every_operation_costs_the_genuine_round_trips() {
    run_real(async {
        let bench = Bench::new("round_trips").await;
        let store = bench.open(&seat(0)).await;
        let get = async |request: &RequestContext| {
            store.get_item_exclusive(request, id(7)).await.unwrap();
        };
        assert_eq!(cost(get).await, 2, "a get that finds nothing");
        let insert = async |request: &RequestContext| {
            store
                .set_and_release_item_exclusive(request, id(7), &item("x"), None, true)
                .await
                .unwrap();
        };
        assert_eq!(cost(insert).await, 1, "an insert");
        assert_eq!(
            cost(async |request| drop(store.get_item(request, id(7)).await.unwrap())).await,
            1,
            "a read"
        );
        let context = request();
        let lock = take(&store, &context, id(7)).await.lock;
        assert_eq!(context.round_trips.get(), 1, "a get that takes the lock");
        assert!(context.bytes_sent.get() > 200 && context.bytes_received.get() > 150);
        assert_eq!(cost(get).await, 2, "a get that finds a lock");
        assert_eq!(
            cost(async |request| set(&store, request, lock.as_ref()).await).await,
            1,
            "an update"
        );
        let lock = take(&store, &request(), id(7)).await.lock.unwrap();
        assert_eq!(
            cost(async |request| store
                .release_item_exclusive(request, id(7), &lock)
                .await
                .unwrap())
            .await,
            1,
            "a release"
        );
        assert_eq!(
            cost(async |request| store.reset_item_timeout(request, id(7)).await.unwrap()).await,
            2,
            "a reset"
        );
        assert_eq!(
            cost(async |request| store.end_request(request).await.unwrap()).await,
            0,
            "the end of a request"
        );
        let lock = take(&store, &request(), id(7)).await.lock;
        assert_eq!(
            cost(async |request| store
                .remove_item(request, id(7), lock.as_ref(), &item("x"))
                .await
                .unwrap())
            .await,
            1,
            "a removal"
        );
        assert_eq!(bench.count().await, 0);
        bench.close().await;
    })
    .unwrap();
}

#[test]
#[ignore = "needs SESSIONBENCH_TEST_MONGODB"]
fn a_session_with_a_timeout_of_its_own_gets_a_second_update() {
    run_real(async {
        let bench = Bench::new("second_update").await;
        let store = bench.open(&seat(0)).await;
        let robot = Item::new(Minutes(3));
        store
            .set_and_release_item_exclusive(&request(), id(7), &robot, None, true)
            .await
            .unwrap();
        let context = request();
        let found = take(&store, &context, id(7)).await;
        assert_eq!(context.round_trips.get(), 2);
        until("the expiration is the session's own", async || {
            minutes(3).contains(&bench.left().await)
        })
        .await;
        store
            .release_item_exclusive(&request(), id(7), &found.lock.unwrap())
            .await
            .unwrap();
        let context = request();
        store.get_item(&context, id(7)).await.unwrap();
        assert_eq!(context.round_trips.get(), 2);
        bench.close().await;
    })
    .unwrap();
}

#[test]
#[ignore = "needs SESSIONBENCH_TEST_MONGODB"]
fn every_get_of_a_shared_session_sends_a_second_update() {
    run_real(async {
        let bench = Bench::new("shared").await;
        let seat = Seat {
            kind: StoreKind::Shared,
            timeout: Minutes(21),
            ..seat(0)
        };
        let store = bench.open(&seat).await;
        let id = SessionId::shared(7);
        let context = request();
        let item = Item::new(Minutes(21));
        store
            .set_and_release_item_exclusive(&context, id, &item, None, true)
            .await
            .unwrap();
        assert_eq!(context.round_trips.get(), 1);
        let context = request();
        take(&store, &context, id).await;
        assert_eq!(context.round_trips.get(), 2);
        bench.close().await;
    })
    .unwrap();
}

#[test]
#[ignore = "needs SESSIONBENCH_TEST_MONGODB"]
fn gets_and_updates_move_the_expiration_and_a_release_does_not() {
    run_real(async {
        let bench = Bench::new("sliding").await;
        let store = bench.open(&seat(0)).await;
        store_new(&store, id(7), "hello").await;
        assert!(minutes(20).contains(&bench.left().await));
        let soon = || bench.change(doc! { "e": instant(300_000) });
        soon().await;
        store.get_item(&request(), id(7)).await.unwrap();
        assert!(minutes(20).contains(&bench.left().await), "a read");
        soon().await;
        let lock = take(&store, &request(), id(7)).await.lock;
        assert!(minutes(20).contains(&bench.left().await), "a get");
        soon().await;
        store.get_item(&request(), id(7)).await.unwrap();
        assert!(
            minutes(20).contains(&bench.left().await),
            "a read of a locked session"
        );
        soon().await;
        store.get_item_exclusive(&request(), id(7)).await.unwrap();
        assert!(minutes(5).contains(&bench.left().await), "a get that waits");
        set(&store, &request(), lock.as_ref()).await;
        assert!(minutes(20).contains(&bench.left().await), "an update");
        let lock = take(&store, &request(), id(7)).await.lock.unwrap();
        soon().await;
        store
            .release_item_exclusive(&request(), id(7), &lock)
            .await
            .unwrap();
        assert!(minutes(5).contains(&bench.left().await), "a release");
        store.reset_item_timeout(&request(), id(7)).await.unwrap();
        until("a reset moves it too", async || {
            minutes(20).contains(&bench.left().await)
        })
        .await;
        bench.close().await;
    })
    .unwrap();
}
