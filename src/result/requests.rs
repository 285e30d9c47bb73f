//! Page requests: the three instants, what became of each, what it cost.

use super::Distribution;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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
