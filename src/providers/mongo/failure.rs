//! What went wrong with a MongoDB server, in words for whoever runs it.
//!
//! In: an error of the driver. Out: ours. The surprising fact: of a server that it did not find the
//! driver tells its whole state as one text, in which the reason is a few words.

use crate::session::StoreError;
use mongodb::error::{Error, ErrorKind};

/// What the server says when someone may not do something.
const UNAUTHORIZED: i32 = 13;

/// An error of the driver as ours. Its own words hold hosts and no credentials; those of a
/// connection string that cannot be read never come here.
#[must_use]
pub fn store_error(error: &Error) -> StoreError {
    match &*error.kind {
        ErrorKind::Authentication { message, .. } => StoreError::Refused(format!(
            "authentication failed, so look at user, password and `authSource`: {message}"
        )),
        ErrorKind::Command(command) if command.code == UNAUTHORIZED => {
            StoreError::Refused(format!(
                "not authorised, so grant the user `readWrite` on the database: {}",
                command.message
            ))
        }
        ErrorKind::Command(command) => StoreError::Refused(format!(
            "{} ({}, code {})",
            command.message, command.code_name, command.code
        )),
        ErrorKind::ServerSelection { message, .. } => StoreError::Connection(unreached(message)),
        ErrorKind::Io(_)
        | ErrorKind::ConnectionPoolCleared { .. }
        | ErrorKind::DnsResolve { .. }
        | ErrorKind::Shutdown => StoreError::Connection(error.kind.to_string()),
        kind => StoreError::Refused(kind.to_string()),
    }
}

/// What became of each server that was tried, out of all that the driver knows of it; its whole
/// message where that is put otherwise.
fn unreached(message: &str) -> String {
    let servers = message.split("Address: ").skip(1);
    let failures = servers.filter_map(|server| {
        let (address, rest) = server.split_once(',')?;
        let failure = rest.split_once("Error: Kind: ");
        let failure = failure.and_then(|(_, rest)| rest.split_once(", labels: "));
        // One that neither refused nor answered.
        let failure = failure.map_or("no answer", |(failure, _)| failure);
        Some(format!("{address}: {failure}{}", advice(failure)))
    });
    let failures: Vec<String> = failures.collect();
    match failures.is_empty() {
        true => message.to_owned(),
        false => failures.join("; "),
    }
}

/// What to look at where TLS may be why a connection failed.
fn advice(failure: &str) -> &'static str {
    // How a server ends a connection that does not speak as it does.
    let hung_up = ["reset by peer", "end of file", "eof", "InvalidContentType"];
    if failure.contains("certificate") {
        ", so name its authority by `tlsCAFile=`"
    } else if hung_up.iter().any(|words| failure.contains(words)) {
        ", as where one side speaks TLS and the other does not, so look at `tls=`"
    } else {
        ""
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_not_do_something_is_told_what_to_grant() {
        let refused = serde_json::json!({
            "code": UNAUTHORIZED,
            "codeName": "Unauthorized",
            "errmsg": "not authorized on site to execute command",
        });
        let refused = serde_json::from_value(refused).unwrap();
        let error = store_error(&Error::from(ErrorKind::Command(refused))).to_string();
        assert!(error.contains("grant the user `readWrite`"), "{error}");
        assert!(error.contains("not authorized on site"), "{error}");
    }

    /// What the driver says of a server that failed in this way.
    fn not_selected(failure: &str) -> String {
        format!(
            "Server selection timeout: No available servers. Topology: {{ Type: Unknown, Servers: \
             [ {{ Address: db.example:27017, Type: Unknown{failure} }} ] }}"
        )
    }

    #[test]
    fn a_server_that_is_not_reached_is_told_with_its_failure_and_no_more() {
        let failure = ", Error: Kind: I/O error: Connection refused (os error 111), labels: {}, \
                       source: None, server response: None";
        assert_eq!(
            unreached(&not_selected(failure)),
            "db.example:27017: I/O error: Connection refused (os error 111)"
        );
        assert_eq!(unreached(&not_selected("")), "db.example:27017: no answer");
    }

    #[test]
    fn where_tls_may_be_why_a_connection_failed_its_options_are_named() {
        assert!(advice("I/O error: Connection reset by peer (os error 104)").contains("`tls=`"));
        assert!(advice("I/O error: invalid peer certificate: Expired").contains("`tlsCAFile=`"));
        assert_eq!(advice("I/O error: Connection refused (os error 111)"), "");
    }

    #[test]
    fn a_message_of_the_driver_that_is_put_otherwise_is_told_whole() {
        assert_eq!(unreached("nothing suits"), "nothing suits");
    }
}
