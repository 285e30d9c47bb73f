//! Session-state providers: real ones, true on the wire, behind one trait.
//!
//! A [`Provider`] is one provider block of a scenario at work in one cluster: it has the store's
//! server, and opens an instance of the store for every CD server and store kind. **A new provider
//! goes here**: a module with its settings, its [`Capabilities`] and its two traits, then a line in
//! [`ProviderSettings`], in [`ProviderSettings::capabilities`] and in [`connect`]. `inproc` is the
//! example to read.

pub mod capabilities;
pub mod expectations;
pub mod inproc;
pub mod mongo;
pub mod poller;
pub mod pulse;
pub mod redis;
mod secret;
pub mod sql;
pub mod state_server;

pub use capabilities::{Capabilities, Detection};
pub use expectations::{Deviation, RoundTrips};
pub use secret::Secret;

use crate::session::{Minutes, SessionStateStore, StoreError, StoreKind};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

/// A session-state provider with the genuine provider's own settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ProviderSettings {
    /// System.Web's in-process store on its 20 s cache wheel.
    Inproc(inproc::Inproc),
    /// Microsoft.Web.RedisSessionStateProvider.
    RedisMicrosoft(redis::settings::RedisMicrosoft),
    /// Microsoft's Redis provider with a shadow key and keyspace notifications for session end.
    RedisKeyspace(redis::settings::RedisKeyspace),
    /// Sitecore.SessionProvider.Redis: Microsoft's fork with a poller for session end.
    RedisSitecore(redis::settings::RedisSitecore),
    /// TrueClarity's for Sitecore: Microsoft's Redis provider with a set of ids for each second.
    RedisMarkers(redis::settings::RedisPolled),
    /// Glass's for Sitecore: Microsoft's Redis provider with an index of last writes.
    RedisIndex(redis::settings::RedisPolled),
    /// Our own on Redis: session end at the deadline, wake-ups instead of polls, fenced locks.
    RedisDeadline(redis::settings::RedisDeadline),
    /// Sitecore's SQL provider over its stored procedures, on SQL Server and on PostgreSQL.
    SqlSitecore(sql::settings::SqlSitecore),
    /// Microsoft's SqlSessionStateProviderAsync.
    SqlAsync(sql::settings::SqlAsync),
    /// Microsoft.AspNet.Providers, the Universal Providers.
    SqlUniversal(sql::settings::SqlUniversal),
    /// Sitecore's MongoDB provider, with a poller for session end.
    MongoSitecore(mongo::settings::MongoSitecore),
    /// System.Web's client of the ASP.NET state server.
    StateServer(state_server::settings::StateServerSettings),
}

