//! What the documents say, held against what the program does.

#![allow(clippy::unwrap_used, reason = "a test that fails is to panic")]

use sessionbench::providers::capabilities;
use sessionbench::scenario::{self, Plan};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn document(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap()
}

/// The block of a language under a heading.
fn block<'a>(text: &'a str, heading: &str, language: &str) -> &'a str {
    let (_, section) = text.split_once(heading).unwrap();
    let (_, block) = section.split_once(&format!("```{language}\n")).unwrap();
    block.split_once("```").unwrap().0
}

/// Targets of links and pictures that are files of the repository.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let targets = text.split("](").skip(1);
    let targets = targets.filter_map(|rest| rest.split([')', '#']).next());
    targets.filter(|target| !target.is_empty() && !target.starts_with("http"))
}

fn shipped_scenarios() -> Vec<PathBuf> {
    let files = fs::read_dir(root().join("scenarios")).unwrap();
    let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    paths.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "yaml")
    });
    assert!(!paths.is_empty());
    paths
}

/// How long a scenario takes at most, as the first line of its plan says.
fn at_most(path: &Path) -> String {
    let loaded = scenario::load(path).unwrap_or_else(|problems| panic!("{problems}"));
    let plan = Plan::of(&loaded.scenario).to_string();
    let first = plan.lines().next().unwrap().to_owned();
    let total = first.strip_suffix(" in all").unwrap_or(&first);
    let (_, total) = total.rsplit_once(", ").unwrap();
    total.trim_start_matches("at most ").to_owned()
}

#[test]
fn the_scenario_in_the_readme_can_be_played() {
    let readme = document("README.md");
    let text = block(&readme, "## A scenario in 20 lines", "yaml");
    assert_eq!(text.lines().count(), 20);
    let loaded = scenario::parse("README.md", text).unwrap_or_else(|problems| panic!("{problems}"));
    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
}

#[test]
fn the_readme_lists_every_shipped_scenario_with_its_limit() {
    let readme = document("README.md");
    for path in shipped_scenarios() {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let row = readme
            .lines()
            .find(|line| line.starts_with(&format!("| `{name}` |")))
            .unwrap_or_else(|| panic!("no row for {name}"));
        let limit = at_most(&path);
        assert!(row.ends_with(&format!("| {limit} |")), "{row}: {limit}");
    }
}

#[test]
fn the_readme_lists_every_provider() {
    let readme = document("README.md");
    let (_, matrix) = readme.split_once("## Providers").unwrap();
    for provider in capabilities::ALL {
        let row = format!("| `{}` |", provider.name);
        assert!(matrix.contains(&row), "{row}");
    }
}

#[test]
fn the_readme_says_which_providers_hold_shared_state() {
    let readme = document("README.md");
    let (_, matrix) = readme.split_once("## Providers").unwrap();
    for provider in capabilities::ALL {
        let name = format!("| `{}` |", provider.name);
        let row = matrix.lines().find(|line| line.starts_with(&name)).unwrap();
        let shared = match (provider.supports_shared(2), provider.supports_shared(1)) {
            (true, _) => "yes",
            (false, true) => "one CD server only",
            (false, false) => "no",
        };
        assert_eq!(row.split(" | ").nth(2), Some(shared), "{row}");
    }
}

#[test]
fn every_link_between_documents_leads_to_a_file() {
    for name in [
        "README.md",
        "ARCHITECTURE.md",
        "METHODOLOGY.md",
        "CHANGELOG.md",
        "docs/SOURCES.md",
    ] {
        let directory = root().join(name).parent().unwrap().to_owned();
        for target in links(&document(name)) {
            assert!(directory.join(target).exists(), "{name}: {target}");
        }
    }
}

