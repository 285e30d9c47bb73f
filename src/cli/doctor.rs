//! `sessionbench doctor`: look at the stores of a scenario as an operator would.
//!
//! In: a scenario. Out: what was found on each store, the worst first, or JSON. The surprising fact:
//! it ends with an error for a warning too, so that a pipeline stops before a run whose numbers
//! would be explained by the store's settings.

use super::conformance::stopped;
use super::wrap::{terminal_width, wrap};
use super::{Outcome, check};
use crate::clock::run_real;
use crate::doctor::{self, Examination, Examinations, Finding, Severity};
use crate::providers::ConnectError;
use crate::scenario::{self, Loaded};
use clap::Args;
use std::fmt::Write as _;
use std::path::PathBuf;

/// Arguments of `doctor`.
#[derive(Debug, Args)]
pub struct DoctorArguments {
    /// The scenario
    pub scenario: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Examines the stores of a scenario.
///
/// # Errors
/// The clock cannot run, or the findings cannot be written as JSON: a defect.
pub fn doctor(arguments: &DoctorArguments) -> anyhow::Result<Outcome> {
    let Loaded {
        scenario, warnings, ..
    } = match scenario::load(&arguments.scenario) {
        Ok(loaded) => loaded,
        Err(problems) => {
            eprint!("{}", problems.render(check::colours()));
            return Ok(Outcome::Configuration);
        }
    };
    eprint!("{}", warnings.render(check::colours()));
    let examined = run_real(async move {
        tokio::select! {
            biased;
            // Whatever was started goes with what is dropped here.
            () = stopped() => None,
            examined = doctor::examine(&scenario) => Some(examined),
        }
    })?;
    let examinations = match examined {
        None => return Ok(Outcome::Invalid),
        Some(Ok(examinations)) => examinations,
        Some(Err(error)) => {
            eprintln!("error: {error}");
            return Ok(match error {
                ConnectError::Settings(_) => Outcome::Configuration,
                ConnectError::NotInstalled { remedy, .. } => {
                    eprintln!("  {remedy}");
                    Outcome::Invalid
                }
                ConnectError::NotStarted(_) | ConnectError::Store(_) => Outcome::Invalid,
            });
        }
    };
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&examinations)?);
    } else {
        print!("{}", text(&examinations, terminal_width()));
    }
    Ok(judge(&examinations))
}

/// What findings mean for the exit code.
fn judge(examinations: &Examinations) -> Outcome {
    let all = &examinations.examinations;
    if all.iter().any(|examination| !examination.reached) {
        return Outcome::Invalid;
    }
    match all.iter().map(Examination::worst).max() {
        Some(Severity::Warning | Severity::Problem) => Outcome::ObjectiveMissed,
        _ => Outcome::Good,
    }
}

/// Columns before a finding's subject.
const MARK: usize = 10;
/// Columns of a subject.
const SUBJECT: usize = 28;

/// The findings for a person.
fn text(examinations: &Examinations, width: usize) -> String {
    let mut text = String::new();
    for examination in &examinations.examinations {
        wrap(&mut text, width, "", &headline(examination));
        for finding in &examination.findings {
            row(&mut text, width, finding);
        }
        text.push('\n');
    }
    text.push_str(&summary(examinations));
    text
}

fn headline(examination: &Examination) -> String {
    let Examination { name, provider, .. } = examination;
    match &examination.server {
        Some(server) => {
            let managed = if server.managed {
                ", started for this"
            } else {
                ""
            };
            let (product, version) = (&server.product, &server.version);
            format!(
                "{name} ({provider}): {product} {version} at {}{managed}",
                server.address
            )
        }
        None if examination.reached => format!("{name} ({provider})"),
        None => format!("{name} ({provider}): not reached"),
    }
}

fn row(text: &mut String, width: usize, finding: &Finding) {
    let mark = match finding.severity {
        Severity::Ok => "ok",
        Severity::Note => "note",
        Severity::Warning => "warning",
        Severity::Problem => "PROBLEM",
    };
    let head = format!("  {mark:<8}{:<SUBJECT$}", finding.subject);
    wrap(text, width, &head, &finding.what);
    if finding.severity == Severity::Ok {
        return;
    }
    let indent = " ".repeat(MARK + SUBJECT);
    wrap(text, width, &indent, &finding.why);
    if let Some(remedy) = &finding.remedy {
        wrap(text, width, &format!("{indent}→ "), remedy);
    }
}

fn summary(examinations: &Examinations) -> String {
    let number = |severity| {
        let all = examinations.examinations.iter();
        let findings = all.flat_map(|examination| &examination.findings);
        findings
            .filter(|finding| finding.severity == severity)
            .count()
    };
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "{} problems, {} warnings, {} notes, {} as they should be",
        number(Severity::Problem),
        number(Severity::Warning),
        number(Severity::Note),
        number(Severity::Ok)
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn examinations(severity: Severity, reached: bool) -> Examinations {
        let long = "a word and another one ".repeat(20);
        let finding = Finding::new(severity, "notify-keyspace-events", &long, &long).remedy(&long);
        Examinations {
            schema_version: doctor::SCHEMA_VERSION,
            scenario: "x".to_owned(),
            examinations: vec![Examination {
                name: "sessions".to_owned(),
                provider: "redis_keyspace",
                server: None,
                reached,
                findings: vec![finding],
            }],
        }
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for width in [60, 80, 100] {
            for line in text(&examinations(Severity::Problem, true), width).lines() {
                assert!(line.chars().count() <= width, "{line}");
            }
        }
    }

    #[test]
    fn the_exit_code_is_that_of_the_worst_finding() {
        let outcome = |severity, reached| judge(&examinations(severity, reached));
        assert_eq!(outcome(Severity::Note, true), Outcome::Good);
        assert_eq!(outcome(Severity::Warning, true), Outcome::ObjectiveMissed);
        assert_eq!(outcome(Severity::Problem, true), Outcome::ObjectiveMissed);
        assert_eq!(outcome(Severity::Problem, false), Outcome::Invalid);
    }
}
