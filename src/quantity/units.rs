//! Quantities as a planner writes them: `20s`, `70%`, `120/min`, `2KiB`.
//!
//! Each is a newtype with a text form that reads and prints alike, and a JSON Schema `format` by
//! which the structural check finds its parser.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A length of time that is never negative: `250ms`, `20s`, `1.5min`, `2h`, `0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Span(Duration);

impl Span {
    /// A span of whole seconds.
    #[must_use]
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// A span of whole milliseconds.
    #[must_use]
    pub const fn from_millis(milliseconds: u64) -> Self {
        Self(Duration::from_millis(milliseconds))
    }

    /// The span as the standard library has it.
    #[must_use]
    pub const fn duration(self) -> Duration {
        self.0
    }
}

impl From<Duration> for Span {
    fn from(duration: Duration) -> Self {
        Self(duration)
    }
}

/// Units of time and their nanoseconds, the ones to print with last to first.
const TIME_UNITS: [(&str, u64); 7] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("min", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

impl FromStr for Span {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let (number, unit) = split(text, UnitError::span)?;
        if number < 0.0 {
            return Err(UnitError(format!(
                "`{text}` is negative; a length of time is not"
            )));
        }
        if number == 0.0 && unit.is_empty() {
            return Ok(Self::default());
        }
        let (_, nanos) = TIME_UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .ok_or_else(|| UnitError::span(text))?;
        let total = number * *nanos as f64;
        if total > 1e18 {
            return Err(UnitError(format!("`{text}` is longer than 30 years")));
        }
        Ok(Self(Duration::from_nanos(total.round() as u64)))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos() as u64;
        if nanos == 0 {
            return f.write_str("0s");
        }
        // The largest unit that leaves a whole number reads best and loses nothing.
        let (name, size) = TIME_UNITS
            .iter()
            .rev()
            .filter(|(name, _)| *name != "µs")
            .find(|(_, size)| nanos.is_multiple_of(*size))
            .unwrap_or(&TIME_UNITS[0]);
        write!(f, "{}{name}", nanos / size)
    }
}

/// A part of a whole: `70%`.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default)]
pub struct Share(f64);

impl Share {
    /// 0 %.
    pub const NONE: Self = Self(0.0);
    /// 100 %.
    pub const ALL: Self = Self(1.0);

    /// The share as a fraction from 0 to 1.
    #[must_use]
    pub const fn fraction(self) -> f64 {
        self.0
    }
}

impl FromStr for Share {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let (number, unit) = split(text, UnitError::share)?;
        if unit != "%" || !(0.0..=100.0).contains(&number) {
            return Err(UnitError::share(text));
        }
        Ok(Self(number / 100.0))
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Twelve digits hide the error of the division by 100 and keep all that a file can say.
        write!(f, "{}%", (self.0 * 1e14).round() / 1e12)
    }
}

/// So many per time: `120/min`, `5/s`.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default)]
pub struct Rate {
    amount: f64,
    unit: RateUnit,
}

#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default)]
enum RateUnit {
    #[default]
    Second,
    Minute,
    Hour,
}

impl RateUnit {
    const ALL: [(&'static str, Self, f64); 3] = [
        ("s", Self::Second, 1.0),
        ("min", Self::Minute, 60.0),
        ("h", Self::Hour, 3600.0),
    ];
}

impl Rate {
    /// The rate in 1/s.
    #[must_use]
    pub fn per_second(self) -> f64 {
        let seconds = match self.unit {
            RateUnit::Second => 1.0,
            RateUnit::Minute => 60.0,
            RateUnit::Hour => 3600.0,
        };
        self.amount / seconds
    }
}

impl FromStr for Rate {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let (number, unit) = split(text, UnitError::rate)?;
        let unit = unit.strip_prefix('/').map(str::trim).unwrap_or_default();
        let found = RateUnit::ALL.iter().find(|(name, ..)| *name == unit);
        match found {
            Some((_, unit, _)) if number >= 0.0 => Ok(Self {
                amount: number,
                unit: *unit,
            }),
            _ => Err(UnitError::rate(text)),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.unit {
            RateUnit::Second => "s",
            RateUnit::Minute => "min",
            RateUnit::Hour => "h",
        };
        write!(f, "{}/{unit}", self.amount)
    }
}

/// A number of bytes: `600B`, `2KiB`, `20kB`, `1MiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Size(u64);

impl Size {
    /// A size of so many bytes.
    #[must_use]
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The size in bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

const SIZE_UNITS: [(&str, u64); 5] = [
    ("B", 1),
    ("kB", 1000),
    ("KiB", 1024),
    ("MB", 1_000_000),
    ("MiB", 1024 * 1024),
];

impl FromStr for Size {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let (number, unit) = split(text, UnitError::size)?;
        if number == 0.0 && unit.is_empty() {
            return Ok(Self(0));
        }
        let (_, bytes) = SIZE_UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .ok_or_else(|| UnitError::size(text))?;
        let total = number * *bytes as f64;
        if !(0.0..=1e9).contains(&total) {
            return Err(UnitError::size(text));
        }
        Ok(Self(total.round() as u64))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, size) = SIZE_UNITS
            .iter()
            .rev()
            .find(|(_, size)| self.0 != 0 && self.0.is_multiple_of(*size))
            .unwrap_or(&SIZE_UNITS[0]);
        write!(f, "{}{name}", self.0 / size)
    }
}

/// A quantity that cannot be read; says what was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UnitError(String);

impl UnitError {
    fn span(text: &str) -> Self {
        Self(format!(
            "`{text}` is not a length of time; write it like 250ms, 20s, 5min or 2h"
        ))
    }
    fn share(text: &str) -> Self {
        Self(format!(
            "`{text}` is not a share; write it like 25%, from 0% to 100%"
        ))
    }
    fn rate(text: &str) -> Self {
        Self(format!(
            "`{text}` is not a rate; write it like 5/s, 120/min or 3000/h"
        ))
    }
    fn size(text: &str) -> Self {
        Self(format!(
            "`{text}` is not a size; write it like 600B, 2KiB or 1MiB, up to 1 GB"
        ))
    }
}

/// Splits `20 min` into 20 and `min`.
fn split(text: &str, error: fn(&str) -> UnitError) -> Result<(f64, &str), UnitError> {
    let trimmed = text.trim();
    let end = trimmed
        .find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '-' || c == '_'))
        .unwrap_or(trimmed.len());
    let number: f64 = trimmed[..end]
        .replace('_', "")
        .parse()
        .map_err(|_| error(text))?;
    Ok((number, trimmed[end..].trim()))
}

/// Gives a quantity its text form in YAML and JSON, and its `format` in the schema.
macro_rules! textual {
    ($type:ident, $format:literal, $example:literal) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                // A bare `0` is a YAML number, and the only one that needs no unit.
                #[derive(Deserialize)]
                #[serde(untagged)]
                enum Written {
                    Text(String),
                    Number(f64),
                }
                let text = match Written::deserialize(deserializer)? {
                    Written::Text(text) => text,
                    Written::Number(number) => number.to_string(),
                };
                text.parse().map_err(D::Error::custom)
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": ["string", "number"], "format": $format, "examples": [$example] })
            }
        }
    };
}

textual!(Span, "span", "20s");
textual!(Share, "share", "25%");
textual!(Rate, "rate", "120/min");
textual!(Size, "size", "2KiB");
