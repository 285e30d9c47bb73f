//! Why a command to Redis failed, as far as what to do next depends on it.
//!
//! The surprising fact: the genuine provider tries everything again, also a wrong password
//! (facts §1.6). Here what no later try can help is told at once; everything else keeps its retries.

use super::pipe::Broken;
use crate::providers::ConnectError;
use crate::session::StoreError;
use redis::{ErrorKind, RedisError, ServerErrorKind};
use std::time::Duration;

/// Why one command failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// No answer within the limit.
    TimedOut,
    /// The server does not know the script by its hash.
    UnknownScript,
    /// The connection broke or could not be made, or leads to a server that is no master any more.
    Broken(String),
    /// The server answered with an error that may pass.
    Refused(String),
    /// The slot belongs to another server of the cluster.
    Moved {
        /// The slot.
        slot: u16,
        /// The server, as the answer names it.
        to: String,
    },
    /// The slot is moving, and this command must ask another server.
    Ask {
        /// The server, as the answer names it.
        to: String,
    },
    /// No later try helps: a password, a right, a certificate, a setting.
    Unusable(String),
}

impl From<Broken> for Failure {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken.to_string())
    }
}

impl From<RedisError> for Failure {
    fn from(error: RedisError) -> Self {
        let text = error.to_string();
        if is_denied(&error) {
            return Self::Unusable(text);
        }
        let redirection = || {
            error
                .redirect_node()
                .map(|(to, slot)| (to.to_owned(), slot))
        };
        match error.kind() {
            ErrorKind::Server(ServerErrorKind::NoScript) => Self::UnknownScript,
            ErrorKind::Server(ServerErrorKind::ReadOnly) | ErrorKind::Io | ErrorKind::Parse => {
                Self::Broken(text)
            }
            ErrorKind::Server(kind @ (ServerErrorKind::Moved | ServerErrorKind::Ask)) => {
                match (redirection(), kind) {
                    (Some((to, slot)), ServerErrorKind::Moved) => Self::Moved { slot, to },
                    (Some((to, _)), _) => Self::Ask { to },
                    (None, _) => Self::Refused(text),
                }
            }
            _ => Self::Refused(text),
        }
    }
}

/// Whether a server refuses us and not the command's circumstances. What a script may not do is told
/// by its text alone.
fn is_denied(error: &RedisError) -> bool {
    let by_script = "user executing the script can't";
    error.kind() == ErrorKind::AuthenticationFailed
        || error.kind() == ErrorKind::Server(ServerErrorKind::NoPerm)
        || matches!(error.code(), Some("NOAUTH" | "WRONGPASS"))
        || error.detail().is_some_and(|text| text.contains(by_script))
}

impl Failure {
    /// As an operation of the contract tells it; `limit` is the one that passed.
    #[must_use]
    pub fn into_store_error(self, limit: Duration) -> StoreError {
        match self {
            Self::TimedOut => StoreError::Timeout { limit },
            // The text was sent after it, so the server forgot it in between; the next try helps.
            Self::UnknownScript => StoreError::Refused("NOSCRIPT".to_owned()),
            Self::Broken(why) => StoreError::Connection(why),
            Self::Refused(why) | Self::Unusable(why) => StoreError::Refused(why),
            Self::Moved { to, .. } | Self::Ask { to } => {
                StoreError::Refused(format!("it keeps sending us elsewhere, at last to {to}"))
            }
        }
    }

    /// As a provider that cannot be brought in tells it.
    #[must_use]
    pub fn into_connect_error(self, limit: Duration) -> ConnectError {
        match self {
            Self::Unusable(why) => ConnectError::Settings(why),
            other => ConnectError::Store(other.into_store_error(limit)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(wire: &str) -> Failure {
        let reply = redis::parse_redis_value(wire.as_bytes()).unwrap();
        reply.extract_error().unwrap_err().into()
    }

    #[test]
    fn what_no_later_try_helps_is_told_from_what_may_pass() {
        for denied in [
            "-NOAUTH Authentication required.\r\n",
            "-WRONGPASS invalid username-password pair or user is disabled.\r\n",
            "-NOPERM this user has no permissions to run the 'eval' command\r\n",
            "-ERR The user executing the script can't run this command or subcommand\r\n",
        ] {
            let found = failure(denied);
            assert!(matches!(found, Failure::Unusable(_)), "{denied}: {found:?}");
        }
        for passing in [
            "-LOADING x\r\n",
            "-CLUSTERDOWN x\r\n",
            "-OOM x\r\n",
            "-ERR x\r\n",
        ] {
            let found = failure(passing);
            assert!(matches!(found, Failure::Refused(_)), "{passing}: {found:?}");
        }
        assert!(matches!(failure("-READONLY x\r\n"), Failure::Broken(_)));
    }

    #[test]
    fn a_redirection_names_slot_and_server() {
        let to = "10.0.0.2:7001".to_owned();
        let moved = Failure::Moved {
            slot: 3999,
            to: to.clone(),
        };
        assert_eq!(failure("-MOVED 3999 10.0.0.2:7001\r\n"), moved);
        assert_eq!(failure("-ASK 3999 10.0.0.2:7001\r\n"), Failure::Ask { to });
    }
}
