//! `redis_deadline` on a real server: session ends, claims and the index.

mod redis_support;

use redis_support::*;
use sessionbench::clock::{now, run_real, sleep_until};
use sessionbench::providers::redis::settings::RedisDeadline;
use sessionbench::providers::{ProviderSettings, Seat};
use sessionbench::quantity::Span;
use sessionbench::session::{GetItem, Minutes, Noticed, StoreError};
use std::cell::RefCell;
use std::time::Duration;

const ID: &str = "aaaaaaaaaaaaaaaaaaaaaaah";
/// Of session 7 among 16 shards.
const TAG: &str = "{sessionbench_private#7}";
/// 20 of these are 1 s.
const MINUTE: Duration = Duration::from_millis(50);

fn settings() -> RedisDeadline {
    RedisDeadline {
        claim_lease: Span::from_secs(1),
        ..RedisDeadline::default()
    }
}

async fn bench(settings: RedisDeadline) -> Bench {
    Bench::new(ProviderSettings::RedisDeadline(settings)).await
}

fn server_us(bench: &Bench) -> u64 {
    let time: Vec<u64> = bench.ask("TIME");
    time[0] * 1_000_000 + time[1]
}

fn indexed(bench: &Bench) -> u64 {
    let score: f64 = bench.ask(&format!("ZSCORE {TAG}_Deadlines {ID}"));
    score as u64
}

/// Keys but for the shards' counters.
fn keys(bench: &Bench) -> Vec<String> {
    let mut keys: Vec<String> = bench.ask("KEYS *");
    keys.retain(|key| !key.ends_with("_Counter"));
    keys.sort();
    keys
}

#[test]
fn a_session_is_a_hash_and_an_entry_in_its_shards_index() {
    run_real(async {
        let bench = bench(settings()).await;
        let store = bench.open(&seat(0)).await;
        store_new(&store, id(7), "hello").await;
        let stored: Vec<u8> = bench.ask(&format!("HGET {TAG}_{ID}_Session data"));
        assert_eq!(stored, item("hello").encode());
        let due: u64 = bench.ask(&format!("HGET {TAG}_{ID}_Session due"));
        let left = due - server_us(&bench);
        assert!((1_190_000_000..=1_200_000_000).contains(&left), "{left} µs");
        assert_eq!(indexed(&bench), due);
        assert_eq!(
            keys(&bench),
            [format!("{TAG}_Deadlines"), format!("{TAG}_{ID}_Session")]
        );
        let found = take(&store, &request(), id(7)).await;
        assert_eq!(text_of(&found.item), "hello");
        assert_eq!(found.item.timeout(), Minutes(20));
    })
    .unwrap();
}

#[test]
fn sessions_outlive_their_deadline_by_the_retention_and_so_does_the_index() {
    run_real(async {
        let bench = bench(settings()).await;
        let store = bench.open(&seat(0)).await;
        store_new(&store, id(7), "hello").await;
        let day_and_timeout = 24 * 3600 + 1200;
        assert_eq!(bench.ttl(&format!("{TAG}_{ID}_Session")), day_and_timeout);
        assert_eq!(bench.ttl(&format!("{TAG}_Deadlines")), day_and_timeout);
    })
    .unwrap();
}

#[test]
fn a_session_ends_at_its_deadline_and_leaves_the_store() {
    run_real(async {
        let bench = bench(settings()).await;
        let (store, ends) = bench.listen(&fast_seat(0, MINUTE)).await;
        let stored = now();
        store_new(&store, id(7), "hello").await;
        until("session end", || !ends.seen.borrow().is_empty()).await;
        {
            let seen = ends.seen.borrow();
            assert_eq!(text_of(seen[0].notice.item.as_ref().unwrap()), "hello");
            let Noticed::Claimed { woke, again } = seen[0].notice.noticed else {
                panic!("{:?}", seen[0].notice.noticed);
            };
            assert!(!again);
            assert!(woke <= seen[0].at);
            let life = seen[0].at.since(stored);
            assert!(life >= Duration::from_secs(1), "it ended early: {life:?}");
            assert!(life < Duration::from_secs(2), "it ended late: {life:?}");
        }
        until("it is gone", || keys(&bench).is_empty()).await;
        store.dispose().await;
        assert_eq!(ends.seen.borrow().len(), 1);
    })
    .unwrap();
}

