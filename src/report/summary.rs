//! `summary.md`: the result in GitHub's Markdown, made for the summary of a CI job.

use super::format::{self, NOTHING, time_of};
use super::providers::{Figure, Provider};
use super::wrongs::{FOREMOST, peace, whereabouts, wrongs};
use super::{File, WriteError, merge, verdict};
use crate::result::{Result, Run};
use std::fmt::Write as _;

/// The summary as a file.
pub(super) fn files(result: &Result) -> std::result::Result<Vec<File>, WriteError> {
    Ok(vec![File {
        name: "summary.md".to_owned(),
        contents: summary(result).into_bytes(),
    }])
}

fn summary(result: &Result) -> String {
    let scenario = &result.scenario;
    let mut text = format!("# {}\n\n", escape(&scenario.name));
    if !scenario.description.trim().is_empty() {
        let _ = write!(text, "{}\n\n", escape(scenario.description.trim()));
    }
    if result.partial {
        text.push_str("> **Interrupted.** This is what was measured until then.\n\n");
    }
    for run in result.runs.iter().filter(|run| !run.validity.valid) {
        let why = escape(&run.validity.reasons.join("; "));
        let _ = write!(text, "> **{} is not valid:** {why}.\n\n", escape(&run.name));
    }
    if !result.runs.is_empty() {
        text.push_str(&providers(result));
        text.push_str(&comparison(result));
        text.push_str(&what_went_wrong(result));
        text.push_str(&objectives(result));
        text.push_str("## In plain words\n\n");
        for run in &result.runs {
            let _ = write!(text, "**{}**\n\n", escape(&run.name));
            let sentences = if run.verdict.is_empty() {
                verdict(run, scenario)
            } else {
                run.verdict.clone()
            };
            for sentence in sentences {
                let _ = writeln!(text, "- {}", escape(&sentence));
            }
            text.push('\n');
        }
    }
    if !result.left_out.is_empty() {
        text.push_str("## Left out\n\n| Run | Why | Remedy |\n|---|---|---|\n");
        for left in &result.left_out {
            let remedy = left
                .remedy
                .as_deref()
                .map_or_else(|| NOTHING.to_owned(), code);
            let (name, reason) = (escape(&left.name), escape(&left.reason));
            let _ = writeln!(text, "| {name} | {reason} | {remedy} |");
        }
        text.push('\n');
    }
    let _ = writeln!(
        text,
        "<sub>sessionbench {}, started {}, seed {}, {}</sub>",
        escape(&result.environment.version),
        escape(&result.environment.started),
        scenario.seed,
        escape(&result.environment.processor)
    );
    text
}