impl ProviderSettings {
    /// What the provider can do.
    #[must_use]
    pub fn capabilities(&self) -> &'static Capabilities {
        match self {
            Self::Inproc(_) => &capabilities::INPROC,
            Self::RedisMicrosoft(_) => &capabilities::REDIS_MICROSOFT,
            Self::RedisKeyspace(_) => &capabilities::REDIS_KEYSPACE,
            Self::RedisSitecore(_) => &capabilities::REDIS_SITECORE,
            Self::RedisMarkers(_) => &capabilities::REDIS_MARKERS,
            Self::RedisIndex(_) => &capabilities::REDIS_INDEX,
            Self::RedisDeadline(_) => &capabilities::REDIS_DEADLINE,
            Self::SqlSitecore(_) => &capabilities::SQL_SITECORE,
            Self::SqlAsync(_) => &capabilities::SQL_ASYNC,
            Self::SqlUniversal(_) => &capabilities::SQL_UNIVERSAL,
            Self::MongoSitecore(_) => &capabilities::MONGO_SITECORE,
            Self::StateServer(_) => &capabilities::STATE_SERVER,
        }
    }

    /// The settings as they are written in a scenario, but for the server, which may hold a secret.
    #[must_use]
    pub fn without_server(&self) -> serde_json::Map<String, serde_json::Value> {
        // A provider block is a mapping of one key to a mapping of settings.
        let written = serde_json::to_value(self).unwrap_or_default();
        let block = written.as_object().and_then(|kinds| kinds.values().next());
        let mut settings = block
            .and_then(|block| block.as_object())
            .cloned()
            .unwrap_or_default();
        settings.shift_remove("server");
        settings
    }

    /// Where these settings depart from the contract, by the table of capabilities.
    pub fn deviations(&self) -> impl Iterator<Item = &'static Deviation> {
        let settings = self.without_server();
        let all = self.capabilities().deviations.iter();
        all.filter(move |deviation| deviation.when.is_none_or(|when| when.holds(&settings)))
    }

    /// Why a minute of site time must last 60 s with these settings; `None` where it may be shorter.
    /// A store whose own code reckons with minutes knows no others.
    #[must_use]
    pub fn real_minutes(&self) -> Option<&'static str> {
        match self {
            Self::Inproc(_)
            | Self::RedisMicrosoft(_)
            | Self::RedisKeyspace(_)
            | Self::RedisSitecore(_)
            | Self::RedisMarkers(_)
            | Self::RedisIndex(_)
            | Self::RedisDeadline(_)
            | Self::MongoSitecore(_) => None,
            Self::SqlSitecore(_) | Self::SqlAsync(_) | Self::SqlUniversal(_) => {
                let existing = |sql: &sql::settings::SqlSettings| {
                    sql.schema == sql::settings::SchemaOrigin::Existing
                };
                (self.sql().is_some_and(existing))
                    .then_some("procedures that exist already count in whole minutes")
            }
            Self::StateServer(settings) => match settings.server {
                state_server::settings::Server::Managed => None,
                state_server::settings::Server::ConnectionString(_) => {
                    Some("a state server counts minutes itself")
                }
            },
        }
    }

    /// Whether its server is one of ours, started for a run.
    #[must_use]
    pub fn is_managed(&self) -> bool {
        match self {
            Self::Inproc(_) => true,
            Self::MongoSitecore(_) => false,
            Self::SqlSitecore(_) | Self::SqlAsync(_) | Self::SqlUniversal(_) => self
                .sql()
                .is_some_and(|sql| matches!(sql.server, sql::settings::DatabaseServer::Managed(_))),
            Self::StateServer(settings) => {
                settings.server == state_server::settings::Server::Managed
            }
            Self::RedisMicrosoft(_)
            | Self::RedisKeyspace(_)
            | Self::RedisSitecore(_)
            | Self::RedisMarkers(_)
            | Self::RedisIndex(_)
            | Self::RedisDeadline(_) => self.redis().is_some_and(|redis| {
                matches!(redis.server, redis::settings::RedisServer::Managed(_))
            }),
        }
    }

    /// The Redis settings, for a provider that uses Redis.
    #[must_use]
    pub fn redis(&self) -> Option<&redis::settings::RedisSettings> {
        match self {
            Self::Inproc(_)
            | Self::MongoSitecore(_)
            | Self::StateServer(_)
            | Self::SqlSitecore(_)
            | Self::SqlAsync(_)
            | Self::SqlUniversal(_) => None,
            Self::RedisMicrosoft(settings) => Some(&settings.redis),
            Self::RedisKeyspace(settings) => Some(&settings.redis),
            Self::RedisSitecore(settings) => Some(&settings.redis),
            Self::RedisMarkers(settings) | Self::RedisIndex(settings) => Some(&settings.redis),
            Self::RedisDeadline(settings) => Some(&settings.redis),
        }
    }

    /// The database settings, for a provider that uses a SQL database.
    #[must_use]
    pub fn sql(&self) -> Option<&sql::settings::SqlSettings> {
        match self {
            Self::SqlSitecore(settings) => Some(&settings.sql),
            Self::SqlAsync(settings) => Some(&settings.sql),
            Self::SqlUniversal(settings) => Some(&settings.sql),
            _ => None,
        }
    }
}

