//! `sql_async` and `sql_universal` on the real databases: rows as .NET writes them, each rule of
//! locking, expiry and purging.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod sql_support;

use futures_util::join;
use sessionbench::clock::{now, sleep};
use sessionbench::providers::ProviderSettings;
use sessionbench::providers::sql::call::Value as Cell;
use sessionbench::providers::sql::settings::{
    DatabaseServer, SchemaOrigin, SqlAsync, SqlSettings, SqlUniversal,
};
use sessionbench::providers::sql::{asynchronous, schema};
use sessionbench::session::{
    Actions, GetItem, Item, LockId, Minutes, SessionId, SessionStateStore, StoreError, Value,
};
use sql_support::*;
use std::rc::Rc;
use std::time::Duration;

on_both_databases! {
    a_row_of_the_asynchronous_provider_is_read_and_ours_is_alike
    a_lock_is_a_number_that_rises
    between_a_steal_and_the_next_taking_a_late_write_counts
    an_uninitialised_session_asks_for_its_start_once
    an_expired_session_is_served_and_lives_on
    the_end_of_a_request_purges_every_30_s
    a_command_that_takes_too_long_is_tried_again
    what_exists_is_used_and_only_our_rows_removed
    a_row_of_the_universal_providers_is_read_and_ours_is_alike
    nobody_can_tell_one_universal_lock_from_the_next
    of_two_that_take_a_universal_lock_at_once_one_is_refused
    a_universal_locks_age_is_below_a_minute_and_each_poll_prolongs_the_session
    an_expired_universal_session_is_neither_served_nor_replaced
}

/// Eight digits of `/LM/W3SVC/1/ROOT`.
const SUFFIX: &str = "B3003E84";
/// Timeout 20; a text, an `int` and a `double` (facts §4.4).
const FRAME: &str = "140000000100 03000000FFFFFFFF046E616D65036167650570726963650400000009000000\
                     12000000010245640 22C0000000900000000004041 40FF";

fn frame() -> Vec<u8> {
    let digits: Vec<u8> = FRAME.bytes().filter(|it| *it != b' ').collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

async fn asynchronous(kind: Kind) -> Bench {
    Bench::of(kind, |database| {
        ProviderSettings::SqlAsync(SqlAsync {
            sql: sql_on(database),
            ..SqlAsync::default()
        })
    })
    .await
}

async fn universal(kind: Kind) -> Bench {
    Bench::of(kind, |database| {
        ProviderSettings::SqlUniversal(SqlUniversal {
            sql: sql_on(database),
            ..SqlUniversal::default()
        })
    })
    .await
}

type Store = Rc<dyn SessionStateStore>;

fn row_id(id: SessionId) -> String {
    format!("{id}{SUFFIX}")
}

async fn write(store: &Store, id: SessionId, text: &str, lock: Option<&LockId>) {
    let written = item(text);
    store
        .set_and_release_item_exclusive(&request(), id, &written, lock, false)
        .await
        .unwrap();
}

async fn read(store: &Store, id: SessionId) -> Option<String> {
    match store.get_item(&request(), id).await.unwrap() {
        GetItem::Found(found) => Some(text_of(&found.item)),
        _ => None,
    }
}

/// Takes a session's lock by force.
async fn steal(store: &Store, id: SessionId) {
    let asked = store.get_item_exclusive(&request(), id).await.unwrap();
    let GetItem::Locked { lock, .. } = asked else {
        panic!("not locked: {asked:?}");
    };
    store
        .release_item_exclusive(&request(), id, &lock)
        .await
        .unwrap();
}

/// Names of a table's columns.
async fn columns(bench: &Bench, table: &str) -> Vec<String> {
    let asked =
        format!("SELECT column_name FROM information_schema.columns WHERE table_name = '{table}'");
    let name = |row: Vec<Cell>| match &row[0] {
        Cell::Text(name) => name.to_string(),
        other => panic!("{other:?}"),
    };
    let mut names: Vec<String> = bench.ask(&asked).await.into_iter().map(name).collect();
    names.sort();
    names
}

async fn expire(bench: &Bench, table: &str) {
    let statement = format!("UPDATE \"{table}\" SET \"Expires\" = '2001-01-01'");
    bench.change(&statement).await;
}

async fn count(bench: &Bench, table: &str) -> i64 {
    let asked = format!("SELECT COUNT(*) FROM \"{table}\"");
    match bench.ask_one(&asked).await {
        Cell::Int(count) => count,
        other => panic!("{other:?}"),
    }
}

async fn until_purged(bench: &Bench, table: &str) {
    let deadline = now() + Duration::from_secs(60);
    while count(bench, table).await != 0 {
        assert!(now() < deadline, "never purged");
        sleep(Duration::from_millis(10)).await;
    }
}

fn assert_is_the_sample(item: &Item) {
    assert_eq!(item.timeout(), Minutes(20));
    assert_eq!(item.get("age"), Some(&Value::Int32(44)));
    assert_eq!(item.get("price"), Some(&Value::Double(34.5)));
}

/// A value of bytes as both databases read it.
fn literal(kind: Kind, bytes: &[u8]) -> String {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    match kind {
        Kind::Postgres => format!("'\\x{digits}'"),
        Kind::SqlServer => format!("0x{digits}"),
    }
}

fn truth(kind: Kind, bit: bool) -> &'static str {
    match (kind, bit) {
        (Kind::Postgres, true) => "true",
        (Kind::Postgres, false) => "false",
        (Kind::SqlServer, true) => "1",
        (Kind::SqlServer, false) => "0",
    }
}

