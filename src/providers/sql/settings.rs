//! Settings of the SQL providers, under the genuine providers' names (facts §7.3, §8, §9.2).

pub use crate::servers::postgres::RESERVED;

use crate::servers::ConfigValue;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// Where a SQL provider's database is. Written as `managed`, as `managed:` with settings, or as a
/// connection string: ADO.NET's for SQL Server and Azure SQL (`Server=tcp:host,1433;…`), Npgsql's or
/// a URL for PostgreSQL (`Host=…;…`, `postgres://…`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(from = "WrittenDatabase", into = "WrittenDatabase")]
#[schemars(with = "WrittenDatabase")]
pub enum DatabaseServer {
    /// A private PostgreSQL, started for the run on loopback and stopped after it.
    Managed(ManagedDatabase),
    /// A database that is there already.
    ConnectionString(String),
}

/// The forms in which a file may name a database.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
enum WrittenDatabase {
    /// `managed`, or a connection string.
    Text(String),
    /// A private PostgreSQL with settings.
    Managed(WrittenManagedDatabase),
}

/// A private PostgreSQL with settings.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WrittenManagedDatabase {
    /// The settings.
    managed: ManagedDatabase,
}

impl From<WrittenDatabase> for DatabaseServer {
    fn from(written: WrittenDatabase) -> Self {
        match written {
            WrittenDatabase::Text(text) if text == "managed" => Self::default(),
            WrittenDatabase::Text(text) => Self::ConnectionString(text),
            WrittenDatabase::Managed(WrittenManagedDatabase { managed }) => Self::Managed(managed),
        }
    }
}

impl From<DatabaseServer> for WrittenDatabase {
    fn from(server: DatabaseServer) -> Self {
        match server {
            DatabaseServer::Managed(managed) if managed == ManagedDatabase::default() => {
                Self::Text("managed".to_owned())
            }
            DatabaseServer::Managed(managed) => Self::Managed(WrittenManagedDatabase { managed }),
            DatabaseServer::ConnectionString(text) => Self::Text(text),
        }
    }
}

impl Default for DatabaseServer {
    fn default() -> Self {
        Self::Managed(ManagedDatabase::default())
    }
}

/// A private PostgreSQL.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ManagedDatabase {
    /// Settings of postgresql.conf, such as `shared_buffers: 256MB` or `synchronous_commit: "off"`.
    pub config: BTreeMap<String, ConfigValue>,
}

/// Settings that every SQL provider shares.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SqlSettings {
    /// The database.
    pub server: DatabaseServer,
    /// Whose tables and procedures are used.
    pub schema: SchemaOrigin,
}

/// Whose tables and procedures are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SchemaOrigin {
    /// Ours, created in an empty database for the run and dropped after it. `sessionbench
    /// sql-schema` prints them.
    #[default]
    Create,
    /// Those that are there, as in a genuine session database. Nothing is created, and only
    /// sessions of the run are removed.
    Existing,
}

/// Settings of `sql_sitecore`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
// serde cannot deny unknown fields beside flattened ones; the structural check does, by the schema.
#[schemars(extend("additionalProperties" = false))]
#[allow(non_snake_case)]
pub struct SqlSitecore {
    /// Name of the application, by which sessions are told apart in one database. `private` and
    /// `shared` are appended by the harness to tell the two states apart.
    pub sessionType: String,
    /// Deflate session data; `true` in the configuration files that Sitecore ships.
    pub compression: bool,
    /// Seconds between polls for expired sessions.
    #[schemars(range(min = 1, max = 120))]
    pub pollingInterval: u32,
    /// Settings that every SQL provider shares.
    #[serde(flatten)]
    pub sql: SqlSettings,
}

impl Default for SqlSitecore {
    fn default() -> Self {
        Self {
            sessionType: "sessionbench".to_owned(),
            compression: false,
            pollingInterval: 2,
            sql: SqlSettings::default(),
        }
    }
}

/// IIS's id of its first site (`AppDomainAppId`).
const FIRST_SITE: &str = "/LM/W3SVC/1/ROOT";

