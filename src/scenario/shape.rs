//! What a JSON Schema asks of one node, in the terms of the structural check.
//!
//! In: the schema that schemars derives from the model. Out: a [`Shape`] for any part of it, and
//! words for what is expected there. Only the keywords that schemars emits for the model are known.

use super::suggest;
use super::tree::Value;
use serde_json::Value as Json;

/// What a node must be.
pub enum Shape<'a> {
    /// One word or one key out of several: an enum.
    Choice(Choice<'a>),
    /// Any of several forms.
    Alternatives(Vec<&'a Json>),
    /// A mapping; the schema lists its keys.
    Object(&'a Json),
    /// A list; the schema describes its items.
    Array(&'a Json),
    /// A quantity of `crate::quantity`, by its format.
    Quantity(&'a str),
    /// A number, perhaps whole.
    Number {
        /// Whether it has no fraction.
        whole: bool,
    },
    /// True or false.
    Boolean,
    /// Text.
    Text,
}

/// The variants of an enum by name.
pub struct Choice<'a>(Vec<(&'a str, Variant<'a>)>);

/// One variant of an enum.
#[derive(Clone, Copy)]
pub enum Variant<'a> {
    /// A word by itself.
    Word,
    /// A key with settings.
    Settings(&'a Json),
}

impl<'a> Choice<'a> {
    /// The names of all variants.
    pub fn names(&self) -> impl Iterator<Item = &'a str> {
        self.0.iter().map(|(name, _)| *name)
    }

    /// The variant of this name.
    pub fn find(&self, name: &str) -> Option<Variant<'a>> {
        self.0
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, variant)| *variant)
    }

    /// The variants of schemas that are all variants of one enum.
    fn of(schemas: &[&'a Json]) -> Option<Self> {
        let mut variants = Vec::new();
        for schema in schemas {
            if let Some(word) = schema.get("const") {
                variants.push((word.as_str()?, Variant::Word));
            } else if let Some(words) = schema.get("enum") {
                for word in words.as_array()? {
                    variants.push((word.as_str()?, Variant::Word));
                }
            } else {
                let properties = schema.get("properties")?.as_object()?;
                let required = schema.get("required")?.as_array()?;
                let mut entries = properties.iter();
                let ((name, settings), None) = (entries.next()?, entries.next()) else {
                    return None;
                };
                if required.len() != 1 || schema.get("$ref").is_some() {
                    return None;
                }
                variants.push((name.as_str(), Variant::Settings(settings)));
            }
        }
        Some(Self(variants))
    }
}

/// Reads the shapes of one schema document.
pub struct Shapes<'a> {
    definitions: Option<&'a Json>,
}

impl<'a> Shapes<'a> {
    /// The shapes of a schema document.
    #[must_use]
    pub fn new(document: &'a Json) -> Self {
        Self {
            definitions: document.get("$defs"),
        }
    }

