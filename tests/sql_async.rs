//! `sql_async` on the real databases: rows as .NET writes them, each rule of locking, expiry and
//! purging. Tables in memory are on SQL Server alone, with a filegroup for them, and are not tested
//! here.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod sql_support;

use sessionbench::providers::sql::asynchronous::repository::Repository;
use sessionbench::providers::sql::call::{Kind as CellKind, Value as Cell};
use sessionbench::providers::sql::settings::{
    DatabaseServer, RepositoryType, SchemaOrigin, SqlAsync, SqlSettings,
};
use sessionbench::providers::{ConnectError, ProviderSettings, connect};
use sessionbench::session::{Actions, Item, LockId, Minutes, StoreError};
use sql_support::microsoft::*;
use sql_support::*;

on_both_databases! {
    a_row_of_the_providers_own_table_is_read_and_ours_is_alike
    a_row_of_aspnet_regsqls_table_is_read_and_ours_is_alike
    a_session_that_grows_keeps_its_short_value_until_it_is_written_again
    a_session_that_shrinks_lies_in_the_short_column_alone
    a_lock_is_a_number_that_rises
    of_many_that_take_a_lock_at_once_one_gets_it
    between_a_steal_and_the_next_taking_a_late_write_counts
    an_uninitialised_session_asks_for_its_start_once
    an_expired_session_is_served_and_lives_on
    the_end_of_a_request_purges_every_30_s
    a_command_that_takes_too_long_is_tried_again
    a_table_of_another_name_has_procedures_of_its_own
    what_exists_is_used_and_only_our_rows_removed
    a_table_of_another_repository_is_refused
    aspnet_regsqls_tables_in_another_database_are_not_found
}

const COMPAT: &str = "ASPStateTempSessions";
const OWN: &str = "ASPNetSessionState";
/// What both repositories hold.
const BOTH: [RepositoryType; 2] = [RepositoryType::FrameworkCompat, RepositoryType::SqlServer];

fn table(repository: RepositoryType) -> &'static str {
    match repository {
        RepositoryType::FrameworkCompat => COMPAT,
        _ => OWN,
    }
}

fn settings(database: &Database, repository: RepositoryType) -> SqlAsync {
    SqlAsync {
        repositoryType: repository,
        sql: sql_on(database),
        ..SqlAsync::default()
    }
}

fn existing(database: &Database, repository: RepositoryType) -> SqlAsync {
    SqlAsync {
        sql: SqlSettings {
            schema: SchemaOrigin::Existing,
            ..sql_on(database)
        },
        ..settings(database, repository)
    }
}

async fn asynchronous(kind: Kind, repository: RepositoryType) -> Bench {
    Bench::of(kind, |database| {
        ProviderSettings::SqlAsync(settings(database, repository))
    })
    .await
}

/// Columns of both tables but for those of the items.
const COLUMNS: [&str; 9] = [
    "created",
    "expires",
    "flags",
    "lockcookie",
    "lockdate",
    "lockdatelocal",
    "locked",
    "sessionid",
    "timeout",
];

/// A session as .NET wrote it, with one column for its item.
async fn insert(bench: &Bench, table: &str, column: &str, item: &[u8]) {
    let kind = bench.database.kind;
    let statement = format!(
        "INSERT INTO \"{table}\" (\"SessionId\", \"Expires\", \"LockDate\", \"LockDateLocal\", \
         \"LockCookie\", \"Timeout\", \"Locked\", \"{column}\") \
         VALUES ('{}', '2099-01-01', '2026-01-01', '2026-01-01', 1, 20, {}, {})",
        row_id(id(7)),
        no(kind),
        literal(kind, item),
    );
    bench.change(&statement).await;
}

/// What every new row has.
fn new_row() -> [Cell; 5] {
    [
        Cell::Text(row_id(id(7)).into()),
        Cell::Int(1),
        Cell::Int(20),
        Cell::Bit(false),
        Cell::Int(0),
    ]
}

async fn a_row_of_the_providers_own_table_is_read_and_ours_is_alike(kind: Kind) {
    let bench = asynchronous(kind, RepositoryType::SqlServer).await;
    let store = bench.open(&seat(0)).await;
    let mut columns = [&COLUMNS[..], &["sessionitemlong"]].concat();
    columns.sort_unstable();
    assert_eq!(bench.columns(OWN).await, columns);
    insert(&bench, OWN, "SessionItemLong", &frame()).await;
    assert_is_the_sample(&take(&store, &request(), id(7)).await.item);
    bench.change(&format!("DELETE FROM \"{OWN}\"")).await;
    let sample = Item::decode(&frame()).unwrap();
    store
        .set_and_release_item_exclusive(&request(), id(7), &sample, None, true)
        .await
        .unwrap();
    let rows = bench
        .ask(&format!(
            "SELECT \"SessionId\", \"LockCookie\", \"Timeout\", \"Locked\", \"Flags\", \
             \"SessionItemLong\" FROM \"{OWN}\""
        ))
        .await;
    assert_eq!(rows, [[&new_row()[..], &[Cell::Bytes(frame())]].concat()]);
    bench.end().await;
}

