//! What was to hold, and whether it does.

use crate::measure::Recorded;
use crate::result::{self, Distribution, HistogramError, Locks, ServerUse, SessionEnds, Store};
use crate::scenario::{Metric, Objective, Statistic, Unit};
use std::time::Duration;

/// Holds a run against the scenario's objectives.
#[must_use]
pub fn judge(
    objectives: &[Objective],
    recorded: &Recorded,
    servers: &[ServerUse],
) -> Vec<result::Objective> {
    let judged = objectives.iter().map(|objective| {
        let measured = Measured {
            objective,
            recorded,
            servers,
        }
        .value();
        result::Objective {
            text: objective.text.clone(),
            measured: measured.map(|value| written(value, objective.metric.unit())),
            // What was never measured does not hold.
            met: measured.is_some_and(|value| objective.holds(value)),
        }
    });
    judged.collect()
}

/// A measured value with its unit.
fn written(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Span => format!("{:.3?}", Duration::from_nanos(value as u64)),
        Unit::Count => format!("{value}"),
        Unit::Share => format!("{:.3} %", value * 100.0),
        Unit::Rate => format!("{value:.1}/s"),
        Unit::Size => format!("{value:.0} B"),
    }
}

/// What one objective is about.
struct Measured<'a> {
    objective: &'a Objective,
    recorded: &'a Recorded,
    servers: &'a [ServerUse],
}

impl Measured<'_> {
    /// The value in the metric's base unit; `None` when nothing was measured.
    fn value(&self) -> Option<f64> {
        let recorded = self.recorded;
        let requests = &recorded.requests;
        let failed: u64 = requests.failed.values().sum();
        let views = &recorded.page_views;
        let lost = views.lost_in_visit + views.lost_with_visit;
        match self.objective.metric {
            Metric::RequestResponse => self.statistic(&requests.response),
            Metric::RequestService => self.statistic(&requests.service),
            Metric::RequestLag => self.statistic(&requests.lag),
            Metric::RequestFailed => Some(failed as f64),
            Metric::RequestFailedShare => share(failed, requests.sent),
            Metric::RequestRate => Some(requests.per_second),
            Metric::LockAcquireWait => self.of_locks(|locks| &locks.acquire_wait),
            Metric::LockHold => self.of_locks(|locks| &locks.hold),
            Metric::LockHandOver => self.of_locks(|locks| &locks.hand_over),
            Metric::LockPolls => self.of_locks(|locks| &locks.polls),
            Metric::LockSteals => Some(self.count_locks(|locks| locks.steals)),
            Metric::LockQueueLimitRefusals => {
                Some(self.count_locks(|locks| locks.queue_limit_refusals))
            }
            Metric::LockOvertakes => Some(self.count_locks(|locks| locks.overtakes)),
            Metric::OperationLatency => {
                let stores = self.stores().flat_map(|store| store.operations.values());
                self.merged(stores.map(|operations| &operations.latency))
            }
            Metric::SessionEndLateness => self.of_ends(|ends| &ends.lateness),
            Metric::SessionEndEarliness => self.of_ends(|ends| &ends.earliness),
            Metric::SessionEndHandler => self.of_ends(|ends| &ends.handler),
            Metric::SessionEndMissed => Some(self.count_ends(|ends| ends.missed)),
            Metric::SessionEndDuplicate => Some(self.count_ends(|ends| ends.duplicates)),
            Metric::SessionEndPremature => Some(self.count_ends(|ends| ends.premature)),
            Metric::SessionEndResurrected => Some(self.count_ends(|ends| ends.resurrected)),
            Metric::SessionEndEnded => {
                Some(self.count_ends(|ends| ends.ended_once + ends.ended_more))
            }
            Metric::IntegrityViolations => {
                let broken = recorded.integrity.iter().map(|promise| promise.violations);
                Some(broken.sum::<u64>() as f64)
            }
            Metric::IntegrityLostUpdates => {
                let third = recorded
                    .integrity
                    .iter()
                    .find(|promise| promise.number == 3);
                third.map(|promise| promise.violations as f64)
            }
            Metric::PageViewsLost => Some(lost as f64),
            Metric::PageViewsLostShare => share(lost, views.performed),
            Metric::StoreMemory => self.most(|server| server.peak.memory_bytes),
            Metric::StoreBytesPerSession => self.most(|server| server.peak.bytes_per_session),
        }
    }

    fn stores(&self) -> impl Iterator<Item = &Store> {
        let kind = self.objective.kind.map(|kind| kind.name());
        self.recorded
            .stores
            .iter()
            .filter(move |store| kind.is_none_or(|kind| store.kind == kind))
    }

    fn ends(&self) -> impl Iterator<Item = &SessionEnds> {
        let kind = self.objective.kind.map(|kind| kind.name());
        let ends = self.recorded.session_ends.iter();
        ends.filter(move |ends| kind.is_none_or(|kind| ends.kind == kind))
    }

    fn of_locks<'a>(&'a self, get: impl Fn(&'a Locks) -> &'a Distribution) -> Option<f64> {
        self.merged(self.stores().map(|store| get(&store.locks)))
    }

    fn of_ends<'a>(&'a self, get: impl Fn(&'a SessionEnds) -> &'a Distribution) -> Option<f64> {
        self.merged(self.ends().map(get))
    }

    fn count_locks(&self, get: impl Fn(&Locks) -> u64) -> f64 {
        self.stores().map(|store| get(&store.locks)).sum::<u64>() as f64
    }

    fn count_ends(&self, get: impl Fn(&SessionEnds) -> u64) -> f64 {
        self.ends().map(get).sum::<u64>() as f64
    }

    fn most(&self, get: impl Fn(&ServerUse) -> Option<u64>) -> Option<f64> {
        self.servers
            .iter()
            .filter_map(get)
            .max()
            .map(|most| most as f64)
    }

    fn merged<'a>(&self, parts: impl Iterator<Item = &'a Distribution>) -> Option<f64> {
        let merged: Result<Distribution, HistogramError> = Distribution::merged(parts);
        // The histograms were encoded by this very process.
        self.statistic(&merged.ok()?)
    }

    fn statistic(&self, values: &Distribution) -> Option<f64> {
        if values.count == 0 {
            return None;
        }
        Some(match self.objective.statistic? {
            Statistic::P50 => values.p50 as f64,
            Statistic::P90 => values.p90 as f64,
            Statistic::P95 => values.p95 as f64,
            Statistic::P99 => values.p99 as f64,
            Statistic::P99_9 => values.p99_9 as f64,
            Statistic::P99_99 => values.p99_99 as f64,
            Statistic::Mean => values.mean,
            Statistic::Max => values.max as f64,
            Statistic::Min => values.min as f64,
        })
    }
}

fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::{Invariant, PageViews, Requests, StoreSample, Timeline};
    use hdrhistogram::Histogram;
    use std::collections::BTreeMap;

    const MS: u64 = 1_000_000;

    fn distribution(values: &[u64]) -> Distribution {
        let mut histogram = Histogram::new(3).unwrap();
        for &value in values {
            histogram.record(value).unwrap();
        }
        Distribution::of(&histogram)
    }

    /// What one store kind did: a wait of so many milliseconds, and so many steals.
    fn store(kind: &str, wait: u64, steals: u64) -> Store {
        Store {
            cluster: "web".to_owned(),
            server: 0,
            kind: kind.to_owned(),
            operations: BTreeMap::new(),
            locks: Locks {
                acquire_wait: distribution(&[wait * MS]),
                steals,
                ..Locks::default()
            },
        }
    }

    fn ends(kind: &str, missed: u64) -> SessionEnds {
        SessionEnds {
            kind: kind.to_owned(),
            missed,
            ..SessionEnds::default()
        }
    }

    /// 1,000 requests sent, 20 of them failed; waits of 100 ms for private sessions and 300 ms for
    /// shared ones.
    fn recorded() -> Recorded {
        Recorded {
            requests: Requests {
                sent: 1000,
                failed: BTreeMap::from([("store_timeout".to_owned(), 20)]),
                per_second: 12.5,
                response: distribution(&[50 * MS]),
                ..Requests::default()
            },
            stores: vec![store("private", 100, 1), store("shared", 300, 2)],
            session_ends: vec![ends("private", 4), ends("shared", 8)],
            page_views: PageViews {
                performed: 200,
                lost_with_visit: 3,
                lost_in_visit: 1,
                ..PageViews::default()
            },
            integrity: (1..=12).map(invariant).collect(),
            offenders: BTreeMap::new(),
            conservation: Vec::new(),
            timeline: Timeline::default(),
            contention: Vec::new(),
            in_progress: (1.0, 1.0),
        }
    }

    /// A promise that was broken as often as its number says.
    fn invariant(number: u32) -> Invariant {
        Invariant {
            number,
            promise: String::new(),
            checked: 100,
            violations: number.into(),
            offenders: Vec::new(),
        }
    }

    fn server(memory_bytes: Option<u64>) -> ServerUse {
        ServerUse {
            cluster: "web".to_owned(),
            provider: "sessions".to_owned(),
            before: StoreSample::default(),
            peak: StoreSample {
                memory_bytes,
                ..StoreSample::default()
            },
            after: StoreSample::default(),
            cpu_seconds_per_1000_requests: None,
        }
    }

    fn judged(recorded: &Recorded, servers: &[ServerUse], text: &str) -> (Option<String>, bool) {
        let objective = Objective::parse(text).unwrap();
        let judged = judge(&[objective], recorded, servers).remove(0);
        assert_eq!(judged.text, text);
        (judged.measured, judged.met)
    }

    /// What was measured of the run above, and whether the objective holds.
    #[track_caller]
    fn check(text: &str, measured: &str, met: bool) {
        let servers = [server(Some(2048)), server(Some(4096)), server(None)];
        let judged = judged(&recorded(), &servers, text);
        assert_eq!(judged, (Some(measured.to_owned()), met));
    }

    #[test]
    fn a_span_is_judged_and_told_in_its_own_unit() {
        // Three digits of a histogram.
        check("request.response.p99 < 51ms", "50.004ms", true);
        check("request.response.p99 < 50ms", "50.004ms", false);
    }

    #[test]
    fn a_count_is_judged_as_it_is() {
        check("request.failed <= 20", "20", true);
        check("request.failed < 20", "20", false);
    }

    #[test]
    fn a_share_is_judged_in_percent() {
        check("request.failed.share <= 2%", "2.000 %", true);
        check("page_views.lost.share < 1%", "2.000 %", false);
    }

    #[test]
    fn a_rate_is_judged_per_second_or_minute() {
        check("request.rate >= 12/s", "12.5/s", true);
        check("request.rate >= 751/min", "12.5/s", false);
    }

    #[test]
    fn a_size_is_that_of_the_largest_server() {
        check("store.memory <= 4KiB", "4096 B", true);
        check("store.memory < 4KiB", "4096 B", false);
    }

    #[test]
    fn without_a_prefix_both_store_kinds_count_together() {
        check("lock.steals == 3", "3", true);
        check("session_end.missed == 12", "12", true);
        check("lock.acquire_wait.max > 299ms", "300.155ms", true);
    }

    #[test]
    fn a_prefix_leaves_one_store_kind() {
        check("private.lock.steals == 1", "1", true);
        check("shared.session_end.missed == 8", "8", true);
        check("private.lock.acquire_wait.max < 101ms", "100.008ms", true);
    }

    #[test]
    fn integrity_is_all_promises_or_the_third() {
        check("integrity.violations == 78", "78", true);
        check("integrity.lost_updates == 3", "3", true);
    }

    #[test]
    fn page_views_lost_are_those_lost_with_and_in_a_visit() {
        check("page_views.lost == 4", "4", true);
    }

    #[test]
    fn what_was_never_measured_is_not_met() {
        let mut nothing = recorded();
        nothing.requests = Requests::default();
        nothing.page_views = PageViews::default();
        nothing.stores.clear();
        for text in [
            "request.response.p99 < 1h",
            "request.failed.share < 100%",
            "page_views.lost.share < 100%",
            "lock.acquire_wait.p99 < 1h",
            "session_end.lateness.p99 < 1h",
            "store.memory < 1MiB",
        ] {
            assert_eq!(
                judged(&nothing, &[server(None)], text),
                (None, false),
                "{text}"
            );
        }
    }
}
