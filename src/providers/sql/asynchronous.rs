//! Microsoft's SqlSessionStateProviderAsync (facts §7.3): ASP.NET's contract over nine procedures.
//!
//! In: operations of the request module. Out: one procedure call each, again after a while when the
//! database broke off, and now and then a purge (`rows`).
//!
//! The surprising facts: no procedure looks at a session's deadline, so one whose time has passed is
//! served, and lives on, until somebody deletes it; a write needs the cookie of its lock but not the
//! lock, so that between a steal and the next taking the late write still counts (facts §5.3).

use super::call::{Call, Kind, Reply, Value};
use super::error::SqlError;
use super::pool::Pool;
use super::rows::{Purge, Rows};
use super::schema::Schema;
use super::settings::SqlAsync;
use crate::clock;
use crate::session::{
    Actions, ExpireCallback, Found, GetItem, Item, LockId, Minutes, RequestContext, SessionId,
    SessionStateStore, StoreError,
};
use async_trait::async_trait;
use std::rc::Rc;
use std::time::Duration;

/// Table and procedures of the provider with `repositoryType="SqlServer"`; parameters are genuine.
pub const SCHEMA: Schema = Schema {
    tables: &[SqlAsync::TABLE],
    procedures: &[
        ("GetStateItemExclusive", GET),
        ("GetStateItem", GET),
        ("InsertStateItem", INSERT),
        ("InsertUninitializedItem", INSERT),
        (
            "UpdateStateItem",
            &["SessionId", "LockCookie", "Timeout", "SessionItemLong"],
        ),
        ("ReleaseItemExclusive", &["SessionId", "LockCookie"]),
        ("RemoveStateItem", &["SessionId", "LockCookie"]),
        ("ResetItemTimeout", &["SessionId"]),
        ("DeleteExpiredSessionState", &[]),
    ],
    postgres: include_str!("scripts/async.postgres.sql"),
    sql_server: include_str!("scripts/async.mssql.sql"),
};

const GET: &[&str] = &[
    "SessionId",
    "Locked",
    "LockAge",
    "LockCookie",
    "ActionFlags",
];
const INSERT: &[&str] = &["SessionId", "Timeout", "SessionItemLong"];

/// An older lock is taken for nonsense.
const OLDEST_LOCK: Duration = Duration::from_secs(365 * 86_400);

/// One instance of the provider.
pub struct AsyncStore {
    pool: Rc<Pool>,
    rows: Rows,
    settings: SqlAsync,
    purge: Rc<Purge>,
}

impl AsyncStore {
    /// An instance on a pool of its own.
    pub fn new(pool: Pool, rows: Rows, settings: &SqlAsync, purge: Rc<Purge>) -> Self {
        Self {
            pool: Rc::new(pool),
            rows,
            settings: settings.clone(),
            purge,
        }
    }

    fn call_for(&self, procedure: &'static str, id: SessionId) -> Call {
        Call::new(procedure).input("SessionId", self.rows.id(id))
    }

    /// Calls a procedure, again after `retryInterval` when the database broke off or took too long.
    async fn run(&self, request: &RequestContext, call: &Call) -> Result<Reply, SqlError> {
        let interval = Duration::from_millis(self.settings.retryInterval.into());
        let mut left = match self.settings.retryInterval {
            0 => 0,
            _ => self.settings.maxRetryNumber,
        };
        loop {
            match self.pool.call(request, call).await {
                Err(error) if error.is_fatal() && left > 0 && !self.pool.is_shut() => {
                    left -= 1;
                    request.retries.set(request.retries.get() + 1);
                    clock::sleep(interval).await;
                }
                result => return result,
            }
        }
    }

    async fn get(
        &self,
        request: &RequestContext,
        id: SessionId,
        procedure: &'static str,
    ) -> Result<(Reply, LockId), StoreError> {
        let call = (self.call_for(procedure, id))
            .output("Locked", Kind::Bit)
            .output("LockAge", Kind::Int)
            .output("LockCookie", Kind::Int)
            .output("ActionFlags", Kind::Int);
        let reply = self.run(request, &call).await?;
        let lock = LockId::Cookie(u64::try_from(reply.int("LockCookie")).unwrap_or_default());
        Ok((reply, lock))
    }

    /// What a get answered; `taken` is the lock that it took.
    fn answer(
        &self,
        request: &RequestContext,
        reply: &Reply,
        holder: LockId,
        taken: Option<LockId>,
    ) -> Result<GetItem, StoreError> {
        if reply.get("Locked").is_none() {
            return Ok(GetItem::Missing);
        }
        if reply.int("Locked") != 0 {
            let seconds = u64::try_from(reply.int("LockAge")).unwrap_or_default();
            let age = Duration::from_secs(seconds);
            return Ok(GetItem::Locked {
                age: if age > OLDEST_LOCK {
                    Duration::ZERO
                } else {
                    age
                },
                lock: holder,
            });
        }
        let bytes = reply.bytes().unwrap_or_default();
        let decoded = if self.settings.compressionEnabled {
            Item::decode_compressed(bytes)
        } else {
            Item::decode(bytes)
        };
        let item = decoded.map_err(|error| {
            request.undecodable.set(request.undecodable.get() + 1);
            StoreError::Undecodable(error.to_string())
        })?;
        Ok(GetItem::Found(Found {
            item,
            lock: taken,
            actions: match reply.int("ActionFlags") {
                0 => Actions::None,
                _ => Actions::InitializeItem,
            },
        }))
    }

