//! Which master of a Redis Cluster a key belongs to.
//!
//! In: a key, and what `CLUSTER SLOTS` answers. Out: the key's slot, and the master of each slot. The
//! surprising fact: only what stands between the first braces of a key is hashed, if there is
//! anything; so all keys of a session, which the genuine provider writes as `{application_id}_…`, lie
//! on one master.

use super::address::Address;
use redis::Value;

/// Slots of every Redis Cluster.
const SLOTS: usize = 16384;

/// The masters of a cluster and their slots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slots {
    /// Every master, once.
    masters: Vec<Address>,
    /// Index of the master of each slot. A slot that nobody serves is asked of the first master,
    /// which says so.
    owner: Vec<u16>,
}

impl Slots {
    /// Reads the answer to `CLUSTER SLOTS` of the server at `asked`; `None` if it is of another
    /// shape or names no master.
    #[must_use]
    pub fn read(answer: &Value, asked: &Address) -> Option<Self> {
        let Value::Array(ranges) = answer else {
            return None;
        };
        let mut slots = Self {
            masters: Vec::new(),
            owner: vec![0; SLOTS],
        };
        for range in ranges {
            let Value::Array(range) = range else {
                return None;
            };
            let [
                Value::Int(first),
                Value::Int(last),
                Value::Array(master),
                ..,
            ] = &range[..]
            else {
                return None;
            };
            let [host, Value::Int(port), ..] = &master[..] else {
                return None;
            };
            let master = asked.sibling(&text(host), u16::try_from(*port).ok()?);
            let owner = slots.index_of(&master);
            let range = usize::try_from(*first).ok()?..=usize::try_from(*last).ok()?;
            slots.owner.get_mut(range)?.fill(owner);
        }
        (!slots.masters.is_empty()).then_some(slots)
    }

    /// Every master.
    #[must_use]
    pub fn masters(&self) -> &[Address] {
        &self.masters
    }

    /// The master of a slot.
    #[must_use]
    pub fn master(&self, slot: u16) -> &Address {
        &self.masters[usize::from(self.owner[usize::from(slot) % SLOTS])]
    }

    /// Takes note of one slot's new master.
    pub fn learn(&mut self, slot: u16, master: &Address) {
        let owner = self.index_of(master);
        self.owner[usize::from(slot) % SLOTS] = owner;
    }

    fn index_of(&mut self, master: &Address) -> u16 {
        let known = self.masters.iter().position(|known| known == master);
        let index = known.unwrap_or_else(|| {
            self.masters.push(master.clone());
            self.masters.len() - 1
        });
        // A cluster has fewer masters than slots.
        u16::try_from(index).unwrap_or(u16::MAX)
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::BulkString(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        _ => String::new(),
    }
}

/// The slot of a key.
#[must_use]
pub fn slot(key: &[u8]) -> u16 {
    crc16(hashed(key)) % SLOTS as u16
}

/// The part of a key that is hashed: what stands between its first braces, or all of it.
fn hashed(key: &[u8]) -> &[u8] {
    let tag = || {
        let open = key.iter().position(|byte| *byte == b'{')?;
        let tag = &key[open + 1..];
        let length = tag.iter().position(|byte| *byte == b'}')?;
        (length > 0).then(|| &tag[..length])
    };
    tag().unwrap_or(key)
}

/// CRC-16/XMODEM, which Redis Cluster specifies.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc: u16, byte| {
        (crc << 8) ^ TABLE[usize::from((crc >> 8) as u8 ^ byte)]
    })
}

const TABLE: [u16; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut crc = (index as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 == 0 {
                crc << 1
            } else {
                (crc << 1) ^ 0x1021
            };
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slot_is_the_one_that_the_cluster_specification_gives() {
        assert_eq!(crc16(b"123456789"), 0x31C3);
        assert_eq!(slot(b"foo"), 12182);
        assert_eq!(slot(b"{user1000}.following"), slot(b"user1000"));
        assert_eq!(slot(b"foo{}{bar}"), crc16(b"foo{}{bar}") % 16384);
        assert_eq!(slot(b"foo{{bar}}zap"), slot(b"{bar"));
    }

    fn slots() -> Slots {
        let wire = "*2\r\n\
                    *4\r\n:0\r\n:8191\r\n*2\r\n$8\r\n10.0.0.1\r\n:7000\r\n*2\r\n$8\r\n10.0.0.3\r\n:7000\r\n\
                    *3\r\n:8192\r\n:16383\r\n*2\r\n$0\r\n\r\n:7001\r\n";
        let answer = redis::parse_redis_value(wire.as_bytes()).unwrap();
        Slots::read(&answer, &Address::tcp("db", 7001)).unwrap()
    }

    #[test]
    fn masters_are_read_and_replicas_left_out() {
        let slots = slots();
        let [one, other] = [Address::tcp("10.0.0.1", 7000), Address::tcp("db", 7001)];
        assert_eq!(slots.masters(), [one.clone(), other.clone()]);
        assert_eq!((slots.master(8191), slots.master(8192)), (&one, &other));
    }

    #[test]
    fn a_redirection_moves_one_slot_at_once() {
        let mut slots = slots();
        let new = Address::tcp("10.0.0.4", 7000);
        slots.learn(12182, &new);
        assert_eq!(slots.master(12182), &new);
        assert_eq!(slots.masters().len(), 3);
        assert_eq!(slots.master(12183), &Address::tcp("db", 7001));
    }

    #[test]
    fn an_answer_of_another_shape_is_no_cluster() {
        for wire in ["*0\r\n", "+OK\r\n", "*1\r\n*1\r\n:0\r\n"] {
            let answer = redis::parse_redis_value(wire.as_bytes()).unwrap();
            assert_eq!(Slots::read(&answer, &Address::tcp("db", 1)), None, "{wire}");
        }
    }
}
