//! A Redis provider as a whole: connecting, telling, sampling, failing, cleaning up.

mod redis_support;

use redis_support::*;
use sessionbench::clock::{now, run_real};
use sessionbench::providers::redis::settings::{
    ManagedRedis, RedisServer, RedisSettings, RedisSitecore,
};
use sessionbench::providers::{ProviderSettings, Seat, connect};
use sessionbench::session::{Minutes, SessionId, StoreError, StoreKind};
use std::time::Duration;

#[test]
fn the_server_is_told_with_its_version_and_effective_settings() {
    run_real(async {
        let bench = Bench::new(microsoft(managed(&[("hz", 33)]))).await;
        let info = bench.provider.server().unwrap();
        assert_eq!(info.product, "redis-server");
        assert!(info.version.starts_with(|c: char| c.is_ascii_digit()));
        assert!(info.managed);
        assert_eq!(info.settings["hz"], "33");
        assert_eq!(info.settings["active-expire-effort"], "1");
        assert_eq!(info.settings["save"], "");
        let process: u32 = info.settings["process_id"].parse().unwrap();
        assert!(process > 0);
    })
    .unwrap();
}

#[test]
fn a_sample_tells_what_the_server_uses_and_a_session_costs() {
    run_real(async {
        let bench = Bench::microsoft().await;
        let store = bench.open(&seat(0)).await;
        assert_eq!(
            bench.provider.sample().await.unwrap().bytes_per_session,
            None
        );
        for number in 0..20 {
            store_new(&store, id(number), &"x".repeat(10_000)).await;
        }
        let sample = bench.provider.sample().await.unwrap();
        assert_eq!(sample.keys, Some(40));
        assert_eq!(sample.volatile_keys, Some(40));
        assert!(sample.memory_bytes > Some(200_000));
        assert!(sample.commands > Some(20));
        assert!(sample.bytes_in > Some(200_000));
        assert!(sample.cpu_seconds > Some(0.0));
        assert!(sample.clients >= Some(2));
        let session = sample.bytes_per_session.unwrap();
        assert!((10_000..15_000).contains(&session), "{session}");
    })
    .unwrap();
}

#[test]
fn other_volatile_keys_live_beside_the_sessions() {
    run_real(async {
        let redis = RedisSettings {
            server: RedisServer::Managed(ManagedRedis {
                other_volatile_keys: 12_345,
                ..ManagedRedis::default()
            }),
            ..RedisSettings::default()
        };
        let bench = Bench::new(microsoft(redis)).await;
        assert_eq!(bench.ask::<u64>("DBSIZE"), 12_345);
        assert_eq!(bench.ttl("other:12344"), 3600);
    })
    .unwrap();
}

#[test]
fn private_and_shared_sessions_lie_apart() {
    run_real(async {
        let bench = Bench::microsoft().await;
        let shared = Seat {
            kind: StoreKind::Shared,
            timeout: Minutes(21),
            ..seat(0)
        };
        let store = bench.open(&shared).await;
        store_new(&store, SessionId::shared(7), "hello").await;
        let mut keys: Vec<String> = bench.ask("KEYS *");
        keys.sort();
        let prefix = "{sessionbench_shared_00000000-0000-0000-0000-000000000007}";
        assert_eq!(keys[0], format!("{prefix}_SessionStateItemCollection"));
    })
    .unwrap();
}

