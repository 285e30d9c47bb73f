//! A SQL provider on a database of its own, and a second connection that looks at what it stored.
//!
//! The tests share one PostgreSQL for as long as any of them runs. Those of SQL Server take theirs
//! from `SESSIONBENCH_TEST_MSSQL`, an ADO.NET connection string of a user who may create databases.
#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

pub mod microsoft;
#[path = "../store_support/mod.rs"]
mod store_support;

#[allow(unused_imports, reason = "each test file uses a part of it")]
pub use store_support::*;

use futures_util::future::join_all;
use sessionbench::providers::sql::call::Value as Cell;
use sessionbench::providers::sql::connection_string::ConnectionString;
use sessionbench::providers::sql::pool::{Connection, Target};
use sessionbench::providers::sql::schema::{MINUTE, Schema};
use sessionbench::providers::sql::settings::{DatabaseServer, SqlSettings, SqlSitecore};
use sessionbench::providers::{Provider, ProviderSettings, Seat, connect};
use sessionbench::servers::postgres::USER;
use sessionbench::servers::{ConfigValue, PostgresServer};
use sessionbench::session::{GetItem, SessionStateStore};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// A kind of database to test on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Postgres,
    SqlServer,
}

/// Tests of the same name on both databases. Those on SQL Server are left out of a plain
/// `cargo test` and fail when no server is named.
#[macro_export]
macro_rules! on_both_databases {
    ($($name:ident)*) => {
        mod postgres {
            $(#[test] fn $name() {
                sessionbench::clock::run_real(super::$name(super::Kind::Postgres)).unwrap();
            })*
        }

        mod sql_server {
            $(#[test] #[ignore = "needs SESSIONBENCH_TEST_MSSQL"] fn $name() {
                sessionbench::clock::run_real(super::$name(super::Kind::SqlServer)).unwrap();
            })*
        }
    };
}

/// An empty database.
pub struct Database {
    pub kind: Kind,
    name: String,
    server: String,
    /// Keeps the server alive.
    _process: Option<Arc<PostgresServer>>,
}

impl Database {
    pub async fn new(kind: Kind) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let (server, process) = match kind {
            Kind::Postgres => {
                let process = shared_postgres().await;
                let port = process.port();
                let address =
                    format!("Host=127.0.0.1;Port={port};Username={USER};SSL Mode=Disable");
                (address, Some(process))
            }
            Kind::SqlServer => {
                let address = std::env::var("SESSIONBENCH_TEST_MSSQL")
                    .expect("SESSIONBENCH_TEST_MSSQL names a SQL Server");
                (address, None)
            }
        };
        let database = Self {
            kind,
            name: format!("sessionbench_test_{}_{number}", std::process::id()),
            server,
            _process: process,
        };
        database
            .administer(&format!("CREATE DATABASE {}", database.name))
            .await;
        database
    }

    /// Its connection string; of a keyword that stands there twice the last counts.
    pub fn address(&self) -> String {
        format!("{};Database={}", self.server, self.name)
    }

    /// Runs a statement outside of it.
    pub async fn administer(&self, statement: &str) {
        let database = match self.kind {
            Kind::Postgres => "postgres",
            Kind::SqlServer => "master",
        };
        let text = format!("{};Database={database}", self.server);
        raw(&text).await.run_script(statement).await.unwrap();
    }

    /// A connection of our own.
    pub async fn raw(&self) -> Connection {
        raw(&self.address()).await
    }

    /// Installs tables and procedures, as if they were somebody's own.
    pub async fn install(&self, schema: &Schema) {
        let mut raw = self.raw().await;
        let script = schema.script(raw.dialect(), MINUTE).unwrap();
        raw.run_script(&script).await.unwrap();
    }

    /// Drops it, where a server outlives the test.
    pub async fn drop(self) {
        if self.kind == Kind::SqlServer {
            let name = &self.name;
            let mut master = raw(&format!("{};Database=master", self.server)).await;
            // Sends away who is still connected. A server of another make may not know how, and then
            // keeps what is in use.
            let alone = format!("ALTER DATABASE {name} SET SINGLE_USER WITH ROLLBACK IMMEDIATE");
            let alone = master.run_script(&alone).await;
            let dropped = master.run_script(&format!("DROP DATABASE {name}")).await;
            assert!(alone.is_err() || dropped.is_ok(), "{dropped:?}");
        }
    }
}

pub async fn raw(text: &str) -> Connection {
    let found: ConnectionString = text.parse().unwrap();
    Target::new(&found).unwrap().connect().await.unwrap()
}

/// The PostgreSQL of all tests that run right now. It goes when the last of them ends, since nobody
/// drops what is static.
#[allow(
    clippy::await_holding_lock,
    reason = "each test has a thread of its own"
)]
async fn shared_postgres() -> Arc<PostgresServer> {
    static SHARED: Mutex<Weak<PostgresServer>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(server) = shared.upgrade() {
        return server;
    }
    let fast = BTreeMap::from([("fsync".to_owned(), ConfigValue::Text("off".to_owned()))]);
    let server = Arc::new(PostgresServer::start(&fast).await.unwrap());
    *shared = Arc::downgrade(&server);
    server
}

