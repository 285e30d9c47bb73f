//! StackExchange.Redis connection strings: `cache.example.com:6380,password=…,ssl=true`.
//!
//! In: the text of a scenario or a web.config. Out: where to connect and what differs from the
//! defaults, with warnings for what has no effect here; nonsense is an error. The surprising fact:
//! a password may hold `=`, as the base64 keys of Azure do, but never a comma.

use super::address::Address;
use crate::providers::Secret;
use std::time::Duration;

/// Port of a Redis server that names none.
const PORT: u16 = 6379;
/// Port of a Redis server that names none and speaks TLS.
const TLS_PORT: u16 = 6380;
/// Port of a sentinel that names none.
const SENTINEL_PORT: u16 = 26379;
/// StackExchange.Redis's default for `keepAlive` and `configCheckSeconds`.
const MINUTE: Duration = Duration::from_secs(60);

/// A connection string, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionString {
    /// The servers: one, the seeds of a cluster, a master with its replicas, or sentinels.
    pub servers: Vec<Address>,
    /// Name under which sentinels know the master (`serviceName`); the servers are sentinels then.
    pub service: Option<String>,
    /// User of the access control list; `None` is Redis's default user.
    pub user: Option<String>,
    /// Password or access key.
    pub password: Option<Secret>,
    /// Database number; wins over `databaseId` (facts §1.7).
    pub default_database: Option<u32>,
    /// Whether the server expects TLS.
    pub ssl: bool,
    /// Name that the server's certificate must have, if it is not its host's.
    pub ssl_host: Option<String>,
    /// Whether a run refuses to start while no server can be reached.
    pub abort_connect: bool,
    /// How often the first connection is tried.
    pub connect_retry: u32,
    /// Name of our connections in `CLIENT LIST`.
    pub name: Option<String>,
    /// After how much silence a connection is tested.
    pub keep_alive: Duration,
    /// How often the masters are asked for anew without need.
    pub config_check: Duration,
    /// Limit for making a connection.
    pub connect_timeout: Option<Duration>,
    /// Limit for an operation.
    pub sync_timeout: Option<Duration>,
    /// What has no effect here, and why.
    pub warnings: Vec<String>,
}

/// Why a text is no connection string. Never holds an option's value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectionStringError {
    /// No endpoint is named.
    #[error("the connection string names no server: write `host:port` first")]
    NoServer,
    /// An endpoint cannot be read.
    #[error("a server of the connection string is no `host:port`")]
    Server,
    /// Something without a name after the password, which may be a piece of it.
    #[error(
        "the connection string has a part without `=` after the password: name servers first; \
         a password cannot hold a comma"
    )]
    AfterPassword,
    /// A Unix socket without an absolute path.
    #[error("a Unix socket in a connection string is written `!/absolute/path`")]
    Socket,
    /// An option's value is not of its kind.
    #[error("the connection string's option `{option}` must be {expected}")]
    Value {
        /// The option.
        option: &'static str,
        /// What it takes.
        expected: &'static str,
    },
}

/// Options of StackExchange.Redis that could change what is measured there and change nothing here
/// are warned about like unknown ones. These cannot: they are about logs, code or other commands.
const NEEDLESS: [&str; 16] = [
    "allowadmin",
    "asynctimeout",
    "checkcertificaterevocation",
    "configchannel",
    "configurationchannel",
    "defaultversion",
    "includedetailinexceptions",
    "includeperformancecountersinexceptions",
    "preserveasyncorder",
    "resolvedns",
    "responsetimeout",
    "setlib",
    "tiebreaker",
    "tunnel",
    "version",
    "writebuffer",
];

