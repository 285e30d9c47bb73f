//! The Redis providers: Microsoft's, and two ways of adding session end to it.
//!
//! ```text
//! microsoft  the flow of Microsoft's provider; layout and scripts/ say how sessions lie in Redis
//! keyspace   microsoft + a shadow key; listener hears that it expired
//! sitecore   microsoft + an index of deadlines; poller looks what expired
//! ─────────  all of them on
//! connection commands, scripts, retries, limits, counting
//! server     managed or named; admin asks it for what is no session
//! ```
//!
//! In: settings and an application name. Out: a [`Provider`] that opens one instance per CD server
//! and store kind, each with connections of its own. The surprising fact: the genuine provider
//! keeps its connection in a process-wide static; one process here plays many web servers, so each
//! instance has its own, which is what separate web servers would have.

pub mod admin;
pub mod application;
pub mod connection;
pub mod connection_string;
pub mod keyspace;
pub mod layout;
pub mod listener;
pub mod microsoft;
pub mod script;
mod server;
pub mod settings;
pub mod sitecore;
pub mod times;

use self::admin::Admin;
use self::application::Application;
use self::keyspace::KeyspaceStore;
use self::layout::Layout;
use self::listener::Listening;
use self::microsoft::MicrosoftStore;
use self::server::Server;
use self::settings::{Notifications, RedisKeyspace, RedisSettings, RedisSitecore};
use self::sitecore::SitecoreStore;
use super::poller::Polling;
use super::{
    BackgroundWork, ConnectError, Provider, ProviderSettings, Seat, ServerInfo, StoreSample,
};
use crate::session::{SessionStateStore, StoreError};
use async_trait::async_trait;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

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
    let admin = Admin::new(server.own_connection(), application.clone());
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
        self.server.shut.close();
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
