//! The stored item, in ASP.NET's binary layout (facts §4), so that a genuine .NET application can
//! read what the harness stores and the reverse.
//!
//! In: named values and a timeout. Out: the bytes of `SessionStateItemCollection`
//! ([`Item::encode_items`], what Microsoft's Redis provider 5 stores) or of the whole frame
//! ([`Item::encode`], what the state server, SQL and Sitecore store), and back.
//!
//! The surprising fact: a value that no code touched stays serialised and is copied through, so a
//! type that the harness does not know survives it.

use super::stamp::OwnName;
use super::value::{Input, Value, write_text};
use crate::fetch::fetch;
use std::io::{Read as _, Write as _};
use std::rc::Rc;
use std::time::Duration;

/// A session timeout in whole minutes, as it crosses the provider interface and stands on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Minutes(pub u32);

impl Minutes {
    /// The timeout in real time, when a minute of site time lasts `minute`.
    #[must_use]
    pub fn lasting(self, minute: Duration) -> Duration {
        minute * self.0
    }
}

/// Session data with its timeout. Cloning shares the values until one side changes them.
///
/// What changed since the item was read fits beside the timeout, so that a stored item takes no
/// more memory for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    timeout: Minutes,
    /// The values, then the names of removed ones. One allocation, since a simulated site holds a
    /// hundred thousand of them.
    values: Rc<[(Name, Value)]>,
    changed: Changed,
    /// How many names at the end of `values` are removed ones.
    removed: u16,
}

/// Which values were set since the item was read: a bit for each of the first fifteen, and one for
/// all the others together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Changed(u16);

impl Changed {
    fn bit(at: usize) -> u16 {
        1 << at.min(15)
    }

    fn set(&mut self, at: usize) {
        self.0 |= Self::bit(at);
    }

    fn contains(self, at: usize) -> bool {
        self.0 & Self::bit(at) != 0
    }

    /// Closes the gap that a removed value leaves.
    fn close(&mut self, gap: usize) {
        let low = Self::bit(gap) - 1;
        let rest = (self.0 >> 1) & !low;
        let others = self.0 & Self::bit(15);
        self.0 = (self.0 & low) | rest | others;
    }
}

/// Name of a value. Names compare without regard to case, as `NameObjectCollectionBase` does.
#[derive(Debug, Clone)]
pub enum Name {
    /// One of the harness's own, which takes no memory and compares at once.
    Own(OwnName),
    /// Any other.
    Other(Rc<str>),
}

impl Name {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Own(own) => own.text(),
            Self::Other(text) => text,
        }
    }
}

impl From<&str> for Name {
    fn from(text: &str) -> Self {
        match OwnName::ALL.into_iter().find(|own| own.text() == text) {
            Some(own) => Self::Own(own),
            None => Self::Other(text.into()),
        }
    }
}

impl From<OwnName> for Name {
    fn from(own: OwnName) -> Self {
        Self::Own(own)
    }
}

/// A name to look for, which nobody keeps.
#[derive(Debug, Clone, Copy)]
pub enum Wanted<'a> {
    /// One of the harness's own.
    Own(OwnName),
    /// Any, the harness's own among them.
    Text(&'a str),
}

impl From<OwnName> for Wanted<'_> {
    fn from(own: OwnName) -> Self {
        Self::Own(own)
    }
}

impl<'a> From<&'a str> for Wanted<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a Name> for Wanted<'a> {
    fn from(name: &'a Name) -> Self {
        match name {
            Name::Own(own) => Self::Own(*own),
            Name::Other(text) => Self::Text(text),
        }
    }
}

impl PartialEq<Wanted<'_>> for Name {
    #[inline]
    fn eq(&self, wanted: &Wanted<'_>) -> bool {
        match (self, wanted) {
            (Self::Own(one), Wanted::Own(other)) => one == other,
            (one, Wanted::Own(other)) => one.as_str().eq_ignore_ascii_case(other.text()),
            (one, Wanted::Text(text)) => one.as_str().eq_ignore_ascii_case(text),
        }
    }
}

impl PartialEq for Name {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        *self == Wanted::from(other)
    }
}

