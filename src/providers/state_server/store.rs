//! The state server's client as one CD server sees it (`OutOfProcSessionStateStore`, facts §6.1).
//!
//! In: operations of the contract. Out: one request each. An answer of 423 to a get says who has the
//! lock; to anything else, that the lock was lost and nothing was done, which nobody is told.
//!
//! The surprising fact: the whole session crosses the wire with every get that finds it.

use super::connections::{Connections, KEPT_IDLE};
use super::known::Known;
use crate::clock::{self, Task};
use crate::servers::state_server::protocol::{Action, Request, Response, Status};
use crate::session::{
    Actions, ExpireCallback, Found, GetItem, Item, LockId, Minutes, RequestContext, SessionId,
    SessionStateStore, StoreError,
};
use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

/// A lock's age that a client takes for nonsense.
const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The client of one CD server and store kind.
pub struct StateServerStore {
    connections: Rc<Connections>,
    names: Names,
    compressed: bool,
    /// On a server that is not ours.
    known: Option<Rc<Known>>,
    /// Drops idle connections.
    sweeper: Cell<Option<Task<()>>>,
}

/// What an application's sessions are called: its id, a hash of it, and the session's id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names(Rc<str>);

impl Names {
    /// Names of an application's sessions.
    #[must_use]
    pub fn new(application_id: &str) -> Self {
        let hash = STANDARD.encode(Sha256::digest(application_id));
        let path = application_id.trim_start_matches('/');
        Self(format!("/{path}({hash})/").into())
    }

    /// The name of a session, not yet encoded.
    #[must_use]
    pub fn of(&self, id: SessionId) -> String {
        format!("{}{id}", self.0)
    }
}

impl StateServerStore {
    /// A client on connections of its own.
    #[must_use]
    pub fn new(
        connections: Connections,
        names: Names,
        compressed: bool,
        known: Option<Rc<Known>>,
    ) -> Self {
        let connections = Rc::new(connections);
        let swept = Rc::clone(&connections);
        let sweeper = clock::spawn(async move {
            loop {
                clock::sleep(KEPT_IDLE).await;
                swept.drop_idle();
            }
        });
        Self {
            connections,
            names,
            compressed,
            known,
            sweeper: Cell::new(Some(sweeper)),
        }
    }

    async fn ask(
        &self,
        context: &RequestContext,
        id: SessionId,
        action: Action,
    ) -> Result<Response, StoreError> {
        let target = self.names.of(id);
        let removes = matches!(action, Action::Remove { .. });
        let request = Request { target, action };
        let response = self.connections.ask(context, &request).await?;
        if response.status == Status::BadRequest {
            let why = String::from_utf8_lossy(&response.content);
            return Err(StoreError::Refused(format!("400 Bad Request: {why}")));
        }
        if let Some(known) = &self.known {
            match response.status {
                Status::NotFound => known.gone(id),
                Status::Ok if removes => known.gone(id),
                _ => known.touched(id),
            }
        }
        Ok(response)
    }

    async fn get(
        &self,
        context: &RequestContext,
        id: SessionId,
        action: Action,
    ) -> Result<GetItem, StoreError> {
        let exclusive = action == Action::GetExclusive;
        let response = self.ask(context, id, action).await?;
        let lock = LockId::Cookie(response.lock_cookie.unwrap_or(0).max(0) as u64);
        match response.status {
            Status::Locked => Ok(GetItem::Locked {
                age: lock_age(&response),
                lock,
            }),
            // The genuine client takes an answer without data for no session.
            Status::Ok if !response.content.is_empty() => {
                let item = self.decode(&response.content).inspect_err(|_| {
                    context.undecodable.set(context.undecodable.get() + 1);
                })?;
                Ok(GetItem::Found(Found {
                    item,
                    lock: exclusive.then_some(lock),
                    actions: match response.action_flags.unwrap_or(0) & 1 {
                        1 => Actions::InitializeItem,
                        _ => Actions::None,
                    },
                }))
            }
            _ => Ok(GetItem::Missing),
        }
    }

