//! Sitecore's SQL provider (facts §9.1, §9.2): ASP.NET's contract over nine stored procedures.
//!
//! In: operations of the request module. Out: one procedure call each, with the genuine names and
//! parameters; session ends, one after the other, from a poller of each instance.
//!
//! The surprising facts: a write whose lock was lost changes nothing and says nothing; a session
//! whose time has passed is served as long as no poller has claimed it; and one that cannot be
//! decoded stays claimed for good, so that its end is lost.

use super::call::{Call, Kind, Reply, Value};
use super::error::SqlError;
use super::pool::Pool;
use super::schema::{Naming, Schema};
use super::settings::SqlSitecore;
use crate::clock::{self, Utc};
use crate::providers::BackgroundWork;
use crate::providers::poller::{
    Claimed, ExpiredSessions, Poller, Polling, Processing, raise_abandoned,
};
use crate::session::item::DecodeError;
use crate::session::{
    Actions, ExpireCallback, Found, GetItem, Item, LockId, Minutes, RequestContext, SessionId,
    SessionStateStore, StoreError,
};
use async_trait::async_trait;
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;
use uuid::Uuid;

/// Tables and procedures of Sitecore's session database. The parameters are genuine; the tables
/// and all that the scripts make of them are ours.
pub const SCHEMA: Schema = Schema {
    tables: &["SessionState", "Application"],
    items: &["Item"],
    procedures: &[
        ("GetApplicationId", &["name", "id"]),
        (
            "GetItem",
            &[
                "application",
                "id",
                "locked",
                "lockTimestamp",
                "lockCookie",
                "flags",
            ],
        ),
        (
            "GetItemExclusive",
            &[
                "application",
                "id",
                "locked",
                "lockTimestamp",
                "lockCookie",
                "flags",
            ],
        ),
        (
            "SetAndReleaseItem",
            &[
                "application",
                "id",
                "lockCookie",
                "flags",
                "timeout",
                "item",
            ],
        ),
        ("ReleaseItem", &["application", "id", "lockCookie"]),
        ("RemoveItem", &["application", "id", "lockCookie"]),
        (
            "InsertItem",
            &["application", "id", "item", "timeout", "flags"],
        ),
        ("ResetItemTimeout", &["application", "id"]),
        (
            "GetExpiredItemExclusive",
            &["application", "id", "lockTimestamp", "lockCookie"],
        ),
    ],
    postgres: Some(include_str!("scripts/sitecore.postgres.sql")),
    sql_server: Cow::Borrowed(include_str!("scripts/sitecore.mssql.sql")),
    naming: Naming::AS_WRITTEN,
    shape: None,
};

/// Flag of a session that was stored uninitialised (`SessionStateActions.InitializeItem`).
const UNINITIALISED: i64 = 1;

/// One instance of Sitecore's SQL provider.
pub struct SitecoreStore {
    sessions: Rc<Sessions>,
    period: Duration,
    poller: RefCell<Option<Rc<Poller>>>,
    callback: RefCell<Option<Rc<dyn ExpireCallback>>>,
    work: Rc<RefCell<BackgroundWork>>,
}

/// The sessions of one application in the database.
struct Sessions {
    pool: Pool,
    application: Uuid,
    compressed: bool,
    guests: Rc<Guests>,
    work: Rc<RefCell<BackgroundWork>>,
}

impl SitecoreStore {
    /// Opens an instance; its application is registered by its name.
    ///
    /// # Errors
    /// The database cannot be asked.
    pub async fn open(
        pool: Pool,
        application: &str,
        settings: &SqlSitecore,
        guests: Rc<Guests>,
        work: Rc<RefCell<BackgroundWork>>,
    ) -> Result<Self, StoreError> {
        let call = Call::new("GetApplicationId")
            .input("name", Value::Text(application.into()))
            .output("id", Kind::Guid);
        let reply = pool.call(&RequestContext::default(), &call).await?;
        let Some(Value::Guid(id)) = reply.get("id") else {
            let why = "GetApplicationId returns no id".to_owned();
            return Err(SqlError::Answer(why).into());
        };
        Ok(Self {
            sessions: Rc::new(Sessions {
                pool,
                application: *id,
                compressed: settings.compression,
                guests,
                work: Rc::clone(&work),
            }),
            period: Duration::from_secs(settings.pollingInterval.into()),
            poller: RefCell::default(),
            callback: RefCell::default(),
            work,
        })
    }
}

impl Sessions {
    fn call(&self, procedure: &'static str) -> Call {
        Call::new(procedure).input("application", Value::Guid(self.application))
    }

    fn call_for(&self, procedure: &'static str, id: SessionId) -> Call {
        self.call(procedure)
            .input("id", Value::Text(id.to_string().into()))
    }

    /// Calls what answers with nothing.
    async fn run(&self, request: &RequestContext, call: &Call) -> Result<(), StoreError> {
        self.pool.call(request, call).await?;
        Ok(())
    }

