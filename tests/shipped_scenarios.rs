//! The shipped scenarios and the shipped JSON Schema.
//!
//! After a change of the format, write the schema anew with
//! `UPDATE_GOLDEN=1 cargo test --test shipped_scenarios`.

#![allow(clippy::unwrap_used, reason = "a test that fails is to panic")]

use sessionbench::scenario::{self, Loaded, Plan};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every shipped scenario with its text.
fn shipped() -> Vec<(PathBuf, String)> {
    let files = fs::read_dir(root().join("scenarios")).unwrap();
    let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    paths.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "yaml")
    });
    paths.sort();
    assert!(paths.len() >= 7, "the shipped scenarios are gone");
    paths
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            (path, text)
        })
        .collect()
}

fn load(path: &Path) -> Loaded {
    scenario::load(path).unwrap_or_else(|problems| panic!("{problems}"))
}

fn schema_path() -> PathBuf {
    root().join("docs/scenario.schema.json")
}

#[test]
fn the_shipped_schema_is_current() {
    let text = scenario::schema::text();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::create_dir_all(root().join("docs")).unwrap();
        fs::write(schema_path(), &text).unwrap();
    }
    assert!(
        fs::read_to_string(schema_path()).unwrap() == text,
        "docs/scenario.schema.json is not what the types say; see the head of this test"
    );
}

#[test]
fn every_shipped_scenario_is_valid_by_the_shipped_schema() {
    let schema = serde_json::from_str(&fs::read_to_string(schema_path()).unwrap()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    for (path, text) in shipped() {
        let instance = serde_yaml::from_str::<serde_json::Value>(&text).unwrap();
        let errors: Vec<_> = validator
            .iter_errors(&instance)
            .map(|error| error.to_string())
            .collect();
        assert!(errors.is_empty(), "{}: {errors:?}", path.display());
    }
}

#[test]
fn the_shipped_schema_refuses_unknown_keys_everywhere() {
    let schema = serde_json::from_str(&fs::read_to_string(schema_path()).unwrap()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let text = fs::read_to_string(root().join("scenarios/compressed_time.yaml")).unwrap();
    let valid = serde_yaml::from_str::<serde_json::Value>(&text).unwrap();
    for pointer in [
        "",
        "/time",
        "/contacts",
        "/visits",
        "/session",
        "/clusters/web",
        "/providers/sessions/redis_sitecore",
    ] {
        let mut damaged = valid.clone();
        let place = damaged.pointer_mut(pointer).unwrap();
        place["nonsense"] = 1.into();
        assert!(!validator.is_valid(&damaged), "{pointer}");
    }
}

#[test]
fn the_shipped_schema_takes_a_variable_for_a_value_of_any_kind() {
    let schema = serde_json::from_str(&fs::read_to_string(schema_path()).unwrap()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let quickstart = fs::read_to_string(root().join("scenarios/quickstart.yaml")).unwrap();
    let valid = serde_yaml::from_str::<serde_json::Value>(&quickstart).unwrap();
    for (pointer, wrong) in [
        ("/name", "no name"),
        ("/seed", "one"),
        ("/time/scale", "sixty"),
        ("/clusters/web/servers", "two"),
        ("/clusters/web/balancer", "fair"),
        ("/compare/0/servers", "one"),
    ] {
        let with = |value: &str| {
            let mut changed = valid.clone();
            *changed.pointer_mut(pointer).unwrap() = value.into();
            validator.is_valid(&changed)
        };
        assert!(with("${NAME}") && with("${NAME:-2}"), "{pointer}");
        assert!(!with(wrong), "{pointer}");
    }
}

#[test]
fn every_shipped_scenario_names_the_schema_for_editors() {
    for (path, text) in shipped() {
        let line = "# yaml-language-server: $schema=../docs/scenario.schema.json\n";
        assert!(text.starts_with(line), "{}", path.display());
    }
}

#[test]
fn every_shipped_scenario_says_what_it_teaches_and_what_to_look_for() {
    for (path, text) in shipped() {
        for words in ["# What it teaches:", "# What to look for in the report:"] {
            assert!(text.contains(words), "{}: {words}", path.display());
        }
        let scenario = load(&path).scenario;
        assert!(!scenario.description.is_empty(), "{}", path.display());
        assert!(!scenario.objectives.is_empty(), "{}", path.display());
    }
}

#[test]
fn every_shipped_scenario_loads_under_its_file_name() {
    for (path, _) in shipped() {
        let name = load(&path).scenario.name;
        assert_eq!(path.file_stem().unwrap().to_str(), Some(name.as_str()));
    }
}

#[test]
fn every_shipped_scenario_survives_being_written_and_read() {
    for (path, _) in shipped() {
        let scenario = load(&path).scenario;
        // JSON is YAML.
        let written = serde_json::to_string_pretty(&scenario).unwrap();
        let read = scenario::parse("written.yaml", &written)
            .unwrap_or_else(|problems| panic!("{problems}"));
        assert_eq!(read.scenario, scenario, "{}", path.display());
    }
}

#[test]
fn only_lessons_about_it_have_warnings() {
    let warned: Vec<_> = shipped()
        .iter()
        .filter(|(path, _)| !load(path).warnings.is_empty())
        .map(|(path, _)| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    // A provider without session end, and a combination that Sitecore does not support.
    assert_eq!(warned, ["all-providers", "non_sticky", "quickstart"]);
}

#[test]
fn every_run_of_a_shipped_scenario_is_over_in_two_minutes() {
    for (path, _) in shipped() {
        let plan = Plan::of(&load(&path).scenario);
        let longest = plan.times.total();
        assert!(longest < Duration::from_secs(120), "{}", path.display());
    }
}

#[test]
fn quickstart_plays_the_same_visits_on_four_providers() {
    let scenario = load(&root().join("scenarios/quickstart.yaml")).scenario;
    let names: Vec<_> = scenario.runs().into_iter().map(|run| run.name).collect();
    assert_eq!(
        names,
        [
            "inproc",
            "redis_microsoft",
            "redis_keyspace",
            "redis_sitecore"
        ]
    );
}
