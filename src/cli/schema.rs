//! `sessionbench schema`: JSON Schemas for editors and other programs.

use super::Outcome;
use crate::report;
use crate::scenario;
use clap::{Args, ValueEnum};

/// Arguments of `schema`.
#[derive(Debug, Args)]
pub struct SchemaArguments {
    /// Of what
    #[arg(value_enum, default_value_t = Document::Scenario)]
    pub of: Document,
}

/// A kind of document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Document {
    /// Scenario files
    Scenario,
    /// result.json
    Result,
}

/// Prints a JSON Schema.
///
/// # Errors
/// The schema cannot be written as JSON: a defect.
pub fn schema(arguments: &SchemaArguments) -> anyhow::Result<Outcome> {
    let text = match arguments.of {
        Document::Scenario => scenario::schema::text(),
        Document::Result => format!("{:#}\n", report::schema()),
    };
    print!("{text}");
    Ok(Outcome::Good)
}
