//! A SQL provider as a whole: whose tables it uses, connecting, limits, failing, cleaning up.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod sql_support;

use futures_util::join;
use sessionbench::clock::{now, sleep};
use sessionbench::providers::sql::call::Value as Cell;
use sessionbench::providers::sql::connection_string::{ConnectionString, Dialect};
use sessionbench::providers::sql::settings::{
    DatabaseServer, SchemaOrigin, SqlSettings, SqlSitecore,
};
use sessionbench::providers::sql::sitecore;
use sessionbench::providers::{ConnectError, Provider, ProviderSettings, connect};
use sessionbench::session::{GetItem, StoreError};
use sql_support::*;
use std::rc::Rc;
use std::time::Duration;

on_both_databases! {
    the_server_is_told_with_its_version_and_without_secrets
    a_sample_counts_sessions_and_tells_their_size
    tables_that_are_not_ours_are_refused_and_left_alone
    what_an_earlier_run_left_is_replaced
    a_second_run_on_the_same_database_is_refused
    closing_drops_what_was_created_and_nothing_else
    existing_procedures_are_used_and_only_our_sessions_removed
    a_database_without_the_procedures_is_refused
    a_procedure_of_another_shape_is_refused
    a_user_that_is_not_known_is_told
    a_server_that_is_not_there_is_told
    a_command_that_takes_too_long_is_given_up_at_its_limit
    a_request_waits_for_a_connection_no_longer_than_its_limit
    a_closed_provider_sends_nothing_more
}

fn existing() -> SqlSitecore {
    SqlSitecore {
        sql: SqlSettings {
            schema: SchemaOrigin::Existing,
            ..SqlSettings::default()
        },
        ..SqlSitecore::default()
    }
}

async fn refused(settings: &ProviderSettings) -> ConnectError {
    match connect(settings, "").await {
        Ok(_) => panic!("it was brought in"),
        Err(error) => error,
    }
}

async fn the_server_is_told_with_its_version_and_without_secrets(kind: Kind) {
    let bench = Bench::new(kind).await;
    let info = bench.provider.server().unwrap();
    let product = match kind {
        Kind::Postgres => "PostgreSQL",
        Kind::SqlServer => "SQL Server",
    };
    assert_eq!(info.product, product);
    assert!(
        info.version.starts_with(|c: char| c.is_ascii_digit()),
        "{}",
        info.version
    );
    assert!(!info.managed);
    assert_eq!(info.settings["max_pool_size"], "100");
    if kind == Kind::Postgres {
        assert_eq!(info.settings["fsync"], "off");
        assert_eq!(info.settings["synchronous_commit"], "on");
    }
    let found: ConnectionString = bench.database.address().parse().unwrap();
    if let Some(password) = found.password {
        assert!(!format!("{info:?}").contains(password.reveal()));
    }
    bench.end().await;
}

async fn a_sample_counts_sessions_and_tells_their_size(kind: Kind) {
    let bench = Bench::new(kind).await;
    assert_eq!(bench.provider.sample().await.unwrap().keys, None);
    let store = bench.open(&seat(0)).await;
    for number in 0..20 {
        store_new(&store, id(number), &format!("{number}{}", "x".repeat(1000))).await;
    }
    let sample = bench.provider.sample().await.unwrap();
    assert_eq!(sample.keys, Some(20));
    let size = sample.bytes_per_session.unwrap();
    assert!((1000..2000).contains(&size), "{size}");
    bench.end().await;
}

async fn tables_that_are_not_ours_are_refused_and_left_alone(kind: Kind) {
    let database = Database::new(kind).await;
    let mut raw = database.raw().await;
    raw.run_script(
        "CREATE TABLE \"SessionState\" (a int); INSERT INTO \"SessionState\" VALUES (7)",
    )
    .await
    .unwrap();
    let error = refused(&on(&database, SqlSitecore::default()))
        .await
        .to_string();
    assert!(
        error.contains("already has SessionState, which sessionbench did not make"),
        "{error}"
    );
    let rows = raw
        .query("SELECT a FROM \"SessionState\"", &[])
        .await
        .unwrap();
    assert_eq!(rows, [[Cell::Int(7)]]);
    drop(raw);
    database.drop().await;
}

