//! Sitecore's Redis provider and its poller, on a real server.

mod redis_support;

use redis_support::*;
use sessionbench::clock::{run_real, sleep_until};
use sessionbench::providers::redis::settings::{Processing, Queued, RedisSitecore};
use sessionbench::providers::{ConnectError, ProviderSettings, connect};
use sessionbench::session::{GetItem, Minutes, Noticed, StoreError};
use std::time::Duration;

const KEY: &str = "{sessionbench_private_aaaaaaaaaaaaaaaaaaaaaaah}";
const INDEX: &str = "{sessionbench_private}_Expirations";
/// 20 of these are 1 s.
const MINUTE: Duration = Duration::from_millis(50);

fn settings() -> RedisSitecore {
    RedisSitecore {
        pollingInterval: 1,
        ..RedisSitecore::default()
    }
}

fn serial() -> RedisSitecore {
    RedisSitecore {
        processing: Processing::Serial,
        ..settings()
    }
}

fn queued(threads: u32, remove_after: bool) -> RedisSitecore {
    RedisSitecore {
        processing: Processing::Queued(Queued {
            SessionExpirationThreadCount: threads,
        }),
        removeExpiredItemOnlyAfterSessionEndExecution: remove_after,
        ..settings()
    }
}

async fn bench(settings: RedisSitecore) -> Bench {
    Bench::new(ProviderSettings::RedisSitecore(settings)).await
}

/// Lets a session's deadline pass, without waiting for it.
fn expire(bench: &Bench, member: &str) {
    let _: u64 = bench.ask(&format!("ZADD {INDEX} XX 1 {member}"));
}

fn server_ms(bench: &Bench) -> u64 {
    let time: Vec<u64> = bench.ask("TIME");
    time[0] * 1000 + time[1] / 1000
}

#[test]
fn a_session_is_a_whole_frame_and_a_deadline_in_the_index() {
    run_real(async {
        for compression in [false, true] {
            let bench = bench(RedisSitecore {
                compression,
                ..settings()
            })
            .await;
            let store = bench.open(&seat(0)).await;
            store_new(&store, id(7), "hello").await;
            let stored: Vec<u8> = bench.ask(&format!("GET {KEY}_SessionStateItemCollection"));
            let expected = if compression {
                item("hello").encode_compressed()
            } else {
                item("hello").encode()
            };
            assert_eq!(stored, expected);
            let deadline: f64 = bench.ask(&format!("ZSCORE {INDEX} aaaaaaaaaaaaaaaaaaaaaaah"));
            let left = deadline as u64 - server_ms(&bench);
            assert!((1_195_000..=1_200_000).contains(&left), "{left}");
            let found = take(&store, &request(), id(7)).await;
            assert_eq!(text_of(&found.item), "hello");
            assert_eq!(found.item.timeout(), Minutes(20));
        }
    })
    .unwrap();
}

#[test]
fn every_verb_moves_the_deadline_and_costs_what_microsofts_costs() {
    run_real(async {
        let bench = bench(settings()).await;
        let store = bench.open(&seat(0)).await;
        store_new(&store, id(7), "hello").await;
        let age = || {
            let soon = server_ms(&bench) + 5000;
            let _: u64 = bench.ask(&format!("ZADD {INDEX} XX {soon} aaaaaaaaaaaaaaaaaaaaaaah"));
        };
        let alive = |verb: &str| {
            let deadline: f64 = bench.ask(&format!("ZSCORE {INDEX} aaaaaaaaaaaaaaaaaaaaaaah"));
            assert!(deadline as u64 > server_ms(&bench) + 1_190_000, "{verb}");
        };
        age();
        store.get_item(&request(), id(7)).await.unwrap();
        alive("get_item");
        age();
        store.reset_item_timeout(&request(), id(7)).await.unwrap();
        alive("reset_item_timeout");
        for _warm in 0..2 {
            let request = request();
            age();
            let found = take(&store, &request, id(7)).await;
            alive("get_item_exclusive");
            age();
            let lock = found.lock.as_ref();
            store
                .set_and_release_item_exclusive(&request, id(7), &item("x"), lock, false)
                .await
                .unwrap();
            alive("set_and_release_item_exclusive");
            age();
            store.end_request(&request).await.unwrap();
            alive("release_item_exclusive");
            if _warm == 1 {
                assert_eq!(request.round_trips.get(), 3);
            }
        }
    })
    .unwrap();
}

#[test]
fn an_expired_session_ends_at_a_tick_and_leaves_the_store() {
    run_real(async {
        for settings in [serial(), queued(4, false), queued(4, true)] {
            let bench = bench(settings).await;
            let (store, ends) = bench.listen(&fast_seat(0, MINUTE)).await;
            store_new(&store, id(7), "hello").await;
            until("session end", || !ends.seen.borrow().is_empty()).await;
            {
                let seen = ends.seen.borrow();
                assert_eq!(text_of(seen[0].notice.item.as_ref().unwrap()), "hello");
                let Noticed::Tick { origin, period } = seen[0].notice.noticed else {
                    panic!("{:?}", seen[0].notice.noticed);
                };
                assert_eq!(period, Duration::from_secs(1));
                let phase = seen[0].at.since(origin).as_nanos() % period.as_nanos();
                assert!(phase < 500_000_000, "it ended {phase} ns after a tick");
            }
            until("it is gone", || bench.ask::<u64>("DBSIZE") == 0).await;
            store.dispose().await;
            assert_eq!(ends.seen.borrow().len(), 1);
        }
    })
    .unwrap();
}

