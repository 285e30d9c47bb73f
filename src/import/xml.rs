//! XML files as trees that can be merged.
//!
//! In: a file. Out: its elements with the place of each. The surprising fact: the parser's own
//! messages are not shown, because an `&` that is not escaped, the commonest fault of a connection
//! string with a password in it, makes them repeat a piece of the password.

use super::{ImportError, Place};
use roxmltree::{Document, Error, Node};
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Largest file that is read, in bytes: several times the whole configuration of a Sitecore site.
const MAX_BYTES: u64 = 16 * 1024 * 1024;
/// Deepest nesting that is read; configurations need a tenth of it.
const MAX_DEPTH: usize = 200;

/// An element of a configuration.
#[derive(Debug, Clone)]
pub struct Element {
    /// Its name without a prefix.
    pub name: String,
    /// The namespace of its name.
    pub namespace: String,
    /// Its attributes, in the order of the file.
    pub attributes: Vec<Attribute>,
    /// Elements in it.
    pub children: Vec<Self>,
    /// Text in it, trimmed.
    pub text: String,
    /// Where it starts.
    pub place: Place,
}

/// An attribute.
#[derive(Debug, Clone)]
pub struct Attribute {
    /// Its name without a prefix.
    pub name: String,
    /// The namespace of its prefix; empty without one.
    pub namespace: String,
    /// Its value.
    pub value: String,
}

impl Element {
    /// The value of an attribute without a prefix. Providers do not tell upper from lower case in
    /// names, and no section has two that differ in nothing else.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        let plain = self.attributes.iter().filter(|it| it.namespace.is_empty());
        let mut named = plain.filter(|it| it.name.eq_ignore_ascii_case(name));
        named.next().map(|it| it.value.as_str())
    }

    /// The first element of a name in it.
    #[must_use]
    pub fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// What `<add>`, `<remove>` and `<clear>` leave, told apart by an attribute.
    #[must_use]
    pub fn collection(&self, key: &str) -> Vec<&Self> {
        let mut left: Vec<&Self> = Vec::new();
        for child in &self.children {
            let same = |other: &&Self| match (other.attribute(key), child.attribute(key)) {
                (Some(other), Some(mine)) => other.eq_ignore_ascii_case(mine),
                _ => false,
            };
            match child.name.as_str() {
                "clear" => left.clear(),
                "remove" => left.retain(|other| !same(other)),
                "add" => {
                    left.retain(|other| !same(other));
                    left.push(child);
                }
                _ => {}
            }
        }
        left
    }
}

/// Reads a file.
///
/// # Errors
/// It cannot be read, or is no XML.
pub fn read(file: &PathBuf) -> Result<Element, ImportError> {
    let unreadable = |error| ImportError::Read {
        file: file.clone(),
        error,
    };
    let no_text = |why| ImportError::NotText {
        file: file.clone(),
        why,
    };
    let mut bytes = Vec::new();
    let opened = File::open(file).map_err(unreadable)?;
    let mut limited = opened.take(MAX_BYTES + 1);
    limited.read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(no_text("it is larger than 16 MiB"));
    }
    let text = String::from_utf8(bytes).map_err(|_| no_text("it is not UTF-8 text"))?;
    parse(file, &text)
}

/// Reads a text under a file's name.
///
/// # Errors
/// It is no XML.
pub fn parse(file: &Path, text: &str) -> Result<Element, ImportError> {
    // A byte-order mark, as Visual Studio writes it.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let broken = |line, hint| ImportError::NotXml {
        place: Place {
            file: file.to_owned(),
            line,
        },
        hint,
    };
    let document = Document::parse(text).map_err(|error| {
        let hint = match &error {
            Error::UnknownEntityReference(..) | Error::MalformedEntityReference(_) => {
                ": an `&` is written `&amp;`"
            }
            Error::UnexpectedCloseTag(..) => ": an element is closed that is not the open one",
            Error::UnknownNamespace(..) => ": a prefix is used that no `xmlns:` declares",
            Error::DuplicatedAttribute(..) => ": an attribute is given twice",
            Error::UnclosedRootNode => ": an element is not closed",
            Error::NoRootNode => ": there is no element",
            Error::DtdDetected => ": a configuration has no DTD",
            _ => "",
        };
        broken(error.pos().row, hint)
    })?;
    element(file, document.root_element(), 0)
        .ok_or_else(|| broken(1, ": it is nested more than 200 levels deep"))
}

/// An element with everything in it; `None` where it is nested too deep.
fn element(file: &Path, node: Node<'_, '_>, depth: usize) -> Option<Element> {
    if depth > MAX_DEPTH {
        return None;
    }
    let children = node.children().filter(Node::is_element);
    let children: Option<Vec<_>> = children
        .map(|child| element(file, child, depth + 1))
        .collect();
    let attributes = node.attributes().map(|attribute| Attribute {
        name: attribute.name().to_owned(),
        namespace: attribute.namespace().unwrap_or_default().to_owned(),
        value: attribute.value().to_owned(),
    });
    Some(Element {
        name: node.tag_name().name().to_owned(),
        namespace: node.tag_name().namespace().unwrap_or_default().to_owned(),
        attributes: attributes.collect(),
        children: children?,
        text: node.text().unwrap_or_default().trim().to_owned(),
        place: Place {
            file: file.to_owned(),
            line: node.document().text_pos_at(node.range().start).row,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Element, ImportError> {
        parse(Path::new("web.config"), text)
    }

    #[test]
    fn an_unescaped_ampersand_is_told_without_what_follows_it() {
        let text = "<a>\n<add c=\"password=x&hunter2;y\"/></a>";
        let error = read(text).unwrap_err().to_string();
        assert!(error.starts_with("web.config:2: "), "{error}");
        assert!(error.contains("&amp;") && !error.contains("hunter2"));
    }

    #[test]
    fn the_last_of_two_entries_with_one_name_holds() {
        let text =
            "<a><add name='x' v='1'/><add name='y'/><remove name='y'/><add name='X' v='2'/></a>";
        let root = read(text).unwrap();
        let left = root.collection("name");
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].attribute("V"), Some("2"));
    }

    #[test]
    fn nesting_beyond_sense_is_refused() {
        let text = format!("{}{}", "<a>".repeat(300), "</a>".repeat(300));
        assert!(read(&text).is_err());
    }

    #[test]
    fn a_byte_order_mark_is_no_fault() {
        assert_eq!(read("\u{feff}<a/>").unwrap().name, "a");
    }
}
