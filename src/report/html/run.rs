//! Everything about one run: verdict, objectives, plots, session ends, promises.

use super::markup::{Cell, Table, escape, prose};
use super::overview::{pills, title};
use super::{Page, figure, incidents, setup, swatch, traffic, verdict};
use crate::report::format::{self, NOTHING, time_of};
use crate::report::plots;
use crate::result::{Distribution, Result, Run, SessionEnds};

/// The section of a run. Its tables are folded away where there are several runs to read about.
pub(super) fn section(result: &Result, index: usize, run: &Run) -> Page {
    let scenario = &result.scenario;
    let alone = result.runs.len() == 1;
    let mut html = format!(
        "<section class=\"run\" id=\"run-{index}\">\n<h2>{}{}</h2>\n<p class=\"title\">{}</p>\n\
         <p>{}<span class=\"meta\">{}</span></p>\n",
        swatch(index),
        escape(&run.name),
        prose(&title(run)),
        pills(run),
        prose(&how_it_ran(run))
    );
    let sentences = verdict(run, scenario);
    if !sentences.is_empty() {
        html.push_str("<ul class=\"verdict\">\n");
        for sentence in sentences {
            html.push_str(&format!("<li>{}</li>\n", prose(&sentence)));
        }
        html.push_str("</ul>\n");
    }
    html.push_str(&objectives(run));
    html.push_str(&incidents::section(index, run, scenario)?);
    if let Some(plot) = plots::timeline(run, plots::Ink::series(index))? {
        html.push_str(&format!(
            "<div id=\"{}\">{}</div>\n",
            incidents::timeline_anchor(index),
            figure("As it went", &plot, "", &timeline_caption(run))
        ));
    }
    let tables = [
        traffic::requests(run),
        session_ends(run),
        causes(run),
        page_views(run),
        traffic::narrow_blocks(run),
        promises(run),
        conservation(run),
        setup::blocks(run),
        traffic::broad_blocks(run),
    ];
    html.push_str(&format!(
        "<details{}><summary>Every number of {}</summary>\n<div class=\"blocks\">\n{}</div>\n\
         </details>\n</section>\n",
        if alone { " open" } else { "" },
        escape(&run.name),
        tables.concat()
    ));
    Ok(html)
}

fn how_it_ran(run: &Run) -> String {
    let clock = if run.virtual_time {
        "virtual time"
    } else {
        "real time"
    };
    match &run.trace_hash {
        Some(hash) => format!("{clock}, trace {hash}"),
        None => clock.to_owned(),
    }
}

fn objectives(run: &Run) -> String {
    let mut table = Table::new([
        Cell::text("Objective"),
        Cell::text("Measured"),
        Cell::text(""),
    ]);
    for objective in &run.objectives {
        let measured = objective.measured.as_deref().unwrap_or("never measured");
        let met = if objective.met {
            "✓ met"
        } else {
            "✗ not met"
        };
        table.row(
            &objective.text,
            [Cell::text(measured), Cell::text(met).bad_if(!objective.met)],
        );
    }
    table.under("Objectives")
}

fn timeline_caption(run: &Run) -> String {
    format!(
        "One point per {} at the closest. Shaded: the warm-up, which is not measured, and the \
         drain, when visitors have stopped and their sessions come to their end. Backlog is \
         sessions that are due and have not ended; lag is how late the load generator sent.",
        format::duration(run.timeline.step_ns)
    )
}

/// A number of session ends.
type Count = fn(&SessionEnds) -> u64;
/// A distribution of session ends, and the figure of it that is shown.
type Time = (fn(&SessionEnds) -> &Distribution, fn(&Distribution) -> u64);

