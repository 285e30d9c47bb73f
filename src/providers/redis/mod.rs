//! The Redis providers: Microsoft's, ways of adding session end to it, and one of our own.
//!
//! ```text
//! microsoft  the flow of Microsoft's provider; layout and scripts/ say how sessions lie in Redis
//! keyspace   microsoft + a shadow key; listener hears that it expired
//! sitecore   microsoft + an index of deadlines; poller looks what expired
//! polled     microsoft + a record that writes keep, markers or index; poller looks what expired
//! deadline   a design of our own; shares only what is below
//! ─────────  all of them on
//! connection commands, scripts, retries, limits; link counts what is sent; pipe and reply carry it
//! topology   which servers are masters: one, one that sentinels know, a cluster's by slots
//! dial       TCP or Unix socket, tls, user and password
//! server     managed or named; admin asks it for what is no session; survey looks at it and leaves
//!            it as it is; expiry says how long its scan for expired keys takes
//! ```
//!
//! In: settings and an application name. Out: a [`Provider`] that opens one instance per CD server
//! and store kind, each with connections of its own. The surprising fact: the genuine provider
//! keeps its connection in a process-wide static; one process here plays many web servers, so each
//! instance has its own, which is what separate web servers would have.

pub mod address;
pub mod admin;
pub mod application;
pub mod command;
pub mod connection;
pub mod connection_string;
pub mod deadline;
pub mod dial;
pub mod expiry;
pub mod failure;
pub mod index;
pub mod keyspace;
pub mod layout;
pub mod link;
pub mod listener;
pub mod markers;
pub mod microsoft;
mod on_microsoft;
pub mod pipe;
pub mod polled;
pub mod reply;
pub mod script;
mod server;
pub mod settings;
pub mod sitecore;
pub mod slots;
pub mod survey;
pub mod times;
pub mod tls;
pub mod topology;

use self::address::Address;
use self::admin::Admin;
use self::application::Application;
use self::deadline::DeadlineStore;
use self::failure::Failure;
use self::index::Index;
use self::keyspace::Keyspace;
use self::layout::Layout;
use self::listener::Listening;
use self::markers::Markers;
use self::microsoft::MicrosoftStore;
use self::on_microsoft::OnMicrosoft;
use self::polled::Polled;
use self::server::Server;
use self::settings::{Notifications, RedisKeyspace, RedisPolled, RedisSettings, RedisSitecore};
use self::sitecore::Sitecore;
use super::poller::{Polling, Processing};
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
    let (redis, application) = named(settings, application)?;
    let server = Server::bring_in(redis, notifications(settings)).await?;
    let admin = Admin::new(server.own_connection(), application.clone());
    let (info, changed_flags) = match server.find(admin.connections().topology()).await {
        Ok(()) => {
            refuse_cluster(settings, &admin)?;
            let changed = match notifications(settings) {
                Some(needed) => {
                    ensure_notifications(&admin, needed, redis.allow_config_set).await?
                }
                None => Vec::new(),
            };
            (tell(&server, &admin).await?, changed)
        }
        Err(Failure::Unusable(why)) => return Err(ConnectError::Settings(why)),
        Err(failure) if server.abort_connect => {
            return Err(failure.into_connect_error(server.limits.connect));
        }
        // `abortConnect=false`: requests fail until it can be reached.
        Err(_) => (ServerInfo::default(), Vec::new()),
    };
    let info = introduced(info, &server);
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

/// The settings of a Redis provider, checked, and whose keys they name.
fn named<'a>(
    settings: &'a ProviderSettings,
    run: &str,
) -> Result<(&'a RedisSettings, Application), ConnectError> {
    let Some(redis) = settings.redis() else {
        return Err(ConnectError::Settings("not a Redis provider".to_owned()));
    };
    let application =
        Application::new(&redis.applicationName, run).map_err(ConnectError::Settings)?;
    let application = match settings {
        ProviderSettings::RedisMicrosoft(settings) if !Layout::from(settings.version).braces() => {
            application.without_braces()
        }
        _ => application,
    };
    check(settings)?;
    Ok((redis, application))
}

