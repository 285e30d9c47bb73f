//! Connection strings without their secrets.
//!
//! In: a connection string of a configuration. Out: the same for a scenario, with variables of the
//! environment for passwords, keys and credentials. The surprising fact: an option goes over only if
//! it is on a list. What is not on it may be a piece of a password, and is not even named.

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
        if !name.ends_with(suffix) {
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

/// Keywords of ADO.NET for SQL Server that go over, but for the password; in small letters.
const SQL_KEYWORDS: [&str; 47] = [
    "address",
    "addr",
    "app",
    "application intent",
    "application name",
    "applicationintent",
    "asynchronous processing",
    "authentication",
    "column encryption setting",
    "command timeout",
    "connect timeout",
    "connection lifetime",
    "connection timeout",
    "connectretrycount",
    "connectretryinterval",
    "current language",
    "data source",
    "database",
    "encrypt",
    "enlist",
    "failover partner",
    "hostnameincertificate",
    "initial catalog",
    "integrated security",
    "load balance timeout",
    "max pool size",
    "min pool size",
    "multi subnet failover",
    "multipleactiveresultsets",
    "multisubnetfailover",
    "network address",
    "network library",
    "packet size",
    "persist security info",
    "persistsecurityinfo",
    "pooling",
    "replication",
    "server",
    "timeout",
    "trust server certificate",
    "trusted_connection",
    "trustservercertificate",
    "type system version",
    "uid",
    "user",
    "user id",
    "workstation id",
];
const SERVER: [&str; 5] = [
    "address",
    "addr",
    "data source",
    "network address",
    "server",
];
const DATABASE: [&str; 2] = ["database", "initial catalog"];

/// An ADO.NET connection string for SQL Server. Where it names no database, `database` is added.
///
/// # Errors
/// It makes no sense; says how, without a piece of it.
pub fn sql(
    string: &str,
    origin: Origin<'_>,
    database: Option<&str>,
) -> Result<Connection, &'static str> {
    let mut connection = Connection::default();
    let (mut unknown, mut named_server, mut named_database) = (0, false, false);
    let mut rest = string;
    while let Some(found) = keyword(&mut rest)? {
        let (keyword, value) = found;
        let lower = keyword.to_ascii_lowercase();
        let separator = if connection.text.is_empty() { "" } else { ";" };
        if ["password", "pwd"].contains(&lower.as_str()) {
            if !value.is_empty() {
                connection.text.push_str(&format!("{separator}{keyword}="));
                connection.secret(origin.variable("PASSWORD", "the password"));
            }
            continue;
        }
        if !SQL_KEYWORDS.contains(&lower.as_str()) {
            unknown += 1;
            continue;
        }
        named_server |= SERVER.contains(&lower.as_str());
        named_database |= DATABASE.contains(&lower.as_str());
        let windows = ["integrated security", "trusted_connection"].contains(&lower.as_str());
        if windows && !["false", "no"].contains(&value.to_ascii_lowercase().as_str()) {
            connection.remarks.push(
                "It logs in as the Windows account of the web server, which sessionbench cannot: \
                 give it a user and a password of SQL Server."
                    .to_owned(),
            );
        }
        let value = escape(value);
        connection
            .text
            .push_str(&format!("{separator}{keyword}={value}"));
    }
    if !named_server {
        return Err("names no server: it should have `Server=…` or `Data Source=…`");
    }
    if let (false, Some(database)) = (named_database, database) {
        connection
            .text
            .push_str(&format!(";Initial Catalog={database}"));
    }
    connection.left_out(unknown);
    Ok(connection)
}

/// Takes the next keyword with its value, quotes included, from an ADO.NET connection string.
fn keyword<'a>(rest: &mut &'a str) -> Result<Option<(&'a str, &'a str)>, &'static str> {
    let text = rest.trim_start_matches([';', ' ', '\t', '\r', '\n']);
    if text.is_empty() {
        return Ok(None);
    }
    let (keyword, after) = text
        .split_once('=')
        .ok_or("has a part without `keyword=value`")?;
    let after = after.trim_start();
    let quote = after.chars().next().filter(|it| ['"', '\''].contains(it));
    let end = match quote {
        Some(quote) => closing(after, quote).ok_or("has a quote that is not closed")?,
        None => 0,
    };
    let end = after[end..].find(';').map_or(after.len(), |at| end + at);
    *rest = &after[end..];
    Ok(Some((keyword.trim(), after[..end].trim())))
}

/// The end of a quoted text, in which a quote is doubled.
fn closing(text: &str, quote: char) -> Option<usize> {
    let mut at = 1;
    loop {
        at += text[at..].find(quote)? + 1;
        match text[at..].starts_with(quote) {
            true => at += 1,
            false => return Some(at),
        }
    }
}

