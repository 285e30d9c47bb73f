//! Keys and values of a session in Redis, by layout (facts §1.1, §1.2).
//!
//! In: an application, a session id, an item. Out: the keys, the arguments of the scripts, and back
//! from a reply to an item. The surprising fact: from version 2 on the braces around application
//! and id put all keys of one session into one cluster slot, which scripts over several keys need.

use super::deadline;
use super::script::{self, Scripts};
use super::settings::MicrosoftVersion;
use crate::session::item::DecodeError;
use crate::session::{Item, Minutes, SessionId, Value};
use redis::Value as Reply;
use std::borrow::Cow;
use std::fmt::Write as _;

/// Name of the value that marks a session as uninitialised.
const ACTIONS: &str = "SessionStateActions";
/// Suffix of the shadow key of `redis_keyspace`, which is seed 002's with the braces of layout 2 and
/// later; and of the key in which `redis_markers` keeps a session's second.
pub const SHADOW: &str = "_Timeout";
/// Suffix of the claim on a session end of `redis_keyspace`; ours.
const END_CLAIM: &str = "_EndClaim";
/// Suffix of the poller's lock of `redis_index` (facts §10.2).
const POLLER_LOCK: &str = "_GlassLock";

/// Lock, data and timeout of layout 5.
const V5: [&str; 3] = [
    "_WriteLock",
    "_SessionStateItemCollection",
    "_SessionTimeout",
];
/// Lock, data and timeout of layouts 2 to 4.
const V2_TO_4: [&str; 3] = ["_Write_Lock", "_Data", "_Internal"];
/// What the keys of a session end in, in any layout.
pub const SUFFIXES: [&str; 11] = [
    V5[0],
    V5[1],
    V5[2],
    V2_TO_4[0],
    V2_TO_4[1],
    V2_TO_4[2],
    SHADOW,
    END_CLAIM,
    POLLER_LOCK,
    deadline::keys::SESSION,
    deadline::keys::WAITERS,
];

/// How sessions lie in Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Microsoft's 5.0.0 to 5.0.4: one blob per session.
    V5,
    /// Microsoft's 2.0.0 to 4.0.1, behaving as 4.0.1: a hash with a field per value. The genuine
    /// provider writes the values with BinaryFormatter; ours writes them as ASP.NET's alternative
    /// serialisation does (facts §4.3), so only keys, types and field names are genuine here.
    V2To4,
    /// Microsoft's 1.4.0 to 1.6.5: values as in 2 to 4, keys without braces.
    V1(V1),
    /// Ours for Sitecore, whose own is unknown: keys as layout 5, the blob is the whole frame, and
    /// a sorted set per application holds the deadlines.
    Sitecore {
        /// Whether the frame is deflated.
        compressed: bool,
    },
}

/// Versions 1 whose scripts differ, by the first of each (facts §1.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum V1 {
    /// 1.4.0.
    From4,
    /// 1.5.0 to 1.6.0.
    From5,
    /// 1.6.1 to 1.6.4.
    From6_1,
    /// 1.6.5.
    From6_5,
}

impl From<MicrosoftVersion> for Layout {
    fn from(version: MicrosoftVersion) -> Self {
        match version {
            MicrosoftVersion::V5 => Self::V5,
            MicrosoftVersion::V2To4 => Self::V2To4,
            MicrosoftVersion::V1From6_5 => Self::V1(V1::From6_5),
            MicrosoftVersion::V1From6_1 => Self::V1(V1::From6_1),
            MicrosoftVersion::V1From5 => Self::V1(V1::From5),
            MicrosoftVersion::V1From4 => Self::V1(V1::From4),
        }
    }
}

/// An argument of a script.
pub type Argument<'a> = Cow<'a, [u8]>;

/// The keys of one session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    /// All keys in a row: one allocation, since this is on the way of every operation.
    text: String,
    /// Length of what all keys of the session begin with.
    stem: usize,
    /// How the lock's, the data's and the timeout's key end.
    suffixes: [&'static str; 3],
}

impl Keys {
    /// The lock.
    #[must_use]
    pub fn lock(&self) -> &str {
        self.key(0)
    }

    /// The data.
    #[must_use]
    pub fn data(&self) -> &str {
        self.key(1)
    }

    /// The timeout in seconds.
    #[must_use]
    pub fn timeout(&self) -> &str {
        self.key(2)
    }

    /// The shadow that expires first, for `redis_keyspace`; a session's second, for `redis_markers`.
    #[must_use]
    pub fn shadow(&self) -> String {
        self.other(SHADOW)
    }

    /// The poller's lock, for `redis_index`.
    #[must_use]
    pub fn poller_lock(&self) -> String {
        self.other(POLLER_LOCK)
    }

    /// The claim on the session's end, for `redis_keyspace`.
    #[must_use]
    pub fn end_claim(&self) -> String {
        self.other(END_CLAIM)
    }

