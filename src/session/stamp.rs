//! What the harness writes into every session so that it can recognise it again.
//!
//! A few small values beside the payload: which life of whose session it is, how many page
//! views it holds, and a sum over all updates. The sum is a set hash: update ids mixed and added
//! modulo 2⁶⁴, so that a lost, doubled or reordered update shows in one comparison
//! (facts/simulation.md §5, invariant 3).

use super::item::Item;
use super::value::{Text, TextPool, Value};
use crate::quantity::mix;
use std::rc::Rc;

/// The harness's own values in a session: the stamp, and text as payload.
#[derive(Debug, Clone, PartialEq)]
pub struct Own {
    /// The stamp.
    pub stamp: Stamp,
    /// The payload.
    pub data: Text,
}

impl Own {
    /// Names under which they stand in a store, in their order.
    pub const NAMES: [&'static str; 4] = ["life", "pages", "updates", "data"];

    /// Whether this is the name of one of them.
    #[must_use]
    pub fn has(name: &str) -> bool {
        Self::NAMES.iter().any(|own| own.eq_ignore_ascii_case(name))
    }

    /// As values under their names.
    pub fn values<'a>(&self) -> [(&'a str, Value); Self::NAMES.len()] {
        let [life, pages, updates, data] = Self::NAMES;
        let stamp = &self.stamp;
        [
            (life, Value::Int64(stamp.life as i64)),
            (pages, Value::Int32(stamp.pages as i32)),
            (updates, Value::Int64(stamp.updates as i64)),
            (data, Value::Text(self.data.clone())),
        ]
    }

    /// Reads them from among other values, in whatever order; `None` unless all are there.
    #[must_use]
    pub fn of(values: &[(&str, Value)]) -> Option<Self> {
        let value = |name| Some(&values.iter().find(|(known, _)| *known == name)?.1);
        let [life, pages, updates, data] = Self::NAMES.map(value);
        match (life?, pages?, updates?, data?) {
            (Value::Int64(life), Value::Int32(pages), Value::Int64(updates), Value::Text(data)) => {
                Some(Self {
                    stamp: Stamp {
                        life: *life as u64,
                        pages: *pages as u32,
                        updates: *updates as u64,
                    },
                    data: data.clone(),
                })
            }
            _ => None,
        }
    }
}

/// What tells a session and its updates apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stamp {
    /// Which life of the session this is: a new one starts when a request finds none stored. Its
    /// high bits are the owner, see [`Stamp::owner`].
    pub life: u64,
    /// Page views in it.
    pub pages: u32,
    /// Sum of all updates, each mixed, modulo 2⁶⁴.
    pub updates: u64,
}

/// Bits of a life's number that tell lives of one owner apart; the rest is the owner.
const LIFE_BITS: u32 = 20;

impl Stamp {
    /// The stamp of a session that begins with this request. Two lives of one owner have the same
    /// number only if a million requests, or a multiple, lie between them.
    #[must_use]
    pub const fn begin(owner: u64, request: u64) -> Self {
        Self {
            life: owner << LIFE_BITS | request & ((1 << LIFE_BITS) - 1),
            pages: 0,
            updates: 0,
        }
    }

    /// Whose session it is.
    #[must_use]
    pub const fn owner(&self) -> u64 {
        self.life >> LIFE_BITS
    }

    /// Reads the stamp; `None` in a session that the harness did not write, and in one that is
    /// still uninitialised.
    #[must_use]
    pub fn read(item: &Item) -> Option<Self> {
        item.own().map(|own| own.stamp)
    }

    /// Writes the stamp, and generated text of this length as payload.
    pub fn write(self, item: &mut Item, pool: &Rc<TextPool>, payload: u32) {
        let data = Text::Generated {
            pool: Rc::clone(pool),
            length: payload,
        };
        item.set_own(Own { stamp: self, data });
    }

    /// The stamp after one more update by the request of this number.
    #[must_use]
    pub fn updated(self, request: u64, page_views: u32) -> Self {
        Self {
            pages: self.pages + page_views,
            updates: self.updates.wrapping_add(mix(request)),
            ..self
        }
    }
}

/// Bytes of payload in a session.
#[must_use]
pub fn payload_length(item: &Item) -> u32 {
    item.own().map_or(0, |own| own.data.len() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Minutes;

    #[test]
    fn a_stamp_survives_the_wire() {
        let stamp = Stamp {
            life: u64::MAX,
            pages: 3,
            updates: 1 << 63,
        };
        let mut item = Item::new(Minutes(20));
        stamp.write(&mut item, &Rc::new(TextPool::new(1, 0.5)), 100);
        let read = Item::decode(&item.encode()).unwrap();
        assert_eq!(Stamp::read(&read), Some(stamp));
    }

    #[test]
    fn a_life_tells_its_owner() {
        let owner = (1 << 44) - 1;
        assert_eq!(Stamp::begin(owner, u64::MAX).owner(), owner);
    }

    #[test]
    fn the_order_of_updates_does_not_matter() {
        let start = Stamp::default();
        assert_eq!(
            start.updated(1, 1).updated(2, 1),
            start.updated(2, 1).updated(1, 1)
        );
    }
}
