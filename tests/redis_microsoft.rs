//! Microsoft's Redis provider against a real server: what it stores, replies and costs.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod redis_support;

use redis_support::*;
use sessionbench::clock::run_real;
use sessionbench::providers::redis::settings::{MicrosoftVersion, RedisMicrosoft, RedisSettings};
use sessionbench::providers::{ProviderSettings, Seat};
use sessionbench::session::{Actions, GetItem, Item, LockId, Minutes, StoreError, Value};
use std::time::Duration;

/// Session 7's id as it stands in keys.
const KEY: &str = "{sessionbench_private_aaaaaaaaaaaaaaaaaaaaaaah}";

fn settings(version: MicrosoftVersion, redis: RedisSettings) -> ProviderSettings {
    ProviderSettings::RedisMicrosoft(RedisMicrosoft { version, redis })
}

async fn v2_to_4() -> Bench {
    Bench::new(settings(MicrosoftVersion::V2To4, RedisSettings::default())).await
}

#[test]
fn layout_5_stores_two_strings_that_expire_with_the_session() {
    run_real(async {
        let bench = Bench::microsoft().await;
        let store = bench.open(&seat(0)).await;
        store_new(&store, id(7), "hello").await;
        let data = format!("{KEY}_SessionStateItemCollection");
        let timeout = format!("{KEY}_SessionTimeout");
        assert_eq!(bench.ask::<String>(&format!("TYPE {data}")), "string");
        let stored: Vec<u8> = bench.ask(&format!("GET {data}"));
        assert_eq!(stored, item("hello").encode_items());
        assert_eq!(bench.ttl(&data), 1200);
        assert_eq!(bench.ask::<String>(&format!("GET {timeout}")), "1200");
        assert_eq!(bench.ttl(&timeout), 1200);
        assert_eq!(bench.ask::<u64>("DBSIZE"), 2);
    })
    .unwrap();
}

#[test]
fn a_lock_is_a_string_of_18_digit_ticks_that_expires_with_the_execution_timeout() {
    run_real(async {
        let bench = Bench::microsoft().await;
        let store = bench.open(&seat(0)).await;
        store_new(&store, id(7), "hello").await;
        let found = take(&store, &request(), id(7)).await;
        let lock: String = bench.ask(&format!("GET {KEY}_WriteLock"));
        assert_eq!(found.lock, Some(LockId::Text(lock.as_str().into())));
        assert_eq!(lock.len(), 18);
        assert_eq!(bench.ttl(&format!("{KEY}_WriteLock")), 110);
        assert_eq!(bench.ask::<u64>("DBSIZE"), 3);
    })
    .unwrap();
}

#[test]
fn layouts_2_to_4_store_a_hash_with_a_field_per_value() {
    run_real(async {
        let bench = v2_to_4().await;
        let store = bench.open(&seat(0)).await;
        let mut new = Item::new(Minutes(20));
        new.set("a", Value::Int32(1));
        new.set("b", Value::Boolean(true));
        store
            .set_and_release_item_exclusive(&request(), id(7), &new, None, true)
            .await
            .unwrap();
        let data = format!("{KEY}_Data");
        let internal = format!("{KEY}_Internal");
        assert_eq!(bench.ask::<String>(&format!("TYPE {data}")), "hash");
        let fields: Vec<Vec<u8>> = bench.ask(&format!("HGETALL {data}"));
        let expected: [&[u8]; 4] = [b"a", &[2, 1, 0, 0, 0], b"b", &[3, 1]];
        assert_eq!(fields, expected);
        assert_eq!(bench.ttl(&data), 1200);
        let timeout: Vec<String> = bench.ask(&format!("HGETALL {internal}"));
        assert_eq!(timeout, ["SessionTimeout", "1200"]);
        assert_eq!(bench.ttl(&internal), 1200);
    })
    .unwrap();
}

