//! What a run says when its store is killed, emptied, filled, silenced or taken away: a clear error
//! or counted failures, never a hang and never a silent success.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod redis_support;

use assert_cmd::cargo::CommandCargoExt as _;
use redis::ConnectionLike as _;
use redis_support::{Foreign, everything, free_port, raw};
use serde_json::Value;
use sessionbench::clock::run_real;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Stdio};
use tempfile::TempDir;

/// Sessions of two seconds on a provider, three seconds of visitors, two of drain. A failed
/// operation is given up at once, so that no test waits for the genuine five seconds.
fn scenario(provider: &str, settings: &str) -> String {
    format!(
        "
name: test
time: {{ scale: 60, duration: 3min, drain: 2s }}
session: {{ timeout: 2min }}
contacts: {{ arrivals: {{ poisson: {{ rate: 40/min }} }} }}
visits: {{ pages: 3, think_time: 20s, ajax: 1, work: 5ms }}
clusters: {{ web: {{ private: store, shared: store }} }}
providers:
  store: {{ {provider}: {{ retryTimeoutInMilliseconds: 0, operationTimeoutInMilliseconds: 500, {settings} }} }}
objectives: [ request.failed == 0, session_end.missed == 0 ]
"
    )
}

fn sitecore(settings: &str) -> String {
    scenario("redis_sitecore", settings)
}

/// `server: …` for a server of ours.
fn at(server: &Foreign) -> String {
    format!("server: \"{}\"", server.address())
}

fn foreign() -> Foreign {
    run_real(Foreign::start()).unwrap()
}

/// A run of the program. It is killed with the test, should it still run then.
struct Playing {
    child: Child,
    told: BufReader<ChildStderr>,
    directory: TempDir,
}

impl Playing {
    fn start(scenario: &str) -> Self {
        Self::start_in(scenario, |directory| directory.path().join("report"))
    }

    fn start_in(scenario: &str, output: impl Fn(&TempDir) -> PathBuf) -> Self {
        let directory = TempDir::new().unwrap();
        let file = directory.path().join("scenario.yaml");
        fs::write(&file, scenario).unwrap();
        let mut child = Command::cargo_bin("sessionbench")
            .unwrap()
            .arg("run")
            .arg(file)
            .arg("--output")
            .arg(output(&directory))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let told = BufReader::new(child.stderr.take().unwrap());
        Self {
            child,
            told,
            directory,
        }
    }

    /// Waits until the run has started.
    fn started(mut self) -> Self {
        let mut line = String::new();
        while !line.contains("up to") {
            line.clear();
            assert!(self.told.read_line(&mut line).unwrap() > 0, "no run");
        }
        self
    }

    /// Process and address of its managed server.
    fn server(&self) -> (String, String) {
        let pid = self.child.id();
        let children = format!("/proc/{pid}/task/{pid}/children");
        until(|| {
            let server = fs::read_to_string(&children).ok()?.trim().to_owned();
            let title = fs::read_to_string(format!("/proc/{server}/cmdline")).ok()?;
            // Redis writes its address into its title once it listens.
            let address = title.trim_matches('\0').strip_prefix("redis-server ")?;
            let address = address.split_whitespace().next()?.to_owned();
            address
                .starts_with("127.0.0.1:")
                .then_some((server, address))
        })
    }

    /// Exit code, everything told, and the result if there is one.
    fn done(mut self) -> (i32, String, Option<Value>) {
        let mut told = String::new();
        self.told.read_to_string(&mut told).unwrap();
        let code = self.child.wait().unwrap().code().expect("it panicked");
        let result = self.directory.path().join("report/result.json");
        let result = fs::read_to_string(result).ok();
        let result = result.map(|text| serde_json::from_str(&text).unwrap());
        (code, told, result)
    }

    /// The run in the result, after looking that every sum holds in it. (The exit code of a run with
    /// faults is 1, or 3 where the machine is too busy for a valid one.)
    fn run(self) -> (i32, Value) {
        let (code, told, result) = self.done();
        let run = result.expect(&told)["runs"][0].clone();
        for sum in run["conservation"].as_array().expect(&told) {
            assert_eq!(sum["holds"], true, "{sum}");
        }
        (code, run)
    }
}

impl Drop for Playing {
    fn drop(&mut self) {
        // It is over in most tests.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks again until there is an answer.
#[allow(
    clippy::disallowed_methods,
    reason = "it waits for another process, on no clock of ours"
)]
fn until<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    for _ in 0..10_000 {
        if let Some(answer) = ask() {
            return answer;
        }
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    panic!("never happened");
}

