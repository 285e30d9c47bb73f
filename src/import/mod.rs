//! From a site's configuration files to a scenario that plays the same session-state providers.
//!
//! In: Web.config, files that it refers to, and Sitecore's include files. Out: the text of a
//! scenario, in which every setting that has a counterpart stands, every other one is named in a
//! comment, and every secret is a variable of the environment. Four steps: `xml` reads files,
//! `patch` merges Sitecore's, `configuration` finds the sections, and `site` says what they mean, with
//! `providers` for each provider, for `text` to write down.
//!
//! The surprising fact: what is not known is not repeated. Options of connection strings are copied
//! only by a list of harmless ones, so that a secret in an unexpected place stays where it is.

mod attributes;
mod configuration;
mod connection;
mod patch;
mod providers;
mod site;
mod text;
mod xml;

use configuration::Configuration;
use std::io;
use std::path::{Path, PathBuf};
use xml::Element;

/// The files of a configuration.
#[derive(Debug, Clone, Default)]
pub struct Files {
    /// Web.config.
    pub web_config: PathBuf,
    /// The file of `<sessionState configSource>`.
    pub session_state: Option<PathBuf>,
    /// The file of `<connectionStrings configSource>`.
    pub connection_strings: Option<PathBuf>,
    /// The file of `<appSettings configSource>` or `<appSettings file>`.
    pub app_settings: Option<PathBuf>,
    /// Sitecore's configuration and include files, in the order in which Sitecore reads them.
    pub sitecore: Vec<PathBuf>,
}

/// Why a configuration cannot be imported. Never holds a secret: of values, only names of types, of
/// providers and of connection strings are repeated.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A file cannot be read.
    #[error("cannot read {}: {error}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A file is no text, or far too large.
    #[error("{} is no configuration file: {why}", file.display())]
    NotText {
        /// The file.
        file: PathBuf,
        /// Why.
        why: &'static str,
    },
    /// A file is no XML.
    #[error("{place}: this is not well-formed XML{hint}")]
    NotXml {
        /// Where reading stopped.
        place: Place,
        /// What is likely wrong; empty where that is unknown.
        hint: &'static str,
    },
    /// A file holds something else.
    #[error("{place}: expected {expected}, found <{found}>")]
    Root {
        /// Where its root element is.
        place: Place,
        /// What should be there.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A section is encrypted.
    #[error(
        "{place}: <{section}> is encrypted; write a copy in plain text with \
         `aspnet_regiis -pdf {section} <folder>` on the web server, and import that"
    )]
    Encrypted {
        /// Where.
        place: Place,
        /// The section.
        section: &'static str,
    },
    /// A section stands in a file that was not given.
    #[error("{place}: <{section}> stands in a file of its own; name it with `{option} <file>`")]
    Elsewhere {
        /// Where the reference is.
        place: Place,
        /// The section.
        section: &'static str,
        /// The option that names the file.
        option: &'static str,
    },
    /// A value makes no sense.
    #[error("{place}: `{attribute}` should be {expected}")]
    Value {
        /// Where.
        place: Place,
        /// The attribute.
        attribute: String,
        /// What it takes.
        expected: String,
    },
    /// Session state is off.
    #[error("{place}: session state is switched off here; there is nothing to play")]
    Off {
        /// Where.
        place: Place,
    },
    /// A section names a provider that it does not have.
    #[error("{place}: there is no provider `{name}` in <providers>{help}")]
    NoSuchProvider {
        /// Where.
        place: Place,
        /// The name.
        name: String,
        /// What to do; empty where that is plain.
        help: &'static str,
    },
    /// A provider that is not known.
    #[error(
        "{place}: the provider `{name}` is of the type `{class}`, which sessionbench does not play. \
         It plays: {known}. If the type derives from one of these, write that one in its place"
    )]
    UnknownProvider {
        /// Where.
        place: Place,
        /// Its name.
        name: String,
        /// Its type.
        class: String,
        /// Types that are known.
        known: String,
    },
    /// A connection string is named that is not there.
    #[error("{place}: there is no connection string of the name that `{attribute}` gives; {help}")]
    NoConnectionString {
        /// Where.
        place: Place,
        /// The attribute.
        attribute: String,
        /// What to do.
        help: &'static str,
    },
    /// A connection string makes no sense.
    #[error("{place}: the connection string of `{attribute}` {fault}")]
    ConnectionString {
        /// Where it is used.
        place: Place,
        /// The attribute.
        attribute: String,
        /// What is wrong.
        fault: &'static str,
    },
}

/// Where something stands in the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: PathBuf,
    /// Line, from 1.
    pub line: u32,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// Reads a configuration and writes the scenario of this name.
///
/// # Errors
/// See [`ImportError`].
pub fn import(files: &Files, name: &str) -> Result<String, ImportError> {
    let read = |file: &PathBuf| xml::read(file);
    let given = |file: &Option<PathBuf>| file.as_ref().map(read).transpose();
    let sitecore: Result<Vec<Element>, _> = files.sitecore.iter().map(read).collect();
    let configuration = Configuration::new(configuration::Parts {
        web_config: read(&files.web_config)?,
        session_state: given(&files.session_state)?,
        connection_strings: given(&files.connection_strings)?,
        app_settings: given(&files.app_settings)?,
        sitecore: sitecore?,
    })?;
    let site = site::Site::new(&configuration)?;
    Ok(text::scenario(name, &sources(files), &site))
}

/// File names for the scenario's head: without folders, which say nothing to others.
fn sources(files: &Files) -> Vec<String> {
    let named = [
        &files.session_state,
        &files.connection_strings,
        &files.app_settings,
    ];
    let named = named.into_iter().flatten().chain(&files.sitecore);
    let all = [&files.web_config].into_iter().chain(named);
    let names = all.filter_map(|file| Path::file_name(file));
    names
        .map(|name| name.to_string_lossy().into_owned())
        .collect()
}
