//! `redis_markers` and `redis_index` on a real server: their keys, and the faults of their pollers.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod redis_support;

use redis_support::*;
use sessionbench::clock::{run_real, spawn_detached};
use sessionbench::providers::redis::settings::{RedisPolled, RedisSettings};
use sessionbench::providers::{Provider, ProviderSettings, connect};
use sessionbench::session::{SessionId, SessionStateStore};
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

const ID: &str = "aaaaaaaaaaaaaaaaaaaaaaah";
const LOG: &str = "{sessionbench_private}_log";
const INDEX: &str = "{sessionbench_private}_EXPIRY_INDEX";
/// The lock of the index's pollers on the session.
const LOCK: &str = "{sessionbench_private_aaaaaaaaaaaaaaaaaaaaaaah}_GlassLock";
/// 20 of these are 20 s.
const MINUTE: Duration = Duration::from_secs(1);
/// FILETIME steps in a second.
const STEPS: f64 = 1e7;

fn settings() -> RedisPolled {
    RedisPolled {
        pollingInterval: 1,
        ..RedisPolled::default()
    }
}

async fn markers() -> Bench {
    Bench::new(ProviderSettings::RedisMarkers(settings())).await
}

async fn index() -> Bench {
    Bench::new(ProviderSettings::RedisIndex(settings())).await
}

/// Waits until the poller has come so many times more.
async fn ticks(bench: &Bench, more: u64) {
    let before = bench.provider.background_work().ticks;
    until("the poller came", || {
        bench.provider.background_work().ticks >= before + more
    })
    .await;
}

/// Lets an entry of the index be so many seconds older.
fn age(bench: &Bench, seconds: f64) {
    let _: f64 = bench.ask(&format!("ZINCRBY {INDEX} {} {ID}", -seconds * STEPS));
}

/// Stands between a server and its store, and holds back every ZADD until it is told to let go.
struct Relay {
    address: String,
    holds: Rc<Cell<bool>>,
    let_go: watch::Sender<bool>,
}

impl Relay {
    async fn to(store: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (let_go, gate) = watch::channel(false);
        let relay = Self {
            address: listener.local_addr().unwrap().to_string(),
            holds: Rc::default(),
            let_go,
        };
        let (store, holds) = (store.to_owned(), Rc::clone(&relay.holds));
        spawn_detached(async move {
            while let Ok((server, _)) = listener.accept().await {
                let store = TcpStream::connect(&store).await.unwrap();
                spawn_detached(pass(server, store, Rc::clone(&holds), gate.clone()));
            }
        });
        relay
    }
}

async fn pass(
    server: TcpStream,
    store: TcpStream,
    holds: Rc<Cell<bool>>,
    mut gate: watch::Receiver<bool>,
) {
    let (mut sent, mut answer) = server.into_split();
    let (mut answered, mut send) = store.into_split();
    let back = async move { tokio::io::copy(&mut answered, &mut answer).await };
    spawn_detached(back);
    let mut bytes = [0; 4096];
    while let Ok(count @ 1..) = sent.read(&mut bytes).await {
        let bytes = &bytes[..count];
        if bytes.windows(4).any(|word| word == b"ZADD") {
            holds.set(true);
            let _ = gate.wait_for(|open| *open).await;
        }
        send.write_all(bytes).await.unwrap();
    }
}

/// Two servers have read the same due session off the index. One has ended it since; the other is
/// still about to claim it.
struct Race {
    bench: Bench,
    late: Rc<dyn Provider>,
    late_ends: Rc<Ends>,
    relay: Relay,
    _stores: [Rc<dyn SessionStateStore>; 2],
}

impl Race {
    async fn new() -> Self {
        let bench = index().await;
        let store = bench.open(&seat(0)).await;
        store_new(&store, id(7), "hello").await;
        age(&bench, 1800.0);
        let relay = Relay::to(&bench.provider.server().unwrap().address).await;
        let redis = RedisSettings {
            operationTimeoutInMilliseconds: 600_000,
            ..on(&relay.address)
        };
        let settings = RedisPolled {
            redis,
            ..settings()
        };
        let late = ProviderSettings::RedisIndex(settings);
        let late = connect(&late, "").await.unwrap();
        let (late_store, late_ends) = listen(&late, &seat(1)).await;
        until("the late server read the index", || relay.holds.get()).await;
        let (store, ends) = bench.listen(&seat(0)).await;
        let is_over = || bench.ask::<u64>(&format!("ZCARD {INDEX}")) == 0;
        until("the other ended the session", is_over).await;
        assert_eq!(ends.ids(), [id(7)]);
        Self {
            bench,
            late,
            late_ends,
            relay,
            _stores: [store, late_store],
        }
    }
}

