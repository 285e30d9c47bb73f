//! The binary as a user runs it: exit codes, files, and what it tells.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that fails is to panic")]

use assert_cmd::assert::Assert;
use assert_cmd::cargo::CommandCargoExt as _;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// A directory with a scenario in it, and where its report goes.
struct Bench(TempDir);

impl Bench {
    fn new(scenario: &str) -> Self {
        let directory = TempDir::new().unwrap();
        fs::write(directory.path().join("scenario.yaml"), scenario).unwrap();
        Self(directory)
    }

    fn scenario(&self) -> PathBuf {
        self.0.path().join("scenario.yaml")
    }

    fn output(&self, file: &str) -> PathBuf {
        self.0.path().join("report").join(file)
    }

    /// `sessionbench run` on the scenario.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = sessionbench();
        command
            .arg("run")
            .arg(self.scenario())
            .args(arguments)
            .arg("--output")
            .arg(self.output(""));
        command
    }

    fn run(&self, arguments: &[&str]) -> Assert {
        done(self.command(arguments))
    }

    fn result(&self) -> serde_json::Value {
        serde_json::from_str(&fs::read_to_string(self.output("result.json")).unwrap()).unwrap()
    }

    /// Names of the runs in the result.
    fn runs(&self) -> Vec<String> {
        let result = self.result();
        let runs = result["runs"].as_array().unwrap().iter();
        runs.map(|run| run["name"].as_str().unwrap().to_owned())
            .collect()
    }
}

fn sessionbench() -> Command {
    let mut command = Command::cargo_bin("sessionbench").unwrap();
    command.env_remove("RUST_BACKTRACE");
    command
}

fn done(mut command: Command) -> Assert {
    Assert::new(command.output().unwrap())
}

