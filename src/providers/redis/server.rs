//! The server behind a provider: a managed one is started, one that is named is reached.
//!
//! In: the settings. Out: connections to it, for instances and for ourselves. The surprising fact: a
//! connection string may name sentinels, or some servers of a cluster, so what is named is not
//! necessarily what is used.

use super::admin;
use super::connection::{Connections, Limits, Shut};
use super::connection_string::{ConnectionString, ConnectionStringError};
use super::dial::Dialer;
use super::failure::Failure;
use super::settings::{self, ConfigValue, ManagedRedis, RedisSettings};
use super::tls::Tls;
use super::topology::{Named, Topology};
use crate::clock;
use crate::providers::ConnectError;
use crate::servers::{RedisCluster, RedisServer, StartError};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

/// StackExchange.Redis 2's own limits (facts §1.7).
const DEFAULT_LIMIT: Duration = Duration::from_secs(5);

/// Wait before the first connection is tried again.
const CONNECT_WAIT: Duration = Duration::from_millis(100);

/// The server behind a provider.
pub struct Server {
    /// The processes, if they are ours.
    pub processes: RefCell<Vec<RedisServer>>,
    dialer: Rc<Dialer>,
    named: Named,
    /// How often the first connection is tried.
    connect_retry: u32,
    /// Whether a run refuses to start while the server cannot be reached.
    pub abort_connect: bool,
    /// How long things may take.
    pub limits: Limits,
    /// Shuts the connections of all instances.
    pub shut: Shut,
    /// Where it listens; without secrets.
    pub address: String,
    /// Database number.
    pub database: u32,
    /// What in the connection string has no effect.
    pub warnings: Vec<String>,
}

impl Server {
    /// Starts a server that sends these notifications, or finds the one that is named.
    ///
    /// # Errors
    /// See [`ConnectError`]; nothing is left running then.
    pub async fn bring_in(
        settings: &RedisSettings,
        notifications: Option<&str>,
    ) -> Result<Self, ConnectError> {
        match &settings.server {
            settings::RedisServer::Managed(managed) => {
                let mut managed = managed.clone();
                if let Some(flags) = notifications {
                    managed
                        .config
                        .entry("notify-keyspace-events".to_owned())
                        .or_insert_with(|| ConfigValue::Text(flags.to_owned()));
                }
                Self::start(settings, &managed).await
            }
            settings::RedisServer::ConnectionString(text) => Self::reach(settings, text),
        }
    }

    async fn start(settings: &RedisSettings, managed: &ManagedRedis) -> Result<Self, ConnectError> {
        let processes = match managed.cluster {
            None => vec![RedisServer::start(&managed.config).await?],
            Some(masters) => RedisCluster::start(&managed.config, masters, managed.replicas)
                .await?
                .into_nodes(),
        };
        let ports = processes.iter().map(RedisServer::port);
        let addresses: Vec<_> = ports.map(|port| format!("127.0.0.1:{port}")).collect();
        let server = Self::reach(settings, &addresses.join(","))?;
        server.processes.replace(processes);
        admin::fill(&server.own_connection(), managed.other_volatile_keys).await?;
        Ok(server)
    }

    /// A server that runs; nothing is sent yet.
    fn reach(settings: &RedisSettings, text: &str) -> Result<Self, ConnectError> {
        let found: ConnectionString = text
            .parse()
            .map_err(|error: ConnectionStringError| ConnectError::Settings(error.to_string()))?;
        let configured = |milliseconds: u32, found: Option<Duration>| match milliseconds {
            0 => found.unwrap_or(DEFAULT_LIMIT),
            milliseconds => Duration::from_millis(milliseconds.into()),
        };
        let limits = Limits {
            connect: configured(
                settings.connectionTimeoutInMilliseconds,
                found.connect_timeout,
            ),
            operation: configured(settings.operationTimeoutInMilliseconds, found.sync_timeout),
            retry: Duration::from_millis(settings.retryTimeoutInMilliseconds.into()),
        };
        let database = found.default_database.unwrap_or(settings.databaseId);
        let tls = match found.ssl {
            true => Some(Tls::new(settings, found.certificate_name())?),
            false => None,
        };
        let addresses = found.servers.iter().map(ToString::to_string);
        let address = addresses.collect::<Vec<_>>().join(",");
        Ok(Self {
            processes: RefCell::default(),
            dialer: Rc::new(Dialer::new(&found, database, tls, limits.connect)),
            connect_retry: found.connect_retry,
            abort_connect: found.abort_connect,
            limits,
            shut: Shut::default(),
            address,
            database,
            warnings: found.warnings,
            named: Named {
                servers: found.servers,
                service: found.service,
                config_check: found.config_check,
            },
        })
    }

    /// Connections of an instance, made when they are first needed.
    pub fn connections(&self, count: u32) -> Connections {
        Connections::new(self.topology(), self.limits, count, self.shut.clone())
    }

    /// A connection that stays open when those of the instances are shut.
    pub fn own_connection(&self) -> Connections {
        Connections::new(self.topology(), self.limits, 1, Shut::default())
    }

    /// Looks for the masters, as often as `connectRetry` says; not by the retry rule of operations,
    /// since nothing is lost yet.
    ///
    /// # Errors
    /// The last failure; at once what no later try helps.
    pub async fn find(&self, topology: &Topology) -> Result<(), Failure> {
        let mut tries = self.connect_retry.max(1);
        loop {
            tries -= 1;
            match topology.masters().await {
                Ok(_) => return Ok(()),
                Err(failure) if tries == 0 || matches!(failure, Failure::Unusable(_)) => {
                    return Err(failure);
                }
                Err(_) => clock::sleep(CONNECT_WAIT).await,
            }
        }
    }

    /// What an instance knows of the masters: as web servers of their own, each learns by itself.
    fn topology(&self) -> Topology {
        Topology::new(self.named.clone(), Rc::clone(&self.dialer))
    }
}

impl From<StartError> for ConnectError {
    fn from(error: StartError) -> Self {
        match error {
            StartError::NotInstalled { program, remedy } => Self::NotInstalled {
                what: program,
                remedy,
            },
            StartError::Setting { .. } => Self::Settings(error.to_string()),
            StartError::Failed(why) => Self::NotStarted(why),
        }
    }
}
