//! Page requests: the three instants of each, what it cost, how it ended.

use super::values::{Packed, Values};
use crate::clock::Instant;
use crate::result::{Interval, Requests, ServerRequests};
use crate::session::contract::RequestContext;
use crate::session::observer::{AcquireError, ServerIndex};
use crate::session::{SessionId, StoreError};
use crate::traffic::Way;
use std::collections::BTreeMap;
use std::time::Duration;

/// Most intervals in the interval log; then two become one.
const INTERVALS: usize = 240;

/// A page request that was answered.
#[derive(Debug)]
pub struct RequestDone<'a> {
    /// The CD server that answered it.
    pub server: ServerIndex,
    /// When the schedule wanted it.
    pub intended: Instant,
    /// When it was sent.
    pub sent: Instant,
    /// When it was answered.
    pub done: Instant,
    /// The private session that it asked for.
    pub session: SessionId,
    /// Which way it took.
    pub way: Way,
    /// Why it failed, if it did.
    pub failure: Option<Failure>,
    /// What it cost.
    pub context: &'a RequestContext,
}

/// Why a request failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failure {
    /// The store did not answer in time.
    StoreTimeout,
    /// The store could not be reached, or refused.
    Store,
    /// Too many requests waited for the session.
    QueueLimit,
    /// The request waited for its session until its execution timeout.
    WaitedTooLong,
}

impl Failure {
    /// Its name in the result.
    pub const fn name(self) -> &'static str {
        match self {
            Self::StoreTimeout => "store_timeout",
            Self::Store => "store_error",
            Self::QueueLimit => "queue_limit",
            Self::WaitedTooLong => "waited_too_long",
        }
    }
}

impl From<&StoreError> for Failure {
    fn from(error: &StoreError) -> Self {
        match error {
            StoreError::Timeout { .. } => Self::StoreTimeout,
            _ => Self::Store,
        }
    }
}

impl From<&AcquireError> for Failure {
    fn from(error: &AcquireError) -> Self {
        match error {
            AcquireError::Store(error) => error.into(),
            AcquireError::QueueLimit => Self::QueueLimit,
            AcquireError::WaitedTooLong => Self::WaitedTooLong,
        }
    }
}

/// Page requests of a run.
pub struct RequestMeter {
    measured_from: Instant,
    measured_until: Instant,
    intended: u64,
    not_sent: u64,
    sent: u64,
    ok: u64,
    failed: BTreeMap<Failure, u64>,
    troubles: Troubles,
    measured: u64,
    by_way: [u64; Way::ALL.len()],
    response: Values,
    service: Values,
    lag: Values,
    by_server: Vec<ServerMeter>,
    round_trips: Values,
    bytes_sent: Values,
    bytes_received: Values,
    in_progress: Level,
    edges: Edges,
    intervals: Intervals,
    step: StepMeter,
}

/// What went wrong at the store under requests, whatever became of them.
#[derive(Default)]
struct Troubles {
    timeouts: u64,
    retries: u64,
    swallowed: u64,
    undecodable: u64,
    refused: u64,
}

impl Troubles {
    fn add(&mut self, context: &RequestContext) {
        self.timeouts += u64::from(context.timeouts.get());
        self.retries += u64::from(context.retries.get());
        self.swallowed += u64::from(context.swallowed.get());
        self.undecodable += u64::from(context.undecodable.get());
        self.refused += u64::from(context.refused.get());
    }
}

#[derive(Default)]
struct ServerMeter {
    response: Values,
    in_progress: u64,
    most_in_progress: u64,
}

/// A level that goes up and down, and its integral over the measured time.
struct Level {
    now: u64,
    since: Instant,
    /// Request-nanoseconds.
    integral: u128,
}

/// Time that requests spent in the measured time without being measured, or outside of it although
/// they are: what Little's law must add and take off at the two edges.
#[derive(Default)]
struct Edges {
    /// Request-nanoseconds within the measured time, of requests sent before it.
    before: u128,
    /// Request-nanoseconds after the measured time, of requests sent within it.
    after: u128,
    /// Sum of the instants from which the requests in progress count, in nanoseconds.
    open: u128,
}

/// What happened since the last step of the timeline.
#[derive(Default)]
struct StepMeter {
    done: u64,
    failed: u64,
    response: Values,
    lag_max: Duration,
}