/// A stored item that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end early, or a length points past their end.
    #[error("the item is cut short")]
    CutShort,
    /// The frame has no closing 0xFF.
    #[error("the item does not end in 0xFF")]
    NoEnd,
    /// A name or text is not UTF-8.
    #[error("a name or text is not UTF-8")]
    NotUtf8,
    /// A value has a type byte that ASP.NET does not know.
    #[error("unknown type {0}")]
    UnknownType(u8),
    /// Static objects, which no current application has.
    #[error("the item has static objects")]
    StaticObjects,
    /// Deflate failed.
    #[error("the compressed item is damaged")]
    Compression,
}

/// Closes a frame, and a compressed frame once more.
const END: u8 = 0xFF;

impl Item {
    /// An empty session.
    #[must_use]
    pub fn new(timeout: Minutes) -> Self {
        Self {
            timeout,
            values: Rc::default(),
            changed: Changed::default(),
            removed: 0,
        }
    }

    /// The timeout.
    #[must_use]
    pub const fn timeout(&self) -> Minutes {
        self.timeout
    }

    /// Changes the timeout (`HttpSessionState.Timeout`).
    pub const fn set_timeout(&mut self, timeout: Minutes) {
        self.timeout = timeout;
    }

    /// Whether a value was set or removed since the item was read or created.
    #[must_use]
    pub fn dirty(&self) -> bool {
        self.changed != Changed::default() || self.removed > 0
    }

    /// The values that were set since the item was read; beyond the first fifteen, all values when
    /// one of them was.
    pub fn changed(&self) -> impl Iterator<Item = (&str, &Value)> {
        let changed = |(at, _): &(usize, _)| self.changed.contains(*at);
        self.values().enumerate().filter(changed).map(|(_, v)| v)
    }

    /// Names of the values that were removed since the item was read.
    pub fn removed(&self) -> impl ExactSizeIterator<Item = &str> {
        self.values[self.live().len()..]
            .iter()
            .map(|(name, _)| name.as_str())
    }

    /// The item as a store keeps it: what was changed is now what is stored.
    #[must_use]
    pub fn stored(&self) -> Self {
        let mut stored = self.clone();
        if stored.removed > 0 {
            stored.values = stored.live().into();
        }
        stored.changed = Changed::default();
        stored.removed = 0;
        stored
    }

