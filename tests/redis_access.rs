//! Getting into a Redis server as people run it: passwords, users, sockets, databases, servers that
//! are not there yet, and what is told when it does not work.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod redis_support;

use redis_support::*;
use sessionbench::clock::{now, run_real};
use sessionbench::providers::redis::settings::RedisSettings;
use sessionbench::providers::{ConnectError, connect};
use sessionbench::session::StoreError;
use std::time::Duration;

/// Far below the five seconds during which operations are tried again, on a busy machine too.
const AT_ONCE: Duration = Duration::from_secs(3);

/// A server that asks for a password.
async fn locked() -> Foreign {
    let port = free_port();
    let port_text = port.to_string();
    let arguments = ["--port", &port_text, "--requirepass", "hunter2"];
    Foreign::start_with(port, &arguments).await
}

/// A server with a user who has these rights beside what everybody has.
async fn with_user(rights: &str) -> Foreign {
    let port = free_port();
    let port_text = port.to_string();
    let mut arguments = vec!["--port", &port_text, "--user", "bench", "on", ">hunter2"];
    arguments.extend(rights.split(' '));
    arguments.extend(["--user", "default", "off"]);
    Foreign::start_with(port, &arguments).await
}

fn as_user(server: &Foreign) -> RedisSettings {
    on(&format!("{},user=bench,password=hunter2", server.address()))
}

/// Why a provider cannot be brought in, which must not take long.
async fn refusal(redis: RedisSettings) -> String {
    let started = now();
    let error = connect(&microsoft(redis), "").await.err().unwrap();
    assert!(now().since(started) < AT_ONCE);
    let ConnectError::Settings(why) = error else {
        panic!("not taken for a mistake in the settings: {error:?}");
    };
    why
}

#[test]
fn a_password_opens_a_server_and_is_not_told() {
    run_real(async {
        let server = locked().await;
        let settings = microsoft(on(&format!("{},password=hunter2", server.address())));
        let provider = connect(&settings, "").await.unwrap();
        let store = provider.open(&seat(0)).await.unwrap();
        store_new(&store, id(7), "hello").await;
        assert!(!format!("{:?}", provider.server()).contains("hunter2"));
    })
    .unwrap();
}

#[test]
fn a_wrong_password_is_told_at_once_and_not_repeated() {
    run_real(async {
        let server = locked().await;
        let why = refusal(on(&format!("{},password=swordfish", server.address()))).await;
        assert!(why.contains("refuses the user or the password"), "{why}");
        assert!(!why.contains("swordfish"), "{why}");
    })
    .unwrap();
}

#[test]
fn a_missing_password_is_told_at_once() {
    run_real(async {
        let server = locked().await;
        let why = refusal(on(&server.address())).await;
        assert!(why.contains("add `password=…`"), "{why}");
    })
    .unwrap();
}

#[test]
fn the_rights_that_the_readme_names_are_enough() {
    run_real(async {
        let rights = "~{sessionbench_* &* +@all -@admin -@dangerous +info";
        assert!(include_str!("../README.md").contains(rights));
        let rights = format!("{rights} --hz 500 --notify-keyspace-events Kx");
        let server = with_user(&rights).await;
        let provider = connect(&keyspace(as_user(&server)), "").await.unwrap();
        let fast = fast_seat(0, Duration::from_millis(50));
        let (store, ends) = listen(&provider, &fast).await;
        for number in 7..9 {
            store_new(&store, id(number), "hello").await;
        }
        let request = request();
        let found = take(&store, &request, id(7)).await;
        store
            .remove_item(&request, id(7), found.lock.as_ref(), &found.item)
            .await
            .unwrap();
        provider.sample().await.unwrap();
        until("both end", || ends.seen.borrow().len() == 2).await;
        store.dispose().await;
        provider.close().await.unwrap();
    })
    .unwrap();
}

