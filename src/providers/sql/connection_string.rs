//! Connection strings of databases: ADO.NET's for SQL Server, Npgsql's and URLs for PostgreSQL.
//!
//! In: the text of a scenario or a ConnectionStrings.config. Out: where to connect, with which
//! limits and trust, and warnings for what has no effect here; nonsense is an error. Which database
//! it is follows from the form: a URL or `Host=` is PostgreSQL, `Server=` or `Data Source=` is SQL
//! Server.
//!
//! The surprising fact: `Encrypt=false` still encrypts the login to SQL Server, with whatever
//! certificate the server shows.

use super::keywords::{self, Pairs};
use crate::providers::Secret;
use std::path::PathBuf;
use std::time::Duration;

/// Ports of servers that name none.
const SQL_SERVER_PORT: u16 = 1433;
const POSTGRES_PORT: u16 = 5432;
/// ADO.NET's and Npgsql's limit for making a connection, or for getting one out of the pool.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// ADO.NET's and Npgsql's limit for a command, and ASP.NET's (`sqlCommandTimeout`, facts §2.4).
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);
/// Connections that a pool of either makes at most.
const MAX_POOL_SIZE: u32 = 100;
/// What a timeout of 0, which stands for none, is here.
const NO_LIMIT: Duration = Duration::from_secs(365 * 24 * 3600);

/// A kind of database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// PostgreSQL.
    Postgres,
    /// SQL Server and Azure SQL.
    SqlServer,
}

/// A connection string, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionString {
    /// Which database it leads to.
    pub dialect: Dialect,
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Database; `None` is the user's own.
    pub database: Option<String>,
    /// User.
    pub user: Option<String>,
    /// Password.
    pub password: Option<Secret>,
    /// What is encrypted.
    pub encryption: Encryption,
    /// Whose certificates are trusted.
    pub trust: Trust,
    /// Limit for making a connection, or for getting one out of the pool.
    pub connect_timeout: Duration,
    /// Limit for a command.
    pub command_timeout: Duration,
    /// Connections of one pool at most.
    pub max_pool_size: u32,
    /// What has no effect here, and why.
    pub warnings: Vec<String>,
}

/// What of a connection is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encryption {
    /// Nothing (PostgreSQL).
    Off,
    /// Everything if the server can (PostgreSQL's default).
    Preferred,
    /// The login alone (SQL Server with `Encrypt=false`, .NET Framework's default).
    Login,
    /// Everything.
    Required,
}

/// Whose certificates are trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// Those that the system trusts.
    System,
    /// Those of a PEM file.
    File(PathBuf),
    /// Any.
    Anything,
}

/// Why a text is no connection string. Never holds a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectionStringError {
    /// No server is named.
    #[error(
        "the connection string names no server: write `Server=tcp:host,1433;…` for SQL Server, \
         `Host=host;…` or `postgres://host/…` for PostgreSQL"
    )]
    NoServer,
    /// The text is no list of `keyword=value`.
    #[error("the connection string is no list of `keyword=value;`{0}")]
    Shape(String),
    /// A value is not of its kind.
    #[error("the connection string's `{keyword}` must be {expected}")]
    Value {
        /// The keyword.
        keyword: String,
        /// What it takes.
        expected: &'static str,
    },
    /// Something that works with genuine clients and not here.
    #[error("the connection string's `{keyword}` is not supported here: {remedy}")]
    Unsupported {
        /// The keyword.
        keyword: String,
        /// What to write instead.
        remedy: &'static str,
    },
}

impl std::str::FromStr for ConnectionString {
    type Err = ConnectionStringError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let pairs = if keywords::is_url(text) {
            keywords::of_url(text)?
        } else {
            keywords::of_list(text)?
        };
        let named = |names: &[&str]| pairs.iter().any(|(name, _)| names.contains(&name.key()));
        let dialect = if named(&["host"]) {
            Dialect::Postgres
        } else if named(&SERVER) {
            Dialect::SqlServer
        } else {
            return Err(ConnectionStringError::NoServer);
        };
        Self::read(dialect, &pairs)
    }
}

/// ADO.NET's words for the server.
const SERVER: [&str; 5] = ["server", "datasource", "address", "addr", "networkaddress"];

