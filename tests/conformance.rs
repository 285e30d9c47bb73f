//! Every provider on its real server, held against the whole contract.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(non_snake_case, reason = "settings have their genuine names")]

mod conformance_support;
mod redis_support;

use conformance_support::{assert_behaves_as_documented, assert_documented};
use futures_util::future::join_all;
use redis_support::{Foreign, on, raw};
use sessionbench::clock::{run_real, run_virtual, sleep};
use sessionbench::conformance::{ConformanceError, Report, Subject, examine};
use sessionbench::providers::ProviderSettings;
use sessionbench::providers::inproc::Inproc;
use sessionbench::providers::redis::settings::{
    Claim, MicrosoftVersion, Notifications, Processing, RedisDeadline, RedisKeyspace,
    RedisMicrosoft, RedisPolled, RedisSitecore,
};
use sessionbench::providers::sql::settings::{RepositoryType, SqlAsync, SqlSitecore, SqlUniversal};
use sessionbench::providers::state_server::settings::StateServerSettings;
use sessionbench::quantity::Span;
use sessionbench::servers::state_server::start_program;
use std::future::pending;
use std::path::Path;
use std::time::Duration;

/// Examines providers on their real servers, all at once.
fn examine_on_real_servers<const N: usize>(settings: [ProviderSettings; N]) -> Vec<Report> {
    let reports = run_real(async move {
        let subjects = settings.each_ref().map(Subject::new);
        let examining = subjects.iter().map(|subject| examine(subject, pending()));
        join_all(examining).await
    });
    let reports = reports.unwrap().into_iter();
    reports.map(Result::unwrap).collect()
}

/// Holds the contract against providers on their real servers, all at once.
fn assert_documented_on_real_servers<const N: usize>(settings: [ProviderSettings; N]) {
    for report in examine_on_real_servers(settings) {
        assert_documented(&report);
    }
}

/// The same on private PostgreSQLs, which count no commands exactly: what they know of transactions
/// comes late and holds their own.
fn assert_documented_on_postgres<const N: usize>(settings: [ProviderSettings; N]) {
    for report in examine_on_real_servers(settings) {
        assert_behaves_as_documented(&report);
    }
}

#[test]
fn the_in_process_store_keeps_the_contract_but_where_its_table_says_otherwise() {
    let settings = ProviderSettings::Inproc(Inproc {});
    let examined = async move { examine(&Subject::new(&settings), pending()).await };
    let (report, _) = run_virtual(examined).unwrap();
    assert_documented(&report.unwrap());
}

#[test]
fn the_state_server_keeps_the_contract_but_where_its_table_says_otherwise() {
    start_program(Path::new(env!("CARGO_BIN_EXE_sessionbench")));
    let settings = StateServerSettings::default();
    assert_documented_on_real_servers([ProviderSettings::StateServer(settings)]);
}

#[test]
fn microsofts_provider_keeps_the_contract_but_where_its_table_says_otherwise() {
    let settings = [MicrosoftVersion::V5, MicrosoftVersion::V2To4].map(|version| RedisMicrosoft {
        version,
        ..RedisMicrosoft::default()
    });
    assert_documented_on_real_servers(settings.map(ProviderSettings::RedisMicrosoft));
}

#[test]
fn microsofts_first_versions_keep_the_contract_but_where_the_table_says_otherwise() {
    let settings = [
        MicrosoftVersion::V1From4,
        MicrosoftVersion::V1From5,
        MicrosoftVersion::V1From6_1,
        MicrosoftVersion::V1From6_5,
    ];
    let settings = settings.map(|version| RedisMicrosoft {
        version,
        ..RedisMicrosoft::default()
    });
    assert_documented_on_real_servers(settings.map(ProviderSettings::RedisMicrosoft));
}

#[test]
fn our_own_design_keeps_the_contract() {
    let settings = [
        RedisDeadline::default(),
        RedisDeadline {
            claim_lease: Span::from_secs(5),
            ..RedisDeadline::default()
        },
    ];
    assert_documented_on_real_servers(settings.map(ProviderSettings::RedisDeadline));
}

#[test]
fn the_designs_of_others_for_sitecore_keep_the_contract_but_where_their_tables_say_otherwise() {
    let settings = RedisPolled::default();
    assert_documented_on_real_servers([
        ProviderSettings::RedisMarkers(settings.clone()),
        ProviderSettings::RedisIndex(settings),
    ]);
}

#[test]
fn the_keyspace_design_keeps_the_contract_but_where_its_table_says_otherwise() {
    let settings = [
        RedisKeyspace::default(),
        RedisKeyspace {
            claim: Claim::Lock,
            notifications: Notifications::Keyevent,
            ..RedisKeyspace::default()
        },
    ];
    assert_documented_on_real_servers(settings.map(ProviderSettings::RedisKeyspace));
}

#[test]
fn sitecores_provider_keeps_the_contract_but_where_its_table_says_otherwise() {
    let settings = [
        RedisSitecore::default(),
        RedisSitecore {
            removeExpiredItemOnlyAfterSessionEndExecution: true,
            compression: true,
            ..RedisSitecore::default()
        },
        RedisSitecore {
            processing: Processing::Serial,
            ..RedisSitecore::default()
        },
    ];
    assert_documented_on_real_servers(settings.map(ProviderSettings::RedisSitecore));
}

#[test]
fn sitecores_sql_provider_keeps_the_contract_but_where_its_table_says_otherwise() {
    let settings = [false, true].map(|compression| SqlSitecore {
        compression,
        ..SqlSitecore::default()
    });
    assert_documented_on_postgres(settings.map(ProviderSettings::SqlSitecore));
}

#[test]
fn microsofts_asynchronous_sql_provider_keeps_the_contract_but_where_its_table_says_otherwise() {
    let settings = [
        (RepositoryType::FrameworkCompat, false),
        (RepositoryType::FrameworkCompat, true),
        (RepositoryType::SqlServer, false),
    ];
    let settings = settings.map(|(repositoryType, compressionEnabled)| SqlAsync {
        repositoryType,
        compressionEnabled,
        ..SqlAsync::default()
    });
    assert_documented_on_postgres(settings.map(ProviderSettings::SqlAsync));
}

#[test]
fn the_universal_providers_keep_the_contract_but_where_their_table_says_otherwise() {
    let settings = SqlUniversal::default();
    assert_documented_on_postgres([ProviderSettings::SqlUniversal(settings)]);
}

#[test]
fn an_interrupted_examination_leaves_a_foreign_server_as_it_was() {
    let (result, before, after) = run_real(async {
        let server = Foreign::start().await;
        let keys = || -> Vec<String> {
            let keys = redis::cmd("KEYS")
                .arg("*")
                .query(&mut raw(&server.address()));
            keys.unwrap()
        };
        let () = redis::cmd("SET")
            .arg("{theirs}_Data")
            .arg(1)
            .query(&mut raw(&server.address()))
            .unwrap();
        let subject = Subject::new(&ProviderSettings::RedisSitecore(RedisSitecore {
            redis: on(&server.address()),
            ..RedisSitecore::default()
        }));
        let mut before = 0;
        let interrupted = async {
            sleep(Duration::from_secs(2)).await;
            before = keys().len();
        };
        let result = examine(&subject, interrupted).await;
        (result, before, keys())
    })
    .unwrap();
    assert!(matches!(result, Err(ConformanceError::Interrupted)));
    assert!(before > 1, "nothing had been stored yet");
    assert_eq!(after, ["{theirs}_Data"]);
}
