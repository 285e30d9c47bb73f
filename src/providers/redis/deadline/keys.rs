//! Names of `redis_deadline`'s keys, and which shard a session lies in.
//!
//! In: an application and a session id. Out: keys. The surprising fact: a Redis cluster runs a
//! script only when all its keys lie in one slot, and an index in the same script as the session
//! therefore means an index in the same slot. One index for all would put a whole site into one
//! slot; so there are several, each with the sessions that it names: the hash tag is the
//! application and the shard, `{sessionbench_private#3}`.

use super::super::application::Owner;
use crate::session::{SessionId, StoreKind};

/// Suffix of a living session: a hash with its data, timeout, deadline and lock.
pub const SESSION: &str = "_Session";
/// Suffix of the requests that wait for a session's lock.
pub const WAITERS: &str = "_Waiters";
/// Suffix of an ended session whose end nobody has acknowledged yet.
const ENDED: &str = "_Ended";
/// A shard's sorted set: when each of its sessions is to be looked at.
const INDEX: &str = "_Deadlines";
/// A shard's counter: lock numbers, places in queues, names of ended sessions.
const COUNTER: &str = "_Counter";

/// Names the keys of one application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    application: String,
    shards: u32,
}

/// A part of the sessions that has an index of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard(u32);

impl Shard {
    /// Its place among all shards.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// The keys that every script on a session gets, in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionKeys([String; 4]);

impl SessionKeys {
    /// Index, counter, session, waiters.
    #[must_use]
    pub fn all(&self) -> [&str; 4] {
        self.0.each_ref().map(String::as_str)
    }
}

impl Keys {
    /// An application by its name as it stands in keys. All its servers must use as many shards.
    #[must_use]
    pub fn new(application: String, shards: u32) -> Self {
        Self {
            application,
            shards: shards.max(1),
        }
    }

    /// All shards.
    pub fn shards(&self) -> impl Iterator<Item = Shard> + use<> {
        (0..self.shards).map(Shard)
    }

    /// The shard of a session: the low 64 bits of its id, modulo the number of shards. Ids are
    /// random, so that shards are of one size.
    #[must_use]
    pub fn shard(&self, id: SessionId) -> Shard {
        // The remainder is less than a u32.
        Shard((id.low_bits() % u64::from(self.shards)) as u32)
    }

    fn tag(&self, shard: Shard) -> String {
        format!("{{{}#{}}}", self.application, shard.0)
    }

    /// A shard's index of deadlines.
    #[must_use]
    pub fn index(&self, shard: Shard) -> String {
        self.tag(shard) + INDEX
    }

    /// A shard's counter.
    #[must_use]
    pub fn counter(&self, shard: Shard) -> String {
        self.tag(shard) + COUNTER
    }

    /// The keys of a living session.
    #[must_use]
    pub fn session(&self, id: SessionId) -> SessionKeys {
        let tag = self.tag(self.shard(id));
        let stem = format!("{tag}_{id}");
        SessionKeys([
            [tag.as_str(), INDEX].concat(),
            [tag.as_str(), COUNTER].concat(),
            [stem.as_str(), SESSION].concat(),
            [stem.as_str(), WAITERS].concat(),
        ])
    }

    /// An ended session by its member in the index, which is its id and a number.
    #[must_use]
    pub fn ended(&self, shard: Shard, member: &str) -> String {
        format!("{}_{member}{ENDED}", self.tag(shard))
    }

    /// The channel on which one instance hears that it is the turn of one of its requests.
    #[must_use]
    pub fn channel(&self, instance: u64) -> String {
        format!("{}_Turns_{instance}", self.application)
    }
}

/// The session in a member of the index.
#[must_use]
pub fn member_id(member: &str) -> Option<SessionId> {
    SessionId::parse(member.split(':').next()?)
}

/// What a key belongs to, by what follows the application's name in it.
#[must_use]
pub fn owner(rest: &str, kind: StoreKind) -> Option<Owner> {
    let (shard, name) = rest.strip_prefix('#')?.split_once('}')?;
    shard.parse::<u32>().ok()?;
    if name == INDEX || name == COUNTER {
        return Some(Owner::Index);
    }
    let name = name.strip_prefix('_')?;
    let member = [SESSION, WAITERS, ENDED]
        .into_iter()
        .find_map(|suffix| name.strip_suffix(suffix))?;
    let id = member_id(member).filter(|id| id.kind() == kind)?;
    Some(Owner::Session(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash_tag(key: &str) -> &str {
        let (_, rest) = key.split_once('{').unwrap();
        rest.split_once('}').unwrap().0
    }

    #[test]
    fn all_keys_of_a_session_and_its_shard_have_one_hash_tag() {
        let keys = Keys::new("site_private".to_owned(), 16);
        for number in 0..64 {
            let id = SessionId::private(number);
            let shard = keys.shard(id);
            let ended = keys.ended(shard, &format!("{id}:7"));
            let index = keys.index(shard);
            for key in keys.session(id).all().into_iter().chain([ended.as_str()]) {
                assert_eq!(hash_tag(key), hash_tag(&index), "{key}");
            }
        }
    }

    #[test]
    fn sessions_spread_over_all_shards() {
        let keys = Keys::new("site_private".to_owned(), 16);
        let mut sizes = [0; 16];
        for number in 0..1600_u64 {
            let random = u128::from(crate::quantity::mix(number));
            sizes[keys.shard(SessionId::private(random)).index()] += 1;
        }
        assert!(
            sizes.iter().all(|size| (50..200).contains(size)),
            "{sizes:?}"
        );
    }

    #[test]
    fn a_key_tells_whose_it_is() {
        let id = SessionId::private(7);
        let rest = |key: &str| key.strip_prefix("{site_private").unwrap().to_owned();
        let keys = Keys::new("site_private".to_owned(), 16);
        let [index, counter, session, waiters] = keys.session(id).0;
        let ended = keys.ended(keys.shard(id), &format!("{id}:12"));
        for key in [session, waiters, ended] {
            let found = owner(&rest(&key), StoreKind::Private);
            assert_eq!(found, Some(Owner::Session(id)), "{key}");
        }
        for key in [index, counter] {
            assert_eq!(owner(&rest(&key), StoreKind::Private), Some(Owner::Index));
        }
        for foreign in [
            "#x}_Deadlines",
            "#1}_cart_Session",
            "#1}_Deadlines2",
            "}_Deadlines",
        ] {
            assert_eq!(owner(foreign, StoreKind::Private), None, "{foreign}");
        }
    }
}
