//! The Redis providers: Microsoft's, and two ways of adding session end to it.
//!
//! ```text
//! microsoft ── the flow of Microsoft's provider          ─┐
//! keyspace  ── microsoft + shadow key + notifications     ├─ layout ── keys, items, scripts/
//! sitecore  ── microsoft + index of deadlines + poller   ─┘     │
//! connection ── commands, retries, limits, counting  ◄──────────┘
//! admin      ── INFO, samples, clean-up, on a connection of its own
//! ```
//!
//! In: settings and an application name. Out: a [`Provider`] that opens one instance per CD server
//! and store kind, each with connections of its own. The surprising fact: the genuine provider
//! keeps its connection in a process-wide static; one process here plays many web servers, so each
//! instance has its own, which is what separate web servers would have.

pub mod admin;
pub mod connection;
pub mod connection_string;
pub mod layout;
pub mod microsoft;
pub mod script;
pub mod settings;

use self::admin::Admin;
use self::connection::{Connections, Limits};
use self::connection_string::ConnectionString;
use self::layout::{Application, Layout};
use self::microsoft::MicrosoftStore;
use self::settings::{ManagedRedis, RedisSettings};
use super::{ConnectError, Provider, ProviderSettings, Seat, ServerInfo, StoreSample};
use crate::servers::{RedisServer, StartError};
use crate::session::{SessionStateStore, StoreError};
use async_trait::async_trait;
use redis::io::tcp::TcpSettings;
use redis::{Client, ConnectionAddr, IntoConnectionInfo as _, ProtocolVersion};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

/// StackExchange.Redis 2's own limits (facts §1.7).
const DEFAULT_LIMIT: Duration = Duration::from_secs(5);

/// Brings a Redis provider in.
///
/// # Errors
/// See [`ConnectError`].
pub async fn connect(
    settings: &ProviderSettings,
    application: &str,
) -> Result<Rc<dyn Provider>, ConnectError> {
    let Some(redis) = settings.redis() else {
        return Err(ConnectError::Settings("not a Redis provider".to_owned()));
    };
    let application =
        Application::new(&redis.applicationName, application).map_err(ConnectError::Settings)?;
    let server = Server::bring_in(redis).await?;
    let admin = Admin::new(server.connections(1), application.clone());
    let (version, process_id) = admin.identity().await?;
    let mut effective = admin.settings().await;
    effective.insert("process_id".to_owned(), process_id);
    if !server.warnings.is_empty() {
        effective.insert("ignored".to_owned(), server.warnings.join("; "));
    }
    let info = ServerInfo {
        product: "redis-server".to_owned(),
        version,
        managed: server.process.borrow().is_some(),
        address: server.address.clone(),
        settings: effective,
    };
    Ok(Rc::new(RedisProvider {
        settings: settings.clone(),
        application,
        server,
        admin,
        info,
    }))
}

/// A Redis provider at work in one cluster.
struct RedisProvider {
    settings: ProviderSettings,
    application: Application,
    admin: Admin,
    server: Server,
    info: ServerInfo,
}

#[async_trait(?Send)]
impl Provider for RedisProvider {
    async fn open(&self, seat: &Seat) -> Result<Rc<dyn SessionStateStore>, StoreError> {
        let microsoft = |layout, redis: &RedisSettings| {
            MicrosoftStore::new(
                self.server.connections(redis.connections_per_server),
                layout,
                self.application.of(seat.kind),
                seat.clone(),
                redis.throwOnError,
            )
        };
        match &self.settings {
            ProviderSettings::RedisMicrosoft(settings) => {
                let store = microsoft(Layout::from(settings.version), &settings.redis);
                store.connections().open().await?;
                Ok(Rc::new(store))
            }
            _ => Err(StoreError::Refused("not written yet".to_owned())),
        }
    }

    fn server(&self) -> Option<&ServerInfo> {
        Some(&self.info)
    }

    async fn sample(&self) -> Result<StoreSample, StoreError> {
        self.admin.sample().await
    }

    async fn close(&self) -> Result<(), StoreError> {
        // A server of our own takes its keys with it.
        if self.server.process.take().is_some() {
            return Ok(());
        }
        self.admin.clean_up().await
    }
}

/// The server behind a provider.
struct Server {
    /// The process, if it is ours.
    process: RefCell<Option<RedisServer>>,
    client: Client,
    limits: Limits,
    address: String,
    database: u32,
    warnings: Vec<String>,
}

impl Server {
    async fn bring_in(settings: &RedisSettings) -> Result<Self, ConnectError> {
        match &settings.server {
            settings::RedisServer::Managed(managed) => Self::start(settings, managed).await,
            settings::RedisServer::ConnectionString(text) => Self::reach(settings, text),
        }
    }

    async fn start(settings: &RedisSettings, managed: &ManagedRedis) -> Result<Self, ConnectError> {
        let process = RedisServer::start(&managed.config).await?;
        let text = format!("127.0.0.1:{}", process.port());
        let server = Self::reach(settings, &text)?;
        let filler = Admin::new(
            server.connections(1),
            Application::new("other", "").map_err(ConnectError::Settings)?,
        );
        filler
            .fill(&server.client, managed.other_volatile_keys)
            .await?;
        server.process.replace(Some(process));
        Ok(server)
    }

    /// A client of a server that runs; nothing is sent yet.
    fn reach(settings: &RedisSettings, text: &str) -> Result<Self, ConnectError> {
        let found: ConnectionString =
            text.parse()
                .map_err(|error: connection_string::ConnectionStringError| {
                    ConnectError::Settings(error.to_string())
                })?;
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
            address: format!("{}:{}", found.host, found.port),
            database,
            warnings: found.warnings,
        })
    }

    fn connections(&self, count: u32) -> Connections {
        Connections::new(&self.client, self.limits, count)
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
