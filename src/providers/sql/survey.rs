//! What a database says of itself to somebody who plans to keep sessions in it.
//!
//! In: a provider's settings. Out: plain data: round trips and clock, what decides about isolation
//! and durability, connections, what is wrong with the procedures, and what the user may do. Only
//! catalogues are asked; nothing is created, written or locked. The surprising fact: who may execute
//! a procedure may still fail in it; in PostgreSQL its body runs with the caller's own rights.

use super::call::Value;
use super::connection_string::Dialect;
use super::error::SqlError;
use super::pool::Connection;
use super::schema::Schema;
use super::schema::SchemaError;
use super::server::{Server, facts};
use super::settings::SchemaOrigin;
use super::sort_out;
use crate::providers::pulse::Pulse;
use crate::providers::{ConnectError, ProviderSettings, ServerInfo};
use std::collections::BTreeMap;

/// What a database says.
#[derive(Debug, Clone, PartialEq)]
pub struct Survey {
    /// What it is.
    pub server: ServerInfo,
    /// Which kind it is.
    pub dialect: Dialect,
    /// How quickly it answers, and its clock.
    pub pulse: Pulse,
    /// Settings and states by name.
    pub facts: BTreeMap<String, String>,
    /// Whose tables and procedures they are.
    pub schema: SchemaOrigin,
    /// What is wrong with tables and procedures.
    pub defects: Vec<SchemaError>,
    /// Tables that the user may not read and write.
    pub closed_tables: Vec<String>,
    /// Connections that one provider instance may have.
    pub max_pool_size: u32,
}

/// Reaches the database of a provider, or starts a managed one, which is stopped when this is done.
///
/// # Errors
/// See [`ConnectError`].
pub async fn survey(settings: &ProviderSettings) -> Result<Survey, ConnectError> {
    let (sql, flavour) = sort_out(settings)?;
    let server = Server::bring_in(sql).await?;
    let mut connection = server.connect().await?;
    let info = server.info(&mut connection).await?;
    let schema = flavour.schema();
    schema.check_dialect(connection.dialect())?;
    let asked = ask(&mut connection, &schema, sql.schema).await;
    let (pulse, facts, defects, closed_tables) = asked.map_err(SchemaError::Sql)?;
    Ok(Survey {
        server: info,
        dialect: connection.dialect(),
        pulse,
        facts,
        schema: sql.schema,
        defects,
        closed_tables,
        max_pool_size: server.max_pool_size(),
    })
}

type Asked = (
    Pulse,
    BTreeMap<String, String>,
    Vec<SchemaError>,
    Vec<String>,
);

async fn ask(
    connection: &mut Connection,
    schema: &Schema,
    origin: SchemaOrigin,
) -> Result<Asked, SqlError> {
    let (asked, time) = match connection.dialect() {
        Dialect::Postgres => (POSTGRES_FACTS, POSTGRES_TIME),
        Dialect::SqlServer => (SQL_SERVER_FACTS, SQL_SERVER_TIME),
    };
    let pulse = Pulse::take(async || connection.query("SELECT 1", &[]).await.map(drop)).await?;
    let microseconds = async || -> Result<Option<f64>, SqlError> {
        match connection.query(time, &[]).await?.concat().first() {
            Some(Value::Int(microseconds)) => Ok(Some(*microseconds as f64 / 1e6)),
            _ => Ok(None),
        }
    };
    let pulse = pulse.with_clock(microseconds).await?;
    let facts = facts(connection, asked).await?;
    let (defects, closed) = match origin {
        SchemaOrigin::Existing => (
            schema.defects(connection).await?,
            schema.closed_tables(connection).await?,
        ),
        SchemaOrigin::Create => match schema.check_vacant(connection).await {
            Ok(()) => (Vec::new(), Vec::new()),
            Err(SchemaError::Sql(error)) => return Err(error),
            Err(taken) => (vec![taken], Vec::new()),
        },
    };
    Ok((pulse, facts, defects, closed))
}

const POSTGRES_TIME: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::int8";

const SQL_SERVER_TIME: &str =
    "SELECT DATEDIFF_BIG(MICROSECOND, '1970-01-01T00:00:00', SYSUTCDATETIME())";

const POSTGRES_FACTS: &str = "
    SELECT 'connections', count(*)::text FROM pg_stat_activity
        WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
    UNION ALL
    SELECT 'connection_limit', (sum(CASE WHEN name = 'max_connections' THEN setting::int
            ELSE -setting::int END))::text
        FROM pg_settings
        WHERE name IN ('max_connections', 'superuser_reserved_connections', 'reserved_connections')
    UNION ALL
    SELECT name::text, current_setting(name) FROM pg_settings WHERE name IN (
        'autovacuum', 'default_transaction_isolation', 'default_transaction_read_only', 'fsync',
        'synchronous_commit')
    UNION ALL
    SELECT 'in_recovery', pg_is_in_recovery()::text
    UNION ALL
    SELECT 'may_create', has_schema_privilege(current_schema(), 'CREATE')::text";

const SQL_SERVER_FACTS: &str = "
    SELECT N'connections', CAST(COUNT(*) AS nvarchar(100))
        FROM sys.dm_exec_sessions WHERE is_user_process = 1 AND session_id <> @@SPID
    UNION ALL SELECT N'connection_limit', CAST(@@MAX_CONNECTIONS AS nvarchar(100))
    UNION ALL SELECT N'read_committed_snapshot', CAST(is_read_committed_snapshot_on AS nvarchar(100))
        FROM sys.databases WHERE name = DB_NAME()
    UNION ALL SELECT N'snapshot_isolation', CAST(snapshot_isolation_state_desc AS nvarchar(100))
        FROM sys.databases WHERE name = DB_NAME()
    UNION ALL SELECT N'auto_close', CAST(is_auto_close_on AS nvarchar(100))
        FROM sys.databases WHERE name = DB_NAME()
    UNION ALL SELECT N'read_only', CAST(is_read_only AS nvarchar(100))
        FROM sys.databases WHERE name = DB_NAME()
    UNION ALL SELECT N'recovery_model', CAST(recovery_model_desc AS nvarchar(100))
        FROM sys.databases WHERE name = DB_NAME()
    UNION ALL SELECT N'delayed_durability', CAST(delayed_durability_desc AS nvarchar(100))
        FROM sys.databases WHERE name = DB_NAME()
    UNION ALL SELECT N'may_create', CASE
        WHEN HAS_PERMS_BY_NAME(DB_NAME(), N'DATABASE', N'CREATE TABLE') = 1
            AND HAS_PERMS_BY_NAME(DB_NAME(), N'DATABASE', N'CREATE PROCEDURE') = 1
            AND HAS_PERMS_BY_NAME(N'dbo', N'SCHEMA', N'ALTER') = 1
        THEN N'true' ELSE N'false' END";
