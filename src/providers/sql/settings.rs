//! Settings of the SQL providers, under the genuine providers' names (facts §7.3, §8, §9.2).

pub use crate::servers::postgres::RESERVED;

use crate::servers::ConfigValue;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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
    /// The session table. Only the genuine name of the repository type is known to the harness.
    pub sessionTableName: String,
    /// Attempts after the first, when the database breaks off or takes too long.
    #[schemars(range(max = 1000))]
    pub maxRetryNumber: u32,
    /// Milliseconds between attempts; 0: a command is tried once.
    #[schemars(range(max = 600_000))]
    pub retryInterval: u32,
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
    /// The session table of [`RepositoryType::SqlServer`].
    pub const TABLE: &'static str = "ASPNetSessionState";
}

impl Default for SqlAsync {
    fn default() -> Self {
        Self {
            repositoryType: RepositoryType::default(),
            sessionTableName: Self::TABLE.to_owned(),
            maxRetryNumber: 10,
            retryInterval: 1000,
            skipKeepAliveWhenUnused: false,
            compressionEnabled: false,
            application_id: FIRST_SITE.to_owned(),
            sql: SqlSettings::default(),
        }
    }
}

/// Which tables and procedures `sql_async` uses. The genuine provider knows three more:
/// `FrameworkCompat`, its default, and `InMemory` and `InMemoryDurable`, whose tables exist on SQL
/// Server alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum RepositoryType {
    /// The provider's own table `ASPNetSessionState`, and its procedures.
    #[default]
    SqlServer,
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