#[test]
fn layouts_2_to_4_write_only_what_changed() {
    run_real(async {
        let bench = v2_to_4().await;
        let store = bench.open(&seat(0)).await;
        let mut new = Item::new(Minutes(20));
        for name in ["changed", "removed", "kept"] {
            new.set(name, Value::Int32(1));
        }
        store
            .set_and_release_item_exclusive(&request(), id(7), &new, None, true)
            .await
            .unwrap();
        let request = request();
        let found = take(&store, &request, id(7)).await;
        // Somebody else writes the field that the request leaves alone.
        let _: u64 = bench.ask(&format!("HSET {KEY}_Data kept other"));
        let mut item = found.item;
        item.set("changed", Value::Int32(2));
        item.remove("removed");
        store
            .set_and_release_item_exclusive(&request, id(7), &item, found.lock.as_ref(), false)
            .await
            .unwrap();
        let names: Vec<String> = bench.ask(&format!("HKEYS {KEY}_Data"));
        assert_eq!(names, ["changed", "kept"]);
        let kept: String = bench.ask(&format!("HGET {KEY}_Data kept"));
        assert_eq!(kept, "other");
        let changed: Vec<u8> = bench.ask(&format!("HGET {KEY}_Data changed"));
        assert_eq!(changed, [2, 2, 0, 0, 0]);
        assert_eq!(bench.ask::<u64>(&format!("EXISTS {KEY}_Write_Lock")), 0);
    })
    .unwrap();
}

#[test]
fn layouts_2_to_4_do_not_store_an_empty_session_and_layout_5_does() {
    run_real(async {
        for (bench, keys) in [(v2_to_4().await, 0), (Bench::microsoft().await, 2)] {
            let store = bench.open(&seat(0)).await;
            let empty = Item::new(Minutes(20));
            store
                .set_and_release_item_exclusive(&request(), id(7), &empty, None, true)
                .await
                .unwrap();
            assert_eq!(bench.ask::<u64>("DBSIZE"), keys);
        }
    })
    .unwrap();
}

#[test]
fn what_is_stored_is_read_back_in_both_layouts() {
    run_real(async {
        for bench in [Bench::microsoft().await, v2_to_4().await] {
            let store = bench.open(&seat(0)).await;
            store_new(&store, id(7), "hello").await;
            let GetItem::Found(found) = store.get_item(&request(), id(7)).await.unwrap() else {
                panic!("not found");
            };
            assert_eq!(found.item, item("hello").stored());
            assert_eq!(found.lock, None);
            let found = take(&store, &request(), id(7)).await;
            assert_eq!(found.item, item("hello").stored());
        }
    })
    .unwrap();
}

#[test]
fn a_locked_session_tells_its_holder_and_the_age_of_the_lock() {
    run_real(async {
        let bench = Bench::microsoft().await;
        let (one, other) = (bench.open(&seat(0)).await, bench.open(&seat(1)).await);
        store_new(&one, id(7), "hello").await;
        let held = take(&one, &request(), id(7)).await.lock.unwrap();
        for answer in [
            other.get_item_exclusive(&request(), id(7)).await.unwrap(),
            other.get_item(&request(), id(7)).await.unwrap(),
        ] {
            let GetItem::Locked { age, lock } = answer else {
                panic!("not locked: {answer:?}");
            };
            assert_eq!(lock, held);
            assert!(age < Duration::from_secs(10));
        }
    })
    .unwrap();
}

#[test]
fn of_many_requests_at_once_one_gets_the_lock() {
    run_real(async {
        let bench = Bench::microsoft().await;
        let (one, other) = (bench.open(&seat(0)).await, bench.open(&seat(1)).await);
        store_new(&one, id(7), "hello").await;
        let requests: Vec<_> = (0..40).map(|_| request()).collect();
        let gets = requests.iter().enumerate().map(|(number, request)| {
            let store = if number % 2 == 0 { &one } else { &other };
            store.get_item_exclusive(request, id(7))
        });
        let answers = futures_util::future::join_all(gets).await;
        let found = answers
            .iter()
            .filter(|answer| matches!(answer, Ok(GetItem::Found(_))))
            .count();
        assert_eq!(found, 1);
    })
    .unwrap();
}

