//! Microsoft.AspNet.Providers, the Universal Providers (facts §8), as the nearest public source has it:
//! Entity Framework over one table, without procedures.
//!
//! In: operations of the request module. Out: for each a SELECT of the whole row, and a statement
//! that writes what changed if the row's `LockDate` is still the one that was read; now and then a
//! purge (`rows`). All times are the web server's.
//!
//! The surprising facts: the lock cookie is 0 for everybody, so a holder that was robbed writes over
//! whoever came after it; only the seconds of a lock's age are told, 0 to 59, so nobody is ever robbed
//! by the module; and a write does not prolong a session. A visitor who comes back after the deadline
//! but before a purge finds nothing, and what is written then goes to the expired row and is lost.

use super::call::Value;
use super::connection_string::Dialect;
use super::error::SqlError;
use super::pool::Pool;
use super::rows::{self, Purge, Rows};
use super::schema::{Columns, Naming, Schema};
use crate::clock::{self, Utc};
use crate::session::{
    Actions, ExpireCallback, Found, GetItem, Item, LockId, Minutes, RequestContext, SessionId,
    SessionStateStore, StoreError,
};
use async_trait::async_trait;
use std::borrow::Cow;
use std::fmt::Write as _;
use std::rc::Rc;
use std::time::Duration;

/// The table of the provider.
pub const SCHEMA: Schema = Schema {
    tables: &["Sessions"],
    items: &["SessionItem"],
    procedures: &[],
    postgres: Some(include_str!("scripts/universal.postgres.sql")),
    sql_server: Cow::Borrowed(include_str!("scripts/universal.mssql.sql")),
    naming: Naming::AS_WRITTEN,
    shape: Some(shape),
};

/// Columns that every statement names.
const COLUMNS: [&str; 9] = [
    "SessionId",
    "Created",
    "Expires",
    "LockDate",
    "LockCookie",
    "Locked",
    "SessionItem",
    "Flags",
    "Timeout",
];

fn shape(columns: &Columns) -> Result<(), String> {
    match COLUMNS
        .iter()
        .find(|it| !columns.contains_key(&it.to_lowercase()))
    {
        Some(missing) => Err(format!("another provider's: it has no column {missing}")),
        None => Ok(()),
    }
}

/// Every lock's cookie.
const COOKIE: u64 = 0;
/// Flag of a session whose `Session_Start` is due.
const UNINITIALISED: i64 = 1;
/// A row holds the buffer that a session was serialised into, which begins with this size and
/// doubles, not the session's bytes alone.
const BUFFER: usize = 7000;

/// One instance of the provider.
pub struct UniversalStore {
    pool: Rc<Pool>,
    rows: Rows,
    minute: Duration,
    purge: Rc<Purge>,
}

/// A row as it was read.
struct Row {
    expires: Utc,
    lock_date: Utc,
    locked: bool,
    item: Vec<u8>,
    flags: i64,
    timeout: Minutes,
}