impl std::str::FromStr for ConnectionString {
    type Err = ConnectionStringError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut endpoints = Vec::new();
        let mut found = Self {
            servers: Vec::new(),
            service: None,
            user: None,
            password: None,
            default_database: None,
            ssl: false,
            ssl_host: None,
            abort_connect: true,
            connect_retry: 3,
            name: None,
            keep_alive: MINUTE,
            config_check: MINUTE,
            connect_timeout: None,
            sync_timeout: None,
            warnings: Vec::new(),
        };
        for part in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
            match part.split_once('=') {
                Some((option, value)) => found.take(option.trim(), value.trim())?,
                // Never taken for a server, whose name would be printed.
                None if found.password.is_some() => {
                    return Err(ConnectionStringError::AfterPassword);
                }
                None => endpoints.push(part),
            }
        }
        let port = match (&found.service, found.ssl) {
            (Some(_), _) => SENTINEL_PORT,
            (None, true) => TLS_PORT,
            (None, false) => PORT,
        };
        let read = endpoints.iter().map(|text| Address::read(text, port));
        found.servers = read.collect::<Result<_, _>>()?;
        if found.servers.is_empty() {
            return Err(ConnectionStringError::NoServer);
        }
        Ok(found)
    }
}

impl ConnectionString {
    /// The name that certificates are checked against: `sslHost`, or the host that all servers
    /// share, since a cluster tells its nodes by address. `None`: each server's own host.
    #[must_use]
    pub fn certificate_name(&self) -> Option<String> {
        let mut hosts = self.servers.iter().map(Address::host);
        let first = hosts.next().flatten();
        let shared = first.filter(|first| hosts.all(|host| host == Some(*first)));
        self.ssl_host.clone().or(shared.map(str::to_owned))
    }

    fn take(&mut self, option: &str, value: &str) -> Result<(), ConnectionStringError> {
        match option.to_ascii_lowercase().as_str() {
            "password" => {
                self.password = (!value.is_empty()).then(|| Secret::new(value));
            }
            "user" => self.user = filled(value),
            "servicename" => self.service = filled(value),
            "sslhost" => self.ssl_host = filled(value),
            "name" => self.name = filled(value),
            "abortconnect" => self.abort_connect = truth("abortConnect", value)?,
            "connectretry" => self.connect_retry = number("connectRetry", value)?,
            "keepalive" => self.keep_alive = seconds("keepAlive", value)?,
            "configcheckseconds" => self.config_check = seconds("configCheckSeconds", value)?,
            "defaultdatabase" => {
                self.default_database = Some(number("defaultDatabase", value)?);
            }
            "ssl" => self.ssl = truth("ssl", value)?,
            "connecttimeout" => {
                self.connect_timeout = Some(milliseconds("connectTimeout", value)?);
            }
            "synctimeout" => self.sync_timeout = Some(milliseconds("syncTimeout", value)?),
            known if NEEDLESS.contains(&known) => {}
            _ => self.warn(option),
        }
        Ok(())
    }

    /// Names an option that has no effect; what does not look like a name may be a piece of a
    /// password and is not repeated.
    fn warn(&mut self, option: &str) {
        let name = option.len() <= 40 && option.chars().all(|c| c.is_ascii_alphabetic());
        self.warnings.push(if name {
            format!("option `{option}` has no effect here")
        } else {
            "an option without a proper name has no effect".to_owned()
        });
    }
}

fn number(option: &'static str, value: &str) -> Result<u32, ConnectionStringError> {
    value.parse().map_err(|_| ConnectionStringError::Value {
        option,
        expected: "a whole number",
    })
}

fn milliseconds(option: &'static str, value: &str) -> Result<Duration, ConnectionStringError> {
    match number(option, value) {
        Ok(milliseconds) if milliseconds > 0 => Ok(Duration::from_millis(milliseconds.into())),
        _ => Err(ConnectionStringError::Value {
            option,
            expected: "a positive number of milliseconds",
        }),
    }
}

fn seconds(option: &'static str, value: &str) -> Result<Duration, ConnectionStringError> {
    match number(option, value) {
        Ok(seconds) if seconds > 0 => Ok(Duration::from_secs(seconds.into())),
        _ => Err(ConnectionStringError::Value {
            option,
            expected: "a positive number of seconds",
        }),
    }
}

fn filled(value: &str) -> Option<String> {
    (!value.is_empty()).then(|| value.to_owned())
}

