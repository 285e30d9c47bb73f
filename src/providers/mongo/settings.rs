//! Settings of `mongo_sitecore` under the genuine provider's names (facts §9.3), and how its
//! connection string is read.
//!
//! In: what a scenario says. Out: the driver's options and our limits, or what is wrong, in words
//! that `check` shows too. The surprising fact: a password that is not percent-encoded makes the
//! driver quote parts of it as if they were hosts or ports, so its words are shown only for strings
//! that hold no credentials.

use mongodb::options::ConnectionString;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How long an operation may take where the connection string has no `socketTimeoutMS`. Ours: the
/// genuine driver waits for ever, and a run must not.
const OPERATION_LIMIT: Duration = Duration::from_secs(30);
/// How long a server may be looked for where the connection string has no
/// `serverSelectionTimeoutMS`. Ours: of the driver's 30 s nobody learns more.
const SELECTION_LIMIT: Duration = Duration::from_secs(5);
/// Connections that one web server may have where the connection string has no `maxPoolSize`: the
/// .NET driver's 100. The Rust driver's own default is 10, which would queue requests here.
const POOL_SIZE: u32 = 100;
/// The database where the connection string names none.
const DATABASE: &str = "sessions";

/// Settings of `mongo_sitecore`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(non_snake_case)]
pub struct MongoSitecore {
    /// A MongoDB server that already runs, as a connection string with its database:
    /// `mongodb://localhost:27017/sessions`. `socketTimeoutMS` limits an operation; 30 s without it.
    pub server: String,
    /// Name of the application, which tells apart those in one database. `private` and `shared` are
    /// appended by the harness to tell the two states apart.
    #[serde(default = "session_type")]
    pub sessionType: String,
    /// Seconds between polls for expired sessions.
    #[serde(default = "polling_interval")]
    #[schemars(range(min = 1, max = 120))]
    pub pollingInterval: u32,
    /// Deflate session data. With two partitions or more it always is.
    #[serde(default)]
    pub compression: bool,
    /// Databases over which sessions are spread, named `…_000`, `…_001` and so on. With 0 or 1 there
    /// is one, without a suffix.
    #[serde(default)]
    #[schemars(range(min = 0, max = 64))]
    pub partitions: u32,
}

fn session_type() -> String {
    "sessionbench".to_owned()
}

fn polling_interval() -> u32 {
    2
}

impl MongoSitecore {
    /// The defaults on a server.
    #[must_use]
    pub fn on(server: impl Into<String>) -> Self {
        Self {
            server: server.into(),
            sessionType: session_type(),
            pollingInterval: polling_interval(),
            compression: false,
            partitions: 0,
        }
    }

    /// Whether session data is deflated.
    #[must_use]
    pub const fn compressed(&self) -> bool {
        self.compression || self.partitions > 1
    }

    /// Names of the databases, when this one is configured.
    #[must_use]
    pub fn databases(&self, configured: &str) -> Vec<String> {
        match self.partitions {
            0 | 1 => vec![configured.to_owned()],
            partitions => (0..partitions)
                .map(|number| format!("{configured}_{number:03}"))
                .collect(),
        }
    }
}

/// Why a connection string cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct BadServer {
    /// What is wrong, without secrets.
    pub message: String,
    /// What to do.
    pub help: String,
}

/// A connection string that was understood.
#[derive(Debug)]
pub struct Target {
    /// For the driver.
    pub string: ConnectionString,
    /// How long an operation may take.
    pub limit: Duration,
    /// The configured database.
    pub database: String,
}

/// Reads a connection string.
///
/// # Errors
/// It asks for a managed server, for a DNS lookup, or cannot be understood.
pub fn read(server: &str) -> Result<Target, BadServer> {
    let bad = |message: &str, help: &str| BadServer {
        message: message.to_owned(),
        help: help.to_owned(),
    };
    if server == "managed" {
        return Err(bad(
            "there is no managed MongoDB server",
            "start one, for example `mongod --dbpath <directory>`, and write \
             `server: mongodb://localhost:27017/sessions`",
        ));
    }
    if server.starts_with("mongodb+srv://") {
        return Err(bad(
            "`mongodb+srv://` is not supported: it needs DNS lookups",
            "write the hosts themselves: `mongodb://host1,host2/sessions?replicaSet=…&tls=true`",
        ));
    }
    if !server.starts_with("mongodb://") {
        return Err(bad(
            "a MongoDB connection string begins with `mongodb://`",
            "write it as MongoDB's drivers do: `mongodb://localhost:27017/sessions`",
        ));
    }
    let mut string = ConnectionString::parse(server).map_err(|error| BadServer {
        message: match server.contains('@') {
            false => format!("the connection string cannot be read: {}", error.kind),
            true => "the connection string cannot be read".to_owned(),
        },
        help:
            "percent-encode what is special in a user name or password: `@` is `%40`, `/` is `%2F`"
                .to_owned(),
    })?;
    // The driver refuses it; the limit is kept on our clock instead.
    #[allow(deprecated, reason = "the driver warns that it does not support it")]
    let socket_timeout = string.socket_timeout.take();
    string
        .server_selection_timeout
        .get_or_insert(SELECTION_LIMIT);
    string.max_pool_size.get_or_insert(POOL_SIZE);
    Ok(Target {
        // 0 is no limit to the .NET driver.
        limit: socket_timeout
            .filter(|limit| !limit.is_zero())
            .unwrap_or(OPERATION_LIMIT),
        database: string
            .default_database
            .clone()
            .unwrap_or_else(|| DATABASE.to_owned()),
        string,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn help(server: &str) -> String {
        read(server).unwrap_err().help
    }

    #[test]
    fn a_connection_string_brings_its_database_and_limits() {
        let target = read("mongodb://db.example/site?socketTimeoutMS=1500&maxPoolSize=7").unwrap();
        assert_eq!(target.database, "site");
        assert_eq!(target.limit, Duration::from_millis(1500));
        assert_eq!(target.string.max_pool_size, Some(7));
    }

    #[test]
    fn what_a_connection_string_leaves_open_is_set() {
        let target = read("mongodb://db.example").unwrap();
        assert_eq!(target.database, DATABASE);
        assert_eq!(target.limit, OPERATION_LIMIT);
        assert_eq!(target.string.max_pool_size, Some(POOL_SIZE));
        assert_eq!(
            target.string.server_selection_timeout,
            Some(SELECTION_LIMIT)
        );
    }

    #[test]
    fn a_server_that_cannot_be_had_says_what_to_write_instead() {
        assert!(help("managed").contains("server: mongodb://"));
        assert!(help("mongodb+srv://db.example").contains("mongodb://host1,host2"));
        assert!(help("localhost:27017").contains("mongodb://localhost"));
    }

    #[test]
    fn a_password_that_is_not_encoded_is_not_quoted() {
        for server in ["mongodb://u:se/cret@h", "mongodb://u:se:cret@h/x?y"] {
            let error = read(server).unwrap_err();
            let shown = format!("{error} {}", error.help);
            assert!(!shown.contains("cret"), "{shown}");
        }
    }

    #[test]
    fn partitions_are_databases_with_a_number() {
        let mut settings = MongoSitecore::on("mongodb://h");
        assert_eq!(settings.databases("s"), ["s"]);
        settings.partitions = 1;
        assert_eq!(settings.databases("s"), ["s"]);
        assert!(!settings.compressed());
        settings.partitions = 3;
        assert_eq!(settings.databases("s"), ["s_000", "s_001", "s_002"]);
        assert!(settings.compressed());
    }
}
