//! Generators of random numbers, one for each thing that is drawn.

use crate::quantity::mix;
use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;

/// What is drawn; keeps draws of different things apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Draw {
    /// Arrivals of contacts.
    Arrivals = 1,
    /// A contact: robot or person, identified or not, devices.
    Contact,
    /// The contact's way back: whether it returns after a visit, and when.
    Return,
    /// A device: stagger, cluster.
    Device,
    /// A visit: pages, log-out.
    Visit,
    /// A page: think time, parallel requests.
    Page,
    /// A request: way, work, growth, route.
    Request,
    /// A session id.
    SessionId,
    /// A contact's GUID.
    ContactId,
}

/// A number that depends on the seed, on what is drawn and on nothing else.
#[must_use]
pub fn number(seed: u64, draw: Draw, keys: &[u64]) -> u64 {
    keys.iter()
        .fold(mix(seed ^ (draw as u64) << 56), |state, key| {
            mix(state ^ key)
        })
}

/// A generator for one thing.
#[must_use]
pub fn generator(seed: u64, draw: Draw, keys: &[u64]) -> Xoshiro256PlusPlus {
    Xoshiro256PlusPlus::seed_from_u64(number(seed, draw, keys))
}
