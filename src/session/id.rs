//! Names of sessions as they stand in a store.

use crate::table::Table;
use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// Which of a contact's two session states a session belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StoreKind {
    /// One browser's session: pages, goals, campaigns.
    Private,
    /// One contact's session: facets, devices.
    Shared,
}

impl StoreKind {
    /// Both kinds, in the order in which a request takes them.
    pub const ALL: [Self; 2] = [Self::Private, Self::Shared];

    /// `private` or `shared`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::Shared => "shared",
        }
    }
}

impl fmt::Display for StoreKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The id under which a store keeps a session.
///
/// A private session has ASP.NET's id: 120 random bits as 24 characters of `a`–`z`, `0`–`5`
/// (facts §2.1, `SessionIDManager`). A shared session has the contact's GUID in 36 characters
/// (facts §9.5). Kept as bits, so that an id costs 17 bytes and no allocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SessionId {
    kind: StoreKind,
    bits: [u8; 16],
}

/// ASP.NET's alphabet for session ids, five bits a character.
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz012345";
/// Characters in an ASP.NET session id.
const PRIVATE_LENGTH: usize = 24;
/// Positions of the hyphens in a GUID.
const HYPHENS: [usize; 4] = [8, 13, 18, 23];

impl SessionId {
    /// A private session's id from its low 120 bits.
    #[must_use]
    pub fn private(bits: u128) -> Self {
        Self {
            kind: StoreKind::Private,
            bits: (bits & ((1 << 120) - 1)).to_be_bytes(),
        }
    }

    /// A shared session's id: the contact's GUID.
    #[must_use]
    pub fn shared(guid: u128) -> Self {
        Self {
            kind: StoreKind::Shared,
            bits: guid.to_be_bytes(),
        }
    }

    /// Whether the session is private or shared.
    #[must_use]
    pub const fn kind(&self) -> StoreKind {
        self.kind
    }

    /// A number that spreads well, for seeding and hashing.
    #[must_use]
    pub fn low_bits(&self) -> u64 {
        u128::from_be_bytes(self.bits) as u64
    }

    /// Reads an id as it stands in a store; `None` when it is neither an ASP.NET session id nor a
    /// GUID, and so somebody else's.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        if bytes.len() == PRIVATE_LENGTH {
            let mut bits = 0u128;
            for byte in bytes {
                let five = ALPHABET.iter().position(|letter| letter == byte)?;
                bits = bits << 5 | five as u128;
            }
            return Some(Self::private(bits));
        }
        if bytes.len() != 36 || HYPHENS.iter().any(|&at| bytes[at] != b'-') {
            return None;
        }
        let digits: String = text.chars().filter(|c| *c != '-').collect();
        (digits.len() == 32)
            .then(|| u128::from_str_radix(&digits, 16).ok())
            .flatten()
            .map(Self::shared)
    }
}

impl Hash for SessionId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.low_bits() ^ self.kind as u64);
    }
}

/// A map by session id whose order depends on nothing but its history, as virtual time needs.
pub type IdMap<V> = HashMap<SessionId, V, BuildHasherDefault<IdHasher>>;

/// A map by session id for all sessions of a site; its order depends on nothing but its history.
pub type IdTable<V> = Table<SessionId, V, BuildHasherDefault<IdHasher>>;

/// Spreads the bits of one id.
#[derive(Debug, Default)]
pub struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        /// 2⁶⁴ divided by the golden ratio (D. Knuth, "The Art of Computer Programming", volume 3, 6.4).
        const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;
        // Ids are random numbers already; only those of tests are not.
        self.0 = (self.0.rotate_left(32) ^ number).wrapping_mul(SPREAD);
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = u128::from_be_bytes(self.bits);
        match self.kind {
            StoreKind::Private => {
                let mut text = [0u8; PRIVATE_LENGTH];
                for (at, letter) in text.iter_mut().enumerate() {
                    let shift = 5 * (PRIVATE_LENGTH - 1 - at);
                    *letter = ALPHABET[(bits >> shift) as usize & 31];
                }
                f.write_str(std::str::from_utf8(&text).unwrap_or_default())
            }
            StoreKind::Shared => {
                let mut text = *b"00000000-0000-0000-0000-000000000000";
                let digits = text.iter_mut().filter(|digit| **digit != b'-');
                for (at, digit) in digits.enumerate() {
                    *digit = b"0123456789abcdef"[(bits >> (124 - 4 * at)) as usize & 15];
                }
                f.write_str(std::str::from_utf8(&text).unwrap_or_default())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_private_id_has_24_letters_of_the_aspnet_alphabet() {
        let text = SessionId::private(u128::MAX).to_string();
        assert_eq!(text, "555555555555555555555555");
    }

    #[test]
    fn a_shared_id_is_a_guid() {
        let text = SessionId::shared(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff).to_string();
        assert_eq!(text, "00112233-4455-6677-8899-aabbccddeeff");
    }

    #[test]
    fn a_foreign_key_is_no_id() {
        assert_eq!(SessionId::parse("cart:42"), None);
        assert_eq!(
            SessionId::parse("00112233-4455-6677-8899-aabbccddee-f"),
            None
        );
    }

    proptest! {
        #[test]
        fn printing_and_reading_an_id_gives_the_same_id(bits: u128, shared: bool) {
            let id = if shared { SessionId::shared(bits) } else { SessionId::private(bits) };
            prop_assert_eq!(SessionId::parse(&id.to_string()), Some(id));
        }
    }
}
