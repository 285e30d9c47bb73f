//! The store's half of the contract: `SessionStateStoreProviderBase` with the field's own names.
//!
//! In: one operation of the request module. Out: the item, or who holds its lock. Every operation
//! carries the [`RequestContext`] of the request that it serves; a provider counts there what it
//! sends, and remembers there what it must release when the request ends, as the genuine providers
//! do in instance fields (ASP.NET gives each request a provider instance of its own).
//!
//! The surprising fact: an update with a lock that was lost succeeds silently in most stores
//! (facts §1.3, §3.1, §5.3). That is the contract, so such an operation returns `Ok` here too; the
//! ledger finds out what became of the data.

use super::{Item, Minutes, SessionId};
use crate::clock::Instant;
use crate::fetch::Kept;
use async_trait::async_trait;
use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

/// A session-state store as one CD server sees it: one instance per server and store kind.
///
/// # Errors
/// Every operation fails with [`StoreError`] when the store cannot be asked or answers nonsense. A
/// lock that is not held, an unknown session and a mismatch of lock ids are no errors.
#[async_trait(?Send)]
pub trait SessionStateStore {
    /// Starts raising session end through `callback` (`SetItemExpireCallback`). Returns whether
    /// this provider can raise it at all.
    fn set_item_expire_callback(&self, callback: Rc<dyn ExpireCallback>) -> bool;

    /// Reads a session without taking its lock (`GetItem`).
    async fn get_item(
        &self,
        request: &RequestContext,
        id: SessionId,
    ) -> Result<GetItem, StoreError>;

    /// Reads a session and takes its lock (`GetItemExclusive`).
    async fn get_item_exclusive(
        &self,
        request: &RequestContext,
        id: SessionId,
    ) -> Result<GetItem, StoreError>;

    /// Writes a session and releases its lock (`SetAndReleaseItemExclusive`). `new_item` says that
    /// the request found none in the store; `lock` is `None` then.
    async fn set_and_release_item_exclusive(
        &self,
        request: &RequestContext,
        id: SessionId,
        item: &Item,
        lock: Option<&LockId>,
        new_item: bool,
    ) -> Result<(), StoreError>;

    /// Releases a lock without writing (`ReleaseItemExclusive`).
    async fn release_item_exclusive(
        &self,
        request: &RequestContext,
        id: SessionId,
        lock: &LockId,
    ) -> Result<(), StoreError>;

    /// Deletes a session (`RemoveItem`), as `Session.Abandon` does.
    async fn remove_item(
        &self,
        request: &RequestContext,
        id: SessionId,
        lock: Option<&LockId>,
        item: &Item,
    ) -> Result<(), StoreError>;

    /// Keeps a session alive (`ResetItemTimeout`).
    async fn reset_item_timeout(
        &self,
        request: &RequestContext,
        id: SessionId,
    ) -> Result<(), StoreError>;

    /// Stores an empty session so that concurrent first requests queue up behind one lock
    /// (`CreateUninitializedItem`). Never overwrites, by contract.
    async fn create_uninitialized_item(
        &self,
        request: &RequestContext,
        id: SessionId,
        timeout: Minutes,
    ) -> Result<(), StoreError>;

    /// Called once at the end of every request (`EndRequest`), if it may have anything to do then.
    async fn end_request(&self, request: &RequestContext) -> Result<(), StoreError>;

    /// Whether the end of this request has anything to do. A store whose `EndRequest` is empty says
    /// no, which spares every request a call.
    fn has_to_end(&self, _request: &RequestContext) -> bool {
        true
    }

    /// Waits until it may be worth while to ask again for the lock that this request found taken. A
    /// store that cannot tell waits for ever, as all genuine ones do: the request then asks at its
    /// next poll.
    async fn lock_may_be_free(&self, _request: &RequestContext) {
        std::future::pending().await
    }

    /// Where a store in this memory keeps a session, so that the processor can fetch it before the next
    /// request for it. Nowhere by default. Changes nothing.
    fn kept(&self, _id: SessionId) -> Kept {
        Kept::default()
    }

    /// Stops pollers and subscriptions; no session end is raised after it returns (`Dispose`).
    async fn dispose(&self);
}

/// What a store answers to a get.
#[derive(Debug, Clone, PartialEq)]
pub enum GetItem {
    /// There is no such session.
    Missing,
    /// Another request holds the session's lock.
    Locked {
        /// How long it has held it, by whatever clock the provider uses; negative clock skew is 0.
        age: Duration,
        /// The holder's lock id, by which the lock can be released by force.
        lock: LockId,
    },
    /// The session.
    Found(Found),
}

/// A session that a get found.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Its data and timeout.
    pub item: Item,
    /// The lock that was taken; `None` from [`SessionStateStore::get_item`].
    pub lock: Option<LockId>,
    /// What the request must still do.
    pub actions: Actions,
}

/// What a request must do with a session that it got (`SessionStateActions`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Actions {
    /// Nothing.
    #[default]
    None,
    /// The session was stored uninitialised: `Session_Start` is due.
    InitializeItem,
}

/// What identifies one holding of a lock. Only the provider that gave it understands it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum LockId {
    /// A counter, as System.Web's and SQL's lock cookies are.
    Cookie(u64),
    /// A text, as Redis lock values are.
    Text(Rc<str>),
}

