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
pub mod keyspace;
pub mod layout;
pub mod microsoft;
pub mod poller;
pub mod script;
pub mod settings;
pub mod sitecore;

use self::admin::Admin;
use self::connection::{Connections, Limits};
use self::connection_string::ConnectionString;
use self::keyspace::{KeyspaceStore, Listening};
use self::layout::{Application, Layout};
use self::microsoft::MicrosoftStore;
use self::poller::Polling;
use self::settings::{
    ConfigValue, ManagedRedis, Notifications, RedisKeyspace, RedisSettings, RedisSitecore,
};
use self::sitecore::SitecoreStore;
use super::{
    BackgroundWork, ConnectError, Provider, ProviderSettings, Seat, ServerInfo, StoreSample,
};
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
    check(settings)?;
    let server = Server::bring_in(redis, notifications(settings)).await?;
    let admin = Admin::new(server.connections(1), application.clone());
    let (version, process_id) = admin.identity().await?;
    let changed_flags = match notifications(settings) {
        Some(needed) => ensure_notifications(&admin, needed, redis.allow_config_set).await?,
        None => None,
    };
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
        admin,
        server,
        info,
        changed_flags,
        work: Rc::default(),
    }))
}

/// Checks what the types of the settings do not.
fn check(settings: &ProviderSettings) -> Result<(), ConnectError> {
    match settings {
        ProviderSettings::RedisSitecore(settings)
            if !(1..=120).contains(&settings.pollingInterval) =>
        {
            Err(ConnectError::Settings(
                "`pollingInterval` must be 1 to 120 seconds".to_owned(),
            ))
        }
        _ => Ok(()),
    }
}

/// Flags of `notify-keyspace-events` that a provider needs.
fn notifications(settings: &ProviderSettings) -> Option<&'static str> {
    let ProviderSettings::RedisKeyspace(settings) = settings else {
        return None;
    };
    Some(match settings.notifications {
        Notifications::Keyspace => "Kx",
        Notifications::Keyevent => "Ex",
    })
}

/// Makes sure that a server notifies. Returns the flags that it had, if they were changed.
async fn ensure_notifications(
    admin: &Admin,
    needed: &str,
    allowed: bool,
) -> Result<Option<String>, ConnectError> {
    let Some(flags) = admin.notifications().await else {
        // Hosted servers hide CONFIG; whether they notify shows in the run.
        return Ok(None);
    };
    if admin::has_flags(&flags, needed) {
        return Ok(None);
    }
    let wanted = admin::with_flags(&flags, needed);
    if !allowed {
        return Err(ConnectError::Settings(format!(
            "the server does not send the notifications that redis_keyspace needs: \
             run `redis-cli CONFIG SET notify-keyspace-events {wanted}`, \
             or permit it with `allow_config_set: true`"
        )));
    }
    admin.set_notifications(&wanted).await?;
    Ok(Some(flags))
}

/// A Redis provider at work in one cluster.
struct RedisProvider {
    settings: ProviderSettings,
    application: Application,
    admin: Admin,
    server: Server,
    info: ServerInfo,
    /// Flags of `notify-keyspace-events` to put back.
    changed_flags: Option<String>,
    work: Rc<RefCell<BackgroundWork>>,
}

impl RedisProvider {
    fn microsoft(&self, layout: Layout, settings: &RedisSettings, seat: &Seat) -> MicrosoftStore {
        MicrosoftStore::new(
            self.server.connections(settings.connections_per_server),
            layout,
            self.application.of(seat.kind),
            seat.clone(),
            settings.throwOnError,
        )
    }

    fn listening(&self, settings: &RedisKeyspace, seat: &Seat) -> Listening {
        let minutes = settings.shadow_key_lead.duration().as_secs_f64() / 60.0;
        Listening {
            notifications: settings.notifications,
            claim: settings.claim,
            lead: seat.minute.mul_f64(minutes),
            limit: self.server.limits.connect,
            database: self.server.database,
        }
    }
}

/// How a Sitecore provider polls, if it does.
fn polling(settings: &RedisSitecore) -> Option<Polling> {
    settings.pollingEnabled.then(|| Polling {
        period: Duration::from_secs(settings.pollingInterval.into()),
        processing: settings.processing,
        remove_after_end: settings.removeExpiredItemOnlyAfterSessionEndExecution,
    })
}

#[async_trait(?Send)]
impl Provider for RedisProvider {
    async fn open(&self, seat: &Seat) -> Result<Rc<dyn SessionStateStore>, StoreError> {
        let work = Rc::clone(&self.work);
        let store: Rc<dyn SessionStateStore> = match &self.settings {
            ProviderSettings::RedisKeyspace(settings) => {
                let microsoft = self.microsoft(Layout::V5, &settings.redis, seat);
                microsoft.connections().open().await?;
                let listening = self.listening(settings, seat);
                let client = self.server.client.clone();
                Rc::new(KeyspaceStore::open(microsoft, client, listening, work).await?)
            }
            ProviderSettings::RedisSitecore(settings) => {
                let layout = Layout::Sitecore {
                    compressed: settings.compression,
                };
                let microsoft = self.microsoft(layout, &settings.redis, seat);
                microsoft.connections().open().await?;
                Rc::new(SitecoreStore::new(microsoft, polling(settings), work))
            }
            ProviderSettings::RedisMicrosoft(settings) => {
                let layout = Layout::from(settings.version);
                let microsoft = self.microsoft(layout, &settings.redis, seat);
                microsoft.connections().open().await?;
                Rc::new(microsoft)
            }
            _ => {
                return Err(StoreError::Refused("not a Redis provider".to_owned()));
            }
        };
        Ok(store)
    }

    fn server(&self) -> Option<&ServerInfo> {
        Some(&self.info)
    }

    async fn sample(&self) -> Result<StoreSample, StoreError> {
        self.admin.sample().await
    }

    fn background_work(&self) -> BackgroundWork {
        *self.work.borrow()
    }

    async fn close(&self) -> Result<(), StoreError> {
        // A server of our own takes its keys with it.
        if self.server.process.take().is_some() {
            return Ok(());
        }
        if let Some(flags) = &self.changed_flags {
            self.admin.set_notifications(flags).await?;
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
    /// Starts a server that sends these notifications, or finds the one that is named.
    async fn bring_in(
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
