//! One run: who played on what, whether it can be trusted, and what it used.

use super::{
    BackgroundWork, Conservation, Detection, Invariant, Offender, PageViews, Requests, ServerInfo,
    SessionEnds, SessionTimeline, Store, StoreSample, Timeline,
};
use crate::providers::Capabilities;
use crate::session::StoreKind;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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
    /// The first offenders of what no promise tells apart, under `private.` or `shared.` and the
    /// name of its count: `private.missed`, `shared.steals`, `private.failed`.
    #[serde(default)]
    pub offenders: BTreeMap<String, Vec<Offender>>,
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
    /// How it notices that sessions of this kind expired; none: it raises no end of theirs.
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
    /// What a provider of these capabilities says of itself where it keeps sessions of a kind.
    #[must_use]
    pub fn new(name: &str, kind: StoreKind, capabilities: &Capabilities) -> Self {
        let trips = capabilities.round_trips;
        Self {
            name: name.to_owned(),
            provider: capabilities.name.to_owned(),
            title: capabilities.title.to_owned(),
            detection: capabilities.detection_of(kind),
            expected_lateness: capabilities.expected_lateness_of(kind).to_owned(),
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
