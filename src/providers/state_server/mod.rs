//! The ASP.NET state server as a provider: a client of the genuine protocol, on a server of ours or
//! on one that already runs (facts §6).
//!
//! ```text
//! store        the operations of the contract, one request each
//! connections  kept between requests; limits
//! known        what we stored on a server that is not ours
//! survey       what a server says of itself
//! ```
//!
//! In: settings and a cluster's name. Out: a [`Provider`] that opens one client per CD server. It
//! raises no session end, so it cannot hold shared state.
//!
//! The surprising fact: a managed server starts with the first client, not before, since a server
//! counts minutes by itself and only a client's seat says how long one lasts.

pub mod connections;
pub mod known;
pub mod settings;
pub mod store;
pub mod survey;

use self::connections::{Connections, Line, Shut};
use self::known::Known;
use self::settings::{Address, AddressError, Server, StateServerSettings};
use self::store::{Names, StateServerStore};
use super::{ConnectError, Provider, Seat, ServerInfo, StoreSample};
use crate::servers::StateServer;
use crate::servers::state_server::protocol::{Action, Request, Response, Status};
use crate::servers::state_server::{Statistics, statistics};
use crate::session::{RequestContext, SessionId, SessionStateStore, StoreError};
use async_trait::async_trait;
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

/// Walks over our sessions to clean up; two are enough where nobody else uses our names.
const CLEANUP_WALKS: usize = 5;
/// A minute on a genuine server.
const GENUINE_MINUTE: Duration = Duration::from_secs(60);

/// Brings the provider in. `cluster` tells its sessions apart from other clusters'.
///
/// # Errors
/// A server that is named cannot be reached, or speaks no [MS-ASP].
pub async fn connect(
    settings: &StateServerSettings,
    cluster: &str,
) -> Result<Rc<dyn Provider>, ConnectError> {
    let separator = if cluster.is_empty() { "" } else { "/" };
    let application_id = format!("{}{separator}{cluster}", settings.application_id);
    let provider = StateServerProvider {
        settings: settings.clone(),
        names: Names::new(&application_id),
        shut: Shut::default(),
        process: RefCell::default(),
        reached: OnceCell::new(),
        ours: Cell::new(false),
        counted: Cell::new(0),
    };
    if let Server::ConnectionString(text) = &settings.server {
        let address = text
            .parse()
            .map_err(|error: AddressError| ConnectError::Settings(error.to_string()))?;
        provider.reach(address, false).await?;
    }
    Ok(Rc::new(provider))
}

/// The provider of one cluster.
struct StateServerProvider {
    settings: StateServerSettings,
    names: Names,
    /// Shuts the connections of all instances.
    shut: Shut,
    /// The server, if it is managed and runs.
    process: RefCell<Option<StateServer>>,
    /// The server, once there is one.
    reached: OnceCell<Reached>,
    /// Whether the server tells statistics, which a genuine one does not.
    ours: Cell<bool>,
    /// How often it was asked what it received.
    counted: Cell<u64>,
}

/// A server that answered.
struct Reached {
    line: Line,
    /// How long a minute of timeouts lasts on it.
    minute: Duration,
    info: ServerInfo,
    /// A connection that stays open when those of the instances are shut.
    own: Connections,
    /// Our sessions, on a server that is not managed.
    known: Option<Rc<Known>>,
}

impl StateServerProvider {
    /// The server; a managed one is started if it does not run yet.
    async fn server_for(&self, seat: &Seat) -> Result<&Reached, StoreError> {
        if let Some(reached) = self.reached.get() {
            return Ok(reached);
        }
        let process = StateServer::start(seat.minute).await.map_err(|error| {
            StoreError::Connection(format!("the managed state server did not start: {error}"))
        })?;
        let address = format!("tcpip={}", process.address());
        let address = address
            .parse()
            .map_err(|error: AddressError| StoreError::Connection(error.to_string()))?;
        self.process.replace(Some(process));
        self.reach(address, true).await
    }

    /// Asks a server who it is.
    async fn reach(&self, address: Address, managed: bool) -> Result<&Reached, StoreError> {
        let line = Line {
            address,
            limit: self.settings.stateNetworkTimeout.duration(),
            dialect: self.settings.dialect.into(),
        };
        let own = Connections::new(line.clone(), Shut::default());
        let answer = ask_statistics(&own).await?;
        let told = Statistics::decode(&answer.content);
        self.ours.set(told.is_some());
        let minute = told.as_ref().map_or(GENUINE_MINUTE, |told| told.minute);
        let info = introduced(&line, managed, told.as_ref(), answer.version);
        let known = (!managed).then(|| Rc::new(Known::new(minute)));
        Ok(self.reached.get_or_init(|| Reached {
            line,
            minute,
            info,
            own,
            known,
        }))
    }

