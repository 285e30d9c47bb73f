//! `keyword=value;` lists and URLs, taken apart into the same pairs.
//!
//! In: a connection string's text. Out: keywords with their values, in order. The surprising fact:
//! a value may stand in quotes of either kind, inside which a semicolon means nothing and the quote
//! is doubled.

use super::connection_string::ConnectionStringError;
use std::time::Duration;

/// Keywords with their values.
pub type Pairs = Vec<(Keyword, String)>;

/// A keyword as it was written, and as it is compared: in lower case, without spaces and `_`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keyword {
    written: String,
    key: String,
}

impl Keyword {
    fn new(written: &str) -> Self {
        let written = written.trim();
        let kept = written.chars().filter(|c| !matches!(c, ' ' | '_'));
        Self {
            written: written.to_owned(),
            key: kept.map(|c| c.to_ascii_lowercase()).collect(),
        }
    }

    /// How it compares.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// As it was written, if it looks like a keyword and not like a piece of a password.
    #[must_use]
    pub fn printable(&self) -> Option<&str> {
        let plain = |c: char| c.is_ascii_alphabetic() || matches!(c, ' ' | '_');
        let looks = self.written.len() <= 40 && self.written.chars().all(plain);
        looks.then_some(self.written.as_str())
    }

    /// Its value is not of its kind.
    #[must_use]
    pub fn expected(&self, expected: &'static str) -> ConnectionStringError {
        ConnectionStringError::Value {
            keyword: self.written.clone(),
            expected,
        }
    }

    /// Its value works elsewhere and not here.
    #[must_use]
    pub fn unsupported(&self, remedy: &'static str) -> ConnectionStringError {
        ConnectionStringError::Unsupported {
            keyword: self.written.clone(),
            remedy,
        }
    }

    /// A whole number.
    ///
    /// # Errors
    /// It is none.
    pub fn number(&self, value: &str) -> Result<u32, ConnectionStringError> {
        value.parse().map_err(|_| self.expected("a whole number"))
    }

    /// A number of seconds, where 0 stands for no limit.
    ///
    /// # Errors
    /// It is none.
    pub fn seconds(&self, value: &str, none: Duration) -> Result<Duration, ConnectionStringError> {
        Ok(match self.number(value)? {
            0 => none,
            seconds => Duration::from_secs(seconds.into()),
        })
    }

    /// True or false, yes or no.
    ///
    /// # Errors
    /// It is neither.
    pub fn truth(&self, value: &str) -> Result<bool, ConnectionStringError> {
        match value.to_ascii_lowercase().as_str() {
            "true" | "yes" => Ok(true),
            "false" | "no" => Ok(false),
            _ => Err(self.expected("true or false")),
        }
    }
}

/// Whether a text is a PostgreSQL URL.
#[must_use]
pub fn is_url(text: &str) -> bool {
    ["postgres://", "postgresql://"]
        .iter()
        .any(|scheme| text.trim_start().starts_with(scheme))
}

/// Takes `keyword=value;keyword=value` apart.
///
/// # Errors
/// It is no such list.
pub fn of_list(text: &str) -> Result<Pairs, ConnectionStringError> {
    let shape = |why: &str| ConnectionStringError::Shape(why.to_owned());
    let mut pairs = Pairs::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', '\r', '\n', ';']);
        if rest.is_empty() {
            return Ok(pairs);
        }
        let Some((keyword, after)) = rest.split_once('=') else {
            return Err(shape(": something in it has no `=`"));
        };
        if keyword.contains(';') {
            return Err(shape(": something in it has no `=`"));
        }
        let after = after.trim_start();
        let value = match after.chars().next() {
            Some(quote @ ('"' | '\'')) => {
                let (value, behind) =
                    quoted(&after[1..], quote).ok_or_else(|| shape(": a quote is not closed"))?;
                rest = behind.trim_start();
                if !rest.is_empty() && !rest.starts_with(';') {
                    return Err(shape(": something follows a closing quote"));
                }
                value
            }
            _ => {
                let (value, behind) = after.split_once(';').unwrap_or((after, ""));
                rest = behind;
                value.trim().to_owned()
            }
        };
        pairs.push((Keyword::new(keyword), value));
    }
}

/// A quoted value up to its closing quote, and what is behind it.
fn quoted(text: &str, quote: char) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        if character != quote {
            value.push(character);
        } else if characters.next_if(|(_, next)| *next == quote).is_some() {
            value.push(quote);
        } else {
            return Some((value, &text[at + 1..]));
        }
    }
    None
}

/// Takes `postgres://user:password@host:port/database?keyword=value` apart.
///
/// # Errors
/// A percent sign does not stand for a byte.
pub fn of_url(text: &str) -> Result<Pairs, ConnectionStringError> {
    let mut pairs = Pairs::new();
    let mut add = |name: &str, value: &str| -> Result<(), ConnectionStringError> {
        pairs.push((Keyword::new(name), decoded(value)?));
        Ok(())
    };
    let (_, rest) = text.trim().split_once("://").unwrap_or_default();
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
    // A password may hold an `@` by mistake; a host cannot.
    let (user, servers) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (user, password) = user.split_once(':').unwrap_or((user, ""));
    let (hosts, port) = match servers.rsplit_once(':') {
        Some((hosts, port)) if !port.contains(']') => (hosts, port),
        _ => (servers, ""),
    };
    add("host", hosts)?;
    for (name, value) in [
        ("port", port),
        ("user", user),
        ("password", password),
        ("database", database),
    ] {
        if !value.is_empty() {
            add(name, value)?;
        }
    }
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        add(name, value)?;
    }
    Ok(pairs)
}

/// A part of a URL with its `%xx` as what they stand for.
fn decoded(text: &str) -> Result<String, ConnectionStringError> {
    let refused =
        || ConnectionStringError::Shape(": `%` in a URL begins two hex digits".to_owned());
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|byte| char::from(byte).to_digit(16));
        let (Some(high), Some(low)) = (digit(), digit()) else {
            return Err(refused());
        };
        bytes.push((high * 16 + low) as u8);
    }
    String::from_utf8(bytes).map_err(|_| refused())
}
