//! `sessionbench conformance`: what a provider keeps of the session contract, on its real store.
//!
//! In: a provider's name, settings and server. Out: a table of every behaviour, or JSON. The
//! surprising fact: a store of no server is examined on the virtual clock, and so at once.

use super::wrap::{WIDTH, wrap};
use super::{Outcome, check};
use crate::clock::{run_real, run_virtual};
use crate::conformance::{self, ConformanceError, Finding, Path, Report, Subject, Verdict};
use crate::providers::{ConnectError, ProviderSettings};
use crate::scenario;
use clap::Args;
use std::fmt::Write as _;
use std::future::pending;

/// Where the connection may stand, so that it is in no list of processes.
const CONNECTION: &str = "SESSIONBENCH_CONNECTION";

/// Arguments of `conformance`.
#[derive(Debug, Args)]
pub struct ConformanceArguments {
    /// Its name, as in a scenario
    #[arg(long, value_name = "NAME")]
    pub provider: String,
    /// Its server, as in a scenario; a managed one by default. With a password, put it into
    /// the environment variable SESSIONBENCH_CONNECTION instead
    #[arg(long, value_name = "STRING")]
    pub connection: Option<String>,
    /// One of its settings, as in a scenario
    #[arg(long = "setting", value_name = "KEY=VALUE", value_parser = key_and_value)]
    pub settings: Vec<(String, String)>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// A setting of a provider as an argument.
pub(super) fn key_and_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write it as key=value")?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}

/// Examines a provider.
///
/// # Errors
/// The clock cannot run, or the report cannot be written as JSON: a defect.
pub fn conformance(arguments: &ConformanceArguments) -> anyhow::Result<Outcome> {
    let connection = arguments.connection.clone();
    let connection = connection.or_else(|| std::env::var(CONNECTION).ok());
    let settings = scenario::provider(
        &arguments.provider,
        &arguments.settings,
        connection.as_deref(),
    );
    let settings = match settings {
        Ok(settings) => settings,
        Err(problems) => {
            eprint!("{}", problems.render(check::colours()));
            return Ok(Outcome::Configuration);
        }
    };
    let report = match examine(settings)? {
        Ok(report) => report,
        Err(error) => {
            eprintln!("error: {error}");
            return Ok(match error {
                ConformanceError::Connect(ConnectError::NotInstalled { remedy, .. }) => {
                    eprintln!("  {remedy}");
                    Outcome::Invalid
                }
                ConformanceError::Connect(ConnectError::Settings(_)) => Outcome::Configuration,
                _ => Outcome::Invalid,
            });
        }
    };
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{}", table(&report));
    }
    Ok(match report.as_documented() {
        true => Outcome::Good,
        false => Outcome::ObjectiveMissed,
    })
}

fn examine(settings: ProviderSettings) -> anyhow::Result<Result<Report, ConformanceError>> {
    if settings.capabilities().virtual_time {
        let examined =
            async move { conformance::examine(&Subject::new(&settings), pending()).await };
        return Ok(run_virtual(examined)?.0);
    }
    let examined = async move {
        let subject = Subject::new(&settings);
        conformance::examine(&subject, stopped()).await
    };
    Ok(run_real(examined)?)
}

/// Waits for Ctrl-C or SIGTERM, so that a store is left as it was found and no server stays behind.
pub(super) async fn stopped() {
    use tokio::signal::unix::{SignalKind, signal};
    let (asked, told) = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    );
    let (Ok(mut asked), Ok(mut told)) = (asked, told) else {
        return pending().await;
    };
    tokio::select! {
        biased;
        _ = asked.recv() => {}
        _ = told.recv() => {}
    }
}

/// Columns of a verdict, with the space before it.
const VERDICT: usize = 13;
/// Columns of a name.
const NAME: usize = 32;

/// A report for a person.
fn table(report: &Report) -> String {
    let mut text = headline(report);
    let mut group = "";
    for finding in &report.behaviours {
        if finding.group != group {
            group = finding.group;
            // Writing to a string cannot fail, here and below.
            let _ = writeln!(text, "\n{group}");
        }
        row(&mut text, finding);
    }
    let _ = writeln!(
        text,
        "\nround trips{:>23}{:>8}{:>8}",
        "by design", "told", "server"
    );
    for path in &report.round_trips {
        round_trips(&mut text, path);
    }
    text.push('\n');
    text.push_str(&summary(report));
    text
}