#[test]
fn a_user_without_rights_on_our_keys_is_refused_before_the_run() {
    run_real(async {
        for rights in [
            "~other:* +@all",
            "~* +@all -@scripting",
            "~* +@all -get -hgetall",
        ] {
            let server = with_user(rights).await;
            let provider = connect(&microsoft(as_user(&server)), "").await.unwrap();
            let started = now();
            let error = provider.open(&seat(0)).await.err().unwrap();
            assert!(now().since(started) < AT_ONCE, "{rights}");
            assert!(matches!(error, StoreError::Refused(_)), "{rights}: {error}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    })
    .unwrap();
}

#[test]
fn a_right_that_a_request_lacks_fails_it_without_a_retry() {
    run_real(async {
        let server = with_user("~* +@all -del -unlink").await;
        let provider = connect(&microsoft(as_user(&server)), "").await.unwrap();
        let store = provider.open(&seat(0)).await.unwrap();
        store_new(&store, id(7), "hello").await;
        let request = request();
        let found = take(&store, &request, id(7)).await;
        let error = store
            .remove_item(&request, id(7), found.lock.as_ref(), &found.item)
            .await
            .unwrap_err();
        assert!(matches!(error, StoreError::Refused(_)), "{error}");
        assert_eq!(request.retries.get(), 0);
    })
    .unwrap();
}

#[test]
fn a_unix_socket_is_a_server_like_any_other() {
    run_real(async {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("redis.sock");
        let socket = socket.to_str().unwrap();
        let port = free_port();
        let arguments = ["--port", &port.to_string(), "--unixsocket", socket];
        let _server = Foreign::start_with(port, &arguments).await;
        let settings = microsoft(on(&format!("!{socket},defaultDatabase=3")));
        let provider = connect(&settings, "").await.unwrap();
        let store = provider.open(&seat(0)).await.unwrap();
        store_new(&store, id(7), "hello").await;
        assert_eq!(provider.sample().await.unwrap().keys, Some(2));
        assert_eq!(provider.server().unwrap().address, format!("!{socket}"));
    })
    .unwrap();
}

#[test]
fn a_database_that_the_server_does_not_have_is_told_at_once() {
    run_real(async {
        let server = Foreign::start().await;
        let why = refusal(on(&format!("{},defaultDatabase=99", server.address()))).await;
        assert!(why.contains("has no database 99"), "{why}");
    })
    .unwrap();
}

#[test]
fn a_user_who_may_not_choose_the_database_does_not_work_in_another_one() {
    run_real(async {
        let server = with_user("~* &* +@all -select").await;
        let why = refusal(RedisSettings {
            databaseId: 3,
            ..as_user(&server)
        })
        .await;
        assert!(why.contains("select"), "{why}");
    })
    .unwrap();
}

#[test]
fn connections_bear_the_name_of_the_connection_string() {
    run_real(async {
        let server = Foreign::start().await;
        let settings = microsoft(on(&format!("{},name=bench", server.address())));
        let provider = connect(&settings, "").await.unwrap();
        let _store = provider.open(&seat(0)).await.unwrap();
        let clients: String = ask(&mut raw(&server.address()), "CLIENT LIST");
        assert!(clients.contains(" name=bench "), "{clients}");
    })
    .unwrap();
}

#[test]
fn a_server_that_is_not_there_is_told_without_waiting_for_retries() {
    run_real(async {
        let nobody = on(&format!("127.0.0.1:{}", free_port()));
        let started = now();
        let error = connect(&microsoft(nobody), "").await.err().unwrap();
        let unreachable = ConnectError::Store(StoreError::Connection(String::new()));
        assert_eq!(
            std::mem::discriminant(&error),
            std::mem::discriminant(&unreachable)
        );
        assert!(now().since(started) < AT_ONCE);
    })
    .unwrap();
}

#[test]
fn without_abort_connect_requests_fail_until_the_server_is_there() {
    run_real(async {
        let port = free_port();
        let redis = RedisSettings {
            retryTimeoutInMilliseconds: 0,
            ..on(&format!("127.0.0.1:{port},abortConnect=false"))
        };
        let provider = connect(&microsoft(redis), "").await.unwrap();
        let store = provider.open(&seat(0)).await.unwrap();
        let error = store.get_item(&request(), id(7)).await.unwrap_err();
        assert!(matches!(error, StoreError::Connection(_)), "{error}");
        let _server = Foreign::start_on(port).await;
        store_new(&store, id(7), "hello").await;
        take(&store, &request(), id(7)).await;
    })
    .unwrap();
}

#[test]
fn without_abort_connect_ends_are_heard_once_the_server_is_there() {
    run_real(async {
        let port = free_port();
        let redis = on(&format!("127.0.0.1:{port},abortConnect=false"));
        let redis = RedisSettings {
            retryTimeoutInMilliseconds: 0,
            ..redis
        };
        let provider = connect(&keyspace(redis), "").await.unwrap();
        let fast = fast_seat(0, Duration::from_millis(50));
        let (store, ends) = listen(&provider, &fast).await;
        let port_text = port.to_string();
        let quick = ["--port", &port_text, "--hz", "500"];
        let notifying = [&quick[..], &["--notify-keyspace-events", "Kx"]].concat();
        let _server = Foreign::start_with(port, &notifying).await;
        until("a subscription", || {
            provider.background_work().resubscriptions == 1
        })
        .await;
        store_new(&store, id(7), "hello").await;
        until("session end", || !ends.seen.borrow().is_empty()).await;
        store.dispose().await;
    })
    .unwrap();
}

#[test]
fn of_a_master_and_its_replica_the_master_is_used_whichever_is_named_first() {
    run_real(async {
        let master = Foreign::start().await;
        let port = free_port();
        let follow = format!("127.0.0.1 {}", master.port);
        let arguments = ["--port", &port.to_string(), "--replicaof", &follow];
        let replica = Foreign::start_with(port, &arguments).await;
        let why = refusal(on(&replica.address())).await;
        assert!(why.contains("is a replica"), "{why}");
        let both = format!("{},{}", replica.address(), master.address());
        let provider = connect(&microsoft(on(&both)), "").await.unwrap();
        let store = provider.open(&seat(0)).await.unwrap();
        store_new(&store, id(7), "hello").await;
        let told = &provider.server().unwrap().settings["master"];
        assert_eq!(*told, master.address());
        provider.close().await.unwrap();
        assert!(everything(&master.address()).is_empty());
    })
    .unwrap();
}