/// What the servers tell of themselves.
async fn tell(server: &Server, admin: &Admin) -> Result<ServerInfo, ConnectError> {
    let mut info = ServerInfo::default();
    let mut process_ids = Vec::new();
    let masters = admin.masters().await?;
    for at in &masters {
        let (version, process_id) = admin.identity(at).await?;
        info.version = version;
        process_ids.push(process_id);
    }
    if let Some(first) = masters.first() {
        info.settings = admin.settings(first).await;
        if info.settings.is_empty() {
            let why = "not allowed, so what the server's settings are is not known";
            info.settings.insert("CONFIG".to_owned(), why.to_owned());
        }
    }
    info.settings
        .insert("process_id".to_owned(), process_ids.join(", "));
    let addresses: Vec<_> = masters.iter().map(Address::to_string).collect();
    if addresses.join(",") != server.address {
        let role = match admin.connections().topology().is_cluster() {
            true => "cluster_masters",
            false => "master",
        };
        info.settings.insert(role.to_owned(), addresses.join(", "));
    }
    Ok(info)
}

/// Adds what is known of a server without asking it.
fn introduced(info: ServerInfo, server: &Server) -> ServerInfo {
    let mut settings = info.settings;
    if !server.warnings.is_empty() {
        settings.insert("ignored".to_owned(), server.warnings.join("; "));
    }
    ServerInfo {
        product: "redis-server".to_owned(),
        version: info.version,
        managed: !server.processes.borrow().is_empty(),
        address: server.address.clone(),
        settings,
    }
}

/// Why a provider cannot run on a cluster; `None` where it can.
#[must_use]
pub const fn cluster_refusal(settings: &ProviderSettings) -> Option<&'static str> {
    match settings {
        ProviderSettings::RedisSitecore(_) => Some(
            "redis_sitecore cannot run on a Redis Cluster: each of its scripts changes a session \
             and the one index of all sessions, which lie on different masters",
        ),
        _ => None,
    }
}

/// Refuses a cluster to a provider that cannot run on one.
fn refuse_cluster(settings: &ProviderSettings, admin: &Admin) -> Result<(), ConnectError> {
    match cluster_refusal(settings) {
        Some(why) if admin.connections().topology().is_cluster() => {
            Err(ConnectError::Settings(why.to_owned()))
        }
        _ => Ok(()),
    }
}

/// Checks what the types of the settings do not.
fn check(settings: &ProviderSettings) -> Result<(), ConnectError> {
    match settings {
        ProviderSettings::RedisSitecore(RedisSitecore {
            pollingInterval, ..
        })
        | ProviderSettings::RedisMarkers(RedisPolled {
            pollingInterval, ..
        })
        | ProviderSettings::RedisIndex(RedisPolled {
            pollingInterval, ..
        }) if !(1..=120).contains(pollingInterval) => Err(ConnectError::Settings(
            "`pollingInterval` must be 1 to 120 seconds".to_owned(),
        )),
        _ => Ok(()),
    }
}

/// Flags of `notify-keyspace-events` that a provider needs.
#[must_use]
pub fn notifications(settings: &ProviderSettings) -> Option<&'static str> {
    let ProviderSettings::RedisKeyspace(settings) = settings else {
        return None;
    };
    Some(match settings.notifications {
        Notifications::Keyspace => "Kx",
        Notifications::Keyevent => "Ex",
    })
}

/// Flags of `notify-keyspace-events` that a server had before.
type OldFlags = (Address, String);

/// Makes sure that every master notifies. Returns the flags of those that were changed.
async fn ensure_notifications(
    admin: &Admin,
    needed: &str,
    allowed: bool,
) -> Result<Vec<OldFlags>, ConnectError> {
    let mut changed = Vec::new();
    for at in admin.masters().await? {
        // Hosted servers hide CONFIG; whether they notify shows in the run.
        let Some(flags) = admin.notifications(&at).await else {
            continue;
        };
        if admin::has_flags(&flags, needed) {
            continue;
        }
        let wanted = admin::with_flags(&flags, needed);
        let set = match allowed {
            true => admin
                .set_notifications(&at, &wanted)
                .await
                .map_err(Into::into),
            false => Err(ConnectError::Settings(format!(
                "the server does not send the notifications that redis_keyspace needs: \
                 run `redis-cli CONFIG SET notify-keyspace-events {wanted}`, \
                 or permit it with `allow_config_set: true`"
            ))),
        };
        match set {
            Ok(()) => changed.push((at, flags)),
            Err(error) => {
                // The masters before this one get theirs back; the reason is told, whatever comes.
                let _ = put_back(admin, &changed).await;
                return Err(error);
            }
        }
    }
    Ok(changed)
}

