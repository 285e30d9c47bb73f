//! Sitecore's MongoDB provider as a whole: a run, and the contract.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod conformance_support;
mod mongo_support;

use assert_cmd::cargo::CommandCargoExt as _;
use conformance_support::assert_behaves_as_documented;
use mongo_support::on_database;
use sessionbench::clock::run_real;
use sessionbench::conformance::{Subject, examine};
use sessionbench::providers::ProviderSettings;
use sessionbench::providers::mongo::settings::MongoSitecore;
use std::process::Command;

#[test]
#[ignore = "needs SESSIONBENCH_TEST_MONGODB"]
fn a_whole_run_ends_every_session_and_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("run.yaml");
    let server = on_database("sessionbench_test_run");
    let scenario = format!(
        "
name: run
time: {{ scale: 60, duration: 3min, drain: 15s }}
session: {{ timeout: 5min }}
contacts: {{ arrivals: {{ poisson: {{ rate: 40/min }} }} }}
visits: {{ pages: 3, think_time: 20s, ajax: 1, work: 5ms }}
clusters: {{ web: {{ servers: 2, private: store, shared: store }} }}
providers:
  store: {{ mongo_sitecore: {{ server: \"{server}\", pollingInterval: 1 }} }}
objectives: [ request.failed == 0, session_end.missed == 0, page_views.lost == 0 ]
"
    );
    std::fs::write(&file, scenario).unwrap();
    let report = directory.path().join("report");
    let output = Command::cargo_bin("sessionbench")
        .unwrap()
        .args(["run", "--quiet"])
        .arg(&file)
        .arg("--output")
        .arg(&report)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let text = std::fs::read_to_string(report.join("result.json")).unwrap_or(told);
    // A loaded machine may make the run invalid; what it measured must be right all the same.
    assert!(matches!(output.status.code(), Some(0 | 3)), "{text}");
    let result: serde_json::Value = serde_json::from_str(&text).unwrap();
    let objectives = result.pointer("/runs/0/objectives").unwrap();
    for objective in objectives.as_array().unwrap() {
        assert_eq!(objective["met"], true, "{objective}");
    }
}

#[test]
#[ignore = "needs SESSIONBENCH_TEST_MONGODB"]
fn the_contract_is_kept_but_where_the_table_says_otherwise() {
    let settings = MongoSitecore::on(on_database("sessionbench_test_conformance"));
    let settings = ProviderSettings::MongoSitecore(settings);
    let examining = async move { examine(&Subject::new(&settings), std::future::pending()).await };
    let report = run_real(examining).unwrap();
    assert_behaves_as_documented(&report.unwrap());
}
