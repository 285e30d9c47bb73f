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
#[derive(Debug)]
pub struct Schema {
    /// Tables.
    pub tables: &'static [&'static str],
    /// Procedures with their genuine parameters, without `@`.
    pub procedures: &'static [(&'static str, &'static [&'static str])],
    /// Script that creates all of it in PostgreSQL.
    pub postgres: &'static str,
    /// Script that creates all of it in SQL Server.
    pub sql_server: &'static str,
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
    /// A procedure may not be called.
    #[error("the user may not execute {0}: grant EXECUTE on the session procedures")]
    Denied(String),
    /// The database cannot be asked.
    #[error(transparent)]
    Sql(#[from] SqlError),
}

impl Schema {
    /// The script that creates everything, for minutes of this length.
    #[must_use]
    pub fn script(&self, dialect: Dialect, minute: Duration) -> String {
        let script = match dialect {
            Dialect::Postgres => self.postgres,
            Dialect::SqlServer => self.sql_server,
        };
        if minute == MINUTE {
            return script.to_owned();
        }
        let milliseconds = (minute.as_micros() + 500) / 1000;
        match dialect {
            Dialect::Postgres => script.replace(
                "interval '1 minute'",
                &format!("interval '{milliseconds} milliseconds'"),
            ),
            Dialect::SqlServer => script.replace(
                "DATEADD(MINUTE, ",
                &format!("DATEADD(MILLISECOND, {milliseconds} * "),
            ),
        }
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
                "DECLARE @result int; \
                 EXEC @result = sp_getapplock @Resource = N'sessionbench', \
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
            .map(|(name, _)| name)
            .collect();
        if foreign.is_empty() {
            return Ok(());
        }
        Err(SchemaError::Taken(foreign.into_iter().collect()))
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
        let script = self.script(connection.dialect(), minute);
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
        let procedures = self.procedures.iter().map(|(name, _)| (procedure, name));
        let tables = self.tables.iter().map(|name| ("TABLE", name));
        for (kind, name) in procedures.chain(tables) {
            // Writing to a string cannot fail.
            let _ = writeln!(script, "DROP {kind} IF EXISTS {open}{name}{close};");
        }
        connection.run_script(&script).await
    }

    /// Makes sure that the procedures are there, with their genuine parameters, and may be called.
    ///
    /// # Errors
    /// What is wrong, or the database cannot be asked.
    pub async fn check_existing(&self, connection: &mut Connection) -> Result<(), SchemaError> {
        match self.defects(connection).await?.into_iter().next() {
            Some(defect) => Err(defect),
            None => Ok(()),
        }
    }