#[test]
fn a_near_deadline_wakes_the_sleeper_that_made_it() {
    run_real(async {
        let bench = bench(RedisDeadline {
            safety_poll: Span::from_secs(3600),
            ..settings()
        })
        .await;
        let (one, ends_of_one) = bench.listen(&fast_seat(0, MINUTE)).await;
        let (other, ends_of_other) = bench.listen(&fast_seat(1, MINUTE)).await;
        until("both sleep for an hour", || {
            bench.provider.background_work().ticks == 32
        })
        .await;
        store_new(&one, id(7), "hello").await;
        store_new(&other, id(23), "of the same shard").await;
        until("both ends", || {
            ends_of_one.ids().len() + ends_of_other.ids().len() == 2
        })
        .await;
    })
    .unwrap();
}

#[test]
fn several_servers_raise_every_end_once_and_mostly_one_of_them_wakes_up() {
    run_real(async {
        let bench = bench(RedisDeadline {
            shards: 1,
            ..settings()
        })
        .await;
        let mut servers = Vec::new();
        for number in 0..3 {
            servers.push(bench.listen(&fast_seat(number, MINUTE)).await);
        }
        for number in 0..300 {
            store_new(&servers[0].0, id(number), "hello").await;
        }
        until("every session is gone", || keys(&bench).is_empty()).await;
        let mut ids = Vec::new();
        for (store, ends) in &servers {
            store.dispose().await;
            ids.extend(ends.ids());
        }
        assert_eq!(ids.len(), 300);
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 300);
        let work = bench.provider.background_work();
        assert_eq!(work.claimed, 300);
        assert_eq!(work.claimed_again, 0);
        assert!(work.claimed_by_others < 150, "{work:?}");
    })
    .unwrap();
}

#[test]
fn an_end_whose_server_died_comes_again_within_the_lease() {
    run_real(async {
        let bench = bench(settings()).await;
        let handler = Duration::from_secs(3600);
        let (dying, _ends) = bench.ending(&fast_seat(0, MINUTE), handler).await;
        let claimed = now();
        drop(dying);
        let (_other, again) = bench.listen(&fast_seat(1, MINUTE)).await;
        until("it ends again", || !again.seen.borrow().is_empty()).await;
        {
            let seen = again.seen.borrow();
            let Noticed::Claimed { again: true, .. } = seen[0].notice.noticed else {
                panic!("{:?}", seen[0].notice.noticed);
            };
            assert_eq!(text_of(seen[0].notice.item.as_ref().unwrap()), "hello");
            let waited = seen[0].at.since(claimed);
            // The lease, and what a busy machine adds.
            assert!(waited < Duration::from_secs(2), "{waited:?}");
        }
        until("it is gone", || keys(&bench).is_empty()).await;
        assert_eq!(bench.provider.background_work().claimed_again, 1);
    })
    .unwrap();
}

#[test]
fn nothing_is_lost_when_all_servers_are_away() {
    run_real(async {
        let bench = bench(settings()).await;
        let (store, ends) = bench.listen(&fast_seat(0, MINUTE)).await;
        for number in 0..20 {
            store_new(&store, id(number), "hello").await;
        }
        drop(store);
        // All deadlines pass.
        sleep_until(now() + Duration::from_millis(1500)).await;
        assert!(ends.seen.borrow().is_empty());
        let (_store, ends) = bench.listen(&fast_seat(0, MINUTE)).await;
        until("every end", || ends.ids().len() == 20).await;
        until("all are gone", || keys(&bench).is_empty()).await;
    })
    .unwrap();
}