/// A provider at work in one cluster.
#[async_trait(?Send)]
pub trait Provider {
    /// Opens the store as one CD server sees it.
    ///
    /// # Errors
    /// The store cannot be reached or refuses.
    async fn open(&self, seat: &Seat) -> Result<Rc<dyn SessionStateStore>, StoreError>;

    /// The same store for another application, which uses what this provider created there; the last
    /// of them to close removes it. `None` where each application is brought in by itself.
    fn beside(&self, _application: &str) -> Option<Rc<dyn Provider>> {
        None
    }

    /// What the server behind the provider is; `None` in process.
    fn server(&self) -> Option<&ServerInfo>;

    /// What the store uses right now.
    ///
    /// # Errors
    /// The store cannot be asked.
    async fn sample(&self) -> Result<StoreSample, StoreError>;

    /// Commands that clients have sent to the server since its start, as the server counts them and
    /// without those of this question; `None` where it does not tell. Means something only on a
    /// server that nobody else uses.
    ///
    /// # Errors
    /// The store cannot be asked.
    async fn commands_received(&self) -> Result<Option<u64>, StoreError> {
        Ok(None)
    }

    /// What pollers and subscriptions did so far, over all instances.
    fn background_work(&self) -> BackgroundWork {
        BackgroundWork::default()
    }

    /// Removes everything of ours from the store and stops a managed server. Every instance was
    /// disposed of before.
    ///
    /// # Errors
    /// The store cannot be asked; what remains is named.
    async fn close(&self) -> Result<(), StoreError>;
}

/// Where an instance of a store works: one CD server, one store kind.
#[derive(Debug, Clone, PartialEq)]
pub struct Seat {
    /// Index of the CD server in its cluster.
    pub server: u32,
    /// Private or shared state.
    pub kind: StoreKind,
    /// The configured session timeout of this kind.
    pub timeout: Minutes,
    /// Real length of one minute of site time: 60 s at scale 1. Seconds on the wire derive from it.
    pub minute: Duration,
    /// `httpRuntime executionTimeout`, which also bounds how long a lock lives in Redis.
    pub execution_timeout: Duration,
}

/// The server behind a provider, as it goes into the result.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ServerInfo {
    /// What it is: `redis-server`.
    pub product: String,
    /// Its version as it tells it.
    pub version: String,
    /// Whether we started it for this run.
    pub managed: bool,
    /// Where it listens; without secrets.
    pub address: String,
    /// Effective settings that decide how it treats sessions.
    pub settings: BTreeMap<String, String>,
}

/// What pollers and subscriptions of a provider did beside the requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BackgroundWork {
    /// Ticks of pollers.
    pub ticks: u64,
    /// Ticks that failed: the store could not be asked, or a session could not be decoded.
    pub failed_ticks: u64,
    /// Notifications of expired sessions that arrived.
    pub events: u64,
    /// Subscriptions made anew after a connection broke; events in between are lost.
    pub resubscriptions: u64,
    /// Expired sessions that were claimed.
    pub claimed: u64,
    /// Expired sessions that another instance had claimed already.
    pub claimed_by_others: u64,
    /// Expired sessions that were claimed again because nobody acknowledged their end in time.
    #[serde(default)]
    pub claimed_again: u64,
    /// Expired sessions whose data was gone, or could not be asked for.
    pub without_data: u64,
    /// Expired sessions that could not be decoded.
    pub undecodable: u64,
    /// Session-end handlers that threw.
    pub failed_ends: u64,
    /// Ended sessions that could not be removed from the store.
    pub failed_removals: u64,
}

/// What a store uses at one instant. What a store does not tell is `None`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StoreSample {
    /// Memory in use, in bytes.
    pub memory_bytes: Option<u64>,
    /// CPU time used since its start, in seconds.
    pub cpu_seconds: Option<f64>,
    /// Commands processed since its start.
    pub commands: Option<u64>,
    /// Keys or rows of the whole database.
    pub keys: Option<u64>,
    /// Keys that expire.
    pub volatile_keys: Option<u64>,
    /// Keys that expired since its start.
    pub expired_keys: Option<u64>,
    /// Keys evicted for want of memory since its start.
    pub evicted_keys: Option<u64>,
    /// Bytes received from clients since its start.
    pub bytes_in: Option<u64>,
    /// Bytes sent to clients since its start.
    pub bytes_out: Option<u64>,
    /// Connected clients.
    pub clients: Option<u64>,
    /// Mean memory of one session with all its keys, in bytes, over a small sample.
    pub bytes_per_session: Option<u64>,
}