/// Keywords of SqlClient and Npgsql that decide nothing here.
const WITHOUT_EFFECT: [&str; 30] = [
    "app",
    "applicationname",
    "asynchronousprocessing",
    "columnencryptionsetting",
    "connectionlifetime",
    "connectionreset",
    "connectretrycount",
    "connectretryinterval",
    "currentlanguage",
    "enlist",
    "includeerrordetail",
    "integratedsecurity",
    "keepalive",
    "language",
    "loadbalancetimeout",
    "minimumpoolsize",
    "minpoolsize",
    "multipleactiveresultsets",
    "mars",
    "networklibrary",
    "nettype",
    "noresetonclose",
    "packetsize",
    "persistsecurityinfo",
    "pooling",
    "poolblockingperiod",
    "replication",
    "transactionbinding",
    "typesystemversion",
    "workstationid",
];

impl ConnectionString {
    fn read(dialect: Dialect, pairs: &Pairs) -> Result<Self, ConnectionStringError> {
        let (port, encryption) = match dialect {
            Dialect::Postgres => (POSTGRES_PORT, Encryption::Preferred),
            Dialect::SqlServer => (SQL_SERVER_PORT, Encryption::Login),
        };
        let mut found = Self {
            dialect,
            host: String::new(),
            port,
            database: None,
            user: None,
            password: None,
            encryption,
            trust: Trust::System,
            connect_timeout: CONNECT_TIMEOUT,
            command_timeout: COMMAND_TIMEOUT,
            max_pool_size: MAX_POOL_SIZE,
            warnings: Vec::new(),
        };
        for (keyword, value) in pairs {
            let taken = match dialect {
                Dialect::SqlServer => found.take_sql_server(keyword, value)?,
                Dialect::Postgres => found.take_postgres(keyword, value)?,
            };
            if !taken && !found.take_common(keyword, value)? {
                found.warn(keyword);
            }
        }
        match found.encryption {
            // .NET checks no certificate then, and the server's is its own.
            Encryption::Login => found.trust = Trust::Anything,
            // What may be left out need not be trusted.
            Encryption::Off | Encryption::Preferred if found.trust == Trust::System => {
                found.trust = Trust::Anything;
            }
            _ => {}
        }
        if found.host.is_empty() {
            return Err(ConnectionStringError::NoServer);
        }
        Ok(found)
    }

