//! Sentinels: a master that is found by its name, and followed when it changes.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod redis_support;

use redis_support::*;
use sessionbench::clock::{now, run_real, sleep};
use sessionbench::providers::redis::settings::RedisSettings;
use sessionbench::providers::{ConnectError, connect};
use sessionbench::session::{GetItem, StoreError};
use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;
use tempfile::TempDir;

/// A master, its replica, and a sentinel that watches them.
struct Watched {
    servers: [Foreign; 2],
    sentinel: Foreign,
    _directory: TempDir,
}

const NOTIFYING: [&str; 4] = ["--notify-keyspace-events", "Kx", "--hz", "500"];

impl Watched {
    async fn start() -> Self {
        let port = free_port();
        let port_text = port.to_string();
        let master = [&["--port", &port_text][..], &NOTIFYING].concat();
        let master = Foreign::start_with(port, &master).await;
        let follow = format!("127.0.0.1 {port}");
        let port = free_port();
        let port_text = port.to_string();
        let replica = ["--port", &port_text, "--replicaof", &follow];
        let quick = ["--repl-diskless-sync-delay", "0"];
        let replica = [&replica[..], &quick, &NOTIFYING].concat();
        let replica = Foreign::start_with(port, &replica).await;
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("sentinel.conf");
        let port = free_port();
        let text = format!(
            "bind 127.0.0.1\nport {port}\nsentinel monitor sessions {follow} 1\n\
             sentinel down-after-milliseconds sessions 1000\n\
             sentinel failover-timeout sessions 10000\n"
        );
        fs::write(&file, text).unwrap();
        let sentinel = Foreign::start_sentinel(port, &file).await;
        until("the sentinel knows the replica", || {
            let told: Vec<BTreeMap<String, String>> =
                ask(&mut raw(&sentinel.address()), "SENTINEL REPLICAS sessions");
            let up = |replica: &BTreeMap<String, String>| replica["master-link-status"] == "ok";
            told.iter().any(up)
        })
        .await;
        Self {
            servers: [master, replica],
            sentinel,
            _directory: directory,
        }
    }

    fn settings(&self) -> RedisSettings {
        // The first sentinel is away, as one may be.
        let away = free_port();
        on(&format!(
            "127.0.0.1:{away},{},serviceName=sessions",
            self.sentinel.address()
        ))
    }

    /// Waits until the replica holds what the master does: a new one is sent nothing until the master
    /// has heard that it loaded what there was.
    async fn copied(&self) {
        let [master, replica] = &self.servers;
        let stored = everything(&master.address());
        assert!(!stored.is_empty());
        until("all is copied", || everything(&replica.address()) == stored).await;
    }

    /// Waits until the replica is the master.
    async fn failed_over(&self) {
        until("the replica has taken over", || {
            let role: Option<redis::Value> = try_ask(&self.servers[1].address(), &["ROLE"]);
            role.is_some_and(|role| format!("{role:?}").contains("master"))
        })
        .await;
    }
}

/// Asks a server from which sentinels throw clients out while they change its office.
fn try_ask<T: redis::FromRedisValue>(address: &str, command: &[&str]) -> Option<T> {
    let client = redis::Client::open(format!("redis://{address}")).unwrap();
    let mut connection = client.get_connection().ok()?;
    redis::cmd(command[0])
        .arg(&command[1..])
        .query(&mut connection)
        .ok()
}

#[test]
fn the_master_is_found_by_its_name() {
    run_real(async {
        let watched = Watched::start().await;
        let provider = connect(&microsoft(watched.settings()), "").await.unwrap();
        let store = provider.open(&seat(0)).await.unwrap();
        store_new(&store, id(7), "hello").await;
        let master = watched.servers[0].address();
        assert_eq!(provider.server().unwrap().settings["master"], master);
        assert_eq!(everything(&master).len(), 2);
        provider.close().await.unwrap();
        assert!(everything(&master).is_empty());
    })
    .unwrap();
}

