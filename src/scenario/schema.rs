//! The JSON Schema of scenarios: what editors complete from and the structural check walks along.
//!
//! In: the types of [`model`](super::model). Out: their schema; shipped as
//! `docs/scenario.schema.json`, which a test keeps current.

use super::Scenario;
use schemars::JsonSchema;
use serde_json::Value;

/// The schema as data.
#[must_use]
pub fn schema() -> Value {
    of::<Scenario>()
}

/// The schema of any type that is read from YAML.
#[must_use]
pub fn of<T: JsonSchema>() -> Value {
    schemars::schema_for!(T).to_value()
}

/// The schema as text, as `sessionbench schema` prints it.
#[must_use]
pub fn text() -> String {
    format!("{:#}\n", schema())
}