#[test]
fn data_stays_until_the_end_is_acknowledged_while_the_visitor_begins_anew() {
    run_real(async {
        let bench = bench(settings()).await;
        let handler = Duration::from_millis(500);
        let (store, ends) = bench.ending(&fast_seat(0, MINUTE), handler).await;
        let answer = store.get_item_exclusive(&request(), id(7)).await.unwrap();
        assert_eq!(answer, GetItem::Missing);
        store_new(&store, id(7), "new").await;
        let found = keys(&bench);
        assert!(found.iter().any(|key| key.ends_with("_Ended")), "{found:?}");
        assert!(
            found.iter().any(|key| key.ends_with("_Session")),
            "{found:?}"
        );
        until("both ends", || ends.seen.borrow().len() == 2).await;
        let texts: Vec<_> = ends
            .seen
            .borrow()
            .iter()
            .map(|end| text_of(end.notice.item.as_ref().unwrap()))
            .collect();
        assert_eq!(texts, ["hello", "new"]);
        until("both are gone", || keys(&bench).is_empty()).await;
    })
    .unwrap();
}

#[test]
fn a_request_that_comes_before_the_sleeper_does_not_get_a_session_that_is_due() {
    run_real(async {
        let bench = bench(settings()).await;
        let store = bench.open(&fast_seat(0, MINUTE)).await;
        for number in [7, 8] {
            store_new(&store, id(number), "due").await;
        }
        sleep_until(now() + Duration::from_millis(1100)).await;
        let answer = store.get_item_exclusive(&request(), id(7)).await.unwrap();
        assert_eq!(answer, GetItem::Missing);
        let answer = store.get_item(&request(), id(8)).await.unwrap();
        assert_eq!(answer, GetItem::Missing);
        let (_sleeping, ends) = bench.listen(&fast_seat(0, MINUTE)).await;
        until("both ends", || ends.seen.borrow().len() == 2).await;
        for end in ends.seen.borrow().iter() {
            assert_eq!(text_of(end.notice.item.as_ref().unwrap()), "due");
            let first = matches!(end.notice.noticed, Noticed::Claimed { again: false, .. });
            assert!(first, "{:?}", end.notice.noticed);
        }
    })
    .unwrap();
}

#[test]
fn a_session_that_a_request_holds_does_not_end() {
    run_real(async {
        let bench = bench(settings()).await;
        let (store, ends) = bench.listen(&fast_seat(0, MINUTE)).await;
        store_new(&store, id(7), "hello").await;
        let request = request();
        let found = take(&store, &request, id(7)).await;
        store_new(&store, id(8), "free").await;
        until("the free one ends", || !ends.seen.borrow().is_empty()).await;
        assert_eq!(ends.ids(), [id(8)]);
        let lock = found.lock.unwrap();
        let released = now();
        store
            .release_item_exclusive(&request, id(7), &lock)
            .await
            .unwrap();
        until("the other one ends", || ends.seen.borrow().len() == 2).await;
        let life = ends.seen.borrow()[1].at.since(released);
        assert!(
            (1..3).contains(&life.as_secs()),
            "{life:?} after the release"
        );
    })
    .unwrap();
}

#[test]
fn a_session_whose_holder_died_ends_when_its_lock_has_run_out() {
    run_real(async {
        let bench = bench(settings()).await;
        let seat = Seat {
            execution_timeout: Duration::from_secs(2),
            ..fast_seat(0, MINUTE)
        };
        let (store, ends) = bench.listen(&seat).await;
        store_new(&store, id(7), "hello").await;
        let taken = now();
        take(&store, &request(), id(7)).await;
        until("it ends", || !ends.seen.borrow().is_empty()).await;
        let held = ends.seen.borrow()[0].at.since(taken);
        assert!(held >= Duration::from_secs(2), "{held:?}");
    })
    .unwrap();
}

#[test]
fn the_index_is_written_once_per_timeout_and_not_once_per_request() {
    run_real(async {
        let bench = bench(RedisDeadline {
            shards: 1,
            ..settings()
        })
        .await;
        let (store, ends) = bench.listen(&fast_seat(0, MINUTE)).await;
        bench.reset_counts();
        store_new(&store, id(7), "hello").await;
        let started = now();
        // A page every 50 ms keeps the session alive for three of its timeouts.
        for page in 1..=60 {
            let request = request();
            let found = take(&store, &request, id(7)).await;
            store
                .set_and_release_item_exclusive(
                    &request,
                    id(7),
                    &item("hello"),
                    found.lock.as_ref(),
                    false,
                )
                .await
                .unwrap();
            sleep_until(started + page * MINUTE).await;
        }
        let writes = bench.calls("zadd");
        assert!((2..=6).contains(&writes), "{writes} for 60 pages");
        assert!(ends.seen.borrow().is_empty());
        until("it ends", || !ends.seen.borrow().is_empty()).await;
    })
    .unwrap();
}

