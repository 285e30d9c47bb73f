//! The structural check: does the file have the shape that the JSON Schema gives?
//!
//! In: the tree of the file and the schema that schemars derives from the model. Out: every place
//! where they differ, with what was expected there and the nearest valid name.
//!
//! The surprising fact: this walks the schema by hand instead of asking a validator, because a
//! validator answers "matches none of 6 alternatives" where a person wants "did you mean
//! `lognormal`?". It knows the part of JSON Schema that schemars emits for the model, no more.

use super::path::Path;
use super::problem::Problem;
use super::shape::{Choice, Shape, Shapes, Variant};
use super::source::Document;
use super::suggest;
use super::tree::{Entry, Node, Value, handle};
use crate::quantity::{Rate, Share, Size, Span, UnitError};
use serde_json::Value as Json;
use std::ops::Range;

/// Every structural problem of a document.
#[must_use]
pub fn check(document: &Document) -> Vec<Problem> {
    let schema = super::schema::schema();
    let mut check = Check {
        shapes: Shapes::new(&schema),
        problems: Vec::new(),
    };
    let root = Place {
        path: Path::root(),
        caret: handle(&document.root),
    };
    check.node(&document.root, &schema, &root);
    check.problems
}

/// Where the check stands.
struct Place {
    path: Path,
    /// Where the caret goes for this node.
    caret: Range<usize>,
}

impl Place {
    /// The path for a message.
    fn name(&self) -> String {
        if self.path.steps().is_empty() {
            "the scenario".to_owned()
        } else {
            format!("`{}`", self.path)
        }
    }

    fn entry(&self, entry: &Entry) -> Self {
        Self {
            path: self.path.key(&entry.key),
            caret: entry.caret(),
        }
    }
}

struct Check<'a> {
    shapes: Shapes<'a>,
    problems: Vec<Problem>,
}

impl<'a> Check<'a> {
    fn node(&mut self, node: &Node, schema: &'a Json, place: &Place) {
        if node.value == Value::Unreadable {
            return;
        }
        let shape = self.shapes.of(schema);
        match shape {
            Shape::Choice(choice) => self.choice(node, &choice, schema, place),
            Shape::Alternatives(schemas) => self.alternatives(node, &schemas, schema, place),
            Shape::Object(object) => match &node.value {
                Value::Mapping(entries) => self.mapping(entries, object, place),
                _ => self.unexpected(node, schema, place),
            },
            Shape::Array(array) => match &node.value {
                Value::List(nodes) => self.list(nodes, array, place),
                _ => self.unexpected(node, schema, place),
            },
            Shape::Quantity(format) => self.quantity(node, format, schema, place),
            Shape::Number { whole } => self.number(node, whole, schema, place),
            Shape::Boolean => {
                if !matches!(node.value, Value::Boolean(_)) {
                    self.unexpected(node, schema, place);
                }
            }
            Shape::Text => {
                if !matches!(node.value, Value::Text(_)) {
                    self.unexpected(node, schema, place);
                }
            }
        }
    }

    fn mapping(&mut self, entries: &[Entry], object: &'a Json, place: &Place) {
        let known = self.shapes.properties(object);
        for entry in entries {
            let schema = known
                .iter()
                .find(|(name, _)| *name == entry.key)
                .map(|(_, schema)| *schema)
                .or_else(|| Shapes::further_values(object));
            match schema {
                Some(schema) => self.node(&entry.node, schema, &place.entry(entry)),
                None => self.unknown_key(entry, &known, place),
            }
        }
        for name in Shapes::required(object) {
            if entries.iter().any(|entry| entry.key == name) {
                continue;
            }
            let description = known
                .iter()
                .find(|(known, _)| *known == name)
                .and_then(|(_, schema)| schema.get("description")?.as_str());
            let mut problem = Problem::error(format!("{} lacks the key `{name}`", place.name()))
                .label(place.caret.clone(), format!("needs `{name}`"));
            if let Some(description) = description {
                problem = problem.help(format!("`{name}`: {description}"));
            }
            self.problems.push(problem);
        }
        let least = object
            .get("minProperties")
            .and_then(Json::as_u64)
            .unwrap_or(0);
        if (entries.len() as u64) < least {
            self.problems.push(
                Problem::error(format!("{} is empty", place.name()))
                    .label(place.caret.clone(), "name at least one here"),
            );
        }
    }

    fn unknown_key(&mut self, entry: &Entry, known: &[(&str, &Json)], place: &Place) {
        let names: Vec<_> = known.iter().map(|(name, _)| *name).collect();
        self.problems.push(
            Problem::error(format!("unknown key `{}` in {}", entry.key, place.name()))
                .label(entry.key_span.clone(), "not known here")
                .help(suggest::help(&entry.key, &names, "keys here")),
        );
    }

    fn list(&mut self, nodes: &[Node], array: &'a Json, place: &Place) {
        if let Some(items) = array.get("items") {
            for (index, node) in nodes.iter().enumerate() {
                let item = Place {
                    path: place.path.index(index),
                    caret: handle(node),
                };
                self.node(node, items, &item);
            }
        }
        let least = array.get("minItems").and_then(Json::as_u64).unwrap_or(0);
        if (nodes.len() as u64) < least {
            self.problems.push(
                Problem::error(format!("{} is empty", place.name()))
                    .label(place.caret.clone(), "name at least one here"),
            );
        }
    }

