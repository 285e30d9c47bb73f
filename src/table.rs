//! A map for a hundred thousand live sessions and more, whose values can be fetched ahead.
//!
//! In: values under keys. Out: the values again, in no order that matters, but in one that depends on
//! nothing but the map's history. The values stand in one vector of slots, and an index of four bytes a
//! place says in which.
//!
//! The surprising fact: at that size a map's speed is that of memory, not of hashing, and the standard
//! map does not tell where in memory it is going to look. So the index is our own: linear probing, with as
//! much of the hash beside the slot's number as there is room for. And a value that was looked up is mostly
//! looked up once more before any other, which is why the last one is remembered.

use crate::fetch::Kept;
use std::cell::Cell;
use std::hash::{BuildHasher, Hash, RandomState};

/// Values by their keys.
#[derive(Debug)]
pub struct Table<K, V, S = RandomState> {
    index: Index,
    slots: Vec<Slot<K, V>>,
    /// Slots whose values were removed.
    free: Vec<u32>,
    /// The slot that was found last.
    last: Cell<u32>,
    hasher: S,
}

/// A place for one value. On a boundary of two of the processor's cache lines, which it fetches together:
/// a value is then in no more lines than it needs.
#[derive(Debug)]
#[repr(align(128))]
struct Slot<K, V>(Option<(K, V)>);

impl<K, V, S: Default> Default for Table<K, V, S> {
    fn default() -> Self {
        Self {
            index: Index::default(),
            slots: Vec::new(),
            free: Vec::new(),
            last: Cell::new(0),
            hasher: S::default(),
        }
    }
}

fn is_at<K: Eq, V>(slots: &[Slot<K, V>], slot: u32, key: &K) -> bool {
    matches!(slots.get(slot as usize), Some(Slot(Some((known, _)))) if known == key)
}

impl<K: Hash + Eq, V, S: BuildHasher> Table<K, V, S> {
    /// How many values it holds.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Whether it holds none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A value.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<&V> {
        let slot = self.slots.get(self.find(key)? as usize)?;
        slot.0.as_ref().map(|(_, value)| value)
    }

    /// A value, to be changed.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let slot = self.find(key)?;
        let slot = self.slots.get_mut(slot as usize)?;
        slot.0.as_mut().map(|(_, value)| value)
    }

    /// A value, to be changed; a new one if there is none.
    pub fn get_or_default(&mut self, key: K) -> &mut V
    where
        V: Default,
    {
        let slot = match self.find(&key) {
            Some(slot) => slot,
            None => self.add(key, V::default()),
        };
        match &mut self.slots[slot as usize].0 {
            Some((_, value)) => value,
            None => unreachable!("the index leads to values"),
        }
    }

    /// Puts a value in the place of an earlier one, if there was one.
    pub fn insert(&mut self, key: K, value: V) {
        match self.get_mut(&key) {
            Some(old) => *old = value,
            None => {
                self.add(key, value);
            }
        }
    }

    /// Takes a value out.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let slot = self.find(key)?;
        let (slots, hasher) = (&self.slots, &self.hasher);
        self.index.remove(hasher.hash_one(key), slot, |other| {
            hash_at(slots, hasher, other)
        });
        self.free.push(slot);
        self.slots[slot as usize].0.take().map(|(_, value)| value)
    }

    /// Keeps the values for which `keep` holds.
    pub fn retain(&mut self, mut keep: impl FnMut(&K, &mut V) -> bool) {
        for slot in 0..self.slots.len() {
            if let Some((key, value)) = &mut self.slots[slot].0
                && !keep(key, value)
            {
                let (slots, hasher) = (&self.slots, &self.hasher);
                let hash = hash_at(slots, hasher, slot as u32);
                (self.index).remove(hash, slot as u32, |other| hash_at(slots, hasher, other));
                self.free.push(slot as u32);
                self.slots[slot].0 = None;
            }
        }
    }

    /// All keys and values.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        (self.slots.iter()).filter_map(|slot| slot.0.as_ref().map(|(key, value)| (key, value)))
    }

    /// Where a value is kept, so that it can be fetched before it is needed again; nowhere when there is
    /// none.
    #[must_use]
    pub fn kept(&self, key: &K) -> Kept {
        match self.find(key) {
            Some(slot) => {
                let place = self.index.place(self.hasher.hash_one(key));
                Kept::at(place, &raw const self.slots[slot as usize])
            }
            None => Kept::default(),
        }
    }

    #[inline]
    fn find(&self, key: &K) -> Option<u32> {
        let (slots, last) = (&self.slots, self.last.get());
        if is_at(slots, last, key) {
            return Some(last);
        }
        let hash = self.hasher.hash_one(key);
        let slot = self.index.find(hash, |slot| is_at(slots, slot, key))?;
        self.last.set(slot);
        Some(slot)
    }

    /// Adds a value that is not there yet. Returns its slot.
    fn add(&mut self, key: K, value: V) -> u32 {
        if self.free.is_empty() && self.index.is_full(self.slots.len()) {
            self.index = Index::with_room_for(self.slots.len() + 1);
            for (slot, held) in self.slots.iter().enumerate() {
                if let Slot(Some((key, _))) = held {
                    self.index.insert(self.hasher.hash_one(key), slot as u32);
                }
            }
        }
        let hash = self.hasher.hash_one(&key);
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot(None));
            (self.slots.len() - 1) as u32
        });
        self.slots[slot as usize].0 = Some((key, value));
        self.index.insert(hash, slot);
        self.last.set(slot);
        slot
    }
}

fn hash_at<K: Hash, V>(slots: &[Slot<K, V>], hasher: &impl BuildHasher, slot: u32) -> u64 {
    match slots.get(slot as usize) {
        Some(Slot(Some((key, _)))) => hasher.hash_one(key),
        _ => 0,
    }
}

