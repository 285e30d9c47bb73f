//! The figures of the provider table, one row per run: how session ends are noticed, how late they
//! came, what was doubled and lost, how requests wait, and what all of it costs.
//!
//! A run flows in, text flows out, for the page, the summary and the terminal alike. The surprising
//! fact: what a waiter is told to do and what it does are two columns, because a provider that wakes
//! its waiters still shows 500 ms where the message did not come.

use super::format::{self, NOTHING, duration, time_of};
use super::merge;
use crate::result::{Detection, Distribution, Locks, Run, ServerUse, SessionEnds};

/// A wait is told to a tenth of the usual poll interval.
const WAIT_STEP_NS: u64 = 50_000_000;

/// A figure as text, and whether it should not be so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figure {
    /// The figure.
    pub text: String,
    /// Whether it is a fault.
    pub bad: bool,
}

impl Figure {
    fn good(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { text, bad: false }
    }

    fn fault(number: u64) -> Self {
        Self {
            text: format::count(number),
            bad: number > 0,
        }
    }
}

/// One run of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provider {
    /// How its visits' ends are noticed.
    pub mechanism: String,
    /// The lateness that its design leads one to expect.
    pub expected: String,
    /// Lateness of visits' ends: half of them came within it.
    pub late_p50: Figure,
    /// 99 % came within it.
    pub late_p99: Figure,
    /// All came within it.
    pub late_max: Figure,
    /// Session ends beyond the first, visits' and contacts'.
    pub duplicates: Figure,
    /// Visits that came due and never ended.
    pub visits_missed: Figure,
    /// Page views that were lost with visits or in them.
    pub views_lost: Figure,
    /// How a waiter learns that a lock is free, by design.
    pub waits_by: String,
    /// The commonest wait of those who had to, to 50 ms.
    pub usual_wait: String,
    /// From a lock's release to the next waiter's grant, p50.
    pub hand_over: String,
    /// Round trips per page request, mean.
    pub trips_mean: String,
    /// Round trips per page request, p99.
    pub trips_p99: String,
    /// Bytes per page request in both directions, mean.
    pub request_bytes: String,
    /// Bytes in the store per live session.
    pub session_bytes: String,
    /// The stores' processor time per 1,000 page requests.
    pub cpu: String,
    /// Whether the numbers can be trusted.
    pub validity: Figure,
}

impl Provider {
    /// The row of a run.
    #[must_use]
    pub fn of(run: &Run) -> Self {
        let private = run.session_ends.iter().find(|ends| ends.kind == "private");
        let info = run.clusters.first().map(|cluster| &cluster.private);
        let locks = ["private", "shared"].map(|kind| merge::locks(run, kind));
        let locks: Vec<Locks> = locks.into_iter().flatten().collect();
        let hand_over = merge::distributions(locks.iter().map(|locks| &locks.hand_over));
        let waits = merge::distributions(locks.iter().map(|locks| &locks.acquire_wait));
        let requests = &run.requests;
        let views = &run.page_views;
        let lost = views.lost_with_visit + views.lost_in_visit;
        let late = |figure: fn(&Distribution) -> u64| lateness(private, figure);
        let text = |text: Option<String>| text.unwrap_or_else(|| NOTHING.to_owned());
        let trips = (requests.round_trips.count > 0).then_some(&requests.round_trips);
        let bytes = requests.bytes_sent.mean + requests.bytes_received.mean;
        Self {
            mechanism: mechanism(info.and_then(|info| info.detection)).to_owned(),
            expected: text(info.map(|info| info.expected_lateness.clone())),
            late_p50: late(|values| values.p50),
            late_p99: late(|values| values.p99),
            late_max: late(|values| values.max),
            duplicates: Figure::fault(run.session_ends.iter().map(|ends| ends.duplicates).sum()),
            visits_missed: Figure::fault(private.map_or(0, |ends| ends.missed)),
            views_lost: Figure {
                text: format::percent(lost, views.performed),
                bad: lost > 0,
            },
            waits_by: text(info.map(|info| info.wait.clone())),
            usual_wait: text(usual_wait(&waits).map(duration)),
            hand_over: time_of(&hand_over, |values| values.p50),
            trips_mean: text(trips.map(|trips| format::number(trips.mean))),
            trips_p99: text(trips.map(|trips| format::count(trips.p99))),
            request_bytes: text((bytes > 0.0).then(|| format::bytes(bytes as u64))),
            session_bytes: text(session_bytes(&run.servers).map(format::bytes)),
            cpu: text(cpu(&run.servers)),
            validity: validity(run),
        }
    }
}

