//! Redis Cluster: three masters of our own, on which sessions live while nodes come, go and lose
//! their office.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod redis_support;

use redis_support::*;
use sessionbench::clock::{now, run_real, sleep};
use sessionbench::providers::redis::settings::{
    ConfigValue, ManagedRedis, RedisServer as Server, RedisSettings, RedisSitecore,
};
use sessionbench::providers::redis::slots::slot;
use sessionbench::providers::{ConnectError, Provider, ProviderSettings, connect};
use sessionbench::servers::{RedisCluster, RedisServer};
use sessionbench::session::{GetItem, SessionStateStore, StoreError};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

/// 20 of these are 1 s.
const MINUTE: Duration = Duration::from_millis(50);

/// Nodes whose expiry scan is quick and that notify.
fn notifying() -> BTreeMap<String, ConfigValue> {
    BTreeMap::from([
        ("hz".to_owned(), ConfigValue::Number(500)),
        (
            "notify-keyspace-events".to_owned(),
            ConfigValue::Text("Kx".to_owned()),
        ),
    ])
}

/// A cluster that the provider under test did not start.
struct Cluster(Vec<RedisServer>);

impl Cluster {
    async fn start(masters: u32, replicas: u32) -> Self {
        let cluster = RedisCluster::start(&notifying(), masters, replicas).await;
        Self(cluster.unwrap().into_nodes())
    }

    /// Adds a node without slots.
    async fn grow(&mut self) {
        self.0
            .push(RedisServer::start_node(&notifying()).await.unwrap());
        let new = self.0.len() - 1;
        let place = self.address(0).replace(':', " ");
        let () = self.ask(new, &format!("CLUSTER MEET {place}"));
        let known = format!("cluster_known_nodes:{}", self.0.len());
        until("all know the new node", || {
            let whole = |node| {
                let info: String = self.ask(node, "CLUSTER INFO");
                info.contains(&known) && info.contains("cluster_state:ok")
            };
            (0..self.0.len()).all(whole)
        })
        .await;
    }

    fn address(&self, node: usize) -> String {
        format!("127.0.0.1:{}", self.0[node].port())
    }

    /// Asks one node.
    fn ask<T: redis::FromRedisValue>(&self, node: usize, command: &str) -> T {
        ask(&mut raw(&self.address(node)), command)
    }

    /// Settings that name its first node alone.
    fn settings(&self) -> RedisSettings {
        on(&format!("{},configCheckSeconds=1", self.address(0)))
    }

    fn sizes(&self) -> Vec<u64> {
        let nodes = 0..self.0.len();
        nodes.map(|node| self.ask(node, "DBSIZE")).collect()
    }
}

/// The key of a session's data.
fn data_key(number: u128) -> String {
    format!(
        "{{sessionbench_private_{}}}_SessionStateItemCollection",
        id(number)
    )
}

/// Sessions of which each master of three has some.
const SESSIONS: u128 = 60;

async fn store_all(store: &Rc<dyn SessionStateStore>) {
    for number in 0..SESSIONS {
        store_new(store, id(number), "hello").await;
    }
}

/// Takes and releases every session's lock.
async fn use_all(store: &Rc<dyn SessionStateStore>) {
    for number in 0..SESSIONS {
        let request = request();
        let found = take(store, &request, id(number)).await;
        assert_eq!(text_of(&found.item), "hello");
        let lock = found.lock.unwrap();
        store
            .release_item_exclusive(&request, id(number), &lock)
            .await
            .unwrap();
        store.end_request(&request).await.unwrap();
    }
}

async fn every_session_ends(ends: &Ends) {
    until("every session ends", || {
        let mut ids = ends.ids();
        ids.sort();
        ids.dedup();
        ids.len() == SESSIONS as usize
    })
    .await;
}

#[test]
fn sessions_spread_over_a_managed_cluster_and_samples_are_sums() {
    run_real(async {
        let redis = RedisSettings {
            server: Server::Managed(ManagedRedis {
                cluster: Some(3),
                other_volatile_keys: 300,
                ..ManagedRedis::default()
            }),
            ..RedisSettings::default()
        };
        let provider = connect(&microsoft(redis), "").await.unwrap();
        let store = provider.open(&seat(0)).await.unwrap();
        store_all(&store).await;
        use_all(&store).await;
        let info = provider.server().unwrap();
        let masters: Vec<_> = info.address.split(',').collect();
        assert_eq!(masters.len(), 3);
        let sizes = masters
            .iter()
            .map(|master| ask::<u64>(&mut raw(master), "DBSIZE"));
        let sizes: Vec<_> = sizes.collect();
        assert!(sizes.iter().all(|size| *size > 50), "{sizes:?}");
        let sample = provider.sample().await.unwrap();
        assert_eq!(sample.keys, Some(300 + 2 * SESSIONS as u64));
        assert_eq!(sample.keys, Some(sizes.iter().sum()));
        assert!(sample.bytes_per_session > Some(100));
        let address = masters[0].to_owned();
        provider.close().await.unwrap();
        let gone = redis::Client::open(format!("redis://{address}")).unwrap();
        assert!(gone.get_connection().is_err());
    })
    .unwrap();
}