#[test]
fn requests_locks_session_ends_and_page_views_are_explained_field_by_field() {
    let methodology = document("METHODOLOGY.md");
    let schema: serde_json::Value =
        serde_json::from_str(&document("docs/result.schema.json")).unwrap();
    for group in ["Requests", "Locks", "SessionEnds", "PageViews"] {
        let fields = schema["$defs"][group]["properties"].as_object().unwrap();
        for field in fields.keys() {
            assert!(methodology.contains(field.as_str()), "{group}.{field}");
        }
    }
}

/// What each room may import, by the table in ARCHITECTURE.md.
fn allowed_imports() -> BTreeMap<String, BTreeSet<String>> {
    let text = document("ARCHITECTURE.md");
    let (_, table) = text.split_once("| room | imports |").unwrap();
    let rows = table.lines().skip(2).take_while(|row| row.starts_with('|'));
    let names = rows.map(|row| row.split('`').skip(1).step_by(2).map(str::to_owned));
    let rooms = names.map(|mut names| (names.next().unwrap(), names.collect()));
    rooms.collect()
}

fn sources(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| match path.is_dir() {
            true => sources(&path),
            false => vec![path],
        })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

/// The room that a source file is in.
fn room(path: &Path) -> String {
    let inside = path.strip_prefix(root().join("src")).unwrap();
    let first = inside.iter().next().unwrap().to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

#[test]
fn a_room_imports_only_what_the_architecture_allows() {
    let allowed = allowed_imports();
    let own = |path: &PathBuf| !["lib", "main"].contains(&room(path).as_str());
    for path in sources(&root().join("src")).iter().filter(|path| own(path)) {
        let (room, text) = (room(path), fs::read_to_string(path).unwrap());
        for named in text.split("crate::").skip(1) {
            let other = named.split(|c: char| !c.is_alphanumeric()).next().unwrap();
            assert!(
                other == room || allowed[&room].contains(other),
                "{}: {room} imports {other}",
                path.display()
            );
        }
    }
}

#[test]
fn no_room_imports_itself_by_a_detour() {
    let mut rest = allowed_imports();
    while !rest.is_empty() {
        let ground = rest.iter().find(|(_, below)| below.is_empty());
        let (name, _) = ground.unwrap_or_else(|| panic!("a circle in {rest:?}"));
        let name = name.clone();
        rest.remove(&name);
        rest.values_mut().for_each(|below| {
            below.remove(&name);
        });
    }
}

/// The first cell of every row of docs/SOURCES.md.
fn listed_sources() -> BTreeSet<String> {
    let text = document("docs/SOURCES.md");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| "));
    let cells = rows.filter_map(|row| row.split(" |").next());
    cells.map(str::to_owned).collect()
}

/// What a text cites, as docs/SOURCES.md calls it.
fn cited_sources(text: &str) -> BTreeSet<String> {
    let mut cited = BTreeSet::new();
    for (at, sign) in text.match_indices('§') {
        let rest = &text[at + sign.len()..];
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.');
        let number = rest[..end.unwrap_or(rest.len())].trim_end_matches('.');
        let before = text[..at].trim_end();
        let document = ["simulation", "measuring", "design"];
        let document = document
            .into_iter()
            .find(|name| before.ends_with(&format!("{name}.md")) || before.ends_with(name));
        cited.insert(match document {
            Some(document) => format!("{document} §{number}"),
            None => format!("§{number}"),
        });
    }
    for (at, word) in text.match_indices("seed 00") {
        cited.insert(text[at..at + word.len() + 1].to_owned());
    }
    cited
}

#[test]
fn every_source_that_the_code_cites_is_listed() {
    let listed = listed_sources();
    let directories = ["src", "tests", "benches"];
    let files = directories.map(|directory| sources(&root().join(directory)));
    for path in files.iter().flatten() {
        // This file speaks of citations without making any.
        if path.ends_with("tests/documents.rs") {
            continue;
        }
        for cited in cited_sources(&fs::read_to_string(path).unwrap()) {
            assert!(listed.contains(&cited), "{}: {cited}", path.display());
        }
    }
}