/// Which slots hold the values of a hash.
///
/// A place is zero, or one more than a slot's number; the bits above it, as many as are left, are bits of
/// the hash. There is a power of two of places, and no more slots than three quarters of them.
#[derive(Debug, Default)]
struct Index {
    places: Box<[u32]>,
}

impl Index {
    /// Fewest places.
    const LEAST: usize = 16;

    fn with_room_for(slots: usize) -> Self {
        let places = (slots * 4 / 3 + 1).next_power_of_two().max(Self::LEAST);
        Self {
            places: vec![0; places].into(),
        }
    }

    /// Whether one slot more is too many.
    const fn is_full(&self, slots: usize) -> bool {
        (slots + 1) * 4 > self.places.len() * 3
    }

    fn mask(&self) -> usize {
        self.places.len().wrapping_sub(1)
    }

    /// The bits of a hash that stand in a place.
    fn tag(&self, hash: u64) -> u32 {
        (hash >> 32) as u32 & !(self.mask() as u32)
    }

    /// The first slot of this hash for which `is_it` holds.
    fn find(&self, hash: u64, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let (mask, tag) = (self.mask(), self.tag(hash));
        let mut at = hash as usize & mask;
        loop {
            let place = *self.places.get(at)?;
            if place == 0 {
                return None;
            }
            let slot = (place & mask as u32).wrapping_sub(1);
            if place & !(mask as u32) == tag && is_it(slot) {
                return Some(slot);
            }
            at = (at + 1) & mask;
        }
    }

    /// Where looking for a hash begins.
    fn place(&self, hash: u64) -> *const u32 {
        self.places
            .as_ptr()
            .wrapping_add(hash as usize & self.mask())
    }

    fn insert(&mut self, hash: u64, slot: u32) {
        let (mask, tag) = (self.mask(), self.tag(hash));
        let mut at = hash as usize & mask;
        while self.places[at] != 0 {
            at = (at + 1) & mask;
        }
        self.places[at] = tag | (slot + 1);
    }

    /// Removes a slot that is there. `hash_of` gives the hash of other slots, which move up.
    fn remove(&mut self, hash: u64, slot: u32, hash_of: impl Fn(u32) -> u64) {
        let mask = self.mask();
        let mut gap = hash as usize & mask;
        while self.places[gap] & mask as u32 != slot + 1 {
            gap = (gap + 1) & mask;
        }
        let mut at = gap;
        loop {
            self.places[gap] = 0;
            // The next one that may stand in the gap: one that does not want to stand after it.
            loop {
                at = (at + 1) & mask;
                let place = self.places[at];
                if place == 0 {
                    return;
                }
                let home = hash_of((place & mask as u32) - 1) as usize & mask;
                if (at.wrapping_sub(home) & mask) >= (at.wrapping_sub(gap) & mask) {
                    break;
                }
            }
            self.places[gap] = self.places[at];
            gap = at;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::hash::BuildHasherDefault;

    #[derive(Debug, Clone)]
    enum Step {
        Insert(u8, u32),
        Remove(u8),
        Count(u8),
        KeepEven,
        Fetch(u8),
    }

    fn any_step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (any::<u8>(), any::<u32>()).prop_map(|(key, value)| Step::Insert(key, value)),
            2 => any::<u8>().prop_map(Step::Remove),
            2 => any::<u8>().prop_map(Step::Count),
            1 => Just(Step::KeepEven),
            1 => any::<u8>().prop_map(Step::Fetch),
        ]
    }

    /// Sends all keys to four places, so that they are in each other's way.
    #[derive(Debug, Default)]
    struct Poor(u64);

    impl std::hash::Hasher for Poor {
        fn finish(&self) -> u64 {
            self.0
        }

        fn write(&mut self, bytes: &[u8]) {
            self.0 = bytes.iter().map(|byte| u64::from(byte % 4)).sum();
        }
    }

    proptest! {
        #[test]
        fn it_holds_what_a_sorted_map_holds(steps in proptest::collection::vec(any_step(), 0..200)) {
            let mut table: Table<u8, u32, BuildHasherDefault<Poor>> = Table::default();
            let mut model = BTreeMap::new();
            for step in steps {
                match step {
                    Step::Insert(key, value) => {
                        table.insert(key, value);
                        model.insert(key, value);
                    }
                    Step::Remove(key) => prop_assert_eq!(table.remove(&key), model.remove(&key)),
                    Step::Count(key) => {
                        let count = table.get_or_default(key);
                        *count = count.wrapping_add(1);
                        let count = model.entry(key).or_insert(0u32);
                        *count = count.wrapping_add(1);
                        prop_assert_eq!(table.get(&key), model.get(&key));
                    }
                    Step::KeepEven => {
                        table.retain(|_, value| value.is_multiple_of(2));
                        model.retain(|_, value| value.is_multiple_of(2));
                    }
                    Step::Fetch(key) => {
                        let kept = table.kept(&key);
                        kept.fetch(crate::fetch::Level::Second);
                        prop_assert_eq!(kept != Kept::default(), model.contains_key(&key));
                    }
                }
                prop_assert_eq!(table.len(), model.len());
            }
            let held: BTreeMap<u8, u32> = table.iter().map(|(key, value)| (*key, *value)).collect();
            prop_assert_eq!(held, model);
        }
    }

    #[test]
    fn the_place_of_a_removed_value_is_used_again() {
        let mut table: Table<u8, u32> = Table::default();
        for round in 0..100 {
            table.insert(round, 1);
            table.remove(&round);
        }
        assert_eq!(table.slots.len(), 1);
    }
}
