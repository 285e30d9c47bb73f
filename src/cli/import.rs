//! `sessionbench import`: a scenario from a site's configuration files.

use super::Outcome;
use crate::import::{self, Files};
use crate::scenario;
use clap::Args;
use std::path::PathBuf;

/// Arguments of `import`.
#[derive(Debug, Args)]
pub struct ImportArguments {
    /// The site's Web.config
    pub web_config: PathBuf,
    /// The file of the section connectionStrings, if Web.config refers to one
    #[arg(long, value_name = "FILE")]
    pub connection_strings: Option<PathBuf>,
    /// The file of the section appSettings, if Web.config refers to one
    #[arg(long, value_name = "FILE")]
    pub app_settings: Option<PathBuf>,
    /// The file of the section sessionState, if Web.config refers to one
    #[arg(long, value_name = "FILE")]
    pub session_state: Option<PathBuf>,
    /// Sitecore's configuration and include files, in the order in which Sitecore reads them
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub sitecore: Vec<PathBuf>,
    /// The scenario's name
    #[arg(long, default_value = "imported")]
    pub name: String,
}

/// Prints a scenario that plays what the configuration says.
///
/// # Errors
/// None: what is wrong with a configuration is printed.
pub fn import(arguments: &ImportArguments) -> anyhow::Result<Outcome> {
    let files = Files {
        web_config: arguments.web_config.clone(),
        session_state: arguments.session_state.clone(),
        connection_strings: arguments.connection_strings.clone(),
        app_settings: arguments.app_settings.clone(),
        sitecore: arguments.sitecore.clone(),
    };
    let text = match import::import(&files, &arguments.name) {
        Ok(text) => text,
        Err(error) => {
            eprintln!("error: {error}");
            return Ok(Outcome::Configuration);
        }
    };
    print!("{text}");
    // What `check` would say of it, with something in place of each secret.
    let something = |_: &str| Some("secret".to_owned());
    match scenario::parse_with("the imported scenario", &text, &something) {
        Ok(loaded) => {
            eprint!("{}", loaded.warnings.render(super::check::colours()));
            Ok(Outcome::Good)
        }
        Err(problems) => {
            eprint!("{}", problems.render(super::check::colours()));
            Ok(Outcome::Configuration)
        }
    }
}
