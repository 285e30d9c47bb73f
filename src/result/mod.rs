//! The result of a run: the one artefact that reports, comparisons and capacity planning read.
//!
//! Plain data, written as `result.json` under a versioned schema (`docs/result.schema.json`).
//! Times are whole nanoseconds, instants count from the start of their run, sizes are bytes. Every
//! distribution carries its whole histogram in HdrHistogram's own text form, so that whatever reads
//! the result later can merge, compare and draw without loss.
//!
//! The surprising fact: everything but [`Result::environment`] of a virtual run is a function of
//! scenario and seed, byte for byte.

mod histogram;

pub use histogram::{Distribution, HistogramError};

pub use crate::providers::{BackgroundWork, Detection, ServerInfo, StoreSample};

use crate::providers::Capabilities;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Version of the result's schema; a reader refuses any other.
pub const SCHEMA_VERSION: u32 = 1;

/// Everything that one `sessionbench run` found out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Result {
    /// Version of this schema.
    pub schema_version: u32,
    /// Where and when it ran: the one part that two runs of the same scenario and seed differ in.
    pub environment: Environment,
    /// What was asked for.
    pub scenario: ScenarioInfo,
    /// Whether the run was interrupted; what was measured until then is here.
    pub partial: bool,
    /// One for each provider that was compared.
    pub runs: Vec<Run>,
    /// Runs that could not be brought in.
    pub left_out: Vec<LeftOut>,
}

/// Where and when a result was measured.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Environment {
    /// Version of sessionbench.
    pub version: String,
    /// Start, as RFC 3339 in UTC.
    pub started: String,
    /// Wall-clock seconds that the whole took.
    pub took_seconds: f64,
    /// Operating system and kernel.
    pub system: String,
    /// Processor, as it names itself.
    pub processor: String,
    /// Processors that this process may use.
    pub processors: u32,
    /// Whether this is an optimised build; other builds measure themselves.
    pub optimised: bool,
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ScenarioInfo {
    /// Name.
    pub name: String,
    /// Description.
    pub description: String,
    /// Seed.
    pub seed: u64,
    /// How many times shorter than the site's a minute of the run was.
    pub scale: f64,
    /// Real nanoseconds of warm-up, which is not measured.
    pub warm_up_ns: u64,
    /// Real nanoseconds that were measured.
    pub measured_ns: u64,
    /// Real nanoseconds of the longest wait for session ends after the last session was due.
    pub drain_ns: u64,
    /// Private session timeout in minutes of site time.
    pub timeout_minutes: u32,
    /// The interval at which the module polls for a locked session, in real nanoseconds.
    pub poll_interval_ns: u64,
    /// The scenario file as it was read.
    pub yaml: String,
}

/// A run that could not be brought in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LeftOut {
    /// Name of the run.
    pub name: String,
    /// Why.
    pub reason: String,
    /// The command that would bring it in, if there is one.
    pub remedy: Option<String>,
}

/// One scenario played on one set of providers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Run {
    /// Name.
    pub name: String,
    /// Whether it ran on the virtual clock.
    pub virtual_time: bool,
    /// Hash over every instant at which anything happened; on the virtual clock, equal hashes mean
    /// equal runs.
    pub trace_hash: Option<String>,
    /// Whether it was interrupted.
    pub partial: bool,
    /// The clusters with their providers.
    pub clusters: Vec<ClusterInfo>,
    /// Whether the numbers can be trusted.
    pub validity: Validity,
    /// Page requests.
    pub requests: Requests,
    /// What each session store did, by cluster, store kind and CD server.
    pub stores: Vec<Store>,
    /// Session ends, by store kind.
    pub session_ends: Vec<SessionEnds>,
    /// Page views of visits.
    pub page_views: PageViews,
    /// The twelve promises and who broke them.
    pub integrity: Vec<Invariant>,
    /// Sums that must come out even.
    pub conservation: Vec<Conservation>,
    /// One row per second (or per several, in long runs).
    pub timeline: Timeline,
    /// The most contended sessions, moment by moment.
    pub contention: Vec<SessionTimeline>,
    /// What the stores' servers used.
    pub servers: Vec<ServerUse>,
    /// What pollers and subscriptions of providers did beside the requests.
    #[serde(default)]
    pub background: Vec<Background>,
    /// What this process used: the generator of the load must not be what is measured.
    pub generator: Generator,
    /// What was to hold.
    pub objectives: Vec<Objective>,
    /// What went wrong beside the measurement, such as keys that could not be removed.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// What the numbers mean, in plain language; the most important first.
    pub verdict: Vec<String>,
}

