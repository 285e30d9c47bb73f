//! The server behind a provider: a managed one is started, one that is named is reached.
//!
//! In: the settings. Out: a client for it, with TCP_NODELAY and limits set explicitly, because
//! redis-rs has the one off and the other at 500 ms by default.

use super::admin;
use super::connection::{Connections, Limits, Shut};
use super::connection_string::{ConnectionString, ConnectionStringError};
use super::settings::{self, ConfigValue, ManagedRedis, RedisSettings};
use crate::providers::ConnectError;
use crate::servers::{RedisServer, StartError};
use redis::io::tcp::TcpSettings;
use redis::{Client, ConnectionAddr, IntoConnectionInfo as _, ProtocolVersion};
use std::cell::RefCell;
use std::time::Duration;

/// StackExchange.Redis 2's own limits (facts §1.7).
const DEFAULT_LIMIT: Duration = Duration::from_secs(5);

/// The server behind a provider.
pub struct Server {
    /// The process, if it is ours.
    pub process: RefCell<Option<RedisServer>>,
    /// Makes connections to it.
    pub client: Client,
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
        let process = RedisServer::start(&managed.config).await?;
        let text = format!("127.0.0.1:{}", process.port());
        let server = Self::reach(settings, &text)?;
        admin::fill(&server.client, managed.other_volatile_keys).await?;
        server.process.replace(Some(process));
        Ok(server)
    }

    /// A client of a server that runs; nothing is sent yet.
    fn reach(settings: &RedisSettings, text: &str) -> Result<Self, ConnectError> {
        let found: ConnectionString = text
            .parse()
            .map_err(|error: ConnectionStringError| ConnectError::Settings(error.to_string()))?;
        if found.ssl {
            return Err(ConnectError::Settings(
                "TLS is not supported yet".to_owned(),
            ));
        }
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
        Ok(Self {
            process: RefCell::new(None),
            client: client(&found, database)?,
            limits,
            shut: Shut::default(),
            address: format!("{}:{}", found.host, found.port),
            database,
            warnings: found.warnings,
        })
    }

    /// Connections of an instance, made when they are first needed.
    pub fn connections(&self, count: u32) -> Connections {
        Connections::new(&self.client, self.limits, count, self.shut.clone())
    }

    /// A connection that stays open when those of the instances are shut.
    pub fn own_connection(&self) -> Connections {
        Connections::new(&self.client, self.limits, 1, Shut::default())
    }
}

fn client(found: &ConnectionString, database: u32) -> Result<Client, ConnectError> {
    let refused = |error: redis::RedisError| ConnectError::Settings(error.to_string());
    let info = ConnectionAddr::Tcp(found.host.clone(), found.port)
        .into_connection_info()
        .map_err(refused)?;
    let mut redis = info
        .redis_settings()
        .clone()
        .set_protocol(ProtocolVersion::RESP2)
        .set_skip_set_lib_name()
        .set_db(database.into());
    if let Some(user) = &found.user {
        redis = redis.set_username(user);
    }
    if let Some(password) = &found.password {
        redis = redis.set_password(password.reveal());
    }
    // Without it, Nagle's algorithm holds small commands back.
    let tcp = TcpSettings::default().set_nodelay(true);
    Client::open(info.set_redis_settings(redis).set_tcp_settings(tcp)).map_err(refused)
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