#[test]
fn cleaning_up_leaves_foreign_keys_alone() {
    run_real(async {
        let foreign = Foreign::start().await;
        let settings = ProviderSettings::RedisSitecore(RedisSitecore {
            redis: on(&foreign.address()),
            ..RedisSitecore::default()
        });
        let theirs = connect(&settings, "run2").await.unwrap();
        let their_store = theirs.open(&seat(0)).await.unwrap();
        store_new(&their_store, id(7), "theirs").await;
        let bench = Bench::new(settings).await;
        bench.put("{sessionbench_private_cart}_Data", b"a shop's");
        bench.put(
            "{sessionbench_privatex_aaaaaaaaaaaaaaaaaaaaaaah}_Data",
            b"x",
        );
        bench.put("unrelated", b"x");
        let store = bench.open(&seat(0)).await;
        for number in 0..2500 {
            store_new(&store, id(number), "ours").await;
        }
        bench.provider.close().await.unwrap();
        let mut left: Vec<String> = bench.ask("KEYS *");
        left.sort();
        let expected = [
            "unrelated",
            "{sessionbench_private_cart}_Data",
            "{sessionbench_private_run2_aaaaaaaaaaaaaaaaaaaaaaah}_SessionStateItemCollection",
            "{sessionbench_private_run2_aaaaaaaaaaaaaaaaaaaaaaah}_SessionTimeout",
            "{sessionbench_private_run2}_Expirations",
            "{sessionbench_privatex_aaaaaaaaaaaaaaaaaaaaaaah}_Data",
        ];
        assert_eq!(left, expected);
        theirs.close().await.unwrap();
        assert_eq!(bench.ask::<u64>("DBSIZE"), 3);
    })
    .unwrap();
}

#[test]
fn closing_stops_a_managed_server() {
    run_real(async {
        let bench = Bench::microsoft().await;
        let address = bench.provider.server().unwrap().address.clone();
        bench.provider.close().await.unwrap();
        let client = redis::Client::open(format!("redis://{address}")).unwrap();
        assert!(client.get_connection().is_err());
    })
    .unwrap();
}

#[test]
fn a_database_of_a_foreign_server_is_used_alone() {
    run_real(async {
        let foreign = Foreign::start().await;
        let redis = on(&format!("{},defaultDatabase=5", foreign.address()));
        let provider = connect(&microsoft(redis), "").await.unwrap();
        let store = provider.open(&seat(0)).await.unwrap();
        store_new(&store, id(7), "hello").await;
        let mut raw = raw(&foreign.address());
        let zero: u64 = redis::cmd("DBSIZE").query(&mut raw).unwrap();
        assert_eq!(zero, 0);
        assert_eq!(provider.sample().await.unwrap().keys, Some(2));
    })
    .unwrap();
}

#[test]
fn a_server_that_dies_fails_every_request_and_hangs_none() {
    run_real(async {
        let foreign = Foreign::start().await;
        let port = foreign.port;
        let redis = RedisSettings {
            operationTimeoutInMilliseconds: 1000,
            retryTimeoutInMilliseconds: 200,
            ..on(&foreign.address())
        };
        let provider = connect(&microsoft(redis), "").await.unwrap();
        let store = provider.open(&seat(0)).await.unwrap();
        store_new(&store, id(7), "hello").await;
        drop(foreign);
        let started = now();
        let requests: Vec<_> = (0..200).map(|_| request()).collect();
        let gets = requests
            .iter()
            .map(|request| store.get_item(request, id(7)));
        let answers = futures_util::future::join_all(gets).await;
        for answer in answers {
            assert!(
                matches!(answer, Err(StoreError::Connection(_))),
                "{answer:?}"
            );
        }
        assert!(now().since(started) < Duration::from_secs(5));
        assert!(requests.iter().all(|request| request.retries.get() > 0));
        let _again = Foreign::start_on(port).await;
        store_new(&store, id(8), "hello").await;
        take(&store, &request(), id(8)).await;
    })
    .unwrap();
}

#[test]
fn an_option_without_effect_is_told_in_the_result() {
    run_real(async {
        let foreign = Foreign::start().await;
        let redis = on(&format!("{},channelPrefix=x", foreign.address()));
        let provider = connect(&microsoft(redis), "").await.unwrap();
        let info = provider.server().unwrap();
        assert!(!info.managed);
        assert_eq!(
            info.settings["ignored"],
            "option `channelPrefix` has no effect here"
        );
    })
    .unwrap();
}
