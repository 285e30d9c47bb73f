//! From a file to a checked scenario, or to everything that is wrong with it.

use super::problem::{Problem, Problems, Severity};
use super::source::Document;
use super::{Scenario, rules, secrets, structure};
use serde_yaml::with::singleton_map_recursive;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// Largest file that is read, in bytes. The largest sensible scenario, with long lists of measured
/// values, is a tenth of it.
pub const MAX_BYTES: u64 = 1024 * 1024;

/// A scenario that can be played.
#[derive(Debug)]
pub struct Loaded {
    /// The scenario.
    pub scenario: Scenario,
    /// The file as it was read, without passwords; it goes into the result.
    pub text: String,
    /// What will not show what its author expects.
    pub warnings: Problems,
}

/// Reads and checks a file.
///
/// # Errors
/// Every problem of the file, at least one of which stops it.
pub fn load(path: &Path) -> Result<Loaded, Problems> {
    let name = path.display().to_string();
    match read(path) {
        Ok(text) => parse(&name, &text),
        Err(problem) => Err(Problems::new(&name, "", vec![problem])),
    }
}

fn read(path: &Path) -> Result<String, Problem> {
    let unreadable = |error: io::Error| {
        let problem = Problem::error(format!("cannot read {}: {error}", path.display()));
        match error.kind() {
            io::ErrorKind::NotFound => problem
                .help("the shipped scenarios are in `scenarios/`; start with quickstart.yaml"),
            _ => problem,
        }
    };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(
            Problem::error(format!("{} is larger than 1 MiB", path.display()))
                .help("is this a scenario? Results are JSON, and read by `report` and `compare`"),
        );
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Problem::error(format!("{} is not UTF-8 text: byte {at}", path.display()))
    })
}

/// Checks a text under a file's name.
///
/// # Errors
/// Every problem of the text, at least one of which stops it.
pub fn parse(name: &str, text: &str) -> Result<Loaded, Problems> {
    let refuse = |problems| Err(Problems::new(name, text, problems));
    let mut document = match Document::read(text) {
        Ok(document) => document,
        Err(problem) => return refuse(vec![problem]),
    };
    let mut problems = std::mem::take(&mut document.problems);
    problems.extend(structure::check(&document));
    if !problems.is_empty() {
        return refuse(problems);
    }
    // Without this adapter serde_yaml reads an enum by a YAML tag instead of a key.
    let decoded: Result<Scenario, _> =
        singleton_map_recursive::deserialize(serde_yaml::Deserializer::from_str(text));
    let scenario = match decoded {
        Ok(scenario) => scenario,
        // The structural check is there to leave nothing for this; should it, say what serde says.
        Err(error) => {
            let at = error.location().map_or(0, |location| location.index());
            let problem = Problem::error(error.to_string()).label(at..at, "here");
            return refuse(vec![problem]);
        }
    };
    let problems = rules::check(&scenario, &document);
    if problems
        .iter()
        .any(|problem| problem.severity == Severity::Error)
    {
        return refuse(problems);
    }
    Ok(Loaded {
        scenario,
        text: secrets::hide(text),
        warnings: Problems::new(name, text, problems),
    })
}