/// What lies in the two columns of the one session.
async fn items(bench: &Bench) -> Vec<Cell> {
    let asked = match bench.database.kind {
        Kind::Postgres => "octet_length(\"SessionItemShort\"), octet_length(\"SessionItemLong\")",
        Kind::SqlServer => "DATALENGTH(SessionItemShort), DATALENGTH(SessionItemLong)",
    };
    bench
        .ask(&format!("SELECT {asked} FROM \"{COMPAT}\""))
        .await
        .concat()
}

async fn a_row_of_aspnet_regsqls_table_is_read_and_ours_is_alike(kind: Kind) {
    let bench = asynchronous(kind, RepositoryType::FrameworkCompat).await;
    let store = bench.open(&seat(0)).await;
    let mut columns = [&COLUMNS[..], &["sessionitemlong", "sessionitemshort"]].concat();
    columns.sort_unstable();
    assert_eq!(bench.columns(COMPAT).await, columns);
    for column in ["SessionItemShort", "SessionItemLong"] {
        insert(&bench, COMPAT, column, &frame()).await;
        assert_is_the_sample(&take(&store, &request(), id(7)).await.item);
        bench.change(&format!("DELETE FROM \"{COMPAT}\"")).await;
    }
    let sample = Item::decode(&frame()).unwrap();
    store
        .set_and_release_item_exclusive(&request(), id(7), &sample, None, true)
        .await
        .unwrap();
    let rows = bench
        .ask(&format!(
            "SELECT \"SessionId\", \"LockCookie\", \"Timeout\", \"Locked\", \"Flags\", \
             \"SessionItemShort\" FROM \"{COMPAT}\""
        ))
        .await;
    assert_eq!(rows, [[&new_row()[..], &[Cell::Bytes(frame())]].concat()]);
    let none = Cell::Null(CellKind::Int);
    assert_eq!(items(&bench).await[1], none);
    bench.change(&format!("DELETE FROM \"{COMPAT}\"")).await;
    let long = item(&"x".repeat(7000));
    let length = i64::try_from(long.encode().len()).unwrap();
    store
        .set_and_release_item_exclusive(&request(), id(7), &long, None, true)
        .await
        .unwrap();
    assert_eq!(items(&bench).await, [none, Cell::Int(length)]);
    bench.end().await;
}

/// Reads the session with its lock and writes it with this text, in one request.
async fn rewrite(store: &Store, text: &str) {
    let request = request();
    let found = take(store, &request, id(7)).await;
    store
        .set_and_release_item_exclusive(&request, id(7), &item(text), found.lock.as_ref(), false)
        .await
        .unwrap();
}

async fn a_session_that_grows_keeps_its_short_value_until_it_is_written_again(kind: Kind) {
    let bench = asynchronous(kind, RepositoryType::FrameworkCompat).await;
    let store = bench.open(&seat(0)).await;
    let long = "x".repeat(8000);
    let length = |text: &str| Cell::Int(i64::try_from(item(text).encode().len()).unwrap());
    store_new(&store, id(7), "short").await;
    rewrite(&store, &long).await;
    assert_eq!(items(&bench).await, [length("short"), length(&long)]);
    assert_eq!(read(&store, id(7)).await.as_deref(), Some(&*long));
    rewrite(&store, &long).await;
    let none = Cell::Null(CellKind::Int);
    assert_eq!(items(&bench).await, [none, length(&long)]);
    bench.end().await;
}

async fn a_session_that_shrinks_lies_in_the_short_column_alone(kind: Kind) {
    let bench = asynchronous(kind, RepositoryType::FrameworkCompat).await;
    let store = bench.open(&seat(0)).await;
    store_new(&store, id(7), &"x".repeat(8000)).await;
    rewrite(&store, "short").await;
    assert_eq!(items(&bench).await[1], Cell::Null(CellKind::Int));
    assert_eq!(read(&store, id(7)).await.as_deref(), Some("short"));
    bench.end().await;
}

async fn a_lock_is_a_number_that_rises(kind: Kind) {
    for repository in BOTH {
        let bench = asynchronous(kind, repository).await;
        let store = bench.open(&seat(0)).await;
        store_new(&store, id(7), "hello").await;
        let first = take(&store, &request(), id(7)).await;
        assert_eq!(first.lock, Some(LockId::Cookie(2)));
        steal(&store, id(7)).await;
        let second = take(&store, &request(), id(7)).await;
        assert_eq!(second.lock, Some(LockId::Cookie(3)));
        bench.end().await;
    }
}

async fn of_many_that_take_a_lock_at_once_one_gets_it(kind: Kind) {
    for repository in BOTH {
        let bench = asynchronous(kind, repository).await;
        Box::pin(assert_one_of_many_takes_the_lock(bench)).await;
    }
}

