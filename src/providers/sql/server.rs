//! The database behind a provider: a managed one is started, one that is named is reached.
//!
//! In: the settings. Out: pools of connections to it, and what it says of itself.

use super::call::Value;
use super::connection_string::{ConnectionString, ConnectionStringError, Dialect};
use super::error::SqlError;
use super::pool::{Connection, Pool, Shut, Target};
use super::settings::{DatabaseServer, SqlSettings};
use crate::clock;
use crate::providers::{ConnectError, ServerInfo};
use crate::servers::{PostgresServer, postgres};
use crate::session::StoreError;
use std::cell::RefCell;
use std::collections::BTreeMap;

/// The database behind a provider.
pub struct Server {
    /// The process, if it is ours.
    pub process: RefCell<Option<PostgresServer>>,
    /// Shuts the pools of all instances.
    pub shut: Shut,
    found: ConnectionString,
    target: Target,
}

impl Server {
    /// Starts a private PostgreSQL, or finds the database that is named.
    ///
    /// # Errors
    /// See [`ConnectError`]; nothing is left running then.
    pub async fn bring_in(settings: &SqlSettings) -> Result<Self, ConnectError> {
        match &settings.server {
            DatabaseServer::Managed(managed) => {
                let process = PostgresServer::start(&managed.config).await?;
                let (user, port, database) = (postgres::USER, process.port(), postgres::DATABASE);
                let text = format!("postgres://{user}@127.0.0.1:{port}/{database}?sslmode=disable");
                let server = Self::reach(&text)?;
                server.process.replace(Some(process));
                Ok(server)
            }
            DatabaseServer::ConnectionString(text) => Self::reach(text),
        }
    }

    fn reach(text: &str) -> Result<Self, ConnectError> {
        let found: ConnectionString = text
            .parse()
            .map_err(|error: ConnectionStringError| ConnectError::Settings(error.to_string()))?;
        Ok(Self {
            process: RefCell::new(None),
            shut: Shut::default(),
            target: Target::new(&found).map_err(ConnectError::Settings)?,
            found,
        })
    }

    /// The same database for a provider beside the first, whose process it is not.
    pub fn again(&self) -> Self {
        Self {
            process: RefCell::new(None),
            shut: Shut::default(),
            target: self.target.clone(),
            found: self.found.clone(),
        }
    }

    /// A pool of an instance.
    pub fn pool(&self) -> Pool {
        Pool::new(self.target.clone(), &self.found, self.shut.clone())
    }

    /// A pool that stays open when those of the instances are shut.
    pub fn own_pool(&self) -> Pool {
        Pool::new(self.target.clone(), &self.found, Shut::default())
    }

    /// A connection outside any pool, for what may take its time.
    ///
    /// # Errors
    /// The server cannot be reached, or refuses.
    pub async fn connect(&self) -> Result<Connection, StoreError> {
        let limit = self.found.connect_timeout;
        match clock::timeout(limit, self.target.connect()).await {
            Ok(made) => Ok(made?),
            Err(_) => Err(StoreError::Timeout { limit }),
        }
    }

    /// Connections that one instance may have.
    pub const fn max_pool_size(&self) -> u32 {
        self.found.max_pool_size
    }

    /// What the server is, as it tells it.
    ///
    /// # Errors
    /// It cannot be asked.
    pub async fn info(&self, connection: &mut Connection) -> Result<ServerInfo, StoreError> {
        let (product, text) = match self.found.dialect {
            Dialect::Postgres => ("PostgreSQL", POSTGRES_SETTINGS),
            Dialect::SqlServer => ("SQL Server", SQL_SERVER_SETTINGS),
        };
        let mut settings = facts(connection, text).await?;
        let version = settings.remove("version").unwrap_or_default();
        settings.insert(
            "max_pool_size".to_owned(),
            self.found.max_pool_size.to_string(),
        );
        if !self.found.warnings.is_empty() {
            settings.insert("ignored".to_owned(), self.found.warnings.join("; "));
        }
        Ok(ServerInfo {
            product: product.to_owned(),
            version,
            managed: self.process.borrow().is_some(),
            address: self.found.address(),
            settings,
        })
    }
}

/// Facts by name, from SELECTs that are joined by `UNION ALL`: in one round trip. Where the database
/// refuses it, for a catalogue is missing or closed to the user, each is asked alone, and what is
/// refused then is left out.
///
/// # Errors
/// The connection broke.
pub async fn facts(
    connection: &mut Connection,
    text: &str,
) -> Result<BTreeMap<String, String>, SqlError> {
    match connection.query(text, &[]).await {
        Err(SqlError::Server { .. }) => {}
        rows => return Ok(pairs(rows?)),
    }
    let mut facts = BTreeMap::new();
    for one in text.split("UNION ALL") {
        match connection.query(one, &[]).await {
            Err(SqlError::Server { .. }) => {}
            rows => facts.extend(pairs(rows?)),
        }
    }
    Ok(facts)
}

/// Rows of a name and a value; those without a value are left out.
fn pairs(rows: Vec<Vec<Value>>) -> BTreeMap<String, String> {
    let pair = |row: Vec<Value>| match row.as_slice() {
        [Value::Text(name), Value::Text(value)] => Some((name.to_string(), value.to_string())),
        _ => None,
    };
    rows.into_iter().filter_map(pair).collect()
}

/// Settings that decide how long a commit takes and how many may work at once.
const POSTGRES_SETTINGS: &str = "
    SELECT 'version', split_part(current_setting('server_version'), ' ', 1)
    UNION ALL
    SELECT name::text, current_setting(name) FROM pg_settings WHERE name IN (
        'autovacuum', 'default_transaction_isolation', 'fsync', 'full_page_writes',
        'max_connections', 'shared_buffers', 'synchronous_commit', 'wal_level', 'wal_sync_method'
    )";

const SQL_SERVER_SETTINGS: &str = "
    SELECT N'version', CAST(SERVERPROPERTY('ProductVersion') AS nvarchar(100))
    UNION ALL SELECT N'edition', CAST(SERVERPROPERTY('Edition') AS nvarchar(100))
    UNION ALL SELECT N'compatibility_level', CAST(compatibility_level AS nvarchar(100))
        FROM sys.databases WHERE name = DB_NAME()
    UNION ALL SELECT N'recovery_model', CAST(recovery_model_desc AS nvarchar(100))
        FROM sys.databases WHERE name = DB_NAME()
    UNION ALL SELECT N'read_committed_snapshot', CAST(is_read_committed_snapshot_on AS nvarchar(100))
        FROM sys.databases WHERE name = DB_NAME()
    UNION ALL SELECT N'delayed_durability', CAST(delayed_durability_desc AS nvarchar(100))
        FROM sys.databases WHERE name = DB_NAME()";
