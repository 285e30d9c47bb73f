//! Bad scenarios: each is refused with its line, a caret and a remedy.
//!
//! `tests/bad_scenarios/*.txt` are what a user sees for the file beside it. After a change on
//! purpose, write them anew with `UPDATE_GOLDEN=1 cargo test --test scenario_errors`, and read the
//! difference.

#![allow(clippy::unwrap_used, reason = "a test that fails is to panic")]

use proptest::prelude::*;
use sessionbench::scenario::{self, Severity};
use std::fs;
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad_scenarios")
}

/// The environment of the bad scenarios.
fn lookup(name: &str) -> Option<String> {
    match name {
        "A_WORD" => Some("hunter2".to_owned()),
        "A_NUMBER" => Some("4711".to_owned()),
        "NOTHING" => Some(String::new()),
        _ => None,
    }
}

/// What a user sees for a file, without colours.
fn explained(name: &str) -> String {
    let text = fs::read_to_string(folder().join(name)).unwrap();
    match scenario::parse_with(name, &text, &lookup) {
        Ok(loaded) => loaded.warnings.render(false),
        Err(problems) => problems.render(false),
    }
}

fn names() -> Vec<String> {
    let files = fs::read_dir(folder()).unwrap();
    let mut names: Vec<_> = files
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".yaml"))
        .collect();
    names.sort();
    assert!(names.len() > 40, "the bad scenarios are gone");
    names
}

#[test]
fn every_bad_scenario_is_explained_as_its_golden_text_says() {
    for name in names() {
        let golden = folder().join(&name).with_extension("txt");
        let text = explained(&name);
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&golden, &text).unwrap();
        }
        let expected = fs::read_to_string(&golden).unwrap_or_default();
        assert_eq!(text, expected, "{name}");
    }
}

#[test]
fn files_that_cannot_be_played_are_refused_and_doubtful_ones_are_not() {
    for name in names() {
        let text = fs::read_to_string(folder().join(&name)).unwrap();
        let refused = scenario::parse_with(&name, &text, &lookup).is_err();
        assert_eq!(refused, !name.starts_with("warn_"), "{name}");
    }
}

#[test]
fn every_problem_says_where_it_is() {
    for name in names() {
        let text = fs::read_to_string(folder().join(&name)).unwrap();
        let problems = match scenario::parse_with(&name, &text, &lookup) {
            Ok(loaded) => loaded.warnings,
            Err(problems) => problems,
        };
        assert!(!problems.is_empty(), "{name}");
        for problem in problems.list() {
            assert!(!problem.labels.is_empty(), "{name}: {}", problem.message);
        }
    }
}

/// File, place, what the caret stands under, and part of the advice.
const KEY_FACTS: [(&str, &str, &str, &str); 12] = [
    (
        "unknown_key.yaml",
        ":7:3]",
        "thnk_time",
        "did you mean `think_time`?",
    ),
    (
        "misspelt_provider.yaml",
        ":16:11]",
        "redis_sitcore",
        "did you mean `redis_sitecore`?",
    ),
    (
        "misspelt_provider_name.yaml",
        ":13:14]",
        "mian",
        "did you mean `main`?",
    ),
    (
        "wrong_type.yaml",
        ":12:14]",
        "two",
        "a whole number from 1 to 256",
    ),
    ("negative_duration.yaml", ":2:19]", "-10min", "is negative"),
    (
        "impossible_laws.yaml",
        ":9:48]",
        "20s",
        "half of them below the median",
    ),
    (
        "two_clusters_one_store.yaml",
        ":13:14]",
        "main",
        "one session database per cluster",
    ),
    (
        "shared_in_process.yaml",
        ":14:13]",
        "main",
        "support matrix, row `inproc`",
    ),
    (
        "warn_timeout_below_think_time.yaml",
        ":7:3]",
        "think_time",
        "lengthen `session.timeout`",
    ),
    ("no_server.yaml", ":10:1]", "clusters", "name at least one"),
    ("empty.yaml", ":1:1]", "", "scenarios/quickstart.yaml"),
    (
        "duplicate_keys.yaml",
        ":5:1]",
        "contacts",
        "keep one of them",
    ),
];

#[test]
fn place_caret_and_advice_are_there() {
    for (name, place, under, advice) in KEY_FACTS {
        let text = explained(name);
        assert!(text.contains(&format!("{name}{place}")), "{text}");
        assert!(text.contains(advice), "{text}");
        let carets = format!(" {}\n", "^".repeat(under.len()));
        assert!(under.is_empty() || text.contains(&carets), "{text}");
    }
}

#[test]
fn a_password_is_never_shown() {
    let text = explained("redis_settings.yaml");
    assert!(text.contains("password=******,ssl"), "{text}");
    assert!(!text.contains("secret"), "{text}");
}

#[test]
fn a_value_of_the_environment_is_never_shown() {
    for name in names().iter().filter(|name| name.starts_with("variables")) {
        let text = explained(name);
        assert!(
            !text.contains("hunter2") && !text.contains("4711"),
            "{text}"
        );
    }
}

