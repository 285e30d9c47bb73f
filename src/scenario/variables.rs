//! `${NAME}` and `${NAME:-default}`: values of the environment in a scenario.
//!
//! In: the text of a file before YAML reads it, then each scalar that YAML found. Out: the text with
//! every reference [masked](mask), then the scalar with its [values](fill). The surprising fact:
//! values come in after YAML was read, so that no value can change the file's structure; but YAML
//! takes the braces of `{ rate: ${RATE} }` for a mapping, so it is shown other characters in their
//! place, one for one, and every position stays true.

use std::ops::Range;

/// Finds a variable's value.
pub type Lookup<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// A variable of this process; `None` where it is not set, or no UTF-8 text.
#[must_use]
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Characters that no file has: the private use of the last plane, one for each of ASCII.
const MASK: u32 = 0x0010_FF00;

/// A scalar with its values in place.
#[derive(Debug, PartialEq, Eq)]
pub struct Filled {
    /// The text with its values.
    pub text: String,
    /// The text as the file has it, where a value came from outside or from a default.
    pub written: Option<String>,
    /// What could not be filled in.
    pub faults: Vec<Fault>,
}

/// A reference that has no value.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which reference it is, counted over all that [`places`] finds in the scalar.
    pub position: usize,
    /// The variable that is not set; `None` where the reference names none.
    pub variable: Option<String>,
}

/// The text with every reference masked, character for character.
#[must_use]
pub fn mask(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut done = 0;
    for (place, whole) in references(text) {
        masked.push_str(&text[done..place.start]);
        done = place.start;
        if whole {
            let hidden = text[place.clone()].chars().map(|character| {
                let ascii = character.is_ascii().then_some(u32::from(character));
                ascii
                    .and_then(|code| char::from_u32(MASK + code))
                    .unwrap_or(character)
            });
            masked.extend(hidden);
            done = place.end;
        }
    }
    masked.push_str(&text[done..]);
    masked
}

/// The text as it was before it was masked.
#[must_use]
pub fn unmask(text: &str) -> String {
    text.chars().map(seen).collect()
}

/// The character behind a mask, or the character itself.
fn seen(character: char) -> char {
    let code = u32::from(character).checked_sub(MASK);
    let ascii = code.and_then(|code| u8::try_from(code).ok());
    ascii.filter(u8::is_ascii).map_or(character, char::from)
}

/// Where references stand in a text of the file, those without sense included.
#[must_use]
pub fn places(text: &str) -> Vec<Range<usize>> {
    references(text)
        .into_iter()
        .map(|(place, _)| place)
        .collect()
}

/// Length of the reference without a default at the start of a text; 0 where there is none.
#[must_use]
pub fn name_at_start(text: &str) -> usize {
    let inner = text
        .strip_prefix("${")
        .and_then(|rest| rest.split_once('}'));
    let reference = inner.and_then(|(inner, _)| Reference::of(inner));
    reference
        .filter(|reference| reference.default.is_none())
        .map_or(0, |reference| reference.name.len() + "${}".len())
}

/// Fills the values into a scalar that was masked.
#[must_use]
pub fn fill(masked: &str, lookup: &Lookup<'_>) -> Filled {
    let written = unmask(masked);
    let (mut text, mut faults) = (String::new(), Vec::new());
    let (mut done, mut referred) = (0, false);
    for (position, (place, whole)) in references(&written).into_iter().enumerate() {
        text.push_str(&written[done..place.start]);
        done = place.end;
        let reference = &written[place];
        if let Some(escaped) = reference.strip_prefix('$').filter(|it| it.starts_with('$')) {
            text.push_str(escaped);
            continue;
        }
        referred = true;
        let inner = &reference[2..reference.len() - usize::from(whole)];
        let value = match Reference::of(inner).filter(|_| whole) {
            Some(reference) => reference
                .value(lookup)
                .ok_or(Some(reference.name.to_owned())),
            None => Err(None),
        };
        match value {
            Ok(value) => text.push_str(&value),
            Err(variable) => faults.push(Fault { position, variable }),
        }
    }
    text.push_str(&written[done..]);
    Filled {
        text,
        written: referred.then_some(written),
        faults,
    }
}

