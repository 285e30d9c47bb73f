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

/// Names of the harness's own values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnName {
    /// [`Stamp::life`].
    Life,
    /// [`Stamp::pages`].
    Pages,
    /// [`Stamp::updates`].
    Updates,
    /// The payload.
    Data,
}

impl OwnName {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Life, Self::Pages, Self::Updates, Self::Data];

    /// The name as it stands in a store.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Life => "life",
            Self::Pages => "pages",
            Self::Updates => "updates",
            Self::Data => "data",
        }
    }
}

/// The harness's own values in a session.
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
        let own = |name: OwnName| item.get(name);
        let (life, pages, updates) = match item.own() {
            Some([life, pages, updates, _]) => (life, pages, updates),
            None => (
                own(OwnName::Life)?,
                own(OwnName::Pages)?,
                own(OwnName::Updates)?,
            ),
        };
        match (life, pages, updates) {
            (Value::Int64(life), Value::Int32(pages), Value::Int64(updates)) => Some(Self {
                life: *life as u64,
                pages: *pages as u32,
                updates: *updates as u64,
            }),
            _ => None,
        }
    }

    /// Writes the stamp, and generated text of this length as payload.
    pub fn write(&self, item: &mut Item, pool: &Rc<TextPool>, payload: u32) {
        let text = Text::Generated {
            pool: Rc::clone(pool),
            length: payload,
        };
        item.set_own([
            Value::Int64(self.life as i64),
            Value::Int32(self.pages as i32),
            Value::Int64(self.updates as i64),
            Value::Text(text),
        ]);
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
    match item.get(OwnName::Data) {
        Some(Value::Text(text)) => text.len() as u32,
        _ => 0,
    }
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
