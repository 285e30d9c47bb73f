//! Wrongs about session ends, and about what is lost with them.

use super::{KINDS, Severity, Wrong, first, share};
use crate::report::format::{count, counted, duration, percent};
use crate::result::{Distribution, Run, ScenarioInfo, SessionEnds};

/// The promise that a session ends in time, by its number.
const NOT_LATE: u32 = 6;

/// A number of session ends.
type Count = fn(&SessionEnds) -> u64;

/// All of them, in no order of cost.
pub(super) fn wrongs(run: &Run, scenario: &ScenarioInfo) -> Vec<Wrong> {
    let wrongs = [
        lost_visits(run),
        lost_in_visits(run),
        lost_contacts(run),
        contact_gone(run, scenario),
        among(
            run,
            "used_after_end",
            Severity::WrongData,
            "served after the end was raised",
            |ends| ends.used_after_end,
        ),
        among(
            run,
            "vanished",
            Severity::WrongData,
            "gone from the store before it was due",
            |ends| ends.vanished,
        ),
        duplicates(run),
        among(
            run,
            "unknown",
            Severity::Duplicate,
            "ended that this run never started",
            |ends| ends.unknown,
        ),
        premature(run),
        late(run),
        among(
            run,
            "resurrected",
            Severity::Late,
            "served although due, since the end had not been raised",
            |ends| ends.resurrected,
        ),
    ];
    wrongs.into_iter().flatten().collect()
}

fn ends<'a>(run: &'a Run, kind: &str) -> Option<&'a SessionEnds> {
    run.session_ends.iter().find(|ends| ends.kind == kind)
}

/// Sums over visits and contact sessions.
fn sum(run: &Run, figure: Count) -> u64 {
    run.session_ends.iter().map(figure).sum()
}

fn ended(ends: &SessionEnds) -> u64 {
    ends.ended_once + ends.ended_more
}

fn came_due(ends: &SessionEnds) -> u64 {
    ended(ends) + ends.missed
}

/// `12 visits and 1 contact session`, without what there is none of.
fn whose(run: &Run, figure: Count) -> String {
    let kinds = [
        ("private", "visit", "visits"),
        ("shared", "contact session", "contact sessions"),
    ];
    let parts: Vec<String> = kinds
        .into_iter()
        .filter_map(|(kind, one, many)| {
            let number = figure(ends(run, kind)?);
            (number > 0).then(|| counted(number, one, many))
        })
        .collect();
    parts.join(" and ")
}

/// Why sessions of a kind were never committed: `12 never ended, 3 ends came without data`.
fn reasons(ends: &SessionEnds) -> String {
    if !ends.supported {
        return "the provider does not raise their end".to_owned();
    }
    let parts = [
        (ends.missed, "never ended"),
        (ends.without_data, "ends came without data"),
        (ends.handler_failed, "end handlers threw"),
    ];
    let parts = parts.into_iter().filter(|(number, _)| *number > 0);
    let parts: Vec<String> = parts
        .map(|(number, what)| format!("{} {what}", count(number)))
        .collect();
    parts.join(", ")
}

const LOST: [&str; 3] = ["missed", "without_data", "handler_failed"];

fn lost_visits(run: &Run) -> Option<Wrong> {
    let ends = ends(run, "private")?;
    let views = &run.page_views;
    if ends.missed + views.lost_with_visit == 0 {
        return None;
    }
    let due = came_due(ends);
    let says = if ended(ends) == 0 {
        let none = if ends.supported {
            "none of them ended"
        } else {
            "the provider raises no session end"
        };
        format!(
            "All {} that came due, with {}, were never committed: {none}.",
            counted(due, "visit", "visits"),
            counted(views.lost_with_visit, "page view", "page views"),
        )
    } else if views.lost_with_visit == 0 {
        format!(
            "{} of {} that came due never ended.",
            count(ends.missed),
            counted(due, "visit", "visits")
        )
    } else {
        format!(
            "{} of {} ({}) were lost with visits that were never committed: of {}, {}.",
            count(views.lost_with_visit),
            counted(views.performed, "page view", "page views"),
            percent(views.lost_with_visit, views.performed),
            counted(due, "visit", "visits"),
            reasons(ends)
        )
    };
    Some(Wrong {
        name: "lost_visits",
        severity: Severity::Loss,
        says,
        first: first(run, &["private"], &LOST),
        share: share(ends.missed, due).max(share(views.lost_with_visit, views.performed)),
    })
}