#[test]
fn a_lock_of_our_own_tick_that_another_took_is_not_ours() {
    run_real(async {
        // The script is asked with the ticks that hold the lock already: only the flag tells.
        let bench = Bench::microsoft().await;
        let store = bench.open(&seat(0)).await;
        store_new(&store, id(7), "hello").await;
        let script = include_str!("../src/providers/redis/scripts/v5/take_lock.lua");
        let ask = || -> Vec<redis::Value> {
            redis::cmd("EVAL")
                .arg(script)
                .arg(3)
                .arg(format!("{KEY}_WriteLock"))
                .arg(format!("{KEY}_SessionStateItemCollection"))
                .arg(format!("{KEY}_SessionTimeout"))
                .arg("638000000000000000")
                .arg(110)
                .query(&mut *bench.raw.borrow_mut())
                .unwrap()
        };
        assert_eq!(ask()[3], redis::Value::Nil);
        assert_eq!(ask()[3], redis::Value::Int(1));
    })
    .unwrap();
}

#[test]
fn a_stolen_lock_is_released_and_its_holders_write_is_lost_silently() {
    run_real(async {
        let bench = Bench::microsoft().await;
        let (holder, thief) = (bench.open(&seat(0)).await, bench.open(&seat(1)).await);
        store_new(&holder, id(7), "old").await;
        let slow = request();
        let held = take(&holder, &slow, id(7)).await;
        let lock = held.lock.as_ref();
        thief
            .release_item_exclusive(&request(), id(7), lock.unwrap())
            .await
            .unwrap();
        let stolen = request();
        let found = take(&thief, &stolen, id(7)).await;
        holder
            .set_and_release_item_exclusive(&slow, id(7), &item("lost"), lock, false)
            .await
            .unwrap();
        thief
            .set_and_release_item_exclusive(
                &stolen,
                id(7),
                &item("kept"),
                found.lock.as_ref(),
                false,
            )
            .await
            .unwrap();
        let found = take(&thief, &request(), id(7)).await;
        assert_eq!(text_of(&found.item), "kept");
    })
    .unwrap();
}

#[test]
fn a_foreign_lock_id_releases_writes_and_removes_nothing() {
    run_real(async {
        let bench = Bench::microsoft().await;
        let store = bench.open(&seat(0)).await;
        store_new(&store, id(7), "kept").await;
        take(&store, &request(), id(7)).await;
        let foreign = LockId::Text("1".into());
        let request = request();
        store
            .release_item_exclusive(&request, id(7), &foreign)
            .await
            .unwrap();
        store
            .set_and_release_item_exclusive(&request, id(7), &item("x"), Some(&foreign), false)
            .await
            .unwrap();
        store
            .remove_item(&request, id(7), Some(&foreign), &item("x"))
            .await
            .unwrap();
        assert_eq!(bench.ask::<u64>("DBSIZE"), 3);
        let data: Vec<u8> = bench.ask(&format!("GET {KEY}_SessionStateItemCollection"));
        assert_eq!(data, item("kept").encode_items());
    })
    .unwrap();
}

#[test]
fn a_lock_value_that_is_no_tick_count_is_old_enough_to_steal() {
    run_real(async {
        let bench = Bench::microsoft().await;
        let store = bench.open(&seat(0)).await;
        store_new(&store, id(7), "hello").await;
        bench.put(&format!("{KEY}_WriteLock"), b"nonsense");
        let answer = store.get_item_exclusive(&request(), id(7)).await.unwrap();
        let GetItem::Locked { age, lock } = answer else {
            panic!("not locked");
        };
        assert!(age > Duration::from_secs(110));
        store
            .release_item_exclusive(&request(), id(7), &lock)
            .await
            .unwrap();
        take(&store, &request(), id(7)).await;
    })
    .unwrap();
}

#[test]
fn every_verb_keeps_the_session_alive_even_a_waiters_get() {
    run_real(async {
        let bench = Bench::microsoft().await;
        let store = bench.open(&seat(0)).await;
        store_new(&store, id(7), "hello").await;
        let data = format!("{KEY}_SessionStateItemCollection");
        let age = || {
            let _: u64 = bench.ask(&format!("EXPIRE {data} 100"));
            let _: u64 = bench.ask(&format!("EXPIRE {KEY}_SessionTimeout 100"));
        };
        let alive = |verb: &str| {
            for key in [&data, &format!("{KEY}_SessionTimeout")] {
                assert_eq!(bench.ttl(key), 1200, "{verb}");
            }
        };
        age();
        store.get_item(&request(), id(7)).await.unwrap();
        alive("get_item");
        age();
        store.reset_item_timeout(&request(), id(7)).await.unwrap();
        alive("reset_item_timeout");
        age();
        let found = take(&store, &request(), id(7)).await;
        alive("get_item_exclusive");
        age();
        store.get_item_exclusive(&request(), id(7)).await.unwrap();
        alive("get_item_exclusive of a waiter");
        age();
        store
            .release_item_exclusive(&request(), id(7), &LockId::Text("1".into()))
            .await
            .unwrap();
        alive("release_item_exclusive with a foreign lock");
        age();
        store
            .set_and_release_item_exclusive(
                &request(),
                id(7),
                &item("x"),
                found.lock.as_ref(),
                false,
            )
            .await
            .unwrap();
        alive("set_and_release_item_exclusive");
    })
    .unwrap();
}