/// Every scalar of a scenario, by the line it stands in.
fn with_a_variable_in_line(line: usize) -> Option<String> {
    let text = quickstart();
    let (key, value) = text.lines().nth(line)?.split_once(": ")?;
    if key.contains('#') || value.contains("{ ") || value.contains('>') {
        return None;
    }
    let lines = text.lines().enumerate();
    let lines = lines.map(|(at, text)| match at == line {
        true => format!("{key}: ${{A_SECRET}}\n"),
        false => format!("{text}\n"),
    });
    Some(lines.collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn whatever_a_variable_stands_for_is_told_in_no_message(
        secret in "([A-Za-z]{8}[a-z \"'`<>=.,:]{0,8}|[0-9]{8}(min|s|%|B)?)",
    ) {
        for line in 0..quickstart().lines().count() {
            let Some(text) = with_a_variable_in_line(line) else { continue };
            let told = match scenario::parse_with("any.yaml", &text, &|_| Some(secret.clone())) {
                Ok(loaded) => loaded.warnings.to_string() + &loaded.text,
                Err(problems) => problems.to_string(),
            };
            prop_assert!(!told.contains(&secret[..8]), "{}", told);
        }
    }
}

#[test]
fn a_scenario_goes_into_the_result_with_the_names_of_its_variables() {
    let text = quickstart().replace("seed: 1", "seed: ${A_NUMBER}");
    let loaded = scenario::parse_with("any.yaml", &text, &lookup);
    let loaded = loaded.unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(loaded.scenario.seed, 4711);
    assert_eq!(loaded.text, text);
}

#[test]
fn a_file_that_is_not_there_is_an_error_that_says_so() {
    let problems = scenario::load(Path::new("nowhere.yaml")).unwrap_err();
    assert!(problems.to_string().contains("cannot read nowhere.yaml"));
}

#[test]
fn a_folder_is_no_scenario() {
    assert!(scenario::load(&folder()).is_err());
}

#[test]
fn a_file_that_is_not_text_is_refused() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), b"name: \xff\n").unwrap();
    let problems = scenario::load(file.path()).unwrap_err();
    assert!(problems.to_string().contains("is not UTF-8 text: byte 6"));
}

#[test]
fn a_file_of_10_mb_is_refused_unread() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), "- a\n".repeat(2_500_000)).unwrap();
    let problems = scenario::load(file.path()).unwrap_err();
    assert!(problems.to_string().contains("larger than 1 MiB"));
}

#[test]
fn nesting_10_000_deep_is_refused() {
    for text in [
        "[".repeat(10_000),
        "{a: ".repeat(10_000),
        "- ".repeat(10_000),
        format!("name: {}", "[".repeat(10_000)),
    ] {
        let problems = scenario::parse("deep.yaml", &text).unwrap_err();
        let text = problems.to_string();
        assert!(text.contains("64 levels deep"), "{text}");
        assert!(text.contains("[deep.yaml:1:"), "{text}");
        assert!(text.len() < 1000, "{}", text.len());
    }
}

#[test]
fn a_file_with_thousands_of_problems_shows_the_first_hundred_and_counts_the_rest() {
    let keys: String = (0..5000).map(|key| format!("k{key}: 1\n")).collect();
    let problems = scenario::parse("many.yaml", &keys).unwrap_err();
    let text = problems.to_string();
    assert!(text.contains("and 4905 more"), "{}", text.len());
    assert!(text.contains("many.yaml: 5005 errors"));
}

fn quickstart() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/quickstart.yaml"))
        .unwrap()
}

/// Reads a text, and draws what it says of it.
fn read(text: &str) {
    match scenario::parse("any.yaml", text) {
        Ok(loaded) => {
            let errors = loaded.warnings.list().iter();
            assert!(errors.clone().all(|it| it.severity == Severity::Warning));
            let _ = scenario::Plan::of(&loaded.scenario).to_string();
        }
        Err(problems) => assert!(problems.to_string().contains("error")),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_text_is_read_or_refused(text in "(\\PC|[\\n\\t :{}\\[\\],&*!|>'\"%@#?-]){0,200}") {
        read(&text);
    }

    #[test]
    fn a_damaged_scenario_is_read_or_refused(
        at in 0..1000usize,
        removed in 0..30usize,
        inserted in "(\\PC|[\\n :{}\\[\\],&*!|>'\"#?-]|[0-9]+(min|s|%|/s)?){0,12}",
    ) {
        // Without the comments at its head, so that the damage hits what is read.
        let text = quickstart();
        let text = &text[text.find("seed:").unwrap()..];
        let place = (at * 3).min(text.len());
        let start = (0..=place).rev().find(|at| text.is_char_boundary(*at)).unwrap();
        let end = (start + removed..).find(|at| *at >= text.len() || text.is_char_boundary(*at)).unwrap();
        let rest = text.get(end..).unwrap_or_default();
        read(&format!("name: damaged\n{}{inserted}{rest}", &text[..start]));
    }
}
