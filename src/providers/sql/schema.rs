//! Tables and procedures of a SQL provider: created, looked for, and dropped.
//!
//! In: a provider's [`Schema`] and a connection. Out: a database that can be used, or why it cannot.
//! What we create carries a mark, and nothing without it is ever replaced or dropped.
//!
//! The surprising fact: the store adds a session's minutes to its own clock, so with `time.scale` the
//! scripts must be written for a shorter minute. They stand in their files with a whole one.

use super::call::Value;
use super::connection_string::Dialect;
use super::error::SqlError;
use super::pool::Connection;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

/// The mark of what we made: a comment in PostgreSQL, an extended property in SQL Server.
const MARK: &str = "made by sessionbench";
/// Name of the extended property.
const PROPERTY: &str = "sessionbench";

/// The genuine minute.
pub const MINUTE: Duration = Duration::from_secs(60);

/// Tables and procedures of a provider.
#[derive(Debug, Clone)]
pub struct Schema {
    /// Tables, as the scripts name them; that of the sessions first.
    pub tables: &'static [&'static str],
    /// Columns of the first table that hold sessions.
    pub items: &'static [&'static str],
    /// Procedures, as the scripts name them, with their genuine parameters, without `@`.
    pub procedures: &'static [(&'static str, &'static [&'static str])],
    /// Script that creates all of it in PostgreSQL; `None` of memory-optimised tables, which SQL Server
    /// alone has.
    pub postgres: Option<&'static str>,
    /// Script that creates all of it in SQL Server.
    pub sql_server: Cow<'static, str>,
    /// What they are called here.
    pub naming: Naming,
    /// What the first table must be like, where the provider itself looks.
    pub shape: Option<Shape>,
}

/// Names of a table's columns in small letters, and their types.
pub type Columns = BTreeMap<String, String>;
/// Says what a table is that the provider cannot use.
pub type Shape = fn(&Columns) -> Result<(), String>;

/// What tables and procedures are called, where not as in the scripts.
#[derive(Debug, Clone)]
pub struct Naming {
    /// The first table; empty as in the scripts.
    pub table: Cow<'static, str>,
    /// What every procedure's name begins with.
    pub prefix: Cow<'static, str>,
    /// What it ends with.
    pub suffix: &'static str,
}

impl Naming {
    /// As the scripts have them.
    pub const AS_WRITTEN: Self = Self {
        table: Cow::Borrowed(""),
        prefix: Cow::Borrowed(""),
        suffix: "",
    };

    /// A procedure's name.
    #[must_use]
    pub fn procedure(&self, written: &'static str) -> Cow<'static, str> {
        if self.prefix.is_empty() && self.suffix.is_empty() {
            return Cow::Borrowed(written);
        }
        Cow::Owned(format!("{}{written}{}", self.prefix, self.suffix))
    }
}

/// Why a database cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// Names are taken by what is not ours.
    #[error(
        "the database already has {}, which sessionbench did not make: name an empty database, \
         or use what is there with `schema: existing`", .0.join(", ")
    )]
    Taken(Vec<String>),
    /// Another run, or another provider block of this one, uses the database.
    #[error("sessionbench uses this database already, in another run or by another provider block")]
    InUse,
    /// Procedures are missing.
    #[error(
        "the database has no procedure {}, or its user may not see it: name a session database, \
         or have sessionbench create one with `schema: create`", .0.join(", ")
    )]
    Missing(Vec<String>),
    /// The table is missing, of a provider without procedures.
    #[error(
        "the database has no table {}, or its user may not see it: name a session database, \
         or have sessionbench create one with `schema: create`", .0.join(", ")
    )]
    MissingTable(Vec<String>),
    /// A procedure is another than the one of this name.
    #[error(
        "the procedure {procedure} has no parameter `{parameter}` here: it is another provider's"
    )]
    Parameter {
        /// The procedure.
        procedure: String,
        /// What it lacks.
        parameter: String,
    },
    /// The session table is another than the provider's.
    #[error("the table {table} is {what}")]
    Shape {
        /// The table.
        table: String,
        /// What it is.
        what: String,
    },
    /// PostgreSQL has nothing of the kind.
    #[error(
        "PostgreSQL has no memory-optimised tables: name a SQL Server, or another `repositoryType`"
    )]
    NotInPostgres,
    /// PostgreSQL would cut a name.
    #[error("the name {0} is longer than the 63 bytes that PostgreSQL keeps")]
    LongName(String),
    /// A procedure may not be called.
    #[error("the user may not execute {0}: grant EXECUTE on the session procedures")]
    Denied(String),
    /// The database cannot be asked.
    #[error(transparent)]
    Sql(#[from] SqlError),
}

