//! Sitecore's MongoDB provider: one document per session, locked by find-and-modify (facts §9.3).
//!
//! In: the operations of the contract. Out: one to three commands each. The surprising facts: the
//! get moves the expiration by the timeout of `system.web/sessionState`, which is that of private
//! sessions, so every get of a shared session, a minute longer, costs a second update; a release
//! moves it not at all; and an insert wins against a lock.

use super::connection::Connection;
use super::document::{Data, Key, Lock, Stored};
use super::expired::Expired;
use super::partition;
use crate::clock;
use crate::providers::poller::raise_abandoned;
use crate::providers::poller::{Poller, Polling};
use crate::providers::{BackgroundWork, Seat};
use crate::session::{
    Actions, ExpireCallback, Found, GetItem, Item, LockId, Minutes, RequestContext, SessionId,
    SessionStateStore, StoreError, StoreKind,
};
use async_trait::async_trait;
use mongodb::Database;
use mongodb::bson::{DateTime, Document, RawDocumentBuf, Uuid};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

/// The sessions of one application as one web server reaches them.
pub struct Sessions {
    /// Its pool.
    pub connection: Connection,
    /// One database, or the partitions.
    pub databases: Vec<Database>,
    /// `a` of every key.
    pub application: String,
    /// Whether data is deflated.
    pub compressed: bool,
    /// Where the instance works.
    pub seat: Seat,
}

impl Sessions {
    fn key(&self, id: SessionId) -> (&Database, Key) {
        let id = id.to_string();
        let database = match self.databases.as_slice() {
            [only] => only,
            partitions => &partitions[partition::of(&id, partitions.len())],
        };
        (database, Key::new(&id, &self.application))
    }

    async fn run(
        &self,
        request: &RequestContext,
        database: &Database,
        command: RawDocumentBuf,
    ) -> Result<Document, StoreError> {
        self.connection.run(request, database, command).await
    }

    /// When a session expires that is used now.
    fn expires(&self, timeout: Minutes) -> DateTime {
        after(timeout.lasting(self.seat.minute))
    }

    /// The timeout of `system.web/sessionState`: the private sessions', and that of the shared ones
    /// less the minute by which they last longer (facts §9.5).
    fn default_timeout(&self) -> Minutes {
        match self.seat.kind {
            StoreKind::Private => self.seat.timeout,
            StoreKind::Shared => Minutes(self.seat.timeout.0.saturating_sub(1)),
        }
    }

    /// Reads the session that a get met, and sets its expiration right if it has a timeout of its
    /// own.
    fn open(
        &self,
        request: &RequestContext,
        (database, key): &(&Database, Key),
        stored: &Stored,
    ) -> Result<Item, StoreError> {
        let item = stored.item(self.compressed).map_err(|why| {
            request.undecodable.set(request.undecodable.get() + 1);
            StoreError::Undecodable(why.to_string())
        })?;
        if item.timeout() != self.default_timeout() {
            let expires = self.expires(item.timeout());
            self.connection
                .send(request, database, key.expire_at(expires));
        }
        Ok(item)
    }

    async fn insert(
        &self,
        request: &RequestContext,
        id: SessionId,
        item: &Item,
        actions: Actions,
    ) -> Result<(), StoreError> {
        let (database, key) = self.key(id);
        let data = Data::of(item, self.compressed);
        let expires = self.expires(item.timeout());
        let command = key.insert(data, now(), expires, actions);
        self.run(request, database, command).await.map(drop)
    }

    /// Deletes a session, if this cookie holds its lock.
    ///
    /// # Errors
    /// The server cannot be asked.
    pub async fn remove(
        &self,
        request: &RequestContext,
        id: SessionId,
        cookie: &str,
    ) -> Result<(), StoreError> {
        let (database, key) = self.key(id);
        self.run(request, database, key.remove(cookie))
            .await
            .map(drop)
    }
}

/// One instance of the provider.
pub struct MongoStore {
    sessions: Rc<Sessions>,
    polling: Polling,
    poller: RefCell<Option<Rc<Poller>>>,
    callback: RefCell<Option<Rc<dyn ExpireCallback>>>,
    work: Rc<RefCell<BackgroundWork>>,
}

impl MongoStore {
    /// An instance on these sessions.
    #[must_use]
    pub fn new(sessions: Sessions, polling: Polling, work: Rc<RefCell<BackgroundWork>>) -> Self {
        Self {
            sessions: Rc::new(sessions),
            polling,
            poller: RefCell::default(),
            callback: RefCell::default(),
            work,
        }
    }
}

#[async_trait(?Send)]
impl SessionStateStore for MongoStore {
    fn set_item_expire_callback(&self, callback: Rc<dyn ExpireCallback>) -> bool {
        let source = Rc::new(Expired {
            sessions: Rc::clone(&self.sessions),
            work: Rc::clone(&self.work),
        });
        let work = Rc::clone(&self.work);
        let poller = Poller::start(source, Rc::clone(&callback), self.polling, work);
        *self.poller.borrow_mut() = Some(Rc::new(poller));
        *self.callback.borrow_mut() = Some(callback);
        true
    }

    /// The data of a locked session is read too, and its expiration moved.
    async fn get_item(
        &self,
        request: &RequestContext,
        id: SessionId,
    ) -> Result<GetItem, StoreError> {
        let sessions = &self.sessions;
        let place = sessions.key(id);
        let command = place.1.read(sessions.expires(sessions.default_timeout()));
        let reply = sessions.run(request, place.0, command).await?;
        let Some(stored) = Stored::modified(reply) else {
            return Ok(GetItem::Missing);
        };
        let item = sessions.open(request, &place, &stored)?;
        Ok(match stored.holder() {
            Some(holder) => locked(holder),
            None => GetItem::Found(Found {
                item,
                lock: None,
                actions: stored.actions(),
            }),
        })
    }

