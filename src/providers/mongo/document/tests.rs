//! The document and the commands against golden bytes, put together by hand from the BSON
//! specification: type byte, name, value, all little-endian.

use super::*;
use crate::session::{Minutes, Value};
use mongodb::bson::doc;

const COOKIE: &str = "0123456789abcdef0123456789abcdef";

fn key() -> Key {
    Key::new("abc", "site_private")
}

fn at(milliseconds: i64) -> DateTime {
    DateTime::from_millis(milliseconds)
}

fn lock() -> Lock<'static> {
    Lock {
        cookie: COOKIE,
        taken: at(2),
    }
}

/// The bytes of hexadecimal digits; spaces and line breaks are for the reader.
fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(pair).collect()
}

/// A command as a document, to compare fields and their order.
fn shown(command: &RawDocumentBuf) -> Document {
    Document::try_from(command.clone()).unwrap()
}

#[test]
fn a_new_session_is_this_document_byte_for_byte() {
    let data = Data::of(&Item::new(Minutes(20)), false);
    let command = key().insert(data, at(1), at(1_200_001), Actions::InitializeItem);
    let statement = shown(&command);
    let statement = statement.get_array("updates").unwrap()[0].as_document();
    let document = statement.unwrap().get_document("u").unwrap();
    let golden = bytes(
        "6b000000
         03 5f696400         24000000
            02 7300          04000000 61626300
            02 6100          0d000000 736974655f7072697661746500
            00
         10 7400             14000000
         09 6500             814f120000000000
         02 6c6300           01000000 00
         09 6c7400           0100000000000000
         10 6600             01000000
         05 6400             07000000 00 14000000 00 00 ff
         00",
    );
    assert_eq!(document.to_vec().unwrap(), golden);
}

#[test]
fn an_insert_replaces_whatever_has_the_key() {
    let data = Data::of(&Item::new(Minutes(20)), false);
    let command = shown(&key().insert(data, at(1), at(2), Actions::None));
    let statement = command.get_array("updates").unwrap()[0].as_document();
    let statement = statement.unwrap();
    let filter = doc! { "_id": { "s": "abc", "a": "site_private" } };
    assert_eq!(statement.get_document("q").unwrap(), &filter);
    assert!(statement.get_bool("upsert").unwrap());
}

#[test]
fn how_a_write_is_acknowledged_is_left_to_the_server() {
    let data = || Data::of(&Item::new(Minutes(20)), false);
    for command in [
        key().insert(data(), at(1), at(2), Actions::None),
        key().set_and_release(COOKIE, data(), at(5)),
        key().release(COOKIE),
        key().remove(COOKIE),
    ] {
        let command = shown(&command);
        assert!(!command.contains_key("writeConcern"), "{command}");
    }
}

#[test]
fn a_lock_is_taken_from_nobody_and_asks_for_no_expiration() {
    let golden = bytes(
        "bd000000
         02 66696e64416e644d6f6469667900  09000000 73657373696f6e7300
         03 717565727900                  37000000
            03 5f696400                   24000000
               02 7300                    04000000 61626300
               02 6100                    0d000000 736974655f7072697661746500
               00
            02 6c6300                     01000000 00
            00
         03 75706461746500                50000000
            03 2473657400                 45000000
               09 6500                    0300000000000000
               02 6c6300                  21000000
                  3031323334353637383961626364656630313233343536373839616263646566 00
               09 6c7400                  0200000000000000
               00
            00
         08 6e657700                      01
         00",
    );
    assert_eq!(key().lock(lock(), at(3)).as_bytes(), golden);
}

#[test]
fn a_claim_asks_for_the_expiration_and_for_no_lock() {
    let command = shown(&key().claim(at(9), lock(), at(120_009)));
    let expected = doc! {
        "findAndModify": "sessions",
        "query": { "_id": { "s": "abc", "a": "site_private" }, "e": at(9) },
        "update": { "$set": { "e": at(120_009), "lc": COOKIE, "lt": at(2) } },
        "new": true,
    };
    assert_eq!(command, expected);
}

#[test]
fn a_release_moves_no_expiration_and_an_update_does() {
    let set = |command: RawDocumentBuf| {
        let command = shown(&command);
        let statement = command.get_array("updates").unwrap()[0].as_document();
        let statement = statement.unwrap().clone();
        let filter = doc! { "_id": { "s": "abc", "a": "site_private" }, "lc": COOKIE };
        assert_eq!(statement.get_document("q").unwrap(), &filter);
        assert!(!statement.contains_key("upsert"));
        let set = statement.get_document("u").unwrap();
        set.get_document("$set").unwrap().clone()
    };
    assert_eq!(set(key().release(COOKIE)), doc! { "lc": "" });
    let data = Data::of(&Item::new(Minutes(20)), false);
    let written = set(key().set_and_release(COOKIE, data, at(5)));
    let names: Vec<&str> = written.keys().map(String::as_str).collect();
    assert_eq!(names, ["e", "f", "lc", "t", "d"]);
    assert_eq!(written.get_datetime("e").unwrap(), &at(5));
    assert_eq!(written.get_str("lc").unwrap(), "");
}

#[test]
fn the_second_update_of_the_expiration_is_not_acknowledged() {
    let command = shown(&key().expire_at(at(5)));
    assert_eq!(
        command.get_document("writeConcern").unwrap(),
        &doc! { "w": 0 }
    );
}

#[test]
fn sixteen_candidates_are_asked_for_by_application_and_expiration() {
    let expected = doc! {
        "find": "sessions",
        "filter": { "_id.a": "site_private", "e": { "$lt": at(7) } },
        "sort": { "e": 1 },
        "projection": { "_id.s": 1, "e": 1 },
        "limit": 16,
    };
    assert_eq!(shown(&candidates("site_private", at(7))), expected);
}

#[test]
fn a_stored_session_reads_back() {
    for compressed in [false, true] {
        let mut item = Item::new(Minutes(7));
        item.set("pages", Value::Int32(3));
        let data = Data::of(&item, compressed);
        let command = shown(&key().insert(data, at(1), at(2), Actions::InitializeItem));
        let statement = command.get_array("updates").unwrap()[0].as_document();
        let stored = Stored(statement.unwrap().get_document("u").unwrap().clone());
        let read = stored.item(compressed).unwrap();
        assert_eq!(read.get("pages"), Some(Value::Int32(3)));
        assert_eq!(read.timeout(), Minutes(7));
        assert_eq!(stored.minutes(), Some(7));
        assert_eq!(stored.actions(), Actions::InitializeItem);
        assert_eq!(stored.expires(), Some(at(2)));
        assert_eq!(stored.holder(), None);
    }
}

#[test]
fn a_lock_tells_its_holder_and_since_when() {
    let stored = Stored(doc! { "lc": COOKIE, "lt": at(2) });
    assert_eq!(stored.holder(), Some((COOKIE, at(2))));
}

#[test]
fn a_document_without_data_is_undecodable() {
    assert!(Stored(doc! { "t": 20 }).item(false).is_err());
}