impl Schema {
    /// The table of the sessions.
    #[must_use]
    pub fn session_table(&self) -> &str {
        match &*self.naming.table {
            "" => self.tables[0],
            table => table,
        }
    }

    /// Whether its tables are memory-optimised.
    #[must_use]
    pub const fn is_in_memory(&self) -> bool {
        self.postgres.is_none()
    }

    /// The tables.
    pub(super) fn tables(&self) -> impl Iterator<Item = &str> {
        let others = self.tables.iter().skip(1).copied();
        std::iter::once(self.session_table()).chain(others)
    }

    /// The procedures, with their parameters.
    pub(super) fn procedures(
        &self,
    ) -> impl Iterator<Item = (Cow<'static, str>, &'static [&'static str])> {
        let procedures = self.procedures.iter();
        procedures.map(|(name, parameters)| (self.naming.procedure(name), *parameters))
    }

    /// Makes sure that there may be such tables in a database of this kind.
    ///
    /// # Errors
    /// [`SchemaError::NotInPostgres`], [`SchemaError::LongName`].
    pub fn check_dialect(&self, dialect: Dialect) -> Result<(), SchemaError> {
        /// `NAMEDATALEN`, without the zero at the end.
        const LONGEST: usize = 63;
        if dialect == Dialect::SqlServer {
            return Ok(());
        }
        if self.is_in_memory() {
            return Err(SchemaError::NotInPostgres);
        }
        let names = self.procedures().map(|(name, _)| name);
        match names.max_by_key(|name| name.len()) {
            Some(name) if name.len() > LONGEST => Err(SchemaError::LongName(name.into_owned())),
            _ => Ok(()),
        }
    }

    /// The script that creates everything, for minutes of this length.
    ///
    /// # Errors
    /// See [`Self::check_dialect`].
    pub fn script(&self, dialect: Dialect, minute: Duration) -> Result<String, SchemaError> {
        self.check_dialect(dialect)?;
        let script = match dialect {
            Dialect::Postgres => self.postgres.unwrap_or_default(),
            Dialect::SqlServer => &self.sql_server,
        };
        let script = self.named(script);
        if minute == MINUTE {
            return Ok(script);
        }
        let milliseconds = (minute.as_micros() + 500) / 1000;
        Ok(match dialect {
            Dialect::Postgres => script.replace(
                "interval '1 minute'",
                &format!("interval '{milliseconds} milliseconds'"),
            ),
            Dialect::SqlServer => script.replace(
                "DATEADD(MINUTE, ",
                &format!("DATEADD(MILLISECOND, {milliseconds} * "),
            ),
        })
    }

    /// A script with the names of here, which stand in brackets, in quotes, and as texts.
    fn named(&self, script: &str) -> String {
        let procedures = self.procedures.iter().map(|(written, _)| *written);
        let mut names: Vec<(&str, Cow<'_, str>)> = procedures
            .map(|written| (written, self.naming.procedure(written)))
            .collect();
        names.push((self.tables[0], Cow::Borrowed(self.session_table())));
        names.retain(|(written, name)| written != name);
        names
            .iter()
            .fold(script.to_owned(), |script, (written, name)| {
                [("[", "]"), ("\"", "\""), ("N'", "'")].iter().fold(
                    script,
                    |script, (open, close)| {
                        let (written, name) = (
                            format!("{open}{written}{close}"),
                            format!("{open}{name}{close}"),
                        );
                        script.replace(&written, &name)
                    },
                )
            })
    }

    /// Takes the database for as long as the connection lives, so that no second run replaces its
    /// tables meanwhile.
    ///
    /// # Errors
    /// [`SchemaError::InUse`], or the database cannot be asked.
    pub async fn occupy(connection: &mut Connection) -> Result<(), SchemaError> {
        let (text, taken) = match connection.dialect() {
            Dialect::Postgres => (
                "SELECT pg_try_advisory_lock(hashtext('sessionbench'))",
                Value::Bit(true),
            ),
            Dialect::SqlServer => (
                // The name of the database, because not every server that speaks TDS keeps such locks
                // apart by database.
                "DECLARE @result int, @resource nvarchar(255); \
                 SET @resource = N'sessionbench ' + DB_NAME(); \
                 EXEC @result = sp_getapplock @Resource = @resource, \
                 @LockMode = N'Exclusive', @LockOwner = N'Session', @LockTimeout = 0; \
                 SELECT @result",
                Value::Int(0),
            ),
        };
        let rows = connection.query(text, &[]).await?;
        if rows == [[taken]] {
            return Ok(());
        }
        Err(SchemaError::InUse)
    }

    /// Makes sure that the database has nothing of these names but what we made ourselves.
    ///
    /// # Errors
    /// [`SchemaError::Taken`], or the database cannot be asked.
    pub async fn check_vacant(&self, connection: &mut Connection) -> Result<(), SchemaError> {
        let foreign: BTreeSet<String> = found(self.marks(connection).await?)
            .filter(|(_, mark)| mark.as_deref() != Some(MARK))
            .map(|(name, _)| self.as_we_write(name))
            .collect();
        if foreign.is_empty() {
            return Ok(());
        }
        Err(SchemaError::Taken(foreign.into_iter().collect()))
    }

    /// A name as we write it: a database may keep it in letters of another case.
    fn as_we_write(&self, found: String) -> String {
        let procedures = self.procedures().map(|(name, _)| name);
        (self.tables().map(Cow::Borrowed).chain(procedures))
            .find(|ours| ours.eq_ignore_ascii_case(&found))
            .map_or(found, Cow::into_owned)
    }

    /// Creates everything anew; what an earlier run left is dropped.
    ///
    /// # Errors
    /// The database refuses; what was created before that is dropped again.
    pub async fn create(
        &self,
        connection: &mut Connection,
        minute: Duration,
    ) -> Result<(), SchemaError> {
        self.check_vacant(connection).await?;
        self.drop_all(connection).await?;
        let script = self.script(connection.dialect(), minute)?;
        if let Err(error) = connection.run_script(&script).await {
            self.drop_all(connection).await?;
            return Err(error.into());
        }
        Ok(())
    }

    /// Drops everything of these names; [`Self::check_vacant`] came before.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn drop_all(&self, connection: &mut Connection) -> Result<(), SqlError> {
        let mut script = String::new();
        let (procedure, open, close) = match connection.dialect() {
            Dialect::Postgres => ("FUNCTION", "\"", "\""),
            Dialect::SqlServer => ("PROCEDURE", "[dbo].[", "]"),
        };
        let procedures = self.procedures().map(|(name, _)| (procedure, name));
        let tables = self.tables().map(|name| ("TABLE", Cow::Borrowed(name)));
        for (kind, name) in procedures.chain(tables) {
            // Writing to a string cannot fail.
            let _ = writeln!(script, "DROP {kind} IF EXISTS {open}{name}{close};");
        }
        connection.run_script(&script).await
    }

    /// Names and marks of whatever has one of our names.
    async fn marks(&self, connection: &mut Connection) -> Result<Vec<Vec<Value>>, SqlError> {
        let procedures = self.procedures().map(|(name, _)| name);
        let names = names(self.tables().map(Cow::Borrowed).chain(procedures));
        let text = match connection.dialect() {
            Dialect::Postgres => format!(
                "SELECT c.relname::text, obj_description(c.oid, 'pg_class') FROM pg_class AS c \
                 WHERE c.relnamespace = current_schema()::regnamespace AND c.relname IN ({names}) \
                 UNION ALL \
                 SELECT p.proname::text, obj_description(p.oid, 'pg_proc') FROM pg_proc AS p \
                 WHERE p.pronamespace = current_schema()::regnamespace AND p.proname IN ({names})"
            ),
            Dialect::SqlServer => format!(
                "SELECT o.name, CAST(p.value AS nvarchar(200)) FROM sys.objects AS o \
                 LEFT JOIN sys.extended_properties AS p \
                 ON p.class = 1 AND p.major_id = o.object_id AND p.minor_id = 0 \
                 AND p.name = N'{PROPERTY}' \
                 WHERE o.schema_id = SCHEMA_ID(N'dbo') AND o.name IN ({names})"
            ),
        };
        connection.query(&text, &[]).await
    }
}

/// Names as a list of literals; none of them holds a quote.
fn names(names: impl Iterator<Item = impl AsRef<str>>) -> String {
    let quoted: Vec<String> = names.map(|name| format!("'{}'", name.as_ref())).collect();
    quoted.join(", ")
}

/// Rows of names and marks.
fn found(rows: Vec<Vec<Value>>) -> impl Iterator<Item = (String, Option<String>)> {
    rows.into_iter().filter_map(|row| {
        let mut cells = row.into_iter();
        let Some(Value::Text(name)) = cells.next() else {
            return None;
        };
        let mark = match cells.next() {
            Some(Value::Text(mark)) => Some(mark.to_string()),
            _ => None,
        };
        Some((name.to_string(), mark))
    })
}

mod defects;
#[cfg(test)]
mod tests;