    fn take_common(
        &mut self,
        keyword: &keywords::Keyword,
        value: &str,
    ) -> Result<bool, ConnectionStringError> {
        let some = |value: &str| (!value.is_empty()).then(|| value.to_owned());
        match keyword.key() {
            "database" | "initialcatalog" | "dbname" | "db" => self.database = some(value),
            "userid" | "uid" | "user" | "username" => self.user = some(value),
            "password" | "pwd" | "psw" => {
                self.password = (!value.is_empty()).then(|| Secret::new(value));
            }
            "commandtimeout" => self.command_timeout = keyword.seconds(value, NO_LIMIT)?,
            "connecttimeout" | "connectiontimeout" | "timeout" => {
                self.connect_timeout = keyword.seconds(value, NO_LIMIT)?;
            }
            "maxpoolsize" | "maximumpoolsize" => {
                self.max_pool_size = keyword
                    .number(value)
                    .ok()
                    .filter(|size| *size > 0)
                    .ok_or_else(|| keyword.expected("a whole number from 1 up"))?;
            }
            "trustservercertificate" => {
                if keyword.truth(value)? {
                    self.trust = Trust::Anything;
                }
            }
            known if WITHOUT_EFFECT.contains(&known) => {}
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn take_sql_server(
        &mut self,
        keyword: &keywords::Keyword,
        value: &str,
    ) -> Result<bool, ConnectionStringError> {
        match keyword.key() {
            server if SERVER.contains(&server) => {
                let (host, port) = endpoint(keyword, value)?;
                self.host = host;
                self.port = port.unwrap_or(SQL_SERVER_PORT);
            }
            "encrypt" => {
                self.encryption = match value.to_ascii_lowercase().as_str() {
                    "mandatory" => Encryption::Required,
                    "optional" => Encryption::Login,
                    "strict" => {
                        return Err(keyword.unsupported("write `Encrypt=true`"));
                    }
                    _ if keyword.truth(value)? => Encryption::Required,
                    _ => Encryption::Login,
                };
            }
            // tiberius's word: ADO.NET has none for a file of authorities.
            "trustservercertificateca" => self.trust = Trust::File(value.into()),
            "integratedsecurity" | "trustedconnection"
                if value.eq_ignore_ascii_case("sspi") || keyword.truth(value)? =>
            {
                return Err(keyword.unsupported("use a SQL Server login: `User ID=…;Password=…`"));
            }
            "authentication" if !value.replace(' ', "").eq_ignore_ascii_case("SqlPassword") => {
                return Err(keyword.unsupported("use a SQL Server login: `User ID=…;Password=…`"));
            }
            "trustedconnection" | "authentication" => {}
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn take_postgres(
        &mut self,
        keyword: &keywords::Keyword,
        value: &str,
    ) -> Result<bool, ConnectionStringError> {
        match keyword.key() {
            "host" => {
                let (first, others) = value
                    .split_once(',')
                    .map_or((value, false), |(first, _)| (first, true));
                if others {
                    self.warnings
                        .push("only the first of several hosts is used".to_owned());
                }
                if first.starts_with('/') {
                    return Err(keyword.unsupported("name a host that listens on TCP"));
                }
                let bare = first.trim_start_matches('[').trim_end_matches(']');
                self.host = host(keyword, bare)?;
            }
            "port" => {
                let port = keyword.number(value).ok();
                self.port = port
                    .and_then(|port| u16::try_from(port).ok())
                    .filter(|port| *port > 0)
                    .ok_or_else(|| keyword.expected("a port number"))?;
            }
            "sslmode" => match value.to_ascii_lowercase().replace('-', "").as_str() {
                "disable" => self.encryption = Encryption::Off,
                "allow" | "prefer" => self.encryption = Encryption::Preferred,
                "require" => self.encryption = Encryption::Required,
                word @ ("verifyca" | "verifyfull") => {
                    self.encryption = Encryption::Required;
                    if self.trust == Trust::Anything {
                        self.trust = Trust::System;
                    }
                    if word == "verifyca" {
                        self.warnings
                            .push("`SSL Mode=VerifyCA` checks the host's name too".to_owned());
                    }
                    return Ok(true);
                }
                _ => {
                    return Err(
                        keyword.expected("Disable, Allow, Prefer, Require, VerifyCA or VerifyFull")
                    );
                }
            },
            "rootcertificate" | "sslrootcert" => self.trust = Trust::File(value.into()),
            _ => return Ok(false),
        }
        // Short of VerifyCA, Npgsql and libpq check a certificate only against a file that is named.
        if keyword.key() == "sslmode" && self.trust == Trust::System {
            self.trust = Trust::Anything;
        }
        Ok(true)
    }

    /// Names a keyword that has no effect; what does not look like one may be a piece of a password
    /// and is not repeated.
    fn warn(&mut self, keyword: &keywords::Keyword) {
        self.warnings.push(match keyword.printable() {
            Some(name) => format!("`{name}` has no effect here"),
            None => "something without a proper keyword has no effect".to_owned(),
        });
    }

    /// Where it leads, without secrets.
    #[must_use]
    pub fn address(&self) -> String {
        let Self { host, port, .. } = self;
        match &self.database {
            Some(database) => format!("{host}:{port}/{database}"),
            None => format!("{host}:{port}"),
        }
    }
}

/// SQL Server's endpoint: `tcp:host,1433`, `host`, `.`.
fn endpoint(
    keyword: &keywords::Keyword,
    text: &str,
) -> Result<(String, Option<u16>), ConnectionStringError> {
    let text = text.trim();
    let rest = match text.split_once(':') {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("tcp") => rest,
        Some((scheme, _))
            if ["np", "lpc", "admin"].contains(&scheme.to_ascii_lowercase().as_str()) =>
        {
            return Err(keyword.unsupported("write `tcp:host,port`"));
        }
        _ => text,
    };
    if rest.contains('\\') {
        return Err(keyword.unsupported("name the instance's port: `tcp:host,port`"));
    }
    let (name, port) = match rest.rsplit_once(',') {
        Some((name, port)) => {
            let port = port.trim().parse().ok().filter(|port| *port > 0);
            (
                name,
                Some(port.ok_or_else(|| keyword.expected("`tcp:host,port`"))?),
            )
        }
        None => (rest, None),
    };
    let name = match name.trim() {
        "." | "(local)" => "localhost",
        name => name.trim_start_matches('[').trim_end_matches(']'),
    };
    Ok((host(keyword, name)?, port))
}

fn host(keyword: &keywords::Keyword, text: &str) -> Result<String, ConnectionStringError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._:%".contains(c);
    if text.is_empty() || !text.chars().all(plain) {
        return Err(keyword.expected("a host name or address"));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests;
