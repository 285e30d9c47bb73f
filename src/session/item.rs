//! The stored item, in ASP.NET's binary layout (facts §4), so that a genuine .NET application can
//! read what the harness stores and the reverse.
//!
//! In: named values and a timeout. Out: the bytes of `SessionStateItemCollection`
//! ([`Item::encode_items`], what Microsoft's Redis provider 5 stores) or of the whole frame
//! ([`Item::encode`], what the state server, SQL and Sitecore store), and back.
//!
//! The surprising fact: a value that no code touched stays serialised and is copied through, so a
//! type that the harness does not know survives it.

use super::stamp::Own;
use super::value::{Input, Value, write_text};
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

/// Session data with its timeout.
///
/// The harness's own values stand in the item itself: a simulated site holds a hundred thousand
/// items with nothing else in them. Cloning shares all others until one side changes them.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    timeout: Minutes,
    /// Whether `own` was set since the item was read.
    own_changed: bool,
    /// The harness's own values, which come before all others.
    own: Option<Own>,
    others: Option<Rc<Others>>,
}

/// Values that are not the harness's own. Names compare without regard to case, as
/// `NameObjectCollectionBase` does.
#[derive(Debug, Clone, PartialEq, Default)]
struct Others {
    values: Vec<Other>,
    /// Names of values that were removed since the item was read.
    removed: Vec<Rc<str>>,
}

#[derive(Debug, Clone, PartialEq)]
struct Other {
    name: Rc<str>,
    value: Value,
    /// Whether it was set since the item was read.
    changed: bool,
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
    pub const fn new(timeout: Minutes) -> Self {
        Self {
            timeout,
            own_changed: false,
            own: None,
            others: None,
        }
    }

    /// An item as it was read.
    #[must_use]
    pub fn from_values(timeout: Minutes, values: Vec<(&str, Value)>) -> Self {
        let own = Own::of(&values);
        let is_own = |name: &str| own.is_some() && Own::NAMES.contains(&name);
        let others: Vec<_> = (values.into_iter())
            .filter(|(name, _)| !is_own(name))
            .map(|(name, value)| Other {
                name: name.into(),
                value,
                changed: false,
            })
            .collect();
        let others = (!others.is_empty()).then(|| {
            Rc::new(Others {
                values: others,
                removed: Vec::new(),
            })
        });
        Self {
            timeout,
            own_changed: false,
            own,
            others,
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
        self.own_changed || self.others.as_ref().is_some_and(|others| others.dirty())
    }

    /// How many values it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.own.as_ref().map_or(0, |_| Own::NAMES.len()) + self.others().len()
    }

    /// Whether it holds no value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All values in their order.
    pub fn values(&self) -> impl Iterator<Item = (&str, Value)> {
        let own = self.own.iter().flat_map(Own::values);
        own.chain(self.others().iter().map(Other::pair))
    }

    /// The values that were set since the item was read.
    pub fn changed(&self) -> impl Iterator<Item = (&str, Value)> {
        let own = self.own.iter().filter(|_| self.own_changed);
        let others = self.others().iter().filter(|other| other.changed);
        own.flat_map(Own::values).chain(others.map(Other::pair))
    }

    /// Names of the values that were removed since the item was read.
    pub fn removed(&self) -> impl ExactSizeIterator<Item = &str> {
        let others = self.others.as_ref();
        let removed = others.map_or(&[][..], |others| &others.removed);
        removed.iter().map(AsRef::as_ref)
    }

    /// The item as a store keeps it: what was changed is now what is stored.
    #[must_use]
    pub fn stored(&self) -> Self {
        let mut stored = self.clone();
        stored.own_changed = false;
        if let Some(others) = &mut stored.others
            && others.dirty()
        {
            let others = Rc::make_mut(others);
            others.removed.clear();
            others.values.iter_mut().for_each(|it| it.changed = false);
        }
        stored.others = stored.others.filter(|others| !others.values.is_empty());
        stored
    }