/// Everything that a command printed.
fn printed(assert: &Assert) -> String {
    let output = assert.get_output();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

/// A scenario that takes a moment on the virtual clock.
fn inproc(more: &str) -> String {
    format!(
        "
name: test
time: {{ duration: 5min }}
contacts: {{ arrivals: {{ poisson: {{ rate: 20/min }} }} }}
clusters: {{ web: {{ private: memory, shared: memory }} }}
providers: {{ memory: {{ inproc: {{}} }} }}
{more}
"
    )
}

/// In-process and Redis sessions, at a scale at which a real run takes two seconds and its drain.
fn compared(server: &str) -> String {
    format!(
        "
name: test
time: {{ scale: 600, duration: 10min, drain: 1s }}
session: {{ timeout: 20min }}
contacts: {{ arrivals: {{ poisson: {{ rate: 60/min }} }} }}
visits: {{ pages: 1, work: 1ms }}
clusters: {{ web: {{}} }}
providers:
  memory: {{ inproc: {{}} }}
  store: {{ redis_sitecore: {{ {server} }} }}
compare: [memory, store]
"
    )
}

#[test]
fn a_run_whose_objectives_are_met_exits_with_0() {
    let bench = Bench::new(&inproc("objectives: [request.failed == 0]"));
    bench.run(&["--virtual"]).code(0);
}

#[test]
fn a_value_of_the_environment_is_used_and_stands_in_no_output() {
    let bench = Bench::new(
        &compared("server: \"localhost:1,password=${STORE_PASSWORD}\"")
            .replace("name: test", "name: test\nseed: ${A_SEED}"),
    );
    let mut command = bench.command(&["--virtual"]);
    command
        .env("STORE_PASSWORD", "hunter2")
        .env("A_SEED", "4711");
    let assert = done(command).code(0);
    assert_eq!(bench.runs(), ["memory"]);
    let scenario = bench.result()["scenario"].clone();
    assert_eq!(scenario["seed"], 4711);
    let yaml = scenario["yaml"].as_str().unwrap();
    assert!(yaml.contains("seed: ${A_SEED}") && yaml.contains("password=${STORE_PASSWORD}"));
    let mut outputs = printed(&assert);
    for file in ["result.json", "report.html", "summary.md"] {
        outputs += &fs::read_to_string(bench.output(file)).unwrap();
    }
    assert!(!outputs.contains("hunter2"));
}

#[test]
fn a_run_that_misses_an_objective_exits_with_1() {
    let bench = Bench::new(&inproc("objectives: [request.response.p50 < 1ns]"));
    bench.run(&["--virtual"]).code(1);
}

#[test]
fn a_scenario_that_is_wrong_exits_with_2_and_names_the_nearest_key() {
    let bench = Bench::new(&inproc("sead: 3"));
    let assert = bench.run(&["--virtual"]).code(2);
    let text = printed(&assert);
    assert!(
        text.contains("scenario.yaml") && text.contains("seed"),
        "{text}"
    );
}

#[test]
fn a_scenario_that_is_not_there_exits_with_2() {
    let mut command = sessionbench();
    command.args(["run", "nowhere.yaml"]);
    done(command).code(2);
}

#[test]
fn an_unknown_option_exits_with_2() {
    let mut command = sessionbench();
    command.args(["run", "--fast"]);
    done(command).code(2);
}

/// A port on which nobody listens.
fn closed_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

#[test]
fn a_store_that_cannot_be_reached_exits_with_3_and_says_which() {
    let server = format!("server: \"127.0.0.1:{},connectTimeout=500\"", closed_port());
    let bench = Bench::new(&compared(&server));
    let assert = bench.run(&["--only", "store"]).code(3);
    let text = printed(&assert);
    assert!(text.contains("store: "), "{text}");
    assert!(text.contains("cannot be reached"), "{text}");
}

#[test]
fn an_optional_store_that_cannot_be_reached_is_left_out_and_is_no_failure() {
    let server = format!("server: \"127.0.0.1:{},connectTimeout=500\"", closed_port());
    let scenario = compared(&server).replace(
        "[memory, store]",
        "[memory, { private: store, optional: true }]",
    );
    let bench = Bench::new(&scenario);
    let assert = bench.run(&[]).code(0);
    assert!(printed(&assert).contains("start its server"));
    assert_eq!(bench.runs(), ["memory"]);
    bench.run(&["--only", "store"]).code(3);
}

#[test]
fn a_password_is_neither_printed_nor_written() {
    let port = closed_port();
    let server = format!("server: \"127.0.0.1:{port},password=hush-hush,connectTimeout=500\"");
    let bench = Bench::new(&compared(&server));
    let assert = bench.run(&["--only", "store"]).code(3);
    assert!(!printed(&assert).contains("hush-hush"));
    let mut files = 0;
    for file in fs::read_dir(bench.output("")).unwrap() {
        let path = file.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains("hush-hush"), "{}", path.display());
        files += 1;
    }
    assert!(files > 1, "there is no report");
}

#[test]
fn a_password_in_a_scenario_that_is_wrong_is_not_printed() {
    let server = "server: \"a:1,password=hush-hush\", polling: 2";
    let bench = Bench::new(&compared(server));
    let assert = bench.run(&[]).code(2);
    assert!(!printed(&assert).contains("hush-hush"));
}

#[test]
fn without_redis_server_redis_is_left_out_and_the_rest_still_runs() {
    let bench = Bench::new(&compared(""));
    let mut command = bench.command(&[]);
    command.env("PATH", "");
    let assert = done(command);
    let text = printed(&assert);
    assert!(text.contains("apt-get install redis-server"), "{text}");
    assert_eq!(bench.runs(), ["memory"]);
    // What is left out for want of a server decides nothing: the rest does, which runs in real time
    // and is not valid on a machine that is busy with something else.
    let valid = bench.result()["runs"][0]["validity"]["valid"] == true;
    assert.code(if valid { 0 } else { 3 });
    assert_eq!(bench.result()["left_out"][0]["name"], "store");
}

#[test]
fn on_the_virtual_clock_redis_is_left_out() {
    let bench = Bench::new(&compared(""));
    bench.run(&["--virtual"]).code(0);
    assert_eq!(bench.runs(), ["memory"]);
}