fn truth(option: &'static str, value: &str) -> Result<bool, ConnectionStringError> {
    let is = |words: [&str; 4]| words.iter().any(|word| value.eq_ignore_ascii_case(word));
    if is(["true", "yes", "on", "1"]) {
        Ok(true)
    } else if is(["false", "no", "off", "0"]) {
        Ok(false)
    } else {
        Err(ConnectionStringError::Value {
            option,
            expected: "true or false",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<ConnectionString, ConnectionStringError> {
        text.parse()
    }

    #[test]
    fn an_azure_connection_string_is_read() {
        let text = "site.redis.cache.windows.net:6380,password=aGVsbG8=,ssl=True,\
                    abortConnect=False,defaultDatabase=3,syncTimeout=1000";
        let found = parse(text).unwrap();
        let server = Address::tcp("site.redis.cache.windows.net", 6380);
        assert_eq!(found.servers, [server]);
        assert!(!found.abort_connect);
        assert_eq!(found.password.unwrap().reveal(), "aGVsbG8=");
        assert!(found.ssl);
        assert_eq!(found.default_database, Some(3));
        assert_eq!(found.sync_timeout, Some(Duration::from_secs(1)));
        assert!(found.warnings.is_empty());
    }

    #[test]
    fn the_default_port_depends_on_tls() {
        for (text, port) in [
            ("localhost", 6379),
            ("localhost,ssl=true", 6380),
            ("localhost,serviceName=m", 26379),
        ] {
            let expected = [Address::tcp("localhost", port)];
            assert_eq!(parse(text).unwrap().servers, expected, "{text}");
        }
    }

    #[test]
    fn several_servers_are_kept_in_their_order() {
        let found = parse("a:1,ssl=true,sslHost=c,b,name=me,connectRetry=5").unwrap();
        assert_eq!(
            found.servers,
            [Address::tcp("a", 1), Address::tcp("b", 6380)]
        );
        assert_eq!(found.ssl_host.as_deref(), Some("c"));
        assert_eq!(found.name.as_deref(), Some("me"));
        assert_eq!(found.connect_retry, 5);
        assert!(found.abort_connect);
    }

    #[test]
    fn certificates_bear_the_host_that_all_servers_share() {
        for (text, name) in [
            ("a:1,a:2,ssl=true", Some("a")),
            ("a:1,b:1,ssl=true", None),
            ("a:1,b:1,ssl=true,sslHost=c", Some("c")),
        ] {
            assert_eq!(parse(text).unwrap().certificate_name().as_deref(), name);
        }
    }

    #[test]
    fn an_option_without_effect_is_named() {
        let found = parse("localhost,channelPrefix=x,proxy=Twemproxy,allowAdmin=true").unwrap();
        let expected = [
            "option `channelPrefix` has no effect here",
            "option `proxy` has no effect here",
        ];
        assert_eq!(found.warnings, expected);
    }

    #[test]
    fn nonsense_is_an_error() {
        for text in [
            "",
            "  ,",
            "password=x",
            "host:port",
            "host:0",
            "a b",
            "h,ssl=maybe",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_secret_is_never_printed() {
        let found = parse("localhost,password=hunter2,user=me").unwrap();
        let printed = format!("{found:?} {} {:?}", found.warnings.join(""), found.password);
        assert!(!printed.contains("hunter2"), "{printed}");
        let comma = parse("localhost,password=a,hunter2=b").unwrap();
        assert!(!format!("{comma:?}").contains("hunter2"));
        let comma = parse("localhost,password=a,hunter2");
        assert_eq!(comma, Err(ConnectionStringError::AfterPassword));
        let error = parse("localhost,password=a,syncTimeout=hunter2").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text: String) {
            let _ = parse(&text);
        }

        #[test]
        fn no_list_of_options_makes_the_parser_panic(
            text in "[a-z\\[\\]:.]{0,12}(,(ssl|password|user|defaultDatabase|x)=[a-z0-9=]{0,8}){0,4}",
        ) {
            let _ = parse(&text);
        }
    }
}
