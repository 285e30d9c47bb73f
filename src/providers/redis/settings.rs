//! Settings of the Redis providers under the genuine providers' names (facts §1.7, §9.4).

pub use crate::providers::poller::{Processing, Queued};
pub use crate::servers::ConfigValue;

use crate::quantity::Span;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Where a Redis provider's server is. Written as `managed`, as `managed:` with settings, or as a
/// StackExchange.Redis connection string: `localhost:6379,defaultDatabase=3`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(from = "WrittenServer", into = "WrittenServer")]
#[schemars(with = "WrittenServer")]
pub enum RedisServer {
    /// A private redis-server, started for the run on loopback and stopped after it.
    Managed(ManagedRedis),
    /// A server that already runs.
    ConnectionString(String),
}

/// The forms in which a file may name a server.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
enum WrittenServer {
    /// `managed`, or a connection string.
    Text(String),
    /// A private server with settings.
    Managed(WrittenManaged),
}

/// A private server with settings.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WrittenManaged {
    /// The settings.
    managed: ManagedRedis,
}

impl From<WrittenServer> for RedisServer {
    fn from(written: WrittenServer) -> Self {
        match written {
            WrittenServer::Text(text) if text == "managed" => Self::default(),
            WrittenServer::Text(text) => Self::ConnectionString(text),
            WrittenServer::Managed(WrittenManaged { managed }) => Self::Managed(managed),
        }
    }
}

impl From<RedisServer> for WrittenServer {
    fn from(server: RedisServer) -> Self {
        match server {
            RedisServer::Managed(managed) if managed == ManagedRedis::default() => {
                Self::Text("managed".to_owned())
            }
            RedisServer::Managed(managed) => Self::Managed(WrittenManaged { managed }),
            RedisServer::ConnectionString(text) => Self::Text(text),
        }
    }
}

impl Default for RedisServer {
    fn default() -> Self {
        Self::Managed(ManagedRedis::default())
    }
}

/// A private redis-server.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ManagedRedis {
    /// Settings of redis.conf, such as `hz: 100` or `active-expire-effort: 10`.
    pub config: BTreeMap<String, ConfigValue>,
    /// Volatile keys that live through the run beside the sessions, as other applications' would.
    pub other_volatile_keys: u32,
    /// Start a Redis Cluster with so many masters instead of a single server.
    #[schemars(range(min = 1, max = 16))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<u32>,
    /// Replicas of each master of the cluster.
    #[schemars(range(min = 0, max = 3))]
    pub replicas: u32,
}

/// Settings that every Redis provider shares, under the genuine provider's names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[allow(non_snake_case)]
pub struct RedisSettings {
    /// The server.
    pub server: RedisServer,
    /// Separates applications in one database; every key starts with it. `private` and `shared`
    /// are appended by the harness to tell the two states apart.
    pub applicationName: String,
    /// Redis database number.
    #[schemars(range(min = 0, max = 15))]
    pub databaseId: u32,
    /// Milliseconds to wait for a connection; 0 is StackExchange's default of 5000.
    pub connectionTimeoutInMilliseconds: u32,
    /// Milliseconds to wait for an operation; 0 is StackExchange 2.x's default of 5000.
    pub operationTimeoutInMilliseconds: u32,
    /// Milliseconds during which a failed operation is tried again.
    pub retryTimeoutInMilliseconds: u32,
    /// Whether a failed operation fails the request; otherwise the session looks empty.
    pub throwOnError: bool,
    /// Connections of each provider instance for commands; genuine is 1, multiplexed.
    #[schemars(range(min = 1, max = 1024))]
    pub connections_per_server: u32,
    /// Permit `CONFIG SET` on a server that is not ours.
    pub allow_config_set: bool,
    /// PEM file with the authorities that sign the server's certificate, for `ssl=true`; without it
    /// the machine's own are trusted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<String>,
    /// PEM file with the certificate, and those between it and its authority, that we show a server
    /// which asks for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_certificate_file: Option<String>,
    /// PEM file with the key of that certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_key_file: Option<String>,
}

/// Settings of `redis_microsoft`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
// serde cannot deny unknown fields beside flattened ones; the structural check does, by the schema.
#[schemars(extend("additionalProperties" = false))]
pub struct RedisMicrosoft {
    /// Layout of keys and values.
    pub version: MicrosoftVersion,
    /// Settings that every Redis provider shares.
    #[serde(flatten)]
    pub redis: RedisSettings,
}

/// Layout of the Microsoft provider's keys and values, and what its scripts do (facts §1.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum MicrosoftVersion {
    /// 5.0.0 to 5.0.4: one blob per session.
    #[default]
    #[serde(rename = "v5")]
    V5,
    /// 2.0.0 to 4.0.1: a hash with a field per session item.
    #[serde(rename = "v2-v4")]
    V2To4,
    /// 1.6.5: as 2 to 4, with keys without braces.
    #[serde(rename = "v1.6.5")]
    V1From6_5,
    /// 1.6.1 to 1.6.4: gets and releases do not keep a session alive.
    #[serde(rename = "v1.6.1-v1.6.4")]
    V1From6_1,
    /// 1.5.0 to 1.6.0: besides, an update leaves the lock to the end of the request.
    #[serde(rename = "v1.5.0-v1.6.0")]
    V1From5,
    /// 1.4.0: besides, two servers in one tick share a lock, and a reset keeps nothing alive.
    #[serde(rename = "v1.4.0")]
    V1From4,
}

