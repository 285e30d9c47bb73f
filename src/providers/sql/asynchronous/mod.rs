//! Microsoft's SqlSessionStateProviderAsync (facts §7.3): ASP.NET's contract over stored procedures.
//!
//! In: operations of the request module. Out: one procedure call each (`repository` knows which), again
//! after a while when the database broke off, and now and then a purge (`rows`).
//!
//! The surprising facts: no procedure looks at a session's deadline, so one whose time has passed is
//! served, and lives on, until somebody deletes it; a write needs the cookie of its lock but not the
//! lock, so that between a steal and the next taking the late write still counts (facts §5.3).

pub mod repository;

use self::repository::Repository;
use super::call::{Call, Kind, Reply, Value};
use super::error::SqlError;
use super::pool::Pool;
use super::rows::{Purge, Rows};
use super::settings::SqlAsync;
use crate::clock;
use crate::session::item::DecodeError;
use crate::session::{
    Actions, ExpireCallback, Found, GetItem, Item, LockId, Minutes, RequestContext, SessionId,
    SessionStateStore, StoreError,
};
use async_trait::async_trait;
use std::rc::Rc;
use std::time::Duration;

/// An older lock is taken for nonsense.
const OLDEST_LOCK: Duration = Duration::from_secs(365 * 86_400);

/// One instance of the provider.
pub struct AsyncStore {
    pool: Rc<Pool>,
    rows: Rows,
    repository: Repository,
    settings: SqlAsync,
    purge: Rc<Purge>,
}

impl AsyncStore {
    /// An instance on a pool of its own.
    pub fn new(pool: Pool, rows: Rows, settings: &SqlAsync, purge: Rc<Purge>) -> Self {
        Self {
            pool: Rc::new(pool),
            rows,
            repository: Repository::of(settings),
            settings: settings.clone(),
            purge,
        }
    }

    /// Calls a procedure, again after a while when the database broke off or took too long; with
    /// tables in memory, when somebody else wrote the row meanwhile.
    async fn run(&self, request: &RequestContext, call: &Call) -> Result<Reply, SqlError> {
        let (interval, in_memory) = (self.settings.retry_interval(), self.settings.is_in_memory());
        let mut left = match in_memory || !interval.is_zero() {
            true => self.settings.maxRetryNumber,
            false => 0,
        };
        loop {
            let result = self.pool.call(request, call).await;
            let again = result.as_ref().is_err_and(|error| match in_memory {
                true => error.is_write_conflict(),
                false => error.is_fatal(),
            });
            if !again || left == 0 || self.pool.is_shut() {
                return result;
            }
            left -= 1;
            request.retries.set(request.retries.get() + 1);
            clock::sleep(interval).await;
        }
    }

    async fn get(
        &self,
        request: &RequestContext,
        id: SessionId,
        exclusive: bool,
    ) -> Result<GetItem, StoreError> {
        let call = self.repository.get(self.rows.id(id), exclusive);
        let reply = self.run(request, &call).await?;
        if reply.get("Locked").is_none() {
            return Ok(GetItem::Missing);
        }
        let lock = LockId::Cookie(u64::try_from(reply.int("LockCookie")).unwrap_or_default());
        if reply.int("Locked") != 0 {
            let seconds = u64::try_from(reply.int("LockAge")).unwrap_or_default();
            let age = Duration::from_secs(seconds);
            return Ok(GetItem::Locked {
                age: if age > OLDEST_LOCK {
                    Duration::ZERO
                } else {
                    age
                },
                lock,
            });
        }
        let bytes = reply.bytes().unwrap_or_default();
        let item = self.decode(bytes).map_err(|error| {
            request.undecodable.set(request.undecodable.get() + 1);
            StoreError::Undecodable(error.to_string())
        })?;
        request.read.set(Some((id, bytes.len())));
        Ok(GetItem::Found(Found {
            item,
            lock: exclusive.then_some(lock),
            actions: match reply.int("ActionFlags") {
                0 => Actions::None,
                _ => Actions::InitializeItem,
            },
        }))
    }

    fn decode(&self, bytes: &[u8]) -> Result<Item, DecodeError> {
        match self.settings.compressionEnabled {
            true => Item::decode_compressed(bytes),
            false => Item::decode(bytes),
        }
    }

    fn encode(&self, item: &Item) -> Vec<u8> {
        match self.settings.compressionEnabled {
            true => item.encode_compressed(),
            false => item.encode(),
        }
    }

    /// Inserts a session. One that is there stays as it is, and the new one is lost; returns whether.
    async fn insert(
        &self,
        request: &RequestContext,
        id: SessionId,
        call: &Call,
    ) -> Result<bool, StoreError> {
        match self.run(request, call).await {
            Ok(_) => {
                self.rows.came(id);
                Ok(false)
            }
            Err(error) if error.is_duplicate_key() => Ok(true),
            Err(error) => Err(error.into()),
        }
    }
}

/// A timeout as the procedures take it.
fn minutes(item: &Item) -> Value {
    Value::Int(item.timeout().0.into())
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
        self.get(request, id, false).await
    }

    async fn get_item_exclusive(
        &self,
        request: &RequestContext,
        id: SessionId,
    ) -> Result<GetItem, StoreError> {
        self.get(request, id, true).await
    }

    async fn set_and_release_item_exclusive(
        &self,
        request: &RequestContext,
        id: SessionId,
        item: &Item,
        lock: Option<&LockId>,
        new_item: bool,
    ) -> Result<(), StoreError> {
        let (row, bytes) = (self.rows.id(id), self.encode(item));
        if new_item {
            let call = self.repository.insert(row, bytes, minutes(item));
            if self.insert(request, id, &call).await? {
                request.swallowed.set(request.swallowed.get() + 1);
            }
            return Ok(());
        }
        let read = request.read.get().filter(|(read, _)| *read == id);
        let read = read.map_or(0, |(_, length)| length);
        let call = (self.repository).update(row, cookie(lock), bytes, minutes(item), read);
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
            .repository
            .release(self.rows.id(id), cookie(Some(lock)));
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
        let call = self.repository.remove(self.rows.id(id), cookie(lock));
        self.run(request, &call).await?;
        Ok(())
    }

    async fn reset_item_timeout(
        &self,
        request: &RequestContext,
        id: SessionId,
    ) -> Result<(), StoreError> {
        if !self.settings.skipKeepAliveWhenUnused {
            let call = self.repository.reset(self.rows.id(id));
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
        let (row, bytes) = (self.rows.id(id), self.encode(&item));
        let call = (self.repository).insert_uninitialized(row, bytes, minutes(&item));
        self.insert(request, id, &call).await.map(drop)
    }

    async fn end_request(&self, _request: &RequestContext) -> Result<(), StoreError> {
        self.purge.at_the_end_of_a_request(|| {
            let (pool, call) = (Rc::clone(&self.pool), self.repository.purge());
            Box::pin(async move {
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
