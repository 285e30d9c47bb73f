//! Where Microsoft's asynchronous provider keeps sessions: tables, procedures and their parameters for
//! each `repositoryType`.
//!
//! In: settings, and what a request wants. Out: the [`Schema`], and one [`Call`] for each operation.
//!
//! The surprising fact: on the tables of aspnet_regsql the provider takes `…LongNullShort` where
//! ASP.NET's own client takes `…Long`, and the other way round. A session that grows beyond 7000 bytes
//! keeps its last short value beside the long one until it is written again (facts §7.3). Nobody reads
//! it, for a long value goes first; it only takes space.

use crate::providers::sql::call::{Call, Kind, Value};
use crate::providers::sql::schema::{Columns, Naming, Schema};
use crate::providers::sql::settings::{RepositoryType, SqlAsync};
use std::borrow::Cow;

/// The longest item that lies in the short column, in bytes (facts §5.1).
pub const SHORT: usize = 7000;

/// The provider's own table (`repositoryType="SqlServer"`); parameters are genuine.
const OWN: Schema = Schema {
    tables: &["ASPNetSessionState"],
    items: &["SessionItemLong"],
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
    postgres: Some(include_str!("../scripts/async.postgres.sql")),
    sql_server: Cow::Borrowed(include_str!("../scripts/async.mssql.sql")),
    naming: Naming::AS_WRITTEN,
    shape: None,
};

const GET: &[&str] = &[
    "SessionId",
    "Locked",
    "LockAge",
    "LockCookie",
    "ActionFlags",
];
const INSERT: &[&str] = &["SessionId", "Timeout", "SessionItemLong"];

/// What aspnet_regsql installs, as far as the provider calls it (facts §5.3); parameters are named as
/// the provider names them.
const COMPAT: Schema = Schema {
    tables: &["ASPStateTempSessions", "ASPStateTempApplications"],
    items: &["SessionItemShort", "SessionItemLong"],
    procedures: &[
        ("TempGetStateItemExclusive3", COMPAT_GET),
        ("TempGetStateItem3", COMPAT_GET),
        ("TempInsertStateItemShort", &["id", "ItemShort", "Timeout"]),
        ("TempInsertStateItemLong", &["id", "ItemLong", "Timeout"]),
        (
            "TempInsertUninitializedItem",
            &["id", "ItemShort", "Timeout"],
        ),
        ("TempUpdateStateItemShort", COMPAT_UPDATE_SHORT),
        ("TempUpdateStateItemShortNullLong", COMPAT_UPDATE_SHORT),
        ("TempUpdateStateItemLong", COMPAT_UPDATE_LONG),
        ("TempUpdateStateItemLongNullShort", COMPAT_UPDATE_LONG),
        ("TempReleaseStateItemExclusive", &["id", "LockCookie"]),
        ("TempRemoveStateItem", &["id", "LockCookie"]),
        ("TempResetTimeout", &["id"]),
        ("DeleteExpiredSessions", &[]),
    ],
    postgres: Some(include_str!("../scripts/async_compat.postgres.sql")),
    sql_server: Cow::Borrowed(include_str!("../scripts/async_compat.mssql.sql")),
    naming: Naming::AS_WRITTEN,
    shape: Some(compat_shape),
};

const COMPAT_GET: &[&str] = &[
    "id",
    "ItemShort",
    "Locked",
    "LockAge",
    "LockCookie",
    "ActionFlags",
];
const COMPAT_UPDATE_SHORT: &[&str] = &["id", "ItemShort", "Timeout", "LockCookie"];
const COMPAT_UPDATE_LONG: &[&str] = &["id", "ItemLong", "Timeout", "LockCookie"];

/// The kinds of session table that the provider tells apart when it starts (public source,
/// `SqlFxCompatSessionStateRepository`). It refuses the last two; of the others we know one.
fn compat_shape(columns: &Columns) -> Result<(), String> {
    let is = |what: &str| Err(what.to_owned());
    if !columns.contains_key("lockdatelocal") {
        return is("one of aspnet_regsql for SQL Server 7, which sessionbench does not know");
    }
    if columns.contains_key("sessionitemshort") {
        return Ok(());
    }
    match columns.get("sessionitemlong").map(String::as_str) {
        Some("image") => is("one of the provider's version 1.1, which sessionbench does not know"),
        Some("varbinary" | "bytea") => {
            is("the provider's own: use `repositoryType: SqlServer`, or `InMemory`")
        }
        _ => is("not one of aspnet_regsql"),
    }
}