    /// A value by its name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Value> {
        let found = |(known, _): &(&str, Value)| known.eq_ignore_ascii_case(name);
        self.values().find(found).map(|(_, value)| value)
    }

    /// Sets a value, which makes the item dirty.
    pub fn set(&mut self, name: &str, value: Value) {
        let Others { values, removed } = self.others_with(name);
        removed.retain(|old| !old.eq_ignore_ascii_case(name));
        match values.iter_mut().find(|other| other.is(name)) {
            Some(other) => {
                other.value = value;
                other.changed = true;
            }
            None => values.push(Other {
                name: name.into(),
                value,
                changed: true,
            }),
        }
    }

    /// Removes a value; makes the item dirty when there was one.
    pub fn remove(&mut self, name: &str) {
        if self.get(name).is_none() {
            return;
        }
        let Others { values, removed } = self.others_with(name);
        if let Some(at) = values.iter().position(|other| other.is(name)) {
            removed.push(values.remove(at).name);
        }
    }

    /// The harness's own values, if it wrote this item.
    #[must_use]
    pub const fn own(&self) -> Option<&Own> {
        self.own.as_ref()
    }

    /// Sets the harness's own values: what every request that changes a session does.
    pub fn set_own(&mut self, own: Own) {
        if let Some(others) = &mut self.others {
            let Others { values, removed } = Rc::make_mut(others);
            values.retain(|other| !Own::has(&other.name));
            removed.retain(|name| !Own::has(name));
        }
        self.own = Some(own);
        self.own_changed = true;
    }

    /// The values that are not the harness's own, to change the one of this name among them: if it is
    /// one of the harness's own, these become values like all others.
    fn others_with(&mut self, name: &str) -> &mut Others {
        let others = Rc::make_mut(self.others.get_or_insert_default());
        if Own::has(name)
            && let Some(own) = self.own.take()
        {
            let changed = std::mem::take(&mut self.own_changed);
            let values = own.values().map(|(name, value)| Other {
                name: name.into(),
                value,
                changed,
            });
            others.values.splice(..0, values);
        }
        others
    }

    fn others(&self) -> &[Other] {
        self.others.as_ref().map_or(&[], |others| &others.values)
    }

    /// The frame of facts §4.1: timeout, flags, values, 0xFF.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(7 + self.encoded_length());
        out.extend_from_slice(&self.timeout.0.to_le_bytes());
        let has_items = !self.is_empty();
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
        let entry = |(name, value): (&str, Value)| name.len() + value.encoded_length() + 6;
        8 + self.values().map(entry).sum::<usize>()
    }

    fn write_items(&self, out: &mut Vec<u8>) {
        let count = self.len();
        out.extend_from_slice(&(count as u32).to_le_bytes());
        if count == 0 {
            return;
        }
        out.extend_from_slice(&(-1i32).to_le_bytes());
        for (name, _) in self.values() {
            write_text(name.len(), out, |out| {
                out.extend_from_slice(name.as_bytes())
            });
        }
        let ends = out.len();
        out.resize(ends + 4 * count, 0);
        let start = out.len();
        for (at, (_, value)) in self.values().enumerate() {
            value.write_to(out);
            let end = ((out.len() - start) as u32).to_le_bytes();
            out[ends + 4 * at..ends + 4 * at + 4].copy_from_slice(&end);
        }
    }
}

impl Others {
    fn dirty(&self) -> bool {
        !self.removed.is_empty() || self.values.iter().any(|other| other.changed)
    }
}

impl Other {
    fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    fn pair(&self) -> (&str, Value) {
        (&self.name, self.value.clone())
    }
}

fn read_items<'a>(input: &mut Input<'a>) -> Result<Vec<(&'a str, Value)>, DecodeError> {
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
    let mut values = Vec::with_capacity(count);
    for at in 0..count {
        let name = match null_key == at as i32 {
            true => "",
            false => input.text()?,
        };
        values.push((name, Value::Null));
    }
    let (ends, bytes) = input
        .0
        .split_at_checked(4 * count)
        .ok_or(DecodeError::CutShort)?;
    let mut start = 0;
    for ((_, value), end) in values.iter_mut().zip(ends.as_chunks().0) {
        let end = u32::from_le_bytes(*end) as usize;
        *value = Value::read(bytes.get(start..end).ok_or(DecodeError::CutShort)?)?;
        start = end;
    }
    input.0 = &bytes[start..];
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Stamp;
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
        assert_eq!(stored.get("age"), Some(Value::Int32(44)));
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
        assert_eq!(item.len(), 2);
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
            [("age", Value::Int32(7))]
        );
    }

    fn own() -> Own {
        Own {
            stamp: Stamp {
                life: 1,
                pages: 2,
                updates: 3,
            },
            data: "text".into(),
        }
    }

    #[test]
    fn the_harness_s_own_values_are_stored_like_all_others_and_before_them() {
        let mut item = ed();
        item.set_own(own());
        let names: Vec<_> = item.values().map(|(name, _)| name).collect();
        assert_eq!(
            names,
            ["life", "pages", "updates", "data", "name", "age", "price"]
        );
        assert_eq!(Item::decode(&item.encode()), Ok(item.stored()));
    }

    #[test]
    fn the_harness_s_own_values_change_together() {
        let mut item = ed();
        item.set_own(own());
        let mut item = item.stored();
        assert!(!item.dirty());
        item.set_own(own());
        let names: Vec<_> = item.changed().map(|(name, _)| name).collect();
        assert_eq!(names, Own::NAMES);
    }

    #[test]
    fn one_of_the_harness_s_own_values_can_be_set_and_removed_by_its_name() {
        let mut item = Item::new(Minutes(20));
        item.set_own(own());
        let mut item = item.stored();
        item.set("Pages", Value::Int32(7));
        item.remove("life");
        assert_eq!(item.get("pages"), Some(Value::Int32(7)));
        assert_eq!(item.removed().collect::<Vec<_>>(), ["life"]);
        let changed: Vec<_> = item.changed().map(|(name, _)| name).collect();
        assert_eq!(changed, ["pages"]);
        item.set_own(own());
        assert_eq!(
            item.values().map(|(name, _)| name).collect::<Vec<_>>(),
            Own::NAMES
        );
    }

    #[test]
    fn an_item_is_small() {
        // A simulated site of 100,000 contacts has 200,000 of them.
        assert!(size_of::<Item>() <= 56, "{}", size_of::<Item>());
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
            let values = values.iter().map(|(name, value)| (name.as_str(), value.clone()));
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
