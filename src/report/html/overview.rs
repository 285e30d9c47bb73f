//! The first half of the page: what came out, all runs side by side, and the plots they share.

use super::markup::{Cell, Table, escape, prose};
use super::{Page, answer, figure, incidents, providers, swatch};
use crate::report::format::{self, NOTHING, time_of};
use crate::report::{merge, plots};
use crate::result::{Distribution, Locks, Result, Run, SessionEnds};

/// Answer, comparison and common plots.
pub(super) fn overview(result: &Result) -> Page {
    let mut html = format!(
        "<section id=\"answer\">\n<h2>What came out</h2>\n<p class=\"answer\">{}</p>\n\
         <div class=\"cards\">\n{}</div>\n</section>\n",
        prose(&answer::answer(result)),
        cards(result)
    );
    if result.runs.is_empty() {
        return Ok(html);
    }
    html.push_str("<section id=\"providers\">\n<h2>Side by side</h2>\n");
    html.push_str(&providers::table(result));
    html.push_str(&format!(
        "</section>\n<section id=\"comparison\" style=\"--runs:{}\">\n\
         <h2>What visitors met</h2>\n",
        result.runs.len()
    ));
    html.push_str(&comparison(result));
    html.push_str("</section>\n");
    let figures = figures(result)?;
    if !figures.is_empty() {
        html.push_str("<section id=\"plots\">\n<h2>In pictures</h2>\n");
        html.push_str(&figures);
        html.push_str("</section>\n");
    }
    Ok(html)
}

/// What a run's providers are called, for a person.
pub(super) fn title(run: &Run) -> String {
    let Some(cluster) = run.clusters.first() else {
        return String::new();
    };
    match &cluster.shared {
        Some(shared) if shared.title != cluster.private.title => {
            format!(
                "{} for visits, {} for contacts",
                cluster.private.title, shared.title
            )
        }
        _ => cluster.private.title.clone(),
    }
}

/// Whether a run can be trusted and met its objectives, at a glance.
pub(super) fn pills(run: &Run) -> String {
    let pill = |class: &str, text: &str| format!("<span class=\"pill {class}\">{text}</span> ");
    let mut pills = if run.validity.valid {
        pill("good", "valid")
    } else {
        pill("bad", "not valid")
    };
    if run.partial {
        pills.push_str(&pill("bad", "interrupted"));
    }
    for unproven in &run.validity.unproven {
        let what = unproven.split(':').next().unwrap_or(unproven);
        pills.push_str(&pill("", &format!("unproven: {}", escape(what))));
    }
    let all = run.objectives.len();
    let met = run
        .objectives
        .iter()
        .filter(|objective| objective.met)
        .count();
    if all > 0 {
        let class = if met == all { "good" } else { "bad" };
        pills.push_str(&pill(class, &format!("{met}/{all} objectives")));
    }
    pills
}

fn cards(result: &Result) -> String {
    let card = |(index, run): (usize, &Run)| {
        format!(
            "<article class=\"card\" style=\"--mark:{}\">\n<h3><a href=\"#run-{index}\">{}</a></h3>\n\
             <p class=\"title\">{}</p>\n<p>{}</p>\n<ul>\n{}</ul>\n</article>\n",
            plots::Ink::series(index).css(),
            escape(&run.name),
            prose(&title(run)),
            pills(run),
            incidents::foremost(index, run, &result.scenario)
        )
    };
    result.runs.iter().enumerate().map(card).collect()
}

/// A run with the sums that several rows need.
struct Column<'a> {
    run: &'a Run,
    locks: [Option<Locks>; 2],
}