/// A provider and a look behind it.
pub struct Bench {
    pub provider: Rc<dyn Provider>,
    pub database: Database,
    raw: tokio::sync::Mutex<Connection>,
}

impl Bench {
    pub async fn new(kind: Kind) -> Self {
        Self::with(kind, SqlSitecore::default()).await
    }

    pub async fn with(kind: Kind, settings: SqlSitecore) -> Self {
        Self::of(kind, |database| on(database, settings)).await
    }

    /// One of any SQL provider.
    pub async fn of(kind: Kind, settings: impl FnOnce(&Database) -> ProviderSettings) -> Self {
        let database = Database::new(kind).await;
        let provider = connect(&settings(&database), "").await.unwrap();
        let raw = tokio::sync::Mutex::new(database.raw().await);
        Self {
            provider,
            database,
            raw,
        }
    }

    pub async fn open(&self, seat: &Seat) -> Rc<dyn SessionStateStore> {
        self.provider.open(seat).await.unwrap()
    }

    /// Asks the database, in words that both know.
    pub async fn ask(&self, query: &str) -> Vec<Vec<Cell>> {
        self.raw.lock().await.query(query, &[]).await.unwrap()
    }

    /// Asks for one value.
    pub async fn ask_one(&self, query: &str) -> Cell {
        self.ask(query).await[0][0].clone()
    }

    /// Rows of a table.
    pub async fn count(&self, table: &str) -> i64 {
        let asked = format!("SELECT COUNT(*) FROM \"{table}\"");
        match self.ask_one(&asked).await {
            Cell::Int(count) => count,
            other => panic!("{other:?}"),
        }
    }

    /// Waits until a table has so many rows.
    pub async fn until_count(&self, table: &str, count: i64) {
        let deadline = sessionbench::clock::now() + std::time::Duration::from_secs(60);
        while self.count(table).await != count {
            assert!(sessionbench::clock::now() < deadline, "never {count} left");
            sessionbench::clock::sleep(std::time::Duration::from_millis(10)).await;
        }
    }

    /// Names of a table's columns, in small letters and in order of the alphabet.
    pub async fn columns(&self, table: &str) -> Vec<String> {
        let asked = format!(
            "SELECT column_name FROM information_schema.columns WHERE table_name = '{table}'"
        );
        let name = |row: Vec<Cell>| match &row[0] {
            Cell::Text(name) => name.to_lowercase(),
            other => panic!("{other:?}"),
        };
        let mut names: Vec<String> = self.ask(&asked).await.into_iter().map(name).collect();
        names.sort();
        names
    }

    /// Rows of Sitecore's session table.
    pub async fn sessions(&self) -> i64 {
        self.count("SessionState").await
    }

    /// Waits until so many of Sitecore's sessions are left.
    pub async fn until_left(&self, count: i64) {
        self.until_count("SessionState", count).await;
    }

    /// Changes what is stored.
    pub async fn change(&self, statement: &str) {
        self.raw.lock().await.run_script(statement).await.unwrap();
    }

    /// Lets a session's deadline pass, without waiting for it.
    pub async fn expire(&self, id: sessionbench::session::SessionId) {
        let statement =
            format!("UPDATE \"SessionState\" SET \"Expires\" = '2001-01-01' WHERE \"Id\" = '{id}'");
        self.change(&statement).await;
    }

    /// Removes everything.
    pub async fn end(self) {
        self.provider.close().await.unwrap();
        drop(self.raw);
        drop(self.provider);
        self.database.drop().await;
    }
}

/// Of many requests that take a session's lock at once, on two web servers, one gets it.
pub async fn assert_one_of_many_takes_the_lock(bench: Bench) {
    let servers = [bench.open(&seat(0)).await, bench.open(&seat(1)).await];
    for number in 0..50 {
        store_new(&servers[0], id(number), "hello").await;
        let taking = (0..8).map(|at| {
            let server = &servers[at % servers.len()];
            async move {
                let taken = server.get_item_exclusive(&request(), id(number)).await;
                taken.unwrap()
            }
        });
        let found = join_all(taking).await;
        let held = found.iter().filter(|it| matches!(it, GetItem::Found(_)));
        assert_eq!(held.count(), 1, "{found:?}");
    }
    drop(servers);
    bench.end().await;
}

/// What every SQL provider is told of a database.
pub fn sql_on(database: &Database) -> SqlSettings {
    SqlSettings {
        server: DatabaseServer::ConnectionString(database.address()),
        ..SqlSettings::default()
    }
}

/// Settings on an address.
pub fn at(address: String) -> ProviderSettings {
    ProviderSettings::SqlSitecore(SqlSitecore {
        sql: SqlSettings {
            server: DatabaseServer::ConnectionString(address),
            ..SqlSettings::default()
        },
        ..SqlSitecore::default()
    })
}

/// Settings on a database.
pub fn on(database: &Database, settings: SqlSitecore) -> ProviderSettings {
    ProviderSettings::SqlSitecore(SqlSitecore {
        sql: SqlSettings {
            schema: settings.sql.schema,
            ..sql_on(database)
        },
        ..settings
    })
}