#[test]
fn creating_an_uninitialised_session_twice_overwrites_and_a_write_initialises_it() {
    run_real(async {
        let bench = Bench::microsoft().await;
        let store = bench.open(&seat(0)).await;
        store_new(&store, id(7), "hello").await;
        for _ in 0..2 {
            store
                .create_uninitialized_item(&request(), id(7), Minutes(20))
                .await
                .unwrap();
        }
        let found = take(&store, &request(), id(7)).await;
        assert_eq!(found.actions, Actions::InitializeItem);
        assert_eq!(found.item.get("data"), None);
        // A clean request leaves it uninitialised.
        store
            .release_item_exclusive(&request(), id(7), &found.lock.unwrap())
            .await
            .unwrap();
        let found = take(&store, &request(), id(7)).await;
        assert_eq!(found.actions, Actions::InitializeItem);
        let mut item = found.item;
        item.set("a", Value::Null);
        store
            .set_and_release_item_exclusive(&request(), id(7), &item, found.lock.as_ref(), false)
            .await
            .unwrap();
        let found = take(&store, &request(), id(7)).await;
        assert_eq!(found.actions, Actions::None);
    })
    .unwrap();
}

#[test]
fn a_missing_session_leaves_no_lock_behind() {
    run_real(async {
        let bench = Bench::microsoft().await;
        let store = bench.open(&seat(0)).await;
        let missing = store.get_item_exclusive(&request(), id(7)).await.unwrap();
        assert_eq!(missing, GetItem::Missing);
        assert_eq!(bench.ask::<u64>("DBSIZE"), 0);
    })
    .unwrap();
}

#[test]
fn an_undecodable_blob_looks_like_a_lost_session_and_is_counted() {
    run_real(async {
        let bench = Bench::microsoft().await;
        let store = bench.open(&seat(0)).await;
        bench.put(&format!("{KEY}_SessionStateItemCollection"), b"junk");
        let request = request();
        let answer = store.get_item_exclusive(&request, id(7)).await.unwrap();
        assert_eq!(answer, GetItem::Missing);
        assert_eq!(request.undecodable.get(), 1);
    })
    .unwrap();
}

#[test]
fn the_seconds_on_the_wire_come_back_as_minutes() {
    run_real(async {
        let bench = Bench::microsoft().await;
        let store = bench.open(&seat(0)).await;
        for (seconds, minutes) in [("1200", 20), ("1830", 30), ("60", 1)] {
            store_new(&store, id(7), "hello").await;
            bench.put(&format!("{KEY}_SessionTimeout"), seconds.as_bytes());
            let GetItem::Found(found) = store.get_item(&request(), id(7)).await.unwrap() else {
                panic!("not found");
            };
            assert_eq!(found.item.timeout(), Minutes(minutes), "{seconds}");
        }
        // Without the key the configured timeout counts.
        let _: u64 = bench.ask(&format!("DEL {KEY}_SessionTimeout"));
        let GetItem::Found(found) = store.get_item(&request(), id(7)).await.unwrap() else {
            panic!("not found");
        };
        assert_eq!(found.item.timeout(), Minutes(20));
    })
    .unwrap();
}