#[test]
fn a_name_that_no_sentinel_knows_is_told() {
    run_real(async {
        let watched = Watched::start().await;
        let text = format!("{},serviceName=session", watched.sentinel.address());
        let error = connect(&microsoft(on(&text)), "").await.err();
        let Some(ConnectError::Settings(why)) = error else {
            panic!("{error:?}");
        };
        assert!(why.contains("knows no master `session`"), "{why}");
        let error = connect(&microsoft(on(&watched.sentinel.address())), "")
            .await
            .err();
        assert!(format!("{error:?}").contains("serviceName"), "{error:?}");
    })
    .unwrap();
}

#[test]
fn a_failover_is_followed_by_requests_and_by_who_hears_ends() {
    run_real(async {
        let watched = Watched::start().await;
        let provider = connect(&keyspace(watched.settings()), "").await.unwrap();
        let seat = fast_seat(0, Duration::from_secs(6));
        let (store, ends) = listen(&provider, &seat).await;
        store_new(&store, id(7), "hello").await;
        watched.copied().await;
        let () = ask(
            &mut raw(&watched.sentinel.address()),
            "SENTINEL FAILOVER sessions",
        );
        watched.failed_over().await;
        let new = watched.servers[1].address();
        until("a subscription to the new master", || {
            try_ask(&new, &["PUBSUB", "NUMPAT"]).is_some_and(|patterns: u64| patterns > 0)
        })
        .await;
        until("it is counted", || {
            provider.background_work().resubscriptions > 0
        })
        .await;
        store_new(&store, id(8), "hello").await;
        assert!(matches!(
            store.get_item(&request(), id(7)).await.unwrap(),
            GetItem::Found(_)
        ));
        for key in ask::<Vec<String>>(&mut raw(&new), "KEYS *_Timeout") {
            let _: u64 = ask(&mut raw(&new), &format!("PEXPIRE {key} 1"));
        }
        until("both sessions end", || ends.seen.borrow().len() == 2).await;
        store.dispose().await;
    })
    .unwrap();
}

#[test]
fn who_listens_at_a_master_that_hangs_hears_of_the_new_one_from_the_sentinel() {
    run_real(async {
        let watched = Watched::start().await;
        let provider = connect(&keyspace(watched.settings()), "").await.unwrap();
        let (store, _ends) = listen(&provider, &seat(0)).await;
        let sentinel = watched.sentinel.address();
        until("the provider listens to the sentinel", || {
            let listeners: String = ask(&mut raw(&sentinel), "CLIENT LIST TYPE pubsub");
            listeners.contains(" sub=1 ")
        })
        .await;
        // Nothing breaks, and the masters are asked for every 60 s only.
        watched.servers[0].freeze();
        watched.failed_over().await;
        let new = watched.servers[1].address();
        until("a subscription to the new master", || {
            try_ask(&new, &["PUBSUB", "NUMPAT"]).is_some_and(|patterns: u64| patterns > 0)
        })
        .await;
        store.dispose().await;
    })
    .unwrap();
}

/// Uses a session that is stored at a master which goes away like this, until a new one serves it.
async fn survives(goes: impl FnOnce(&mut Foreign)) {
    let mut watched = Watched::start().await;
    let redis = RedisSettings {
        operationTimeoutInMilliseconds: 500,
        retryTimeoutInMilliseconds: 0,
        ..watched.settings()
    };
    let provider = connect(&microsoft(redis), "").await.unwrap();
    let store = provider.open(&seat(0)).await.unwrap();
    store_new(&store, id(7), "hello").await;
    watched.copied().await;
    goes(&mut watched.servers[0]);
    let error = store.get_item(&request(), id(7)).await.unwrap_err();
    assert!(
        matches!(
            error,
            StoreError::Connection(_) | StoreError::Timeout { .. }
        ),
        "{error}"
    );
    watched.failed_over().await;
    // Far below the 30 s for which a connection that only times out is kept.
    let deadline = now() + Duration::from_secs(20);
    while store.get_item(&request(), id(7)).await.is_err() {
        assert!(now() < deadline, "never served again");
        sleep(Duration::from_millis(50)).await;
    }
    take(&store, &request(), id(7)).await;
}

#[test]
fn when_the_master_dies_requests_fail_until_the_sentinel_names_another() {
    run_real(survives(Foreign::kill)).unwrap();
}

#[test]
fn when_the_master_hangs_requests_time_out_until_the_sentinel_names_another() {
    run_real(survives(|master| master.freeze())).unwrap();
}