#[test]
fn a_command_costs_one_round_trip_and_a_redirection_one_more() {
    run_real(async {
        let cluster = Cluster::start(3, 0).await;
        let provider = connect(&microsoft(cluster.settings()), "").await.unwrap();
        let store = provider.open(&seat(0)).await.unwrap();
        store_all(&store).await;
        use_all(&store).await;
        let key = data_key(7);
        let owner = (0..3).find(|node| {
            let keys: Vec<String> = cluster.ask(*node, "KEYS *");
            keys.contains(&key)
        });
        let owner = owner.unwrap();
        let direct = request();
        store.get_item(&direct, id(7)).await.unwrap();
        assert_eq!((direct.round_trips.get(), direct.retries.get()), (1, 0));

        // Every node learns of the new owner; our provider is not told.
        let target = (owner + 1) % 3;
        move_slot(&cluster, owner, target, &key);
        let redirected = request();
        let got = store.get_item(&redirected, id(7)).await.unwrap();
        assert!(matches!(got, GetItem::Found(_)));
        assert_eq!(redirected.retries.get(), 1);
        let again = request();
        store.get_item(&again, id(7)).await.unwrap();
        assert_eq!((again.round_trips.get(), again.retries.get()), (1, 0));
    })
    .unwrap();
}

/// Moves the slot of a key with all that is in it.
fn move_slot(cluster: &Cluster, from: usize, to: usize, key: &str) {
    let slot = slot(key.as_bytes());
    let target: String = cluster.ask(to, "CLUSTER MYID");
    let source: String = cluster.ask(from, "CLUSTER MYID");
    let () = cluster.ask(to, &format!("CLUSTER SETSLOT {slot} IMPORTING {source}"));
    let () = cluster.ask(from, &format!("CLUSTER SETSLOT {slot} MIGRATING {target}"));
    migrate_keys(cluster, from, &cluster.address(to), slot);
    for node in [to, from] {
        let () = cluster.ask(node, &format!("CLUSTER SETSLOT {slot} NODE {target}"));
    }
}

fn migrate_keys(cluster: &Cluster, from: usize, to: &str, slot: u16) {
    let keys: Vec<String> = cluster.ask(from, &format!("CLUSTER GETKEYSINSLOT {slot} 1000"));
    if !keys.is_empty() {
        let to = to.replace(':', " ");
        let keys = keys.join(" ");
        let () = cluster.ask(from, &format!("MIGRATE {to}  0 5000 KEYS {keys}"));
    }
}

/// Tells both nodes that the slot of a session moves; returns from where and to where.
fn start_to_move(cluster: &Cluster, slot: u16) -> (usize, usize) {
    let from = usize::from(slot >= 8192);
    let to = 1 - from;
    let [source, target]: [String; 2] = [from, to].map(|node| cluster.ask(node, "CLUSTER MYID"));
    let () = cluster.ask(to, &format!("CLUSTER SETSLOT {slot} IMPORTING {source}"));
    let () = cluster.ask(from, &format!("CLUSTER SETSLOT {slot} MIGRATING {target}"));
    (from, to)
}

#[test]
fn a_session_whose_slot_is_on_its_way_is_found_at_either_end() {
    run_real(async {
        let cluster = Cluster::start(2, 0).await;
        let provider = connect(&microsoft(cluster.settings()), "").await.unwrap();
        let store = provider.open(&seat(0)).await.unwrap();
        store_new(&store, id(7), "hello").await;
        // With the lock, all keys of the script are there.
        take(&store, &request(), id(7)).await;
        let slot = slot(data_key(7).as_bytes());
        let (from, to) = start_to_move(&cluster, slot);
        let got = store.get_item(&request(), id(7)).await.unwrap();
        assert!(matches!(got, GetItem::Locked { .. }), "{got:?}");
        migrate_keys(&cluster, from, &cluster.address(to), slot);
        let asked = request();
        let got = store.get_item(&asked, id(7)).await.unwrap();
        assert!(matches!(got, GetItem::Locked { .. }), "{got:?}");
        assert!(asked.retries.get() > 0);
    })
    .unwrap();
}