    fn encode(&self, item: &Item) -> Value {
        Value::Bytes(if self.settings.compressionEnabled {
            item.encode_compressed()
        } else {
            item.encode()
        })
    }

    /// Inserts a session. One that is there stays as it is, and the new one is lost; returns whether.
    async fn insert(
        &self,
        request: &RequestContext,
        id: SessionId,
        procedure: &'static str,
        item: &Item,
    ) -> Result<bool, StoreError> {
        let call = (self.call_for(procedure, id))
            .input("Timeout", Value::Int(item.timeout().0.into()))
            .input("SessionItemLong", self.encode(item));
        match self.run(request, &call).await {
            Ok(_) => {
                self.rows.came(id);
                Ok(false)
            }
            Err(error) if error.is_duplicate_key() => Ok(true),
            Err(error) => Err(error.into()),
        }
    }
}

/// A lock as the procedures take it; NULL matches no row.
fn cookie(lock: Option<&LockId>) -> Value {
    match lock {
        Some(LockId::Cookie(cookie)) => {
            i64::try_from(*cookie).map_or(Value::Null(Kind::Int), Value::Int)
        }
        Some(LockId::Text(_)) | None => Value::Null(Kind::Int),
    }
}

#[async_trait(?Send)]
impl SessionStateStore for AsyncStore {
    fn set_item_expire_callback(&self, _callback: Rc<dyn ExpireCallback>) -> bool {
        false
    }

    async fn get_item(
        &self,
        request: &RequestContext,
        id: SessionId,
    ) -> Result<GetItem, StoreError> {
        let (reply, holder) = self.get(request, id, "GetStateItem").await?;
        self.answer(request, &reply, holder, None)
    }

    async fn get_item_exclusive(
        &self,
        request: &RequestContext,
        id: SessionId,
    ) -> Result<GetItem, StoreError> {
        let (reply, holder) = self.get(request, id, "GetStateItemExclusive").await?;
        self.answer(request, &reply, holder.clone(), Some(holder))
    }

    async fn set_and_release_item_exclusive(
        &self,
        request: &RequestContext,
        id: SessionId,
        item: &Item,
        lock: Option<&LockId>,
        new_item: bool,
    ) -> Result<(), StoreError> {
        if new_item {
            if self.insert(request, id, "InsertStateItem", item).await? {
                request.swallowed.set(request.swallowed.get() + 1);
            }
            return Ok(());
        }
        let call = (self.call_for("UpdateStateItem", id))
            .input("LockCookie", cookie(lock))
            .input("Timeout", Value::Int(item.timeout().0.into()))
            .input("SessionItemLong", self.encode(item));
        self.run(request, &call).await?;
        Ok(())
    }

    async fn release_item_exclusive(
        &self,
        request: &RequestContext,
        id: SessionId,
        lock: &LockId,
    ) -> Result<(), StoreError> {
        let call = self
            .call_for("ReleaseItemExclusive", id)
            .input("LockCookie", cookie(Some(lock)));
        self.run(request, &call).await?;
        Ok(())
    }

    async fn remove_item(
        &self,
        request: &RequestContext,
        id: SessionId,
        lock: Option<&LockId>,
        _item: &Item,
    ) -> Result<(), StoreError> {
        let call = self
            .call_for("RemoveStateItem", id)
            .input("LockCookie", cookie(lock));
        self.run(request, &call).await?;
        Ok(())
    }

    async fn reset_item_timeout(
        &self,
        request: &RequestContext,
        id: SessionId,
    ) -> Result<(), StoreError> {
        if !self.settings.skipKeepAliveWhenUnused {
            let call = self.call_for("ResetItemTimeout", id);
            self.run(request, &call).await?;
        }
        Ok(())
    }

    async fn create_uninitialized_item(
        &self,
        request: &RequestContext,
        id: SessionId,
        timeout: Minutes,
    ) -> Result<(), StoreError> {
        let item = Item::new(timeout);
        let inserting = self.insert(request, id, "InsertUninitializedItem", &item);
        inserting.await.map(drop)
    }

    async fn end_request(&self, _request: &RequestContext) -> Result<(), StoreError> {
        self.purge.at_the_end_of_a_request(|| {
            let pool = Rc::clone(&self.pool);
            Box::pin(async move {
                let call = Call::new("DeleteExpiredSessionState");
                pool.call(&RequestContext::default(), &call).await?;
                Ok(())
            })
        });
        Ok(())
    }

    async fn dispose(&self) {
        self.purge.stop();
    }
}
