//! Wrongs that visitors meet: errors, waits, and the work that stores do for nothing.

use super::{KINDS, Severity, Wrong, first, merge, share};
use crate::report::format::{count, counted, duration};
use crate::result::{LockSpan, Locks, Offender, Run};

/// A waiter that is woken learns of a free lock sooner than this; one that polls does not.
const WOKEN_NS: u64 = 10_000_000;

/// The promise that a waiting request gets its session, by its number.
const LIVENESS: u32 = 11;

/// All of them, in no order of cost.
pub(super) fn wrongs(run: &Run) -> Vec<Wrong> {
    let locks: Vec<(&str, Locks)> = KINDS
        .into_iter()
        .filter_map(|kind| Some((kind, merge::locks(run, kind)?)))
        .collect();
    let locks = locks.as_slice();
    let wrongs = [
        failed(run),
        starved(run, locks),
        steals(run, locks),
        idle_locks(run, locks),
        overtakes(locks),
        wasted_polls(run, locks),
    ];
    wrongs.into_iter().flatten().collect()
}

fn sum(locks: &[(&str, Locks)], figure: fn(&Locks) -> u64) -> u64 {
    locks.iter().map(|(_, locks)| figure(locks)).sum()
}

fn grants(locks: &[(&str, Locks)]) -> u64 {
    sum(locks, |locks| locks.acquire_wait.count)
}

/// Requests that the store failed; those that waited in vain are [`starved`].
fn failed(run: &Run) -> Option<Wrong> {
    let waits = ["queue_limit", "waited_too_long"];
    let failed = run.requests.failed.iter();
    let failed: Vec<(&String, u64)> = failed
        .map(|(reason, number)| (reason, *number))
        .filter(|(reason, number)| *number > 0 && !waits.contains(&reason.as_str()))
        .collect();
    let times = failed.iter().map(|(_, number)| number).sum();
    let reasons: Vec<String> = failed
        .iter()
        .map(|(reason, number)| format!("{reason}: {}", count(*number)))
        .collect();
    (times > 0).then(|| Wrong {
        name: "failed",
        severity: Severity::Error,
        says: format!(
            "{} of {} failed ({}).",
            count(times),
            counted(run.requests.sent, "page request", "page requests"),
            reasons.join(", ")
        ),
        first: first(run, &KINDS, &["failed"]),
        share: share(times, run.requests.sent),
    })
}

fn starved(run: &Run, locks: &[(&str, Locks)]) -> Option<Wrong> {
    let refused = sum(locks, |locks| locks.queue_limit_refusals);
    let gave_up = sum(locks, |locks| locks.waited_too_long);
    let promise = run.integrity.iter().find(|it| it.number == LIVENESS);
    (refused + gave_up > 0).then(|| Wrong {
        name: "starved",
        severity: Severity::Wait,
        says: format!(
            "{} never got their session ({} refused by the queue limit, {} at the execution \
             timeout).",
            counted(refused + gave_up, "request", "requests"),
            count(refused),
            count(gave_up)
        ),
        first: promise.map_or_else(Vec::new, |promise| promise.offenders.clone()),
        share: share(refused + gave_up, run.requests.sent),
    })
}

fn steals(run: &Run, locks: &[(&str, Locks)]) -> Option<Wrong> {
    let steals = sum(locks, |locks| locks.steals);
    (steals > 0).then(|| Wrong {
        name: "steals",
        severity: Severity::Wait,
        says: format!(
            "{} taken by force, because it was older than the execution timeout.",
            counted(steals, "lock was", "locks were")
        ),
        first: first(run, &KINDS, &["steals"]),
        share: share(steals, grants(locks)),
    })
}

/// Locks that are free while requests wait for them: what polling costs.
fn idle_locks(run: &Run, locks: &[(&str, Locks)]) -> Option<Wrong> {
    let idle: Vec<&(&str, Locks)> = locks
        .iter()
        .filter(|(_, locks)| locks.hand_over.count > 0 && locks.hand_over.p50 >= WOKEN_NS)
        .collect();
    let (kind, worst) = idle.iter().max_by_key(|(_, locks)| locks.contended)?;
    Some(Wrong {
        name: "idle_locks",
        severity: Severity::Wait,
        says: format!(
            "{} of {} for {kind} sessions had to wait, p99 {} for locks that are held for {} \
             (p50): a lock that was free stood idle for {} (p50) before a waiter took it.",
            count(worst.contended),
            counted(worst.acquire_wait.count, "grant", "grants"),
            duration(worst.acquire_wait.p99),
            duration(worst.hold.p50),
            duration(worst.hand_over.p50)
        ),
        first: waits(run, kind),
        share: share(worst.contended, worst.acquire_wait.count),
    })
}

/// The longest wait for each of the most contended sessions.
fn waits(run: &Run, kind: &str) -> Vec<Offender> {
    let waited = |span: &LockSpan| span.granted_ns.unwrap_or(0).saturating_sub(span.asked_ns);
    let sessions = run.contention.iter().filter(|session| session.kind == kind);
    sessions
        .filter_map(|session| {
            let longest = session.requests.iter().max_by_key(|span| waited(span))?;
            Some(Offender {
                at_ns: longest.asked_ns,
                session: session.session.clone(),
                found: format!(
                    "a request waited {}; all of its requests {}, at most {} at once",
                    duration(waited(longest)),
                    duration(session.total_wait_ns),
                    count(session.longest_queue)
                ),
            })
        })
        .collect()
}

fn overtakes(locks: &[(&str, Locks)]) -> Option<Wrong> {
    let overtakes = sum(locks, |locks| locks.overtakes);
    (overtakes > 0).then(|| Wrong {
        name: "overtakes",
        severity: Severity::Wait,
        says: format!(
            "{} a session before one that had asked earlier and still waited.",
            counted(overtakes, "request got", "requests got")
        ),
        first: Vec::new(),
        share: share(overtakes, grants(locks)),
    })
}

/// Looks at a locked session beyond the first of each that waits for it: that one has to be.
fn wasted_polls(run: &Run, locks: &[(&str, Locks)]) -> Option<Wrong> {
    let found_locked = sum(locks, |locks| locks.wasted_polls);
    let wasted = found_locked.saturating_sub(sum(locks, |locks| locks.contended));
    let gets = found_locked + grants(locks);
    (wasted > 0).then(|| Wrong {
        name: "wasted_polls",
        severity: Severity::Waste,
        says: format!(
            "{} of {} asked again for a session that was still locked.",
            count(wasted),
            counted(gets, "exclusive get", "exclusive gets")
        ),
        first: (run.contention.first())
            .map(|session| waits(run, &session.kind))
            .unwrap_or_default(),
        share: share(wasted, gets),
    })
}