#[test]
fn several_pollers_raise_every_end_once() {
    run_real(async {
        let bench = bench(settings()).await;
        let (one, ends_of_one) = bench.listen(&fast_seat(0, MINUTE)).await;
        let (other, ends_of_other) = bench.listen(&fast_seat(1, MINUTE)).await;
        for number in 0..50 {
            store_new(&one, id(number), "hello").await;
        }
        until("every session is gone", || bench.ask::<u64>("DBSIZE") == 0).await;
        one.dispose().await;
        other.dispose().await;
        let mut ids = [ends_of_one.ids(), ends_of_other.ids()].concat();
        assert_eq!(ids.len(), 50);
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 50);
    })
    .unwrap();
}

#[test]
fn serial_processing_handles_one_end_at_a_time_and_threads_several() {
    run_real(async {
        for (settings, at_once) in [(serial(), 1), (queued(3, false), 3), (queued(3, true), 3)] {
            let bench = bench(settings).await;
            let (store, ends) = bench.listen(&fast_seat(0, MINUTE)).await;
            ends.takes.set(Duration::from_millis(30));
            for number in 0..9 {
                store_new(&store, id(number), "hello").await;
            }
            until("all ends", || ends.seen.borrow().len() == 9).await;
            assert_eq!(ends.most_at_work.get(), at_once);
            store.dispose().await;
        }
    })
    .unwrap();
}

#[test]
fn removed_before_the_handler_a_session_is_gone_while_its_end_is_handled() {
    run_real(async {
        let bench = bench(queued(1, false)).await;
        let handler = Duration::from_millis(300);
        let (store, _ends) = bench.ending(&fast_seat(0, MINUTE), handler).await;
        assert_eq!(bench.ask::<u64>("DBSIZE"), 0);
        let answer = store.get_item_exclusive(&request(), id(7)).await.unwrap();
        assert_eq!(answer, GetItem::Missing);
    })
    .unwrap();
}

#[test]
fn removed_after_the_handler_a_session_is_locked_while_its_end_is_handled() {
    run_real(async {
        let bench = bench(queued(1, true)).await;
        let handler = Duration::from_millis(300);
        let (store, _ends) = bench.ending(&fast_seat(0, MINUTE), handler).await;
        let answer = store.get_item_exclusive(&request(), id(7)).await.unwrap();
        assert!(matches!(answer, GetItem::Locked { .. }), "{answer:?}");
        assert_eq!(bench.ttl(&format!("{KEY}_WriteLock")), 120);
        until("it is gone", || bench.ask::<u64>("DBSIZE") == 0).await;
    })
    .unwrap();
}

#[test]
fn a_claim_whose_poller_died_is_due_again_after_its_lease() {
    run_real(async {
        let bench = bench(queued(1, true)).await;
        let handler = Duration::from_secs(3600);
        let (dying, _ends) = bench.ending(&fast_seat(0, MINUTE), handler).await;
        let due: f64 = bench.ask(&format!("ZSCORE {INDEX} aaaaaaaaaaaaaaaaaaaaaaah"));
        let lease = due as u64 - server_ms(&bench);
        assert!((110_000..=120_000).contains(&lease), "{lease}");
        // It dies, and its lease runs out.
        drop(dying);
        let _: u64 = bench.ask(&format!("DEL {KEY}_WriteLock"));
        expire(&bench, "aaaaaaaaaaaaaaaaaaaaaaah");
        let (_other, again) = bench.listen(&fast_seat(1, MINUTE)).await;
        until("it ends again", || !again.seen.borrow().is_empty()).await;
    })
    .unwrap();
}

