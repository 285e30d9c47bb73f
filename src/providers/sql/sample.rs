//! What a SQL provider's table holds right now.
//!
//! In: the names of the table and of the column with the sessions. Out: rows, and their mean size over
//! a hundred of them. The surprising fact: counting rows reads the whole index, so it is asked for no
//! more often than a sample is taken.

use super::call::Value;
use super::connection_string::Dialect;
use super::error::SqlError;
use super::pool::Connection;
use crate::providers::StoreSample;

/// Rows of a session table; their size only where the column is known.
///
/// # Errors
/// The database cannot be asked.
pub async fn sample(
    connection: &mut Connection,
    table: &str,
    item: Option<&str>,
) -> Result<StoreSample, SqlError> {
    let text = match (connection.dialect(), item) {
        (Dialect::Postgres, Some(_)) => format!(
            "SELECT count(*), (SELECT avg(pg_column_size(s.*))::bigint \
             FROM (SELECT * FROM \"{table}\" LIMIT 100) AS s), \
             (SELECT numbackends::bigint FROM pg_stat_database WHERE datname = current_database()) \
             FROM \"{table}\""
        ),
        (Dialect::SqlServer, Some(item)) => format!(
            "SELECT COUNT_BIG(*), (SELECT AVG(CAST(DATALENGTH([{item}]) AS bigint)) \
             FROM (SELECT TOP (100) [{item}] FROM [dbo].[{table}] WITH (NOLOCK)) AS s) \
             FROM [dbo].[{table}] WITH (NOLOCK)"
        ),
        (Dialect::Postgres, None) => format!("SELECT count(*) FROM \"{table}\""),
        (Dialect::SqlServer, None) => {
            format!("SELECT COUNT_BIG(*) FROM [dbo].[{table}] WITH (NOLOCK)")
        }
    };
    let rows = connection.query(&text, &[]).await?;
    let numbers = |at: usize| match rows.first().and_then(|row| row.get(at)) {
        Some(Value::Int(number)) => u64::try_from(*number).ok(),
        _ => None,
    };
    Ok(StoreSample {
        keys: numbers(0),
        volatile_keys: numbers(0),
        bytes_per_session: numbers(1),
        clients: numbers(2),
        ..StoreSample::default()
    })
}