#[test]
fn a_scaled_minute_shortens_the_seconds_and_not_the_minutes() {
    run_real(async {
        let bench = Bench::microsoft().await;
        let scaled = Seat {
            timeout: Minutes(21),
            ..fast_seat(0, Duration::from_millis(1500))
        };
        let store = bench.open(&scaled).await;
        let mut new = item("hello");
        new.set_timeout(Minutes(21));
        store
            .set_and_release_item_exclusive(&request(), id(7), &new, None, true)
            .await
            .unwrap();
        let stored: String = bench.ask(&format!("GET {KEY}_SessionTimeout"));
        assert_eq!(stored, "32", "31.5 s, rounded up");
        let found = take(&store, &request(), id(7)).await;
        assert_eq!(found.item.timeout(), Minutes(21));
    })
    .unwrap();
}

#[test]
fn a_script_that_the_server_forgot_is_sent_again_as_text() {
    run_real(async {
        let bench = Bench::microsoft().await;
        let store = bench.open(&seat(0)).await;
        store_new(&store, id(7), "hello").await;
        let () = bench.ask("SCRIPT FLUSH");
        bench.reset_counts();
        let request = request();
        store.get_item(&request, id(7)).await.unwrap();
        store.get_item(&request, id(7)).await.unwrap();
        assert_eq!(bench.scripts_run(), (2, 1));
        assert_eq!(request.round_trips.get(), 3);
    })
    .unwrap();
}

#[test]
fn an_operation_that_is_not_answered_in_time_fails_at_its_limit_and_is_counted() {
    run_real(async {
        let redis = RedisSettings {
            operationTimeoutInMilliseconds: 100,
            retryTimeoutInMilliseconds: 0,
            ..RedisSettings::default()
        };
        let bench = Bench::new(settings(MicrosoftVersion::V5, redis)).await;
        let store = bench.open(&seat(0)).await;
        let () = bench.ask("CLIENT PAUSE 400");
        let request = request();
        let error = store.get_item(&request, id(7)).await.unwrap_err();
        let limit = Duration::from_millis(100);
        assert_eq!(error, StoreError::Timeout { limit });
        assert_eq!(request.timeouts.get(), 1);
        assert_eq!(request.round_trips.get(), 1);
    })
    .unwrap();
}

#[test]
fn a_time_out_is_tried_again_within_the_retry_timeout() {
    run_real(async {
        let redis = RedisSettings {
            operationTimeoutInMilliseconds: 100,
            retryTimeoutInMilliseconds: 5000,
            ..RedisSettings::default()
        };
        let bench = Bench::new(settings(MicrosoftVersion::V5, redis)).await;
        let store = bench.open(&seat(0)).await;
        store_new(&store, id(7), "hello").await;
        let () = bench.ask("CLIENT PAUSE 150");
        let request = request();
        let answer = store.get_item(&request, id(7)).await.unwrap();
        assert!(matches!(answer, GetItem::Found(_)));
        assert_eq!(request.timeouts.get(), 1);
        assert_eq!(request.retries.get(), 1);
    })
    .unwrap();
}

#[test]
fn with_throw_on_error_off_a_failed_store_looks_empty() {
    run_real(async {
        let redis = RedisSettings {
            operationTimeoutInMilliseconds: 50,
            retryTimeoutInMilliseconds: 0,
            throwOnError: false,
            ..RedisSettings::default()
        };
        let bench = Bench::new(settings(MicrosoftVersion::V5, redis)).await;
        let store = bench.open(&seat(0)).await;
        store_new(&store, id(7), "hello").await;
        let () = bench.ask("CLIENT PAUSE 200");
        let request = request();
        let answer = store.get_item_exclusive(&request, id(7)).await.unwrap();
        assert_eq!(answer, GetItem::Missing);
        assert_eq!(request.swallowed.get(), 1);
    })
    .unwrap();
}

#[test]
fn the_request_counts_the_bytes_on_the_wire() {
    run_real(async {
        let bench = Bench::microsoft().await;
        let store = bench.open(&seat(0)).await;
        store_new(&store, id(7), "hello").await;
        store.get_item(&request(), id(7)).await.unwrap();
        let before = bench.provider.sample().await.unwrap();
        let overhead = {
            // What one sample itself moves, from two in a row.
            let again = bench.provider.sample().await.unwrap();
            again.bytes_in.unwrap() - before.bytes_in.unwrap()
        };
        let request = request();
        for _ in 0..100 {
            store.get_item(&request, id(7)).await.unwrap();
        }
        let start = before.bytes_in.unwrap() + overhead;
        let after = bench.provider.sample().await.unwrap();
        let moved = after.bytes_in.unwrap() - start - overhead;
        let counted = request.bytes_sent.get();
        // A sample's commands vary by a few bytes with the cursor.
        assert!(moved.abs_diff(counted) < 100, "{moved} {counted}");
    })
    .unwrap();
}

