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
