//! Sitecore's MongoDB provider on a real server, which `SESSIONBENCH_TEST_MONGODB` names by a
//! connection string; MongoDB is in no Debian. Each test has a database of its own.
#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

pub mod proxy;
#[path = "../store_support/mod.rs"]
mod store_support;

pub use store_support::*;

use mongodb::bson::{DateTime, Document, doc};
use mongodb::{Client, Database};
use sessionbench::clock::{now, sleep, utc};
use sessionbench::providers::mongo::settings::MongoSitecore;
use sessionbench::providers::{ConnectError, Provider, ProviderSettings, Seat, connect};
use sessionbench::session::{LockId, RequestContext, SessionStateStore};
use std::rc::Rc;
use std::time::Duration;

const VARIABLE: &str = "SESSIONBENCH_TEST_MONGODB";
/// The id of session 7 as it is stored.
pub const SESSION: &str = "aaaaaaaaaaaaaaaaaaaaaaah";

/// The server's connection string with this database in place of its own.
pub fn on_database(name: &str) -> String {
    let given = std::env::var(VARIABLE).unwrap_or_else(|_| panic!("{VARIABLE} is not set"));
    let rest = given.strip_prefix("mongodb://").unwrap();
    let (path, options) = rest.split_once('?').unwrap_or((rest, ""));
    let (hosts, database) = path.split_once('/').unwrap_or((path, ""));
    let mut options: Vec<_> = options.split('&').filter(|it| !it.is_empty()).collect();
    // Who logs in at the database of the string by default still must.
    let source = match database {
        "" => "authSource=admin".to_owned(),
        database => format!("authSource={database}"),
    };
    if hosts.contains('@') && !options.iter().any(|it| it.starts_with("authSource=")) {
        options.push(&source);
    }
    match options.join("&") {
        options if options.is_empty() => format!("mongodb://{hosts}/{name}"),
        options => format!("mongodb://{hosts}/{name}?{options}"),
    }
}

/// A connection string with one option more.
pub fn with_option(server: &str, option: &str) -> String {
    let joint = if server.contains('?') { '&' } else { '?' };
    format!("{server}{joint}{option}")
}

/// A connection string for somebody else.
pub fn as_user(server: &str, name: &str, password: &str) -> String {
    let (_, rest) = server.split_once("://").unwrap();
    let hosts = rest.split_once('@').map_or(rest, |(_, hosts)| hosts);
    format!("mongodb://{name}:{password}@{hosts}")
}

/// A connection string for nobody; its server must want users to log in.
pub fn without_user(server: &str) -> String {
    let (_, hosts) = server
        .split_once('@')
        .unwrap_or_else(|| panic!("{VARIABLE} names no user, so its server may want none"));
    // Words of a login without one are refused by the driver.
    let kept = |option: &&str| !option.starts_with("auth");
    let (path, options) = hosts.split_once('?').unwrap();
    let options: Vec<&str> = options.split('&').filter(kept).collect();
    format!("mongodb://{path}?{}", options.join("&"))
}

/// A user who may read everything and write nothing, on a server where users must log in.
pub struct Reader {
    /// The connection string, with a database that others make.
    pub server: String,
    name: String,
    client: Client,
}

impl Reader {
    pub async fn new(name: &str) -> Self {
        let server = on_database(&format!("sessionbench_test_reader_{name}"));
        assert!(
            server.contains('@'),
            "{VARIABLE} names no user, so its server keeps nobody from writing"
        );
        let name = format!("sessionbench_{name}");
        let password = "Only-for-tests-1";
        let reader = Self {
            server: as_user(&server, &name, password),
            name,
            client: Client::with_uri_str(&server).await.unwrap(),
        };
        // What a test left that failed.
        let _ = reader.administrate(doc! { "dropUser": &reader.name }).await;
        let roles = doc! { "role": "readAnyDatabase", "db": "admin" };
        let create = doc! { "createUser": &reader.name, "pwd": password, "roles": [roles] };
        reader.administrate(create).await.unwrap();
        reader
    }

    pub async fn remove(self) {
        self.administrate(doc! { "dropUser": &self.name })
            .await
            .unwrap();
    }

