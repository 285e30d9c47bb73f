//! A command as it goes out: its bytes on the wire (RESP2), and where its first key stands in them.
//!
//! In: the parts of a command, or one that redis-rs built. Out: bytes to be sent, as often as need be.
//! The surprising fact: a Redis Cluster looks at the first key of a command alone, and in a command that
//! runs a script it stands after the script and the number of keys.

use super::reply;
use redis::{Arg, Cmd, Value};
use std::ops::Range;

/// What a part takes on the wire beside its own bytes, unless it is very long: `$`, a length, two ends
/// of lines.
const AROUND: usize = 10;

/// A command, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    wire: Vec<u8>,
    /// Where the first key stands.
    key: Option<Range<usize>>,
}

impl Command {
    /// A command of these parts, its name among them.
    #[must_use]
    pub fn new<'a>(parts: impl Iterator<Item = &'a [u8]> + Clone) -> Self {
        let (mut count, mut size) = (0, AROUND);
        for part in parts.clone() {
            count += 1;
            size += part.len() + AROUND;
        }
        let mut wire = Vec::with_capacity(size);
        push_line(&mut wire, b'*', count);
        let mut key = None;
        let mut first_key = 1;
        for (at, part) in parts.enumerate() {
            push_line(&mut wire, b'$', part.len());
            let start = wire.len();
            wire.extend_from_slice(part);
            match part {
                b"EVALSHA" | b"EVAL" if at == 0 => first_key = 3,
                _ if at == first_key => key = Some(start..wire.len()),
                _ => {}
            }
            wire.extend_from_slice(b"\r\n");
        }
        Self { wire, key }
    }

    /// Its bytes.
    #[must_use]
    pub fn wire(&self) -> &[u8] {
        &self.wire
    }

    /// Its first key; `None` for a command without arguments.
    #[must_use]
    pub fn key(&self) -> Option<&[u8]> {
        Some(&self.wire[self.key.clone()?])
    }

    /// Its parts again.
    #[must_use]
    pub fn parts(&self) -> Vec<Vec<u8>> {
        let parts = match reply::read(&self.wire) {
            Ok(Some((Value::Array(parts), _))) => parts,
            _ => Vec::new(),
        };
        let bytes = |part| match part {
            Value::BulkString(bytes) => Some(bytes),
            _ => None,
        };
        parts.into_iter().filter_map(bytes).collect()
    }
}

impl From<&Cmd> for Command {
    fn from(command: &Cmd) -> Self {
        let parts = command.args_iter().map(|part| match part {
            Arg::Simple(bytes) => bytes,
            // The cursor of a scan that redis-rs itself repeats, which nobody here has it do.
            _ => b"0",
        });
        Self::new(parts)
    }
}

/// A line of the protocol: its kind and a number.
fn push_line(wire: &mut Vec<u8>, kind: u8, number: usize) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    let mut rest = number;
    loop {
        start -= 1;
        digits[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    wire.push(kind);
    wire.extend_from_slice(&digits[start..]);
    wire.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use redis::cmd;

    #[test]
    fn a_command_goes_out_as_a_server_expects_it() {
        let command = Command::from(&cmd("GET").arg("a").take());
        assert_eq!(command.wire(), b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n");
    }

    #[test]
    fn the_first_key_is_the_first_argument_or_that_after_the_number_of_keys() {
        let key = |command: &Cmd| Command::from(command).key().map(<[u8]>::to_vec);
        assert_eq!(key(&cmd("GET").arg("a").take()), Some(b"a".to_vec()));
        let script = cmd("EVALSHA").arg("hash").arg(1).arg("b").arg("c").take();
        assert_eq!(key(&script), Some(b"b".to_vec()));
        assert_eq!(key(&cmd("PING")), None);
    }

    proptest! {
        #[test]
        fn every_command_goes_out_as_redis_rs_sends_it(
            parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 1..20),
        ) {
            let mut theirs = Cmd::new();
            parts.iter().for_each(|part| { theirs.arg(part); });
            let ours = Command::new(parts.iter().map(Vec::as_slice));
            prop_assert_eq!(ours.wire(), theirs.get_packed_command());
            prop_assert_eq!(ours.parts(), parts);
        }
    }
}
