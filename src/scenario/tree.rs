//! The tree of a scenario file: values that remember where they stand.
//!
//! In: what [`source`](super::source) reads. Out: JSON to decode from, and places for carets.

use super::path::Step;
use serde_json::Number;
use std::ops::Range;

/// A value with the bytes it was written in.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Bytes of the file. A block's span may reach into the white space after it.
    pub span: Range<usize>,
    /// What stands there.
    pub value: Value,
    /// How the file writes it, if it has a variable in it: the value may be a secret.
    pub written: Option<String>,
}

/// What stands at a node, by YAML 1.2's core schema.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A problem was reported here already.
    Unreadable,
    /// Nothing, `~` or `null`.
    Null,
    /// `true` or `false`.
    Boolean(bool),
    /// A finite number.
    Number(Number),
    /// Anything else in one piece.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// Keys with values, in the order of the file.
    Mapping(Vec<Entry>),
}

/// A key with its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub key_span: Range<usize>,
    /// What it says.
    pub node: Node,
}

impl Entry {
    /// Where the caret goes for this entry's value.
    #[must_use]
    pub fn caret(&self) -> Range<usize> {
        match &self.node.value {
            Value::List(_) | Value::Mapping(_) => self.key_span.clone(),
            _ if self.node.span.is_empty() => self.key_span.clone(),
            _ => self.node.span.clone(),
        }
    }
}

impl Node {
    /// A node without variables.
    #[must_use]
    pub const fn new(span: Range<usize>, value: Value) -> Self {
        Self {
            span,
            value,
            written: None,
        }
    }

    /// The node one step further down.
    #[must_use]
    pub fn child(&self, step: &Step) -> Option<&Self> {
        match (&self.value, step) {
            (Value::Mapping(entries), Step::Key(key)) => entries
                .iter()
                .find(|entry| entry.key == *key)
                .map(|entry| &entry.node),
            (Value::List(nodes), Step::Index(index)) => nodes.get(*index),
            _ => None,
        }
    }

    /// The node, or one that is not looked at again because a problem was reported.
    #[must_use]
    pub fn unless(mut self, refused: bool) -> Self {
        if refused {
            self.value = Value::Unreadable;
        }
        self
    }

    /// The node as JSON.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Unreadable | Value::Null => serde_json::Value::Null,
            Value::Boolean(value) => (*value).into(),
            Value::Number(value) => value.clone().into(),
            Value::Text(value) => value.clone().into(),
            Value::List(nodes) => nodes.iter().map(Self::to_json).collect(),
            Value::Mapping(entries) => entries
                .iter()
                .map(|entry| (entry.key.clone(), entry.node.to_json()))
                .collect(),
        }
    }
}

/// A place to put a caret for a node of any kind: a block's first key or item.
#[must_use]
pub fn handle(node: &Node) -> Range<usize> {
    match &node.value {
        Value::Mapping(entries) => entries.first().map(|entry| entry.key_span.clone()),
        Value::List(nodes) => nodes.first().map(handle),
        _ => None,
    }
    .unwrap_or_else(|| node.span.clone())
}