#[test]
fn a_write_enters_a_session_into_the_marker_of_its_second_and_a_read_leaves_it_there() {
    run_real(async {
        let bench = markers().await;
        let store = bench.open(&seat(0)).await;
        store_new(&store, id(7), "hello").await;
        let log = || -> Vec<(String, f64)> { bench.ask(&format!("ZRANGE {LOG} 0 -1 WITHSCORES")) };
        let entered = log();
        let [(marker, due)] = entered.as_slice() else {
            panic!("{entered:?}");
        };
        let second: String = bench.ask(&format!("GET {{sessionbench_private_{ID}}}_Timeout"));
        assert_eq!(marker, &format!("{{sessionbench_private}}_{second}_Marker"));
        let asked = redis::cmd("SMEMBERS").arg(marker).take();
        let ids: Vec<String> = asked.query(&mut *bench.raw.borrow_mut()).unwrap();
        assert_eq!(ids, [ID]);
        assert!(*due > 6.3e17, "ticks since year 1: {due}");
        // Ten timeouts of 20 min.
        let data = format!("{{sessionbench_private_{ID}}}_Data");
        assert_eq!(bench.ttl(&data), 12_000);
        let read = store.get_item(&request(), id(7)).await.unwrap();
        let sessionbench::session::GetItem::Found(found) = read else {
            panic!("{read:?}");
        };
        assert_eq!(found.item.timeout().0, 20);
        assert_eq!(log(), entered);
    })
    .unwrap();
}

#[test]
fn markers_hold_no_shared_session() {
    run_real(async {
        let bench = markers().await;
        let shared = sessionbench::providers::Seat {
            kind: sessionbench::session::StoreKind::Shared,
            ..seat(0)
        };
        let store = bench.open(&shared).await;
        store_new(&store, SessionId::shared(7), "hello").await;
        let keys: Vec<String> = bench.ask("KEYS *");
        assert_eq!(keys.len(), 2, "data and timeout only: {keys:?}");
    })
    .unwrap();
}

#[test]
fn an_empty_marker_at_the_head_of_the_log_stops_all_ends_behind_it() {
    run_real(async {
        let bench = markers().await;
        let minute = Duration::from_millis(50);
        let (store, ends) = bench.listen(&fast_seat(0, minute)).await;
        // As a poller leaves it that dies between the last id's SPOP and the ZREM.
        let empty = "{sessionbench_private}_2024 01 01 00:00:00_Marker";
        let add = redis::cmd("ZADD").arg(LOG).arg(6.3e17).arg(empty).take();
        let () = add.query(&mut *bench.raw.borrow_mut()).unwrap();
        store_new(&store, id(7), "hello").await;
        ticks(&bench, 4).await;
        assert!(ends.seen.borrow().is_empty());
        let remove = redis::cmd("ZREM").arg(LOG).arg(empty).take();
        let () = remove.query(&mut *bench.raw.borrow_mut()).unwrap();
        until("it ends", || !ends.seen.borrow().is_empty()).await;
    })
    .unwrap();
}

#[test]
fn a_write_enters_its_instant_into_the_index_and_adds_a_value() {
    run_real(async {
        let bench = index().await;
        let store = bench.open(&seat(0)).await;
        store_new(&store, id(7), "hello").await;
        let written: f64 = bench.ask(&format!("ZSCORE {INDEX} {ID}"));
        let server: Vec<f64> = bench.ask("TIME");
        let seconds_to_1601 = 11_644_473_600.0;
        let age = server[0] - (written / STEPS - seconds_to_1601);
        assert!((-2.0..60.0).contains(&age), "{age} s");
        let data = format!("{{sessionbench_private_{ID}}}_Data");
        let names: Vec<String> = bench.ask(&format!("HKEYS {data}"));
        assert!(names.contains(&"6247030A-D2EF-46C6-A62C-AD315F9D0E06".to_owned()));
        // 20 min and two more.
        assert_eq!(bench.ttl(&data), 1_320);
    })
    .unwrap();
}

#[test]
fn an_entry_of_more_than_an_hour_ago_is_never_found() {
    run_real(async {
        let bench = index().await;
        let store = bench.open(&fast_seat(0, MINUTE)).await;
        store_new(&store, id(7), "hello").await;
        age(&bench, 3700.0);
        let (_store, ends) = bench.listen(&fast_seat(1, MINUTE)).await;
        ticks(&bench, 3).await;
        assert!(ends.seen.borrow().is_empty());
        age(&bench, -700.0);
        until("it ends", || !ends.seen.borrow().is_empty()).await;
    })
    .unwrap();
}

#[test]
fn a_session_that_two_servers_read_off_the_index_ends_once_while_the_lock_of_one_lasts() {
    run_real(async {
        let race = Race::new().await;
        // However slow this machine is.
        assert_eq!(race.bench.ask::<u64>(&format!("PERSIST {LOCK}")), 1);
        race.relay.let_go.send_replace(true);
        until("the late server met the lock", || {
            race.late.background_work().claimed_by_others == 1
        })
        .await;
        assert!(race.late_ends.seen.borrow().is_empty());
    })
    .unwrap();
}

#[test]
fn a_session_that_two_servers_read_off_the_index_ends_twice_once_the_lock_ran_out() {
    run_real(async {
        let race = Race::new().await;
        // Its ten seconds pass.
        assert_eq!(race.bench.ask::<u64>(&format!("DEL {LOCK}")), 1);
        race.relay.let_go.send_replace(true);
        until("it ended again", || race.late_ends.ids() == [id(7)]).await;
    })
    .unwrap();
}