    /// A value by its name.
    #[must_use]
    pub fn get<'a>(&self, name: impl Into<Wanted<'a>>) -> Option<&Value> {
        self.position(name.into()).map(|at| &self.values[at].1)
    }

    /// Sets a value, which makes the item dirty.
    pub fn set(&mut self, name: impl Into<Name>, value: Value) {
        let name = name.into();
        if let Some(at) = self.position((&name).into()) {
            Rc::make_mut(&mut self.values)[at].1 = value;
            self.changed.set(at);
            return;
        }
        let live = self.live().len();
        let mut values = self.values.to_vec();
        if let Some(removed) = values[live..].iter().position(|(old, _)| *old == name) {
            values.remove(live + removed);
            self.removed -= 1;
        }
        values.insert(live, (name, value));
        self.values = values.into();
        self.changed.set(live);
    }

    /// Sets the harness's own values, in the order of [`OwnName::ALL`]: what every request that
    /// changes a session does.
    pub fn set_own(&mut self, values: [Value; OwnName::ALL.len()]) {
        if self.own().is_none() {
            let named = OwnName::ALL.into_iter().zip(values);
            return named.for_each(|(name, value)| self.set(name, value));
        }
        let kept = Rc::make_mut(&mut self.values);
        for (at, ((_, old), value)) in kept.iter_mut().zip(values).enumerate() {
            *old = value;
            self.changed.set(at);
        }
    }

    /// The harness's own values, if the item starts with all of them, in their order.
    #[must_use]
    pub fn own(&self) -> Option<[&Value; OwnName::ALL.len()]> {
        match self.live() {
            [
                (Name::Own(OwnName::Life), life),
                (Name::Own(OwnName::Pages), pages),
                (Name::Own(OwnName::Updates), updates),
                (Name::Own(OwnName::Data), data),
                ..,
            ] => Some([life, pages, updates, data]),
            _ => None,
        }
    }

    /// Removes a value; makes the item dirty when there was one.
    pub fn remove(&mut self, name: &str) {
        if let Some(at) = self.position(name.into()) {
            let mut values = self.values.to_vec();
            let (name, _) = values.remove(at);
            self.changed.close(at);
            if let Some(removed) = self.removed.checked_add(1) {
                values.push((name, Value::Null));
                self.removed = removed;
            }
            self.values = values.into();
        }
    }

    fn live(&self) -> &[(Name, Value)] {
        &self.values[..self.values.len() - usize::from(self.removed)]
    }

    #[inline]
    fn position(&self, name: Wanted<'_>) -> Option<usize> {
        let live = self.live();
        // The harness writes its own values first and in their order: look there first.
        if let Wanted::Own(own) = name
            && let Some((Name::Own(found), _)) = live.get(own as usize)
            && *found == own
        {
            return Some(own as usize);
        }
        live.iter().position(|(known, _)| *known == name)
    }

    /// Has the processor fetch the values, which will be needed soon.
    pub fn fetch(&self) {
        fetch(self.values.as_ptr().cast(), size_of_val(&*self.values));
    }

    /// All values in their order.
    pub fn values(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> {
        self.live()
            .iter()
            .map(|(name, value)| (name.as_str(), value))
    }

    /// An item from values that a store keeps apart, as layouts 1 to 4 of Microsoft's Redis
    /// provider do.
    #[must_use]
    pub fn from_values(timeout: Minutes, values: Vec<(Name, Value)>) -> Self {
        Self {
            timeout,
            values: values.into(),
            changed: Changed::default(),
            removed: 0,
        }
    }

    /// The frame of facts §4.1: timeout, flags, values, 0xFF.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(7 + self.encoded_length());
        out.extend_from_slice(&self.timeout.0.to_le_bytes());
        let has_items = !self.live().is_empty();
        out.extend_from_slice(&[u8::from(has_items), 0]);
        if has_items {
            self.write_items(&mut out);
        }
        out.push(END);
        out
    }

    /// The frame, compressed as `compressionEnabled` does: raw Deflate, then one more 0xFF.
    #[must_use]
    pub fn encode_compressed(&self) -> Vec<u8> {
        let mut encoder =
            flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
        // Writing to memory cannot fail; if it ever did, the item would be seen as damaged.
        let _ = encoder.write_all(&self.encode());
        let mut out = encoder.finish().unwrap_or_default();
        out.push(END);
        out
    }

    /// The collection of facts §4.2 alone, without timeout and flags.
    #[must_use]
    pub fn encode_items(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.encoded_length());
        self.write_items(&mut out);
        out
    }

    /// Reads a frame.
    ///
    /// # Errors
    /// The bytes are not one.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Input(bytes);
        let timeout = Minutes(input.u32()?);
        let has_items = input.u8()? != 0;
        if input.u8()? != 0 {
            return Err(DecodeError::StaticObjects);
        }
        let values = if has_items {
            read_items(&mut input)?
        } else {
            Vec::new()
        };
        match input.u8() {
            Ok(END) => Ok(Self::from_values(timeout, values)),
            _ => Err(DecodeError::NoEnd),
        }
    }

    /// Reads a compressed frame.
    ///
    /// # Errors
    /// The bytes are not one.
    pub fn decode_compressed(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (&END, deflated) = bytes.split_last().ok_or(DecodeError::CutShort)? else {
            return Err(DecodeError::NoEnd);
        };
        let mut frame = Vec::new();
        flate2::read::DeflateDecoder::new(deflated)
            .read_to_end(&mut frame)
            .map_err(|_| DecodeError::Compression)?;
        Self::decode(&frame)
    }

    /// Reads a collection without its frame.
    ///
    /// # Errors
    /// The bytes are not one.
    pub fn decode_items(bytes: &[u8], timeout: Minutes) -> Result<Self, DecodeError> {
        Ok(Self::from_values(timeout, read_items(&mut Input(bytes))?))
    }

    fn encoded_length(&self) -> usize {
        let entry =
            |(name, value): &(Name, Value)| name.as_str().len() + value.encoded_length() + 6;
        8 + self.live().iter().map(entry).sum::<usize>()
    }

    fn write_items(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&(self.live().len() as u32).to_le_bytes());
        if self.live().is_empty() {
            return;
        }
        out.extend_from_slice(&(-1i32).to_le_bytes());
        for (name, _) in self.live().iter() {
            let name = name.as_str();
            write_text(name.len(), out, |out| {
                out.extend_from_slice(name.as_bytes())
            });
        }
        let ends = out.len();
        out.resize(ends + 4 * self.live().len(), 0);
        let start = out.len();
        for (at, (_, value)) in self.live().iter().enumerate() {
            value.write_to(out);
            let end = ((out.len() - start) as u32).to_le_bytes();
            out[ends + 4 * at..ends + 4 * at + 4].copy_from_slice(&end);
        }
    }
}