/// Every `${…}` and `$${…}` of a text, and whether it is whole: closed on its line, and of such
/// characters that YAML may be kept from seeing it.
fn references(text: &str) -> Vec<(Range<usize>, bool)> {
    let mut found = Vec::new();
    let mut done = 0;
    while let Some(at) = text[done..].find("${").map(|at| at + done) {
        let escaped = at > done && text[..at].ends_with('$');
        let start = at - usize::from(escaped);
        let inside = &text[at + 2..];
        let line = inside.lines().next().unwrap_or_default();
        let inner = line.find('}').map(|end| &line[..end]);
        let plain = |inner: &str| !inner.contains(['"', '\'', '{', ',', '#', ':', ' ']);
        let sense = |inner: &&str| plain(inner) || Reference::of(inner).is_some();
        let end = match inner.filter(sense) {
            Some(inner) => at + 2 + inner.len() + 1,
            None => at + 2,
        };
        found.push((start..end, end > at + 2));
        done = end;
    }
    found
}

/// What stands between the braces.
struct Reference<'a> {
    name: &'a str,
    default: Option<&'a str>,
}

impl<'a> Reference<'a> {
    fn of(inner: &'a str) -> Option<Self> {
        let (name, default) = match inner.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inner, None),
        };
        let letters = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let is_name = name.chars().all(letters) && !name.starts_with(|c: char| c.is_ascii_digit());
        // One inside another would have to be closed twice.
        let nested = inner.contains("${");
        (is_name && !name.is_empty() && !nested).then_some(Self { name, default })
    }

    /// As a shell has it: the default stands for an empty value too.
    fn value(&self, lookup: &Lookup<'_>) -> Option<String> {
        let set = lookup(self.name);
        match self.default {
            Some(default) => set
                .filter(|value| !value.is_empty())
                .or_else(|| Some(default.to_owned())),
            None => set,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lookup(name: &str) -> Option<String> {
        match name {
            "HOST" => Some("example.com".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    fn filled(text: &str) -> Filled {
        fill(&mask(text), &lookup)
    }

    #[test]
    fn a_reference_becomes_its_value() {
        for (text, value) in [
            ("${HOST}", "example.com"),
            ("${HOST}:6379,${HOST}", "example.com:6379,example.com"),
            ("${EMPTY}", ""),
            ("${EMPTY:-a: b}", "a: b"),
            ("${NONE:-}", ""),
            ("${HOST:-other}", "example.com"),
            ("$HOST {HOST} $", "$HOST {HOST} $"),
            ("$${HOST}", "${HOST}"),
            ("$$${HOST}", "$${HOST}"),
            ("$${", "${"),
        ] {
            let filled = filled(text);
            assert_eq!(filled.text, value, "{text}");
            assert!(filled.faults.is_empty(), "{text}");
        }
    }

    #[test]
    fn a_reference_without_a_value_is_a_fault_that_names_it() {
        for (text, variable) in [
            ("${NONE}", Some("NONE")),
            ("${}", None),
            ("${1A}", None),
            ("${A-b}", None),
            ("${HOST", None),
            ("${HOST:x}", None),
            ("${NONE:-${HOST}}", None),
        ] {
            let fault = Fault {
                position: 1,
                variable: variable.map(str::to_owned),
            };
            assert_eq!(filled(&format!("$${{a}} {text}")).faults, [fault], "{text}");
        }
    }

    #[test]
    fn only_what_has_a_reference_tells_how_it_was_written() {
        assert_eq!(filled("plain $${HOST}").written, None);
        let written = filled("a ${HOST}").written;
        assert_eq!(written.as_deref(), Some("a ${HOST}"));
    }

    proptest! {
        #[test]
        fn a_mask_moves_no_character(text in "(\\$|\\{|\\}|A|:-|\\PC|\n){0,30}") {
            let masked = mask(&text);
            prop_assert_eq!(masked.chars().count(), text.chars().count());
            prop_assert_eq!(unmask(&masked), text);
        }

        #[test]
        fn an_escaped_text_is_itself(text in "(\\$\\{|\\}|A|:-|[a-z \n]){0,30}") {
            let escaped = text.replace("${", "$${");
            prop_assert_eq!(filled(&escaped).text, text);
        }
    }
}