async fn a_row_of_the_asynchronous_provider_is_read_and_ours_is_alike(kind: Kind) {
    let bench = asynchronous(kind).await;
    let store = bench.open(&seat(0)).await;
    let mut expected = [
        "SessionId",
        "Created",
        "Expires",
        "LockDate",
        "LockDateLocal",
        "LockCookie",
        "Timeout",
        "Locked",
        "SessionItemLong",
        "Flags",
    ];
    expected.sort_unstable();
    assert_eq!(columns(&bench, "ASPNetSessionState").await, expected);
    let statement = format!(
        "INSERT INTO \"ASPNetSessionState\" (\"SessionId\", \"Expires\", \"LockDate\", \
         \"LockDateLocal\", \"LockCookie\", \"Timeout\", \"Locked\", \"SessionItemLong\") \
         VALUES ('{}', '2099-01-01', '2026-01-01', '2026-01-01', 1, 20, {}, {})",
        row_id(id(7)),
        truth(kind, false),
        literal(kind, &frame()),
    );
    bench.change(&statement).await;
    assert_is_the_sample(&take(&store, &request(), id(7)).await.item);
    bench.change("DELETE FROM \"ASPNetSessionState\"").await;
    let sample = Item::decode(&frame()).unwrap();
    store
        .set_and_release_item_exclusive(&request(), id(7), &sample, None, true)
        .await
        .unwrap();
    let rows = bench
        .ask(
            "SELECT \"SessionId\", \"LockCookie\", \"Timeout\", \"Locked\", \"SessionItemLong\", \
             \"Flags\" FROM \"ASPNetSessionState\"",
        )
        .await;
    let expected = [
        Cell::Text(row_id(id(7)).into()),
        Cell::Int(1),
        Cell::Int(20),
        Cell::Bit(false),
        Cell::Bytes(frame()),
        Cell::Int(0),
    ];
    assert_eq!(rows, [expected]);
    bench.end().await;
}

async fn a_lock_is_a_number_that_rises(kind: Kind) {
    let bench = asynchronous(kind).await;
    let store = bench.open(&seat(0)).await;
    store_new(&store, id(7), "hello").await;
    let first = take(&store, &request(), id(7)).await;
    assert_eq!(first.lock, Some(LockId::Cookie(2)));
    steal(&store, id(7)).await;
    let second = take(&store, &request(), id(7)).await;
    assert_eq!(second.lock, Some(LockId::Cookie(3)));
    bench.end().await;
}

async fn between_a_steal_and_the_next_taking_a_late_write_counts(kind: Kind) {
    let bench = asynchronous(kind).await;
    let store = bench.open(&seat(0)).await;
    store_new(&store, id(7), "hello").await;
    let late = take(&store, &request(), id(7)).await;
    steal(&store, id(7)).await;
    write(&store, id(7), "late", late.lock.as_ref()).await;
    assert_eq!(read(&store, id(7)).await.as_deref(), Some("late"));
    let next = take(&store, &request(), id(7)).await;
    write(&store, id(7), "later", late.lock.as_ref()).await;
    write(&store, id(7), "next", next.lock.as_ref()).await;
    write(&store, id(7), "latest", late.lock.as_ref()).await;
    assert_eq!(read(&store, id(7)).await.as_deref(), Some("next"));
    bench.end().await;
}

async fn an_uninitialised_session_asks_for_its_start_once(kind: Kind) {
    let bench = asynchronous(kind).await;
    let store = bench.open(&seat(0)).await;
    store_new(&store, id(7), "hello").await;
    for number in [7, 8] {
        store
            .create_uninitialized_item(&request(), id(number), Minutes(20))
            .await
            .unwrap();
    }
    assert_eq!(read(&store, id(7)).await.as_deref(), Some("hello"));
    let found = take(&store, &request(), id(8)).await;
    assert_eq!(found.actions, Actions::InitializeItem);
    steal(&store, id(8)).await;
    let found = take(&store, &request(), id(8)).await;
    assert_eq!(found.actions, Actions::None);
    bench.end().await;
}