fn read_items(input: &mut Input<'_>) -> Result<Vec<(Name, Value)>, DecodeError> {
    let count = input.u32()? as usize;
    if count == 0 {
        return Ok(Vec::new());
    }
    // Each value takes at least a name's length byte and an end offset; a larger count is damage,
    // and must not reserve memory.
    if count > input.0.len() {
        return Err(DecodeError::CutShort);
    }
    let null_key = i32::from_le_bytes(input.array()?);
    let mut names = Vec::with_capacity(count);
    for at in 0..count {
        names.push(if null_key == at as i32 {
            "".into()
        } else {
            input.text()?.into()
        });
    }
    let mut ends = Vec::with_capacity(count);
    for _ in 0..count {
        ends.push(input.u32()? as usize);
    }
    let mut start = 0;
    let mut values = Vec::with_capacity(count);
    let bytes = input.0;
    for (name, end) in names.into_iter().zip(ends) {
        let value = bytes.get(start..end).ok_or(DecodeError::CutShort)?;
        values.push((name, Value::read(value)?));
        start = end;
    }
    input.0 = &bytes[start..];
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::value::{Text, TextPool};
    use proptest::prelude::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        digits
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }

    /// Golden sample of facts §4.4.
    const ED: &str = "14000000 01 00 03000000 FFFFFFFF 04 6E616D65 03 616765 05 7072696365 \
        04000000 09000000 12000000 01 024564 02 2C000000 09 0000000000404140 FF";

    fn ed() -> Item {
        let mut item = Item::new(Minutes(20));
        item.set("name", Value::Text("Ed".into()));
        item.set("age", Value::Int32(44));
        item.set("price", Value::Double(34.5));
        item
    }

    #[test]
    fn an_empty_session_is_seven_bytes() {
        assert_eq!(Item::new(Minutes(20)).encode(), hex("14000000 00 00 FF"));
    }

    #[test]
    fn three_values_encode_to_the_golden_sample() {
        assert_eq!(ed().encode(), hex(ED));
    }

    #[test]
    fn the_golden_sample_decodes_to_three_values() {
        assert_eq!(Item::decode(&hex(ED)), Ok(ed().stored()));
    }

    #[test]
    fn the_blob_of_redis_layout_5_is_the_frame_without_its_first_6_and_last_bytes() {
        let frame = hex(ED);
        assert_eq!(ed().encode_items(), &frame[6..frame.len() - 1]);
    }

    #[test]
    fn an_empty_blob_is_four_zero_bytes() {
        assert_eq!(Item::new(Minutes(20)).encode_items(), [0; 4]);
    }

    #[test]
    fn a_value_of_an_unknown_type_is_copied_through() {
        // DateTime (4) is a type that the harness has no use for.
        let bytes = hex("01000000 FFFFFFFF 01 64 09000000 04 0102030405060708");
        let item = Item::decode_items(&bytes, Minutes(20)).unwrap();
        assert_eq!(item.encode_items(), bytes);
    }

    #[test]
    fn names_compare_without_regard_to_case() {
        assert_eq!(ed().get("NAME"), ed().get("name"));
    }

    #[test]
    fn changing_a_clone_leaves_the_stored_item_alone() {
        let stored = ed().stored();
        let mut changed = stored.clone();
        changed.set("age", Value::Int32(45));
        assert_eq!(stored.get("age"), Some(&Value::Int32(44)));
    }

    #[test]
    fn an_item_knows_which_values_were_set_since_it_was_read() {
        let mut item = ed().stored();
        assert!(!item.dirty());
        item.set("price", Value::Int32(1));
        item.set("new", Value::Null);
        let names: Vec<_> = item.changed().map(|(name, _)| name).collect();
        assert_eq!(names, ["price", "new"]);
    }

    #[test]
    fn an_item_knows_which_values_were_removed_since_it_was_read() {
        let mut item = ed().stored();
        item.set("price", Value::Int32(1));
        item.remove("Name");
        assert_eq!(item.removed().collect::<Vec<_>>(), ["name"]);
        let changed: Vec<_> = item.changed().map(|(name, _)| name).collect();
        assert_eq!(changed, ["price"], "positions move up with their marks");
        assert_eq!(item.values().len(), 2);
    }

    #[test]
    fn a_removed_value_is_not_written() {
        let mut item = ed();
        item.remove("age");
        let read = Item::decode(&item.encode()).unwrap();
        assert_eq!(read, item.stored());
        assert_eq!(read.get("age"), None);
    }

    #[test]
    fn a_value_that_is_set_again_was_not_removed() {
        let mut item = ed().stored();
        item.remove("age");
        item.set("age", Value::Int32(7));
        assert_eq!(item.removed().len(), 0);
        assert_eq!(
            item.changed().collect::<Vec<_>>(),
            [("age", &Value::Int32(7))]
        );
    }

    #[test]
    fn knowing_what_changed_costs_no_memory() {
        let without = size_of::<(Minutes, Rc<[(Name, Value)]>)>();
        assert_eq!(size_of::<Item>(), without);
    }

    #[test]
    fn the_sixteenth_value_shares_its_mark_with_all_that_follow() {
        let mut item = Item::new(Minutes(20));
        for at in 0..18 {
            item.set(format!("v{at}").as_str(), Value::Null);
        }
        let mut item = item.stored();
        item.set("v15", Value::Int32(1));
        item.remove("v3");
        assert!(item.changed().any(|(name, _)| name == "v15"));
    }

    #[test]
    fn generated_text_compresses_as_far_as_it_is_told() {
        let length = |compressibility| {
            let mut item = Item::new(Minutes(20));
            let pool = Rc::new(TextPool::new(1, compressibility));
            item.set(
                "data",
                Value::Text(Text::Generated {
                    pool,
                    length: 20_000,
                }),
            );
            item.encode_compressed().len()
        };
        // 64 letters carry 6 of 8 bits: random text still shrinks to three quarters.
        assert!((14_500..16_500).contains(&length(0.0)), "{}", length(0.0));
        assert!(length(1.0) < 300, "{}", length(1.0));
        assert!((7_000..9_500).contains(&length(0.5)), "{}", length(0.5));
    }

    fn any_value() -> impl Strategy<Value = Value> {
        prop_oneof![
            ".{0,300}".prop_map(|text| Value::Text(text.as_str().into())),
            any::<i32>().prop_map(Value::Int32),
            any::<i64>().prop_map(Value::Int64),
            any::<bool>().prop_map(Value::Boolean),
            (-1e9..1e9f64).prop_map(Value::Double),
            Just(Value::Null),
        ]
    }

    proptest! {
        #[test]
        fn decoding_what_was_encoded_gives_the_same_item(
            minutes in 1u32..525_600,
            values in proptest::collection::btree_map("[a-z]{1,200}", any_value(), 0..8),
        ) {
            let values = values.into_iter().map(|(name, value)| (Name::from(name.as_str()), value));
            let item = Item::from_values(Minutes(minutes), values.collect());
            prop_assert_eq!(Item::decode(&item.encode()), Ok(item.clone()));
            prop_assert_eq!(Item::decode_compressed(&item.encode_compressed()), Ok(item));
        }

        #[test]
        fn decoding_any_bytes_never_panics(bytes: Vec<u8>) {
            let _ = Item::decode(&bytes);
            let _ = Item::decode_compressed(&bytes);
            let _ = Item::decode_items(&bytes, Minutes(20));
        }
    }
}