/// Settings of `sql_async`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("additionalProperties" = false))]
#[allow(non_snake_case)]
pub struct SqlAsync {
    /// Which tables and procedures are used.
    pub repositoryType: RepositoryType,
    /// The session table, where it has not the genuine name of the repository type. Its procedures'
    /// names then begin with it, but for those of aspnet_regsql.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sessionTableName: Option<String>,
    /// Attempts after the first, when the database breaks off or takes too long; with tables in
    /// memory, when two requests wrote one row at once.
    #[schemars(range(max = 1000))]
    pub maxRetryNumber: u32,
    /// Milliseconds between attempts: 1000, or 200 with tables in memory. 0: a command is tried once;
    /// with tables in memory, again at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 600_000))]
    pub retryInterval: Option<u32>,
    /// A request that does not need its session leaves its timeout as it is.
    pub skipKeepAliveWhenUnused: bool,
    /// Deflate session data (`compressionEnabled` of `<sessionState>`).
    pub compressionEnabled: bool,
    /// The web application's id in IIS (`AppDomainAppId`), whose hash ends the id of every row. The
    /// harness appends the cluster and the run.
    pub application_id: String,
    /// Settings that every SQL provider shares.
    #[serde(flatten)]
    pub sql: SqlSettings,
}

impl SqlAsync {
    /// The session table.
    #[must_use]
    pub fn table(&self) -> &str {
        let genuine = match self.repositoryType {
            RepositoryType::FrameworkCompat => "ASPStateTempSessions",
            RepositoryType::SqlServer => "ASPNetSessionState",
            RepositoryType::InMemory => "ASPNetSessionState_InMem",
            RepositoryType::InMemoryDurable => "ASPNetSessionState_InMemDurable",
        };
        self.sessionTableName.as_deref().unwrap_or(genuine)
    }

    /// Whether the session table's name is one that needs no quoting, and leaves room for those of its
    /// procedures: SQL Server keeps 128 letters.
    #[must_use]
    pub fn table_is_named_well(&self) -> bool {
        let table = self.table();
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        table.len() <= 100
            && table.chars().all(plain)
            && table.starts_with(|c: char| !c.is_ascii_digit())
    }

    /// Whether the session table is memory-optimised, which SQL Server alone knows.
    #[must_use]
    pub const fn is_in_memory(&self) -> bool {
        matches!(
            self.repositoryType,
            RepositoryType::InMemory | RepositoryType::InMemoryDurable
        )
    }

    /// The pause between attempts: as in the code, not as in the documentation, which has 1 ms in
    /// memory (facts §7.3).
    #[must_use]
    pub fn retry_interval(&self) -> Duration {
        let genuine = if self.is_in_memory() { 200 } else { 1000 };
        Duration::from_millis(self.retryInterval.unwrap_or(genuine).into())
    }
}

impl Default for SqlAsync {
    fn default() -> Self {
        Self {
            repositoryType: RepositoryType::default(),
            sessionTableName: None,
            maxRetryNumber: 10,
            retryInterval: None,
            skipKeepAliveWhenUnused: false,
            compressionEnabled: false,
            application_id: FIRST_SITE.to_owned(),
            sql: SqlSettings::default(),
        }
    }
}

/// Which tables and procedures `sql_async` uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum RepositoryType {
    /// Those that aspnet_regsql installs for ASP.NET's own SQLServer mode, in the database of the
    /// connection.
    #[default]
    FrameworkCompat,
    /// The provider's own table `ASPNetSessionState`, and its procedures.
    SqlServer,
    /// A memory-optimised table, empty after a restart of the server. SQL Server only.
    InMemory,
    /// A memory-optimised table whose sessions survive a restart. SQL Server only.
    InMemoryDurable,
}

/// Settings of `sql_universal`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("additionalProperties" = false))]
#[allow(non_snake_case)]
pub struct SqlUniversal {
    /// `applicationName` of the configuration. The provider's sessions do not depend on it.
    pub applicationName: String,
    /// The web application's id in IIS (`AppDomainAppId`), whose hash ends the id of every row. The
    /// harness appends the cluster and the run.
    pub application_id: String,
    /// Settings that every SQL provider shares.
    #[serde(flatten)]
    pub sql: SqlSettings,
}

impl Default for SqlUniversal {
    fn default() -> Self {
        Self {
            applicationName: "/".to_owned(),
            application_id: FIRST_SITE.to_owned(),
            sql: SqlSettings::default(),
        }
    }
}