    /// Follows references.
    fn resolve(&self, mut schema: &'a Json) -> &'a Json {
        while let Some(reference) = schema.get("$ref").and_then(Json::as_str) {
            let name = reference.rsplit('/').next().unwrap_or_default();
            match self.definitions.and_then(|all| all.get(name)) {
                Some(definition) => schema = definition,
                None => break,
            }
        }
        schema
    }

    /// What this part of the schema asks.
    #[must_use]
    pub fn of(&self, schema: &'a Json) -> Shape<'a> {
        let schema = self.resolve(schema);
        if let Some(format) = schema.get("format").and_then(Json::as_str)
            && ["span", "share", "rate", "size"].contains(&format)
        {
            return Shape::Quantity(format);
        }
        let alternatives = schema.get("oneOf").or_else(|| schema.get("anyOf"));
        if let Some(alternatives) = alternatives.and_then(Json::as_array) {
            // A key that may be left out is one that may be null; the file leaves it out.
            let schemas: Vec<_> = alternatives
                .iter()
                .filter(|schema| schema.get("type").and_then(Json::as_str) != Some("null"))
                .collect();
            return match (Choice::of(&schemas), schemas.as_slice()) {
                (Some(choice), _) => Shape::Choice(choice),
                (None, [one]) => self.of(one),
                (None, _) => Shape::Alternatives(schemas),
            };
        }
        let word = schema.get("enum").or_else(|| schema.get("const"));
        if let (Some(_), Some(choice)) = (word, Choice::of(&[schema])) {
            return Shape::Choice(choice);
        }
        match kind(schema) {
            "object" => Shape::Object(schema),
            "array" => Shape::Array(schema),
            "integer" => Shape::Number { whole: true },
            "number" => Shape::Number { whole: false },
            "boolean" => Shape::Boolean,
            _ => Shape::Text,
        }
    }

    /// The keys of an object with their schemas.
    #[must_use]
    pub fn properties(&self, object: &'a Json) -> Vec<(&'a str, &'a Json)> {
        let properties = object.get("properties").and_then(Json::as_object);
        properties
            .into_iter()
            .flatten()
            .map(|(name, schema)| (name.as_str(), schema))
            .collect()
    }

    /// The schema of values under keys that the schema does not name, if it permits any.
    #[must_use]
    pub fn further_values(object: &'a Json) -> Option<&'a Json> {
        object
            .get("additionalProperties")
            .filter(|schema| schema.is_object())
    }

    /// Keys that must be there.
    pub fn required(object: &'a Json) -> impl Iterator<Item = &'a str> {
        let required = object.get("required").and_then(Json::as_array);
        required.into_iter().flatten().filter_map(Json::as_str)
    }

    /// Least and greatest number.
    #[must_use]
    pub fn bounds(&self, schema: &'a Json) -> (Option<f64>, Option<f64>) {
        let schema = self.resolve(schema);
        let bound = |name| schema.get(name).and_then(Json::as_f64);
        let format = schema.get("format").and_then(Json::as_str);
        // What the type can hold is no rule of the format, but a number beyond it cannot be read.
        let greatest = match format {
            Some("uint32") => Some(f64::from(u32::MAX)),
            _ => None,
        };
        (bound("minimum"), bound("maximum").or(greatest))
    }

    /// Whether a node of this kind can be of this shape at all.
    #[must_use]
    pub fn accepts(&self, schema: &'a Json, value: &Value) -> bool {
        match self.of(schema) {
            Shape::Choice(choice) => match value {
                Value::Text(_) => choice.names().any(|name| {
                    let variant = choice.find(name);
                    matches!(variant, Some(Variant::Word))
                }),
                Value::Mapping(_) => true,
                _ => false,
            },
            Shape::Alternatives(schemas) => {
                schemas.iter().any(|schema| self.accepts(schema, value))
            }
            Shape::Object(_) => matches!(value, Value::Mapping(_)),
            Shape::Array(_) => matches!(value, Value::List(_)),
            Shape::Quantity(_) => matches!(value, Value::Text(_) | Value::Number(_)),
            Shape::Number { .. } => matches!(value, Value::Number(_)),
            Shape::Boolean => matches!(value, Value::Boolean(_)),
            Shape::Text => matches!(value, Value::Text(_)),
        }
    }

    /// What is expected, for a person: "a whole number from 1 to 256".
    #[must_use]
    pub fn expected(&self, schema: &'a Json) -> String {
        match self.of(schema) {
            Shape::Choice(choice) => format!("one of {}", suggest::listed(choice.names())),
            Shape::Alternatives(schemas) => {
                let all: Vec<_> = schemas.iter().map(|schema| self.expected(schema)).collect();
                all.join(", or ")
            }
            Shape::Object(object) => {
                let required: Vec<_> = Self::required(object).collect();
                match required.as_slice() {
                    [] => "a mapping".to_owned(),
                    names => format!("a mapping with {}", suggest::listed(names.iter().copied())),
                }
            }
            Shape::Array(_) => "a list".to_owned(),
            Shape::Quantity(format) => match format {
                "span" => "a length of time like 20s",
                "share" => "a share like 25%",
                "rate" => "a rate like 120/min",
                _ => "a size like 2KiB",
            }
            .to_owned(),
            Shape::Number { whole } => {
                let what = if whole { "a whole number" } else { "a number" };
                match self.bounds(schema) {
                    (Some(least), Some(most)) if most < f64::from(u32::MAX) => {
                        format!("{what} from {least} to {most}")
                    }
                    (Some(least), _) => format!("{what} of at least {least}"),
                    _ => what.to_owned(),
                }
            }
            Shape::Boolean => "true or false".to_owned(),
            Shape::Text => "text".to_owned(),
        }
    }
}

/// The `type` of a schema; with several, the first that is not null.
fn kind(schema: &Json) -> &str {
    match schema.get("type") {
        Some(Json::String(kind)) => kind,
        Some(Json::Array(kinds)) => kinds
            .iter()
            .filter_map(Json::as_str)
            .find(|kind| *kind != "null")
            .unwrap_or_default(),
        _ => "",
    }
}