/// Responses of every interval of a few seconds; the intervals grow with the run.
struct Intervals {
    length: Duration,
    start: Instant,
    current: Values,
    closed: Vec<(Instant, Packed)>,
}

/// What the timeline needs to know of one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestStep {
    /// Requests answered.
    pub done: u64,
    /// Requests failed.
    pub failed: u64,
    /// 99th percentile of response.
    pub response_p99: u64,
    /// Longest lag.
    pub lag_max: Duration,
}

/// What Little's law is checked with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// Mean number of requests in progress.
    pub mean: f64,
    /// Throughput times mean service time, with what the edges of the measured time cut off.
    pub expected: f64,
}

impl RequestMeter {
    /// A meter that measures between two instants, over so many servers.
    #[must_use]
    pub fn new(measured_from: Instant, measured_until: Instant, servers: usize) -> Self {
        Self {
            measured_from,
            measured_until,
            intended: 0,
            not_sent: 0,
            sent: 0,
            ok: 0,
            failed: BTreeMap::new(),
            troubles: Troubles::default(),
            measured: 0,
            by_way: Default::default(),
            response: Values::default(),
            service: Values::default(),
            lag: Values::default(),
            by_server: (0..servers).map(|_| ServerMeter::default()).collect(),
            round_trips: Values::default(),
            bytes_sent: Values::default(),
            bytes_received: Values::default(),
            in_progress: Level {
                now: 0,
                since: Instant::START,
                integral: 0,
            },
            edges: Edges::default(),
            intervals: Intervals {
                length: Duration::from_secs(1),
                start: Instant::START,
                current: Values::default(),
                closed: Vec::new(),
            },
            step: StepMeter::default(),
        }
    }

    /// A request's intended instant came.
    pub const fn intended(&mut self) {
        self.intended += 1;
    }

    /// A request whose intended instant came is never sent: the run ended first.
    pub const fn not_sent(&mut self) {
        self.not_sent += 1;
    }

    /// A request was sent.
    pub fn sent(&mut self, server: ServerIndex, now: Instant) {
        self.sent += 1;
        self.change_level(now, 1);
        let counts_from = self.clipped(now);
        self.edges.open += counts_from;
        let server = &mut self.by_server[server.0 as usize];
        server.in_progress += 1;
        server.most_in_progress = server.most_in_progress.max(server.in_progress);
    }

    /// A request was answered.
    pub fn done(&mut self, request: &RequestDone<'_>) {
        self.change_level(request.done, -1);
        let counts_from = self.clipped(request.sent);
        let inside = self.clipped(request.done) - counts_from;
        self.edges.open -= counts_from;
        let server = &mut self.by_server[request.server.0 as usize];
        server.in_progress -= 1;
        match request.failure {
            None => self.ok += 1,
            Some(failure) => *self.failed.entry(failure).or_default() += 1,
        }
        self.troubles.add(request.context);
        let RequestDone {
            intended,
            sent,
            done,
            ..
        } = *request;
        let lag = sent.since(intended);
        self.step.done += 1;
        self.step.failed += u64::from(request.failure.is_some());
        self.step.response.record_time(intended, done);
        self.step.lag_max = self.step.lag_max.max(lag);
        if sent < self.measured_from || sent >= self.measured_until {
            self.edges.before += inside;
            return;
        }
        // What it spent after the measured time is in its service, and in no level.
        self.edges.after += u128::from(done.as_nanos() - sent.as_nanos()) - inside;
        self.measured += 1;
        self.by_way[request.way as usize] += 1;
        self.response.record_time(intended, done);
        self.service.record_time(sent, done);
        self.lag.record_time(intended, sent);
        server.response.record_time(intended, done);
        self.intervals.current.record_time(intended, done);
        let context = request.context;
        self.round_trips.record(context.round_trips.get().into());
        self.bytes_sent.record(context.bytes_sent.get());
        self.bytes_received.record(context.bytes_received.get());
    }

    /// Closes a step of the timeline.
    pub fn step(&mut self, now: Instant) -> RequestStep {
        self.intervals.advance(now);
        let step = &mut self.step;
        let closed = RequestStep {
            done: std::mem::take(&mut step.done),
            failed: std::mem::take(&mut step.failed),
            response_p99: step.response.histogram().value_at_quantile(0.99),
            lag_max: std::mem::take(&mut step.lag_max),
        };
        step.response.clear();
        closed
    }

