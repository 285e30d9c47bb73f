//! `sessionbench sql-schema`: the tables and procedures that a SQL provider creates.

use super::conformance::key_and_value;
use super::{Outcome, check};
use crate::providers::sql;
use crate::providers::sql::connection_string::Dialect;
use crate::providers::sql::schema;
use crate::scenario;
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
    /// One of the provider's settings, as in a scenario: `repositoryType=SqlServer`
    #[arg(long = "setting", value_name = "KEY=VALUE", value_parser = key_and_value)]
    pub settings: Vec<(String, String)>,
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
    let provider = match arguments.provider {
        SqlProvider::Sitecore => "sql_sitecore",
        SqlProvider::Async => "sql_async",
        SqlProvider::Universal => "sql_universal",
    };
    let dialect = match arguments.database {
        Database::Mssql => Dialect::SqlServer,
        Database::Postgres => Dialect::Postgres,
    };
    let settings = match scenario::provider(provider, &arguments.settings, None) {
        Ok(settings) => settings,
        Err(problems) => {
            eprint!("{}", problems.render(check::colours()));
            return Ok(Outcome::Configuration);
        }
    };
    let script =
        sql::schema_of(&settings).and_then(|schema| Ok(schema.script(dialect, schema::MINUTE)?));
    match script {
        Ok(script) => {
            print!("{script}");
            Ok(Outcome::Good)
        }
        Err(error) => {
            eprintln!("error: {error}");
            Ok(Outcome::Configuration)
        }
    }
}
