//! What a MongoDB server says of itself to somebody who plans to keep sessions in it.
//!
//! In: a provider's settings. Out: plain data: round trips and clock, indexes, write concern,
//! connections, and what the user may do. Nothing is made, not even the index that a run makes. The
//! surprising fact: the write concern that counts is the server's default, whatever the connection
//! string says, since the provider's writes are acknowledged by the server's own rule.

use super::admin::{Admin, batch, number};
use super::check;
use super::connection::Pools;
use super::document::COLLECTION;
use super::settings::{self, MongoSitecore};
use crate::providers::pulse::Pulse;
use crate::providers::{ConnectError, ServerInfo};
use crate::session::StoreError;
use mongodb::bson::{Bson, Document, rawdoc};
use mongodb::options::Acknowledgment;
use std::collections::BTreeSet;

/// Actions of `readWrite` that the provider needs on its collection.
const ACTIONS: [&str; 5] = ["createIndex", "find", "insert", "remove", "update"];

/// What a server says.
#[derive(Debug, Clone, PartialEq)]
pub struct Survey {
    /// What it is.
    pub server: ServerInfo,
    /// How quickly it answers, and its clock.
    pub pulse: Pulse,
    /// Whether it takes writes.
    pub writable: bool,
    /// The collection in each database.
    pub collections: Vec<Collection>,
    /// The server's default write concern, which counts, as `w`; `None` where it is not told.
    pub write_concern: Option<String>,
    /// The connection string's, which does not.
    pub write_concern_ignored: Option<String>,
    /// Connections in use and those that are left, where the server tells.
    pub connections: Option<(u64, u64)>,
    /// Connections that one CD server may have.
    pub max_pool_size: u32,
    /// What the user may do.
    pub rights: Rights,
}

/// The collection of sessions in one database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collection {
    /// The database.
    pub database: String,
    /// Its state.
    pub state: CollectionState,
}

/// Whether a collection is there, with its index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CollectionState {
    /// It is not there.
    Missing,
    /// It lacks the index that begins with the deadline.
    NotIndexed,
    /// It has the index.
    Indexed,
    /// The server does not tell.
    Untold,
}

/// What the user may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rights {
    /// The server does not tell.
    Untold,
    /// Nobody is logged in, and nobody needs to be.
    Open,
    /// The collection may not even be read.
    Denied,
    /// Nobody is logged in, and the collection may not be read.
    LoginNeeded,
    /// These actions on the collection are missing.
    Missing(Vec<String>),
}

/// Reaches the server of a provider.
///
/// # Errors
/// See [`ConnectError`].
pub async fn survey(settings: &MongoSitecore) -> Result<Survey, ConnectError> {
    check(settings)?;
    let target = settings::read(&settings.server)
        .map_err(|bad| ConnectError::Settings(format!("{bad}: {}", bad.help)))?;
    let databases = settings.databases(&target.database);
    let pools = Pools::new(target).await?;
    let admin = Admin::observer(pools.own()?, &databases, Vec::new());
    let Some(first) = admin.databases().first() else {
        return Err(ConnectError::Settings("no database is named".to_owned()));
    };
    let server = admin.server(pools.address()).await?;
    let hello = async || admin.ask(first, rawdoc! { "hello": 1 }).await;
    let ping = async || admin.ask(first, rawdoc! { "ping": 1 }).await.map(drop);
    let time = async || hello().await.map(|told| local_time(&told));
    let pulse = Pulse::take(ping).await?.with_clock(time).await?;
    let writable = hello().await?.get_bool("isWritablePrimary").unwrap_or(true);
    let mut collections = Vec::new();
    for database in admin.databases() {
        collections.push(Collection {
            database: database.name().to_owned(),
            state: state(&admin, database).await?,
        });
    }
    let options = pools.options();
    let named = options.write_concern.as_ref().and_then(|it| it.w.as_ref());
    let status = admin.status(first).await?;
    let connections = status.as_ref().and_then(|status| {
        let counts = status.get_document("connections").ok()?;
        number(counts, "current").zip(number(counts, "available"))
    });
    Ok(Survey {
        server,
        pulse,
        writable,
        collections,
        write_concern: default_write_concern(&admin).await?,
        write_concern_ignored: named.map(in_words),
        connections,
        max_pool_size: options.max_pool_size.unwrap_or(0),
        rights: rights(&admin, first, options.credential.is_some()).await?,
    })
}

/// The server's time in seconds since the start of 1970: a date from MongoDB, a plain number of
/// milliseconds from others that speak its protocol.
fn local_time(hello: &Document) -> Option<f64> {
    let milliseconds = match hello.get("localTime")? {
        Bson::DateTime(time) => time.timestamp_millis(),
        Bson::Int64(milliseconds) => *milliseconds,
        _ => return None,
    };
    Some(milliseconds as f64 / 1e3)
}

async fn state(admin: &Admin, database: &mongodb::Database) -> Result<CollectionState, StoreError> {
    let list = rawdoc! {
        "listCollections": 1,
        "filter": { "name": COLLECTION },
        "nameOnly": true,
        "authorizedCollections": true,
    };
    let Some(listed) = admin.ask_if_allowed(database, list).await? else {
        return Ok(CollectionState::Untold);
    };
    if batch(&listed).is_empty() {
        return Ok(CollectionState::Missing);
    }
    let list = rawdoc! { "listIndexes": COLLECTION };
    let Some(listed) = admin.ask_if_allowed(database, list).await? else {
        return Ok(CollectionState::Untold);
    };
    Ok(match batch(&listed).into_iter().any(serves_polls) {
        true => CollectionState::Indexed,
        false => CollectionState::NotIndexed,
    })
}

