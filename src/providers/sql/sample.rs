//! What a SQL provider's table holds right now.
//!
//! In: the names of the table and of the columns with the sessions. Out: rows, and their mean size over
//! a hundred of them. The surprising fact: counting rows reads the whole index, so it is asked for no
//! more often than a sample is taken.

use super::call::Value;
use super::connection_string::Dialect;
use super::error::SqlError;
use super::pool::Connection;
use super::schema::Schema;
use crate::providers::StoreSample;

/// Rows of the session table; their size only where the columns are known, `items`.
///
/// # Errors
/// The database cannot be asked.
pub async fn sample(
    connection: &mut Connection,
    schema: &Schema,
    items: &[&str],
) -> Result<StoreSample, SqlError> {
    let table = schema.session_table();
    // A dirty read disturbs nobody; of memory-optimised tables none does.
    let hint = if schema.is_in_memory() {
        "SNAPSHOT"
    } else {
        "NOLOCK"
    };
    let text = match (connection.dialect(), items) {
        (Dialect::Postgres, []) => format!("SELECT count(*) FROM \"{table}\""),
        (Dialect::Postgres, _) => format!(
            "SELECT count(*), (SELECT avg(pg_column_size(s.*))::bigint \
             FROM (SELECT * FROM \"{table}\" LIMIT 100) AS s), \
             (SELECT numbackends::bigint FROM pg_stat_database WHERE datname = current_database()) \
             FROM \"{table}\""
        ),
        (Dialect::SqlServer, []) => {
            format!("SELECT COUNT_BIG(*) FROM [dbo].[{table}] WITH ({hint})")
        }
        (Dialect::SqlServer, _) => {
            let size = |item: &&str| format!("ISNULL(CAST(DATALENGTH([{item}]) AS bigint), 0)");
            let sizes: Vec<String> = items.iter().map(size).collect();
            format!(
                "SELECT COUNT_BIG(*), (SELECT AVG({}) \
                 FROM (SELECT TOP (100) [{}] FROM [dbo].[{table}] WITH ({hint})) AS s) \
                 FROM [dbo].[{table}] WITH ({hint})",
                sizes.join(" + "),
                items.join("], [")
            )
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