#[test]
fn a_handler_that_throws_loses_its_visit() {
    run_real(async {
        for settings in [serial(), queued(1, false), queued(1, true)] {
            let bench = bench(settings).await;
            let (store, ends) = bench.listen(&fast_seat(0, MINUTE)).await;
            ends.throws.set(true);
            store_new(&store, id(7), "hello").await;
            until("it is gone", || bench.ask::<u64>("DBSIZE") == 0).await;
            store.dispose().await;
            assert_eq!(ends.seen.borrow().len(), 1);
            assert_eq!(bench.provider.background_work().failed_ends, 1);
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
        expire(&bench, "aaaaaaaaaaaaaaaaaaaaaaah");
        store_new(&store, id(8), "free").await;
        until("the free one ends", || !ends.seen.borrow().is_empty()).await;
        assert_eq!(ends.ids(), [id(8)]);
        store
            .release_item_exclusive(&request, id(7), &found.lock.unwrap())
            .await
            .unwrap();
        until("the other one ends", || ends.seen.borrow().len() == 2).await;
    })
    .unwrap();
}

#[test]
fn a_session_that_cannot_be_decoded_blocks_all_behind_it_without_a_busy_loop() {
    run_real(async {
        let bench = bench(settings()).await;
        let (store, ends) = bench.listen(&fast_seat(0, MINUTE)).await;
        store_new(&store, id(7), "hello").await;
        store_new(&store, id(8), "behind").await;
        bench.put(&format!("{KEY}_SessionStateItemCollection"), b"junk");
        expire(&bench, "aaaaaaaaaaaaaaaaaaaaaaah");
        until("three ticks failed", || {
            bench.provider.background_work().failed_ticks == 3
        })
        .await;
        assert!(ends.seen.borrow().is_empty(), "the one behind is blocked");
        let work = bench.provider.background_work();
        assert_eq!(work.undecodable, 3, "once per tick");
        // Flushing the pill is the cure.
        let _: u64 = bench.ask(&format!("DEL {KEY}_SessionStateItemCollection"));
        until("the one behind ends", || ends.ids() == [id(8)]).await;
    })
    .unwrap();
}

#[test]
fn a_request_that_meets_an_undecodable_session_fails() {
    run_real(async {
        let bench = bench(settings()).await;
        let store = bench.open(&seat(0)).await;
        store_new(&store, id(7), "hello").await;
        bench.put(&format!("{KEY}_SessionStateItemCollection"), b"junk");
        let request = request();
        let error = store.get_item_exclusive(&request, id(7)).await.unwrap_err();
        assert!(matches!(error, StoreError::Undecodable(_)));
        store.end_request(&request).await.unwrap();
        assert_eq!(bench.ask::<u64>(&format!("EXISTS {KEY}_WriteLock")), 0);
    })
    .unwrap();
}

#[test]
fn a_slow_tick_skips_the_ones_that_come_meanwhile() {
    run_real(async {
        let bench = bench(serial()).await;
        let (store, ends) = bench.listen(&fast_seat(0, MINUTE)).await;
        let origin = sessionbench::clock::now();
        ends.takes.set(Duration::from_millis(1500));
        store_new(&store, id(7), "hello").await;
        until("the handler starts", || ends.at_work.get() == 1).await;
        let before = bench.provider.background_work().ticks;
        until("the handler is done", || ends.at_work.get() == 0).await;
        until("the next tick", || {
            bench.provider.background_work().ticks > before
        })
        .await;
        assert_eq!(bench.provider.background_work().ticks, before + 1);
        let phase = sessionbench::clock::now().since(origin).as_millis() % 1000;
        assert!(phase < 500, "the grid stays: {phase} ms after a tick");
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
        assert_eq!(bench.ask::<u64>("DBSIZE"), 0);
    })
    .unwrap();
}

#[test]
fn a_server_without_polling_leaves_the_ends_to_others() {
    run_real(async {
        let bench = bench(RedisSitecore {
            pollingEnabled: false,
            ..settings()
        })
        .await;
        let (store, _ends) = bench.listen(&fast_seat(0, MINUTE)).await;
        store_new(&store, id(7), "hello").await;
        let late = sessionbench::clock::now() + Duration::from_millis(2200);
        sleep_until(late).await;
        assert_eq!(bench.provider.background_work().ticks, 0);
        assert_eq!(bench.ask::<u64>("DBSIZE"), 3);
    })
    .unwrap();
}

#[test]
fn dispose_handles_what_is_queued_and_then_raises_nothing() {
    run_real(async {
        let bench = bench(queued(1, false)).await;
        let (store, ends) = bench.listen(&fast_seat(0, MINUTE)).await;
        ends.takes.set(Duration::from_millis(50));
        for number in 0..5 {
            store_new(&store, id(number), "hello").await;
        }
        until("all are queued", || {
            bench.provider.background_work().claimed == 5
        })
        .await;
        store.dispose().await;
        assert_eq!(ends.seen.borrow().len(), 5);
        assert_eq!(ends.at_work.get(), 0);
    })
    .unwrap();
}

#[test]
fn a_poller_outlives_its_server() {
    run_real(async {
        let foreign = Foreign::start().await;
        let port = foreign.port;
        let redis = impatient(&foreign.address());
        let bench = bench(RedisSitecore {
            redis,
            ..settings()
        })
        .await;
        let (store, ends) = bench.listen(&fast_seat(0, MINUTE)).await;
        store_new(&store, id(7), "lost").await;
        drop(foreign);
        let request = request();
        let error = store.get_item(&request, id(7)).await.unwrap_err();
        assert!(matches!(error, StoreError::Connection(_)), "{error}");
        assert!(request.retries.get() > 0);
        until("a tick failed", || {
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
fn a_polling_interval_beyond_the_allowed_is_refused() {
    run_real(async {
        let settings = ProviderSettings::RedisSitecore(RedisSitecore {
            pollingInterval: 121,
            ..settings()
        });
        let refused = connect(&settings, "").await.err();
        assert!(matches!(refused, Some(ConnectError::Settings(_))));
    })
    .unwrap();
}