    async fn set(
        &self,
        context: &RequestContext,
        id: SessionId,
        item: &Item,
        lock_cookie: Option<i32>,
        uninitialised: bool,
    ) -> Result<(), StoreError> {
        if let Some(known) = &self.known {
            known.storing(id, item.timeout());
        }
        let action = Action::Set {
            timeout: Some(item.timeout().0),
            lock_cookie,
            uninitialised,
            content: match self.compressed {
                true => item.encode_compressed(),
                false => item.encode(),
            },
        };
        self.ask(context, id, action).await.map(drop)
    }

    fn decode(&self, bytes: &[u8]) -> Result<Item, StoreError> {
        let item = match self.compressed {
            true => Item::decode_compressed(bytes),
            false => Item::decode(bytes),
        };
        item.map_err(|error| StoreError::Undecodable(error.to_string()))
    }
}

/// Age of a lock: as the server tells it, or by the date at which it was taken.
fn lock_age(response: &Response) -> Duration {
    match (response.lock_age, response.lock_date) {
        (Some(seconds), _) if seconds >= 0 => {
            let age = Duration::from_secs(seconds.unsigned_abs());
            if age < YEAR { age } else { Duration::ZERO }
        }
        // The server's local time; ours is UTC.
        (_, Some(taken)) if taken > 0 => {
            let ticks = clock::utc().ticks().saturating_sub(taken);
            Duration::from_micros(ticks / 10)
        }
        _ => Duration::ZERO,
    }
}

/// A lock as it stands on the wire; one that no state server gave is none.
fn cookie(lock: &LockId) -> Option<i32> {
    match lock {
        LockId::Cookie(cookie) => i32::try_from(*cookie).ok(),
        LockId::Text(_) => None,
    }
}

#[async_trait(?Send)]
impl SessionStateStore for StateServerStore {
    fn set_item_expire_callback(&self, _callback: Rc<dyn ExpireCallback>) -> bool {
        false
    }

    async fn get_item(
        &self,
        request: &RequestContext,
        id: SessionId,
    ) -> Result<GetItem, StoreError> {
        self.get(request, id, Action::Get).await
    }

    async fn get_item_exclusive(
        &self,
        request: &RequestContext,
        id: SessionId,
    ) -> Result<GetItem, StoreError> {
        self.get(request, id, Action::GetExclusive).await
    }

    async fn set_and_release_item_exclusive(
        &self,
        request: &RequestContext,
        id: SessionId,
        item: &Item,
        lock: Option<&LockId>,
        _new_item: bool,
    ) -> Result<(), StoreError> {
        let lock_cookie = lock.and_then(cookie);
        self.set(request, id, item, lock_cookie, false).await
    }

    async fn release_item_exclusive(
        &self,
        request: &RequestContext,
        id: SessionId,
        lock: &LockId,
    ) -> Result<(), StoreError> {
        let Some(lock_cookie) = cookie(lock) else {
            return Ok(());
        };
        let release = Action::Release { lock_cookie };
        self.ask(request, id, release).await.map(drop)
    }

    async fn remove_item(
        &self,
        request: &RequestContext,
        id: SessionId,
        lock: Option<&LockId>,
        _item: &Item,
    ) -> Result<(), StoreError> {
        let lock_cookie = lock.and_then(cookie);
        let remove = Action::Remove { lock_cookie };
        self.ask(request, id, remove).await.map(drop)
    }

    async fn reset_item_timeout(
        &self,
        request: &RequestContext,
        id: SessionId,
    ) -> Result<(), StoreError> {
        self.ask(request, id, Action::ResetTimeout).await.map(drop)
    }

    async fn create_uninitialized_item(
        &self,
        request: &RequestContext,
        id: SessionId,
        timeout: Minutes,
    ) -> Result<(), StoreError> {
        self.set(request, id, &Item::new(timeout), None, true).await
    }

    async fn end_request(&self, _request: &RequestContext) -> Result<(), StoreError> {
        Ok(())
    }

    async fn dispose(&self) {
        if let Some(sweeper) = self.sweeper.take() {
            sweeper.cancel().await;
        }
        self.connections.drop_all();
    }
}

#[cfg(test)]
mod tests;