    /// Deletes those of our sessions that are still there, and says how many there were.
    async fn delete_sessions(
        &self,
        connections: &Connections,
        sessions: &[SessionId],
    ) -> Result<u64, StoreError> {
        let mut deleted = 0;
        for id in sessions {
            let mut lock_cookie = None;
            loop {
                let request = Request {
                    target: self.names.of(*id),
                    action: Action::Remove { lock_cookie },
                };
                let response = connections
                    .ask(&RequestContext::default(), &request)
                    .await?;
                match response.status {
                    // A request that was given up left its lock behind.
                    Status::Locked if response.lock_cookie != lock_cookie => {
                        lock_cookie = response.lock_cookie;
                    }
                    Status::NotFound => break,
                    Status::Ok => {
                        deleted += 1;
                        break;
                    }
                    Status::Locked | Status::BadRequest => {
                        return Err(StoreError::Refused(format!(
                            "it does not let go of session {id}"
                        )));
                    }
                }
            }
        }
        Ok(deleted)
    }
}

/// Who a server is; `version` is what a genuine one calls itself.
fn introduced(
    line: &Line,
    managed: bool,
    told: Option<&Statistics>,
    version: String,
) -> ServerInfo {
    ServerInfo {
        managed,
        address: line.address.to_string(),
        ..match told {
            Some(told) => identity(told),
            None => ServerInfo {
                product: "ASP.NET state server".to_owned(),
                version,
                ..ServerInfo::default()
            },
        }
    }
}

/// Who a server of ours is.
fn identity(told: &Statistics) -> ServerInfo {
    ServerInfo {
        product: "sessionbench state-server".to_owned(),
        version: told.version.clone(),
        settings: BTreeMap::from([
            ("process_id".to_owned(), told.process_id.to_string()),
            (
                "minute_seconds".to_owned(),
                told.minute.as_secs_f64().to_string(),
            ),
        ]),
        ..ServerInfo::default()
    }
}

async fn ask_statistics(connections: &Connections) -> Result<Response, StoreError> {
    let request = Request {
        target: statistics::TARGET.to_owned(),
        action: Action::Get,
    };
    connections.ask(&RequestContext::default(), &request).await
}

#[async_trait(?Send)]
impl Provider for StateServerProvider {
    async fn open(&self, seat: &Seat) -> Result<Rc<dyn SessionStateStore>, StoreError> {
        let reached = self.server_for(seat).await?;
        if reached.minute != seat.minute {
            return Err(StoreError::Refused(format!(
                "a minute lasts {} s on the server and {} s in the run",
                reached.minute.as_secs_f64(),
                seat.minute.as_secs_f64()
            )));
        }
        let connections = Connections::new(reached.line.clone(), self.shut.clone());
        Ok(Rc::new(StateServerStore::new(
            connections,
            self.names.clone(),
            self.settings.compressionEnabled,
            reached.known.clone(),
        )))
    }

    fn server(&self) -> Option<&ServerInfo> {
        self.reached.get().map(|reached| &reached.info)
    }

    async fn sample(&self) -> Result<StoreSample, StoreError> {
        let Some(reached) = self.reached.get().filter(|_| self.ours.get()) else {
            return Ok(StoreSample::default());
        };
        let answer = ask_statistics(&reached.own).await?;
        let told = Statistics::decode(&answer.content)
            .ok_or_else(|| StoreError::Refused("it tells no statistics any more".to_owned()))?;
        Ok(StoreSample {
            memory_bytes: Some(told.memory_bytes),
            cpu_seconds: Some(told.cpu_seconds),
            commands: Some(told.counts.requests),
            keys: Some(told.sessions),
            volatile_keys: Some(told.sessions),
            expired_keys: Some(told.counts.expired),
            bytes_in: Some(told.counts.bytes_in),
            bytes_out: Some(told.counts.bytes_out),
            clients: Some(told.clients),
            ..StoreSample::default()
        })
    }

    async fn commands_received(&self) -> Result<Option<u64>, StoreError> {
        let told = self.sample().await?.commands;
        self.counted.set(self.counted.get() + 1);
        Ok(told.map(|requests| requests.saturating_sub(self.counted.get())))
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.shut.close();
        // A server of our own takes its sessions with it.
        drop(self.process.take());
        let Some(reached) = self.reached.get() else {
            return Ok(());
        };
        let Some(known) = &reached.known else {
            return Ok(());
        };
        // A request that was on its way when the connections were shut may store once more, so the
        // walk is repeated until it finds nothing.
        let sessions = known.ids();
        let mut found = 0;
        for _ in 0..CLEANUP_WALKS {
            found = self.delete_sessions(&reached.own, &sessions).await?;
            if found == 0 {
                return Ok(());
            }
        }
        Err(StoreError::Refused(format!(
            "sessions of ours keep appearing, {found} in the last walk: does another run use this \
             application_id?"
        )))
    }
}
