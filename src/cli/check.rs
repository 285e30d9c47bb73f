//! `sessionbench check`: validate scenarios and print their plans.

use super::Outcome;
use crate::scenario::{self, Loaded, Plan};
use clap::Args;
use std::io::IsTerminal as _;
use std::path::PathBuf;

/// Arguments of `check`.
#[derive(Debug, Args)]
pub struct CheckArguments {
    /// The scenarios
    #[arg(required = true)]
    pub scenarios: Vec<PathBuf>,
}

/// Validates scenarios and prints their plans.
///
/// # Errors
/// None: what is wrong with a scenario is printed.
pub fn check(arguments: &CheckArguments) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::Good;
    for path in &arguments.scenarios {
        match scenario::load(path) {
            Ok(Loaded {
                scenario, warnings, ..
            }) => {
                println!("{}", Plan::of(&scenario));
                eprint!("{}", warnings.render(colours()));
            }
            Err(problems) => {
                eprint!("{}", problems.render(colours()));
                outcome = Outcome::Configuration;
            }
        }
    }
    Ok(outcome)
}

/// Whether diagnostics may be coloured.
pub fn colours() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}
