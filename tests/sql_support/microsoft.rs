//! What the tests of Microsoft's two SQL providers share: rows as .NET writes them, reading, stealing.

use super::{Bench, Kind, item, request, text_of};
use sessionbench::session::{GetItem, Item, LockId, Minutes, SessionId, SessionStateStore, Value};
use std::rc::Rc;

/// Eight digits of `/LM/W3SVC/1/ROOT`.
const SUFFIX: &str = "B3003E84";
/// Timeout 20; a text, an `int` and a `double` (facts §4.4).
const FRAME: &str = "140000000100 03000000FFFFFFFF046E616D65036167650570726963650400000009000000\
                     12000000010245640 22C0000000900000000004041 40FF";

pub type Store = Rc<dyn SessionStateStore>;

pub fn frame() -> Vec<u8> {
    let digits: Vec<u8> = FRAME.bytes().filter(|it| *it != b' ').collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

pub fn assert_is_the_sample(item: &Item) {
    assert_eq!(item.timeout(), Minutes(20));
    assert_eq!(item.get("age"), Some(Value::Int32(44)));
    assert_eq!(item.get("price"), Some(Value::Double(34.5)));
}

pub fn row_id(id: SessionId) -> String {
    format!("{id}{SUFFIX}")
}

/// A value of bytes as both databases read it.
pub fn literal(kind: Kind, bytes: &[u8]) -> String {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    match kind {
        Kind::Postgres => format!("'\\x{digits}'"),
        Kind::SqlServer => format!("0x{digits}"),
    }
}

/// `false` as both databases read it.
pub const fn no(kind: Kind) -> &'static str {
    match kind {
        Kind::Postgres => "false",
        Kind::SqlServer => "0",
    }
}

pub async fn write(store: &Store, id: SessionId, text: &str, lock: Option<&LockId>) {
    let written = item(text);
    store
        .set_and_release_item_exclusive(&request(), id, &written, lock, false)
        .await
        .unwrap();
}

pub async fn read(store: &Store, id: SessionId) -> Option<String> {
    match store.get_item(&request(), id).await.unwrap() {
        GetItem::Found(found) => Some(text_of(&found.item)),
        _ => None,
    }
}

/// Takes a session's lock by force.
pub async fn steal(store: &Store, id: SessionId) {
    let asked = store.get_item_exclusive(&request(), id).await.unwrap();
    let GetItem::Locked { lock, .. } = asked else {
        panic!("not locked: {asked:?}");
    };
    store
        .release_item_exclusive(&request(), id, &lock)
        .await
        .unwrap();
}

/// Lets the deadline of every session of a table pass.
pub async fn expire(bench: &Bench, table: &str) {
    let statement = format!("UPDATE \"{table}\" SET \"Expires\" = '2001-01-01'");
    bench.change(&statement).await;
}

/// The end of a request purges what has expired, and the next one within 30 s does not.
pub async fn assert_purges_every_30_s(bench: Bench, table: &str) {
    use super::{id, seat, store_new};
    let store = bench.open(&seat(0)).await;
    store_new(&store, id(7), "hello").await;
    expire(&bench, table).await;
    store.end_request(&request()).await.unwrap();
    bench.until_count(table, 0).await;
    store_new(&store, id(8), "hello").await;
    expire(&bench, table).await;
    let purges = bench.provider.background_work().ticks;
    store.end_request(&request()).await.unwrap();
    sessionbench::clock::sleep(std::time::Duration::from_millis(500)).await;
    assert_eq!(bench.count(table).await, 1);
    assert!(bench.provider.background_work().ticks <= purges.max(1));
    bench.end().await;
}