fn lost_in_visits(run: &Run) -> Option<Wrong> {
    let views = &run.page_views;
    (views.lost_in_visit > 0).then(|| Wrong {
        name: "lost_in_visits",
        severity: Severity::Loss,
        says: format!(
            "{} of {} ({}) are missing in visits that were committed.",
            count(views.lost_in_visit),
            counted(views.performed, "page view", "page views"),
            percent(views.lost_in_visit, views.performed)
        ),
        first: first(run, &KINDS, &["lost_in_visit"]),
        share: share(views.lost_in_visit, views.performed),
    })
}

fn lost_contacts(run: &Run) -> Option<Wrong> {
    let ends = ends(run, "shared")?;
    let lost = ends.missed + ends.without_data + ends.handler_failed;
    (lost > 0).then(|| Wrong {
        name: "lost_contacts",
        severity: Severity::Loss,
        says: format!(
            "Contact data was not saved: of {} that came due, {}.",
            counted(came_due(ends), "contact session", "contact sessions"),
            reasons(ends)
        ),
        first: first(run, &["shared"], &LOST),
        share: share(lost, came_due(ends)),
    })
}

fn contact_gone(run: &Run, scenario: &ScenarioInfo) -> Option<Wrong> {
    let ends = ends(run, "private")?;
    let overstated = if scenario.scale > 1.0 {
        format!(
            " Overstated: the minute between the two lasts {} here.",
            duration((60e9 / scenario.scale) as u64)
        )
    } else {
        String::new()
    };
    (ends.contact_gone > 0).then(|| Wrong {
        name: "contact_gone",
        severity: Severity::WrongData,
        says: format!(
            "{} of {} ended after their contact’s session, whose data was gone.{overstated}",
            count(ends.contact_gone),
            counted(ended(ends), "visit", "visits")
        ),
        first: first(run, &KINDS, &["contact_gone"]),
        share: share(ends.contact_gone, ended(ends)),
    })
}

/// Sessions of both kinds to which something happened.
fn among(
    run: &Run,
    name: &'static str,
    severity: Severity,
    what: &str,
    figure: Count,
) -> Option<Wrong> {
    let times = sum(run, figure);
    (times > 0).then(|| Wrong {
        name,
        severity,
        says: format!("{}: {what}.", whose(run, figure)),
        first: first(run, &KINDS, &[name]),
        share: share(times, sum(run, |ends| ends.started)),
    })
}

fn duplicates(run: &Run) -> Option<Wrong> {
    let again = sum(run, |ends| ends.duplicates);
    let views = run.page_views.committed_again;
    let committed = match views {
        0 => String::new(),
        views => format!(
            "; {} committed again",
            counted(views, "page view was", "page views were")
        ),
    };
    (again > 0).then(|| Wrong {
        name: "duplicates",
        severity: Severity::Duplicate,
        says: format!(
            "{} of {} ended more than once ({} too many{committed}).",
            whose(run, |ends| ends.ended_more),
            count(sum(run, ended)),
            counted(again, "end", "ends")
        ),
        first: first(run, &KINDS, &["duplicates"]),
        share: share(sum(run, |ends| ends.ended_more), sum(run, ended)),
    })
}

fn premature(run: &Run) -> Option<Wrong> {
    let early = sum(run, |ends| ends.premature);
    let most = |figure: fn(&Distribution) -> u64| {
        let of = |ends: &SessionEnds| figure(&ends.earliness);
        run.session_ends.iter().map(of).max().unwrap_or(0)
    };
    let by = match most(|values| values.max) {
        0 => String::new(),
        longest => format!(", by up to {}", duration(longest)),
    };
    (early > 0).then(|| Wrong {
        name: "premature",
        severity: Severity::Premature,
        says: format!(
            "{} of {} ended before they were due{by}.",
            whose(run, |ends| ends.premature),
            count(sum(run, ended))
        ),
        first: first(run, &KINDS, &["premature"]),
        share: share(early, sum(run, ended)),
    })
}

fn late(run: &Run) -> Option<Wrong> {
    let promise = run.integrity.iter().find(|it| it.number == NOT_LATE)?;
    (promise.violations > 0).then(|| Wrong {
        name: "late",
        severity: Severity::Late,
        says: format!(
            "{} of {} came more than 60 s after they were due.",
            count(promise.violations),
            counted(promise.checked, "session end", "session ends")
        ),
        first: promise.offenders.clone(),
        share: share(promise.violations, promise.checked),
    })
}