    /// An enum: a word, or one key with its settings.
    fn choice(&mut self, node: &Node, choice: &Choice<'a>, schema: &'a Json, place: &Place) {
        let (word, span) = match &node.value {
            Value::Text(word) => (word, place.caret.clone()),
            Value::Mapping(entries) => match entries.as_slice() {
                [entry] => (&entry.key, entry.key_span.clone()),
                [_, second, ..] => {
                    self.problems.push(
                        Problem::error(format!("{} has more than one key", place.name()))
                            .label(second.key_span.clone(), "one too many")
                            .help(format!("it is one of {}", suggest::listed(choice.names()))),
                    );
                    return;
                }
                [] => return self.unexpected(node, schema, place),
            },
            _ => return self.unexpected(node, schema, place),
        };
        let entry = match &node.value {
            Value::Mapping(entries) => entries.first(),
            _ => None,
        };
        match (choice.find(word), entry) {
            (Some(Variant::Word), None) => {}
            (Some(Variant::Settings(schema)), Some(entry)) => {
                self.node(&entry.node, schema, &place.entry(entry));
            }
            (Some(Variant::Word), Some(_)) => self.problems.push(
                Problem::error(format!("`{word}` has no settings"))
                    .label(span, "a word by itself")
                    .help(format!("write `{word}`")),
            ),
            (Some(Variant::Settings(_)), None) => self.problems.push(
                Problem::error(format!("`{word}` needs its settings"))
                    .label(span, "only the name")
                    .help(format!("write `{word}: {{ … }}`")),
            ),
            (None, _) => {
                let names: Vec<_> = choice.names().collect();
                let word = node.written.as_ref().unwrap_or(word);
                self.problems.push(
                    Problem::error(format!("{} cannot be `{word}`", place.name()))
                        .label(span, "not known")
                        .help(suggest::help(word, &names, "valid")),
                );
            }
        }
    }

    /// One of several forms, such as a bare value or a law: the one that this kind of node can be.
    fn alternatives(&mut self, node: &Node, schemas: &[&'a Json], whole: &'a Json, place: &Place) {
        let mut first_try = None;
        for schema in schemas {
            if !self.shapes.accepts(schema, &node.value) {
                continue;
            }
            let before = self.problems.len();
            self.node(node, schema, place);
            let found = self.problems.split_off(before);
            if found.is_empty() {
                return;
            }
            first_try.get_or_insert(found);
        }
        match first_try {
            Some(mut found) => {
                // A misspelt bare value may have been meant as another form: name them all.
                if let [problem] = found.as_mut_slice()
                    && matches!(node.value, Value::Text(_) | Value::Number(_))
                    && problem.help.is_none()
                {
                    problem.help = Some(format!("expected {}", self.shapes.expected(whole)));
                }
                self.problems.append(&mut found);
            }
            None => self.unexpected(node, whole, place),
        }
    }

    fn quantity(&mut self, node: &Node, format: &str, schema: &'a Json, place: &Place) {
        let text = match &node.value {
            Value::Text(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => return self.unexpected(node, schema, place),
        };
        let read: Result<(), UnitError> = match format {
            "span" => text.parse::<Span>().map(drop),
            "share" => text.parse::<Share>().map(drop),
            "rate" => text.parse::<Rate>().map(drop),
            _ => text.parse::<Size>().map(drop),
        };
        let Err(error) = read else { return };
        if node.written.is_some() {
            return self.unexpected(node, schema, place);
        }
        let mut problem = Problem::error(format!("{}: {error}", place.name()))
            .label(place.caret.clone(), self.shapes.expected(schema));
        if let (Value::Number(_), Some(unit)) = (&node.value, bare_unit(format)) {
            problem = problem.help(format!("did you mean `{text}{unit}`?"));
        }
        self.problems.push(problem);
    }

    fn number(&mut self, node: &Node, whole: bool, schema: &'a Json, place: &Place) {
        let Value::Number(number) = &node.value else {
            return self.unexpected(node, schema, place);
        };
        let value = number.as_f64().unwrap_or(f64::NAN);
        let (least, most) = self.shapes.bounds(schema);
        let in_range =
            least.is_none_or(|least| value >= least) && most.is_none_or(|most| value <= most);
        if !in_range || (whole && number.is_f64()) {
            self.unexpected(node, schema, place);
        }
    }

    fn unexpected(&mut self, node: &Node, schema: &'a Json, place: &Place) {
        let expected = self.shapes.expected(schema);
        let (found, help) = match &node.value {
            // What stands for it may be a secret, of which not even the kind is told.
            Value::Null if let Some(written) = &node.written => {
                (format!("`{written}` is empty"), None)
            }
            _ if let Some(written) = &node.written => (
                format!("`{written}` stands for something else"),
                expected
                    .contains("text")
                    .then(|| format!("put it into quotes: \"{written}\"")),
            ),
            Value::Null | Value::Unreadable => (
                "nothing is here".to_owned(),
                matches!(self.shapes.of(schema), Shape::Object(_))
                    .then(|| "write `{}` for the defaults".to_owned()),
            ),
            Value::Boolean(value) => (
                format!("`{value}` is true or false"),
                expected
                    .contains("text")
                    .then(|| format!("put it into quotes: \"{value}\"")),
            ),
            Value::Number(value) => (
                format!("this is {value}"),
                expected
                    .contains("text")
                    .then(|| format!("put it into quotes: \"{value}\"")),
            ),
            Value::Text(_) => ("this is text".to_owned(), None),
            Value::List(_) => ("this is a list".to_owned(), None),
            Value::Mapping(_) => ("this is a mapping".to_owned(), None),
        };
        let mut problem = Problem::error(format!("{} should be {expected}", place.name()))
            .label(place.caret.clone(), found);
        problem.help = help;
        self.problems.push(problem);
    }
}

/// The unit that a number without one most likely means.
fn bare_unit(format: &str) -> Option<&'static str> {
    match format {
        "span" => Some("s"),
        "share" => Some("%"),
        "rate" => Some("/s"),
        "size" => Some("B"),
        _ => None,
    }
}