/// Tables and procedures of a provider block.
#[derive(Debug, Clone)]
pub struct Repository {
    compat: bool,
    schema: Schema,
}

impl Repository {
    /// Those of these settings.
    #[must_use]
    pub fn of(settings: &SqlAsync) -> Self {
        let named = settings.sessionTableName.as_deref();
        let (schema, suffix) = match settings.repositoryType {
            RepositoryType::FrameworkCompat => (COMPAT, ""),
            RepositoryType::SqlServer => (OWN, ""),
            RepositoryType::InMemory => (in_memory("SCHEMA_ONLY"), "M"),
            RepositoryType::InMemoryDurable => (in_memory("SCHEMA_AND_DATA"), "MD"),
        };
        let compat = settings.repositoryType == RepositoryType::FrameworkCompat;
        let naming = Naming {
            table: Cow::Owned(settings.table().to_owned()),
            // A table of another name has procedures of its own, but for those of aspnet_regsql.
            prefix: match named {
                Some(table) if !compat => Cow::Owned(format!("{table}_")),
                _ => Cow::Borrowed(""),
            },
            suffix: if named.is_some() { "" } else { suffix },
        };
        Self {
            compat,
            schema: Schema { naming, ..schema },
        }
    }

    /// Tables and procedures.
    #[must_use]
    pub const fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Reads a session; `exclusive` takes its lock.
    pub fn get(&self, id: Value, exclusive: bool) -> Call {
        let call = match (exclusive, self.compat) {
            (true, true) => self.call("TempGetStateItemExclusive3", id),
            (true, false) => self.call("GetStateItemExclusive", id),
            (false, true) => self.call("TempGetStateItem3", id),
            (false, false) => self.call("GetStateItem", id),
        };
        let call = match self.compat {
            true => call.output("ItemShort", Kind::Bytes),
            false => call,
        };
        call.output("Locked", Kind::Bit)
            .output("LockAge", Kind::Int)
            .output("LockCookie", Kind::Int)
            .output("ActionFlags", Kind::Int)
    }

    /// Inserts a session.
    pub fn insert(&self, id: Value, item: Vec<u8>, timeout: Value) -> Call {
        let procedure = match (self.compat, is_short(item.len())) {
            (false, _) => "InsertStateItem",
            (true, true) => "TempInsertStateItemShort",
            (true, false) => "TempInsertStateItemLong",
        };
        self.carrying(self.call(procedure, id), item)
            .input("Timeout", timeout)
    }

    /// Inserts a session whose start is due. It is short.
    pub fn insert_uninitialized(&self, id: Value, item: Vec<u8>, timeout: Value) -> Call {
        let procedure = match self.compat {
            true => "TempInsertUninitializedItem",
            false => "InsertUninitializedItem",
        };
        self.carrying(self.call(procedure, id), item)
            .input("Timeout", timeout)
    }

    /// Writes a session and releases its lock. `read` is the length in bytes of what the request read
    /// before; 0 when it read nothing.
    pub fn update(
        &self,
        id: Value,
        lock: Value,
        item: Vec<u8>,
        timeout: Value,
        read: usize,
    ) -> Call {
        let procedure = match (self.compat, is_short(item.len()), is_short(read)) {
            (false, ..) => "UpdateStateItem",
            (true, true, true) => "TempUpdateStateItemShort",
            (true, true, false) => "TempUpdateStateItemShortNullLong",
            (true, false, true) => "TempUpdateStateItemLong",
            (true, false, false) => "TempUpdateStateItemLongNullShort",
        };
        self.carrying(self.call(procedure, id), item)
            .input("Timeout", timeout)
            .input("LockCookie", lock)
    }

    /// Releases a lock.
    pub fn release(&self, id: Value, lock: Value) -> Call {
        let procedure = match self.compat {
            true => "TempReleaseStateItemExclusive",
            false => "ReleaseItemExclusive",
        };
        self.call(procedure, id).input("LockCookie", lock)
    }

    /// Removes a session.
    pub fn remove(&self, id: Value, lock: Value) -> Call {
        let procedure = match self.compat {
            true => "TempRemoveStateItem",
            false => "RemoveStateItem",
        };
        self.call(procedure, id).input("LockCookie", lock)
    }

    /// Keeps a session alive.
    pub fn reset(&self, id: Value) -> Call {
        let procedure = match self.compat {
            true => "TempResetTimeout",
            false => "ResetItemTimeout",
        };
        self.call(procedure, id)
    }