    fn key(&self, at: usize) -> &str {
        let length = |suffix: &&str| self.stem + suffix.len();
        let start: usize = self.suffixes[..at].iter().map(length).sum();
        &self.text[start..start + length(&self.suffixes[at])]
    }

    fn other(&self, suffix: &str) -> String {
        [&self.text[..self.stem], suffix].concat()
    }
}

impl Layout {
    /// The scripts that work on this layout.
    #[must_use]
    pub fn scripts(self) -> &'static Scripts {
        match self {
            Self::V5 => &script::V5,
            Self::V2To4 => &script::V2_TO_4,
            Self::V1(V1::From6_5) => &script::V1_6_5,
            Self::V1(V1::From6_1) => &script::V1_6_1,
            Self::V1(V1::From5) => &script::V1_5,
            Self::V1(V1::From4) => &script::V1_4,
            Self::Sitecore { .. } => &script::SITECORE,
        }
    }

    /// Whether keys have braces, which put those of one session into one cluster slot.
    #[must_use]
    pub const fn braces(self) -> bool {
        !matches!(self, Self::V1(_))
    }

    /// Whether the script that takes the lock replies whether another holds it.
    #[must_use]
    pub fn tells_locked(self) -> bool {
        self != Self::V1(V1::From4)
    }

    /// The keys of a session.
    #[must_use]
    pub fn keys(self, application: &str, id: SessionId) -> Keys {
        let suffixes = match self {
            Self::V5 | Self::Sitecore { .. } => V5,
            Self::V2To4 | Self::V1(_) => V2_TO_4,
        };
        let (open, close) = match self.braces() {
            true => ("{", "}"),
            false => ("", ""),
        };
        /// An id, braces, and the longest suffix.
        const ROOM: usize = 36 + 3 + "_SessionStateItemCollection".len();
        let mut text = String::with_capacity(3 * (application.len() + ROOM));
        // Writing to a string cannot fail.
        let _ = write!(text, "{open}{application}_{id}{close}");
        let stem = text.len();
        for (at, suffix) in suffixes.into_iter().enumerate() {
            if at > 0 {
                text.extend_from_within(..stem);
            }
            text.push_str(suffix);
        }
        Keys {
            text,
            stem,
            suffixes,
        }
    }

    /// The command that reads a session's data and touches nothing.
    #[must_use]
    pub fn peek(self, keys: &Keys) -> redis::Cmd {
        let name = match self {
            Self::V5 | Self::Sitecore { .. } => "GET",
            Self::V2To4 | Self::V1(_) => "HGETALL",
        };
        redis::cmd(name).arg(keys.data()).take()
    }

    /// Arguments of the script that writes a session unconditionally; `None` when nothing is
    /// written: layouts 2 to 4 ignore an empty collection.
    #[must_use]
    pub fn set_arguments(self, item: &Item, seconds: u64) -> Option<Vec<Argument<'_>>> {
        let seconds = seconds.to_string().into_bytes();
        match self {
            Self::V5 | Self::Sitecore { .. } => Some(vec![self.blob(item).into(), seconds.into()]),
            Self::V2To4 | Self::V1(_) if item.is_empty() => None,
            Self::V2To4 | Self::V1(_) => {
                let last = 2 + 2 * item.len();
                let mut arguments = vec![text(last), seconds.into()];
                push_fields(&mut arguments, item.values());
                Some(arguments)
            }
        }
    }

    /// Arguments of the script that writes a session and releases its lock.
    #[must_use]
    pub fn update_arguments<'a>(
        self,
        lock: &'a str,
        item: &'a Item,
        seconds: u64,
    ) -> Vec<Argument<'a>> {
        /// Index of the first argument after the fixed ones.
        const FIRST: usize = 9;
        let mut arguments: Vec<Argument<'a>> = Vec::with_capacity(FIRST + 1);
        arguments.push(lock.as_bytes().into());
        arguments.push(seconds.to_string().into_bytes().into());
        match self {
            Self::V5 => {
                // No removed values; one field with a literal name, as facts §1.3 describes.
                let fixed: [&[u8]; 7] = [b"0", b"9", b"8", b"1", b"9", b"10", b"SessionState"];
                arguments.extend(fixed.map(Argument::from));
                arguments.push(self.blob(item).into());
            }
            Self::V2To4 | Self::V1(_) => {
                let removed = item.removed().len();
                let changed = item.changed().count();
                let second = FIRST + removed;
                let end = second + 2 * changed;
                for number in [removed, FIRST, second - 1, changed, second, end - 1] {
                    arguments.push(text(number));
                }
                arguments.extend(item.removed().map(|name| name.as_bytes().into()));
                push_fields(&mut arguments, item.changed());
            }
            Self::Sitecore { .. } => arguments.push(self.blob(item).into()),
        }
        arguments
    }

    /// The item in a script's reply; `None` when there is no session.
    ///
    /// # Errors
    /// The stored bytes are none of this layout's.
    pub fn decode(self, reply: &Reply, timeout: Minutes) -> Result<Option<Item>, DecodeError> {
        match (self, reply) {
            (Self::V2To4 | Self::V1(_), Reply::Array(fields)) if !fields.is_empty() => {
                let (fields, _) = fields.as_chunks::<2>();
                let values = fields
                    .iter()
                    .map(|[name, value]| {
                        let name = std::str::from_utf8(bytes(name)?);
                        let name = name.map_err(|_| DecodeError::NotUtf8)?;
                        Ok((name, Value::read(bytes(value)?)?))
                    })
                    .collect::<Result<_, _>>()?;
                Ok(Some(Item::from_values(timeout, values)))
            }
            (Self::V2To4 | Self::V1(_), _) | (_, Reply::Nil) => Ok(None),
            (Self::V5, reply) => Item::decode_items(bytes(reply)?, timeout).map(Some),
            (Self::Sitecore { compressed: true }, reply) => {
                Item::decode_compressed(bytes(reply)?).map(Some)
            }
            (Self::Sitecore { compressed: false }, reply) => Item::decode(bytes(reply)?).map(Some),
        }
    }

    fn blob(self, item: &Item) -> Vec<u8> {
        match self {
            Self::Sitecore { compressed: true } => item.encode_compressed(),
            Self::Sitecore { compressed: false } => item.encode(),
            Self::V5 | Self::V2To4 | Self::V1(_) => item.encode_items(),
        }
    }
}

