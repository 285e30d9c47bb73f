//! ADO.NET connection strings for SQL Server.
//!
//! In: `keyword=value;…`, values in quotes where they need them. Out: the same without its password.
//! The surprising fact: values are neither unquoted nor quoted again. What stood between two
//! semicolons goes over as it is, and the variable of a password holds its quotes too.

use super::{Connection, Origin, escape};

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::connection::tests::ORIGIN;

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
}