/// A cluster of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClusterInfo {
    /// Name.
    pub name: String,
    /// `content_delivery` or `content_management`.
    pub role: String,
    /// Number of servers.
    pub servers: u32,
    /// `sticky`, `round_robin`, `random` or `least_connections`.
    pub balancer: String,
    /// `read_only` or `exclusive`.
    pub shared_access: String,
    /// Provider of private state.
    pub private: ProviderInfo,
    /// Provider of shared state.
    pub shared: Option<ProviderInfo>,
}

/// A provider in a cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProviderInfo {
    /// Its name in the scenario.
    pub name: String,
    /// The kind of provider: `redis_sitecore`.
    pub provider: String,
    /// What it is, for a person.
    pub title: String,
    /// How it notices expired sessions; none: it raises no session end.
    pub detection: Option<Detection>,
    /// The lateness of session end that its design leads one to expect.
    pub expected_lateness: String,
    /// How a waiting request learns that a lock is free.
    pub wait: String,
    /// Round trips of a dirty and of a clean request by design.
    pub designed_round_trips: (u32, u32),
    /// Its settings.
    pub settings: BTreeMap<String, serde_json::Value>,
    /// The server behind it.
    pub server: Option<ServerInfo>,
}

impl ProviderInfo {
    /// What a provider of these capabilities says of itself.
    #[must_use]
    pub fn new(name: &str, capabilities: &Capabilities) -> Self {
        let trips = capabilities.round_trips;
        Self {
            name: name.to_owned(),
            provider: capabilities.name.to_owned(),
            title: capabilities.title.to_owned(),
            detection: capabilities.detection,
            expected_lateness: capabilities.expected_lateness.to_owned(),
            wait: capabilities.wait.to_owned(),
            designed_round_trips: (trips.dirty, trips.clean),
            settings: BTreeMap::new(),
            server: None,
        }
    }
}

/// Whether a run's numbers can be trusted, and what they cannot prove.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Validity {
    /// False: no command treats the numbers as good.
    pub valid: bool,
    /// Why the run is not valid.
    pub reasons: Vec<String>,
    /// What the run proves nothing about, because it never happened in it.
    pub unproven: Vec<String>,
}

/// Page requests of a run. Response = done − intended, service = done − sent, lag = sent − intended.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Requests {
    /// Requests whose intended instant came, in the whole run.
    pub intended: u64,
    /// Of those, sent to a CD server.
    pub sent: u64,
    /// Not sent, because the run ended first.
    pub not_sent: u64,
    /// Of those sent, answered well.
    pub ok: u64,
    /// Of those sent, failed, by reason.
    pub failed: BTreeMap<String, u64>,
    /// Still in progress when the run ended.
    pub in_flight: u64,
    /// Store operations of all requests that ran into their time limit.
    #[serde(default)]
    pub timeouts: u64,
    /// Attempts of store operations after the first.
    #[serde(default)]
    pub retries: u64,
    /// Errors that a provider kept to itself, so that a session looked empty (`throwOnError`).
    #[serde(default)]
    pub swallowed: u64,
    /// Sessions that a request found and could not decode.
    #[serde(default)]
    pub undecodable: u64,
    /// Writes that a store refused because their lock was lost, where it tells.
    #[serde(default)]
    pub refused_writes: u64,
    /// Requests measured: sent after the warm-up.
    pub measured: u64,
    /// Requests measured per second of measured time.
    pub per_second: f64,
    /// Of the measured ones: how many took which way through the session.
    pub by_way: BTreeMap<String, u64>,
    /// done − intended.
    pub response: Distribution,
    /// done − sent.
    pub service: Distribution,
    /// sent − intended.
    pub lag: Distribution,
    /// Response per CD server, in the order of clusters and servers.
    pub by_server: Vec<ServerRequests>,
    /// Store round trips per request.
    pub round_trips: Distribution,
    /// Bytes sent to stores per request.
    pub bytes_sent: Distribution,
    /// Bytes received from stores per request.
    pub bytes_received: Distribution,
    /// Responses of each interval, for HdrHistogram's interval log.
    pub response_intervals: Vec<Interval>,
}