    async fn insert(
        &self,
        request: &RequestContext,
        id: SessionId,
        item: &Item,
        flags: i64,
    ) -> Result<Inserted, StoreError> {
        let call = self
            .call_for("InsertItem", id)
            .input("item", Value::Bytes(self.encode(item)))
            .input("timeout", Value::Int(item.timeout().0.into()))
            .input("flags", Value::Int(flags));
        match self.pool.call(request, &call).await {
            Ok(_) => {
                self.guests.came(id, self.application);
                Ok(Inserted::Yes)
            }
            Err(error) if error.is_duplicate_key() => Ok(Inserted::WasThere),
            Err(error) => Err(error.into()),
        }
    }

    async fn remove(
        &self,
        request: &RequestContext,
        id: SessionId,
        cookie: Value,
    ) -> Result<(), StoreError> {
        let call = self.call_for("RemoveItem", id).input("lockCookie", cookie);
        self.run(request, &call).await
    }

    fn encode(&self, item: &Item) -> Vec<u8> {
        if self.compressed {
            item.encode_compressed()
        } else {
            item.encode()
        }
    }

    fn decode(&self, reply: &Reply) -> Result<Item, DecodeError> {
        let bytes = reply.bytes().unwrap_or_default();
        if self.compressed {
            Item::decode_compressed(bytes)
        } else {
            Item::decode(bytes)
        }
    }

    /// What a get answered; `lock` is the one that was asked for.
    fn answer(
        &self,
        request: &RequestContext,
        reply: &Reply,
        lock: Option<LockId>,
    ) -> Result<GetItem, StoreError> {
        if reply.int("locked") != 0 {
            let taken = reply.time("lockTimestamp").unwrap_or_else(clock::utc);
            return Ok(GetItem::Locked {
                age: (clock::utc().since_epoch()).saturating_sub(taken.since_epoch()),
                lock: LockId::Text(reply.text("lockCookie").unwrap_or_default()),
            });
        }
        if reply.returned != 1 {
            return Ok(GetItem::Missing);
        }
        let item = self.decode(reply).map_err(|error| {
            request.undecodable.set(request.undecodable.get() + 1);
            StoreError::Undecodable(error.to_string())
        })?;
        let actions = match reply.int("flags") & UNINITIALISED {
            0 => Actions::None,
            _ => Actions::InitializeItem,
        };
        Ok(GetItem::Found(Found {
            item,
            lock,
            actions,
        }))
    }
}

/// Whether a session was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Inserted {
    Yes,
    WasThere,
}

/// A lock cookie that nobody else has: a GUID in 32 lower-case hex digits.
fn new_cookie() -> Rc<str> {
    Uuid::new_v4().simple().to_string().into()
}

/// A lock as the procedures take it; NULL matches no row.
fn cookie(lock: Option<&LockId>) -> Value {
    match lock {
        Some(LockId::Text(cookie)) => Value::Text(Rc::clone(cookie)),
        Some(LockId::Cookie(_)) | None => Value::Null(Kind::Text),
    }
}

#[async_trait(?Send)]
impl SessionStateStore for SitecoreStore {
    fn set_item_expire_callback(&self, callback: Rc<dyn ExpireCallback>) -> bool {
        let polling = Polling {
            period: self.period,
            processing: Processing::Serial,
            remove_after_end: true,
        };
        let poller = Poller::start(
            Rc::clone(&self.sessions),
            Rc::clone(&callback),
            polling,
            Rc::clone(&self.work),
        );
        *self.poller.borrow_mut() = Some(Rc::new(poller));
        *self.callback.borrow_mut() = Some(callback);
        true
    }

    async fn get_item(
        &self,
        request: &RequestContext,
        id: SessionId,
    ) -> Result<GetItem, StoreError> {
        let call = (self.sessions.call_for("GetItem", id))
            .output("locked", Kind::Bit)
            .output("lockTimestamp", Kind::Time)
            .output("lockCookie", Kind::Text)
            .output("flags", Kind::Int);
        let reply = self.sessions.pool.call(request, &call).await?;
        self.sessions.answer(request, &reply, None)
    }

    async fn get_item_exclusive(
        &self,
        request: &RequestContext,
        id: SessionId,
    ) -> Result<GetItem, StoreError> {
        let cookie = new_cookie();
        let call = (self.sessions.call_for("GetItemExclusive", id))
            .output("locked", Kind::Bit)
            .output("lockTimestamp", Kind::Time)
            .in_out("lockCookie", Value::Text(Rc::clone(&cookie)))
            .output("flags", Kind::Int);
        let reply = self.sessions.pool.call(request, &call).await?;
        self.sessions
            .answer(request, &reply, Some(LockId::Text(cookie)))
    }

