//! What is wrong with tables and procedures that exist already.
//!
//! In: a [`Schema`] and a connection. Out: every defect, the worst first. Only catalogues are asked.
//! Names are compared without regard to case, as SQL Server compares them. The surprising fact: a
//! database does not show what its user may not see, so that what is forbidden may look as if it were
//! missing.

use super::{Columns, Schema, SchemaError, found, names};
use crate::providers::sql::call::Value;
use crate::providers::sql::connection_string::Dialect;
use crate::providers::sql::error::SqlError;
use crate::providers::sql::pool::Connection;
use std::collections::{BTreeMap, BTreeSet};

impl Schema {
    /// Makes sure that tables and procedures are there, with their genuine parameters, and that the
    /// procedures may be called.
    ///
    /// # Errors
    /// What is wrong, or the database cannot be asked.
    pub async fn check_existing(&self, connection: &mut Connection) -> Result<(), SchemaError> {
        match self.defects(connection).await?.into_iter().next() {
            Some(defect) => Err(defect),
            None => Ok(()),
        }
    }

    /// Everything that is wrong with them.
    ///
    /// # Errors
    /// The database cannot be asked.
    pub async fn defects(&self, connection: &mut Connection) -> Result<Vec<SchemaError>, SqlError> {
        let mut defects = self.misshapen(connection).await?;
        defects.extend(match self.procedures {
            [] => self.missing_tables(connection).await?,
            _ => self.procedure_defects(connection).await?,
        });
        Ok(defects)
    }

    /// Whether the session table is one that the provider refuses.
    async fn misshapen(&self, connection: &mut Connection) -> Result<Vec<SchemaError>, SqlError> {
        let Some(shape) = self.shape else {
            return Ok(Vec::new());
        };
        let table = self.session_table().to_owned();
        let text = format!(
            "SELECT COLUMN_NAME, DATA_TYPE FROM INFORMATION_SCHEMA.COLUMNS \
             WHERE TABLE_NAME = '{table}'"
        );
        let rows = connection.query(&text, &[]).await?;
        let columns: Columns = found(rows)
            .filter_map(|(name, kind)| Some((name.to_lowercase(), kind?)))
            .collect();
        if columns.is_empty() {
            return Ok(vec![SchemaError::MissingTable(vec![table])]);
        }
        Ok(match shape(&columns) {
            Ok(()) => Vec::new(),
            Err(what) => vec![SchemaError::Shape { table, what }],
        })
    }

    async fn procedure_defects(
        &self,
        connection: &mut Connection,
    ) -> Result<Vec<SchemaError>, SqlError> {
        let asked = names(self.procedures().map(|(name, _)| name));
        let text = match connection.dialect() {
            Dialect::Postgres => format!(
                "SELECT p.proname::text, a.name, \
                     has_function_privilege(p.oid, 'EXECUTE')::int \
                 FROM pg_proc AS p \
                 LEFT JOIN LATERAL unnest(p.proargnames) AS a (name) ON true \
                 WHERE pg_function_is_visible(p.oid) AND p.proname IN ({asked})"
            ),
            Dialect::SqlServer => format!(
                "SELECT o.name, a.name, \
                     HAS_PERMS_BY_NAME(N'[dbo].[' + o.name + N']', N'OBJECT', N'EXECUTE') \
                 FROM sys.procedures AS o \
                 LEFT JOIN sys.all_parameters AS a ON a.object_id = o.object_id \
                 WHERE o.schema_id = SCHEMA_ID(N'dbo') AND o.name IN ({asked})"
            ),
        };
        let mut there: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut denied = BTreeSet::new();
        for row in connection.query(&text, &[]).await? {
            let mut cells = row.into_iter();
            let Some(Value::Text(name)) = cells.next() else {
                continue;
            };
            let parameters = there.entry(name.to_lowercase()).or_default();
            if let Some(Value::Text(parameter)) = cells.next() {
                parameters.insert(parameter.trim_start_matches('@').to_lowercase());
            }
            if cells.next() != Some(Value::Int(1)) {
                denied.insert(name.to_string());
            }
        }
        let mut defects: Vec<_> = denied.into_iter().map(SchemaError::Denied).collect();
        let names = self.procedures().map(|(name, _)| name.into_owned());
        let is_missing = |name: &String| !there.contains_key(&name.to_lowercase());
        let missing: Vec<String> = names.filter(is_missing).collect();
        if !missing.is_empty() {
            defects.push(SchemaError::Missing(missing));
        }
        for (procedure, parameters) in self.procedures() {
            let Some(known) = there.get(&procedure.to_lowercase()) else {
                continue;
            };
            let is_unknown = |parameter: &&&str| !known.contains(&parameter.to_lowercase());
            let unknown = parameters.iter().filter(is_unknown);
            defects.extend(unknown.map(|parameter| SchemaError::Parameter {
                procedure: procedure.to_string(),
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
            names(self.tables()),
            names(self.procedures().map(|(name, _)| name))
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
            .map(|(name, _)| name.to_lowercase())
            .collect();
        let is_missing = |name: &&str| !there.contains(&name.to_lowercase());
        let names = self.tables();
        let missing: Vec<String> = names.filter(is_missing).map(str::to_owned).collect();
        if missing.is_empty() {
            return Ok(Vec::new());
        }
        Ok(vec![SchemaError::MissingTable(missing)])
    }
}