/// Requests of one CD server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ServerRequests {
    /// Cluster.
    pub cluster: String,
    /// Index of the server in its cluster.
    pub server: u32,
    /// done − intended.
    pub response: Distribution,
    /// Largest number of requests in progress at once.
    pub most_in_progress: u64,
}

/// Values of one interval.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Interval {
    /// Start of the interval.
    pub start_ns: u64,
    /// Its length.
    pub length_ns: u64,
    /// The values.
    pub values: Distribution,
}

/// What one session store did as one CD server saw it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Store {
    /// Cluster.
    pub cluster: String,
    /// Index of the CD server in its cluster.
    pub server: u32,
    /// `private` or `shared`.
    pub kind: String,
    /// Operations by verb.
    pub operations: BTreeMap<String, Operations>,
    /// Locks.
    pub locks: Locks,
}

/// Operations of one verb.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Operations {
    /// Latency; an operation that timed out counts with its limit.
    pub latency: Distribution,
    /// Operations that failed.
    pub failed: u64,
    /// Operations that ran into their time limit.
    pub timed_out: u64,
}

/// Locks of one session store.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Locks {
    /// From first asking for an exclusive session to holding its lock.
    pub acquire_wait: Distribution,
    /// Gets per acquired lock.
    pub polls: Distribution,
    /// Gets that found the session locked.
    pub wasted_polls: u64,
    /// From holding a lock to releasing it.
    pub hold: Distribution,
    /// From a release to the next waiter's grant, where somebody waited.
    pub hand_over: Distribution,
    /// Grants of a lock for which the request had to wait.
    pub contended: u64,
    /// Locks released by force.
    pub steals: u64,
    /// Requests refused by the queue limit.
    pub queue_limit_refusals: u64,
    /// Requests that gave up waiting at their execution timeout.
    pub waited_too_long: u64,
    /// Grants to a request while another one waited that had asked earlier.
    pub overtakes: u64,
    /// Most requests that waited for one session at once.
    pub longest_queue: u64,
}

/// Session ends of one store kind.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SessionEnds {
    /// `private` or `shared`.
    pub kind: String,
    /// Whether the provider raises session end at all.
    pub supported: bool,
    /// Lives of sessions that began.
    pub started: u64,
    /// Of those, ended once.
    pub ended_once: u64,
    /// Of those, ended more than once.
    pub ended_more: u64,
    /// Of those, due and never ended.
    pub missed: u64,
    /// Of those, not due yet when the run ended.
    pub alive: u64,
    /// Session ends raised beyond the first of a life.
    pub duplicates: u64,
    /// Ends before the session was due, beyond the uncertainty of its due instant.
    pub premature: u64,
    /// Sessions that a store served after their end was raised.
    pub used_after_end: u64,
    /// Sessions that a store served although they were due and not ended.
    pub resurrected: u64,
    /// Sessions that were gone from the store before they were due.
    pub vanished: u64,
    /// Ends by log-out.
    pub abandoned: u64,
    /// Ends without data: gone before the provider read it, so that nothing is committed.
    pub without_data: u64,
    /// Ends whose handler threw.
    pub handler_failed: u64,
    /// Ends of sessions that this run does not know.
    pub unknown: u64,
    /// Ends of sessions that no request had written anything into.
    pub empty: u64,
    /// Private ends that found the contact's shared session ended already.
    pub contact_gone: u64,
    /// End raised − due, of first ends that were not early; at least 0.
    pub lateness: Distribution,
    /// Due − end raised, of premature ends.
    pub earliness: Distribution,
    /// Parts of lateness by cause: `poll phase`, `cache wheel`, `expiry scan`, `backlog`.
    pub lateness_by_cause: BTreeMap<String, Distribution>,
    /// Uncertainty of the due instant: how long the operation took that kept the session alive
    /// last.
    pub due_uncertainty: Distribution,
    /// Session-end handler, from the end raised to the visit committed.
    pub handler: Distribution,
    /// Missed ends, by how long they were overdue when the run ended.
    pub overdue: Distribution,
}

/// Page views: what visits did, and what of it was committed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PageViews {
    /// Page views that visitors saw succeed.
    pub performed: u64,
    /// In visits that were committed once or more.
    pub committed: u64,
    /// In sessions that live on at the end of the run.
    pub alive: u64,
    /// Of visits whose end never came, or came without data, or whose handler threw.
    pub lost_with_visit: u64,
    /// Of committed visits, but missing in what was committed.
    pub lost_in_visit: u64,
    /// Committed more than once.
    pub committed_again: u64,
}