/// Puts flags of `notify-keyspace-events` back.
async fn put_back(admin: &Admin, changed: &[OldFlags]) -> Result<(), StoreError> {
    for (at, flags) in changed {
        admin.set_notifications(at, flags).await?;
    }
    Ok(())
}

/// A Redis provider at work in one cluster.
struct RedisProvider {
    settings: ProviderSettings,
    application: Application,
    admin: Admin,
    server: Server,
    info: ServerInfo,
    /// Flags of `notify-keyspace-events` to put back.
    changed_flags: Vec<OldFlags>,
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

    /// Makes an instance's connections and asks for a session that is not there, so that a user
    /// without the right to do so is told before the run.
    async fn try_out(&self, microsoft: &MicrosoftStore) -> Result<(), StoreError> {
        let tried = async {
            microsoft.connections().open().await?;
            microsoft.try_out().await
        };
        match tried.await {
            Err(StoreError::Connection(_) | StoreError::Timeout { .. })
                if !self.server.abort_connect =>
            {
                Ok(())
            }
            other => other,
        }
    }

    fn listening(&self, settings: &RedisKeyspace, seat: &Seat) -> Listening {
        let minutes = settings.shadow_key_lead.duration().as_secs_f64() / 60.0;
        Listening {
            notifications: settings.notifications,
            claim: settings.claim,
            lead: seat.minute.mul_f64(minutes),
            database: self.server.database,
        }
    }
}

/// How a third party's provider polls: as Sitecore's base class did then (facts §9.1).
fn serially(settings: &RedisPolled) -> Polling {
    Polling {
        period: Duration::from_secs(settings.pollingInterval.into()),
        processing: Processing::Serial,
        remove_after_end: true,
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
                self.try_out(&microsoft).await?;
                let listening = self.listening(settings, seat);
                let must_hear = self.server.abort_connect;
                let keyspace = Keyspace::open(microsoft, listening, must_hear, work).await?;
                Rc::new(OnMicrosoft(keyspace))
            }
            ProviderSettings::RedisSitecore(settings) => {
                let layout = Layout::Sitecore {
                    compressed: settings.compression,
                };
                let microsoft = self.microsoft(layout, &settings.redis, seat);
                self.try_out(&microsoft).await?;
                let sitecore = Sitecore::new(microsoft, polling(settings), work);
                Rc::new(OnMicrosoft(sitecore))
            }
            ProviderSettings::RedisMarkers(settings) => {
                let microsoft = self.microsoft(Layout::V2To4, &settings.redis, seat);
                self.try_out(&microsoft).await?;
                let microsoft = microsoft.with_margin(markers::MARGIN);
                let markers = Markers::new(microsoft, Rc::clone(&work));
                let polled = Polled::new(markers, serially(settings), work);
                Rc::new(OnMicrosoft(polled))
            }
            ProviderSettings::RedisIndex(settings) => {
                let microsoft = self.microsoft(Layout::V2To4, &settings.redis, seat);
                self.try_out(&microsoft).await?;
                let microsoft = microsoft.with_margin(index::MARGIN);
                let index = Index::new(microsoft, Rc::clone(&work));
                let polled = Polled::new(index, serially(settings), work);
                Rc::new(OnMicrosoft(polled))
            }
            ProviderSettings::RedisMicrosoft(settings) => {
                let layout = Layout::from(settings.version);
                let microsoft = self.microsoft(layout, &settings.redis, seat);
                self.try_out(&microsoft).await?;
                Rc::new(microsoft)
            }
            ProviderSettings::RedisDeadline(settings) => {
                let connections = self
                    .server
                    .connections(settings.redis.connections_per_server);
                connections.open().await?;
                let application = self.application.of(seat.kind);
                let deadline = DeadlineStore::open(
                    connections,
                    deadline::keys::Keys::new(application, settings.shards),
                    seat.clone(),
                    settings.into(),
                    work,
                );
                Rc::new(deadline.await?)
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

    async fn commands_received(&self) -> Result<Option<u64>, StoreError> {
        self.admin.commands_received().await
    }

    fn background_work(&self) -> BackgroundWork {
        *self.work.borrow()
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.server.shut.close();
        // A server of our own takes its keys with it.
        if !self.server.processes.take().is_empty() {
            return Ok(());
        }
        let put_back = put_back(&self.admin, &self.changed_flags).await;
        self.admin.clean_up().await?;
        put_back
    }
}