#[test]
fn a_session_without_its_lock_waits_until_its_slot_has_arrived() {
    run_real(async {
        let cluster = Cluster::start(2, 0).await;
        let provider = connect(&microsoft(cluster.settings()), "").await.unwrap();
        let store = provider.open(&seat(0)).await.unwrap();
        store_new(&store, id(7), "hello").await;
        let slot = slot(data_key(7).as_bytes());
        let (from, to) = start_to_move(&cluster, slot);
        migrate_keys(&cluster, from, &cluster.address(to), slot);
        let waits = request();
        let arrives = async {
            until("the request was sent away", || waits.retries.get() > 1).await;
            let target: String = cluster.ask(to, "CLUSTER MYID");
            for node in [to, from] {
                let () = cluster.ask(node, &format!("CLUSTER SETSLOT {slot} NODE {target}"));
            }
        };
        let (found, ()) = futures_util::future::join(take(&store, &waits, id(7)), arrives).await;
        assert_eq!(text_of(&found.item), "hello");
    })
    .unwrap();
}

#[test]
fn ends_are_heard_from_every_master() {
    run_real(async {
        let cluster = Cluster::start(3, 0).await;
        let provider = connect(&keyspace(cluster.settings()), "").await.unwrap();
        let (store, ends) = listen(&provider, &fast_seat(0, MINUTE)).await;
        store_all(&store).await;
        assert!(cluster.sizes().iter().all(|size| *size > 0));
        every_session_ends(&ends).await;
        assert_eq!(provider.background_work().resubscriptions, 0);
        store.dispose().await;
    })
    .unwrap();
}

/// Waits until an instance listens at a node.
async fn heard_at(cluster: &Cluster, node: usize) {
    until("a subscription to the new master", || {
        let channels: u64 = cluster.ask(node, "PUBSUB NUMPAT");
        channels > 0
    })
    .await;
}

/// Has a replica take its master's place. Redis gives an attempt up after 5 s, without a word, so an
/// operator tries again.
async fn take_over(cluster: &Cluster, replica: usize) {
    let mut again = now();
    until("the replica has taken over", || {
        let role: redis::Value = cluster.ask(replica, "ROLE");
        if format!("{role:?}").contains("master") {
            return true;
        }
        if now() >= again {
            let () = cluster.ask(replica, "CLUSTER FAILOVER");
            again = now() + Duration::from_secs(6);
        }
        false
    })
    .await;
}

#[test]
fn after_a_failover_sessions_live_on_and_their_ends_are_heard() {
    run_real(async {
        let cluster = Cluster::start(3, 1).await;
        let provider = connect(&keyspace(cluster.settings()), "").await.unwrap();
        // Sessions of two minutes, so that they outlive the failover on a busy machine.
        let seat = fast_seat(0, Duration::from_secs(6));
        let (store, ends) = listen(&provider, &seat).await;
        store_all(&store).await;
        // The nodes: three masters, then their replicas in the same order.
        take_over(&cluster, 3).await;
        heard_at(&cluster, 3).await;
        until("it is counted", || {
            provider.background_work().resubscriptions > 0
        })
        .await;
        use_all(&store).await;
        // Ends come due as fast as we like.
        expire_shadows(&cluster, &[1, 2, 3]);
        every_session_ends(&ends).await;
        store.dispose().await;
    })
    .unwrap();
}

#[test]
fn when_a_master_dies_its_sessions_fail_until_its_replica_has_taken_over() {
    run_real(async {
        let mut config = notifying();
        // Short, and longer than a node of a busy machine stays silent.
        let short = ConfigValue::Number(3000);
        config.insert("cluster-node-timeout".to_owned(), short);
        let nodes = RedisCluster::start(&config, 3, 1).await.unwrap();
        let mut cluster = Cluster(nodes.into_nodes());
        let redis = RedisSettings {
            retryTimeoutInMilliseconds: 0,
            ..on(&format!("{},{}", cluster.address(0), cluster.address(1)))
        };
        let provider = connect(&microsoft(redis), "").await.unwrap();
        let store = provider.open(&seat(0)).await.unwrap();
        store_all(&store).await;
        until("all is copied", || {
            cluster.ask::<u64>(0, "DBSIZE") == cluster.ask::<u64>(3, "DBSIZE")
        })
        .await;
        let keys: Vec<String> = cluster.ask(0, "KEYS *_SessionStateItemCollection");
        let lost = (0..SESSIONS).find(|number| keys.contains(&data_key(*number)));
        let lost = id(lost.unwrap());
        drop(cluster.0.remove(0));
        let error = store.get_item(&request(), lost).await.unwrap_err();
        assert!(matches!(error, StoreError::Connection(_)), "{error}");
        let deadline = now() + Duration::from_secs(30);
        while store.get_item(&request(), lost).await.is_err() {
            assert!(now() < deadline, "never served again");
            sleep(Duration::from_millis(50)).await;
        }
        // Each node takes the cluster for broken until it has heard of the new master itself.
        until("every node has", || {
            let whole = |node| {
                let info: String = cluster.ask(node, "CLUSTER INFO");
                info.contains("cluster_state:ok")
            };
            (0..cluster.0.len()).all(whole)
        })
        .await;
        use_all(&store).await;
    })
    .unwrap();
}

