//! The JSON Schema of scenarios: what editors complete from and the structural check walks along.
//!
//! In: the types of [`model`](super::model). Out: their schema, in two readings. [`schema`] is that
//! of values, which the structural check walks along. [`text`] is that of files, where `${NAME}` may
//! stand for a value of any kind; it is shipped as `docs/scenario.schema.json`, which a test keeps
//! current. The surprising fact: in JSON Schema `minimum` says nothing of text and `pattern` nothing
//! of numbers, so that most scalars take a variable by one more type and a pattern.

use super::Scenario;
use serde_json::{Map, Value, json};

/// Text with a variable in it.
const VARIABLE: &str = r"\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\}";

/// The schema of values as data.
#[must_use]
pub fn schema() -> Value {
    schemars::schema_for!(Scenario).to_value()
}

/// The schema of files as text, as `sessionbench schema` prints it.
#[must_use]
pub fn text() -> String {
    let mut schema = schema();
    admit_variables(&mut schema);
    format!("{schema:#}\n")
}

/// Lets every scalar be written as a variable.
fn admit_variables(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(admit_variables),
        Value::Object(keywords) => {
            // What stands under these are values, not schemas.
            let values = ["default", "examples", "required", "enum"];
            let parts = keywords.iter_mut();
            let parts = parts.filter(|(keyword, _)| !values.contains(&keyword.as_str()));
            parts.for_each(|(_, part)| admit_variables(part));
            admit_here(keywords);
        }
        _ => {}
    }
}

fn admit_here(keywords: &mut Map<String, Value>) {
    if let Some(Value::Array(alternatives)) = keywords.get_mut("oneOf") {
        // Words, and keys with settings: an enum.
        if alternatives.iter().any(|it| it.get("const").is_some()) {
            alternatives.push(json!({ "type": "string", "pattern": VARIABLE }));
        }
        return;
    }
    if let Some(words) = keywords.remove("enum") {
        keywords.insert(
            "anyOf".to_owned(),
            json!([{ "enum": words }, { "pattern": VARIABLE }]),
        );
        return;
    }
    if let Some(pattern) = keywords.get("pattern").and_then(Value::as_str) {
        let either = format!("{pattern}|{VARIABLE}");
        keywords.insert("pattern".to_owned(), either.into());
        return;
    }
    let types: Vec<Value> = match keywords.get("type") {
        Some(Value::String(one)) => vec![one.as_str().into()],
        Some(Value::Array(several)) => several.clone(),
        _ => return,
    };
    let named = |name: &str| types.iter().any(|it| it.as_str() == Some(name));
    let scalar = ["integer", "number", "boolean"].into_iter().any(named);
    if scalar && !named("string") {
        let mut types = types.clone();
        types.push("string".into());
        keywords.insert("type".to_owned(), types.into());
        keywords.insert("pattern".to_owned(), VARIABLE.into());
    }
}