#[test]
fn several_connections_share_the_load() {
    run_real(async {
        let redis = RedisSettings {
            connections_per_server: 4,
            ..RedisSettings::default()
        };
        let bench = Bench::new(settings(MicrosoftVersion::V5, redis)).await;
        let store = bench.open(&seat(0)).await;
        for number in 0..8 {
            store_new(&store, id(number), "hello").await;
        }
        let clients: String = bench.ask("CLIENT LIST");
        let last_command = |client: &&str| client.contains("cmd=eval");
        assert_eq!(clients.lines().filter(last_command).count(), 4);
    })
    .unwrap();
}

const V1: [MicrosoftVersion; 4] = [
    MicrosoftVersion::V1From4,
    MicrosoftVersion::V1From5,
    MicrosoftVersion::V1From6_1,
    MicrosoftVersion::V1From6_5,
];
/// Session 7's id as it stands in keys of versions 1.
const V1_KEY: &str = "sessionbench_private_aaaaaaaaaaaaaaaaaaaaaaah";

async fn on_v1(version: MicrosoftVersion) -> Bench {
    Bench::new(settings(version, RedisSettings::default())).await
}

/// Takes the lock of session 7 and writes it.
async fn write_7(
    store: &std::rc::Rc<dyn sessionbench::session::SessionStateStore>,
    text: &str,
) -> sessionbench::session::RequestContext {
    let request = request();
    let found = take(store, &request, id(7)).await;
    let mut changed = found.item;
    changed.set("data", Value::Text(text.into()));
    store
        .set_and_release_item_exclusive(&request, id(7), &changed, found.lock.as_ref(), false)
        .await
        .unwrap();
    request
}

#[test]
fn versions_1_store_what_2_to_4_do_under_keys_without_braces() {
    run_real(async {
        for version in V1 {
            let bench = on_v1(version).await;
            let store = bench.open(&seat(0)).await;
            store_new(&store, id(7), "hello").await;
            let data = format!("{V1_KEY}_Data");
            let fields: Vec<Vec<u8>> = bench.ask(&format!("HGETALL {data}"));
            assert_eq!(fields.len(), 2);
            let timeout: Vec<String> = bench.ask(&format!("HGETALL {V1_KEY}_Internal"));
            assert_eq!(timeout, ["SessionTimeout", "1200"]);
            let request = write_7(&store, "changed").await;
            store.end_request(&request).await.unwrap();
            let request = self::request();
            let found = take(&store, &request, id(7)).await;
            assert_eq!(text_of(&found.item), "changed");
            assert_eq!(bench.ask::<u64>("DBSIZE"), 3);
            assert!(bench.provider.sample().await.unwrap().bytes_per_session > Some(100));
        }
    })
    .unwrap();
}

#[test]
fn up_to_1_6_0_an_update_leaves_the_lock_to_the_end_of_the_request() {
    run_real(async {
        for (version, kept) in V1.into_iter().zip([1, 1, 0, 0]) {
            let bench = on_v1(version).await;
            let store = bench.open(&seat(0)).await;
            store_new(&store, id(7), "hello").await;
            let request = write_7(&store, "changed").await;
            let lock = format!("EXISTS {V1_KEY}_Write_Lock");
            assert_eq!(bench.ask::<u64>(&lock), kept, "{version:?}");
            store.end_request(&request).await.unwrap();
            assert_eq!(bench.ask::<u64>(&lock), 0, "{version:?}");
        }
    })
    .unwrap();
}