/// A column and its new value.
type Change = (&'static str, Value);

/// The buffer that holds a session.
fn buffer(item: &Item) -> Value {
    let mut bytes = item.encode();
    let mut length = BUFFER;
    while length < bytes.len() {
        length *= 2;
    }
    bytes.resize(length, 0);
    Value::Bytes(bytes)
}

impl UniversalStore {
    /// An instance on a pool of its own, with minutes of this length.
    pub fn new(pool: Pool, rows: Rows, minute: Duration, purge: Rc<Purge>) -> Self {
        Self {
            pool: Rc::new(pool),
            rows,
            minute,
            purge,
        }
    }

    /// Runs a statement: one round trip.
    async fn run(
        &self,
        request: &RequestContext,
        text: &str,
        parameters: &[Value],
    ) -> Result<Vec<Vec<Value>>, SqlError> {
        self.pool
            .run(request, async |connection| {
                rows::query(connection, text, parameters).await
            })
            .await
    }

    /// Reads a row, expired or not.
    async fn find(&self, request: &RequestContext, id: SessionId) -> Result<Option<Row>, SqlError> {
        let text = "SELECT \"Expires\", \"LockDate\", \"Locked\", \"SessionItem\", \"Flags\", \
                    \"Timeout\", \"SessionId\", \"Created\", \"LockCookie\" \
                    FROM \"Sessions\" WHERE \"SessionId\" = $1";
        let found = self.run(request, text, &[self.rows.id(id)]).await?;
        let Some(cells) = found.into_iter().next() else {
            return Ok(None);
        };
        match <[Value; 9]>::try_from(cells) {
            Ok(
                [
                    Value::Time(expires),
                    Value::Time(lock_date),
                    Value::Bit(locked),
                    item,
                    Value::Int(flags),
                    Value::Int(timeout),
                    ..,
                ],
            ) => Ok(Some(Row {
                expires,
                lock_date,
                locked,
                item: match item {
                    Value::Bytes(bytes) => bytes,
                    _ => Vec::new(),
                },
                flags,
                timeout: Minutes(u32::try_from(timeout).unwrap_or_default()),
            })),
            _ => Err(SqlError::Answer("a row of `Sessions`".to_owned())),
        }
    }

    /// Writes what changed in a row, if nobody took its lock meanwhile. Returns whether.
    async fn save(
        &self,
        request: &RequestContext,
        id: SessionId,
        read: Utc,
        changes: Vec<Change>,
    ) -> Result<bool, SqlError> {
        let mut text = "UPDATE \"Sessions\" SET ".to_owned();
        let mut parameters = Vec::with_capacity(changes.len() + 2);
        for (column, value) in changes {
            parameters.push(value);
            let separator = if parameters.len() == 1 { "" } else { ", " };
            // Writing to a string cannot fail.
            let _ = write!(text, "{separator}\"{column}\" = ${}", parameters.len());
        }
        parameters.extend([self.rows.id(id), Value::Time(read)]);
        let (id_at, read_at) = (parameters.len() - 1, parameters.len());
        let _ = write!(
            text,
            " WHERE \"SessionId\" = ${id_at} AND \"LockDate\" = ${read_at}"
        );
        self.changed(request, text, &parameters).await
    }

    /// Runs a statement that changes at most one row. Returns whether it did.
    async fn changed(
        &self,
        request: &RequestContext,
        text: String,
        parameters: &[Value],
    ) -> Result<bool, SqlError> {
        let changed = self
            .pool
            .run(request, async |connection| {
                let text = match connection.dialect() {
                    Dialect::Postgres => text + " RETURNING 1",
                    Dialect::SqlServer => text + "; SELECT 1 WHERE @@ROWCOUNT = 1",
                };
                rows::query(connection, &text, parameters).await
            })
            .await?;
        Ok(!changed.is_empty())
    }

    /// Changes a row, whoever took its lock meanwhile: with each conflict it is read again.
    async fn save_over_others(
        &self,
        request: &RequestContext,
        id: SessionId,
        row: &Row,
        changes: &[Change],
    ) -> Result<(), SqlError> {
        let mut read = row.lock_date;
        if changes.is_empty() {
            return Ok(());
        }
        while !self.save(request, id, read, changes.to_vec()).await? {
            match self.find(request, id).await? {
                Some(row) => read = row.lock_date,
                // The genuine one fails with a null reference.
                None => return Err(SqlError::Answer("the session was deleted".to_owned())),
            }
        }
        Ok(())
    }

    async fn insert(
        &self,
        request: &RequestContext,
        id: SessionId,
        item: &Item,
    ) -> Result<(), SqlError> {
        let now = clock::utc();
        let text = "INSERT INTO \"Sessions\" (\"SessionId\", \"Created\", \"Expires\", \"LockDate\", \
                    \"LockCookie\", \"Locked\", \"SessionItem\", \"Flags\", \"Timeout\") \
                    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        let parameters = [
            self.rows.id(id),
            Value::Time(now),
            Value::Time(self.deadline(now, item.timeout())),
            Value::Time(now),
            Value::Int(0),
            Value::Bit(false),
            buffer(item),
            // Of every new session, also of one that a request has already filled.
            Value::Int(UNINITIALISED),
            Value::Int(item.timeout().0.into()),
        ];
        self.run(request, text, &parameters).await?;
        self.rows.came(id);
        Ok(())
    }

    fn deadline(&self, now: Utc, timeout: Minutes) -> Utc {
        let deadline = now.since_epoch() + timeout.lasting(self.minute);
        // 2^64 ns are more than 500 years.
        Utc::from_nanos(deadline.as_nanos() as u64)
    }

    async fn get(
        &self,
        request: &RequestContext,
        id: SessionId,
        exclusive: bool,
    ) -> Result<GetItem, StoreError> {
        let now = clock::utc();
        let Some(row) = self.find(request, id).await? else {
            return Ok(GetItem::Missing);
        };
        if row.expires <= now {
            return Ok(GetItem::Missing);
        }
        let locked = |age| GetItem::Locked {
            age,
            lock: LockId::Cookie(COOKIE),
        };
        let mut changes: Vec<Change> =
            vec![("Expires", Value::Time(self.deadline(now, row.timeout)))];
        if row.locked {
            let age = now
                .since_epoch()
                .saturating_sub(row.lock_date.since_epoch());
            let seconds = Duration::from_secs(age.as_secs() % 60);
            self.save(request, id, row.lock_date, changes).await?;
            return Ok(locked(seconds));
        }
        if exclusive {
            changes.push(("Locked", Value::Bit(true)));
            changes.push(("LockDate", Value::Time(now)));
        }
        if row.flags != 0 {
            changes.push(("Flags", Value::Int(0)));
        }
        let item = Item::decode(&row.item).map_err(|error| {
            request.undecodable.set(request.undecodable.get() + 1);
            StoreError::Undecodable(error.to_string())
        })?;
        if !self.save(request, id, row.lock_date, changes).await? {
            return Ok(locked(Duration::ZERO));
        }
        Ok(GetItem::Found(Found {
            item,
            lock: exclusive.then_some(LockId::Cookie(COOKIE)),
            actions: match row.flags & UNINITIALISED {
                0 => Actions::None,
                _ => Actions::InitializeItem,
            },
        }))
    }
}