async fn an_expired_session_is_served_and_lives_on(kind: Kind) {
    let bench = asynchronous(kind).await;
    let store = bench.open(&seat(0)).await;
    store_new(&store, id(7), "hello").await;
    expire(&bench, "ASPNetSessionState").await;
    assert_eq!(read(&store, id(7)).await.as_deref(), Some("hello"));
    let alive = "SELECT COUNT(*) FROM \"ASPNetSessionState\" WHERE \"Expires\" > CURRENT_TIMESTAMP";
    assert_eq!(bench.ask_one(alive).await, Cell::Int(1));
    bench.end().await;
}

async fn the_end_of_a_request_purges_every_30_s(kind: Kind) {
    let tables = ["ASPNetSessionState", "Sessions"];
    for table in tables {
        // Boxed, for the stack of a test is small.
        let bench = match table {
            "Sessions" => Box::pin(universal(kind)).await,
            _ => Box::pin(asynchronous(kind)).await,
        };
        let store = bench.open(&seat(0)).await;
        store_new(&store, id(7), "hello").await;
        expire(&bench, table).await;
        store.end_request(&request()).await.unwrap();
        Box::pin(until_purged(&bench, table)).await;
        store_new(&store, id(8), "hello").await;
        expire(&bench, table).await;
        let purges = bench.provider.background_work().ticks;
        store.end_request(&request()).await.unwrap();
        sleep(Duration::from_millis(500)).await;
        assert_eq!(count(&bench, table).await, 1);
        assert!(bench.provider.background_work().ticks <= purges.max(1));
        bench.end().await;
    }
}

async fn a_command_that_takes_too_long_is_tried_again(kind: Kind) {
    let bench = Bench::of(kind, |database| {
        let address = format!("{};Command Timeout=1", database.address());
        ProviderSettings::SqlAsync(SqlAsync {
            maxRetryNumber: 2,
            retryInterval: 1,
            sql: SqlSettings {
                server: DatabaseServer::ConnectionString(address),
                ..SqlSettings::default()
            },
            ..SqlAsync::default()
        })
    })
    .await;
    let store = bench.open(&seat(0)).await;
    store_new(&store, id(7), "hello").await;
    bench
        .change("BEGIN TRANSACTION; UPDATE \"ASPNetSessionState\" SET \"Timeout\" = 20")
        .await;
    let request = request();
    let result = store.get_item(&request, id(7)).await;
    assert!(
        matches!(result, Err(StoreError::Timeout { .. })),
        "{result:?}"
    );
    assert_eq!((request.retries.get(), request.timeouts.get()), (2, 3));
    bench.change("COMMIT").await;
    bench.end().await;
}

async fn what_exists_is_used_and_only_our_rows_removed(kind: Kind) {
    let bench = Bench::of(kind, |database| {
        ProviderSettings::SqlAsync(SqlAsync {
            sql: sql_on(database),
            ..SqlAsync::default()
        })
    })
    .await;
    let Bench {
        provider, database, ..
    } = bench;
    provider.close().await.unwrap();
    let mut raw = database.raw().await;
    let script = asynchronous::SCHEMA.script(raw.dialect(), schema::MINUTE);
    raw.run_script(&script).await.unwrap();
    let existing = ProviderSettings::SqlAsync(SqlAsync {
        sql: SqlSettings {
            schema: SchemaOrigin::Existing,
            ..sql_on(&database)
        },
        ..SqlAsync::default()
    });
    let theirs = format!(
        "INSERT INTO \"ASPNetSessionState\" (\"SessionId\", \"Expires\", \"LockDate\", \
         \"LockDateLocal\", \"LockCookie\", \"Timeout\", \"Locked\") \
         VALUES ('theirs', '2099-01-01', '2026-01-01', '2026-01-01', 1, 20, {})",
        truth(kind, false)
    );
    raw.run_script(&theirs).await.unwrap();
    let provider = sessionbench::providers::connect(&existing, "")
        .await
        .unwrap();
    let store = provider.open(&seat(0)).await.unwrap();
    store_new(&store, id(7), "hello").await;
    take(&store, &request(), id(7)).await;
    provider.close().await.unwrap();
    let left = raw
        .query("SELECT \"SessionId\" FROM \"ASPNetSessionState\"", &[])
        .await;
    assert_eq!(left.unwrap(), [[Cell::Text("theirs".into())]]);
    drop((raw, provider, store));
    database.drop().await;
}