fn lateness(private: Option<&SessionEnds>, figure: fn(&Distribution) -> u64) -> Figure {
    match private {
        Some(ends) if ends.lateness.count == 0 && ends.missed > 0 => Figure {
            text: "never".to_owned(),
            bad: true,
        },
        Some(ends) => Figure::good(time_of(&ends.lateness, figure)),
        None => Figure::good(NOTHING),
    }
}

/// How session ends are noticed, in a word or two.
const fn mechanism(detection: Option<Detection>) -> &'static str {
    match detection {
        Some(Detection::CacheWheel) => "cache wheel",
        Some(Detection::Poll) => "poll",
        Some(Detection::Notification) => "notification",
        Some(Detection::Deadline) => "deadline",
        None => "none",
    }
}

/// The commonest wait of those that are longer than half a step; `None` where there was none.
fn usual_wait(waits: &Distribution) -> Option<u64> {
    let histogram = merge::histogram(waits)?;
    let step_of = |wait: u64| (wait + WAIT_STEP_NS / 2) / WAIT_STEP_NS;
    let mut steps = std::collections::BTreeMap::<u64, u64>::new();
    for value in histogram.iter_recorded() {
        let step = step_of(value.value_iterated_to());
        *steps.entry(step).or_default() += value.count_at_value();
    }
    steps.remove(&0);
    // Of two that are as common, the shorter.
    let commonest = steps.into_iter().rev().max_by_key(|(_, count)| *count);
    commonest.map(|(step, _)| step * WAIT_STEP_NS)
}

fn session_bytes(servers: &[ServerUse]) -> Option<u64> {
    let each = servers.iter().map(|server| server.peak.bytes_per_session);
    each.flatten().max()
}

fn cpu(servers: &[ServerUse]) -> Option<String> {
    let each = servers.iter();
    let each = each.filter_map(|server| server.cpu_seconds_per_1000_requests);
    let seconds = each.reduce(|a, b| a + b)?;
    Some(duration((seconds.max(0.0) * 1e9) as u64))
}

fn validity(run: &Run) -> Figure {
    let (word, bad) = match (run.validity.valid, run.partial) {
        (false, _) => ("not valid", true),
        (true, true) => ("interrupted", true),
        (true, false) => ("valid", false),
    };
    Figure {
        text: word.to_owned(),
        bad,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::{distribution, inproc, redis_microsoft, redis_sitecore};

    const MS: u64 = 1_000_000;

    #[test]
    fn every_figure_comes_from_the_result() {
        let mut run = redis_sitecore();
        run.session_ends[0].lateness = distribution(&[1_000 * MS, 1_000 * MS, 2_500 * MS]);
        run.session_ends[0].duplicates = 3;
        run.session_ends[1].duplicates = 4;
        run.session_ends[0].missed = 1_234;
        run.page_views.lost_in_visit = 114;
        run.requests.round_trips = distribution(&[2, 3, 7]);
        run.requests.bytes_sent = distribution(&[1_000]);
        run.requests.bytes_received = distribution(&[1_048]);
        run.servers[0].peak.bytes_per_session = Some(4_096);
        run.servers[0].cpu_seconds_per_1000_requests = Some(0.25);
        let row = Provider::of(&run);
        assert_eq!(
            (row.late_p50.text.as_str(), row.late_max.text.as_str()),
            ("1 s", "2.5 s")
        );
        assert_eq!(row.duplicates.text, "7");
        assert_eq!(row.visits_missed.text, "1,234");
        assert_eq!(row.views_lost.text, "1.0 %");
        assert_eq!(
            (row.trips_mean.as_str(), row.trips_p99.as_str()),
            ("4", "7")
        );
        assert_eq!(row.request_bytes, "2 KiB");
        assert_eq!(row.session_bytes, "4 KiB");
        assert_eq!(row.cpu, "250 ms");
        assert!(row.duplicates.bad && row.visits_missed.bad && row.views_lost.bad);
    }

    #[test]
    fn lateness_of_a_provider_without_session_end_is_never() {
        let row = Provider::of(&redis_microsoft());
        assert_eq!(
            (row.mechanism.as_str(), row.late_p50.text.as_str()),
            ("none", "never")
        );
    }

    #[test]
    fn a_run_without_a_server_has_no_cost_of_one() {
        assert_eq!(Provider::of(&inproc()).cpu, NOTHING);
    }

    #[test]
    fn the_usual_wait_is_the_commonest_of_those_who_had_to_wait() {
        let waits = [MS, MS, MS, MS, 501 * MS, 502 * MS, 1_003 * MS];
        assert_eq!(usual_wait(&distribution(&waits)), Some(500 * MS));
        assert_eq!(usual_wait(&distribution(&[MS, 2 * MS])), None);
    }

    #[test]
    fn a_run_that_is_not_valid_is_marked() {
        let mut run = inproc();
        run.validity.valid = false;
        assert_eq!(Provider::of(&run).validity.text, "not valid");
    }
}