async fn what_an_earlier_run_left_is_replaced(kind: Kind) {
    let bench = Bench::new(kind).await;
    let store = bench.open(&seat(0)).await;
    store_new(&store, id(7), "left").await;
    let Bench {
        provider, database, ..
    } = bench;
    // It crashes.
    drop((store, provider));
    let deadline = now() + Duration::from_secs(20);
    let provider = loop {
        match connect(&on(&database, SqlSitecore::default()), "").await {
            Ok(provider) => break provider,
            // The server has not noticed yet.
            Err(error) => assert!(now() < deadline, "{error}"),
        }
        sleep(Duration::from_millis(10)).await;
    };
    let store = provider.open(&seat(0)).await.unwrap();
    assert_eq!(
        store.get_item(&request(), id(7)).await.unwrap(),
        GetItem::Missing
    );
    provider.close().await.unwrap();
    drop((store, provider));
    database.drop().await;
}

async fn a_second_run_on_the_same_database_is_refused(kind: Kind) {
    let bench = Bench::new(kind).await;
    let error = refused(&on(&bench.database, SqlSitecore::default())).await;
    assert!(
        error.to_string().contains("uses this database already"),
        "{error}"
    );
    bench.provider.close().await.unwrap();
    let next = connect(&on(&bench.database, SqlSitecore::default()), "").await;
    next.unwrap().close().await.unwrap();
    bench.end().await;
}

async fn closing_drops_what_was_created_and_nothing_else(kind: Kind) {
    let bench = Bench::new(kind).await;
    bench.change("CREATE TABLE theirs (a int)").await;
    let store = bench.open(&seat(0)).await;
    store_new(&store, id(7), "hello").await;
    bench.provider.close().await.unwrap();
    let tables = "SELECT table_name FROM information_schema.tables \
                  WHERE table_name IN ('theirs', 'SessionState', 'Application')";
    assert_eq!(bench.ask(tables).await, [[Cell::Text("theirs".into())]]);
    let routines =
        "SELECT COUNT(*) FROM information_schema.routines WHERE routine_name LIKE 'GetItem%'";
    assert_eq!(bench.ask_one(routines).await, Cell::Int(0));
    bench.end().await;
}

async fn existing_procedures_are_used_and_only_our_sessions_removed(kind: Kind) {
    let database = Database::new(kind).await;
    database.install(&sitecore::SCHEMA).await;
    let theirs = connect(&on(&database, existing()), "theirs").await.unwrap();
    let their_store = theirs.open(&seat(0)).await.unwrap();
    store_new(&their_store, id(7), "theirs").await;
    let ours = connect(&on(&database, existing()), "").await.unwrap();
    let store = ours.open(&seat(0)).await.unwrap();
    for number in 0..20 {
        store_new(&store, id(number), "ours").await;
    }
    take(&store, &request(), id(3)).await;
    let removed = take(&store, &request(), id(4)).await;
    store
        .remove_item(&request(), id(4), removed.lock.as_ref(), &removed.item)
        .await
        .unwrap();
    assert_eq!(ours.sample().await.unwrap().keys, Some(20));
    ours.close().await.unwrap();
    assert_eq!(theirs.sample().await.unwrap().keys, Some(1));
    let left = take(&their_store, &request(), id(7)).await;
    assert_eq!(text_of(&left.item), "theirs");
    theirs.close().await.unwrap();
    let mut raw = database.raw().await;
    let rows = raw
        .query("SELECT COUNT(*) FROM \"SessionState\"", &[])
        .await
        .unwrap();
    assert_eq!(rows, [[Cell::Int(0)]]);
    drop((raw, store, their_store, ours, theirs));
    database.drop().await;
}

async fn a_database_without_the_procedures_is_refused(kind: Kind) {
    let database = Database::new(kind).await;
    let error = refused(&on(&database, existing())).await.to_string();
    assert!(
        error.contains("no procedure GetApplicationId, GetItem, GetItemExclusive"),
        "{error}"
    );
    database.drop().await;
}

async fn a_procedure_of_another_shape_is_refused(kind: Kind) {
    let database = Database::new(kind).await;
    database.install(&sitecore::SCHEMA).await;
    let mut raw = database.raw().await;
    let script = match raw.dialect() {
        Dialect::Postgres => {
            "DROP FUNCTION \"ReleaseItem\"; \
             CREATE FUNCTION \"ReleaseItem\" (\"application\" uuid, \"id\" varchar(88)) \
             RETURNS void LANGUAGE sql AS ''"
        }
        Dialect::SqlServer => {
            "DROP PROCEDURE [dbo].[ReleaseItem];\nGO\n\
             CREATE PROCEDURE [dbo].[ReleaseItem] @application uniqueidentifier, @id nvarchar(88) \
             AS SELECT 1"
        }
    };
    raw.run_script(script).await.unwrap();
    let error = refused(&on(&database, existing())).await.to_string();
    assert!(
        error.contains("ReleaseItem has no parameter `lockCookie`"),
        "{error}"
    );
    drop(raw);
    database.drop().await;
}

