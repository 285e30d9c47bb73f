//! What a run got wrong, the costliest first, each with who met it first.
//!
//! A run flows in, [`Wrong`]s flow out: a sentence with its numbers, and the sessions and instants
//! to look at. What costs more stands first: what is lost for good before what is wrong, what is
//! wrong before what is done twice, early or late, and all of it before what only waits
//! ([`Severity`]); within one severity, what hit the larger share.
//!
//! The surprising fact: a run in which nothing went wrong may have put nothing to the test, so
//! [`peace`] says what could not have gone wrong.

mod ends;
mod requests;

use super::format::{self, count, counted};
use super::merge;
use crate::result::{Offender, Run, ScenarioInfo};

/// How many wrongs of a run stand in front.
pub const FOREMOST: usize = 3;

/// Store kinds.
const KINDS: [&str; 2] = ["private", "shared"];

/// Offenders that are told of each wrong.
const OFFENDERS: usize = 5;

/// What a wrong costs, the most first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Visits, page views or contact data are lost for good.
    Loss,
    /// A session held what it should not, or not what it should.
    WrongData,
    /// A visitor saw an error.
    Error,
    /// Something was done twice.
    Duplicate,
    /// A session ended too early.
    Premature,
    /// A session ended too late.
    Late,
    /// A visitor waited longer than they had to.
    Wait,
    /// A store worked for nothing.
    Waste,
}

impl Severity {
    /// In a word or two.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Loss => "lost",
            Self::WrongData => "wrong data",
            Self::Error => "errors",
            Self::Duplicate => "duplicates",
            Self::Premature => "too early",
            Self::Late => "too late",
            Self::Wait => "waits",
            Self::Waste => "wasted work",
        }
    }
}

/// One kind of wrong in a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Wrong {
    /// Its name, fit for an anchor, and the only one of its run.
    pub name: &'static str,
    /// What it costs.
    pub severity: Severity,
    /// What happened, with its numbers.
    pub says: String,
    /// Who met it first, by instant.
    pub first: Vec<Offender>,
    /// The part of what could have gone wrong that did.
    share: f64,
}

/// Everything that a run got wrong, the costliest first.
#[must_use]
pub fn wrongs(run: &Run, scenario: &ScenarioInfo) -> Vec<Wrong> {
    let mut wrongs = ends::wrongs(run, scenario);
    wrongs.extend(data(run));
    wrongs.extend(requests::wrongs(run));
    // Stable: of two that cost the same, the one that was looked for first.
    wrongs.sort_by(|a, b| (a.severity.cmp(&b.severity)).then(b.share.total_cmp(&a.share)));
    wrongs
}

/// What is to be said where nothing went wrong, and of what nothing could go wrong.
#[must_use]
pub fn peace(run: &Run) -> Option<String> {
    let contended: u64 = run.stores.iter().map(|store| store.locks.contended).sum();
    let due = |ends: &crate::result::SessionEnds| ends.ended_once + ends.ended_more + ends.missed;
    let due: u64 = run.session_ends.iter().map(due).sum();
    let untested = match (contended, due) {
        (0, 0) => "no session was contended, and none came due",
        (0, _) => "no session was contended, so no lock was put to the test",
        (_, 0) => "no session came due, so no session end was put to the test",
        _ => return None,
    };
    Some(format!("Here nothing could go wrong: {untested}."))
}

/// The first offender as the end of a sentence: `session q3v0aa5x… at 63.204 s`.
#[must_use]
pub fn whereabouts(offender: &Offender) -> String {
    const SHOWN: usize = 8;
    let at = format::instant(offender.at_ns);
    let id = &offender.session;
    let mut short: String = id.chars().take(SHOWN).collect();
    if short.len() < id.len() {
        short.push('…');
    }
    if short.is_empty() {
        return format!("at {at}");
    }
    format!("session {short} at {at}")
}

/// Breaches of the promises about what a session holds and who holds it.
fn data(run: &Run) -> Vec<Wrong> {
    type Say = fn(u64, u64) -> String;
    let promises: [(u32, &str, Say); 4] = [
        (10, "mixed_up", |times, of| {
            format!(
                "{} of {} found another contact’s data in a session.",
                count(times),
                counted(of, "look", "looks")
            )
        }),
        (3, "lost_updates", |times, of| {
            format!(
                "{} of {} found an acknowledged update of a session lost or doubled.",
                count(times),
                counted(of, "look", "looks")
            )
        }),
        (1, "two_holders", |times, of| {
            format!(
                "{} of {} gave a lock to a second holder while the first had it.",
                count(times),
                counted(of, "grant", "grants")
            )
        }),
        (2, "stale_writes", |times, _| {
            format!(
                "{} stored, although its request had lost the lock.",
                counted(times, "write was", "writes were")
            )
        }),
    ];
    promises
        .into_iter()
        .filter_map(|(number, name, say)| {
            let promise = run.integrity.iter().find(|it| it.number == number)?;
            (promise.violations > 0).then(|| Wrong {
                name,
                severity: Severity::WrongData,
                says: say(promise.violations, promise.checked),
                first: promise.offenders.clone(),
                share: share(promise.violations, promise.checked),
            })
        })
        .collect()
}

