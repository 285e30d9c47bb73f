//! The sections of a configuration that say something of session state.
//!
//! In: the roots of all files. Out: the sections, wherever they stand, checked for being readable.
//! The surprising fact: a section is asked for only when something refers to it. A site without a
//! password has no need of a connection-strings file, so nobody is asked to name it.

use super::patch;
use super::xml::Element;
use super::{ImportError, Place};

/// The roots of all files.
#[derive(Debug)]
pub struct Parts {
    /// Web.config.
    pub web_config: Element,
    /// The file of `<sessionState>`.
    pub session_state: Option<Element>,
    /// The file of `<connectionStrings>`.
    pub connection_strings: Option<Element>,
    /// The file of `<appSettings>`.
    pub app_settings: Option<Element>,
    /// Sitecore's files.
    pub sitecore: Vec<Element>,
}

/// A configuration, as far as sessions are concerned.
#[derive(Debug)]
pub struct Configuration {
    /// `<sessionState>`; `None` where the configuration leaves it out.
    pub session_state: Option<Element>,
    /// `<httpRuntime>`.
    pub http_runtime: Option<Element>,
    /// `sharedSessionState` of all Sitecore files together.
    pub shared: Option<Element>,
    /// Whether any file is Sitecore's.
    pub sitecore: bool,
    /// Whether the asynchronous session module is installed.
    pub async_module: bool,
    /// What was not followed.
    pub remarks: Vec<String>,
    connection_strings: Section,
    app_settings: Section,
}

/// A section that others refer to.
#[derive(Debug)]
enum Section {
    /// Its entries.
    Here(Vec<Element>),
    /// It cannot be read, which matters to whom it is asked for.
    Unreadable(Unreadable),
}

/// Why a section cannot be read.
#[derive(Debug, Clone)]
enum Unreadable {
    Encrypted(Place),
    Elsewhere(Place),
}

/// Name and option of a section.
type Named = (&'static str, &'static str);

const SESSION_STATE: Named = ("sessionState", "--session-state");
const CONNECTION_STRINGS: Named = ("connectionStrings", "--connection-strings");
const APP_SETTINGS: Named = ("appSettings", "--app-settings");

impl Configuration {
    /// Finds the sections.
    ///
    /// # Errors
    /// A file holds something else, or `<sessionState>` cannot be read.
    pub fn new(parts: Parts) -> Result<Self, ImportError> {
        let root = &parts.web_config;
        expect(root, &["configuration"])?;
        for root in &parts.sitecore {
            expect(root, &["configuration", "sitecore"])?;
        }
        let mut remarks = Vec::new();
        let session_state = match section(
            system_web(root, "sessionState"),
            parts.session_state.as_ref(),
            SESSION_STATE,
        )? {
            Ok(found) => found.cloned(),
            Err(unreadable) => return Err(unreadable.error(SESSION_STATE)),
        };
        let shared = patch::shared_session_state(&parts.sitecore, &mut remarks);
        let sitecore = !parts.sitecore.is_empty() || root.child("sitecore").is_some();
        let connection_strings =
            entries(root, parts.connection_strings.as_ref(), CONNECTION_STRINGS)?;
        let mut app_settings = entries(root, parts.app_settings.as_ref(), APP_SETTINGS)?;
        // Entries of `<appSettings file>` are added to those in place, and need not be there.
        if let (Some(inline), Section::Here(given)) = (root.child("appSettings"), &mut app_settings)
            && inline.attribute("file").is_some()
        {
            match &parts.app_settings {
                Some(_) => {
                    let mut all: Vec<_> = inline.collection("key").into_iter().cloned().collect();
                    all.append(given);
                    *given = all;
                }
                None => remarks.push(
                    "<appSettings file> was not read; name it with `--app-settings <file>`."
                        .to_owned(),
                ),
            }
        }
        if let Section::Unreadable(_) = &app_settings {
            remarks.push(
                "What application settings say is missing: they are encrypted, or in a file of their \
                 own. Name one in plain text with `--app-settings <file>`."
                    .to_owned(),
            );
        }
        for section in ["connectionStrings", "appSettings"] {
            let section = root.child(section);
            if section.is_some_and(|it| it.attribute("configBuilders").is_some()) {
                remarks.push(
                    "`configBuilders` are not run: values that they bring in are missing."
                        .to_owned(),
                );
            }
        }
        let modules = root
            .child("system.webServer")
            .and_then(|it| it.child("modules"));
        let async_module = modules.is_some_and(|modules| {
            let installed = modules.collection("name");
            let mut types = installed.iter().filter_map(|it| it.attribute("type"));
            types.any(|it| it.contains("SessionStateModuleAsync"))
        });
        Ok(Self {
            session_state,
            http_runtime: system_web(root, "httpRuntime").cloned(),
            shared,
            sitecore,
            async_module,
            remarks,
            connection_strings,
            app_settings,
        })
    }