fn ask<T: redis::FromRedisValue>(address: &str, command: &[&str]) -> T {
    let mut cmd = redis::cmd(command[0]);
    cmd.arg(&command[1..]);
    let value = raw(address).req_command(&cmd).unwrap();
    redis::from_redis_value(value.extract_error().unwrap()).unwrap()
}

fn keys(address: &str) -> Vec<String> {
    ask(address, &["KEYS", "*"])
}

/// Waits until sessions lie on a server.
fn some_sessions(address: &str) {
    until(|| (keys(address).len() > 50).then_some(()));
}

fn private_ends<'a>(run: &'a Value, number: &str) -> &'a Value {
    let kinds = run["session_ends"].as_array().unwrap();
    &kinds.iter().find(|ends| ends["kind"] == "private").unwrap()[number]
}

fn count(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

fn signal(signal: &str, process: &str) {
    let sent = Command::new("kill").args([signal, process]).status();
    assert!(sent.unwrap().success());
}

#[test]
fn when_the_server_dies_requests_fail_and_sessions_are_missed() {
    let playing = Playing::start(&sitecore("")).started();
    let (process, address) = playing.server();
    some_sessions(&address);
    signal("-KILL", &process);
    let (code, run) = playing.run();
    assert_eq!(code, 3);
    assert_eq!(run["validity"]["valid"], false);
    assert!(count(&run["requests"]["failed"]["store_error"]) > 0);
    assert!(count(private_ends(&run, "missed")) > 0);
}

#[test]
fn when_the_server_stands_still_requests_time_out() {
    let playing = Playing::start(&sitecore("")).started();
    let (process, address) = playing.server();
    some_sessions(&address);
    signal("-STOP", &process);
    let (code, run) = playing.run();
    assert_ne!(code, 0);
    assert!(count(&run["requests"]["failed"]["store_timeout"]) > 0);
}

#[test]
fn when_a_server_comes_back_empty_its_sessions_are_gone_and_the_others_work() {
    let server = foreign();
    let playing = Playing::start(&sitecore(&at(&server))).started();
    some_sessions(&server.address());
    let port = server.port;
    drop(server);
    let server = run_real(Foreign::start_on(port)).unwrap();
    let (code, run) = playing.run();
    assert_ne!(code, 0);
    assert!(count(private_ends(&run, "missed")) > 0);
    assert!(count(private_ends(&run, "ended_once")) > 0);
    assert_eq!(keys(&server.address()), [""; 0]);
}

#[test]
fn when_the_server_is_flushed_its_sessions_vanish() {
    let playing = Playing::start(&sitecore("")).started();
    let (_, address) = playing.server();
    some_sessions(&address);
    let () = ask(&address, &["FLUSHALL"]);
    let (code, run) = playing.run();
    assert_ne!(code, 0);
    assert!(count(private_ends(&run, "vanished")) > 0);
    assert!(count(private_ends(&run, "missed")) > 0);
}

#[test]
fn a_server_without_memory_fails_requests() {
    let config = "server: { managed: { config: { maxmemory: 1100kb } } }";
    let (code, run) = Playing::start(&sitecore(config)).run();
    assert_ne!(code, 0);
    assert!(count(&run["requests"]["failed"]["store_error"]) > 0);
}

#[test]
fn a_server_that_evicts_loses_sessions_without_failing_a_request() {
    // Room for some sixty of the sessions, of which twice as many live at once.
    let config = "maxmemory: 3mb, maxmemory-policy: allkeys-lru";
    let config = format!("server: {{ managed: {{ config: {{ {config} }} }} }}");
    let large = sitecore(&config) + "data: { private: { initial: 32KiB } }\n";
    let (code, run) = Playing::start(&large).run();
    assert_ne!(code, 0);
    assert_eq!(run["requests"]["failed"], serde_json::json!({}));
    assert!(count(private_ends(&run, "missed")) > 0);
    assert!(count(&run["servers"][0]["after"]["evicted_keys"]) > 0);
}

#[test]
fn sessions_that_cannot_be_decoded_keep_those_behind_them_from_ending() {
    let playing = Playing::start(&sitecore("")).started();
    let (_, address) = playing.server();
    some_sessions(&address);
    let is_data =
        |key: &String| key.contains("_private") && key.ends_with("_SessionStateItemCollection");
    // All there are: one that a request holds right now is overwritten at its release.
    for key in keys(&address).into_iter().filter(is_data) {
        let () = ask(&address, &["SET", &key, "garbage", "KEEPTTL"]);
    }
    let (code, run) = playing.run();
    assert_ne!(code, 0);
    assert!(count(&run["background"][0]["work"]["undecodable"]) > 0);
    let poisoned = count(&run["requests"]["undecodable"]);
    assert!(count(private_ends(&run, "missed")) > poisoned);
}

#[test]
fn when_notifications_are_switched_off_sessions_end_no_more() {
    let playing = Playing::start(&scenario("redis_keyspace", "")).started();
    let (_, address) = playing.server();
    some_sessions(&address);
    let () = ask(&address, &["CONFIG", "SET", "notify-keyspace-events", ""]);
    let (code, run) = playing.run();
    assert_ne!(code, 0);
    assert!(count(private_ends(&run, "missed")) > 0);
}

#[test]
fn a_port_that_accepts_and_never_answers_is_told() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = format!(
        "server: \"{},connectTimeout=300\"",
        silent.local_addr().unwrap()
    );
    let (code, told, _) = Playing::start(&sitecore(&server)).done();
    assert_eq!(code, 3);
    assert!(told.contains("did not answer within"), "{told}");
}