#[test]
fn check_prints_the_plan_of_a_scenario() {
    let bench = Bench::new(&inproc(""));
    let mut command = sessionbench();
    command.arg("check").arg(bench.scenario());
    let assert = done(command).code(0);
    assert!(printed(&assert).contains("test: "));
}

#[test]
fn check_refuses_a_scenario_that_is_wrong() {
    let bench = Bench::new("name: test");
    let mut command = sessionbench();
    command.arg("check").arg(bench.scenario());
    done(command).code(2);
}

#[test]
fn check_looks_at_every_scenario_although_the_first_is_wrong() {
    let (wrong, right) = (Bench::new("name: test"), Bench::new(&inproc("")));
    let mut command = sessionbench();
    command
        .arg("check")
        .args([wrong.scenario(), right.scenario()]);
    let assert = done(command).code(2);
    assert!(printed(&assert).contains("test: "));
}

#[test]
fn schema_prints_the_shipped_schemas() {
    for (of, file) in [
        ("scenario", "docs/scenario.schema.json"),
        ("result", "docs/result.schema.json"),
    ] {
        let mut command = sessionbench();
        command.args(["schema", of]);
        let assert = done(command).code(0);
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let shipped = fs::read(root.join(file)).unwrap();
        assert!(assert.get_output().stdout == shipped, "{file}");
    }
}

/// Twenty-minute sessions in two seconds on a real redis-server.
const ON_REDIS: &str = "
name: on-redis
time: { duration: 20min, scale: 600, drain: 5s }
contacts: { arrivals: { poisson: { rate: 3/min } } }
visits: { pages: 2, think_time: 1min, ajax: 2 }
clusters: { web: { servers: 2, private: store, shared: store } }
providers: { store: { redis_sitecore: {} } }
";

#[test]
fn the_result_of_a_run_on_a_real_store_keeps_to_the_shipped_schema() {
    let bench = Bench::new(ON_REDIS);
    let played = bench.run(&["--quiet"]);
    // On a machine that is busy with something else the run is not valid, and its result is one too.
    let valid = bench.result()["runs"][0]["validity"]["valid"] == true;
    played.code(if valid { 0 } else { 3 });
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let schema = fs::read_to_string(root.join("docs/result.schema.json")).unwrap();
    let schema = serde_json::from_str(&schema).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let result = bench.result();
    assert!(result["runs"][0]["session_ends"][0]["ended_once"].as_u64() > Some(0));
    let errors: Vec<_> = validator
        .iter_errors(&result)
        .map(|it| it.to_string())
        .collect();
    assert!(errors.is_empty(), "{errors:?}");
}

#[test]
fn providers_are_listed_as_json() {
    let mut command = sessionbench();
    command.args(["providers", "--json"]);
    let assert = done(command).code(0);
    let listed: serde_json::Value = serde_json::from_slice(&assert.get_output().stdout).unwrap();
    let names = listed.as_array().unwrap().iter();
    let names: Vec<_> = names.map(|it| it["name"].as_str().unwrap()).collect();
    assert!(
        names.contains(&"inproc") && names.contains(&"redis_sitecore"),
        "{names:?}"
    );
}

#[test]
fn a_report_rendered_again_is_the_same_page() {
    let bench = Bench::new(&inproc(""));
    bench.run(&["--virtual"]).code(0);
    let page = fs::read(bench.output("report.html")).unwrap();
    let again = bench.0.path().join("again");
    let mut command = sessionbench();
    command
        .arg("report")
        .arg(bench.output("result.json"))
        .arg("--output")
        .arg(&again);
    done(command).code(0);
    assert!(fs::read(again.join("report.html")).unwrap() == page);
}

#[test]
fn a_report_of_something_else_exits_with_2() {
    let bench = Bench::new(&inproc(""));
    let mut command = sessionbench();
    command.arg("report").arg(bench.scenario());
    done(command).code(2);
}

