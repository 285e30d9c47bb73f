//! Replies of a server, read from the bytes of the wire (RESP2).
//!
//! In: what has arrived on a connection. Out: the first reply and its length, once it is whole. The
//! surprising fact: a reply may be cut anywhere, also inside a line; what has arrived is then looked
//! at again from its start when there is more, so a long array in many pieces is read several times.

use redis::Value;

/// Arrays in arrays; our scripts reply with one, `CLUSTER SLOTS` with three.
const DEEPEST: usize = 32;

/// What arrived is no reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("what the server sent is no reply of Redis's protocol: {0}")]
pub struct Malformed(String);

/// The first reply and its length in bytes; `None` while it is not whole.
///
/// # Errors
/// [`Malformed`], when no more bytes can make a reply of it.
pub fn read(wire: &[u8]) -> Result<Option<(Value, usize)>, Malformed> {
    let mut rest = wire;
    let value = value(&mut rest, 0)?;
    Ok(value.map(|value| (value, wire.len() - rest.len())))
}

fn value(rest: &mut &[u8], depth: usize) -> Result<Option<Value>, Malformed> {
    let whole = *rest;
    let Some((&kind, _)) = whole.split_first() else {
        return Ok(None);
    };
    // Looked at first, so that a server that speaks something else is told from a slow one.
    if !b"$*:+-".contains(&kind) {
        return Err(malformed(whole));
    }
    let Some(line) = line(rest) else {
        return Ok(None);
    };
    Ok(Some(match kind {
        b'$' => match length(line)? {
            None => Value::Nil,
            Some(length) => {
                let bytes = *rest;
                if bytes.len() < length + 2 {
                    return Ok(None);
                }
                if &bytes[length..length + 2] != b"\r\n" {
                    return Err(malformed(bytes));
                }
                *rest = &bytes[length + 2..];
                Value::BulkString(bytes[..length].to_vec())
            }
        },
        b'*' => match length(line)? {
            None => Value::Nil,
            Some(_) if depth == DEEPEST => return Err(malformed(whole)),
            Some(length) => {
                // Not as many as it says: a length that is wrong must not take all memory.
                let mut elements = Vec::with_capacity(length.min(rest.len()));
                for _ in 0..length {
                    match value(rest, depth + 1)? {
                        Some(element) => elements.push(element),
                        None => return Ok(None),
                    }
                }
                Value::Array(elements)
            }
        },
        b':' => Value::Int(number(line)?),
        b'+' if line == b"OK" => Value::Okay,
        b'+' => Value::SimpleString(String::from_utf8_lossy(line).into_owned()),
        // An error is rare, and redis-rs knows them all.
        _ => {
            let error = &whole[..whole.len() - rest.len()];
            redis::parse_redis_value(error).map_err(|_| malformed(error))?
        }
    }))
}

/// Takes a line, without its kind and its end.
fn line<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let whole = *rest;
    let end = whole.windows(2).position(|pair| pair == b"\r\n")?;
    *rest = &whole[end + 2..];
    Some(&whole[1..end])
}

/// A length; `None` is nothing at all.
fn length(line: &[u8]) -> Result<Option<usize>, Malformed> {
    match number(line)? {
        -1 => Ok(None),
        number => usize::try_from(number)
            .map(Some)
            .map_err(|_| malformed(line)),
    }
}

fn number(line: &[u8]) -> Result<i64, Malformed> {
    let text = std::str::from_utf8(line).map_err(|_| malformed(line))?;
    text.parse().map_err(|_| malformed(line))
}

fn malformed(bytes: &[u8]) -> Malformed {
    let shown = &bytes[..bytes.len().min(32)];
    Malformed(shown.escape_ascii().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_reply_of_a_script_is_read_with_its_length() {
        let wire = b"*4\r\n$3\r\nabc\r\n$-1\r\n:-17\r\n+OK\r\n+next\r\n";
        let reply = Value::Array(vec![
            Value::BulkString(b"abc".to_vec()),
            Value::Nil,
            Value::Int(-17),
            Value::Okay,
        ]);
        assert_eq!(read(wire), Ok(Some((reply, 29))));
    }

    #[test]
    fn bytes_of_a_bulk_string_may_be_any() {
        let reply = Value::BulkString(b"a\r\n$".to_vec());
        assert_eq!(read(b"$4\r\na\r\n$\r\n"), Ok(Some((reply, 10))));
    }

    #[test]
    fn nothing_and_an_empty_array_differ() {
        assert_eq!(read(b"*-1\r\n"), Ok(Some((Value::Nil, 5))));
        assert_eq!(read(b"*0\r\n"), Ok(Some((Value::Array(vec![]), 4))));
    }

    #[test]
    fn an_error_keeps_its_code() {
        let (reply, length) = read(b"-NOSCRIPT no such\r\n").unwrap().unwrap();
        assert_eq!(length, 19);
        let error = reply.extract_error().unwrap_err();
        assert_eq!(error.code(), Some("NOSCRIPT"));
    }

    #[test]
    fn what_is_no_reply_is_told_from_what_is_not_whole() {
        for other in [
            "HTTP/1.1 400 Bad Request\r\n",
            "\u{15}\u{3}",
            "$x\r\n",
            "$-2\r\n",
            "$1\r\nab\r\n",
            ":\r\n",
        ] {
            assert!(read(other.as_bytes()).is_err(), "{other}");
        }
        for cut in ["", "$", "$5\r", "$5\r\nabc", "*2\r\n:1\r\n", "-ERR"] {
            assert_eq!(read(cut.as_bytes()), Ok(None), "{cut}");
        }
    }

    #[test]
    fn arrays_in_arrays_end_somewhere() {
        assert!(read("*1\r\n".repeat(1000).as_bytes()).is_err());
    }

    fn any_reply() -> impl Strategy<Value = Vec<u8>> {
        let leaf = prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| {
                [format!("${}\r\n", bytes.len()).as_bytes(), &bytes, b"\r\n"].concat()
            }),
            any::<i64>().prop_map(|number| format!(":{number}\r\n").into_bytes()),
            "[a-z ]{0,20}".prop_map(|text| format!("+{text}\r\n").into_bytes()),
            "[A-Z]{1,9} [a-z ]{0,20}".prop_map(|text| format!("-{text}\r\n").into_bytes()),
            Just(b"$-1\r\n".to_vec()),
        ];
        leaf.prop_recursive(3, 24, 6, |element| {
            proptest::collection::vec(element, 0..6).prop_map(|elements| {
                [
                    format!("*{}\r\n", elements.len()).into_bytes(),
                    elements.concat(),
                ]
                .concat()
            })
        })
    }

    proptest! {
        #[test]
        fn every_reply_reads_as_redis_rs_reads_it(wire in any_reply()) {
            let expected = redis::parse_redis_value(&wire).unwrap();
            prop_assert_eq!(read(&wire), Ok(Some((expected, wire.len()))));
        }

        #[test]
        fn a_reply_that_is_cut_is_not_read(wire in any_reply(), at in any::<proptest::sample::Index>()) {
            let cut = &wire[..at.index(wire.len())];
            prop_assert_eq!(read(cut), Ok(None));
        }

        #[test]
        fn no_bytes_make_it_panic(wire in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = read(&wire);
        }
    }
}