/// Lets every shadow key of these nodes expire, soon and not at once: a key whose time has passed when
/// the server looks is deleted, and nobody is told that it expired.
fn expire_shadows(cluster: &Cluster, nodes: &[usize]) {
    for node in nodes {
        let keys: Vec<String> = cluster.ask(*node, "KEYS *_Timeout");
        for key in keys {
            let _: u64 = cluster.ask(*node, &format!("PEXPIRE {key} 100"));
        }
    }
}

#[test]
fn a_node_that_is_added_takes_sessions_over_and_their_ends_are_heard() {
    run_real(async {
        let mut cluster = Cluster::start(3, 0).await;
        let provider = connect(&keyspace(cluster.settings()), "").await.unwrap();
        // As long as above.
        let seat = fast_seat(0, Duration::from_secs(6));
        let (store, ends) = listen(&provider, &seat).await;
        store_all(&store).await;
        cluster.grow().await;
        let (old, new) = (0, 3);
        let keys: Vec<String> = cluster.ask(old, "KEYS *_SessionStateItemCollection");
        assert!(!keys.is_empty());
        for key in keys {
            move_slot(&cluster, old, new, &key);
        }
        assert_eq!(cluster.ask::<u64>(old, "DBSIZE"), 0);
        use_all(&store).await;
        heard_at(&cluster, new).await;
        until("it is counted", || {
            provider.background_work().resubscriptions > 0
        })
        .await;
        expire_shadows(&cluster, &[1, 2, new]);
        every_session_ends(&ends).await;
        store.dispose().await;
        provider.close().await.unwrap();
        assert_eq!(cluster.sizes(), [0, 0, 0, 0]);
    })
    .unwrap();
}

#[test]
fn a_foreign_cluster_is_left_as_it_was() {
    run_real(async {
        let cluster = Cluster::start(3, 0).await;
        for number in 0..30 {
            let key = format!("cart:{number}");
            let node = usize::from(slot(key.as_bytes())) * 3 / 16384;
            let () = cluster.ask(node, &format!("SET {key} theirs"));
        }
        let everything_there = || -> Vec<_> {
            let nodes = (0..3).map(|node| everything(&cluster.address(node)));
            nodes.collect()
        };
        let before = everything_there();
        let provider = connect(&keyspace(cluster.settings()), "").await.unwrap();
        let store = provider.open(&seat(0)).await.unwrap();
        for number in 0..1500 {
            store_new(&store, id(number), "ours").await;
        }
        assert_ne!(everything_there(), before);
        store.dispose().await;
        provider.close().await.unwrap();
        assert_eq!(everything_there(), before);
    })
    .unwrap();
}

#[test]
fn flags_are_set_on_every_master_and_put_back() {
    run_real(async {
        let cluster = Cluster::start(2, 0).await;
        let flags = || {
            [0, 1].map(|node| {
                let answer: Vec<String> = cluster.ask(node, "CONFIG GET notify-keyspace-events");
                answer[1].clone()
            })
        };
        for node in 0..2 {
            let () = cluster.ask(node, "CONFIG SET notify-keyspace-events Eg");
        }
        let redis = RedisSettings {
            allow_config_set: true,
            ..cluster.settings()
        };
        let provider = connect(&keyspace(redis), "").await.unwrap();
        assert!(
            flags()
                .iter()
                .all(|flags| flags.contains('K') && flags.contains('x'))
        );
        provider.close().await.unwrap();
        assert!(flags().iter().all(|flags| !flags.contains('K')));
    })
    .unwrap();
}

async fn refusal(settings: ProviderSettings) -> String {
    let provider: Result<Rc<dyn Provider>, _> = connect(&settings, "").await;
    match provider.err() {
        Some(ConnectError::Settings(why)) => why,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn what_a_cluster_cannot_do_is_refused_with_the_reason() {
    run_real(async {
        let cluster = Cluster::start(2, 0).await;
        let why = refusal(ProviderSettings::RedisSitecore(RedisSitecore {
            redis: cluster.settings(),
            ..RedisSitecore::default()
        }))
        .await;
        assert!(why.contains("cannot run on a Redis Cluster"), "{why}");
        let why = refusal(microsoft(RedisSettings {
            databaseId: 2,
            ..cluster.settings()
        }))
        .await;
        assert!(why.contains("no database but 0"), "{why}");
    })
    .unwrap();
}