#[test]
fn only_the_named_run_is_played() {
    let bench = Bench::new(&format!(
        "{}providers: {{ a: {{ inproc: {{}} }}, b: {{ inproc: {{}} }} }}\ncompare: [a, b]\n",
        inproc("")
            .replace("private: memory, shared: memory", "")
            .replace("providers: { memory: { inproc: {} } }\n", "")
    ));
    bench.run(&["--virtual", "--only", "b"]).code(0);
    assert_eq!(bench.runs(), ["b"]);
}

#[test]
fn an_unknown_run_exits_with_2_and_the_known_ones() {
    let bench = Bench::new(&compared(""));
    let assert = bench.run(&["--virtual", "--only", "sql"]).code(2);
    assert!(printed(&assert).contains("memory, store"));
}

#[test]
fn another_seed_can_be_given() {
    let bench = Bench::new(&inproc(""));
    bench.run(&["--virtual", "--seed", "77"]).code(0);
    assert_eq!(bench.result()["scenario"]["seed"], 77);
}

#[test]
fn two_virtual_runs_differ_in_nothing_but_their_environment() {
    let play = || {
        let bench = Bench::new(&inproc(""));
        bench.run(&["--virtual"]).code(0);
        let mut result = bench.result();
        assert!(result["environment"].take().is_object());
        serde_json::to_string(&result).unwrap()
    };
    assert!(play() == play());
}

#[test]
fn a_run_that_is_interrupted_writes_what_it_measured_and_exits_with_3() {
    let bench = Bench::new(&inproc(""));
    let mut command = bench.command(&[]);
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    // The first line of progress: the run has started.
    while !line.contains("up to") {
        line.clear();
        assert!(told.read_line(&mut line).unwrap() > 0, "it told nothing");
    }
    let kill = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(kill.unwrap().success());
    told.read_to_string(&mut line).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(3));
    let result = bench.result();
    assert_eq!(result["partial"], true);
    assert_eq!(result["runs"][0]["partial"], true);
}

/// `sessionbench conformance` with these arguments.
fn conformance(arguments: &[&str]) -> Command {
    let mut command = sessionbench();
    command.arg("conformance").args(arguments);
    command
}

#[test]
fn conformance_prints_every_behaviour_and_exits_with_0_where_all_is_as_documented() {
    let assert = done(conformance(&["--provider", "inproc"])).code(0);
    let text = printed(&assert);
    assert!(text.contains(" kept        take "), "{text}");
    assert!(text.contains(" documented  shared_by_servers "), "{text}");
    assert!(text.contains(" 0 deviate unexpectedly,"), "{text}");
}

#[test]
fn conformance_as_json_has_a_version_and_a_verdict_for_each_behaviour() {
    let assert = done(conformance(&["--provider", "inproc", "--json"])).code(0);
    let report: serde_json::Value = serde_json::from_slice(&assert.get_output().stdout).unwrap();
    assert_eq!(report["schema_version"], 1);
    let behaviours = report["behaviours"].as_array().unwrap();
    let take = behaviours
        .iter()
        .find(|it| it["behaviour"] == "take")
        .unwrap();
    assert_eq!(take["verdict"], "as_contracted");
    assert!(!report["round_trips"].as_array().unwrap().is_empty());
}

#[test]
fn a_setting_that_a_provider_does_not_have_exits_with_2_and_names_the_nearest_one() {
    let arguments = [
        "--provider",
        "redis_sitecore",
        "--setting",
        "compresion=true",
    ];
    let assert = done(conformance(&arguments)).code(2);
    assert!(printed(&assert).contains("`compression`"));
}

#[test]
fn a_store_that_conformance_cannot_reach_exits_with_3_and_no_secret_is_told() {
    let port = closed_port();
    let connection = format!("127.0.0.1:{port},password=hush-hush,connectTimeout=500");
    let mut command = conformance(&["--provider", "redis_microsoft"]);
    command
        .args(["--setting", "retryTimeoutInMilliseconds=0"])
        .env("SESSIONBENCH_CONNECTION", connection);
    let assert = done(command).code(3);
    let text = printed(&assert);
    assert!(text.contains("cannot be reached"), "{text}");
    assert!(!text.contains("hush-hush"), "{text}");
}