/// The first offenders under these names, by instant.
fn first(run: &Run, kinds: &[&str], names: &[&str]) -> Vec<Offender> {
    let mut first: Vec<Offender> = kinds
        .iter()
        .flat_map(|kind| names.iter().map(move |name| format!("{kind}.{name}")))
        .filter_map(|name| run.offenders.get(&name))
        .flatten()
        .cloned()
        .collect();
    first.sort_by_key(|offender| offender.at_ns);
    first.truncate(OFFENDERS);
    first
}

/// A part of a whole; all of it where the whole was not counted.
fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(part).max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::{
        blank, distribution, empty, inproc, redis_keyspace, redis_microsoft, redis_sitecore,
    };

    const MS: u64 = 1_000_000;

    fn of(run: &Run) -> Vec<Wrong> {
        wrongs(run, &empty().scenario)
    }

    fn names(run: &Run) -> Vec<&'static str> {
        of(run).iter().map(|wrong| wrong.name).collect()
    }

    fn offender(at_ns: u64, session: &str) -> Offender {
        Offender {
            at_ns,
            session: session.to_owned(),
            found: "found".to_owned(),
        }
    }

    #[test]
    fn what_is_lost_stands_before_what_is_doubled_and_that_before_what_only_waits() {
        let names = names(&redis_keyspace());
        let place = |name: &str| names.iter().position(|it| *it == name).unwrap();
        assert!(place("lost_visits") < place("duplicates"), "{names:?}");
        assert!(place("duplicates") < place("premature"), "{names:?}");
        assert!(place("premature") < place("idle_locks"), "{names:?}");
        assert!(place("idle_locks") < place("wasted_polls"), "{names:?}");
    }

    #[test]
    fn one_lost_update_stands_before_any_number_of_duplicates() {
        let mut run = redis_keyspace();
        let updates = run.integrity.iter_mut().find(|it| it.number == 3).unwrap();
        updates.violations = 1;
        updates.offenders = vec![offender(7, "lost")];
        let wrongs = of(&run);
        let place = |name: &str| wrongs.iter().position(|it| it.name == name).unwrap();
        assert!(place("lost_updates") < place("duplicates"));
        assert_eq!(wrongs[place("lost_updates")].first, [offender(7, "lost")]);
    }

    #[test]
    fn of_one_severity_the_larger_share_stands_first() {
        let mut run = inproc();
        run.session_ends[0].vanished = 100;
        run.session_ends[0].contact_gone = 7;
        let both = |names: Vec<&'static str>| {
            let ours = ["vanished", "contact_gone"];
            names
                .into_iter()
                .filter(|it| ours.contains(it))
                .collect::<Vec<_>>()
        };
        assert_eq!(both(names(&run)), ["vanished", "contact_gone"]);
        run.session_ends[0].contact_gone = 1_000;
        assert_eq!(both(names(&run)), ["contact_gone", "vanished"]);
    }

    #[test]
    fn visits_that_never_end_are_told_with_their_page_views_and_the_reason() {
        assert_eq!(
            of(&redis_microsoft())[0].says,
            "All 2,400 visits that came due, with 11,400 page views, were never committed: \
             the provider raises no session end."
        );
        assert_eq!(
            of(&redis_keyspace())[0].says,
            "96 of 11,400 page views (0.8 %) were lost with visits that were never committed: \
             of 2,400 visits, 20 never ended."
        );
    }

    #[test]
    fn offenders_of_both_kinds_stand_by_instant() {
        let mut run = redis_keyspace();
        let shared = ("shared.duplicates".to_owned(), vec![offender(5, "contact")]);
        run.offenders.extend([shared]);
        let wrongs = of(&run);
        let first = &wrongs
            .iter()
            .find(|it| it.name == "duplicates")
            .unwrap()
            .first;
        assert_eq!(first[0].session, "contact");
        assert_eq!(whereabouts(&first[1]), "session q3v0aa5x… at 192.000 s");
    }

    #[test]
    fn a_lock_that_is_handed_over_at_once_is_nothing_wrong() {
        let mut run = redis_sitecore();
        assert!(names(&run).contains(&"idle_locks"));
        for store in &mut run.stores {
            store.locks.hand_over = distribution(&[MS, MS]);
        }
        assert!(!names(&run).contains(&"idle_locks"));
    }

    #[test]
    fn the_one_look_that_finds_a_session_locked_is_no_waste() {
        let mut run = redis_sitecore();
        for store in &mut run.stores {
            store.locks.wasted_polls = store.locks.contended;
        }
        assert!(!names(&run).contains(&"wasted_polls"));
    }

    #[test]
    fn a_run_without_wrongs_says_what_was_never_put_to_the_test() {
        assert_eq!(of(&blank("idle")), []);
        let idle = peace(&blank("idle")).unwrap();
        assert!(
            idle.contains("no session was contended, and none came due"),
            "{idle}"
        );
        assert_eq!(peace(&inproc()), None);
    }

    #[test]
    fn every_wrong_of_a_run_has_a_name_of_its_own() {
        let mut names = names(&redis_keyspace());
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