fn providers(result: &Result) -> String {
    let mut text = String::from(
        "| Run | Session end | By design | Lateness p50 | p99 | max | Duplicate ends \
         | Visits missed | Page views lost | A waiter | Usual wait | Hand-over p50 \
         | Round trips | p99 | Bytes per request | per session | CPU per 1,000 requests | |\n\
         |---|---|---|--:|--:|--:|--:|--:|--:|---|--:|--:|--:|--:|--:|--:|--:|---|\n",
    );
    for run in &result.runs {
        let row = Provider::of(run);
        let figure = |figure: &Figure| match figure.bad {
            true => format!("**{}**", escape(&figure.text)),
            false => escape(&figure.text),
        };
        let cells = [
            escape(&run.name),
            escape(&row.mechanism),
            escape(&row.expected),
            figure(&row.late_p50),
            figure(&row.late_p99),
            figure(&row.late_max),
            figure(&row.duplicates),
            figure(&row.visits_missed),
            figure(&row.views_lost),
            escape(&row.waits_by),
            row.usual_wait,
            row.hand_over,
            row.trips_mean,
            row.trips_p99,
            row.request_bytes,
            row.session_bytes,
            row.cpu,
            figure(&row.validity),
        ];
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
    text.push('\n');
    text
}

fn comparison(result: &Result) -> String {
    let mut text = String::from(
        "| Run | Premature | Acquire wait p99 | Response p50 | p99 | Requests |\n\
         |---|--:|--:|--:|--:|--:|\n",
    );
    for run in &result.runs {
        let _ = writeln!(text, "| {} |", row(run).join(" | "));
    }
    text.push('\n');
    text
}

fn row(run: &Run) -> [String; 6] {
    let ends = run.session_ends.iter().find(|ends| ends.kind == "private");
    let requests = &run.requests;
    let nothing = || NOTHING.to_owned();
    [
        escape(&run.name),
        ends.map_or_else(nothing, |ends| format::count(ends.premature)),
        merge::locks(run, "private").map_or_else(nothing, |locks| {
            time_of(&locks.acquire_wait, |values| values.p99)
        }),
        time_of(&requests.response, |values| values.p50),
        time_of(&requests.response, |values| values.p99),
        format::count(requests.measured),
    ]
}

/// The three most important wrongs of each run.
fn what_went_wrong(result: &Result) -> String {
    let mut text = String::from("## What went wrong\n\n");
    for run in &result.runs {
        let _ = write!(text, "**{}**\n\n", escape(&run.name));
        let wrongs = wrongs(run, &result.scenario);
        for (wrong, rank) in wrongs.iter().take(FOREMOST).zip(1..) {
            let first = match wrong.first.first() {
                Some(first) => format!(" First: {}.", escape(&whereabouts(first))),
                None => String::new(),
            };
            let _ = writeln!(text, "{rank}. {}{first}", escape(&wrong.says));
        }
        if wrongs.is_empty() {
            text.push_str("Nothing went wrong.\n");
        }
        if let Some(peace) = peace(run) {
            let _ = writeln!(text, "\n{}", escape(&peace));
        }
        text.push('\n');
    }
    text
}

fn objectives(result: &Result) -> String {
    if result.runs.iter().all(|run| run.objectives.is_empty()) {
        return String::new();
    }
    let mut text =
        String::from("## Objectives\n\n| Run | Objective | Measured | |\n|---|---|---|---|\n");
    for run in &result.runs {
        for objective in &run.objectives {
            let measured = objective.measured.as_deref().unwrap_or("never measured");
            let met = if objective.met {
                "✅ met"
            } else {
                "❌ **not met**"
            };
            let (name, wish) = (escape(&run.name), escape(&objective.text));
            let _ = writeln!(text, "| {name} | {wish} | {} | {met} |", escape(measured));
        }
    }
    text.push('\n');
    text
}

/// Text that Markdown shows as it is, in a table's cell too.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '\\' | '|' | '*' | '_' | '`' | '[' | ']' | '#' | '~' => {
                escaped.push('\\');
                escaped.push(char);
            }
            '\n' | '\r' => escaped.push(' '),
            other => escaped.push(other),
        }
    }
    escaped
}

/// A command as code, in a table's cell too.
fn code(command: &str) -> String {
    format!(
        "`{}`",
        command
            .replace('`', "'")
            .replace('|', "\\|")
            .replace(['\n', '\r'], " ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::{comparison as compared, empty};

    #[test]
    fn every_row_of_a_table_has_as_many_cells_as_its_head() {
        for table in [providers(&compared()), comparison(&compared())] {
            let bars = |line: &str| line.matches('|').count();
            let mut lines = table.trim().lines().map(bars);
            let head = lines.next().unwrap();
            assert!(lines.all(|line| line == head), "{table}");
        }
    }

    #[test]
    fn a_name_cannot_break_the_table_or_bring_markup() {
        let mut result = compared();
        result.runs[0].name = "a|b\n<script>".to_owned();
        let summary = summary(&result);
        assert!(summary.contains("a\\|b &lt;script&gt;") && !summary.contains("<script>"));
    }

    #[test]
    fn a_provider_without_session_end_never_comes() {
        let table = providers(&compared());
        let row = table.lines().find(|line| line.contains("redis-microsoft"));
        let never = "| **never** | **never** | **never** |";
        assert!(row.unwrap().contains(never), "{table}");
    }

    #[test]
    fn each_run_tells_its_three_most_important_wrongs() {
        let text = what_went_wrong(&compared());
        let of = text.split("**redis-keyspace**").nth(1).unwrap();
        let of = of.split("**redis-sitecore**").next().unwrap();
        assert!(of.contains("\n1. ") && of.contains("\n3. "), "{of}");
        assert!(!of.contains("\n4. "), "{of}");
    }

    #[test]
    fn a_result_without_runs_is_still_summarised() {
        assert!(summary(&empty()).starts_with("# Phone and laptop at once\n"));
    }
}
