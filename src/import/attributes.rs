//! The attributes of a section or a provider, read one by one.
//!
//! In: an element. Out: values of the right kind, and in the end the names of what nobody asked for.
//! The surprising fact: Microsoft's Redis provider, and Sitecore's after it, take a value for the
//! key of an application setting first, and for itself only if there is none (facts §1.7).

use super::ImportError;
use super::configuration::Configuration;
use super::connection::Origin;
use super::xml::Element;
use std::ops::RangeInclusive;

/// An element's attributes.
#[derive(Debug)]
pub struct Attributes<'a> {
    element: &'a Element,
    configuration: &'a Configuration,
    /// Whether a value may be the key of an application setting.
    indirect: bool,
    asked: Vec<&'static str>,
}

/// A text with the name of what it came from.
#[derive(Debug, Clone)]
pub struct Text {
    /// The text.
    pub value: String,
    /// Name of the setting or connection string; `None` for a literal.
    pub name: Option<String>,
    /// The same for a person.
    pub described: String,
}

impl Text {
    /// What names the variables of its secrets; `literal` where the text has no name.
    #[must_use]
    pub fn origin<'a>(&'a self, literal: &'a str) -> Origin<'a> {
        Origin {
            name: self.name.as_deref().unwrap_or(literal),
            described: &self.described,
        }
    }
}

impl<'a> Attributes<'a> {
    /// The attributes of an element whose values stand for themselves.
    #[must_use]
    pub fn new(element: &'a Element, configuration: &'a Configuration) -> Self {
        Self {
            element,
            configuration,
            indirect: false,
            asked: Vec::new(),
        }
    }

    /// From now on values may be keys of application settings.
    pub fn look_in_settings(&mut self) {
        self.indirect = true;
    }

    /// The element's name attribute.
    #[must_use]
    pub fn name(&self) -> &'a str {
        self.element.attribute("name").unwrap_or_default()
    }

    /// The text of an attribute; `None` where it is absent or empty.
    pub fn text(&mut self, name: &'static str) -> Option<Text> {
        self.asked.push(name);
        let written = self.element.attribute(name)?.trim();
        if written.is_empty() {
            return None;
        }
        let setting = match self.indirect {
            true => self.configuration.app_setting(written),
            false => None,
        };
        Some(match setting {
            Some(value) => Text {
                value: value.trim().to_owned(),
                name: Some(written.to_owned()),
                described: format!("the application setting `{written}`"),
            },
            None => Text {
                value: written.to_owned(),
                name: None,
                described: format!("the provider `{}`", self.name()),
            },
        })
    }

    /// Makes sure that a value that looks like the key of a setting was looked up.
    ///
    /// # Errors
    /// It could not be: the section cannot be read.
    pub fn need_settings(&self) -> Result<(), ImportError> {
        match self.indirect {
            true => self.configuration.need_app_settings(),
            false => Ok(()),
        }
    }

    /// A whole number.
    ///
    /// # Errors
    /// It is none, or out of range.
    pub fn number(
        &mut self,
        name: &'static str,
        range: RangeInclusive<u32>,
    ) -> Result<Option<u32>, ImportError> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        let number = text.value.parse().ok();
        match number.filter(|number| range.contains(number)) {
            Some(number) => Ok(Some(number)),
            None => {
                let (least, most) = (range.start(), range.end());
                let expected = match *most {
                    u32::MAX => format!("a whole number of at least {least}"),
                    most => format!("a whole number from {least} to {most}"),
                };
                Err(self.wrong(name, expected))
            }
        }
    }

    /// True or false.
    ///
    /// # Errors
    /// It is neither.
    pub fn truth(&mut self, name: &'static str) -> Result<Option<bool>, ImportError> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        match text.value.to_ascii_lowercase().as_str() {
            "true" => Ok(Some(true)),
            "false" => Ok(Some(false)),
            _ => Err(self.wrong(name, "true or false".to_owned())),
        }
    }

    /// The connection string that an attribute names, which must be there.
    ///
    /// # Errors
    /// There is none of that name, or the section cannot be read.
    pub fn named_connection(&mut self, attribute: &'static str) -> Result<Text, ImportError> {
        self.asked.push(attribute);
        match self.element.attribute(attribute).map(str::trim) {
            Some(name) if !name.is_empty() => self
                .look_up(name)?
                .ok_or_else(|| self.no_connection(attribute)),
            _ => Err(self.wrong(attribute, "the name of a connection string".to_owned())),
        }
    }

    /// The connection string that an attribute holds: a setting's or another one's name, or itself.
    ///
    /// # Errors
    /// It looks like a name, and there is none of it, or the section cannot be read.
    pub fn connection(&mut self, attribute: &'static str) -> Result<Option<Text>, ImportError> {
        let Some(text) = self.text(attribute) else {
            return Ok(None);
        };
        if text.name.is_some() {
            return Ok(Some(text));
        }
        let itself = text.value.contains(['=', ':', ',', '.']) || text.value == "localhost";
        match self.look_up(&text.value) {
            Ok(Some(found)) => Ok(Some(found)),
            _ if itself => Ok(Some(text)),
            Ok(None) => {
                self.need_settings()?;
                Err(self.no_connection(attribute))
            }
            Err(error) => Err(error),
        }
    }

    fn look_up(&self, name: &str) -> Result<Option<Text>, ImportError> {
        let found = self.configuration.connection_string(name)?;
        Ok(found.map(|value| Text {
            value: value.to_owned(),
            name: Some(name.to_owned()),
            described: format!("the connection string `{name}`"),
        }))
    }

    fn no_connection(&self, attribute: &str) -> ImportError {
        ImportError::NoConnectionString {
            place: self.element.place.clone(),
            attribute: attribute.to_owned(),
            help: "if it stands in another file, name that with `--connection-strings <file>`",
        }
    }

    /// The error of a connection string that makes no sense.
    #[must_use]
    pub fn faulty(&self, attribute: &'static str, fault: &'static str) -> ImportError {
        ImportError::ConnectionString {
            place: self.element.place.clone(),
            attribute: attribute.to_owned(),
            fault,
        }
    }

    /// The error of a value that makes no sense.
    #[must_use]
    pub fn wrong(&self, attribute: &str, expected: String) -> ImportError {
        ImportError::Value {
            place: self.element.place.clone(),
            attribute: attribute.to_owned(),
            expected,
        }
    }

    /// Names of attributes that were not asked for, but for those of `harmless`.
    #[must_use]
    pub fn others(&self, harmless: &[&str]) -> Vec<String> {
        let in_any = |name: &str| {
            let mut known = self.asked.iter().chain(harmless);
            known.any(|known| known.eq_ignore_ascii_case(name))
        };
        let attributes = self.element.attributes.iter();
        let others = attributes.filter(|it| it.namespace.is_empty() && !in_any(&it.name));
        others.map(|it| it.name.clone()).collect()
    }
}