    async fn administrate(&self, command: Document) -> mongodb::error::Result<Document> {
        self.client.database("admin").run_command(command).await
    }
}

/// The provider on a database of its own, and a look behind it.
pub struct Bench {
    pub provider: Rc<dyn Provider>,
    pub client: Client,
    pub databases: Vec<String>,
}

impl Bench {
    pub async fn new(name: &str) -> Self {
        Self::with(name, |_| ()).await
    }

    pub async fn with(name: &str, change: impl Fn(&mut MongoSitecore)) -> Self {
        let name = format!("sessionbench_test_{name}");
        let mut settings = MongoSitecore::on(on_database(&name));
        settings.pollingInterval = 1;
        change(&mut settings);
        // Past whatever a test has put before the server.
        let client = Client::with_uri_str(on_database(&name)).await.unwrap();
        let databases = settings.databases(&name);
        // What a test left that failed.
        for database in &databases {
            client.database(database).drop().await.unwrap();
        }
        Self {
            provider: provider(settings).await.unwrap(),
            client,
            databases,
        }
    }

    pub async fn open(&self, seat: &Seat) -> Rc<dyn SessionStateStore> {
        self.provider.open(seat).await.unwrap()
    }

    pub fn database(&self) -> Database {
        self.client.database(&self.databases[0])
    }

    /// A session's document.
    pub async fn stored(&self) -> Option<Document> {
        let sessions = self.database().collection("sessions");
        sessions.find_one(doc! { "_id.s": SESSION }).await.unwrap()
    }

    pub async fn change(&self, set: Document) {
        let sessions = self.database().collection::<Document>("sessions");
        let done = sessions
            .update_one(doc! { "_id.s": SESSION }, doc! { "$set": set })
            .await;
        assert_eq!(done.unwrap().matched_count, 1);
    }

    /// How long the session still lives.
    pub async fn left(&self) -> Duration {
        let expires = *self.stored().await.unwrap().get_datetime("e").unwrap();
        expires.saturating_duration_since(instant(0))
    }

    pub async fn count(&self) -> u64 {
        let sessions = self.database().collection::<Document>("sessions");
        sessions.count_documents(doc! {}).await.unwrap()
    }

    /// Closes the provider; nothing may remain.
    pub async fn close(self) {
        self.provider.close().await.unwrap();
        for name in &self.databases {
            let database = self.client.database(name);
            let remaining = database.list_collection_names().await.unwrap();
            assert!(remaining.is_empty(), "{remaining:?}");
            database.drop().await.unwrap();
        }
    }
}

pub async fn provider(settings: MongoSitecore) -> Result<Rc<dyn Provider>, ConnectError> {
    connect(&ProviderSettings::MongoSitecore(settings), "").await
}

/// So many milliseconds from now by the calendar.
pub fn instant(milliseconds: i64) -> DateTime {
    let now = utc().since_epoch().as_millis() as i64;
    DateTime::from_millis(now + milliseconds)
}

pub fn minutes(count: u64) -> std::ops::RangeInclusive<Duration> {
    // A loaded machine is late; nobody is early.
    Duration::from_secs(count * 60 - 50)..=Duration::from_secs(count * 60)
}

pub async fn poll(bench: &Bench, seat: &Seat) -> (Rc<dyn SessionStateStore>, Rc<Ends>) {
    let store = bench.open(seat).await;
    let ends = Rc::new(Ends::default());
    assert!(store.set_item_expire_callback(Rc::clone(&ends) as Rc<_>));
    (store, ends)
}

/// Waits until something is so that has to be asked of the server.
pub async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = now() + Duration::from_secs(30);
    while !condition().await {
        assert!(now() < deadline, "never happened: {what}");
        sleep(Duration::from_millis(10)).await;
    }
}

pub async fn set(
    store: &Rc<dyn SessionStateStore>,
    request: &RequestContext,
    lock: Option<&LockId>,
) {
    let written = item("written");
    store
        .set_and_release_item_exclusive(request, id(7), &written, lock, false)
        .await
        .unwrap();
}