fn session_ends(run: &Run) -> String {
    let kinds: Vec<&SessionEnds> = run.session_ends.iter().collect();
    let headings = kinds.iter().map(|ends| Cell::number(&ends.kind));
    let mut table = Table::new(std::iter::once(Cell::text("")).chain(headings));
    let count = |table: &mut Table, name: &str, figure: Count| {
        table.row(
            name,
            kinds
                .iter()
                .map(|ends| Cell::number(format::count(figure(ends)))),
        );
    };
    let fault = |table: &mut Table, name: &str, figure: Count| {
        table.row(name, kinds.iter().map(|ends| Cell::fault(figure(ends))));
    };
    count(&mut table, "Started", |ends| ends.started);
    count(&mut table, "Ended once", |ends| ends.ended_once);
    fault(&mut table, "Ended more than once", |ends| ends.ended_more);
    fault(&mut table, "Missed", |ends| ends.missed);
    count(&mut table, "Alive at the end", |ends| ends.alive);
    table.group("How they ended");
    count(&mut table, "By log-out", |ends| ends.abandoned);
    let faults: [(&str, Count); 10] = [
        ("Duplicate ends", |ends| ends.duplicates),
        ("Premature", |ends| ends.premature),
        ("Vanished before due", |ends| ends.vanished),
        ("Ended without data", |ends| ends.without_data),
        ("Handler threw", |ends| ends.handler_failed),
        ("Contact gone already", |ends| ends.contact_gone),
        ("Used after end", |ends| ends.used_after_end),
        ("Served though due", |ends| ends.resurrected),
        ("Of no known session", |ends| ends.unknown),
        ("Raised by a store that cannot", |ends| {
            if ends.supported {
                0
            } else {
                ends.ended_once + ends.ended_more
            }
        }),
    ];
    for (name, figure) in faults {
        // Ten rows of zeros tell less than their absence.
        if kinds.iter().any(|ends| figure(ends) > 0) {
            fault(&mut table, name, figure);
        }
    }
    table.group("When");
    let times: [(&str, Time); 8] = [
        ("Lateness p50", (|ends| &ends.lateness, |d| d.p50)),
        ("Lateness p90", (|ends| &ends.lateness, |d| d.p90)),
        ("Lateness p99", (|ends| &ends.lateness, |d| d.p99)),
        ("Lateness max", (|ends| &ends.lateness, |d| d.max)),
        ("Early by, p50", (|ends| &ends.earliness, |d| d.p50)),
        ("Missed: overdue by, max", (|ends| &ends.overdue, |d| d.max)),
        ("Handler p99", (|ends| &ends.handler, |d| d.p99)),
        (
            "Uncertainty of due, p99",
            (|ends| &ends.due_uncertainty, |d| d.p99),
        ),
    ];
    for (name, (of, figure)) in times {
        if kinds.iter().any(|ends| of(ends).count > 0) {
            let cells = kinds
                .iter()
                .map(|ends| Cell::number(time_of(of(ends), figure)));
            table.row(name, cells);
        }
    }
    if kinds.iter().all(|ends| ends.lateness.count == 0) {
        table.row("Lateness", kinds.iter().map(|ends| never(ends)));
    }
    if kinds.is_empty() {
        return String::new();
    }
    table.under("Session ends")
}

/// What stands for the lateness of ends that never came.
fn never(ends: &SessionEnds) -> Cell {
    if ends.missed > 0 {
        Cell::number("never").bad_if(true)
    } else {
        Cell::number(NOTHING)
    }
}

fn causes(run: &Run) -> String {
    let mut table = Table::of_numbers(&["Part of lateness", "mean", "p50", "p99", "max"]);
    for ends in &run.session_ends {
        for (cause, parts) in &ends.lateness_by_cause {
            table.row(
                &format!("{cause}, {}", ends.kind),
                [
                    Cell::number(time_of(parts, |d| d.mean as u64)),
                    Cell::number(time_of(parts, |d| d.p50)),
                    Cell::number(time_of(parts, |d| d.p99)),
                    Cell::number(time_of(parts, |d| d.max)),
                ],
            );
        }
    }
    table.under("What lateness is made of")
}

fn page_views(run: &Run) -> String {
    let views = &run.page_views;
    let mut table = Table::of_numbers(&["Page views", "", "share"]);
    if views.performed == 0 {
        return String::new();
    }
    let rows = [
        ("Performed", views.performed, false),
        ("Committed", views.committed, false),
        ("In sessions still alive", views.alive, false),
        ("Lost with their visit", views.lost_with_visit, true),
        ("Lost in a committed visit", views.lost_in_visit, true),
        ("Committed again", views.committed_again, true),
    ];
    for (name, number, fault) in rows {
        let share = format::percent(number, views.performed);
        let bad = fault && number > 0;
        table.row(
            name,
            [
                Cell::number(format::count(number)).bad_if(bad),
                Cell::number(share).bad_if(bad),
            ],
        );
    }
    table.under("Page views")
}

fn promises(run: &Run) -> String {
    let mut table = Table::of_numbers(&["Promise", "checked", "broken"]);
    for promise in &run.integrity {
        table.row(
            &format!("{}. {}", promise.number, promise.promise),
            [
                Cell::number(format::count(promise.checked)),
                Cell::fault(promise.violations),
            ],
        );
    }
    table.under("Promises")
}

fn conservation(run: &Run) -> String {
    let mut table = Table::of_numbers(&["Sum", "left", "right", ""]);
    for sum in &run.conservation {
        table.row(
            &sum.equation,
            [
                Cell::number(format::count(sum.left)),
                Cell::number(format::count(sum.right)),
                Cell::number(if sum.holds { "✓" } else { "✗ uneven" }).bad_if(!sum.holds),
            ],
        );
    }
    table.under("Sums that must come out even")
}
