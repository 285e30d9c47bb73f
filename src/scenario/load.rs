//! From a file to a checked scenario, or to everything that is wrong with it.

use super::problem::{Problem, Problems, Severity};
use super::source::Document;
use super::tree::handle;
use super::variables::{Lookup, environment};
use super::{Scenario, rules, secrets, structure};
use std::collections::BTreeSet;
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
    /// The file as it was read, variables by their names and without passwords; it goes into the
    /// result.
    pub text: String,
    /// What will not show what its author expects.
    pub warnings: Problems,
    /// The tree that the scenario came from.
    document: Document,
}

/// A name that stands in no entry of `compare`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no run `{name}`; there are: {}", known.join(", "))]
pub struct UnknownRun {
    name: String,
    known: Vec<String>,
}

impl Loaded {
    /// Leaves only these entries of `compare`, the providers that they use, and the warnings about
    /// them.
    ///
    /// # Errors
    /// There is no entry of a name.
    pub fn keep_only(mut self, names: &[String]) -> Result<Self, UnknownRun> {
        let compared = &self.scenario.compare;
        let known: Vec<String> = compared.iter().map(|it| it.name().to_owned()).collect();
        if let Some(name) = names.iter().find(|name| !known.contains(name)) {
            let name = name.clone();
            return Err(UnknownRun { name, known });
        }
        let used_before = used(&self.scenario);
        let kept = |name: &str| names.iter().any(|kept| kept == name);
        // The tree loses the same entries, so that a warning still finds its place in the file.
        let mut stays = known.iter().map(|name| kept(name));
        self.document
            .retain_items("compare", || stays.next().unwrap_or(true));
        self.scenario.compare.retain(|it| kept(it.name()));
        let used_now = used(&self.scenario);
        self.scenario
            .providers
            .retain(|name, _| used_now.contains(name) || !used_before.contains(name));
        let warnings = rules::check(&self.scenario, &self.document);
        let warnings = self.document.conceal(warnings);
        self.warnings = self.warnings.of_the_same_file(warnings);
        Ok(self)
    }
}

/// Providers that some run uses.
fn used(scenario: &Scenario) -> BTreeSet<String> {
    let clusters = scenario.runs().into_iter().flat_map(|run| run.clusters);
    let names = clusters.flat_map(|cluster| [Some(cluster.private), cluster.shared]);
    names.flatten().collect()
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

/// Checks a text under a file's name, with the variables of this process's environment.
///
/// # Errors
/// Every problem of the text, at least one of which stops it.
pub fn parse(name: &str, text: &str) -> Result<Loaded, Problems> {
    parse_with(name, text, &environment)
}

/// As [`parse`], with variables from elsewhere.
///
/// # Errors
/// As [`parse`].
pub fn parse_with(name: &str, text: &str, lookup: &Lookup<'_>) -> Result<Loaded, Problems> {
    let refuse = |problems| Err(Problems::new(name, text, problems));
    let mut document = match Document::read(text, lookup) {
        Ok(document) => document,
        Err(problem) => return refuse(vec![problem]),
    };
    let mut problems = std::mem::take(&mut document.problems);
    problems.extend(structure::check(&document));
    if !problems.is_empty() {
        return refuse(document.conceal(problems));
    }
    let scenario: Scenario = match serde_json::from_value(document.root.to_json()) {
        Ok(scenario) => scenario,
        // The structural check is there to leave nothing for this; should it, say what serde says.
        Err(error) => {
            let problem = Problem::error(error.to_string());
            let problem = problem.label(handle(&document.root), "somewhere in here");
            return refuse(document.conceal(vec![problem]));
        }
    };
    let problems = document.conceal(rules::check(&scenario, &document));
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
        document,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two runs, of which the second is warned of: its sessions end with nobody to commit them.
    const COMPARED: &str = "\
name: compared
time: { duration: 1min }
contacts: { arrivals: { poisson: { rate: 60/min } } }
visits: { pages: 2, think_time: 1s }
clusters: { web: { servers: 2 } }
providers:
  sitecore: { redis_sitecore: {} }
  microsoft: { redis_microsoft: {} }
compare:
  - { name: good, private: sitecore, shared: sitecore }
  - { name: bad, private: microsoft, shared: sitecore }
";

    fn warnings_of(name: &str) -> String {
        let loaded = parse("compared.yaml", COMPARED).unwrap();
        let kept = loaded.keep_only(&[name.to_owned()]).unwrap();
        kept.warnings.render(false)
    }

    #[test]
    fn a_run_that_is_not_played_is_not_warned_of() {
        let all = parse("compared.yaml", COMPARED).unwrap();
        assert!(all.warnings.render(false).contains("microsoft"));
        let warnings = warnings_of("good");
        assert!(!warnings.contains("microsoft"), "{warnings}");
    }

    #[test]
    fn a_run_that_is_played_is_warned_of_at_its_own_line() {
        let warnings = warnings_of("bad");
        assert!(
            warnings.contains("name: bad, private: microsoft"),
            "{warnings}"
        );
    }

    #[test]
    fn a_name_that_is_not_compared_is_refused_with_those_that_are() {
        let loaded = parse("compared.yaml", COMPARED).unwrap();
        let error = loaded.keep_only(&["ugly".to_owned()]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "there is no run `ugly`; there are: good, bad"
        );
    }
}