    fn change_level(&mut self, now: Instant, by: i64) {
        let level = &mut self.in_progress;
        let from = level.since.max(self.measured_from);
        let until = now.min(self.measured_until);
        let passed = until.as_nanos().saturating_sub(from.as_nanos());
        level.integral += u128::from(level.now) * u128::from(passed);
        level.since = now;
        level.now = level.now.saturating_add_signed(by);
    }

    /// An instant in nanoseconds, moved to the nearer edge of the measured time if it is outside.
    fn clipped(&self, at: Instant) -> u128 {
        let inside = at.max(self.measured_from).min(self.measured_until);
        inside.as_nanos().into()
    }

    /// Both sides of Little's law over the measured time.
    #[must_use]
    pub fn progress(&mut self) -> Progress {
        let length = (self.measured_until.since(self.measured_from).as_nanos() as f64).max(1.0);
        let served = self.measured as f64 * self.service.histogram().mean();
        let until = self.clipped(self.measured_until);
        let unanswered = u128::from(self.in_progress.now) * until - self.edges.open;
        let edges = (self.edges.before + unanswered) as f64 - self.edges.after as f64;
        let mut level = self.in_progress.integral;
        level += u128::from(self.in_progress.now) * (until - self.clipped(self.in_progress.since));
        Progress {
            mean: level as f64 / length,
            expected: (served + edges) / length,
        }
    }

    /// The traffic ends: requests sent from now on are not measured.
    pub const fn traffic_ends(&mut self, now: Instant) {
        self.measured_until = now;
    }

    /// Requests in progress.
    #[must_use]
    pub const fn in_progress(&self) -> u64 {
        self.in_progress.now
    }

    /// The requests as they go into the result. `name` gives a server's cluster and index in it.
    #[must_use]
    pub fn result(&mut self, started: Instant, name: impl Fn(usize) -> (String, u32)) -> Requests {
        let length = (self.measured_until.since(self.measured_from).as_secs_f64()).max(1e-9);
        Requests {
            intended: self.intended,
            not_sent: self.not_sent,
            sent: self.sent,
            ok: self.ok,
            failed: self
                .failed
                .iter()
                .map(|(why, n)| (why.name().to_owned(), *n))
                .collect(),
            in_flight: self.in_progress.now,
            timeouts: self.troubles.timeouts,
            retries: self.troubles.retries,
            swallowed: self.troubles.swallowed,
            undecodable: self.troubles.undecodable,
            refused_writes: self.troubles.refused,
            measured: self.measured,
            per_second: self.measured as f64 / length,
            by_way: (Way::ALL.iter().zip(self.by_way))
                .filter(|(_, n)| *n > 0)
                .map(|(way, n)| (way.name().to_owned(), n))
                .collect(),
            response: self.response.distribution(),
            service: self.service.distribution(),
            lag: self.lag.distribution(),
            by_server: (self.by_server.iter_mut().enumerate())
                .map(|(at, meter)| {
                    let (cluster, server) = name(at);
                    ServerRequests {
                        cluster,
                        server,
                        response: meter.response.distribution(),
                        most_in_progress: meter.most_in_progress,
                    }
                })
                .collect(),
            round_trips: self.round_trips.distribution(),
            bytes_sent: self.bytes_sent.distribution(),
            bytes_received: self.bytes_received.distribution(),
            response_intervals: self.intervals.result(started),
        }
    }
}

impl Intervals {
    fn advance(&mut self, now: Instant) {
        if now.since(self.start) < self.length {
            return;
        }
        self.closed.push((self.start, self.current.pack()));
        self.current.clear();
        self.start = now;
        if self.closed.len() == INTERVALS {
            // Bounded memory: a run twice as long has intervals twice as long.
            self.length *= 2;
            let mut closed = std::mem::take(&mut self.closed).into_iter();
            while let Some((start, first)) = closed.next() {
                let both = match closed.next() {
                    Some((_, second)) => first.merged(&second),
                    None => first,
                };
                self.closed.push((start, both));
            }
        }
    }

    fn result(&mut self, started: Instant) -> Vec<Interval> {
        self.closed.push((self.start, self.current.pack()));
        self.closed
            .iter()
            .map(|(start, values)| Interval {
                start_ns: start.since(started).as_nanos() as u64,
                length_ns: self.length.as_nanos() as u64,
                values: values.unpack().distribution(),
            })
            .filter(|interval| interval.values.count > 0)
            .collect()
    }
}