    /// Asks again at once when the lock was freed between the two questions.
    async fn get_item_exclusive(
        &self,
        request: &RequestContext,
        id: SessionId,
    ) -> Result<GetItem, StoreError> {
        let sessions = &self.sessions;
        let place = sessions.key(id);
        let (database, key) = &place;
        loop {
            let cookie = cookie();
            let lock = Lock {
                cookie: &cookie,
                taken: now(),
            };
            let command = key.lock(lock, sessions.expires(sessions.default_timeout()));
            let reply = sessions.run(request, database, command).await?;
            if let Some(stored) = Stored::modified(reply) {
                return Ok(GetItem::Found(Found {
                    item: sessions.open(request, &place, &stored)?,
                    lock: Some(LockId::Text(cookie)),
                    actions: stored.actions(),
                }));
            }
            let reply = sessions.run(request, database, key.holder()).await?;
            let Some(stored) = Stored::found(&reply).pop() else {
                return Ok(GetItem::Missing);
            };
            if let Some(holder) = stored.holder() {
                return Ok(locked(holder));
            }
        }
    }

    async fn set_and_release_item_exclusive(
        &self,
        request: &RequestContext,
        id: SessionId,
        item: &Item,
        lock: Option<&LockId>,
        new_item: bool,
    ) -> Result<(), StoreError> {
        let sessions = &self.sessions;
        if new_item {
            return sessions.insert(request, id, item, Actions::None).await;
        }
        let (database, key) = sessions.key(id);
        let data = Data::of(item, sessions.compressed);
        let expires = sessions.expires(item.timeout());
        let command = key.set_and_release(&text_of(lock), data, expires);
        sessions.run(request, database, command).await.map(drop)
    }

    async fn release_item_exclusive(
        &self,
        request: &RequestContext,
        id: SessionId,
        lock: &LockId,
    ) -> Result<(), StoreError> {
        let (database, key) = self.sessions.key(id);
        let command = key.release(&text_of(Some(lock)));
        self.sessions
            .run(request, database, command)
            .await
            .map(drop)
    }

    /// Raises session end in the request, then removes (facts §9.1).
    async fn remove_item(
        &self,
        request: &RequestContext,
        id: SessionId,
        lock: Option<&LockId>,
        item: &Item,
    ) -> Result<(), StoreError> {
        let callback = self.callback.borrow().clone();
        if raise_abandoned(callback, id, item).await {
            self.work.borrow_mut().failed_ends += 1;
        }
        self.sessions.remove(request, id, &text_of(lock)).await
    }

    async fn reset_item_timeout(
        &self,
        request: &RequestContext,
        id: SessionId,
    ) -> Result<(), StoreError> {
        let sessions = &self.sessions;
        let (database, key) = sessions.key(id);
        let reply = sessions.run(request, database, key.timeout()).await?;
        let stored = Stored::found(&reply).pop();
        if let Some(minutes) = stored.and_then(|stored| stored.minutes()) {
            let expires = sessions.expires(Minutes(minutes));
            sessions
                .connection
                .send(request, database, key.expire_at(expires));
        }
        Ok(())
    }

    /// Overwrites, against the contract: the genuine provider inserts as it does a new session.
    async fn create_uninitialized_item(
        &self,
        request: &RequestContext,
        id: SessionId,
        timeout: Minutes,
    ) -> Result<(), StoreError> {
        let item = Item::new(timeout);
        self.sessions
            .insert(request, id, &item, Actions::InitializeItem)
            .await
    }

    async fn end_request(&self, _request: &RequestContext) -> Result<(), StoreError> {
        Ok(())
    }

    async fn dispose(&self) {
        let poller = self.poller.borrow_mut().take();
        if let Some(poller) = poller {
            poller.stop().await;
        }
    }
}

fn locked((cookie, taken): (&str, DateTime)) -> GetItem {
    GetItem::Locked {
        age: now().saturating_duration_since(taken),
        lock: LockId::Text(cookie.into()),
    }
}

/// A lock as it stands in the document; nobody's where there is none.
fn text_of(lock: Option<&LockId>) -> String {
    lock.map(ToString::to_string).unwrap_or_default()
}

/// A new lock cookie: a GUID in .NET's format `N`, 32 hexadecimal digits.
#[must_use]
pub fn cookie() -> Rc<str> {
    format!("{:032x}", u128::from_be_bytes(Uuid::new().bytes())).into()
}

/// A number drawn at random, below a bound above zero.
#[must_use]
pub fn draw(bound: usize) -> usize {
    // The first bytes of a version 4 UUID are random; the bound is small, so the bias is not felt.
    let [a, b, c, d, ..] = Uuid::new().bytes();
    u32::from_be_bytes([a, b, c, d]) as usize % bound
}

/// The clock of the web server, in the milliseconds that BSON knows.
#[must_use]
pub fn now() -> DateTime {
    after(Duration::ZERO)
}

/// So much later than now.
#[must_use]
pub fn after(duration: Duration) -> DateTime {
    let at = clock::utc().since_epoch().saturating_add(duration);
    DateTime::from_millis(i64::try_from(at.as_millis()).unwrap_or(i64::MAX))
}
