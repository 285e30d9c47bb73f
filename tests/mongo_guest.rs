//! Sitecore's MongoDB provider as a guest on a server: what it tells of it, and leaves on it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod mongo_support;

use mongo_support::{
    Bench, SESSION, id, instant, item, on_database, poll, provider, request, seat, store_new, until,
};
use mongodb::Client;
use mongodb::bson::{Document, doc};
use sessionbench::clock::run_real;
use sessionbench::providers::mongo::settings::MongoSitecore;
use sessionbench::session::StoreError;

#[test]
#[ignore = "needs SESSIONBENCH_TEST_MONGODB"]
fn what_others_have_in_the_database_stays() {
    run_real(async {
        let bench = Bench::new("others").await;
        let database = bench.database();
        let theirs =
            doc! { "_id": { "s": SESSION, "a": "sessionbench_privateer" }, "e": instant(-9) };
        let sessions = database.collection::<Document>("sessions");
        sessions.insert_one(&theirs).await.unwrap();
        let (store, ends) = poll(&bench, &seat(0)).await;
        store_new(&store, id(8), "hello").await;
        until("the poller looked", async || {
            bench.provider.background_work().ticks > 1
        })
        .await;
        store.dispose().await;
        assert!(ends.ids().is_empty());
        bench.provider.close().await.unwrap();
        let cursor = sessions.find_one(doc! {}).await.unwrap();
        assert_eq!(cursor, Some(theirs));
        assert_eq!(bench.count().await, 1);
        database.drop().await.unwrap();
    })
    .unwrap();
}

#[test]
#[ignore = "needs SESSIONBENCH_TEST_MONGODB"]
fn a_collection_that_was_there_stays_and_loses_our_index() {
    run_real(async {
        let name = "sessionbench_test_was_there";
        let server = on_database(name);
        let client = Client::with_uri_str(&server).await.unwrap();
        let database = client.database(name);
        database.drop().await.unwrap();
        database.create_collection("sessions").await.unwrap();
        let provider = provider(MongoSitecore::on(server)).await.unwrap();
        let sessions = database.collection::<Document>("sessions");
        assert_eq!(sessions.list_index_names().await.unwrap().len(), 2);
        provider.close().await.unwrap();
        assert_eq!(sessions.list_index_names().await.unwrap(), ["_id_"]);
        database.drop().await.unwrap();
    })
    .unwrap();
}

#[test]
#[ignore = "needs SESSIONBENCH_TEST_MONGODB"]
fn of_two_providers_on_one_database_the_last_takes_the_collection_away() {
    run_real(async {
        let bench = Bench::new("two_providers").await;
        let settings = MongoSitecore {
            sessionType: "another".to_owned(),
            ..MongoSitecore::on(on_database(&bench.databases[0]))
        };
        let another = provider(settings).await.unwrap();
        let store = another.open(&seat(0)).await.unwrap();
        store_new(&store, id(7), "hello").await;
        bench.provider.close().await.unwrap();
        assert_eq!(bench.count().await, 1);
        another.close().await.unwrap();
        bench.close().await;
    })
    .unwrap();
}

#[test]
#[ignore = "needs SESSIONBENCH_TEST_MONGODB"]
fn a_closed_provider_writes_nothing_more() {
    run_real(async {
        let bench = Bench::new("closed").await;
        let store = bench.open(&seat(0)).await;
        bench.provider.close().await.unwrap();
        let late = store
            .set_and_release_item_exclusive(&request(), id(7), &item("x"), None, true)
            .await;
        assert!(matches!(late, Err(StoreError::Connection(_))), "{late:?}");
        bench.close().await;
    })
    .unwrap();
}

#[test]
#[ignore = "needs SESSIONBENCH_TEST_MONGODB"]
fn a_sample_tells_what_the_server_tells() {
    run_real(async {
        let bench = Bench::new("sample").await;
        let store = bench.open(&seat(0)).await;
        for number in 0..3 {
            store_new(&store, id(number), "hello").await;
        }
        let server = bench.provider.server().unwrap();
        assert!(!server.version.is_empty() && !server.address.contains('@'));
        let mut sample = bench.provider.sample().await.unwrap();
        // Some servers count by statistics that lag behind.
        until("the sessions are counted", async || {
            sample = bench.provider.sample().await.unwrap();
            sample.keys == Some(3) || sample.keys.is_none()
        })
        .await;
        assert_eq!(sample.volatile_keys, None);
        bench.close().await;
    })
    .unwrap();
}
