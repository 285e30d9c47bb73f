//! The doctor on databases: PostgreSQL, which the tests start, and SQL Server, which
//! `SESSIONBENCH_TEST_MSSQL` names.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod sql_support;

use sessionbench::doctor::{self, Examination, Finding, Severity};
use sessionbench::providers::ProviderSettings;
use sessionbench::providers::sql::call::Value as Cell;
use sessionbench::providers::sql::settings::{
    DatabaseServer, SchemaOrigin, SqlSettings, SqlSitecore,
};
use sessionbench::providers::sql::sitecore;
use sql_support::{Database, Kind};

/// Examines a database as the store of a small site.
async fn examine(address: &str, schema: SchemaOrigin) -> Examination {
    let text = "name: x\ntime: {duration: 2h, drain: 20min}\n\
                contacts: {arrivals: {constant: {rate: 1/s}}}\n\
                clusters: {web: {private: a, shared: a}}\nproviders: {a: {sql_sitecore: {}}}\n";
    let loaded = sessionbench::scenario::parse("test.yaml", text);
    let mut scenario = loaded
        .unwrap_or_else(|problems| panic!("{problems}"))
        .scenario;
    let settings = ProviderSettings::SqlSitecore(SqlSitecore {
        sql: SqlSettings {
            server: DatabaseServer::ConnectionString(address.to_owned()),
            schema,
        },
        ..SqlSitecore::default()
    });
    scenario.providers.insert("a".to_owned(), settings);
    let told = doctor::examine(&scenario).await.unwrap();
    told.examinations.into_iter().next().unwrap()
}

fn about<'a>(examination: &'a Examination, subject: &str) -> &'a Finding {
    let found = examination.findings.iter().find(|it| it.subject == subject);
    found.unwrap_or_else(|| panic!("nothing about {subject}: {examination:?}"))
}

/// A database with the tables and procedures of sessions.
async fn with_schema(kind: Kind) -> Database {
    let database = Database::new(kind).await;
    database.install(&sitecore::SCHEMA).await;
    database
}

/// Names of everything in the database.
async fn objects(database: &Database) -> Vec<Vec<Cell>> {
    let text = match database.kind {
        Kind::Postgres => {
            "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace \
             UNION ALL SELECT proname::text FROM pg_proc \
             WHERE pronamespace = 'public'::regnamespace ORDER BY 1"
        }
        Kind::SqlServer => "SELECT name FROM sys.objects WHERE is_ms_shipped = 0 ORDER BY name",
    };
    database.raw().await.query(text, &[]).await.unwrap()
}

async fn a_session_database_is_fit_and_is_left_as_it_was(kind: Kind) {
    let database = with_schema(kind).await;
    let before = objects(&database).await;
    let examination = examine(&database.address(), SchemaOrigin::Existing).await;
    assert_eq!(about(&examination, "procedures").severity, Severity::Ok);
    assert_eq!(
        about(&examination, "clock").severity,
        Severity::Ok,
        "{examination:?}"
    );
    assert!(examination.worst() <= Severity::Note, "{examination:?}");
    assert_eq!(objects(&database).await, before);
    database.drop().await;
}

async fn an_empty_database_is_fit_to_be_filled_and_stays_empty(kind: Kind) {
    let database = Database::new(kind).await;
    let examination = examine(&database.address(), SchemaOrigin::Create).await;
    assert_eq!(about(&examination, "rights").severity, Severity::Ok);
    assert_eq!(about(&examination, "procedures").severity, Severity::Ok);
    assert_eq!(objects(&database).await, Vec::<Vec<Cell>>::new());
    database.drop().await;
}

async fn procedures_that_are_missing_are_named(kind: Kind) {
    let database = with_schema(kind).await;
    let drop = match kind {
        Kind::Postgres => "DROP FUNCTION \"ReleaseItem\"; DROP FUNCTION \"GetItem\"",
        Kind::SqlServer => "DROP PROCEDURE dbo.ReleaseItem; DROP PROCEDURE dbo.GetItem",
    };
    database.raw().await.run_script(drop).await.unwrap();
    let examination = examine(&database.address(), SchemaOrigin::Existing).await;
    let finding = about(&examination, "procedures");
    assert_eq!(finding.severity, Severity::Problem);
    for name in ["GetItem", "ReleaseItem"] {
        assert!(finding.what.contains(name), "{}", finding.what);
    }
    database.drop().await;
}

on_both_databases! {
    a_session_database_is_fit_and_is_left_as_it_was
    an_empty_database_is_fit_to_be_filled_and_stays_empty
    procedures_that_are_missing_are_named
}

mod postgres_only {
    use super::*;
    use sessionbench::clock::run_real;

    #[test]
    fn a_user_without_rights_is_told_which_functions_and_tables() {
        run_real(async {
            let database = with_schema(Kind::Postgres).await;
            let user = format!("doctor_{}", std::process::id());
            let guard = format!(
                "REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA public FROM PUBLIC; CREATE ROLE {user} LOGIN"
            );
            database.raw().await.run_script(&guard).await.unwrap();
            let address = format!("{};Username={user}", database.address());
            let examination = examine(&address, SchemaOrigin::Existing).await;
            let denied = examination.findings.iter().filter(|it| {
                it.subject == "procedures" && it.what.contains("may not execute")
            });
            assert_eq!(denied.count(), sitecore::SCHEMA.procedures.len());
            let tables = about(&examination, "rights");
            assert!(tables.what.contains("SessionState"), "{}", tables.what);

            let examination = examine(&address, SchemaOrigin::Create).await;
            assert_eq!(about(&examination, "rights").severity, Severity::Problem);
        })
        .unwrap();
    }

    #[test]
    fn a_catalogue_that_is_closed_to_the_user_leaves_out_only_what_it_tells() {
        run_real(async {
            let database = Database::new(Kind::Postgres).await;
            let user = format!("blind_{}", std::process::id());
            let guard =
                format!("REVOKE SELECT ON pg_stat_activity FROM PUBLIC; CREATE ROLE {user} LOGIN");
            database.raw().await.run_script(&guard).await.unwrap();
            let address = format!("{};Username={user}", database.address());
            let examination = examine(&address, SchemaOrigin::Create).await;
            let told = |subject| examination.findings.iter().any(|it| it.subject == subject);
            assert!(!told("connections"), "{examination:?}");
            assert_eq!(about(&examination, "autovacuum").severity, Severity::Ok);
        })
        .unwrap();
    }

    #[test]
    fn a_database_that_is_not_there_is_not_reached() {
        run_real(async {
            let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let port = port.local_addr().unwrap().port();
            let address = format!("Host=127.0.0.1;Port={port};Username=u;SSL Mode=Disable");
            let examination = examine(&address, SchemaOrigin::Create).await;
            assert!(!examination.reached);
            assert_eq!(
                about(&examination, "reachability").severity,
                Severity::Problem
            );
        })
        .unwrap();
    }
}