fn comparison(result: &Result) -> String {
    let columns: Vec<Column<'_>> = result
        .runs
        .iter()
        .map(|run| Column {
            run,
            locks: [merge::locks(run, "private"), merge::locks(run, "shared")],
        })
        .collect();
    let headings = result.runs.iter().enumerate().map(|(index, run)| {
        Cell::html(format!(
            "{}<a href=\"#run-{index}\">{}</a>",
            swatch(index),
            escape(&run.name)
        ))
    });
    let mut table = Table::new(std::iter::once(Cell::text("")).chain(headings));
    let row = |table: &mut Table, name: &str, cell: &dyn Fn(&Column<'_>) -> Cell| {
        table.row(name, columns.iter().map(cell));
    };

    table.group("Page requests");
    row(&mut table, "Served", &|column| {
        Cell::number(format::rate(column.run.requests.per_second))
    });
    let response = |figure: fn(&Distribution) -> u64| {
        move |column: &Column<'_>| Cell::number(time_of(&column.run.requests.response, figure))
    };
    row(&mut table, "Response p50", &response(|d| d.p50));
    row(&mut table, "Response p99", &response(|d| d.p99));
    row(&mut table, "Failed", &|column| {
        Cell::fault(column.run.requests.failed.values().sum())
    });

    table.group("Wait for a lock");
    for (kind, name) in ["Visits", "Contacts"].into_iter().enumerate() {
        if columns.iter().all(|column| column.locks[kind].is_none()) {
            continue;
        }
        let wait = |figure: fn(&Distribution) -> u64| {
            move |column: &Column<'_>| {
                Cell::number(column.locks[kind].as_ref().map_or_else(
                    || NOTHING.to_owned(),
                    |locks| time_of(&locks.acquire_wait, figure),
                ))
            }
        };
        row(&mut table, &format!("{name}, p50"), &wait(|d| d.p50));
        row(&mut table, &format!("{name}, p99"), &wait(|d| d.p99));
    }

    table.group("Session ends");
    let fault = |kind: &'static str, figure: fn(&SessionEnds) -> u64| {
        move |column: &Column<'_>| {
            let ends = column
                .run
                .session_ends
                .iter()
                .find(|ends| ends.kind == kind);
            ends.map_or_else(|| Cell::number(NOTHING), |ends| Cell::fault(figure(ends)))
        }
    };
    row(
        &mut table,
        "Premature, visits",
        &fault("private", |ends| ends.premature),
    );
    row(
        &mut table,
        "Missed, contacts",
        &fault("shared", |ends| ends.missed),
    );

    table.group("Verdict");
    row(&mut table, "Objectives met", &|column| {
        let all = column.run.objectives.len();
        let met = column
            .run
            .objectives
            .iter()
            .filter(|objective| objective.met)
            .count();
        match all {
            0 => Cell::number(NOTHING),
            all => Cell::number(format!("{met} of {all}")).bad_if(met < all),
        }
    });
    table.of_class("compare")
}

fn figures(result: &Result) -> Page {
    let legend: String = result
        .runs
        .iter()
        .enumerate()
        .map(|(index, run)| format!("<li>{}{}</li>", swatch(index), escape(&run.name)))
        .collect();
    let legend = format!("<ul class=\"legend\">{legend}</ul>");
    let mut html = String::new();
    for (kind, name) in [("private", "visits"), ("shared", "contact sessions")] {
        if let Some(plot) = plots::lateness(result, kind)? {
            html.push_str(&figure(
                &format!("How late {name} end"),
                &plot,
                &legend,
                &format!(
                    "Share of {name} that had ended, by the time that had passed since they were \
                     due. Further left is sooner. What a curve lacks to 100 % never ended; where \
                     it starts above 0 %, sessions ended before they were due.{}",
                    early(result, kind)
                ),
            ));
        }
    }
    for (kind, name) in [
        ("private", "a visit’s session"),
        ("shared", "a contact’s session"),
    ] {
        if let Some(plot) = plots::wait(result, kind)? {
            html.push_str(&figure(
                &format!("How long requests wait for {name}"),
                &plot,
                "",
                &format!(
                    "Share of all grants by the time from first asking to holding the lock; \
                     those who did not wait are told in words, not drawn. Lines stand {} apart, \
                     the interval at which ASP.NET polls for a locked session: bars on the lines \
                     are waits for the next poll, not for the lock.",
                    format::duration(result.scenario.poll_interval_ns)
                ),
            ));
        }
    }
    if let Some(plot) = plots::response(result)? {
        html.push_str(&figure(
            "How long visitors wait for a page request",
            &plot,
            &legend,
            "Response by percentile; each step to the right has a tenth of the requests beyond it. \
             Counted from the instant a request was intended, so that a stall also counts for those \
             who queued behind it.",
        ));
    }
    Ok(html)
}

/// Ends before the deadline have no place on a logarithmic axis of lateness: they are told.
fn early(result: &Result, kind: &str) -> String {
    let told: Vec<String> = result
        .runs
        .iter()
        .flat_map(|run| run.session_ends.iter().map(move |ends| (run, ends)))
        .filter(|(_, ends)| ends.kind == kind && ends.earliness.count > 0)
        .map(|(run, ends)| {
            format!(
                " {}: {} early, by {} (p50), at most {}.",
                run.name,
                format::count(ends.earliness.count),
                format::duration(ends.earliness.p50),
                format::duration(ends.earliness.max)
            )
        })
        .collect();
    told.concat()
}
