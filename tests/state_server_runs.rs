//! Runs of scenarios on the state server, by the program as a user starts it: on a server that it
//! starts, on one that dies, and on one that is not its own.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod state_server_support;

use assert_cmd::cargo::CommandCargoExt as _;
use serde_json::Value;
use state_server_support::{MINUTE, Raw, start, statistics, until};
use std::fs;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// Private state on a state server; shared state in process, for which there is one CD server.
fn scenario(scale: u32, rate: &str, settings: &str) -> String {
    format!(
        "
name: test
time: {{ scale: {scale}, duration: 3min, drain: 1s }}
session: {{ timeout: 2min }}
contacts: {{ arrivals: {{ poisson: {{ rate: {rate} }} }} }}
visits: {{ pages: 3, think_time: 20s, ajax: 2, work: 5ms }}
clusters: {{ web: {{ servers: 1, private: states, shared: memory }} }}
providers:
  states: {{ state_server: {{ {settings} }} }}
  memory: {{ inproc: {{}} }}
"
    )
}

/// A run of the program. It is killed with the test, should it still run then.
struct Playing {
    child: Child,
    directory: TempDir,
}

impl Playing {
    fn start(scenario: &str) -> Self {
        let directory = TempDir::new().unwrap();
        let file = directory.path().join("scenario.yaml");
        fs::write(&file, scenario).unwrap();
        let child = Command::cargo_bin("sessionbench")
            .unwrap()
            .arg("run")
            .arg(file)
            .arg("--output")
            .arg(directory.path().join("report"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, directory }
    }

    /// Process and address of its managed server, once that holds sessions.
    fn server(&self) -> (String, String) {
        let pid = self.child.id();
        let children = format!("/proc/{pid}/task/{pid}/children");
        let mut server = String::new();
        until("its server has started", || {
            server = fs::read_to_string(&children).unwrap().trim().to_owned();
            !server.is_empty()
        });
        let log = format!("/proc/{server}/fd/1");
        let mut address = String::new();
        until("its server listens", || {
            let told = fs::read_to_string(&log).unwrap_or_default();
            address = told.trim().replace("listening on ", "");
            told.ends_with('\n')
        });
        until("it has sessions", || statistics(&address).sessions > 3);
        (server, address)
    }

    /// The run in the result, after looking that every sum holds in it.
    fn done(mut self) -> Value {
        self.child.wait().unwrap();
        let result = self.directory.path().join("report/result.json");
        let result: Value = serde_json::from_str(&fs::read_to_string(result).unwrap()).unwrap();
        let run = result["runs"][0].clone();
        for sum in run["conservation"].as_array().unwrap() {
            assert_eq!(sum["holds"], true, "{sum}");
        }
        run
    }
}

impl Drop for Playing {
    fn drop(&mut self) {
        // It is over in most tests.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn signal(signal: &str, process: &str) {
    let sent = Command::new("kill").args([signal, process]).status();
    assert!(sent.unwrap().success());
}

#[test]
fn a_scaled_scenario_plays_on_a_managed_server_that_is_gone_afterwards() {
    let playing = Playing::start(&scenario(60, "40/min", ""));
    let (_, address) = playing.server();
    let run = playing.done();
    assert_eq!(run["requests"]["failed"], serde_json::json!({}));
    assert!(run["requests"]["ok"].as_u64() > Some(10));
    let server = &run["clusters"][0]["private"]["server"];
    assert_eq!(server["product"], "sessionbench state-server");
    assert_eq!(server["settings"]["minute_seconds"], "1");
    assert!(run["servers"][0]["peak"]["keys"].as_u64() > Some(0));
    assert!(run["servers"][0]["after"]["cpu_seconds"].as_f64() > Some(0.0));
    assert!(std::net::TcpStream::connect(address).is_err());
}

#[test]
fn when_the_server_dies_requests_fail_and_the_run_is_invalid() {
    let playing = Playing::start(&scenario(60, "40/min", ""));
    let (process, _) = playing.server();
    signal("-KILL", &process);
    let run = playing.done();
    assert!(run["requests"]["failed"]["store_error"].as_u64() > Some(0));
    assert_eq!(run["validity"]["valid"], false);
}

#[test]
fn when_the_server_stands_still_requests_time_out() {
    let playing = Playing::start(&scenario(60, "40/min", "stateNetworkTimeout: 500ms"));
    let (process, _) = playing.server();
    signal("-STOP", &process);
    let run = playing.done();
    assert!(run["requests"]["failed"]["store_timeout"].as_u64() > Some(0));
}

#[test]
fn an_interrupted_run_leaves_a_foreign_server_as_it_was() {
    let server = start(MINUTE);
    let address = server.address();
    let mut raw = Raw::to(&server);
    raw.put("/other(aGFzaA==)/aaaaaaaaaaaaaaaaaaaaaaaa", "theirs");
    let settings = format!("server: \"tcpip={address}\"");
    let playing = Playing::start(&scenario(1, "1000/min", &settings));
    until("it has sessions", || statistics(address).sessions > 20);
    signal("-INT", &playing.child.id().to_string());
    let run = playing.done();
    assert_eq!(run["warnings"], serde_json::json!([]));
    assert_eq!(statistics(address).sessions, 1);
}

#[test]
fn a_harness_that_is_killed_takes_its_server_with_it() {
    let mut playing = Playing::start(&scenario(60, "40/min", ""));
    let (_, address) = playing.server();
    playing.child.kill().unwrap();
    until("its server is gone", || {
        std::net::TcpStream::connect(&address).is_err()
    });
}