fn headline(report: &Report) -> String {
    let place = match &report.server {
        Some(server) => {
            let managed = if server.managed {
                ", started for this"
            } else {
                ""
            };
            let (product, version) = (&server.product, &server.version);
            format!("{product} {version} at {}{managed}", server.address)
        }
        None => "in process, in virtual time".to_owned(),
    };
    format!("{} on {place}\n", report.provider)
}

fn row(text: &mut String, finding: &Finding) {
    let verdict = match finding.verdict {
        Verdict::AsContracted => "kept",
        Verdict::DeviatesAsDocumented => "documented",
        Verdict::DeviatesUnexpectedly => "DEVIATES",
        Verdict::DeviationNotSeen => "NOT SEEN",
        Verdict::NotProbed => "not probed",
    };
    let head = format!(
        " {verdict:<width$}{:<NAME$}",
        finding.behaviour,
        width = VERDICT - 1
    );
    wrap(text, WIDTH, &head, finding.states);
    let indent = " ".repeat(VERDICT + NAME);
    let mut more = |what: &str, said: &str| wrap(text, WIDTH, &format!("{indent}{what} "), said);
    if let Some(seen) = &finding.seen {
        more("seen:", seen);
    }
    if let Some(why) = finding.documented {
        more("why:", why);
    }
}

fn round_trips(text: &mut String, path: &Path) {
    let mark = if path.as_designed() { "" } else { "  DIFFERS" };
    let number = |number: Option<u64>| match number {
        Some(number) => number.to_string(),
        None => "–".to_owned(),
    };
    let (told, counted) = (number(path.told.map(u64::from)), number(path.counted));
    let _ = writeln!(
        text,
        " {:<24}{:>9}{told:>8}{counted:>8}{mark}",
        path.path, path.designed
    );
    if let Some(failed) = &path.failed {
        wrap(text, WIDTH, "    ", failed);
    }
}

fn summary(report: &Report) -> String {
    let number = |verdict| {
        let found = report.behaviours.iter();
        found.filter(|finding| finding.verdict == verdict).count()
    };
    let mut text = format!(
        "{} kept, {} deviate as documented, {} deviate unexpectedly, {} documented and not seen, \
         {} not probed\n",
        number(Verdict::AsContracted),
        number(Verdict::DeviatesAsDocumented),
        number(Verdict::DeviatesUnexpectedly),
        number(Verdict::DeviationNotSeen),
        number(Verdict::NotProbed),
    );
    let different = report.round_trips.iter().filter(|path| !path.as_designed());
    match different.count() {
        0 => text.push_str("round trips are as designed\n"),
        number => {
            let _ = writeln!(text, "round trips differ on {number} paths");
        }
    }
    for warning in &report.warnings {
        let _ = writeln!(text, "warning: {warning}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(verdict: Verdict, seen: &str) -> Finding {
        Finding {
            group: "locks",
            behaviour: "take",
            states: "A get-exclusive brings the session and takes its lock.",
            verdict,
            seen: Some(seen.to_owned()),
            documented: Some("it is known that this store gives a lock to whoever asks for one"),
        }
    }

    fn report(finding: Finding) -> Report {
        Report {
            schema_version: conformance::SCHEMA_VERSION,
            provider: "inproc",
            settings: serde_json::Map::new(),
            server: None,
            behaviours: vec![finding],
            round_trips: vec![Path {
                path: "session written",
                designed: 3,
                by_chance: 0,
                told: Some(4),
                counted: None,
                failed: None,
            }],
            warnings: Vec::new(),
        }
    }

    #[test]
    fn no_line_of_the_table_is_wider_than_a_hundred_columns() {
        let seen = "a word and another one ".repeat(20);
        for line in table(&report(finding(Verdict::DeviatesAsDocumented, &seen))).lines() {
            assert!(line.chars().count() <= WIDTH, "{line}");
        }
    }

    #[test]
    fn what_is_wrong_stands_out() {
        let text = table(&report(finding(Verdict::DeviatesUnexpectedly, "nothing")));
        assert!(text.contains(" DEVIATES    take "), "{text}");
        assert!(text.contains("1 deviate unexpectedly"), "{text}");
        assert!(text.contains("4       –  DIFFERS"), "{text}");
        assert!(text.ends_with("round trips differ on 1 paths\n"), "{text}");
    }

    #[test]
    fn control_characters_of_a_store_do_not_reach_the_terminal() {
        let text = table(&report(finding(Verdict::NotProbed, "a\u{1b}[31mb")));
        assert!(text.contains("a [31mb"), "{text}");
    }
}
