//! What a scenario says of a cluster.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A group of servers behind one load balancer, with one session database.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    /// What the servers do.
    #[serde(default)]
    pub role: Role,
    /// Number of servers.
    #[serde(default = "defaults::one_server")]
    #[schemars(range(min = 1, max = 256))]
    pub servers: u32,
    /// How requests are spread over the servers.
    #[serde(default)]
    pub balancer: Balancer,
    /// Relative share of contacts that choose this cluster.
    #[serde(default = "defaults::weight")]
    #[schemars(range(min = 0))]
    pub weight: f64,
    /// Provider of private session state; left out under `compare`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private: Option<String>,
    /// Provider of shared session state; left out under `compare`, and on CM servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared: Option<String>,
    /// How requests use the shared session.
    #[serde(default)]
    pub shared_access: SharedAccess,
}

/// What the servers of a cluster do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Content delivery (CD): serves visitors; needs private and shared session state.
    #[default]
    ContentDelivery,
    /// Content management (CM): private session state in process only, and no shared one.
    ContentManagement,
}

/// How a load balancer picks a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Balancer {
    /// A device stays on the server of its first request (affinity cookie).
    #[default]
    Sticky,
    /// Each request goes to the next server.
    RoundRobin,
    /// Each request goes to a server drawn by chance.
    Random,
    /// Each request goes to the server with the fewest requests in progress.
    LeastConnections,
}

/// How requests use the shared session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SharedAccess {
    /// A read-only copy of the contact, as Sitecore 9.0 and later keep it.
    #[default]
    ReadOnly,
    /// Loading the contact takes its lock, as Sitecore 7.5 to 8.x do.
    Exclusive,
}

/// Default values.
mod defaults {
    pub fn one_server() -> u32 {
        1
    }
    pub fn weight() -> f64 {
        1.0
    }
}