    /// The connection string of a name; `None` where there is none.
    ///
    /// # Errors
    /// The section cannot be read.
    pub fn connection_string(&self, name: &str) -> Result<Option<&str>, ImportError> {
        let found = self.connection_strings.find("name", name);
        let found = found.map_err(|it| it.error(CONNECTION_STRINGS))?;
        Ok(found.and_then(|it| it.attribute("connectionString")))
    }

    /// The application setting of a key; `None` where there is none that can be read.
    #[must_use]
    pub fn app_setting(&self, key: &str) -> Option<&str> {
        let found = self.app_settings.find("key", key).ok().flatten();
        found.and_then(|it| it.attribute("value"))
    }

    /// Makes sure that application settings can be read.
    ///
    /// # Errors
    /// They cannot.
    pub fn need_app_settings(&self) -> Result<(), ImportError> {
        match &self.app_settings {
            Section::Here(_) => Ok(()),
            Section::Unreadable(unreadable) => Err(unreadable.clone().error(APP_SETTINGS)),
        }
    }
}

impl Section {
    fn find(&self, key: &str, name: &str) -> Result<Option<&Element>, Unreadable> {
        match self {
            Self::Here(entries) => {
                let named = |it: &&Element| {
                    let written = it.attribute(key);
                    written.is_some_and(|it| it.eq_ignore_ascii_case(name))
                };
                // The last of several, as far as two files were put together.
                Ok(entries.iter().rev().find(named))
            }
            Self::Unreadable(unreadable) => Err(unreadable.clone()),
        }
    }
}

impl Unreadable {
    fn error(self, (section, option): Named) -> ImportError {
        match self {
            Self::Encrypted(place) => ImportError::Encrypted { place, section },
            Self::Elsewhere(place) => ImportError::Elsewhere {
                place,
                section,
                option,
            },
        }
    }
}

fn expect(root: &Element, names: &[&str]) -> Result<(), ImportError> {
    if names.contains(&root.name.as_str()) {
        return Ok(());
    }
    let names: Vec<_> = names.iter().map(|name| format!("<{name}>")).collect();
    Err(ImportError::Root {
        place: root.place.clone(),
        expected: names.join(" or "),
        found: root.name.clone(),
    })
}

/// A section of `<system.web>`, which may stand in a `<location>` for the whole site.
fn system_web<'a>(root: &'a Element, name: &str) -> Option<&'a Element> {
    let whole_site = root.children.iter().filter(|child| {
        let path = child.attribute("path").unwrap_or_default();
        child.name == "location" && ["", "."].contains(&path)
    });
    let mut places = [root].into_iter().chain(whole_site);
    places.find_map(|place| place.child("system.web")?.child(name))
}

/// A section from where it stands, or why that cannot be read.
fn section<'a>(
    inline: Option<&'a Element>,
    given: Option<&'a Element>,
    (name, _): Named,
) -> Result<Result<Option<&'a Element>, Unreadable>, ImportError> {
    let found = match given {
        Some(root) if root.name == "configuration" => root.child(name),
        Some(root) => {
            expect(root, &[name])?;
            Some(root)
        }
        None => inline,
    };
    let Some(found) = found else {
        return Ok(Ok(None));
    };
    let place = || found.place.clone();
    if found.attribute("configProtectionProvider").is_some()
        || found.child("EncryptedData").is_some()
    {
        return Ok(Err(Unreadable::Encrypted(place())));
    }
    if found.attribute("configSource").is_some() {
        return Ok(Err(Unreadable::Elsewhere(place())));
    }
    Ok(Ok(Some(found)))
}

/// The entries of a section that others refer to.
fn entries(root: &Element, given: Option<&Element>, named: Named) -> Result<Section, ImportError> {
    let key = if named == APP_SETTINGS { "key" } else { "name" };
    let found = section(root.child(named.0), given, named)?;
    Ok(match found {
        Ok(None) => Section::Here(Vec::new()),
        Ok(Some(found)) => Section::Here(found.collection(key).into_iter().cloned().collect()),
        Err(unreadable) => Section::Unreadable(unreadable),
    })
}