    /// A session that is there already is left as it is, and the new one lost, as with Sitecore's
    /// patch (facts §9.2).
    async fn set_and_release_item_exclusive(
        &self,
        request: &RequestContext,
        id: SessionId,
        item: &Item,
        lock: Option<&LockId>,
        new_item: bool,
    ) -> Result<(), StoreError> {
        if new_item {
            if self.sessions.insert(request, id, item, 0).await? == Inserted::WasThere {
                request.swallowed.set(request.swallowed.get() + 1);
            }
            return Ok(());
        }
        let call = (self.sessions.call_for("SetAndReleaseItem", id))
            .input("lockCookie", cookie(lock))
            .input("flags", Value::Int(0))
            .input("timeout", Value::Int(item.timeout().0.into()))
            .input("item", Value::Bytes(self.sessions.encode(item)));
        self.sessions.run(request, &call).await
    }

    async fn release_item_exclusive(
        &self,
        request: &RequestContext,
        id: SessionId,
        lock: &LockId,
    ) -> Result<(), StoreError> {
        let call = self
            .sessions
            .call_for("ReleaseItem", id)
            .input("lockCookie", cookie(Some(lock)));
        self.sessions.run(request, &call).await
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
        self.sessions.remove(request, id, cookie(lock)).await
    }

    async fn reset_item_timeout(
        &self,
        request: &RequestContext,
        id: SessionId,
    ) -> Result<(), StoreError> {
        let call = self.sessions.call_for("ResetItemTimeout", id);
        self.sessions.run(request, &call).await
    }

    async fn create_uninitialized_item(
        &self,
        request: &RequestContext,
        id: SessionId,
        timeout: Minutes,
    ) -> Result<(), StoreError> {
        let item = Item::new(timeout);
        let inserting = self.sessions.insert(request, id, &item, UNINITIALISED);
        inserting.await.map(drop)
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

/// A poller's claim locks the session as a request would, and its time is the web server's.
#[async_trait(?Send)]
impl ExpiredSessions for Sessions {
    type Signal = Utc;

    async fn claim(&self, signal: &mut Option<Utc>) -> Result<Option<Claimed>, StoreError> {
        let signal = *signal.get_or_insert_with(clock::utc);
        let cookie = new_cookie();
        let call = self
            .call("GetExpiredItemExclusive")
            .output("id", Kind::Text)
            .input("lockTimestamp", Value::Time(signal))
            .input("lockCookie", Value::Text(Rc::clone(&cookie)));
        let reply = self.pool.call(&RequestContext::default(), &call).await?;
        let Some(id) = reply.text("id").filter(|_| reply.returned == 1) else {
            return Ok(None);
        };
        let undecodable = |why: String| {
            self.work.borrow_mut().undecodable += 1;
            StoreError::Undecodable(why)
        };
        let id = SessionId::parse(&id).ok_or_else(|| undecodable("a foreign id".to_owned()))?;
        let item = self.decode(&reply);
        let item = item.map_err(|error| undecodable(error.to_string()))?;
        Ok(Some(Claimed { id, item, cookie }))
    }

    async fn remove(&self, claimed: &Claimed) -> Result<(), StoreError> {
        let cookie = Value::Text(Rc::clone(&claimed.cookie));
        Self::remove(self, &RequestContext::default(), claimed.id, cookie).await?;
        self.guests.left(claimed.id);
        Ok(())
    }
}

/// Sessions that a run left in a database which is not ours, so that it can remove them through the
/// procedures alone: the columns of a genuine database are unknown.
#[derive(Default)]
pub struct Guests(RefCell<HashMap<SessionId, Uuid>>);

impl Guests {
    fn came(&self, id: SessionId, application: Uuid) {
        self.0.borrow_mut().insert(id, application);
    }

    fn left(&self, id: SessionId) {
        self.0.borrow_mut().remove(&id);
    }

    /// Takes each session's lock, by force if need be, and removes it.
    ///
    /// # Errors
    /// The database cannot be asked.
    pub async fn remove_all(&self, pool: &Pool) -> Result<(), StoreError> {
        let request = RequestContext::default();
        let guests: Vec<_> = self.0.borrow_mut().drain().collect();
        for (id, application) in guests {
            let call = |procedure| {
                Call::new(procedure)
                    .input("application", Value::Guid(application))
                    .input("id", Value::Text(id.to_string().into()))
            };
            let proposed: Rc<str> = new_cookie();
            let taking = call("GetItemExclusive")
                .output("locked", Kind::Bit)
                .output("lockTimestamp", Kind::Time)
                .in_out("lockCookie", Value::Text(Rc::clone(&proposed)))
                .output("flags", Kind::Int);
            let reply = pool.call(&request, &taking).await?;
            // Whoever holds the lock is gone: its cookie removes the session as well.
            let cookie = match reply.int("locked") {
                0 => proposed,
                _ => reply.text("lockCookie").unwrap_or_default(),
            };
            let removing = call("RemoveItem").input("lockCookie", Value::Text(cookie));
            pool.call(&request, &removing).await?;
        }
        Ok(())
    }
}
