//! Every provider on its real server, held against the whole contract.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use sessionbench::clock::{run_real, run_virtual};
use sessionbench::conformance::{self, Report, Subject, Verdict, examine};
use sessionbench::providers::ProviderSettings;
use sessionbench::providers::inproc::Inproc;
use sessionbench::providers::redis::settings::{
    Claim, MicrosoftVersion, Notifications, Processing, RedisKeyspace, RedisMicrosoft,
    RedisSitecore,
};
use std::future::pending;

/// The suite on a provider's real server.
fn on_real_server(settings: ProviderSettings) -> Report {
    run_real(async move { examine(&Subject::new(&settings), pending()).await })
        .unwrap()
        .unwrap()
}

/// Every verdict is the documented one, nothing was left unseen without a reason, and the server
/// counted the round trips that the provider told.
fn assert_documented(report: &Report) {
    let mut wrong = Vec::new();
    let ends = report
        .behaviours
        .iter()
        .find(|it| it.behaviour == "end_raised");
    let raises_ends = ends.unwrap().verdict == Verdict::AsContracted;
    for finding in &report.behaviours {
        let excused =
            finding.verdict == Verdict::NotProbed && !raises_ends && finding.group == "session end";
        let good = [Verdict::AsContracted, Verdict::DeviatesAsDocumented];
        if !excused && !good.contains(&finding.verdict) {
            wrong.push(format!("{finding:?}"));
        }
    }
    for path in &report.round_trips {
        let counted = report.server.is_none() || path.counted.is_some();
        if !(counted && path.as_designed()) {
            wrong.push(format!("{path:?}"));
        }
    }
    wrong.extend(report.warnings.iter().cloned());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(report.as_documented());
    assert_eq!(report.behaviours.len(), conformance::all().count());
}

#[test]
fn the_in_process_store_keeps_the_contract_but_where_its_table_says_otherwise() {
    let settings = ProviderSettings::Inproc(Inproc {});
    let examined = async move { examine(&Subject::new(&settings), pending()).await };
    let (report, _) = run_virtual(examined).unwrap();
    assert_documented(&report.unwrap());
}

#[test]
fn microsofts_provider_5_keeps_the_contract_but_where_its_table_says_otherwise() {
    let settings = RedisMicrosoft::default();
    assert_documented(&on_real_server(ProviderSettings::RedisMicrosoft(settings)));
}

#[test]
fn microsofts_providers_2_to_4_keep_the_contract_but_where_their_table_says_otherwise() {
    let settings = RedisMicrosoft {
        version: MicrosoftVersion::V2To4,
        ..RedisMicrosoft::default()
    };
    assert_documented(&on_real_server(ProviderSettings::RedisMicrosoft(settings)));
}

#[test]
fn the_keyspace_design_keeps_the_contract_but_where_its_table_says_otherwise() {
    let settings = RedisKeyspace::default();
    assert_documented(&on_real_server(ProviderSettings::RedisKeyspace(settings)));
}

#[test]
fn the_keyspace_design_with_a_claim_ends_a_session_once() {
    let settings = RedisKeyspace {
        claim: Claim::Lock,
        notifications: Notifications::Keyevent,
        ..RedisKeyspace::default()
    };
    assert_documented(&on_real_server(ProviderSettings::RedisKeyspace(settings)));
}

#[test]
fn sitecores_provider_keeps_the_contract_but_where_its_table_says_otherwise() {
    let settings = RedisSitecore::default();
    assert_documented(&on_real_server(ProviderSettings::RedisSitecore(settings)));
}

#[test]
fn sitecores_provider_with_removal_after_the_end_does_so_too() {
    let settings = RedisSitecore {
        removeExpiredItemOnlyAfterSessionEndExecution: true,
        compression: true,
        ..RedisSitecore::default()
    };
    assert_documented(&on_real_server(ProviderSettings::RedisSitecore(settings)));
}

#[test]
fn sitecores_provider_with_serial_processing_does_so_too() {
    let settings = RedisSitecore {
        processing: Processing::Serial,
        ..RedisSitecore::default()
    };
    assert_documented(&on_real_server(ProviderSettings::RedisSitecore(settings)));
}
