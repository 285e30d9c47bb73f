//! Connection strings without their secrets.
//!
//! In: a connection string of a configuration. Out: the same for a scenario, with variables of the
//! environment for passwords, keys and credentials. The surprising fact: an option goes over only if
//! it is on a list. What is not on it may be a piece of a password, and is not even named.

mod mongo;
mod sql;

pub use mongo::mongo;
pub use sql::sql;

/// A connection string as a scenario has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Connection {
    /// Its text, with `${NAME}` for secrets.
    pub text: String,
    /// The variables in it.
    pub variables: Vec<Variable>,
    /// What was left out, or does not work here.
    pub remarks: Vec<String>,
}

/// A variable of the environment that the scenario asks for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// What it is to hold.
    pub holds: String,
}

/// Where a secret was found, which gives its variable a name.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    /// Name of the connection string, of the setting, or of store kind and provider.
    pub name: &'a str,
    /// The same for a person.
    pub described: &'a str,
}

impl Origin<'_> {
    /// The variable for a secret: `sharedSession` and `PASSWORD` make `SHARED_SESSION_PASSWORD`.
    #[must_use]
    pub fn variable(self, suffix: &str, what: &str) -> Variable {
        let mut name = words(self.name);
        // An access key is what its setting's name already says.
        if !name.ends_with(suffix) && !name.ends_with("_KEY") {
            name = format!("{name}_{suffix}");
        }
        Variable {
            name,
            holds: format!("{what} of {}", self.described),
        }
    }
}

/// A name in capitals, words apart.
fn words(name: &str) -> String {
    let mut words = String::new();
    let mut after_small = false;
    for character in name.chars() {
        if !character.is_ascii_alphanumeric() {
            after_small = false;
            if !words.ends_with('_') {
                words.push('_');
            }
            continue;
        }
        if after_small && character.is_ascii_uppercase() {
            words.push('_');
        }
        words.push(character.to_ascii_uppercase());
        after_small = !character.is_ascii_uppercase();
    }
    let words = words.trim_matches('_');
    match words.chars().next() {
        Some(first) if first.is_ascii_alphabetic() => words.to_owned(),
        _ => format!("SESSION_{words}").trim_end_matches('_').to_owned(),
    }
}

/// Text that a scenario takes as it is.
#[must_use]
pub fn escape(text: &str) -> String {
    text.replace("${", "$${")
}

impl Connection {
    /// Adds a secret.
    fn secret(&mut self, variable: Variable) {
        self.text.push_str(&format!("${{{}}}", variable.name));
        if !self.variables.contains(&variable) {
            self.variables.push(variable);
        }
    }

    /// Says that options were left out.
    fn left_out(&mut self, number: usize) {
        match number {
            0 => {}
            1 => self
                .remarks
                .push("One option is not known, and was left out.".to_owned()),
            _ => self.remarks.push(format!(
                "{number} options are not known, and were left out."
            )),
        }
    }
}

/// Options of StackExchange.Redis that go over, but for the password; in small letters.
const REDIS_OPTIONS: [&str; 30] = [
    "abortconnect",
    "allowadmin",
    "asynctimeout",
    "channelprefix",
    "checkcertificaterevocation",
    "configchannel",
    "configcheckseconds",
    "connectretry",
    "connecttimeout",
    "defaultdatabase",
    "heartbeatinterval",
    "highintegrity",
    "keepalive",
    "name",
    "preserveasyncorder",
    "protocol",
    "proxy",
    "resolvedns",
    "responsetimeout",
    "servicename",
    "setlib",
    "ssl",
    "sslhost",
    "sslprotocols",
    "synctimeout",
    "tiebreaker",
    "tunnel",
    "user",
    "version",
    "writebuffer",
];

