//! The command line of sessionbench: parse, do, say how it went.

use clap::Parser;
use sessionbench::cli::{self, Command};
use std::process::ExitCode;

fn main() -> ExitCode {
    let outcome = match cli::Arguments::parse().command {
        Command::Run(arguments) => cli::run::run(&arguments),
        Command::Check(arguments) => cli::check::check(&arguments),
        Command::Import(arguments) => cli::import::import(&arguments),
        Command::Doctor(arguments) => cli::doctor::doctor(&arguments),
        Command::Report(arguments) => cli::report::report(&arguments),
        Command::Providers(arguments) => cli::providers::providers(&arguments),
        Command::Conformance(arguments) => cli::conformance::conformance(&arguments),
        Command::Schema(arguments) => cli::schema::schema(&arguments),
        Command::SqlSchema(arguments) => cli::sql_schema::sql_schema(&arguments),
        Command::StateServer(arguments) => cli::state_server::state_server(&arguments),
    };
    cli::exit_code(outcome)
}