#[test]
fn a_shortened_timeout_moves_the_index_at_once() {
    run_real(async {
        let bench = bench(settings()).await;
        let store = bench.open(&seat(0)).await;
        store_new(&store, id(7), "hello").await;
        let request = request();
        let found = take(&store, &request, id(7)).await;
        let mut robot = found.item.clone();
        robot.set_timeout(Minutes(1));
        store
            .set_and_release_item_exclusive(&request, id(7), &robot, found.lock.as_ref(), false)
            .await
            .unwrap();
        let left = indexed(&bench) - server_us(&bench);
        assert!(left <= 60_000_000, "{left} µs");
    })
    .unwrap();
}

#[test]
fn every_verb_that_finds_the_session_keeps_it_alive_and_a_waiter_does_not() {
    run_real(async {
        let bench = bench(settings()).await;
        let store = bench.open(&seat(0)).await;
        store_new(&store, id(7), "hello").await;
        let due = || bench.ask::<u64>(&format!("HGET {TAG}_{ID}_Session due"));
        let before = std::cell::Cell::new(due());
        let moved = || due() > before.replace(due());
        store.get_item(&request(), id(7)).await.unwrap();
        assert!(moved(), "get_item");
        store.reset_item_timeout(&request(), id(7)).await.unwrap();
        assert!(moved(), "reset_item_timeout");
        let request_one = request();
        let found = take(&store, &request_one, id(7)).await;
        assert!(moved(), "get_item_exclusive");
        for answer in [
            store.get_item(&request(), id(7)).await.unwrap(),
            store.get_item_exclusive(&request(), id(7)).await.unwrap(),
        ] {
            assert!(matches!(answer, GetItem::Locked { .. }), "{answer:?}");
        }
        assert!(!moved(), "a waiter");
        let lock = found.lock.unwrap();
        store
            .release_item_exclusive(&request_one, id(7), &lock)
            .await
            .unwrap();
        assert!(moved(), "release_item_exclusive");
    })
    .unwrap();
}

#[test]
fn an_uninitialised_session_is_told_as_such_once_and_never_overwrites() {
    run_real(async {
        use sessionbench::session::Actions;
        let bench = bench(settings()).await;
        let store = bench.open(&seat(0)).await;
        let create = async || {
            store
                .create_uninitialized_item(&request(), id(7), Minutes(20))
                .await
                .unwrap();
        };
        create().await;
        let request = request();
        let found = take(&store, &request, id(7)).await;
        assert_eq!(found.actions, Actions::InitializeItem);
        let lock = found.lock.unwrap();
        store
            .release_item_exclusive(&request, id(7), &lock)
            .await
            .unwrap();
        let found = take(&store, &request, id(7)).await;
        assert_eq!(found.actions, Actions::None);
        store
            .set_and_release_item_exclusive(&request, id(7), &item("a"), found.lock.as_ref(), false)
            .await
            .unwrap();
        create().await;
        let found = take(&store, &request, id(7)).await;
        assert_eq!(found.actions, Actions::None);
        assert_eq!(text_of(&found.item), "a");
    })
    .unwrap();
}

#[test]
fn a_session_that_cannot_be_decoded_blocks_nobody_and_its_data_stays() {
    run_real(async {
        let bench = bench(settings()).await;
        let (store, ends) = bench.listen(&fast_seat(0, MINUTE)).await;
        store_new(&store, id(7), "hello").await;
        store_new(&store, id(23), "of the same shard, behind it").await;
        let _: u64 = bench.ask(&format!("HSET {TAG}_{ID}_Session data junk"));
        until("both ends", || ends.seen.borrow().len() == 2).await;
        let decoded: Vec<_> = ends
            .seen
            .borrow()
            .iter()
            .map(|end| end.notice.item.is_some())
            .collect();
        assert_eq!(decoded, [false, true]);
        until("both are acknowledged", || keys(&bench).len() == 1).await;
        let found = keys(&bench);
        assert!(found[0].ends_with("_Ended"), "{found:?}");
        assert!(bench.ttl(&found[0]) >= 24 * 3600);
        assert_eq!(bench.provider.background_work().undecodable, 1);
    })
    .unwrap();
}