/// Options of MongoDB connection strings that go over; in small letters.
const MONGO_OPTIONS: [&str; 28] = [
    "appname",
    "authmechanism",
    "authsource",
    "compressors",
    "connect",
    "connecttimeoutms",
    "directconnection",
    "heartbeatfrequencyms",
    "journal",
    "loadbalanced",
    "localthresholdms",
    "maxidletimems",
    "maxpoolsize",
    "maxstalenessseconds",
    "minpoolsize",
    "readconcernlevel",
    "readpreference",
    "replicaset",
    "retryreads",
    "retrywrites",
    "serverselectiontimeoutms",
    "sockettimeoutms",
    "ssl",
    "tls",
    "w",
    "waitqueuetimeoutms",
    "wtimeout",
    "wtimeoutms",
];

/// A MongoDB connection string.
///
/// # Errors
/// It makes no sense; says how, without a piece of it.
pub fn mongo(string: &str, origin: Origin<'_>) -> Result<Connection, &'static str> {
    let string = string.trim();
    let (scheme, rest) = ["mongodb://", "mongodb+srv://"]
        .into_iter()
        .find_map(|scheme| Some((scheme, string.strip_prefix(scheme)?)))
        .ok_or("should begin with `mongodb://`")?;
    let mut connection = Connection::default();
    connection.text.push_str(scheme);
    // From the end, so that an `@` in a password that is not percent-encoded shows none of it.
    let rest = match rest.rsplit_once('@') {
        Some((credentials, rest)) => {
            if credentials.contains(['/', '?']) {
                return Err("has credentials with a character that must be percent-encoded");
            }
            connection.secret(origin.variable("USER", "the percent-encoded user"));
            if credentials.contains(':') {
                connection.text.push(':');
                connection.secret(origin.variable("PASSWORD", "the percent-encoded password"));
            }
            connection.text.push('@');
            rest
        }
        None => rest,
    };
    let (place, options) = rest.split_once('?').unwrap_or((rest, ""));
    let (hosts, database) = place.split_once('/').unwrap_or((place, ""));
    let plain = |text: &str, more: &str| text.chars().all(|c| is_endpoint(c) || more.contains(c));
    if hosts.is_empty() || !plain(hosts, ",%") || !plain(database, "") {
        return Err("should be `mongodb://host:port/database`");
    }
    connection.text.push_str(place);
    let mut unknown = 0;
    let mut separator = if place.contains('/') { "?" } else { "/?" };
    for option in options.split(['&', ';']).filter(|it| !it.is_empty()) {
        let name = option.split('=').next().unwrap_or_default();
        if MONGO_OPTIONS.contains(&name.to_ascii_lowercase().as_str()) {
            connection
                .text
                .push_str(&format!("{separator}{}", escape(option)));
            separator = "&";
        } else {
            unknown += 1;
        }
    }
    connection.left_out(unknown);
    Ok(connection)
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
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ORIGIN: Origin<'static> = Origin {
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
    fn sql_values_may_be_quoted() {
        let text = "Data Source=sql,1433;user id=me;PASSWORD = 'a;b''c;' ; odd=1;;Encrypt=True;";
        let found = sql(text, ORIGIN, Some("ASPState")).unwrap();
        let expected = "Data Source=sql,1433;user id=me;PASSWORD=${SHARED_SESSION_PASSWORD};\
                        Encrypt=True;Initial Catalog=ASPState";
        assert_eq!(found.text, expected);
        assert_eq!(found.remarks.len(), 1);
        for wrong in ["", "Password=x", "Server=a;x", "Server=a;Password='x"] {
            assert!(sql(wrong, ORIGIN, None).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_windows_login_is_remarked() {
        let found = sql("Server=a;Integrated Security=SSPI", ORIGIN, None).unwrap();
        assert!(found.remarks[0].contains("Windows account"));
    }

    #[test]
    fn mongo_credentials_become_variables() {
        let text =
            "mongodb://me:p%40ss@a:27017,b/session_x?replicaSet=r&authMechanismProperties=T:x";
        let found = mongo(text, ORIGIN).unwrap();
        let expected = "mongodb://${SHARED_SESSION_USER}:${SHARED_SESSION_PASSWORD}@a:27017,b/\
                        session_x?replicaSet=r";
        assert_eq!(found.text, expected);
        assert_eq!(found.remarks.len(), 1);
        assert_eq!(
            mongo("mongodb://h?w=1", ORIGIN).unwrap().text,
            "mongodb://h/?w=1"
        );
        for wrong in [
            "",
            "mongodb://",
            "http://a",
            "mongodb://u:p/x@h",
            "mongodb://a b",
        ] {
            assert!(mongo(wrong, ORIGIN).is_err(), "{wrong}");
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