/// An uninitialised session. The genuine provider stores the enumeration itself, through
/// BinaryFormatter; ours stores its name, which the genuine one parses as well.
#[must_use]
pub fn uninitialized(timeout: Minutes) -> Item {
    let text = Value::Text("InitializeItem".into());
    Item::from_values(timeout, vec![(ACTIONS, text)])
}

/// Whether a session is still uninitialised.
#[must_use]
pub fn is_uninitialized(item: &Item) -> bool {
    item.get(ACTIONS).is_some()
}

/// The item as a write stores it: initialised.
#[must_use]
pub fn initialized(item: &Item) -> Item {
    let mut item = item.clone();
    item.remove(ACTIONS);
    item
}

fn push_fields<'a>(
    arguments: &mut Vec<Argument<'a>>,
    fields: impl Iterator<Item = (&'a str, Value)>,
) {
    for (name, value) in fields {
        let mut bytes = Vec::new();
        value.write_to(&mut bytes);
        arguments.push(name.as_bytes().into());
        arguments.push(bytes.into());
    }
}

fn text(number: usize) -> Argument<'static> {
    number.to_string().into_bytes().into()
}

fn bytes(reply: &Reply) -> Result<&[u8], DecodeError> {
    match reply {
        Reply::BulkString(bytes) => Ok(bytes),
        _ => Err(DecodeError::CutShort),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: u128 = 7;

    #[test]
    fn keys_of_layout_5_are_the_genuine_ones() {
        let keys = Layout::V5.keys("/", SessionId::private(ID));
        let id = "aaaaaaaaaaaaaaaaaaaaaaah";
        assert_eq!(keys.lock(), format!("{{/_{id}}}_WriteLock"));
        assert_eq!(
            keys.data(),
            format!("{{/_{id}}}_SessionStateItemCollection")
        );
        assert_eq!(keys.timeout(), format!("{{/_{id}}}_SessionTimeout"));
    }

    #[test]
    fn keys_of_layouts_2_to_4_are_the_genuine_ones() {
        let keys = Layout::V2To4.keys("/", SessionId::private(ID));
        let id = "aaaaaaaaaaaaaaaaaaaaaaah";
        assert_eq!(keys.lock(), format!("{{/_{id}}}_Write_Lock"));
        assert_eq!(keys.data(), format!("{{/_{id}}}_Data"));
        assert_eq!(keys.timeout(), format!("{{/_{id}}}_Internal"));
    }

    #[test]
    fn keys_of_versions_1_have_no_braces() {
        let keys = Layout::V1(V1::From4).keys("/", SessionId::private(ID));
        let id = "aaaaaaaaaaaaaaaaaaaaaaah";
        assert_eq!(keys.lock(), format!("/_{id}_Write_Lock"));
        assert_eq!(keys.data(), format!("/_{id}_Data"));
        assert_eq!(keys.timeout(), format!("/_{id}_Internal"));
    }

    #[test]
    fn an_update_of_layouts_2_to_4_names_what_changed_and_what_was_removed() {
        let mut item = Item::new(Minutes(20));
        for name in ["a", "b", "c"] {
            item.set(name, Value::Null);
        }
        let mut item = item.stored();
        item.set("b", Value::Boolean(true));
        item.remove("c");
        let arguments = Layout::V2To4.update_arguments("77", &item, 1200);
        let expected: [&[u8]; 11] = [
            b"77",
            b"1200",
            b"1",
            b"9",
            b"9",
            b"1",
            b"10",
            b"11",
            b"c",
            b"b",
            &[3, 1],
        ];
        assert_eq!(arguments, expected);
    }
}
