//! `summary.md`: the result in GitHub's Markdown, made for the summary of a CI job.

use super::format::{self, NOTHING, time_of};
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
        text.push_str(&comparison(result));
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

fn comparison(result: &Result) -> String {
    let mut text = String::from(
        "| Run | Lateness p50 | p99 | max | Missed | Duplicate | Premature | Page views lost \
         | Acquire wait p99 | Response p50 | p99 | Requests | |\n\
         |---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|\n",
    );
    for run in &result.runs {
        let _ = writeln!(text, "| {} |", row(run).join(" | "));
    }
    text.push('\n');
    text
}

fn row(run: &Run) -> Vec<String> {
    let ends = run.session_ends.iter().find(|ends| ends.kind == "private");
    let late = |figure: fn(&crate::result::Distribution) -> u64| match ends {
        Some(ends) if ends.lateness.count == 0 && ends.missed > 0 => "never".to_owned(),
        Some(ends) => time_of(&ends.lateness, figure),
        None => NOTHING.to_owned(),
    };
    let count = |figure: fn(&crate::result::SessionEnds) -> u64| {
        ends.map_or_else(|| NOTHING.to_owned(), |ends| format::count(figure(ends)))
    };
    let views = &run.page_views;
    let requests = &run.requests;
    vec![
        escape(&run.name),
        late(|d| d.p50),
        late(|d| d.p99),
        late(|d| d.max),
        count(|ends| ends.missed),
        count(|ends| ends.duplicates),
        count(|ends| ends.premature),
        format::percent(views.lost_with_visit + views.lost_in_visit, views.performed),
        merge::locks(run, "private").map_or_else(
            || NOTHING.to_owned(),
            |locks| time_of(&locks.acquire_wait, |d| d.p99),
        ),
        time_of(&requests.response, |d| d.p50),
        time_of(&requests.response, |d| d.p99),
        format::count(requests.measured),
        state(run).to_owned(),
    ]
}

fn state(run: &Run) -> &'static str {
    match (run.validity.valid, run.partial) {
        (false, _) => "**not valid**",
        (true, true) => "**interrupted**",
        (true, false) => "valid",
    }
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
    fn every_row_of_the_table_has_as_many_cells_as_its_head() {
        let table = comparison(&compared());
        let cells: Vec<usize> = table
            .trim()
            .lines()
            .map(|line| line.matches('|').count())
            .collect();
        assert_eq!(cells, vec![14; 6]);
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
        let row = row(&compared().runs[1]);
        assert_eq!(row[1..4], ["never", "never", "never"]);
    }

    #[test]
    fn a_result_without_runs_is_still_summarised() {
        assert!(summary(&empty()).starts_with("# Phone and laptop at once\n"));
    }
}
