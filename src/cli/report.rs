//! `sessionbench report`: render a result again.

use super::Outcome;
use crate::report;
use clap::Args;
use std::path::PathBuf;

/// Arguments of `report`.
#[derive(Debug, Args)]
pub struct ReportArguments {
    /// A result.json
    pub result: PathBuf,
    /// Where to write; beside the result by default
    #[arg(long, value_name = "DIRECTORY")]
    pub output: Option<PathBuf>,
}

/// Renders the report of a result.
///
/// # Errors
/// The report cannot be written.
pub fn report(arguments: &ReportArguments) -> anyhow::Result<Outcome> {
    let mut result = match report::read(&arguments.result) {
        Ok(result) => result,
        Err(error) => {
            eprintln!("error: {error}");
            return Ok(Outcome::Configuration);
        }
    };
    for run in &mut result.runs {
        run.verdict = report::verdict(run, &result.scenario);
    }
    let beside = arguments
        .result
        .parent()
        .map(PathBuf::from)
        .unwrap_or_default();
    let output = arguments.output.clone().unwrap_or(beside);
    let written = super::write_report(&result, &output)?;
    for path in written {
        println!("{}", path.display());
    }
    Ok(Outcome::Good)
}