#[test]
fn a_request_that_meets_an_undecodable_session_fails_and_leaves_no_lock() {
    run_real(async {
        let bench = bench(settings()).await;
        let store = bench.open(&seat(0)).await;
        store_new(&store, id(7), "hello").await;
        let _: u64 = bench.ask(&format!("HSET {TAG}_{ID}_Session data junk"));
        let request = request();
        let error = store.get_item_exclusive(&request, id(7)).await.unwrap_err();
        assert!(matches!(error, StoreError::Undecodable(_)), "{error}");
        store.end_request(&request).await.unwrap();
        let locked: u64 = bench.ask(&format!("HEXISTS {TAG}_{ID}_Session lock"));
        assert_eq!(locked, 0);
    })
    .unwrap();
}

#[test]
fn a_handler_that_throws_is_not_asked_again() {
    run_real(async {
        let bench = bench(settings()).await;
        let (store, ends) = bench.listen(&fast_seat(0, MINUTE)).await;
        ends.throws.set(true);
        store_new(&store, id(7), "hello").await;
        until("it is gone", || keys(&bench).is_empty()).await;
        store.dispose().await;
        assert_eq!(ends.seen.borrow().len(), 1);
        assert_eq!(bench.provider.background_work().failed_ends, 1);
    })
    .unwrap();
}

#[test]
fn no_more_handlers_run_at_once_than_allowed() {
    run_real(async {
        let bench = bench(RedisDeadline {
            handlers: 3,
            ..settings()
        })
        .await;
        let (store, ends) = bench.listen(&fast_seat(0, MINUTE)).await;
        ends.takes.set(Duration::from_millis(30));
        for number in 0..40 {
            store_new(&store, id(number), "hello").await;
        }
        until("every end", || ends.seen.borrow().len() == 40).await;
        assert_eq!(ends.most_at_work.get(), 3);
        store.dispose().await;
    })
    .unwrap();
}

#[test]
fn abandoning_raises_the_end_in_the_request() {
    run_real(async {
        let bench = bench(settings()).await;
        let (store, ends) = bench.listen(&seat(0)).await;
        store_new(&store, id(7), "hello").await;
        let request = request();
        let found = take(&store, &request, id(7)).await;
        store
            .remove_item(&request, id(7), found.lock.as_ref(), &found.item)
            .await
            .unwrap();
        assert_eq!(ends.seen.borrow()[0].notice.noticed, Noticed::Abandoned);
        assert!(keys(&bench).is_empty());
    })
    .unwrap();
}

#[test]
fn dispose_handles_what_is_claimed_and_then_raises_nothing() {
    run_real(async {
        let bench = bench(settings()).await;
        let (store, ends) = bench.listen(&fast_seat(0, MINUTE)).await;
        ends.takes.set(Duration::from_millis(200));
        for number in 0..5 {
            store_new(&store, id(number), "hello").await;
        }
        until("the first handler starts", || ends.at_work.get() > 0).await;
        store.dispose().await;
        assert_eq!(ends.at_work.get(), 0);
        let raised = ends.seen.borrow().len();
        sleep_until(now() + Duration::from_millis(300)).await;
        assert_eq!(ends.seen.borrow().len(), raised);
    })
    .unwrap();
}

#[test]
fn a_sleeper_outlives_its_redis_server() {
    run_real(async {
        let foreign = Foreign::start().await;
        let port = foreign.port;
        let redis = impatient(&foreign.address());
        let bench = bench(RedisDeadline {
            redis,
            ..settings()
        })
        .await;
        let (store, ends) = bench.listen(&fast_seat(0, MINUTE)).await;
        store_new(&store, id(7), "lost with the server's memory").await;
        drop(foreign);
        until("a claim failed", || {
            bench.provider.background_work().failed_ticks > 0
        })
        .await;
        let _again = Foreign::start_on(port).await;
        store_new(&store, id(8), "hello").await;
        until("session end", || ends.ids() == [id(8)]).await;
        store.dispose().await;
    })
    .unwrap();
}

