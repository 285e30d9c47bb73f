//! Where a Redis server listens: a host and port, or a Unix socket.
//!
//! In: an endpoint as StackExchange.Redis writes it, `host:port`, `[::1]:7000` or `!/run/redis.sock`,
//! or one that a server names in a redirection. Out: a value that is cheap to copy and to compare.
//! The surprising fact: the exclamation mark; StackExchange.Redis knows no `unix:` prefix, but
//! people write it, so it is read too.

use super::connection_string::ConnectionStringError;
use std::fmt;
use std::path::Path;
use std::rc::Rc;

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Address {
    /// Host name or IP address, and port.
    Tcp {
        /// The host; an IPv6 address without brackets.
        host: Rc<str>,
        /// The port.
        port: u16,
    },
    /// A socket in the file system.
    Unix(Rc<Path>),
}

impl Address {
    /// A host and port.
    #[must_use]
    pub fn tcp(host: &str, port: u16) -> Self {
        let host = host.into();
        Self::Tcp { host, port }
    }

    /// Reads an endpoint of a connection string; a host without a port has the default one.
    ///
    /// # Errors
    /// [`ConnectionStringError::Server`].
    pub fn read(text: &str, default_port: u16) -> Result<Self, ConnectionStringError> {
        if let Some(path) = text
            .strip_prefix('!')
            .or_else(|| text.strip_prefix("unix:"))
        {
            let path = Path::new(path);
            return match path.is_absolute() {
                true => Ok(Self::Unix(path.into())),
                false => Err(ConnectionStringError::Socket),
            };
        }
        let (host, port) = split(text)?;
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._:%".contains(c);
        if host.is_empty() || !host.chars().all(plain) {
            return Err(ConnectionStringError::Server);
        }
        match port.map_or(Ok(default_port), str::parse) {
            Ok(port) if port > 0 => Ok(Self::tcp(host, port)),
            _ => Err(ConnectionStringError::Server),
        }
    }

    /// Reads where a server sends us: `host:port`, or `:port` for another port of its own host.
    /// IPv6 addresses come without brackets.
    #[must_use]
    pub fn redirection(text: &str, from: &Self) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        Some(from.sibling(host, port.parse().ok()?))
    }

    /// Another server by the host and port that this one tells; an empty host is this one's own.
    #[must_use]
    pub fn sibling(&self, host: &str, port: u16) -> Self {
        match (host, self.host()) {
            ("" | "?", Some(own)) => Self::tcp(own, port),
            _ => Self::tcp(host, port),
        }
    }

    /// Host name or address; none for a Unix socket.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        match self {
            Self::Tcp { host, .. } => Some(host),
            Self::Unix(_) => None,
        }
    }
}

/// Host and port of `host:port`, `[address]:port`, or either without a port.
fn split(text: &str) -> Result<(&str, Option<&str>), ConnectionStringError> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or(ConnectionStringError::Server)?;
        return match rest.strip_prefix(':') {
            None if !rest.is_empty() => Err(ConnectionStringError::Server),
            port => Ok((host, port)),
        };
    }
    Ok(match text.rsplit_once(':') {
        // An IPv6 address without brackets has several colons and no port.
        Some((host, _)) if host.contains(':') => (text, None),
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    })
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "!{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Address, ConnectionStringError> {
        Address::read(text, 6379)
    }

    #[test]
    fn an_ipv6_address_stands_in_brackets() {
        assert_eq!(read("[::1]:7000").unwrap(), Address::tcp("::1", 7000));
        assert_eq!(read("::1").unwrap(), Address::tcp("::1", 6379));
        assert_eq!(Address::tcp("::1", 7000).to_string(), "[::1]:7000");
    }

    #[test]
    fn a_unix_socket_has_an_exclamation_mark_and_an_absolute_path() {
        let socket = Address::Unix(Path::new("/run/redis.sock").into());
        assert_eq!(read("!/run/redis.sock").unwrap(), socket);
        assert_eq!(read("unix:/run/redis.sock").unwrap(), socket);
        assert_eq!(socket.to_string(), "!/run/redis.sock");
        assert_eq!(read("!redis.sock"), Err(ConnectionStringError::Socket));
    }

    #[test]
    fn nonsense_is_no_address() {
        for text in ["", "host:port", "host:0", "a b", "[::1", "[::1]7", "!"] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_server_that_does_not_know_its_host_means_the_one_it_was_asked_at() {
        let asked = Address::tcp("db", 7000);
        let told = |text| Address::redirection(text, &asked);
        assert_eq!(told(":7001"), Some(Address::tcp("db", 7001)));
        assert_eq!(told("10.0.0.2:7001"), Some(Address::tcp("10.0.0.2", 7001)));
        assert_eq!(told("::1:7001"), Some(Address::tcp("::1", 7001)));
    }
}
