//! A call of a stored procedure, and what comes back, in words that both databases share.
//!
//! In: the procedure's name and its parameters under their genuine names, without `@`. Out: its
//! return value, its output parameters and the first row of its result. The surprising fact: a
//! PostgreSQL function has neither a return value beside its outputs nor a result beside them, so
//! there all three are columns of one row.

use crate::clock::Utc;
use std::borrow::Cow;
use std::rc::Rc;
use uuid::Uuid;

/// Column of a PostgreSQL function that stands for a procedure's return value.
pub const RETURN_VALUE: &str = "returnValue";

/// A value on its way to a database or from it.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// NULL of this kind.
    Null(Kind),
    /// `bit`, `boolean`.
    Bit(bool),
    /// `int`, `integer`; counts come as wider numbers.
    Int(i64),
    /// `nvarchar`, `varchar`.
    Text(Rc<str>),
    /// `uniqueidentifier`, `uuid`.
    Guid(Uuid),
    /// `image`, `varbinary(max)`, `bytea`.
    Bytes(Vec<u8>),
    /// `datetime` in UTC, `timestamptz`.
    Time(Utc),
}

/// A kind of value, so that a NULL and an output parameter have a type on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// [`Value::Bit`].
    Bit,
    /// [`Value::Int`].
    Int,
    /// [`Value::Text`].
    Text,
    /// [`Value::Guid`].
    Guid,
    /// [`Value::Bytes`].
    Bytes,
    /// [`Value::Time`].
    Time,
}

impl Value {
    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Null(kind) => *kind,
            Self::Bit(_) => Kind::Bit,
            Self::Int(_) => Kind::Int,
            Self::Text(_) => Kind::Text,
            Self::Guid(_) => Kind::Guid,
            Self::Bytes(_) => Kind::Bytes,
            Self::Time(_) => Kind::Time,
        }
    }
}

/// Where a parameter's value goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// To the procedure.
    In,
    /// From the procedure.
    Out,
    /// To it and back.
    InOut,
}

/// One parameter of a call.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// Its name, without `@`.
    pub name: &'static str,
    /// Where its value goes.
    pub direction: Direction,
    /// Its value; NULL for an output.
    pub value: Value,
}

/// A call of a stored procedure.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// The procedure.
    pub procedure: Cow<'static, str>,
    /// Its parameters.
    pub parameters: Vec<Parameter>,
}

impl Call {
    /// A call without parameters.
    #[must_use]
    pub fn new(procedure: impl Into<Cow<'static, str>>) -> Self {
        Self {
            procedure: procedure.into(),
            parameters: Vec::with_capacity(6),
        }
    }

    /// Adds an input parameter.
    #[must_use]
    pub fn input(self, name: &'static str, value: Value) -> Self {
        self.with(name, Direction::In, value)
    }

    /// Adds an output parameter.
    #[must_use]
    pub fn output(self, name: &'static str, kind: Kind) -> Self {
        self.with(name, Direction::Out, Value::Null(kind))
    }

    /// Adds a parameter that goes in and comes back.
    #[must_use]
    pub fn in_out(self, name: &'static str, value: Value) -> Self {
        self.with(name, Direction::InOut, value)
    }

    fn with(mut self, name: &'static str, direction: Direction, value: Value) -> Self {
        self.parameters.push(Parameter {
            name,
            direction,
            value,
        });
        self
    }
}

/// What a procedure answered.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Reply {
    /// Its return value.
    pub returned: i64,
    /// Output parameters and columns of the first row, by name.
    pub values: Vec<(String, Value)>,
}

impl Reply {
    /// An output parameter or column; names compare without regard to case. NULL is `None`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        let found = self
            .values
            .iter()
            .find(|(known, _)| known.trim_start_matches('@').eq_ignore_ascii_case(name));
        found
            .map(|(_, value)| value)
            .filter(|value| !matches!(value, Value::Null(_)))
    }

    /// A number; 0 when there is none.
    #[must_use]
    pub fn int(&self, name: &str) -> i64 {
        match self.get(name) {
            Some(Value::Int(number)) => *number,
            Some(Value::Bit(bit)) => i64::from(*bit),
            _ => 0,
        }
    }

    /// A text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<Rc<str>> {
        match self.get(name) {
            Some(Value::Text(text)) => Some(Rc::clone(text)),
            _ => None,
        }
    }

    /// A point in time.
    #[must_use]
    pub fn time(&self, name: &str) -> Option<Utc> {
        match self.get(name) {
            Some(Value::Time(time)) => Some(*time),
            _ => None,
        }
    }

    /// The first value of bytes, by whatever name: of a row before that of an output parameter.
    #[must_use]
    pub fn bytes(&self) -> Option<&[u8]> {
        self.values.iter().find_map(|(_, value)| match value {
            Value::Bytes(bytes) => Some(bytes.as_slice()),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_whatever_its_case_and_sign() {
        let reply = Reply {
            returned: 1,
            values: vec![
                ("@lockCookie".to_owned(), Value::Text("a".into())),
                ("locked".to_owned(), Value::Null(Kind::Bit)),
                ("Item".to_owned(), Value::Bytes(vec![7])),
            ],
        };
        assert_eq!(reply.text("LockCookie").as_deref(), Some("a"));
        assert_eq!(reply.get("locked"), None);
        assert_eq!(reply.int("locked"), 0);
        assert_eq!(reply.bytes(), Some(&[7][..]));
    }
}
