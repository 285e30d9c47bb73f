//! MongoDB connection strings.
//!
//! In: `mongodb://user:password@host/database?option=value`. Out: the same without credentials. The
//! surprising fact: credentials are everything before the last `@`, and one of the characters that
//! should have been percent-encoded makes the string an error, so that no piece of a password is
//! taken for a host.

use super::{Connection, Origin, escape, is_endpoint};

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::connection::tests::ORIGIN;

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
}
