//! Passwords in a scenario's text, blotted out before the text is shown or kept.
//!
//! In: the text of a file. Out: the same text, byte for byte in place, with `*` for every byte of a
//! password, so that positions stay true. The surprising fact: this works on the raw text and not on
//! its nodes, because a file that is not YAML is quoted in its error message too.

use super::variables;

/// The keys of a password in connection strings.
const KEYS: [&str; 2] = ["password", "pwd"];

/// The text with every `password=…` blotted out to the end of its value, and every password of an
/// address, `mongodb://user:…@host`.
#[must_use]
pub fn hide(text: &str) -> String {
    hide_in_addresses(&hide_values(text))
}

/// Blots out what stands between the first colon after `://` and the last `@` before what can end
/// an address. More than a password is gone where a path or an option has an `@`; never less.
fn hide_in_addresses(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, address) = rest.split_at(at + "://".len());
        shown.push_str(before);
        let end = address.find(|c: char| c.is_whitespace() || "\"'`".contains(c));
        let address = &address[..end.unwrap_or(address.len())];
        let secret = address
            .rfind('@')
            .and_then(|end| Some(address[..end].find(':')? + 1..end));
        if let Some(secret) = secret {
            shown.push_str(&address[..secret.start]);
            shown.push_str(&"*".repeat(secret.len()));
            shown.push_str(&address[secret.end..]);
        } else {
            shown.push_str(address);
        }
        rest = &rest[before.len() + address.len()..];
    }
    shown.push_str(rest);
    shown
}

fn hide_values(text: &str) -> String {
    // ASCII only, so that offsets in both texts agree.
    let lower = text.to_ascii_lowercase();
    let mut shown = String::with_capacity(text.len());
    let mut done = 0;
    while let Some((key, key_end)) = next_key(&lower, done) {
        shown.push_str(&text[done..key_end]);
        done = key_end;
        let rest = &text[key_end..];
        let value = rest.trim_start_matches([' ', '\t']);
        let Some(value) = value.strip_prefix('=') else {
            continue;
        };
        // A variable's name is no secret, but what the reader must set; its default is one.
        let named = variables::name_at_start(value);
        let value = &value[named..];
        let start = text.len() - value.len();
        let default = match value.starts_with("${") {
            true => value.lines().next().and_then(|line| line.find('}')),
            false => None,
        };
        let rest = default.unwrap_or(0);
        let end = match named {
            0 => rest + length(&text[..key], &value[rest..]),
            // After a variable, unlike in a password, either separator ends the value.
            _ => {
                let end = value[rest..].find([',', ';', '\n', '\r']);
                end.map_or(value.len(), |end| rest + end)
            }
        };
        // What closes the text around a connection string is no secret, and keeps the line legible.
        let secret = value[..end].trim_end_matches([' ', '"', '\'', '}', ']']);
        shown.push_str(&text[done..start]);
        shown.push_str(&"*".repeat(secret.len()));
        done = start + secret.len();
    }
    shown.push_str(&text[done..]);
    shown
}

/// Where the next key begins and ends.
fn next_key(lower: &str, from: usize) -> Option<(usize, usize)> {
    let found = KEYS.iter().filter_map(|key| {
        let start = from + lower[from..].find(key)?;
        Some((start, start + key.len()))
    });
    found.min()
}

/// How long a password is that stands at the beginning of a text. What separates it from the key
/// before it ends it: a comma in Redis's connection strings, a semicolon in those of databases, which
/// may hold commas. Where neither tells, too much is hidden and not too little.
fn length(before: &str, value: &str) -> usize {
    let line = value.find(['\n', '\r']).unwrap_or(value.len());
    let quoted = value.trim_start().starts_with(['"', '\'', '\\']);
    let end = match before.trim_end_matches([' ', '\t']).chars().next_back() {
        Some(',') => Some(end_of_password(&value[..line])),
        Some(';') if !quoted => value.find(';'),
        _ => None,
    };
    end.unwrap_or(line).min(line)
}

/// Where a password of Redis ends: at a comma before another option, or with the line. A comma before
/// anything else is taken for a part of a password that should have none.
fn end_of_password(line: &str) -> usize {
    let closed = |before: &str| before.trim_end().ends_with(['"', '\'', '}', ']']);
    let option = |after: &str| {
        let part = after.split([',', '"', '\'']).next().unwrap_or_default();
        part.contains('=')
    };
    line.match_indices(',')
        .map(|(at, _)| at)
        .find(|at| closed(&line[..*at]) || option(&line[at + 1..]))
        .unwrap_or(line.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_password_is_blotted_out_to_its_end() {
        for (text, shown) in [
            (
                "server: a,password=x{y,ssl=true",
                "server: a,password=***,ssl=true",
            ),
            (
                "{ server: \"a,Password = \u{e9}x\" }",
                "{ server: \"a,Password =****\" }",
            ),
            (
                "'a,password=x', 'b,PASSWORD=yz'",
                "'a,password=*', 'b,PASSWORD=**'",
            ),
            (
                "server: \"a,password=x,y,ssl=true\"",
                "server: \"a,password=***,ssl=true\"",
            ),
            ("a,password=x,yz\nb: c", "a,password=****\nb: c"),
            ("\"a,password=${PASS},x=y\"", "\"a,password=${PASS},x=y\""),
            ("a,password=${A}x", "a,password=${A}*"),
            ("Password=${A};Encrypt=True", "Password=${A};Encrypt=True"),
            ("a,password=${A:-x,y},z", "a,password=********},z"),
            ("# the password of a", "# the password of a"),
            (
                "server: Server=a,1433;Password=x,y;Encrypt=true",
                "server: Server=a,1433;Password=***;Encrypt=true",
            ),
            (
                "server: 'Server=a; pwd = \"x;y\";Encrypt=true'",
                "server: 'Server=a; pwd =*******************'",
            ),
            (
                "{ server: \"postgres://me:x@y@db/s\" }",
                "{ server: \"postgres://me:***@db/s\" }",
            ),
            (
                "{ server: \"mongodb://u:p@ss/w@h,i:1/s?x=y\", a: b@c }",
                "{ server: \"mongodb://u:******@h,i:1/s?x=y\", a: b@c }",
            ),
            (
                "server: mongodb://u@h\nat: c:d@e",
                "server: mongodb://u@h\nat: c:d@e",
            ),
        ] {
            assert_eq!(hide(text), shown);
        }
    }

    proptest! {
        #[test]
        fn positions_stay_true(text in "(password|pwd|://|[ :@=,;\"}\\n]|.){0,40}") {
            prop_assert_eq!(hide(&text).len(), text.len());
        }
    }
}