/// A StackExchange.Redis connection string.
///
/// # Errors
/// It makes no sense; says how, without a piece of it.
pub fn redis(string: &str, origin: Origin<'_>) -> Result<Connection, &'static str> {
    let mut connection = Connection::default();
    let mut unknown = 0;
    for part in string.split(',').map(str::trim).filter(|it| !it.is_empty()) {
        let (option, value) = match part.split_once('=') {
            Some((option, value)) => (option.trim(), Some(value.trim())),
            None => (part, None),
        };
        let separator = if connection.text.is_empty() { "" } else { "," };
        match (option.to_ascii_lowercase().as_str(), value) {
            (_, None) => {
                if !part.chars().all(is_endpoint) {
                    return Err("names a server that is no `host:port`");
                }
                connection.text.push_str(&format!("{separator}{part}"));
            }
            ("password", Some("")) => {}
            ("password", Some(_)) => {
                connection.text.push_str(&format!("{separator}{option}="));
                connection.secret(origin.variable("PASSWORD", "the password"));
            }
            (known, Some(value)) if REDIS_OPTIONS.contains(&known) => {
                let value = escape(value);
                connection
                    .text
                    .push_str(&format!("{separator}{option}={value}"));
            }
            _ => unknown += 1,
        }
    }
    let first = connection.text.split(',').next().unwrap_or_default();
    if first.is_empty() || first.contains('=') {
        return Err("names no server: it should begin with `host:port`");
    }
    connection.left_out(unknown);
    Ok(connection)
}

fn is_endpoint(character: char) -> bool {
    character.is_ascii_alphanumeric() || "-._:[]".contains(character)
}

/// A state server's connection string.
///
/// # Errors
/// It makes no sense; says how, without a piece of it.
pub fn state_server(string: &str) -> Result<Connection, &'static str> {
    let text = string.trim();
    let endpoint = text.strip_prefix("tcpip=").unwrap_or_default();
    if endpoint.is_empty() || !endpoint.chars().all(is_endpoint) {
        return Err("should be `tcpip=host:port`");
    }
    Ok(Connection {
        text: text.to_owned(),
        ..Connection::default()
    })
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Where the secrets of the tests come from.
    pub const ORIGIN: Origin<'static> = Origin {
        name: "sharedSession",
        described: "the connection string `sharedSession`",
    };

    #[test]
    fn names_become_names_of_variables() {
        for (name, variable) in [
            ("session", "SESSION_PASSWORD"),
            ("sharedSession", "SHARED_SESSION_PASSWORD"),
            ("xdb.collection", "XDB_COLLECTION_PASSWORD"),
            ("My Redis-Password", "MY_REDIS_PASSWORD"),
            ("AzureDB", "AZURE_DB_PASSWORD"),
            ("RedisAccessKey", "REDIS_ACCESS_KEY"),
            ("2nd", "SESSION_2ND_PASSWORD"),
            ("…", "SESSION_PASSWORD"),
        ] {
            let origin = Origin { name, ..ORIGIN };
            assert_eq!(origin.variable("PASSWORD", "").name, variable);
        }
    }

    #[test]
    fn redis_keeps_everything_but_the_password_and_the_unknown() {
        let text = "a.example.com:6380, b:1,password=x=y=,ssl=True,abortConnect=False,odd=1,syncTimeout=1000";
        let found = redis(text, ORIGIN).unwrap();
        let expected = "a.example.com:6380,b:1,password=${SHARED_SESSION_PASSWORD},ssl=True,\
                        abortConnect=False,syncTimeout=1000";
        assert_eq!(found.text, expected);
        assert_eq!(
            found.remarks,
            ["One option is not known, and was left out."]
        );
        for wrong in ["", "password=x", "redis://u:p@h", "ssl=true,h"] {
            assert!(redis(wrong, ORIGIN).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_state_server_is_a_tcp_endpoint() {
        assert!(state_server("tcpip=loopback:42424").is_ok());
        assert!(state_server("loopback:42424").is_err());
    }

    /// Everything that a reading tells.
    fn told(read: Result<Connection, &'static str>) -> String {
        format!("{read:?}")
    }

    proptest! {
        #[test]
        fn a_password_is_never_repeated(
            secret in "[a-zA-Z0-9!#$%&*+/:;<>?@^_{|}~. '\"=-]{7,20}",
            more in "[a-zA-Z0-9=;,:/?@&' -]{0,20}",
        ) {
            // Letters that stand nowhere else, at both ends of what a reader could stop at.
            let secret = format!("Q7Q{secret}Q7Q");
            let texts = [
                told(redis(&format!("h:1,password={secret},{more}"), ORIGIN)),
                told(mongo(&format!("mongodb://me:{secret}@h/d?{more}"), ORIGIN)),
            ];
            for text in texts {
                prop_assert!(!text.contains("Q7Q"), "{}", text);
            }
            let quoted = secret.replace('\'', "''");
            let text = told(sql(&format!("Server=h;Password='{quoted}';{more}"), ORIGIN, None));
            prop_assert!(!text.contains("Q7Q"), "{}", text);
        }
    }
}