#[test]
fn an_interrupted_run_leaves_a_foreign_server_as_it_was() {
    let server = foreign();
    let address = server.address();
    let () = ask(&address, &["SET", "{sessionbench_private}_Data", "theirs"]);
    let () = ask(&address, &["SET", "cart:7", "theirs", "EX", "500"]);
    let before = everything(&address);
    // Many requests hold or await a lock at any instant.
    let busy = sitecore(&at(&server))
        .replace("ajax: 1, work: 5ms", "ajax: 8, work: 40ms")
        .replace("rate: 40/min", "rate: 200/min");
    let playing = Playing::start(&busy).started();
    some_sessions(&address);
    signal("-INT", &playing.child.id().to_string());
    let (code, run) = playing.run();
    assert_eq!(code, 3);
    assert!(count(&run["requests"]["in_flight"]) > 0);
    assert_eq!(everything(&address), before);
}

#[test]
fn a_directory_that_cannot_be_written_is_told_before_the_run() {
    let (code, told, _) = Playing::start_in(&sitecore(""), |directory| {
        directory.path().join("scenario.yaml/report")
    })
    .done();
    assert_eq!(code, 2);
    assert!(told.contains("cannot write"), "{told}");
}

/// The text of every file under a directory, and its path.
fn texts(directory: &std::path::Path) -> Vec<(PathBuf, String)> {
    let entries = fs::read_dir(directory).unwrap();
    let paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    let read = |path: PathBuf| match path.is_dir() {
        true => texts(&path),
        false => {
            let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
            vec![(path, text)]
        }
    };
    paths.into_iter().flat_map(read).collect()
}

#[test]
fn a_password_stands_in_nothing_that_is_told_or_written_and_foreign_keys_stay_as_they_were() {
    let port = free_port();
    let starting = async move {
        let port_text = port.to_string();
        let user = ["--user", "bench", "on", ">sw0rdfish"];
        let rights = ["~{sessionbench_*", "&*", "+@all", "-@admin"];
        let arguments = [&["--port", &port_text][..], &user, &rights].concat();
        Foreign::start_with(port, &arguments).await
    };
    let server = run_real(starting).unwrap();
    let address = server.address();
    let () = ask(&address, &["SET", "cart:7", "theirs", "EX", "500"]);
    let () = ask(&address, &["SET", "{sessionbench_private}_Data", "theirs"]);
    let before = everything(&address);
    for (password, works) in [("sw0rdfish", true), ("sw0rdfishes", false)] {
        let text = format!("server: \"{address},user=bench,password={password}\"");
        let directory = TempDir::new().unwrap();
        let file = directory.path().join("scenario.yaml");
        fs::write(&file, sitecore(&text)).unwrap();
        let output = directory.path().join("report");
        let told = Command::cargo_bin("sessionbench")
            .unwrap()
            .args(["run".as_ref(), file.as_os_str(), "--output".as_ref()])
            .arg(&output)
            .output()
            .unwrap();
        for told in [told.stdout, told.stderr] {
            let told = String::from_utf8_lossy(&told);
            assert!(!told.contains("sw0rdfish"), "{told}");
        }
        let written = texts(&output);
        let result = fs::read_to_string(output.join("result.json")).unwrap();
        let result: Value = serde_json::from_str(&result).unwrap();
        assert_eq!(result["runs"].as_array().unwrap().len(), usize::from(works));
        for (path, text) in written {
            assert!(!text.contains("sw0rdfish"), "{}", path.display());
        }
        assert_eq!(everything(&address), before);
    }
}
