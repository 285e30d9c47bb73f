//! StackExchange.Redis connection strings: `cache.example.com:6380,password=…,ssl=true`.
//!
//! In: the text of a scenario or a web.config. Out: where to connect and what differs from the
//! defaults, with warnings for what has no effect here; nonsense is an error. The surprising fact:
//! a password may hold `=`, as the base64 keys of Azure do, but never a comma.

use crate::providers::Secret;
use std::time::Duration;

/// Port of a Redis server that names none.
const PORT: u16 = 6379;
/// Port of a Redis server that names none and speaks TLS.
const TLS_PORT: u16 = 6380;

/// A connection string, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionString {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// User of the access control list; `None` is Redis's default user.
    pub user: Option<String>,
    /// Password or access key.
    pub password: Option<Secret>,
    /// Database number; wins over `databaseId` (facts §1.7).
    pub default_database: Option<u32>,
    /// Whether the server expects TLS.
    pub ssl: bool,
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
    /// The endpoint cannot be read.
    #[error("the connection string's server is no `host:port`")]
    Server,
    /// An option's value is not of its kind.
    #[error("the connection string's option `{option}` must be {expected}")]
    Value {
        /// The option.
        option: &'static str,
        /// What it takes.
        expected: &'static str,
    },
}

/// Options that StackExchange.Redis knows and that decide nothing for one server without sentinels.
const WITHOUT_EFFECT: [&str; 23] = [
    "abortconnect",
    "allowadmin",
    "asynctimeout",
    "checkcertificaterevocation",
    "configchannel",
    "configcheckseconds",
    "configurationchannel",
    "connectretry",
    "highintegrity",
    "includedetailinexceptions",
    "includeperformancecountersinexceptions",
    "keepalive",
    "name",
    "preserveasyncorder",
    "protocol",
    "resolvedns",
    "responsetimeout",
    "setlib",
    "sslhost",
    "sslprotocols",
    "tiebreaker",
    "version",
    "writebuffer",
];

impl std::str::FromStr for ConnectionString {
    type Err = ConnectionStringError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut endpoints = Vec::new();
        let mut found = Self {
            host: String::new(),
            port: 0,
            user: None,
            password: None,
            default_database: None,
            ssl: false,
            connect_timeout: None,
            sync_timeout: None,
            warnings: Vec::new(),
        };
        for part in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
            match part.split_once('=') {
                Some((option, value)) => found.take(option.trim(), value.trim())?,
                None => endpoints.push(part),
            }
        }
        let (first, others) = endpoints
            .split_first()
            .ok_or(ConnectionStringError::NoServer)?;
        if !others.is_empty() {
            let warning = format!("only the first of {} servers is used", endpoints.len());
            found.warnings.push(warning);
        }
        let default = if found.ssl { TLS_PORT } else { PORT };
        (found.host, found.port) = endpoint(first, default)?;
        Ok(found)
    }
}

impl ConnectionString {
    fn take(&mut self, option: &str, value: &str) -> Result<(), ConnectionStringError> {
        match option.to_ascii_lowercase().as_str() {
            "password" => {
                self.password = (!value.is_empty()).then(|| Secret::new(value));
            }
            "user" => self.user = (!value.is_empty()).then(|| value.to_owned()),
            "defaultdatabase" => {
                self.default_database = Some(number("defaultDatabase", value)?);
            }
            "ssl" => self.ssl = truth("ssl", value)?,
            "connecttimeout" => {
                self.connect_timeout = Some(milliseconds("connectTimeout", value)?);
            }
            "synctimeout" => self.sync_timeout = Some(milliseconds("syncTimeout", value)?),
            known if WITHOUT_EFFECT.contains(&known) => {}
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

fn endpoint(text: &str, default: u16) -> Result<(String, u16), ConnectionStringError> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or(ConnectionStringError::Server)?;
            (host, rest.strip_prefix(':'))
        }
        None => match text.rsplit_once(':') {
            // An IPv6 address without brackets has several colons and no port.
            Some((host, _)) if host.contains(':') => (text, None),
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._:%".contains(c);
    if host.is_empty() || !host.chars().all(plain) {
        return Err(ConnectionStringError::Server);
    }
    let port = match port {
        Some(port) => port.parse().map_err(|_| ConnectionStringError::Server)?,
        None => default,
    };
    if port == 0 {
        return Err(ConnectionStringError::Server);
    }
    Ok((host.to_owned(), port))
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

fn truth(option: &'static str, value: &str) -> Result<bool, ConnectionStringError> {
    let is = |words: [&str; 3]| words.iter().any(|word| value.eq_ignore_ascii_case(word));
    if is(["true", "yes", "on"]) {
        Ok(true)
    } else if is(["false", "no", "off"]) {
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
        assert_eq!(found.host, "site.redis.cache.windows.net");
        assert_eq!(found.port, 6380);
        assert_eq!(found.password.unwrap().reveal(), "aGVsbG8=");
        assert!(found.ssl);
        assert_eq!(found.default_database, Some(3));
        assert_eq!(found.sync_timeout, Some(Duration::from_secs(1)));
        assert!(found.warnings.is_empty());
    }

    #[test]
    fn the_default_port_depends_on_tls() {
        assert_eq!(parse("localhost").unwrap().port, 6379);
        assert_eq!(parse("localhost,ssl=true").unwrap().port, 6380);
    }

    #[test]
    fn an_ipv6_address_stands_in_brackets() {
        let found = parse("[::1]:7000").unwrap();
        assert_eq!((found.host.as_str(), found.port), ("::1", 7000));
    }

    #[test]
    fn an_option_without_effect_is_named() {
        let found = parse("localhost,channelPrefix=x,localhost:7001").unwrap();
        let expected = [
            "option `channelPrefix` has no effect here",
            "only the first of 2 servers is used",
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
        let comma = parse("localhost,password=a,hunter2=b,hunter2").unwrap();
        assert!(!format!("{comma:?}").contains("hunter2"));
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
