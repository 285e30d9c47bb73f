//! Why a database could not do what it was asked.

use crate::session::StoreError;
use std::time::Duration;

/// Why a database could not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SqlError {
    /// A command took longer than its limit.
    #[error("the database did not answer within {} ms", .0.as_millis())]
    CommandTimeout(Duration),
    /// Neither a pooled connection became free nor a new one could be made in time.
    #[error("no connection within {} ms: {why}", .limit.as_millis())]
    ConnectTimeout {
        /// The limit that passed.
        limit: Duration,
        /// Which of the two.
        why: &'static str,
    },
    /// A connection broke or could not be made.
    #[error("{0}")]
    Connection(String),
    /// The database answered with an error.
    #[error("{message} ({code})")]
    Server {
        /// SQLSTATE of PostgreSQL, or error number of SQL Server.
        code: String,
        /// What it says.
        message: String,
    },
    /// The answer is of a shape that was not expected.
    #[error("an answer of an unexpected shape: {0}")]
    Answer(String),
}

impl SqlError {
    /// Whether a row of this key exists already: 2601 and 2627 of SQL Server, 23505 of PostgreSQL.
    #[must_use]
    pub fn is_duplicate_key(&self) -> bool {
        matches!(self, Self::Server { code, .. } if ["2601", "2627", "23505"].contains(&code.as_str()))
    }

    /// Whether Microsoft's provider tries again after it: the database broke off, took too long, or is
    /// not there yet (4060 of SQL Server; facts §5.1, §7.3).
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        match self {
            Self::CommandTimeout(_) | Self::Connection(_) => true,
            Self::Server { code, .. } => code == "4060",
            Self::ConnectTimeout { .. } | Self::Answer(_) => false,
        }
    }

    /// Whether somebody else wrote the same row of a memory-optimised table meanwhile: what Microsoft's
    /// provider tries again there (public source, `SqlInMemoryTableSessionStateRepository`).
    #[must_use]
    pub fn is_write_conflict(&self) -> bool {
        const CONFLICTS: [&str; 5] = ["41301", "41302", "41305", "41325", "41839"];
        matches!(self, Self::Server { code, .. } if CONFLICTS.contains(&code.as_str()))
    }

    /// Whether the connection can serve on after it.
    #[must_use]
    pub const fn spares_connection(&self) -> bool {
        matches!(self, Self::Server { .. } | Self::Answer(_))
    }
}

impl From<SqlError> for StoreError {
    fn from(error: SqlError) -> Self {
        match error {
            SqlError::CommandTimeout(limit) | SqlError::ConnectTimeout { limit, .. } => {
                Self::Timeout { limit }
            }
            SqlError::Connection(why) => Self::Connection(why),
            SqlError::Server { .. } | SqlError::Answer(_) => Self::Refused(error.to_string()),
        }
    }
}

impl From<tokio_postgres::Error> for SqlError {
    fn from(error: tokio_postgres::Error) -> Self {
        if let Some(told) = error.as_db_error() {
            let fatal = matches!(told.severity(), "FATAL" | "PANIC");
            let message = told.message().to_owned();
            if fatal {
                return Self::Connection(message);
            }
            return Self::Server {
                code: told.code().code().to_owned(),
                message,
            };
        }
        // Its own text leaves the cause out.
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        let told = match cause {
            Some(cause) => format!("{error}: {cause}"),
            None => error.to_string(),
        };
        Self::Connection(told)
    }
}

impl From<tiberius::error::Error> for SqlError {
    fn from(error: tiberius::error::Error) -> Self {
        /// From this class on SQL Server closes the connection.
        const FATAL: u8 = 20;
        match error {
            tiberius::error::Error::Server(told) if told.class() >= FATAL => {
                Self::Connection(told.message().to_owned())
            }
            tiberius::error::Error::Server(told) => Self::Server {
                code: told.code().to_string(),
                message: told.message().to_owned(),
            },
            error => Self::Connection(without_code(&error.to_string())),
        }
    }
}

/// What tiberius says of a failed handshake, with advice on connection strings in place of its own,
/// which is for programmers.
fn without_code(told: &str) -> String {
    match told.split_once(" To connect anyway you can") {
        Some((what, _)) => format!(
            "{what} Name the file of its authority with `TrustServerCertificateCA`, or trust any \
             with `TrustServerCertificate=true`"
        ),
        None => told.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_is_on_connection_strings() {
        let told = "the certificate was rejected: UnknownIssuer. To connect anyway you can: (1) …";
        let advice = without_code(told);
        assert!(advice.starts_with("the certificate was rejected: UnknownIssuer. Name"));
        assert!(advice.ends_with("`TrustServerCertificate=true`"));
        assert_eq!(without_code("refused"), "refused");
    }
}
