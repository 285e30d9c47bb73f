//! What a run got wrong: who met it first, when, and where to look.
//!
//! Every wrong has an anchor, to which the cards at the head of the page lead. From here links lead
//! on to the run's timeline and, where the session's lock was recorded moment by moment, to its plot.

use super::markup::{Cell, Table, escape, prose};
use super::{Page, figure};
use crate::report::wrongs::{FOREMOST, Wrong, peace, whereabouts, wrongs};
use crate::report::{format, plots};
use crate::result::{Offender, Run, ScenarioInfo, SessionTimeline};

/// The anchor of a wrong.
fn anchor(index: usize, wrong: &Wrong) -> String {
    format!("run-{index}-{}", wrong.name)
}

/// The anchor of a run's timeline.
pub(super) fn timeline_anchor(index: usize) -> String {
    format!("run-{index}-timeline")
}

/// The anchor of the plot of one of the run's locks.
fn lock_anchor(index: usize, lock: usize) -> String {
    format!("run-{index}-lock-{lock}")
}

/// The three most important wrongs of a run as items of a list, each with a link to what is known
/// of it.
pub(super) fn foremost(index: usize, run: &Run, scenario: &ScenarioInfo) -> String {
    let wrongs = wrongs(run, scenario);
    let mut items: String = (wrongs.iter().take(FOREMOST))
        .map(|wrong| {
            let link = match wrong.first.first() {
                Some(first) => format!("First: {}", whereabouts(first)),
                None => "More".to_owned(),
            };
            format!(
                "<li>{} <a href=\"#{}\">{}</a></li>\n",
                prose(&wrong.says),
                anchor(index, wrong),
                prose(&link)
            )
        })
        .collect();
    if wrongs.is_empty() {
        items.push_str("<li>Nothing went wrong.</li>\n");
    }
    if let Some(peace) = peace(run) {
        items.push_str(&format!("<li>{}</li>\n", prose(&peace)));
    }
    if wrongs.len() > FOREMOST {
        items.push_str(&format!(
            "<li><a href=\"#run-{index}-incidents\">{} more</a></li>\n",
            wrongs.len() - FOREMOST
        ));
    }
    items
}

/// Everything that went wrong in a run, the costliest first, with the first offenders of each.
pub(super) fn section(index: usize, run: &Run, scenario: &ScenarioInfo) -> Page {
    let wrongs = wrongs(run, scenario);
    let mut html = format!(
        "<section class=\"incidents\" id=\"run-{index}-incidents\">\n<h3>What went wrong</h3>\n"
    );
    if wrongs.is_empty() {
        html.push_str("<p>Nothing went wrong.</p>\n");
    }
    if let Some(peace) = peace(run) {
        html.push_str(&format!("<p>{}</p>\n", prose(&peace)));
    }
    for wrong in &wrongs {
        html.push_str(&format!(
            "<article id=\"{}\">\n<h4><span class=\"pill\">{}</span> {}</h4>\n{}</article>\n",
            anchor(index, wrong),
            wrong.severity.name(),
            prose(&wrong.says),
            offenders(index, run, wrong)
        ));
    }
    html.push_str("</section>\n");
    html.push_str(&locks(index, run, scenario, &wrongs)?);
    Ok(html)
}

fn offenders(index: usize, run: &Run, wrong: &Wrong) -> String {
    let mut table = Table::new([
        Cell::number("at"),
        Cell::text("Session"),
        Cell::text("Found"),
    ]);
    for offender in &wrong.first {
        let at = escape(&format::instant(offender.at_ns));
        let at = if run.timeline.step_ns > 0 {
            format!("<a href=\"#{}\">{at}</a>", timeline_anchor(index))
        } else {
            at
        };
        let id = format!("<code>{}</code>", escape(&offender.session));
        let session = match lock_of(run, offender) {
            Some(lock) => format!("<a href=\"#{}\">{id}</a>", lock_anchor(index, lock)),
            None => id,
        };
        table.row_of(at, [Cell::html(session), Cell::text(&offender.found)]);
    }
    table.unless_empty("offenders")
}

/// Which of the recorded locks an offender's session is.
fn lock_of(run: &Run, offender: &Offender) -> Option<usize> {
    let is_it = |lock: &SessionTimeline| lock.session == offender.session && waited(lock);
    run.contention.iter().position(is_it)
}

/// Whether there is anything to draw of a lock.
fn waited(lock: &SessionTimeline) -> bool {
    let waited = |granted: u64, asked: u64| granted > asked;
    (lock.requests.iter()).any(|span| (span.granted_ns).is_some_and(|it| waited(it, span.asked_ns)))
}

/// The plots of the most contended lock and of every other that something above leads to.
fn locks(index: usize, run: &Run, scenario: &ScenarioInfo, wrongs: &[Wrong]) -> Page {
    let most = (run.contention.iter().enumerate())
        .max_by_key(|(_, lock)| lock.total_wait_ns)
        .map(|(at, _)| at);
    let offenders = wrongs.iter().flat_map(|wrong| &wrong.first);
    let named: Vec<usize> = offenders.filter_map(|it| lock_of(run, it)).collect();
    let mut html = String::new();
    for (at, lock) in run.contention.iter().enumerate() {
        if most != Some(at) && !named.contains(&at) {
            continue;
        }
        if let Some(plot) = plots::contention(lock, scenario.poll_interval_ns)? {
            html.push_str(&format!(
                "<div id=\"{}\">{}</div>\n",
                lock_anchor(index, at),
                figure("One lock, moment by moment", &plot, "", &caption(lock))
            ));
        }
    }
    Ok(html)
}

fn caption(lock: &SessionTimeline) -> String {
    format!(
        "The {} session {}, in its densest moments: one lane per request in the order of asking, \
         pale while it waits, solid while it holds the lock, with its wait beside it. White between \
         one solid bar and the next is time in which the session was free and its waiters did not \
         know. In all, its requests waited {}, at most {} at once.{}",
        lock.kind,
        lock.session,
        format::duration(lock.total_wait_ns),
        format::count(lock.longest_queue),
        if lock.truncated {
            " There was more than is kept."
        } else {
            ""
        }
    )
}