async fn a_user_that_is_not_known_is_told(kind: Kind) {
    let database = Database::new(kind).await;
    let address = format!(
        "{};User ID=nobody_of_this_name;Password=wrong-one",
        database.address()
    );
    let error = refused(&at(address)).await;
    assert!(matches!(error, ConnectError::Store(_)), "{error:?}");
    assert!(error.to_string().contains("nobody_of_this_name"), "{error}");
    assert!(!error.to_string().contains("wrong-one"), "{error}");
    database.drop().await;
}

async fn a_server_that_is_not_there_is_told(kind: Kind) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let address = match kind {
        Kind::Postgres => format!("Host=127.0.0.1;Port={port}"),
        Kind::SqlServer => format!("Server=tcp:127.0.0.1,{port}"),
    };
    let error = refused(&at(address)).await;
    let ConnectError::Store(StoreError::Connection(why)) = &error else {
        panic!("{error:?}");
    };
    assert!(why.to_lowercase().contains("refused"), "{why}");
}

/// Keeps the row of every session locked in the database for as long as the connection lives.
async fn block(database: &Database) -> sessionbench::providers::sql::pool::Connection {
    let mut raw = database.raw().await;
    raw.run_script("BEGIN TRANSACTION; UPDATE \"SessionState\" SET \"Flags\" = \"Flags\"")
        .await
        .unwrap();
    raw
}

async fn a_command_that_takes_too_long_is_given_up_at_its_limit(kind: Kind) {
    let database = Database::new(kind).await;
    let provider = connect(&at(format!("{};Command Timeout=1", database.address())), "")
        .await
        .unwrap();
    let store = provider.open(&seat(0)).await.unwrap();
    store_new(&store, id(7), "hello").await;
    let blocking = block(&database).await;
    let slow = request();
    let started = now();
    let error = store.get_item_exclusive(&slow, id(7)).await.unwrap_err();
    let limit = Duration::from_secs(1);
    assert_eq!(error, StoreError::Timeout { limit });
    assert!(now().since(started) >= limit);
    assert_eq!((slow.timeouts.get(), slow.round_trips.get()), (1, 1));
    if kind == Kind::Postgres {
        // Nobody waits for the row any more.
        let mut raw = database.raw().await;
        let waiting = "SELECT COUNT(*) FROM pg_stat_activity \
                       WHERE datname = current_database() AND wait_event_type = 'Lock'";
        let deadline = now() + Duration::from_secs(20);
        while raw.query(waiting, &[]).await.unwrap() != [[Cell::Int(0)]] {
            assert!(now() < deadline, "the command was not cancelled");
        }
    }
    drop(blocking);
    // Given up, it took no lock.
    let deadline = now() + Duration::from_secs(20);
    loop {
        match store.get_item_exclusive(&request(), id(7)).await {
            Ok(GetItem::Found(_)) => break,
            other => assert!(now() < deadline, "{other:?}"),
        }
    }
    provider.close().await.unwrap();
    drop((store, provider));
    database.drop().await;
}

async fn a_request_waits_for_a_connection_no_longer_than_its_limit(kind: Kind) {
    let database = Database::new(kind).await;
    let address = format!(
        "{};Max Pool Size=1;Connect Timeout=1;Command Timeout=3",
        database.address()
    );
    let provider = connect(&at(address), "").await.unwrap();
    let store = provider.open(&seat(0)).await.unwrap();
    store_new(&store, id(7), "hello").await;
    let blocking = block(&database).await;
    let (first, second) = (request(), request());
    let (one, other) = join!(
        store.get_item_exclusive(&first, id(7)),
        store.get_item_exclusive(&second, id(7)),
    );
    let timeout = |seconds| StoreError::Timeout {
        limit: Duration::from_secs(seconds),
    };
    assert_eq!(one.unwrap_err(), timeout(3));
    assert_eq!(other.unwrap_err(), timeout(1));
    assert_eq!((second.timeouts.get(), second.round_trips.get()), (1, 0));
    drop(blocking);
    provider.close().await.unwrap();
    drop((store, provider));
    database.drop().await;
}

async fn a_closed_provider_sends_nothing_more(kind: Kind) {
    let bench = Bench::new(kind).await;
    let store = bench.open(&seat(0)).await;
    store_new(&store, id(7), "hello").await;
    bench.provider.close().await.unwrap();
    let request = request();
    let error = store.get_item(&request, id(7)).await.unwrap_err();
    assert!(matches!(error, StoreError::Connection(_)), "{error}");
    assert_eq!(request.round_trips.get(), 0);
    bench.end().await;
}

mod managed {
    use super::*;
    use sessionbench::clock::run_real;

