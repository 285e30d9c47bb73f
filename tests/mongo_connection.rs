//! What Sitecore's MongoDB provider says of a server that it cannot reach or that does not let it in,
//! and how it fares with one that falls silent.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod mongo_support;

use mongo_support::proxy::Proxy;
use mongo_support::{
    Bench, Reader, as_user, id, on_database, provider, request, seat, store_new, take, text_of,
    with_option,
};
use sessionbench::clock::{now, run_real};
use sessionbench::providers::ConnectError;
use sessionbench::providers::mongo::settings::MongoSitecore;
use sessionbench::session::StoreError;
use std::net::TcpListener;
use std::time::Duration;

/// Why a server cannot be used.
async fn refusal(server: String) -> String {
    let error = provider(MongoSitecore::on(server)).await.err();
    error.expect("the server was used").to_string()
}

#[test]
#[ignore = "needs SESSIONBENCH_TEST_MONGODB"]
fn a_wrong_password_is_told_and_not_shown() {
    run_real(async {
        let server = on_database("sessionbench_test_password");
        let told = refusal(as_user(&server, "nobody", "made-up-word")).await;
        assert!(told.contains("authentication failed"), "{told}");
        assert!(!told.contains("made-up-word"), "{told}");
    })
    .unwrap();
}

#[test]
#[ignore = "needs SESSIONBENCH_TEST_MONGODB"]
fn tls_on_one_side_only_is_told_soon() {
    run_real(async {
        let server = on_database("sessionbench_test_tls");
        let (hosts, options) = server.split_once('?').unwrap_or((&server, ""));
        let speaks = options
            .split('&')
            .any(|it| it == "tls=true" || it == "ssl=true");
        let others = options.split('&');
        let others = others.filter(|it| !it.starts_with("tls") && !it.starts_with("ssl"));
        let others = others.collect::<Vec<_>>().join("&");
        let server = with_option(&format!("{hosts}?{others}"), &format!("tls={}", !speaks));
        let started = now();
        let told = refusal(server).await;
        assert!(now().since(started) < Duration::from_secs(20));
        assert!(told.contains("tls="), "{told}");
    })
    .unwrap();
}

#[test]
#[ignore = "needs SESSIONBENCH_TEST_MONGODB"]
fn who_may_only_read_is_told_what_to_grant() {
    run_real(async {
        let reader = Reader::new("connection").await;
        let told = refusal(reader.server.clone()).await;
        assert!(told.contains("grant the user `readWrite`"), "{told}");
        reader.remove().await;
    })
    .unwrap();
}

#[test]
#[ignore = "needs SESSIONBENCH_TEST_MONGODB"]
fn a_server_that_falls_silent_costs_an_operation_its_limit_and_is_used_again() {
    run_real(async {
        let limit = Duration::from_millis(1500);
        let (proxy, server) = Proxy::before(&on_database("sessionbench_test_silent"));
        let server = with_option(&server, "socketTimeoutMS=1500");
        let bench = Bench::with("silent", |it| it.server = server.clone()).await;
        let store = bench.open(&seat(0)).await;
        store_new(&store, id(7), "hello").await;
        proxy.freeze();
        let context = request();
        let error = store.get_item(&context, id(7)).await.unwrap_err();
        assert_eq!(error, StoreError::Timeout { limit });
        assert_eq!(context.timeouts.get(), 1);
        proxy.thaw();
        let found = take(&store, &request(), id(7)).await;
        assert_eq!(text_of(&found.item), "hello");
        bench.close().await;
    })
    .unwrap();
}

#[test]
fn a_server_that_is_not_there_is_told_soon_and_without_its_password() {
    run_real(async {
        // Nobody listens on a port that was free a moment ago.
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let server =
            format!("mongodb://user:made-up-word@127.0.0.1:{port}/x?serverSelectionTimeoutMS=300");
        let started = now();
        let Err(error) = provider(MongoSitecore::on(server)).await else {
            panic!("nobody listens");
        };
        assert!(
            matches!(error, ConnectError::Store(StoreError::Connection(_))),
            "{error:?}"
        );
        let text = error.to_string();
        assert!(text.contains(&format!("127.0.0.1:{port}")), "{text}");
        assert!(!text.contains("made-up-word"), "{text}");
        assert!(now().since(started) < Duration::from_secs(20));
    })
    .unwrap();
}

#[test]
fn a_server_that_never_answers_is_given_up() {
    run_real(async {
        // Accepts by its backlog and says nothing.
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = silent.local_addr().unwrap();
        let server = format!("mongodb://{address}/x?socketTimeoutMS=200");
        let Err(error) = provider(MongoSitecore::on(server)).await else {
            panic!("nobody answers");
        };
        let limit = Duration::from_millis(200);
        assert_eq!(error, ConnectError::Store(StoreError::Timeout { limit }));
    })
    .unwrap();
}