async fn between_a_steal_and_the_next_taking_a_late_write_counts(kind: Kind) {
    for repository in BOTH {
        let bench = asynchronous(kind, repository).await;
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
}

async fn an_uninitialised_session_asks_for_its_start_once(kind: Kind) {
    for repository in BOTH {
        let bench = asynchronous(kind, repository).await;
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
}

async fn an_expired_session_is_served_and_lives_on(kind: Kind) {
    for repository in BOTH {
        let bench = asynchronous(kind, repository).await;
        let store = bench.open(&seat(0)).await;
        store_new(&store, id(7), "hello").await;
        expire(&bench, table(repository)).await;
        assert_eq!(read(&store, id(7)).await.as_deref(), Some("hello"));
        let alive = format!(
            "SELECT COUNT(*) FROM \"{}\" WHERE \"Expires\" > CURRENT_TIMESTAMP",
            table(repository)
        );
        assert_eq!(bench.ask_one(&alive).await, Cell::Int(1));
        bench.end().await;
    }
}

async fn a_command_that_takes_too_long_is_tried_again(kind: Kind) {
    let bench = Bench::of(kind, |database| {
        let address = format!("{};Command Timeout=1", database.address());
        ProviderSettings::SqlAsync(SqlAsync {
            maxRetryNumber: 2,
            retryInterval: Some(1),
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
        .change("BEGIN TRANSACTION; UPDATE \"ASPStateTempSessions\" SET \"Timeout\" = 20")
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

async fn the_end_of_a_request_purges_every_30_s(kind: Kind) {
    for repository in BOTH {
        // Boxed, for the stack of a test is small.
        let bench = asynchronous(kind, repository).await;
        Box::pin(assert_purges_every_30_s(bench, table(repository))).await;
    }
}

async fn a_table_of_another_name_has_procedures_of_its_own(kind: Kind) {
    let bench = Bench::of(kind, |database| {
        ProviderSettings::SqlAsync(SqlAsync {
            sessionTableName: Some("Visits".to_owned()),
            ..settings(database, RepositoryType::SqlServer)
        })
    })
    .await;
    let store = bench.open(&seat(0)).await;
    store_new(&store, id(7), "hello").await;
    take(&store, &request(), id(7)).await;
    assert_eq!(bench.count("Visits").await, 1);
    let procedures = "SELECT COUNT(*) FROM information_schema.routines \
                      WHERE routine_name LIKE 'Visits_%State%'";
    assert_eq!(bench.ask_one(procedures).await, Cell::Int(6));
    bench.end().await;
}

async fn what_exists_is_used_and_only_our_rows_removed(kind: Kind) {
    for repository in BOTH {
        let database = Database::new(kind).await;
        let existing = existing(&database, repository);
        database.install(Repository::of(&existing).schema()).await;
        let table = table(repository);
        let mut raw = database.raw().await;
        let theirs = format!(
            "INSERT INTO \"{table}\" (\"SessionId\", \"Expires\", \"LockDate\", \
             \"LockDateLocal\", \"LockCookie\", \"Timeout\", \"Locked\") \
             VALUES ('theirs', '2099-01-01', '2026-01-01', '2026-01-01', 1, 20, {})",
            no(kind)
        );
        raw.run_script(&theirs).await.unwrap();
        let provider = connect(&ProviderSettings::SqlAsync(existing), "")
            .await
            .unwrap();
        let store = provider.open(&seat(0)).await.unwrap();
        store_new(&store, id(7), "hello").await;
        take(&store, &request(), id(7)).await;
        assert_eq!(provider.sample().await.unwrap().keys, Some(2));
        provider.close().await.unwrap();
        let asked = format!("SELECT \"SessionId\" FROM \"{table}\"");
        let left = raw.query(&asked, &[]).await;
        assert_eq!(left.unwrap(), [[Cell::Text("theirs".into())]]);
        drop((raw, provider, store));
        database.drop().await;
    }
}

async fn refused(settings: SqlAsync) -> String {
    match connect(&ProviderSettings::SqlAsync(settings), "").await {
        Ok(_) => panic!("it was brought in"),
        Err(ConnectError::Settings(error)) => error,
        Err(error) => panic!("{error:?}"),
    }
}

async fn a_table_of_another_repository_is_refused(kind: Kind) {
    let database = Database::new(kind).await;
    let own = settings(&database, RepositoryType::SqlServer);
    database.install(Repository::of(&own).schema()).await;
    let error = refused(SqlAsync {
        sessionTableName: Some(OWN.to_owned()),
        ..existing(&database, RepositoryType::FrameworkCompat)
    })
    .await;
    assert!(
        error.contains("ASPNetSessionState is the provider's own: use `repositoryType: SqlServer`"),
        "{error}"
    );
    database.drop().await;
}

async fn aspnet_regsqls_tables_in_another_database_are_not_found(kind: Kind) {
    let database = Database::new(kind).await;
    let error = refused(existing(&database, RepositoryType::FrameworkCompat)).await;
    assert!(error.contains("no table ASPStateTempSessions"), "{error}");
    database.drop().await;
}