    /// Everything that is wrong with the procedures.
    ///
    /// # Errors
    /// The database cannot be asked.
    pub async fn defects(&self, connection: &mut Connection) -> Result<Vec<SchemaError>, SqlError> {
        if self.procedures.is_empty() {
            return self.missing_tables(connection).await;
        }
        let text = match connection.dialect() {
            Dialect::Postgres => format!(
                "SELECT p.proname::text, a.name, \
                     has_function_privilege(p.oid, 'EXECUTE')::int \
                 FROM pg_proc AS p \
                 LEFT JOIN LATERAL unnest(p.proargnames) AS a (name) ON true \
                 WHERE pg_function_is_visible(p.oid) AND p.proname IN ({})",
                Self::names(self.procedures.iter().map(|(name, _)| *name))
            ),
            Dialect::SqlServer => format!(
                "SELECT o.name, a.name, \
                     HAS_PERMS_BY_NAME(N'[dbo].[' + o.name + N']', N'OBJECT', N'EXECUTE') \
                 FROM sys.procedures AS o \
                 LEFT JOIN sys.parameters AS a ON a.object_id = o.object_id \
                 WHERE o.schema_id = SCHEMA_ID(N'dbo') AND o.name IN ({})",
                Self::names(self.procedures.iter().map(|(name, _)| *name))
            ),
        };
        let mut there: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut denied = BTreeSet::new();
        for row in connection.query(&text, &[]).await? {
            let mut cells = row.into_iter();
            let Some(Value::Text(name)) = cells.next() else {
                continue;
            };
            let parameters = there.entry(name.to_string()).or_default();
            if let Some(Value::Text(parameter)) = cells.next() {
                parameters.insert(parameter.trim_start_matches('@').to_lowercase());
            }
            if cells.next() != Some(Value::Int(1)) {
                denied.insert(name.to_string());
            }
        }
        let mut defects: Vec<_> = denied.into_iter().map(SchemaError::Denied).collect();
        let is_missing = |name: &&str| !there.contains_key(*name);
        let names = self.procedures.iter().map(|(name, _)| *name);
        let missing: Vec<String> = names.filter(is_missing).map(str::to_owned).collect();
        if !missing.is_empty() {
            defects.push(SchemaError::Missing(missing));
        }
        for (procedure, parameters) in self.procedures {
            let Some(known) = there.get(*procedure) else {
                continue;
            };
            let is_unknown = |parameter: &&&str| !known.contains(&parameter.to_lowercase());
            let unknown = parameters.iter().filter(is_unknown);
            defects.extend(unknown.map(|parameter| SchemaError::Parameter {
                procedure: (*procedure).to_owned(),
                parameter: (*parameter).to_owned(),
            }));
        }
        Ok(defects)
    }

    /// The tables that the user may not read and write. In SQL Server who may call a procedure needs
    /// no right on its owner's tables; in PostgreSQL the caller needs it.
    ///
    /// # Errors
    /// The database cannot be asked.
    pub async fn closed_tables(
        &self,
        connection: &mut Connection,
    ) -> Result<Vec<String>, SqlError> {
        if connection.dialect() == Dialect::SqlServer || self.procedures.is_empty() {
            return Ok(Vec::new());
        }
        let text = format!(
            "SELECT c.relname::text FROM pg_class AS c \
             WHERE pg_table_is_visible(c.oid) AND c.relname IN ({}) AND NOT ( \
                 has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT') \
                 AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE')) \
             AND EXISTS (SELECT FROM pg_proc AS p WHERE pg_function_is_visible(p.oid) \
                 AND NOT p.prosecdef AND p.proname IN ({}))",
            Self::names(self.tables.iter().copied()),
            Self::names(self.procedures.iter().map(|(name, _)| *name))
        );
        let rows = connection.query(&text, &[]).await?;
        let first = |row: Vec<Value>| match row.into_iter().next() {
            Some(Value::Text(name)) => Some(name.to_string()),
            _ => None,
        };
        Ok(rows.into_iter().filter_map(first).collect())
    }

    /// Whether tables are missing. Those behind procedures are the procedures' own affair.
    async fn missing_tables(
        &self,
        connection: &mut Connection,
    ) -> Result<Vec<SchemaError>, SqlError> {
        let there: BTreeSet<String> = found(self.marks(connection).await?)
            .map(|(name, _)| name)
            .collect();
        let is_missing = |name: &&str| !there.contains(*name);
        let names = self.tables.iter().copied();
        let missing: Vec<String> = names.filter(is_missing).map(str::to_owned).collect();
        if missing.is_empty() {
            return Ok(Vec::new());
        }
        Ok(vec![SchemaError::MissingTable(missing)])
    }

    /// Names and marks of whatever has one of our names.
    async fn marks(&self, connection: &mut Connection) -> Result<Vec<Vec<Value>>, SqlError> {
        let procedures = self.procedures.iter().map(|(name, _)| *name);
        let names = Self::names(self.tables.iter().copied().chain(procedures));
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

    /// Names as a list of literals; none of them holds a quote.
    fn names<'a>(names: impl Iterator<Item = &'a str>) -> String {
        let quoted: Vec<String> = names.map(|name| format!("'{name}'")).collect();
        quoted.join(", ")
    }
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

#[cfg(test)]
mod tests;