impl StoreSample {
    /// What two servers of one store use together. What a session costs is no sum and stays.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        fn sum<T: std::ops::Add<Output = T>>(mine: Option<T>, theirs: Option<T>) -> Option<T> {
            mine.zip(theirs).map(|(mine, theirs)| mine + theirs)
        }
        Self {
            memory_bytes: sum(self.memory_bytes, other.memory_bytes),
            cpu_seconds: sum(self.cpu_seconds, other.cpu_seconds),
            commands: sum(self.commands, other.commands),
            keys: sum(self.keys, other.keys),
            volatile_keys: sum(self.volatile_keys, other.volatile_keys),
            expired_keys: sum(self.expired_keys, other.expired_keys),
            evicted_keys: sum(self.evicted_keys, other.evicted_keys),
            bytes_in: sum(self.bytes_in, other.bytes_in),
            bytes_out: sum(self.bytes_out, other.bytes_out),
            clients: sum(self.clients, other.clients),
            ..self
        }
    }

    /// Raises each number to another sample's where that one is larger.
    pub fn raise_to(&mut self, other: &Self) {
        self.memory_bytes = self.memory_bytes.max(other.memory_bytes);
        self.commands = self.commands.max(other.commands);
        self.keys = self.keys.max(other.keys);
        self.volatile_keys = self.volatile_keys.max(other.volatile_keys);
        self.expired_keys = self.expired_keys.max(other.expired_keys);
        self.evicted_keys = self.evicted_keys.max(other.evicted_keys);
        self.bytes_in = self.bytes_in.max(other.bytes_in);
        self.bytes_out = self.bytes_out.max(other.bytes_out);
        self.clients = self.clients.max(other.clients);
        self.bytes_per_session = self.bytes_per_session.max(other.bytes_per_session);
        self.cpu_seconds = match (self.cpu_seconds, other.cpu_seconds) {
            (Some(mine), Some(theirs)) => Some(mine.max(theirs)),
            (mine, theirs) => mine.or(theirs),
        };
    }
}

/// Why a provider cannot be brought in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// Its server is not installed here.
    #[error("{what} is not installed")]
    NotInstalled {
        /// The program.
        what: &'static str,
        /// The command that would bring it in.
        remedy: String,
    },
    /// Its server was started and did not come up.
    #[error("the managed server did not start: {0}")]
    NotStarted(String),
    /// Its settings make no sense to it.
    #[error("{0}")]
    Settings(String),
    /// Its store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Brings a provider in for one cluster: starts a managed server, or connects to the one named.
/// `application` tells this cluster and run apart from others in one database.
///
/// # Errors
/// See [`ConnectError`]; nothing is left running then.
pub async fn connect(
    settings: &ProviderSettings,
    application: &str,
) -> Result<Rc<dyn Provider>, ConnectError> {
    match settings {
        ProviderSettings::Inproc(_) => Ok(Rc::new(inproc::InprocProvider::default())),
        ProviderSettings::StateServer(settings) => {
            state_server::connect(settings, application).await
        }
        ProviderSettings::RedisMicrosoft(_)
        | ProviderSettings::RedisKeyspace(_)
        | ProviderSettings::RedisSitecore(_)
        | ProviderSettings::RedisMarkers(_)
        | ProviderSettings::RedisIndex(_)
        | ProviderSettings::RedisDeadline(_) => redis::connect(settings, application).await,
        ProviderSettings::SqlSitecore(_)
        | ProviderSettings::SqlAsync(_)
        | ProviderSettings::SqlUniversal(_) => sql::connect(settings, application).await,
        ProviderSettings::MongoSitecore(settings) => mongo::connect(settings, application).await,
    }
}
