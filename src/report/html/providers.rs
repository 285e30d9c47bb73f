//! The provider table: a row for each run, and on a phone a card for each.

use super::markup::{Cell, Table, escape};
use super::swatch;
use crate::report::providers::{Figure, Provider};
use crate::result::Result;

const HEADINGS: [&str; 8] = [
    "Session end",
    "Lateness p50, p99, max",
    "Duplicate ends",
    "Visits missed, page views lost",
    "Waiting for a lock",
    "Round trips: mean, p99",
    "Bytes: request, session",
    "CPU per 1,000 requests",
];

/// All runs.
pub(super) fn table(result: &Result) -> String {
    let headings = HEADINGS.iter().zip(0..).map(|(heading, column)| {
        if column == 0 || column == 4 {
            Cell::text(heading)
        } else {
            Cell::number(heading)
        }
    });
    let mut table = Table::new(std::iter::once(Cell::text("Provider")).chain(headings));
    for (index, run) in result.runs.iter().enumerate() {
        let row = Provider::of(run);
        let validity = if row.validity.bad {
            format!(
                "<small class=\"bad\">{}</small>",
                escape(&row.validity.text)
            )
        } else {
            format!("<small>{}</small>", escape(&row.validity.text))
        };
        let name = format!(
            "{}<a href=\"#run-{index}\">{}</a>{validity}",
            swatch(index),
            escape(&run.name)
        );
        let waiting = format!(
            "usual wait {}, hand-over p50 {}",
            row.usual_wait, row.hand_over
        );
        let cells = [
            told(&row.mechanism, &row.expected),
            lateness(&row),
            figures(&[&row.duplicates]),
            figures(&[&row.visits_missed, &row.views_lost]),
            told(&row.waits_by, &waiting),
            plain(&[&row.trips_mean, &row.trips_p99]),
            plain(&[&row.request_bytes, &row.session_bytes]),
            plain(&[&row.cpu]),
        ];
        let labelled = cells.into_iter().zip(HEADINGS);
        table.row_of(name, labelled.map(|(cell, heading)| cell.labelled(heading)));
    }
    table.of_class("providers")
}

/// Half, 99 % and all; one word where no end ever came.
fn lateness(row: &Provider) -> Cell {
    let all = [&row.late_p50, &row.late_p99, &row.late_max];
    if all.iter().all(|figure| figure.bad) {
        return figures(&all[..1]);
    }
    figures(&all)
}

/// Words, and in smaller ones what is to be known of them.
fn told(what: &str, more: &str) -> Cell {
    Cell::html(format!(
        "<b>{}</b><small>{}</small>",
        escape(what),
        escape(more)
    ))
}

/// Figures under each other.
fn figures(figures: &[&Figure]) -> Cell {
    let figure = |figure: &&Figure| {
        let class = if figure.bad { " class=\"bad\"" } else { "" };
        format!("<b{class}>{}</b>", escape(&figure.text))
    };
    Cell::numbers(figures.iter().map(figure).collect())
}

fn plain(figures: &[&String]) -> Cell {
    let figure = |figure: &&String| format!("<b>{}</b>", escape(figure));
    Cell::numbers(figures.iter().map(figure).collect())
}