#[test]
fn up_to_1_6_4_gets_and_releases_do_not_keep_a_session_alive() {
    run_real(async {
        for (version, slides) in V1.into_iter().zip([false, false, false, true]) {
            let bench = on_v1(version).await;
            let store = bench.open(&seat(0)).await;
            store_new(&store, id(7), "hello").await;
            let age = || {
                for suffix in ["Data", "Internal"] {
                    let _: u64 = bench.ask(&format!("EXPIRE {V1_KEY}_{suffix} 300"));
                }
            };
            let alive = || bench.ttl(&format!("{V1_KEY}_Data")) == 1200;
            age();
            store.get_item(&request(), id(7)).await.unwrap();
            assert_eq!(alive(), slides, "{version:?}: get_item");
            age();
            let request = request();
            let found = take(&store, &request, id(7)).await;
            assert_eq!(alive(), slides, "{version:?}: get_item_exclusive");
            age();
            store
                .release_item_exclusive(&request, id(7), &found.lock.unwrap())
                .await
                .unwrap();
            assert_eq!(alive(), slides, "{version:?}: release_item_exclusive");
            age();
            write_7(&store, "changed").await;
            assert!(alive(), "{version:?}: an update");
        }
    })
    .unwrap();
}

#[test]
fn in_1_4_0_a_reset_keeps_nothing_alive() {
    run_real(async {
        for (version, alive) in V1.into_iter().zip([300, 1200, 1200, 1200]) {
            let bench = on_v1(version).await;
            let store = bench.open(&seat(0)).await;
            store_new(&store, id(7), "hello").await;
            let data = format!("{V1_KEY}_Data");
            let _: u64 = bench.ask(&format!("EXPIRE {data} 300"));
            store.reset_item_timeout(&request(), id(7)).await.unwrap();
            assert_eq!(bench.ttl(&data), alive, "{version:?}");
        }
    })
    .unwrap();
}

#[test]
fn in_1_4_0_two_servers_in_one_tick_both_take_the_lock() {
    run_real(async {
        let bench = on_v1(MicrosoftVersion::V1From4).await;
        let store = bench.open(&seat(0)).await;
        store_new(&store, id(7), "hello").await;
        let take_lock =
            include_str!("../src/providers/redis/scripts/v1/take_lock_1_4.lua").to_owned();
        let take_in_one_tick = || {
            let mut eval = redis::cmd("EVAL");
            eval.arg(&take_lock).arg(3);
            for suffix in ["Write_Lock", "Data", "Internal"] {
                eval.arg(format!("{V1_KEY}_{suffix}"));
            }
            eval.arg("638000000000000000").arg(110);
            let reply: (String, Vec<Vec<u8>>, String) =
                eval.query(&mut *bench.raw.borrow_mut()).unwrap();
            reply
        };
        let first = take_in_one_tick();
        assert_eq!(first.1.len(), 2, "the data");
        assert_eq!(take_in_one_tick(), first);
        // In another tick it is locked.
        let answer = store.get_item_exclusive(&request(), id(7)).await.unwrap();
        assert!(matches!(answer, GetItem::Locked { .. }), "{answer:?}");
    })
    .unwrap();
}

#[test]
fn versions_1_refuse_to_write_or_remove_without_a_lock_and_2_to_4_do_not() {
    run_real(async {
        let versions = V1.map(|version| (version, V1_KEY, 1));
        for (version, key, left) in versions
            .into_iter()
            .chain([(MicrosoftVersion::V2To4, KEY, 0)])
        {
            let bench = on_v1(version).await;
            let store = bench.open(&seat(0)).await;
            store_new(&store, id(7), "hello").await;
            store
                .remove_item(&request(), id(7), None, &item("x"))
                .await
                .unwrap();
            let exists: u64 = bench.ask(&format!("EXISTS {key}_Data"));
            assert_eq!(exists, left, "{version:?}");
        }
    })
    .unwrap();
}

#[test]
fn keys_without_braces_are_removed_from_a_server_that_is_not_ours() {
    run_real(async {
        let foreign = Foreign::start().await;
        let bench = Bench::new(settings(MicrosoftVersion::V1From4, on(&foreign.address()))).await;
        let store = bench.open(&seat(0)).await;
        store_new(&store, id(7), "hello").await;
        take(&store, &request(), id(7)).await;
        bench.put("sessionbench_private_cart", b"x");
        bench.provider.close().await.unwrap();
        assert_eq!(
            bench.ask::<Vec<String>>("KEYS *"),
            ["sessionbench_private_cart"]
        );
    })
    .unwrap();
}