impl LockId {
    /// As text, as a store writes it.
    #[must_use]
    pub fn as_text(&self) -> Cow<'_, str> {
        match self {
            Self::Cookie(cookie) => cookie.to_string().into(),
            Self::Text(text) => text.as_ref().into(),
        }
    }
}

impl fmt::Display for LockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cookie(cookie) => cookie.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}

/// Receives expired sessions (`SessionStateItemExpireCallback`).
#[async_trait(?Send)]
pub trait ExpireCallback {
    /// Raises session end on the CD server that noticed, and returns when the handler is done.
    /// A provider that handles ends one after the other awaits it; one that hands them to a pool
    /// spawns it.
    ///
    /// # Errors
    /// The handler threw: the visit was not committed.
    async fn session_end(&self, notice: EndNotice) -> Result<(), EndHandlerFailed>;
}

/// The session-end handler threw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the session-end handler threw")]
pub struct EndHandlerFailed;

/// One session end, as a provider noticed it.
#[derive(Debug, Clone)]
pub struct EndNotice {
    /// The session.
    pub id: SessionId,
    /// Its data; `None` when it was gone before the provider could read it, so that there is
    /// nothing to commit.
    pub item: Option<Item>,
    /// How the provider came to know.
    pub noticed: Noticed,
}

/// How a provider noticed that a session expired. The ledger splits lateness by it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Noticed {
    /// A timer found it: a poller's tick or a flush of the cache wheel. Ticks come at `origin` and
    /// every `period` after it, unless the one before is still at work.
    Tick {
        /// Any one instant of the grid.
        origin: Instant,
        /// Distance of two ticks.
        period: Duration,
    },
    /// The store told, at this instant, what it found `lead` before the session's own deadline.
    Event {
        /// When the notification arrived.
        arrived: Instant,
        /// How long before the session its shadow expires, by the provider's design.
        lead: Duration,
    },
    /// The provider slept until the deadline and claimed the session.
    Claimed {
        /// When it woke up.
        woke: Instant,
        /// Whether another server had claimed it before and never acknowledged its end.
        again: bool,
    },
    /// A request touched the expired session.
    Access,
    /// The session was abandoned: `Session_End` is due at once, whatever its timeout.
    Abandoned,
}

/// What a request means to the providers that serve it, and what serving it cost.
#[derive(Debug, Default)]
pub struct RequestContext {
    /// Commands sent to a store and answered, or given up.
    pub round_trips: Cell<u32>,
    /// Bytes sent to stores.
    pub bytes_sent: Cell<u64>,
    /// Bytes received from stores.
    pub bytes_received: Cell<u64>,
    /// Operations that ran into their timeout.
    pub timeouts: Cell<u32>,
    /// Attempts after the first.
    pub retries: Cell<u32>,
    /// Errors that a provider kept to itself, so that the session looked empty (`throwOnError`).
    pub swallowed: Cell<u32>,
    /// Stored sessions that could not be decoded.
    pub undecodable: Cell<u32>,
    /// Writes that a store refused because their lock was lost. Most stores do not tell.
    pub refused: Cell<u32>,
    /// Whether the request waits for a lock that it finds taken. Only then may a store give it a
    /// place in a queue, which would keep others from the lock.
    pub waits: Cell<bool>,
    /// The request's place in a store's own queue for a session's lock: a number of the store's.
    pub queued: Cell<Option<(SessionId, u64)>>,
    /// The session that the request read last and its length in bytes, for a store that chooses by it
    /// how to write.
    pub read: Cell<Option<(SessionId, usize)>>,
    /// Locks that a provider must still release in [`SessionStateStore::end_request`].
    pub held: RefCell<Vec<(SessionId, LockId)>>,
}

impl RequestContext {
    /// Counts one command and its answer.
    pub fn count_round_trip(&self, sent: usize, received: usize) {
        self.round_trips.set(self.round_trips.get() + 1);
        self.bytes_sent.set(self.bytes_sent.get() + sent as u64);
        self.bytes_received
            .set(self.bytes_received.get() + received as u64);
    }

    /// Remembers a lock until it is forgotten or the request ends.
    pub fn remember(&self, id: SessionId, lock: LockId) {
        self.held.borrow_mut().push((id, lock));
    }

    /// Forgets a lock that was released; does nothing when it is not remembered.
    pub fn forget(&self, id: SessionId) {
        self.held.borrow_mut().retain(|(held, _)| *held != id);
    }

    /// Takes the remembered lock of a session of this kind, if any.
    #[must_use]
    pub fn take_held(&self, kind: super::StoreKind) -> Option<(SessionId, LockId)> {
        let mut held = self.held.borrow_mut();
        let at = held.iter().position(|(id, _)| id.kind() == kind)?;
        Some(held.swap_remove(at))
    }
}

/// Why a store could not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The store did not answer within the operation timeout.
    #[error("the store did not answer within {} ms", .limit.as_millis())]
    Timeout {
        /// The limit that passed.
        limit: Duration,
    },
    /// The connection broke or could not be made.
    #[error("the store cannot be reached: {0}")]
    Connection(String),
    /// The store answered with an error.
    #[error("the store refused: {0}")]
    Refused(String),
    /// The stored item cannot be decoded.
    #[error("the stored session cannot be decoded: {0}")]
    Undecodable(String),
}