#[async_trait(?Send)]
impl SessionStateStore for UniversalStore {
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

    /// Looks at no lock. A session that expired and is still there is written and stays expired.
    async fn set_and_release_item_exclusive(
        &self,
        request: &RequestContext,
        id: SessionId,
        item: &Item,
        _lock: Option<&LockId>,
        new_item: bool,
    ) -> Result<(), StoreError> {
        let Some(row) = self.find(request, id).await? else {
            if new_item {
                return Ok(self.insert(request, id, item).await?);
            }
            return Err(StoreError::Refused("the session was not found".to_owned()));
        };
        let mut changes = vec![("SessionItem", buffer(item))];
        if row.locked {
            changes.push(("Locked", Value::Bit(false)));
        }
        if row.timeout != item.timeout() {
            changes.push(("Timeout", Value::Int(item.timeout().0.into())));
        }
        Ok(self.save_over_others(request, id, &row, &changes).await?)
    }

    /// Frees the session, whoever holds it.
    async fn release_item_exclusive(
        &self,
        request: &RequestContext,
        id: SessionId,
        _lock: &LockId,
    ) -> Result<(), StoreError> {
        if let Some(row) = self.find(request, id).await?.filter(|row| row.locked) {
            let changes = [("Locked", Value::Bit(false))];
            self.save_over_others(request, id, &row, &changes).await?;
        }
        Ok(())
    }

    async fn remove_item(
        &self,
        request: &RequestContext,
        id: SessionId,
        _lock: Option<&LockId>,
        _item: &Item,
    ) -> Result<(), StoreError> {
        let Some(row) = self.find(request, id).await? else {
            return Ok(());
        };
        let text = "DELETE FROM \"Sessions\" WHERE \"SessionId\" = $1 AND \"LockDate\" = $2";
        let parameters = [self.rows.id(id), Value::Time(row.lock_date)];
        if self.changed(request, text.to_owned(), &parameters).await? {
            return Ok(());
        }
        let why = "somebody took the session's lock while it was removed";
        Err(StoreError::Refused(why.to_owned()))
    }

    async fn reset_item_timeout(
        &self,
        request: &RequestContext,
        id: SessionId,
    ) -> Result<(), StoreError> {
        if let Some(row) = self.find(request, id).await? {
            let deadline = self.deadline(clock::utc(), row.timeout);
            let changes = [("Expires", Value::Time(deadline))];
            self.save_over_others(request, id, &row, &changes).await?;
        }
        Ok(())
    }

    /// Stores nothing where there is a row, even an expired one.
    async fn create_uninitialized_item(
        &self,
        request: &RequestContext,
        id: SessionId,
        timeout: Minutes,
    ) -> Result<(), StoreError> {
        if self.find(request, id).await?.is_none() {
            match self.insert(request, id, &Item::new(timeout)).await {
                Err(error) if !error.is_duplicate_key() => return Err(error.into()),
                _ => {}
            }
        }
        Ok(())
    }

    /// Entity Framework reads the expired rows, whole, and deletes one after the other in one
    /// transaction; it is a single statement here.
    async fn end_request(&self, _request: &RequestContext) -> Result<(), StoreError> {
        self.purge.at_the_end_of_a_request(|| {
            let pool = Rc::clone(&self.pool);
            Box::pin(async move {
                let expired = [Value::Time(clock::utc())];
                let text = "DELETE FROM \"Sessions\" WHERE \"Expires\" < $1";
                pool.run(&RequestContext::default(), async |connection| {
                    rows::query(connection, text, &expired).await
                })
                .await?;
                Ok(())
            })
        });
        Ok(())
    }

    async fn dispose(&self) {
        self.purge.stop();
    }
}
