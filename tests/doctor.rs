//! `sessionbench doctor` on Redis servers with settings that a cache may have and sessions may not,
//! on a server that is not there, and on stores without a server of their own.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod redis_support;

use assert_cmd::cargo::CommandCargoExt as _;
use redis_support::{Foreign, ask, everything, free_port, raw};
use sessionbench::clock::run_real;
use std::fs;
use std::process::{Command, Output};

/// The doctor on a scenario with this provider.
fn doctor(provider: &str, arguments: &[&str]) -> Output {
    let directory = tempfile::tempdir().unwrap();
    let scenario = directory.path().join("scenario.yaml");
    let text = format!(
        "name: x\ntime: {{duration: 2h, drain: 20min}}\n\
         contacts: {{arrivals: {{constant: {{rate: 10/s}}}}}}\nvisits: {{ajax: 2}}\n\
         clusters: {{web: {{servers: 4, private: a, shared: a}}}}\nallow_unsupported: true\n\
         providers: {{a: {provider}}}\n"
    );
    fs::write(&scenario, text).unwrap();
    let mut command = Command::cargo_bin("sessionbench").unwrap();
    command.arg("doctor").arg(scenario).args(arguments);
    command.output().unwrap()
}

/// The findings of the only provider, and the exit code.
fn findings(provider: &str) -> (Vec<serde_json::Value>, i32) {
    let output = doctor(provider, &["--json"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let told: serde_json::Value = serde_json::from_str(&text)
        .unwrap_or_else(|_| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)));
    let findings = told["examinations"][0]["findings"].as_array().unwrap();
    (findings.clone(), output.status.code().unwrap())
}

fn about<'a>(findings: &'a [serde_json::Value], subject: &str) -> &'a serde_json::Value {
    let found = findings.iter().find(|it| it["subject"] == subject);
    found.unwrap_or_else(|| panic!("nothing about {subject}: {findings:?}"))
}

/// A server with these arguments.
async fn server(arguments: &[&str]) -> Foreign {
    let port = free_port();
    let number = port.to_string();
    let with_port = [&["--port", &number], arguments].concat();
    Foreign::start_with(port, &with_port).await
}

fn on(provider: &str, address: &str) -> String {
    format!("{{{provider}: {{server: '{address}'}}}}")
}

#[test]
fn a_cache_is_told_what_it_would_do_to_sessions_and_is_left_as_it_was() {
    run_real(async {
        let cache = server(&[
            "--maxmemory-policy",
            "allkeys-lru",
            "--maxmemory",
            "100mb",
            "--maxclients",
            "24",
        ])
        .await;
        let address = cache.address();
        let mut other = raw(&address);
        for key in ["{sessionbench_private_x}_Data", "others"] {
            let () = ask(&mut other, &format!("SET {key} v EX 3600"));
        }
        let settings = |other: &mut redis::Connection| -> Vec<String> {
            let mut all: Vec<String> = ask(other, "CONFIG GET *");
            all.sort();
            all
        };
        let before = (everything(&address), settings(&mut other));

        let (found, code) = findings(&on("redis_keyspace", &address));
        assert_eq!(code, 1);
        for subject in ["notify-keyspace-events", "maxmemory-policy", "expiry scan"] {
            let finding = about(&found, subject);
            assert_eq!(finding["severity"], "problem", "{finding}");
            assert!(finding["remedy"].as_str().unwrap().contains("CONFIG SET"));
        }
        // 8 instances with 2 connections each; our own and the test's are open too.
        assert_eq!(about(&found, "connections")["severity"], "warning");
        assert_eq!(about(&found, "rights")["severity"], "ok");
        assert_eq!(about(&found, "clock")["severity"], "ok");
        // The worst comes first.
        assert_eq!(found[0]["severity"], "problem");
        assert_eq!(found[found.len() - 1]["severity"], "ok");

        assert_eq!((everything(&address), settings(&mut other)), before);
    })
    .unwrap();
}

#[test]
fn too_few_clients_are_a_problem() {
    run_real(async {
        let small = server(&["--maxclients", "8"]).await;
        let (found, _) = findings(&on("redis_keyspace", &small.address()));
        let finding = about(&found, "connections");
        assert_eq!(finding["severity"], "problem", "{finding}");
    })
    .unwrap();
}

#[test]
fn where_config_is_not_allowed_the_portal_is_named() {
    run_real(async {
        let hosted = server(&["--rename-command", "CONFIG", ""]).await;
        let (found, code) = findings(&on("redis_keyspace", &hosted.address()));
        assert_eq!(code, 1);
        let finding = about(&found, "notify-keyspace-events");
        assert_eq!(finding["severity"], "warning");
        assert!(
            finding["remedy"]
                .as_str()
                .unwrap()
                .contains("in the portal")
        );
        assert_eq!(about(&found, "maxmemory-policy")["what"], "noeviction");
    })
    .unwrap();
}

#[test]
fn commands_that_the_user_may_not_send_are_named() {
    run_real(async {
        let guarded = server(&[]).await;
        let mut admin = raw(&guarded.address());
        let user = "ACL SETUSER site on >made-up ~{sessionbench_* &* +@all -expire";
        let () = ask(&mut admin, user);
        let string = format!("{},user=site,password=made-up", guarded.address());
        let (found, _) = findings(&on("redis_sitecore", &string));
        let finding = about(&found, "rights");
        assert_eq!(finding["what"], "the user may not send EXPIRE");

        // A user who may not ask for rights is not told.
        let () = ask(&mut admin, "ACL SETUSER site -acl");
        let (found, _) = findings(&on("redis_sitecore", &string));
        assert_eq!(about(&found, "rights")["severity"], "note");
    })
    .unwrap();
}

#[test]
fn a_server_that_is_not_there_ends_with_3() {
    let output = doctor(
        &on("redis_sitecore", &format!("127.0.0.1:{}", free_port())),
        &[],
    );
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(text.contains("PROBLEM reachability"), "{text}");
}

#[test]
fn a_managed_server_is_examined_and_gone() {
    let output = doctor("{redis_sitecore: {}}", &["--json"]);
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let server = &told["examinations"][0]["server"];
    assert_eq!(server["managed"], true);
    let address = server["address"].as_str().unwrap();
    assert!(std::net::TcpStream::connect(address).is_err());
    assert_eq!(output.status.code(), Some(0), "{told}");
}

#[test]
fn every_master_of_a_cluster_is_examined() {
    let (found, code) =
        findings("{redis_keyspace: {shadow_key_lead: 5min, server: {managed: {cluster: 3}}}}");
    assert_eq!(about(&found, "cluster state")["severity"], "ok");
    assert_eq!(about(&found, "notify-keyspace-events")["severity"], "ok");
    assert_eq!(code, 0, "{found:?}");
}

#[test]
fn a_state_server_and_a_process_are_known_by_their_design() {
    let (found, code) = findings("{state_server: {}}");
    assert_eq!(about(&found, "session end")["severity"], "note");
    assert_eq!(about(&found, "round trip")["subject"], "round trip");
    assert_eq!(code, 0);
    let (found, code) = findings("{inproc: {}}");
    assert_eq!(about(&found, "persistence")["severity"], "note");
    assert_eq!(code, 0);
}

#[test]
fn a_scenario_that_is_wrong_ends_with_2() {
    let output = doctor("{redis_sitecore: {hz: 1}}", &[]);
    assert_eq!(output.status.code(), Some(2));
}