    #[test]
    fn a_managed_database_is_a_durable_postgresql_and_goes_at_the_end() {
        run_real(async {
            let settings = ProviderSettings::SqlSitecore(SqlSitecore::default());
            let provider = connect(&settings, "").await.unwrap();
            let info = provider.server().unwrap().clone();
            assert!(info.managed);
            assert_eq!(info.product, "PostgreSQL");
            for name in ["fsync", "full_page_writes", "synchronous_commit"] {
                assert_eq!(info.settings[name], "on", "{name}");
            }
            let store = provider.open(&seat(0)).await.unwrap();
            store_new(&store, id(7), "hello").await;
            provider.close().await.unwrap();
            let (address, _) = info.address.split_once('/').unwrap();
            assert!(std::net::TcpStream::connect(address).is_err());
        })
        .unwrap();
    }

    #[test]
    fn a_server_that_goes_away_is_told() {
        run_real(async {
            use sessionbench::servers::{PostgresServer, postgres};
            let server = PostgresServer::start(&Default::default()).await.unwrap();
            let (user, port) = (postgres::USER, server.port());
            let settings = at(format!("postgres://{user}@127.0.0.1:{port}/postgres"));
            let provider = connect(&settings, "").await.unwrap();
            let store = provider.open(&seat(0)).await.unwrap();
            store_new(&store, id(7), "hello").await;
            drop(server);
            let error = store.get_item(&request(), id(7)).await.unwrap_err();
            assert!(matches!(error, StoreError::Connection(_)), "{error}");
            assert!(provider.close().await.is_err());
        })
        .unwrap();
    }
}

mod postgres_alone {
    use super::*;
    use sessionbench::clock::run_real;

    #[test]
    fn connections_are_reused_and_replaced_when_the_server_closes_them() {
        run_real(async {
            let bench = Bench::new(Kind::Postgres).await;
            let store = bench.open(&seat(0)).await;
            for number in 0..20 {
                store_new(&store, id(number), "hello").await;
            }
            let others = "FROM pg_stat_activity WHERE datname = current_database() \
                          AND pid <> pg_backend_pid()";
            // One of the store's pool, one that occupies the database.
            let count = bench.ask_one(&format!("SELECT COUNT(*) {others}")).await;
            assert_eq!(count, Cell::Int(2));
            bench
                .ask(&format!("SELECT pg_terminate_backend(pid) {others}"))
                .await;
            let deadline = now() + Duration::from_secs(20);
            while store.get_item(&request(), id(7)).await.is_err() {
                assert!(now() < deadline, "never replaced");
            }
            bench.end().await;
        })
        .unwrap();
    }

    #[test]
    fn a_procedure_that_may_not_be_called_is_told() {
        run_real(async {
            let database = Database::new(Kind::Postgres).await;
            database.install(&sitecore::SCHEMA).await;
            let role = format!("guest_{}", std::process::id());
            let mut raw = database.raw().await;
            raw.run_script(&format!(
                "CREATE ROLE {role} LOGIN; \
                 REVOKE EXECUTE ON FUNCTION \"RemoveItem\" FROM PUBLIC"
            ))
            .await
            .unwrap();
            let address = format!("{};Username={role}", database.address());
            let settings = ProviderSettings::SqlSitecore(SqlSitecore {
                sql: SqlSettings {
                    server: DatabaseServer::ConnectionString(address),
                    schema: SchemaOrigin::Existing,
                },
                ..SqlSitecore::default()
            });
            let error = refused(&settings).await.to_string();
            assert!(
                error.contains("may not execute RemoveItem: grant EXECUTE"),
                "{error}"
            );
        })
        .unwrap();
    }

    #[test]
    fn a_user_without_rights_on_the_tables_is_told_by_the_database() {
        run_real(async {
            let database = Database::new(Kind::Postgres).await;
            database.install(&sitecore::SCHEMA).await;
            let role = format!("reader_{}", std::process::id());
            let mut raw = database.raw().await;
            raw.run_script(&format!("CREATE ROLE {role} LOGIN"))
                .await
                .unwrap();
            let address = format!("{};Username={role}", database.address());
            let provider: Rc<dyn Provider> = connect(
                &ProviderSettings::SqlSitecore(SqlSitecore {
                    sql: SqlSettings {
                        server: DatabaseServer::ConnectionString(address),
                        schema: SchemaOrigin::Existing,
                    },
                    ..SqlSitecore::default()
                }),
                "",
            )
            .await
            .unwrap();
            let Err(error) = provider.open(&seat(0)).await else {
                panic!("it was opened");
            };
            assert!(error.to_string().contains("permission denied"), "{error}");
        })
        .unwrap();
    }
}