/// Settings of `redis_keyspace`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
// serde cannot deny unknown fields beside flattened ones; the structural check does, by the schema.
#[schemars(extend("additionalProperties" = false))]
pub struct RedisKeyspace {
    /// Which notifications to listen to.
    pub notifications: Notifications,
    /// Site time by which the shadow key expires before the session's data.
    pub shadow_key_lead: Span,
    /// Whether the servers that hear the same event agree on one of them.
    pub claim: Claim,
    /// Settings that every Redis provider shares.
    #[serde(flatten)]
    pub redis: RedisSettings,
}

/// Which notifications tell of an expired shadow key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Notifications {
    /// `__keyspace@<db>__:<app>_*_Timeout`: a pattern over keys, message `expired`.
    #[default]
    Keyspace,
    /// `__keyevent@<db>__:expired`: one channel for all keys of the database.
    Keyevent,
}

/// Whether servers that hear the same session end agree on one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Claim {
    /// Every server that hears the event raises session end.
    #[default]
    None,
    /// The first to set a claim key raises it.
    Lock,
}

/// Settings of `redis_sitecore`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
// serde cannot deny unknown fields beside flattened ones; the structural check does, by the schema.
#[schemars(extend("additionalProperties" = false))]
#[allow(non_snake_case)]
pub struct RedisSitecore {
    /// Seconds between polls for expired sessions.
    #[schemars(range(min = 1, max = 120))]
    pub pollingInterval: u32,
    /// Whether these servers poll at all.
    pub pollingEnabled: bool,
    /// Whether an expired session leaves the store only after its end was handled.
    pub removeExpiredItemOnlyAfterSessionEndExecution: bool,
    /// Deflate session data.
    pub compression: bool,
    /// How expired sessions are processed.
    pub processing: Processing,
    /// Settings that every Redis provider shares.
    #[serde(flatten)]
    pub redis: RedisSettings,
}

/// Settings of `redis_markers` and of `redis_index`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
// serde cannot deny unknown fields beside flattened ones; the structural check does, by the schema.
#[schemars(extend("additionalProperties" = false))]
#[allow(non_snake_case)]
pub struct RedisPolled {
    /// Seconds between polls for expired sessions.
    #[schemars(range(min = 1, max = 120))]
    pub pollingInterval: u32,
    /// Settings that every Redis provider shares.
    #[serde(flatten)]
    pub redis: RedisSettings,
}

/// Settings of `redis_deadline`; times are real, not the site's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
// serde cannot deny unknown fields beside flattened ones; the structural check does, by the schema.
#[schemars(extend("additionalProperties" = false))]
pub struct RedisDeadline {
    /// Parts into which sessions are split, each with an index of its own in one cluster slot. The
    /// same on all servers of an application.
    #[schemars(range(min = 1, max = 256))]
    pub shards: u32,
    /// Every CD server looks at every shard at least this often, whatever it knows of deadlines.
    pub safety_poll: Span,
    /// How long a claim on an ended session lasts: when its server dies, another raises the end
    /// after this time. Longer than the slowest session-end handler.
    pub claim_lease: Span,
    /// How long a waiting request keeps its place without asking again: two polls
    /// (`module.poll_interval`) or more.
    pub waiter_lease: Span,
    /// How long sessions outlive their deadline when no CD server is there to end them; no shorter
    /// than `claim_lease`.
    pub retention: Span,
    /// Session ends that one CD server handles at once, for each kind of session.
    #[schemars(range(min = 1, max = 4096))]
    pub handlers: u32,
    /// Settings that every Redis provider shares.
    #[serde(flatten)]
    pub redis: RedisSettings,
}

impl Default for RedisSettings {
    fn default() -> Self {
        Self {
            server: RedisServer::default(),
            applicationName: "sessionbench".to_owned(),
            databaseId: 0,
            connectionTimeoutInMilliseconds: 0,
            operationTimeoutInMilliseconds: 0,
            retryTimeoutInMilliseconds: 5000,
            throwOnError: true,
            connections_per_server: 1,
            allow_config_set: false,
            ca_file: None,
            client_certificate_file: None,
            client_key_file: None,
        }
    }
}

impl Default for RedisKeyspace {
    fn default() -> Self {
        Self {
            notifications: Notifications::default(),
            shadow_key_lead: Span::from_secs(60),
            claim: Claim::default(),
            redis: RedisSettings::default(),
        }
    }
}

impl Default for RedisSitecore {
    fn default() -> Self {
        Self {
            pollingInterval: 2,
            pollingEnabled: true,
            removeExpiredItemOnlyAfterSessionEndExecution: false,
            compression: false,
            processing: Processing::Queued(Queued {
                SessionExpirationThreadCount: 4,
            }),
            redis: RedisSettings::default(),
        }
    }
}

impl Default for RedisPolled {
    fn default() -> Self {
        Self {
            pollingInterval: 2,
            redis: RedisSettings::default(),
        }
    }
}

impl Default for RedisDeadline {
    fn default() -> Self {
        Self {
            shards: 16,
            safety_poll: Span::from_secs(1),
            claim_lease: Span::from_secs(30),
            waiter_lease: Span::from_secs(2),
            retention: Span::from_secs(24 * 60 * 60),
            handlers: 64,
            redis: RedisSettings::default(),
        }
    }
}
