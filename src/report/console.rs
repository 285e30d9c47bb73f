//! The end of a run on the terminal: two lines per run, what each got wrong first, then what was not met.

use super::format::{self, NOTHING, time_of};
use super::merge;
use super::providers::Provider;
use super::wrongs::{whereabouts, wrongs};
use crate::result::{Distribution, Result, Run};
use std::fmt::Write as _;

/// Columns of a terminal that a line may take.
const WIDTH: usize = 100;
/// Columns of the name.
const NAME: usize = 22;

/// A table of all runs in plain text, at most 100 columns wide but for errors: how late session ends came and
/// which went wrong, waits, responses, objectives, and what was left out.
#[must_use]
pub fn console(result: &Result) -> String {
    let mut text = String::new();
    if !result.runs.is_empty() {
        line(
            &mut text,
            [
                "",
                "session end",
                "",
                "",
                "",
                "lock wait",
                "response",
                "",
                "",
            ],
        );
        line(
            &mut text,
            [
                "run",
                "late p50",
                "p99",
                "missed",
                "double",
                "p99",
                "p50",
                "p99",
                "lost views",
            ],
        );
    }
    for run in &result.runs {
        let cells = cells(run);
        line(&mut text, cells.each_ref().map(String::as_str));
    }
    costs(&mut text, result);
    for run in &result.runs {
        let mut say = |what: &str| {
            let _ = writeln!(text, "{}", cut(&format!("{}: {what}", run.name), WIDTH));
        };
        if !run.validity.valid {
            say(&format!("NOT VALID, {}", run.validity.reasons.join("; ")));
        }
        if run.partial {
            say("interrupted");
        }
        if let Some(worst) = wrongs(run, &result.scenario).first() {
            // Where first, since the sentence may be cut.
            let first = match worst.first.first() {
                Some(first) => format!(" (first: {})", whereabouts(first)),
                None => String::new(),
            };
            say(&format!("{}{first}: {}", worst.severity.name(), worst.says));
        }
        for warning in &run.warnings {
            say(&format!("warning: {warning}"));
        }
        for objective in &run.objectives {
            let measured = objective.measured.as_deref().unwrap_or("never measured");
            let met = if objective.met { "met" } else { "NOT MET" };
            say(&format!("{} {met} ({measured})", objective.text));
        }
    }
    for left in &result.left_out {
        // An error that is cut tells nothing: its cause stands at its end.
        let reason = left.reason.replace(char::is_control, " ");
        let _ = writeln!(text, "{} left out: {reason}", left.name);
        if let Some(remedy) = &left.remedy {
            // A command that is cut is no command.
            let _ = writeln!(text, "  {remedy}");
        }
    }
    text
}

fn cells(run: &Run) -> [String; 9] {
    let ends = run.session_ends.iter().find(|ends| ends.kind == "private");
    let late = |figure: fn(&Distribution) -> u64| match ends {
        Some(ends) if ends.lateness.count == 0 && ends.missed > 0 => "never".to_owned(),
        Some(ends) => time_of(&ends.lateness, figure),
        None => NOTHING.to_owned(),
    };
    let count = |number: Option<u64>| number.map_or_else(|| NOTHING.to_owned(), format::count);
    let views = &run.page_views;
    let response = &run.requests.response;
    [
        run.name.clone(),
        late(|d| d.p50),
        late(|d| d.p99),
        count(ends.map(|ends| ends.missed)),
        count(ends.map(|ends| ends.duplicates)),
        merge::locks(run, "private").map_or_else(
            || NOTHING.to_owned(),
            |locks| time_of(&locks.acquire_wait, |d| d.p99),
        ),
        time_of(response, |d| d.p50),
        time_of(response, |d| d.p99),
        format::percent(views.lost_with_visit + views.lost_in_visit, views.performed),
    ]
}

/// How each provider notices ends and lets waiters wait, and what a request costs.
fn costs(text: &mut String, result: &Result) {
    if result.runs.is_empty() {
        return;
    }
    let mut row = |cells: [&str; 8]| {
        let [name, mechanism, rest @ ..] = cells;
        let _ = write!(text, "{:<NAME$}{:<13}", cut(name, NAME - 1), mechanism);
        let widths = [10, 10, 9, 11, 11, 14];
        for (cell, width) in rest.iter().zip(widths) {
            let _ = write!(text, "{cell:>width$}");
        }
        text.push('\n');
    };
    row([
        "",
        "",
        "usual",
        "hand-over",
        "round",
        "bytes per",
        "bytes per",
        "CPU per",
    ]);
    row([
        "run",
        "ends by",
        "wait",
        "p50",
        "trips",
        "request",
        "session",
        "1,000 requests",
    ]);
    for run in &result.runs {
        let figures = Provider::of(run);
        row([
            &run.name,
            &figures.mechanism,
            &figures.usual_wait,
            &figures.hand_over,
            &figures.trips_mean,
            &figures.request_bytes,
            &figures.session_bytes,
            &figures.cpu,
        ]);
    }
}

fn line(text: &mut String, cells: [&str; 9]) {
    let [name, rest @ ..] = cells;
    let mut line = format!("{:<NAME$}", cut(name, NAME - 1));
    for (cell, width) in rest.iter().zip([12, 9, 9, 9, 10, 9, 9, 11]) {
        let _ = write!(line, "{cell:>width$}");
    }
    let _ = writeln!(text, "{}", line.trim_end());
}

/// A text in one line of so many columns.
fn cut(text: &str, width: usize) -> String {
    let text = text.replace(char::is_control, " ");
    if text.chars().count() <= width {
        return text;
    }
    let mut kept: String = text.chars().take(width - 1).collect();
    kept.push('…');
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::{comparison, empty};

    #[test]
    fn no_line_is_wider_than_a_hundred_columns() {
        let mut result = comparison();
        result.runs[0].name = "a name that is much longer than its column".to_owned();
        result.runs[0].objectives[0].text = "x".repeat(200);
        for line in console(&result).lines() {
            assert!(line.chars().count() <= WIDTH, "{line}");
        }
    }

    #[test]
    fn every_run_has_a_line_and_every_objective_its_outcome() {
        let text = console(&comparison());
        assert!(
            text.contains("redis-microsoft              never    never"),
            "{text}"
        );
        assert!(
            text.contains("redis-keyspace: duplicate ends = 0 NOT MET (duplicate ends = 2,380)"),
            "{text}"
        );
    }

    #[test]
    fn every_run_tells_its_costliest_wrong_with_session_and_instant() {
        let text = console(&comparison());
        assert!(
            text.contains("redis-keyspace: lost (first: session missed00… at 212.000 s): 96 of"),
            "{text}"
        );
    }

    #[test]
    fn what_was_left_out_comes_with_its_remedy() {
        assert!(console(&comparison()).ends_with("  apt-get install postgresql\n"));
    }

    #[test]
    fn why_a_run_is_left_out_is_told_to_the_end() {
        let mut result = comparison();
        result.left_out[0].reason = format!("{}: hz potato", "x".repeat(150));
        assert!(console(&result).contains("hz potato"));
    }

    #[test]
    fn nothing_measured_prints_nothing() {
        assert_eq!(console(&empty()), "");
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(cut("a\u{1b}[31mb", 20), "a [31mb");
    }
}
