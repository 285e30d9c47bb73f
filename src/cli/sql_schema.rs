//! `sessionbench sql-schema`: the tables and procedures that a SQL provider creates.

use super::Outcome;
use crate::providers::sql::connection_string::Dialect;
use crate::providers::sql::schema::{self, Schema};
use crate::providers::sql::{asynchronous, sitecore, universal};
use clap::{Args, ValueEnum};

/// Arguments of `sql-schema`.
#[derive(Debug, Args)]
pub struct SqlSchemaArguments {
    /// Of which provider
    #[arg(long, value_enum)]
    pub provider: SqlProvider,
    /// For which database
    #[arg(long, value_enum)]
    pub database: Database,
}

/// A provider that creates tables and procedures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SqlProvider {
    /// Sitecore's
    #[value(name = "sql_sitecore")]
    Sitecore,
    /// Microsoft's asynchronous provider's
    #[value(name = "sql_async")]
    Async,
    /// The Universal Providers'
    #[value(name = "sql_universal")]
    Universal,
}

/// A kind of database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Database {
    /// SQL Server 2016 and later, and Azure SQL
    Mssql,
    /// PostgreSQL
    Postgres,
}

/// Prints a script, for whole minutes.
///
/// # Errors
/// None.
pub fn sql_schema(arguments: &SqlSchemaArguments) -> anyhow::Result<Outcome> {
    let schema: &Schema = match arguments.provider {
        SqlProvider::Sitecore => &sitecore::SCHEMA,
        SqlProvider::Async => &asynchronous::SCHEMA,
        SqlProvider::Universal => &universal::SCHEMA,
    };
    let dialect = match arguments.database {
        Database::Mssql => Dialect::SqlServer,
        Database::Postgres => Dialect::Postgres,
    };
    print!("{}", schema.script(dialect, schema::MINUTE));
    Ok(Outcome::Good)
}
