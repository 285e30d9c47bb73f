//! The command line: one file for each subcommand.
//!
//! In: arguments. Out: text for a person, files in `reports/`, and an [`Outcome`] that becomes the
//! exit code. Nothing below this room prints or exits.

pub mod check;
pub mod conformance;
pub mod doctor;
pub mod environment;
pub mod import;
pub mod progress;
pub mod providers;
pub mod report;
pub mod run;
pub mod schema;
pub mod sql_schema;
pub mod state_server;
mod wrap;

use crate::result;
use clap::{Parser, Subcommand};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Measures session-state stores of ASP.NET and Sitecore sites: lock contention, latency, and how
/// late session end fires.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Shown under `--help`.
const EXIT_CODES: &str = "Exit codes:
  0  done; every objective is met
  1  an objective is not met, a provider is not what its table says, or a store has a problem
  2  wrong usage or configuration
  3  a run is invalid or incomplete, or a store cannot be reached";

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Play a scenario on its session stores and write a report
    Run(run::RunArguments),
    /// Validate scenarios and print what they will do, without doing it
    Check(check::CheckArguments),
    /// Print a scenario made from a site's Web.config and Sitecore configuration
    Import(import::ImportArguments),
    /// Look at a scenario's stores as an operator would: settings, rights, limits, clocks
    Doctor(doctor::DoctorArguments),
    /// Render the report of a result.json again
    Report(report::ReportArguments),
    /// List the session-state providers and what each can do
    Providers(providers::ProvidersArguments),
    /// Hold the session contract against a provider on its real store
    Conformance(conformance::ConformanceArguments),
    /// Print a JSON Schema
    Schema(schema::SchemaArguments),
    /// Print the tables and procedures that a SQL provider creates
    SqlSchema(sql_schema::SqlSchemaArguments),
    /// Serve session state as the ASP.NET state server does, until Ctrl-C
    StateServer(state_server::StateServerArguments),
}

/// How a subcommand went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Done, and every objective is met.
    Good,
    /// An objective is not met, a provider is not what its table says, or a store has a problem.
    ObjectiveMissed,
    /// Wrong usage or configuration; was told already.
    Configuration,
    /// A run is invalid or incomplete, or a store cannot be reached.
    Invalid,
}

/// The exit code of an outcome (README.md, "Exit codes"). An error that was not told yet is told here.
#[must_use]
pub fn exit_code(outcome: anyhow::Result<Outcome>) -> ExitCode {
    match outcome {
        Ok(Outcome::Good) => ExitCode::SUCCESS,
        Ok(Outcome::ObjectiveMissed) => ExitCode::from(1),
        Ok(Outcome::Configuration) => ExitCode::from(2),
        Ok(Outcome::Invalid) => ExitCode::from(3),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(3)
        }
    }
}

/// Writes a report and tells its files.
///
/// # Errors
/// A file cannot be written. The error says everything itself: its causes are part of its text, so
/// it is handed on without them.
fn write_report(result: &result::Result, directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    crate::report::write_all(result, directory)
        .map_err(|error| anyhow::anyhow!("the report is not complete: {error}"))
}
