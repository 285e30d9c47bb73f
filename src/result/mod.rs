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
mod integrity;
mod requests;
mod run;
mod session_ends;
mod stores;
mod timeline;

pub use histogram::{Distribution, HistogramError};
pub use integrity::{Conservation, Invariant, Offender};
pub use requests::{Interval, Requests, ServerRequests};
pub use run::{
    Background, ClusterInfo, Generator, Objective, ProviderInfo, Run, ServerUse, Validity,
};
pub use session_ends::{PageViews, SessionEnds};
pub use stores::{LockSpan, Locks, Operations, SessionTimeline, Store};
pub use timeline::Timeline;

pub use crate::providers::{BackgroundWork, Detection, ServerInfo, StoreSample};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
