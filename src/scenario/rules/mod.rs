//! What the shape of a file cannot say: which values and combinations make sense.
//!
//! In: a decoded scenario and the tree it came from. Out: every problem, errors and warnings
//! together, each at its place. Three parts: single values ([`values`]), what the product
//! documentation supports ([`support`]), and what the run can be expected to show
//! ([`expectations`]).

mod expectations;
mod redis;
mod stores;
mod support;
mod values;

use super::Scenario;
use super::path::Path;
use super::problem::{Problem, Severity};
use super::source::Document;

/// Every problem of a scenario.
#[must_use]
pub fn check(scenario: &Scenario, document: &Document) -> Vec<Problem> {
    let mut findings = Findings {
        scenario,
        document,
        problems: Vec::new(),
    };
    values::check(&mut findings);
    redis::check(&mut findings);
    stores::check(&mut findings);
    support::check(&mut findings);
    // What to expect of a scenario that cannot be played is not worth saying.
    let playable = |problem: &Problem| problem.severity == Severity::Warning;
    if findings.problems.iter().all(playable) {
        expectations::check(&mut findings);
    }
    findings.problems
}

/// Collects problems.
struct Findings<'a> {
    scenario: &'a Scenario,
    document: &'a Document,
    problems: Vec<Problem>,
}

impl Findings<'_> {
    /// Something that makes no sense, at a path, with a word on the spot.
    fn error(&mut self, path: &Path, message: impl Into<String>, label: &str) -> &mut Problem {
        self.at(path, Problem::error(message), label)
    }

    /// Something that will not show what its author expects.
    fn warning(&mut self, path: &Path, message: impl Into<String>, label: &str) -> &mut Problem {
        self.at(path, Problem::warning(message), label)
    }

    /// A combination that the product documentation rules out: an error, or a warning when the
    /// scenario asks to see what goes wrong.
    fn unsupported(
        &mut self,
        path: &Path,
        message: impl Into<String>,
        label: &str,
    ) -> &mut Problem {
        if self.scenario.allow_unsupported {
            return self.warning(path, message, label);
        }
        self.error(path, message, label)
    }

    fn at(&mut self, path: &Path, problem: Problem, label: &str) -> &mut Problem {
        let span = self.document.locate(path);
        self.push(problem.label(span, label))
    }

    fn push(&mut self, problem: Problem) -> &mut Problem {
        self.problems.push(problem);
        let last = self.problems.len() - 1;
        &mut self.problems[last]
    }
}

impl Problem {
    /// Says what to do, on a problem that is already collected.
    fn advise(&mut self, help: impl Into<String>) {
        self.help = Some(help.into());
    }
}

/// The path of keys from the outermost node.
fn at<const N: usize>(keys: [&str; N]) -> Path {
    keys.iter().fold(Path::root(), |path, key| path.key(key))
}
