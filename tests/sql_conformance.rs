//! The contract held against SQL providers in a database of somebody else's.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod conformance_support;
mod sql_support;

use conformance_support::assert_behaves_as_documented;
use futures_util::future::join_all;
use sessionbench::clock::run_real;
use sessionbench::conformance::{Subject, examine};
use sessionbench::providers::ProviderSettings;
use sessionbench::providers::sql::call::Value as Cell;
use sessionbench::providers::sql::settings::{SqlAsync, SqlSitecore, SqlUniversal};
use sql_support::{Database, Kind, sql_on};
use std::future::pending;

#[test]
fn in_a_database_of_somebody_elses_one_set_of_tables_serves_the_suite_and_goes() {
    let (reports, left) = run_real(async {
        let mut databases = Vec::new();
        for _ in 0..3 {
            databases.push(Database::new(Kind::Postgres).await);
        }
        let settings = [
            ProviderSettings::SqlSitecore(SqlSitecore {
                sql: sql_on(&databases[0]),
                ..SqlSitecore::default()
            }),
            ProviderSettings::SqlAsync(SqlAsync {
                sql: sql_on(&databases[1]),
                ..SqlAsync::default()
            }),
            ProviderSettings::SqlUniversal(SqlUniversal {
                sql: sql_on(&databases[2]),
                ..SqlUniversal::default()
            }),
        ];
        let subjects = settings.each_ref().map(Subject::new);
        let examining = subjects.iter().map(|subject| examine(subject, pending()));
        let reports = join_all(examining).await;
        let tables = "SELECT COUNT(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace";
        let mut left = Vec::new();
        for database in &databases {
            left.push(
                database
                    .raw()
                    .await
                    .query(tables, &[])
                    .await
                    .unwrap()
                    .concat(),
            );
        }
        (reports, left)
    })
    .unwrap();
    for report in reports {
        assert_behaves_as_documented(&report.unwrap());
    }
    assert_eq!(left, [[Cell::Int(0)], [Cell::Int(0)], [Cell::Int(0)]]);
}