/// Whether an index begins with the deadline, by which pollers look (facts §9.3).
fn serves_polls(index: &Document) -> bool {
    let key = index.get_document("key");
    key.is_ok_and(|key| key.keys().next().is_some_and(|first| first == "e"))
}

fn in_words(acknowledgment: &Acknowledgment) -> String {
    match acknowledgment {
        Acknowledgment::Nodes(nodes) => nodes.to_string(),
        Acknowledgment::Majority => "majority".to_owned(),
        Acknowledgment::Custom(name) => name.clone(),
        _ => "unknown".to_owned(),
    }
}

/// What a server of its own accord waits for before it acknowledges a write.
async fn default_write_concern(admin: &Admin) -> Result<Option<String>, StoreError> {
    let asked = rawdoc! { "getDefaultRWConcern": 1 };
    let told = admin
        .ask_if_allowed(&admin.database("admin"), asked)
        .await?;
    Ok(told.as_ref().and_then(default_in_words))
}

fn default_in_words(told: &Document) -> Option<String> {
    let concern = told.get_document("defaultWriteConcern").ok()?;
    match concern.get("w")? {
        Bson::String(name) => Some(name.clone()),
        Bson::Int32(nodes) => Some(nodes.to_string()),
        Bson::Int64(nodes) => Some(nodes.to_string()),
        _ => None,
    }
}

async fn rights(
    admin: &Admin,
    database: &mongodb::Database,
    logged_in: bool,
) -> Result<Rights, StoreError> {
    let look = rawdoc! { "find": COLLECTION, "filter": { "_id": null }, "limit": 1 };
    if admin.ask_if_allowed(database, look).await?.is_none() {
        return Ok(match logged_in {
            true => Rights::Denied,
            false => Rights::LoginNeeded,
        });
    }
    let asked = rawdoc! { "connectionStatus": 1, "showPrivileges": true };
    let Some(status) = admin.ask_if_allowed(database, asked).await? else {
        return Ok(Rights::Untold);
    };
    Ok(granted(&status, database.name(), logged_in))
}

fn granted(status: &Document, database: &str, logged_in: bool) -> Rights {
    let Ok(told) = status.get_document("authInfo") else {
        return Rights::Untold;
    };
    let list = |name| told.get_array(name).map(Vec::as_slice).unwrap_or_default();
    if list("authenticatedUsers").is_empty() {
        // A server that only speaks MongoDB's protocol may not know whom it let in.
        return match logged_in {
            true => Rights::Untold,
            false => Rights::Open,
        };
    }
    let mut actions = BTreeSet::new();
    for privilege in list("authenticatedUserPrivileges") {
        let Some(privilege) = privilege.as_document() else {
            continue;
        };
        let covers = |name: &str, ours: &str| {
            let resource = privilege.get_document("resource");
            let named = resource.and_then(|resource| resource.get_str(name));
            named.is_ok_and(|named| named.is_empty() || named == ours)
        };
        let anything = privilege.get_document("resource");
        let anything = anything.is_ok_and(|it| it.get_bool("anyResource").unwrap_or(false));
        if anything || (covers("db", database) && covers("collection", COLLECTION)) {
            let granted = privilege.get_array("actions").map(Vec::as_slice);
            actions.extend(granted.unwrap_or_default().iter().filter_map(Bson::as_str));
        }
    }
    let missing = ACTIONS.iter().filter(|action| !actions.contains(*action));
    Rights::Missing(missing.map(|action| (*action).to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use mongodb::bson::doc;

    #[test]
    fn an_index_that_begins_with_the_deadline_serves_polls() {
        assert!(serves_polls(
            &doc! { "key": { "e": 1, "_id.s": 1, "_id.a": 1 } }
        ));
        assert!(!serves_polls(&doc! { "key": { "_id": 1 } }));
    }

    #[test]
    fn rights_are_those_on_our_collection() {
        let with = |database: &str, actions: &[&str]| {
            let actions: Vec<Bson> = actions.iter().map(|it| Bson::from(*it)).collect();
            let status = doc! { "authInfo": {
                "authenticatedUsers": [{ "user": "site", "db": "admin" }],
                "authenticatedUserPrivileges": [
                    { "resource": { "db": database, "collection": "" }, "actions": actions },
                    { "resource": { "cluster": true }, "actions": ["insert"] },
                ],
            } };
            granted(&status, "sessions", true)
        };
        assert_eq!(with("sessions", &ACTIONS), Rights::Missing(Vec::new()));
        assert_eq!(with("", &ACTIONS), Rights::Missing(Vec::new()));
        let all: Vec<String> = ACTIONS.iter().map(ToString::to_string).collect();
        assert_eq!(with("other", &ACTIONS), Rights::Missing(all));
        let reader = with("sessions", &["find", "createIndex"]);
        let missing = ["insert", "remove", "update"].map(str::to_owned);
        assert_eq!(reader, Rights::Missing(missing.to_vec()));
    }

    #[test]
    fn who_need_not_log_in_may_do_everything() {
        let nobody = doc! { "authInfo": {
            "authenticatedUsers": [], "authenticatedUserPrivileges": [],
        } };
        assert_eq!(granted(&nobody, "sessions", false), Rights::Open);
        assert_eq!(granted(&nobody, "sessions", true), Rights::Untold);
        assert_eq!(granted(&doc! {}, "sessions", false), Rights::Untold);
    }

    #[test]
    fn the_time_of_a_server_is_a_date_or_a_number_of_milliseconds() {
        let date = mongodb::bson::DateTime::from_millis(1_500);
        assert_eq!(local_time(&doc! { "localTime": date }), Some(1.5));
        assert_eq!(local_time(&doc! { "localTime": 1_500i64 }), Some(1.5));
        assert_eq!(local_time(&doc! {}), None);
    }
}