async fn a_row_of_the_universal_providers_is_read_and_ours_is_alike(kind: Kind) {
    let bench = universal(kind).await;
    let store = bench.open(&seat(0)).await;
    let mut expected = [
        "SessionId",
        "Created",
        "Expires",
        "LockDate",
        "LockCookie",
        "Locked",
        "SessionItem",
        "Flags",
        "Timeout",
    ];
    expected.sort_unstable();
    assert_eq!(columns(&bench, "Sessions").await, expected);
    let mut buffer = frame();
    buffer.resize(7000, 0);
    let statement = format!(
        "INSERT INTO \"Sessions\" (\"SessionId\", \"Created\", \"Expires\", \"LockDate\", \
         \"LockCookie\", \"Locked\", \"SessionItem\", \"Flags\", \"Timeout\") \
         VALUES ('{}', '2026-01-01', '2099-01-01', '2026-01-01', 0, {}, {}, 0, 20)",
        row_id(id(7)),
        truth(kind, false),
        literal(kind, &buffer),
    );
    bench.change(&statement).await;
    assert_is_the_sample(&take(&store, &request(), id(7)).await.item);
    bench.change("DELETE FROM \"Sessions\"").await;
    let sample = Item::decode(&frame()).unwrap();
    store
        .set_and_release_item_exclusive(&request(), id(7), &sample, None, true)
        .await
        .unwrap();
    let rows = bench
        .ask(
            "SELECT \"SessionId\", \"LockCookie\", \"Locked\", \"SessionItem\", \"Flags\", \
             \"Timeout\" FROM \"Sessions\"",
        )
        .await;
    let expected = [
        Cell::Text(row_id(id(7)).into()),
        Cell::Int(0),
        Cell::Bit(false),
        Cell::Bytes(buffer),
        Cell::Int(1),
        Cell::Int(20),
    ];
    assert_eq!(rows, [expected]);
    bench.end().await;
}

async fn nobody_can_tell_one_universal_lock_from_the_next(kind: Kind) {
    let bench = universal(kind).await;
    let store = bench.open(&seat(0)).await;
    store_new(&store, id(7), "hello").await;
    let late = take(&store, &request(), id(7)).await;
    steal(&store, id(7)).await;
    let next = take(&store, &request(), id(7)).await;
    assert_eq!(late.lock, next.lock);
    write(&store, id(7), "next", next.lock.as_ref()).await;
    write(&store, id(7), "late", late.lock.as_ref()).await;
    assert_eq!(read(&store, id(7)).await.as_deref(), Some("late"));
    bench.end().await;
}

async fn of_two_that_take_a_universal_lock_at_once_one_is_refused(kind: Kind) {
    let bench = universal(kind).await;
    let (a, b) = (bench.open(&seat(0)).await, bench.open(&seat(1)).await);
    for number in 0..20 {
        store_new(&a, id(number), "hello").await;
        let (one, other) = (request(), request());
        let (one, other) = join!(
            a.get_item_exclusive(&one, id(number)),
            b.get_item_exclusive(&other, id(number))
        );
        let found = [one.unwrap(), other.unwrap()];
        let won = found.iter().filter(|it| matches!(it, GetItem::Found(_)));
        assert_eq!(won.count(), 1, "{found:?}");
    }
    bench.end().await;
}

async fn a_universal_locks_age_is_below_a_minute_and_each_poll_prolongs_the_session(kind: Kind) {
    let bench = universal(kind).await;
    let store = bench.open(&seat(0)).await;
    store_new(&store, id(7), "hello").await;
    take(&store, &request(), id(7)).await;
    bench
        .change("UPDATE \"Sessions\" SET \"LockDate\" = '2001-01-01'")
        .await;
    let before = bench.ask_one("SELECT \"Expires\" FROM \"Sessions\"").await;
    sleep(Duration::from_millis(20)).await;
    match store.get_item_exclusive(&request(), id(7)).await.unwrap() {
        GetItem::Locked { age, .. } => assert!(age < Duration::from_secs(60), "{age:?}"),
        other => panic!("{other:?}"),
    }
    let after = bench.ask_one("SELECT \"Expires\" FROM \"Sessions\"").await;
    assert_ne!(before, after);
    bench.end().await;
}

async fn an_expired_universal_session_is_neither_served_nor_replaced(kind: Kind) {
    let bench = universal(kind).await;
    let store = bench.open(&seat(0)).await;
    store_new(&store, id(7), "hello").await;
    expire(&bench, "Sessions").await;
    assert_eq!(read(&store, id(7)).await, None);
    store
        .create_uninitialized_item(&request(), id(7), Minutes(20))
        .await
        .unwrap();
    store_new(&store, id(7), "lost").await;
    assert_eq!(read(&store, id(7)).await, None);
    assert_eq!(count(&bench, "Sessions").await, 1);
    bench.end().await;
}