#[test]
fn on_a_server_that_is_not_ours_nothing_remains() {
    run_real(async {
        let foreign = Foreign::start().await;
        let bench = bench(RedisDeadline {
            redis: on(&foreign.address()),
            ..settings()
        })
        .await;
        bench.put("somebody:else", b"x");
        let handler = Duration::from_secs(3600);
        let (store, _ends) = bench.ending(&fast_seat(0, MINUTE), handler).await;
        let holder = request();
        store_new(&store, id(8), "living").await;
        take(&store, &holder, id(8)).await;
        store.get_item_exclusive(&request(), id(8)).await.unwrap();
        drop(store);
        assert!(bench.provider.sample().await.unwrap().bytes_per_session > Some(100));
        bench.provider.close().await.unwrap();
        assert_eq!(bench.ask::<Vec<String>>("KEYS *"), ["somebody:else"]);
    })
    .unwrap();
}

#[test]
fn a_cluster_node_runs_every_script_and_all_keys_of_a_session_lie_in_one_slot() {
    run_real(async {
        let directory = tempfile::tempdir().unwrap();
        let port = free_port();
        let node = Foreign::start_with(
            port,
            &[
                "--port",
                &port.to_string(),
                "--cluster-enabled",
                "yes",
                // Without it the server adds 10,000 to its port, which may be too many.
                "--cluster-port",
                &free_port().to_string(),
                "--dir",
                directory.path().to_str().unwrap(),
            ],
        )
        .await;
        let node_itself = RefCell::new(raw(&node.address()));
        let cluster = |words: &[&str]| -> String {
            let mut command = redis::cmd("CLUSTER");
            command.arg(words);
            command.query(&mut *node_itself.borrow_mut()).unwrap()
        };
        cluster(&["ADDSLOTSRANGE", "0", "16383"]);
        until("the cluster is up", || {
            cluster(&["INFO"]).contains("cluster_state:ok")
        })
        .await;
        let bench = bench(RedisDeadline {
            redis: on(&node.address()),
            ..settings()
        })
        .await;
        let (store, ends) = bench.listen(&fast_seat(0, MINUTE)).await;
        ends.takes.set(Duration::from_millis(200));
        let (holder, waiter) = (request(), request());
        waiter.waits.set(true);
        store
            .create_uninitialized_item(&holder, id(7), Minutes(20))
            .await
            .unwrap();
        let found = take(&store, &holder, id(7)).await;
        store.get_item_exclusive(&waiter, id(7)).await.unwrap();
        let slots_of = |keys: &[String]| {
            let slot = |key: &String| bench.ask::<u64>(&format!("CLUSTER KEYSLOT {key}"));
            let mut slots: Vec<_> = keys.iter().map(slot).collect();
            slots.dedup();
            slots
        };
        let all = keys(&bench);
        assert_eq!(all.len(), 3, "index, session, waiters: {all:?}");
        assert_eq!(slots_of(&all).len(), 1, "{all:?}");
        store.end_request(&waiter).await.unwrap();
        store
            .set_and_release_item_exclusive(&holder, id(7), &item("x"), found.lock.as_ref(), false)
            .await
            .unwrap();
        store.get_item(&request(), id(7)).await.unwrap();
        store.reset_item_timeout(&request(), id(7)).await.unwrap();
        until("the handler starts", || ends.at_work.get() == 1).await;
        let all = keys(&bench);
        assert_eq!(slots_of(&all).len(), 1, "{all:?}");
        until("it is gone", || keys(&bench).is_empty()).await;
        store_new(&store, id(7), "again").await;
        let found = take(&store, &request(), id(7)).await;
        let lock = found.lock.as_ref();
        store
            .release_item_exclusive(&request(), id(7), lock.unwrap())
            .await
            .unwrap();
        store
            .remove_item(&request(), id(7), None, &found.item)
            .await
            .unwrap();
        assert!(keys(&bench).is_empty());
    })
    .unwrap();
}
