//! ASP.NET's cache, as far as sessions use it: a sliding expiry, and a wheel that removes what has
//! expired (facts §3.2). The in-process store and the state server both keep their sessions in one.
//!
//! In: values under keys, each with a timeout of its own. Out: the values again, and once each when
//! they have expired. An expired value goes when the wheel turns, at every UTC multiple of 20 s, or
//! earlier when somebody touches it.
//!
//! The surprising fact: an access that would prolong a value by less than 1 s does not move its
//! expiry, so a value can expire up to 1 s early.

use crate::clock::{self, Instant};
use crate::fetch::Kept;
use crate::table::Table;
use std::hash::{BuildHasher, Hash, RandomState};
use std::time::Duration;

/// Distance of two turns of the wheel; they come at UTC multiples of it.
pub const WHEEL: Duration = Duration::from_secs(20);

/// An access that would prolong a value by less does not move its expiry.
const MIN_SLIDING_UPDATE: Duration = Duration::from_secs(1);

/// A value that expires when nobody touched it for its timeout.
pub trait Sliding {
    /// The timeout in real time, when a minute of site time lasts `minute`.
    fn timeout(&self, minute: Duration) -> Duration;
}

/// Values that expire.
#[derive(Debug)]
pub struct Cache<K, V, S = RandomState> {
    slots: Table<K, Slot<V>, S>,
    minute: Duration,
    /// No value expires before, so that the wheel need not look at any.
    none_before: Instant,
}

#[derive(Debug)]
struct Slot<V> {
    value: V,
    expires: Instant,
}

/// What an access found.
#[derive(Debug)]
pub enum Access<'a, V> {
    /// No such value.
    Missing,
    /// A value whose time had passed; it is no longer in the cache.
    Expired(V),
    /// A value that lives, and for its timeout longer.
    Live(&'a mut V),
}

impl<'a, V> Access<'a, V> {
    /// The value, if it lives.
    pub fn live(self) -> Option<&'a mut V> {
        match self {
            Self::Live(value) => Some(value),
            Self::Missing | Self::Expired(_) => None,
        }
    }
}

impl<K: Hash + Ord + Clone, V: Sliding, S: BuildHasher + Default> Cache<K, V, S> {
    /// An empty cache in which a minute of site time lasts `minute`.
    #[must_use]
    pub fn new(minute: Duration) -> Self {
        Self {
            slots: Table::default(),
            minute,
            none_before: Instant::START,
        }
    }

    /// How many values it holds, expired ones that the wheel has not met yet among them.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Its keys, in no order.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.slots.iter().map(|(key, _)| key)
    }

    /// Uses a value as every access does: an expired one is removed, a live one slides.
    pub fn access(&mut self, key: K) -> Access<'_, V> {
        let now = clock::now();
        if self.slots.get(&key).is_some_and(|slot| slot.expires <= now) {
            return self.remove(&key).map_or(Access::Missing, Access::Expired);
        }
        let Some(slot) = self.slots.get_mut(&key) else {
            return Access::Missing;
        };
        let slid = now + slot.value.timeout(self.minute);
        if slid.since(slot.expires) >= MIN_SLIDING_UPDATE {
            slot.expires = slid;
        }
        Access::Live(&mut slot.value)
    }

    /// Where a value is kept, so that it can be fetched before it is needed again. Does not touch it.
    pub fn kept(&self, key: &K) -> Kept {
        self.slots.kept(key)
    }

    /// Stores a value, in the place of an earlier one, for its timeout from now.
    pub fn insert(&mut self, key: K, value: V) {
        let expires = clock::now() + value.timeout(self.minute);
        self.none_before = self.none_before.min(expires);
        self.slots.insert(key, Slot { value, expires });
    }

    /// Stores a value unless there is one.
    pub fn add(&mut self, key: K, value: V) {
        if self.slots.get(&key).is_none() {
            self.insert(key, value);
        }
    }

    /// Takes a value out.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        self.slots.remove(key).map(|slot| slot.value)
    }

    /// Takes out whatever has expired, in the order of expiry, then of keys.
    pub fn flush(&mut self) -> Vec<(K, V)> {
        let now = clock::now();
        if now < self.none_before {
            return Vec::new();
        }
        self.none_before = Instant::NEVER;
        let mut due = Vec::new();
        for (key, Slot { expires, .. }) in self.slots.iter() {
            if *expires <= now {
                due.push((*expires, key.clone()));
            } else {
                self.none_before = self.none_before.min(*expires);
            }
        }
        due.sort_unstable();
        due.into_iter()
            .filter_map(|(_, key)| Some((key.clone(), self.remove(&key)?)))
            .collect()
    }
}

/// Calls `flush` at every UTC multiple of 20 s, with the instant of the turn.
pub async fn turn_wheel(mut flush: impl FnMut(Instant)) {
    let since_turn = clock::utc().since_epoch().as_nanos() % WHEEL.as_nanos();
    let mut turn = clock::now() + (WHEEL - Duration::from_nanos(since_turn as u64));
    loop {
        clock::sleep_until(turn).await;
        flush(turn);
        turn = turn + WHEEL;
    }
}
