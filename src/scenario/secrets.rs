//! Passwords in a scenario's text, blotted out before the text is shown or kept.
//!
//! In: the text of a file. Out: the same text, byte for byte in place, with `*` for every byte of a
//! password, so that positions stay true. The surprising fact: this works on the raw text and not on
//! its nodes, because a file that is not YAML is quoted in its error message too.

/// The keys of a password in connection strings.
const KEYS: [&str; 2] = ["password", "pwd"];

/// The text with every `password=…` blotted out to the end of its value, and every password in a URL.
#[must_use]
pub fn hide(text: &str) -> String {
    hide_in_urls(&hide_values(text))
}

fn hide_values(text: &str) -> String {
    // ASCII only, so that offsets in both texts agree.
    let lower = text.to_ascii_lowercase();
    let mut shown = String::with_capacity(text.len());
    let mut done = 0;
    while let Some((start, end)) = next_key(&lower, done) {
        shown.push_str(&text[done..end]);
        done = end;
        let rest = &text[end..];
        let value = rest.trim_start_matches([' ', '\t']);
        let Some(value) = value.strip_prefix('=') else {
            continue;
        };
        let from = text.len() - value.len();
        let value = &value[..length(&text[..start], value)];
        // What closes the text around a connection string is no secret, and keeps the line legible.
        let secret = value.trim_end_matches([' ', '"', '\'', '}', ']']);
        shown.push_str(&text[done..from]);
        shown.push_str(&"*".repeat(secret.len()));
        done = from + secret.len();
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
        Some(',') => value.find(','),
        Some(';') if !quoted => value.find(';'),
        _ => None,
    };
    end.unwrap_or(line).min(line)
}

/// Blots out `password` in `scheme://user:password@host`.
fn hide_in_urls(text: &str) -> String {
    const SCHEME: &str = "://";
    let mut shown = String::with_capacity(text.len());
    let mut done = 0;
    while let Some(found) = text[done..].find(SCHEME) {
        let start = done + found + SCHEME.len();
        shown.push_str(&text[done..start]);
        done = start;
        let rest = &text[start..];
        let token = &rest[..rest.find(char::is_whitespace).unwrap_or(rest.len())];
        let Some((user, _)) = token.rsplit_once('@') else {
            continue;
        };
        let Some((name, password)) = user.split_once(':') else {
            continue;
        };
        shown.push_str(name);
        shown.push(':');
        shown.push_str(&"*".repeat(password.len()));
        done = start + user.len();
    }
    shown.push_str(&text[done..]);
    shown
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
            ("see https://db.example/a:b", "see https://db.example/a:b"),
        ] {
            assert_eq!(hide(text), shown);
        }
    }

    proptest! {
        #[test]
        fn positions_stay_true(text in "(password|pwd|://|@|[ :;=,\"}\\n]|.){0,40}") {
            prop_assert_eq!(hide(&text).len(), text.len());
        }
    }
}