    /// Deletes expired sessions.
    pub fn purge(&self) -> Call {
        Call::new(self.schema.naming.procedure(match self.compat {
            true => "DeleteExpiredSessions",
            false => "DeleteExpiredSessionState",
        }))
    }

    fn call(&self, procedure: &'static str, id: Value) -> Call {
        let parameter = if self.compat { "id" } else { "SessionId" };
        Call::new(self.schema.naming.procedure(procedure)).input(parameter, id)
    }

    fn carrying(&self, call: Call, item: Vec<u8>) -> Call {
        let parameter = match (self.compat, is_short(item.len())) {
            (false, _) => "SessionItemLong",
            (true, true) => "ItemShort",
            (true, false) => "ItemLong",
        };
        call.input(parameter, Value::Bytes(item))
    }
}

/// Memory-optimised tables of this durability, which SQL Server alone has.
fn in_memory(durability: &str) -> Schema {
    let script = include_str!("../scripts/async_memory.mssql.sql");
    Schema {
        postgres: None,
        sql_server: Cow::Owned(script.replace("SCHEMA_ONLY", durability)),
        ..OWN
    }
}

const fn is_short(length: usize) -> bool {
    length <= SHORT
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository(kind: RepositoryType, table: Option<&str>) -> Repository {
        Repository::of(&SqlAsync {
            repositoryType: kind,
            sessionTableName: table.map(str::to_owned),
            ..SqlAsync::default()
        })
    }

    fn names(repository: &Repository) -> (String, String) {
        let table = repository.schema().session_table().to_owned();
        (table, repository.purge().procedure.into_owned())
    }

    #[test]
    fn tables_and_procedures_have_their_genuine_names() {
        use RepositoryType::{FrameworkCompat, InMemory, InMemoryDurable, SqlServer};
        for (kind, named, table, purge) in [
            (
                FrameworkCompat,
                None,
                "ASPStateTempSessions",
                "DeleteExpiredSessions",
            ),
            (
                FrameworkCompat,
                Some("mine"),
                "mine",
                "DeleteExpiredSessions",
            ),
            (
                SqlServer,
                None,
                "ASPNetSessionState",
                "DeleteExpiredSessionState",
            ),
            (
                SqlServer,
                Some("mine"),
                "mine",
                "mine_DeleteExpiredSessionState",
            ),
            (
                InMemory,
                None,
                "ASPNetSessionState_InMem",
                "DeleteExpiredSessionStateM",
            ),
            (
                InMemoryDurable,
                None,
                "ASPNetSessionState_InMemDurable",
                "DeleteExpiredSessionStateMD",
            ),
            (
                InMemoryDurable,
                Some("mine"),
                "mine",
                "mine_DeleteExpiredSessionState",
            ),
        ] {
            let found = names(&repository(kind, named));
            assert_eq!(found, (table.to_owned(), purge.to_owned()));
        }
    }

    #[test]
    fn a_session_that_grows_keeps_its_short_value_and_one_that_was_long_loses_it() {
        let compat = repository(RepositoryType::FrameworkCompat, None);
        let written = |read, length| {
            let (id, lock) = (Value::Null(Kind::Text), Value::Int(1));
            let call = compat.update(id, lock, vec![0; length], Value::Int(20), read);
            call.procedure.into_owned()
        };
        assert_eq!(written(7000, 7000), "TempUpdateStateItemShort");
        assert_eq!(written(7001, 7000), "TempUpdateStateItemShortNullLong");
        assert_eq!(written(7000, 7001), "TempUpdateStateItemLong");
        assert_eq!(written(7001, 7001), "TempUpdateStateItemLongNullShort");
    }

    #[test]
    fn a_table_that_the_provider_refuses_is_told_from_one_of_aspnet_regsql() {
        let shape = |columns: &[(&str, &str)]| {
            let columns = columns.iter();
            compat_shape(
                &columns
                    .map(|(name, kind)| ((*name).into(), (*kind).into()))
                    .collect(),
            )
        };
        let local = ("lockdatelocal", "datetime");
        let short = ("sessionitemshort", "varbinary");
        assert_eq!(shape(&[local, short, ("sessionitemlong", "image")]), Ok(()));
        let told = |columns: &[_]| shape(columns).unwrap_err();
        assert!(told(&[short]).contains("SQL Server 7"));
        assert!(told(&[local, ("sessionitemlong", "image")]).contains("version 1.1"));
        let own = told(&[local, ("sessionitemlong", "varbinary")]);
        assert!(own.contains("`repositoryType: SqlServer`"), "{own}");
        assert!(told(&[local]).contains("not one of aspnet_regsql"));
    }
}
