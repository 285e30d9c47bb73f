//! Settings of `state_server` under the names of `<sessionState>` (facts §2.4).

use crate::quantity::Span;
use crate::servers::state_server::protocol;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// Settings of `state_server`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[allow(non_snake_case)]
pub struct StateServerSettings {
    /// The server.
    pub server: Server,
    /// How long a request to the server may take.
    pub stateNetworkTimeout: Span,
    /// Deflate session data.
    pub compressionEnabled: bool,
    /// The web application's id in IIS (`AppDomainAppId`), which begins the name of every session.
    /// The harness appends the cluster.
    pub application_id: String,
    /// How requests are spelt.
    pub dialect: Dialect,
}

/// Where the state server is. Written as `managed`, or as a `stateConnectionString`:
/// `tcpip=loopback:42424`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(from = "String", into = "String")]
#[schemars(with = "String", rename = "StateServerAddress")]
pub enum Server {
    /// A state server of ours, started for the run on loopback and stopped after it.
    #[default]
    Managed,
    /// A server that already runs.
    ConnectionString(String),
}

impl From<String> for Server {
    fn from(text: String) -> Self {
        match text.as_str() {
            "managed" => Self::Managed,
            _ => Self::ConnectionString(text),
        }
    }
}

impl From<Server> for String {
    fn from(server: Server) -> Self {
        match server {
            Server::Managed => "managed".to_owned(),
            Server::ConnectionString(text) => text,
        }
    }
}

/// How requests are spelt on the wire; implementations disagree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "StateServerDialect")]
pub enum Dialect {
    /// As deployed state servers read them: header `LockCookie`, target without a leading `/`.
    #[default]
    Deployed,
    /// As the examples of the specification have them: `Lock-Cookie`, and a leading `/`.
    Specification,
}

impl From<Dialect> for protocol::Dialect {
    fn from(dialect: Dialect) -> Self {
        match dialect {
            Dialect::Deployed => Self::Deployed,
            Dialect::Specification => Self::Specification,
        }
    }
}

impl Default for StateServerSettings {
    fn default() -> Self {
        Self {
            server: Server::default(),
            stateNetworkTimeout: Span::from_secs(10),
            compressionEnabled: false,
            application_id: "/LM/W3SVC/1/ROOT".to_owned(),
            dialect: Dialect::default(),
        }
    }
}

/// Host and port of a `stateConnectionString`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The host; an IPv6 address without its brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// A text that is no `stateConnectionString`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no state server: it is written `tcpip=host:port`, as in `tcpip=loopback:42424`")]
pub struct AddressError(String);

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let wrong = || AddressError(text.to_owned());
        let rest = text.strip_prefix("tcpip=").ok_or_else(wrong)?;
        let (host, port) = rest.rsplit_once(':').ok_or_else(wrong)?;
        let host = match host.strip_prefix('[').and_then(|it| it.strip_suffix(']')) {
            Some(address) if address.parse::<std::net::Ipv6Addr>().is_ok() => address,
            Some(_) => return Err(wrong()),
            None => host,
        };
        let plain = |c: char| c.is_ascii_graphic() && !"[]/@,;=".contains(c);
        let bracketed = rest.starts_with('[');
        if host.is_empty() || !host.chars().all(plain) || (host.contains(':') && !bracketed) {
            return Err(wrong());
        }
        let host = match host {
            "loopback" => "127.0.0.1",
            host => host,
        };
        Ok(Self {
            host: host.to_owned(),
            port: port
                .parse()
                .ok()
                .filter(|port| *port > 0)
                .ok_or_else(wrong)?,
        })
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Option<String> {
        text.parse::<Address>().ok().map(|it| it.to_string())
    }

    #[test]
    fn a_connection_string_names_host_and_port() {
        assert_eq!(
            shown("tcpip=state01:42424").as_deref(),
            Some("state01:42424")
        );
        assert_eq!(shown("tcpip=[::1]:42424").as_deref(), Some("[::1]:42424"));
    }

    #[test]
    fn loopback_is_this_machine() {
        assert_eq!(
            shown("tcpip=loopback:42424").as_deref(),
            Some("127.0.0.1:42424")
        );
    }

    #[test]
    fn what_is_no_connection_string_is_refused() {
        for text in [
            "",
            "manged",
            "localhost:42424",
            "tcpip=localhost",
            "tcpip=:42424",
            "tcpip=localhost:0",
            "tcpip=localhost:70000",
            "tcpip=::1:42424",
            "tcpip=[localhost]:42424",
            "tcpip=a b:42424",
            "tcpip=a@b:42424",
        ] {
            assert_eq!(shown(text), None, "{text}");
        }
    }
}