/// A promise, and how often it was broken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Invariant {
    /// Its number in METHODOLOGY.md.
    pub number: u32,
    /// What is promised.
    pub promise: String,
    /// How often it was checked.
    pub checked: u64,
    /// How often it was broken.
    pub violations: u64,
    /// The first offenders.
    pub offenders: Vec<Offender>,
}

/// One breach of a promise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Offender {
    /// When it was found.
    pub at_ns: u64,
    /// The session's id in its store.
    pub session: String,
    /// What was found.
    pub found: String,
}

/// A sum that must come out even.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Conservation {
    /// The equation in words.
    pub equation: String,
    /// Its left side.
    pub left: u64,
    /// Its right side.
    pub right: u64,
    /// Whether they are equal.
    pub holds: bool,
}

/// A time series of everything that changes: one entry per step in each column.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Timeline {
    /// Length of a step.
    pub step_ns: u64,
    /// End of the warm-up.
    pub measured_from_ns: u64,
    /// End of the measured time, when visitors stop.
    pub measured_until_ns: u64,
    /// Requests done in the step.
    pub requests: Vec<u64>,
    /// Requests failed in the step.
    pub failed: Vec<u64>,
    /// Requests that waited for a lock at the end of the step.
    pub waiting: Vec<u64>,
    /// Private sessions alive at the end of the step.
    pub live_private: Vec<u64>,
    /// Shared sessions alive at the end of the step.
    pub live_shared: Vec<u64>,
    /// Session ends raised in the step, both kinds.
    pub ends: Vec<u64>,
    /// Sessions that are due and not ended at the end of the step, both kinds.
    pub backlog: Vec<u64>,
    /// 99th percentile of response in the step.
    pub response_p99_ns: Vec<u64>,
    /// Longest lag in the step.
    pub lag_max_ns: Vec<u64>,
    /// Longest lateness of an end raised in the step.
    pub lateness_max_ns: Vec<u64>,
}

/// What happened around one session's lock, moment by moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SessionTimeline {
    /// The session's id in its store.
    pub session: String,
    /// `private` or `shared`.
    pub kind: String,
    /// Sum of all waits for it.
    pub total_wait_ns: u64,
    /// Most requests that waited for it at once.
    pub longest_queue: u64,
    /// Whether there was more than is kept.
    pub truncated: bool,
    /// Its requests in the order in which they asked.
    pub requests: Vec<LockSpan>,
}

/// One request's way through a lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LockSpan {
    /// Number of the request.
    pub request: u64,
    /// CD server: index over all clusters.
    pub server: u32,
    /// When it asked.
    pub asked_ns: u64,
    /// When it got the lock, if it did.
    pub granted_ns: Option<u64>,
    /// When it released the lock, if it did; a request that only reads, when it got the session.
    pub released_ns: Option<u64>,
}

/// What a store's server used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ServerUse {
    /// Cluster.
    pub cluster: String,
    /// The provider's name in the scenario.
    pub provider: String,
    /// Before the first visit.
    pub before: StoreSample,
    /// The largest of each number, sampled once a second.
    pub peak: StoreSample,
    /// After the drain.
    pub after: StoreSample,
    /// Seconds of CPU that the server used per 1,000 page requests.
    pub cpu_seconds_per_1000_requests: Option<f64>,
}

/// What a provider's pollers and subscriptions did in a cluster, over all its instances.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Background {
    /// Cluster.
    pub cluster: String,
    /// The provider's name in the scenario.
    pub provider: String,
    /// What they did.
    pub work: BackgroundWork,
}

/// What this process used.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Generator {
    /// Seconds of CPU during the measured time.
    pub cpu_seconds: f64,
    /// Share of one processor that was used; the engine has one thread.
    pub cpu_share: f64,
    /// Largest memory in use, in bytes; of the whole process, so runs before this one count too.
    pub memory_bytes: u64,
    /// Mean number of requests in progress.
    pub mean_in_progress: f64,
    /// What Little's law expects it to be: throughput times mean service, less what requests of the
    /// measured time spent after it, with what requests sent before spent in it.
    pub expected_in_progress: f64,
}

/// Something that was to hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Objective {
    /// As it stands in the scenario.
    pub text: String,
    /// What was measured, as text with its unit; none where nothing was measured.
    pub measured: Option<String>,
    /// Whether it holds. What was never measured does not hold.
    pub met: bool,
}
