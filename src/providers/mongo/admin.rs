//! What is asked of a MongoDB server beside the sessions: who it is, what it uses, what was there
//! before us, and that nothing of ours remains.
//!
//! In: databases and the names of our applications. Out: samples and clean-up, on a pool of its own,
//! so that those of the traffic stay as they are. The surprising fact: what a user may not ask is
//! told as an error like any other, and so is what a server that only speaks MongoDB's protocol does
//! not know; both are answers here, namely that there is none.

use super::connection::Connection;
use super::document::{self, COLLECTION, INDEX};
use super::made::{Made, Use};
use crate::providers::{ServerInfo, StoreSample};
use crate::session::{RequestContext, StoreError};
use mongodb::Database;
use mongodb::bson::{Bson, Document, RawDocumentBuf, rawdoc};
use std::cell::RefCell;
use std::collections::BTreeMap;

/// Deletions to clean up; two are enough where nobody else uses our names.
const CLEANUP_WALKS: usize = 5;

/// The administrator's connection.
pub struct Admin {
    connection: Connection,
    databases: Vec<Database>,
    /// The applications of both kinds.
    applications: Vec<String>,
    /// The use of each database, until all was taken away.
    uses: RefCell<Vec<Use>>,
}

impl Admin {
    /// An administrator of these applications' sessions; makes sure of the collection and its index,
    /// as the genuine provider does when a web server starts.
    ///
    /// # Errors
    /// The server cannot be asked, or refuses.
    pub async fn new(
        connection: Connection,
        address: &str,
        databases: &[String],
        applications: Vec<String>,
    ) -> Result<Self, StoreError> {
        let admin = Self::observer(connection, databases, applications);
        for database in &admin.databases {
            let using = admin.prepare(address, database).await?;
            admin.uses.borrow_mut().push(using);
        }
        Ok(admin)
    }

    /// One that only looks: nothing is made, and nothing is there to take away again.
    #[must_use]
    pub fn observer(
        connection: Connection,
        databases: &[String],
        applications: Vec<String>,
    ) -> Self {
        let databases = databases.iter().map(|name| connection.database(name));
        Self {
            databases: databases.collect(),
            connection,
            applications,
            uses: RefCell::default(),
        }
    }

    /// The databases.
    #[must_use]
    pub fn databases(&self) -> &[Database] {
        &self.databases
    }

    /// Another database of the server.
    #[must_use]
    pub fn database(&self, name: &str) -> Database {
        self.connection.database(name)
    }

    /// Asks a database.
    ///
    /// # Errors
    /// The server cannot be asked, or refuses.
    pub async fn ask(
        &self,
        database: &Database,
        command: RawDocumentBuf,
    ) -> Result<Document, StoreError> {
        let request = RequestContext::default();
        self.connection.run(&request, database, command).await
    }

    /// The answer to what not every user may ask and not every server knows.
    ///
    /// # Errors
    /// The server cannot be asked.
    pub async fn ask_if_allowed(
        &self,
        database: &Database,
        command: RawDocumentBuf,
    ) -> Result<Option<Document>, StoreError> {
        match self.ask(database, command).await {
            Ok(reply) => Ok(Some(reply)),
            Err(StoreError::Refused(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn prepare(&self, address: &str, database: &Database) -> Result<Use, StoreError> {
        let made = match self.indexes(database).await? {
            None => Made::Collection,
            Some(names) if !names.iter().any(|name| name == INDEX) => Made::Index,
            Some(_) => Made::Nothing,
        };
        // Before it is made, so that whoever then finds it there comes second.
        let using = Use::begin(address, database.name(), made);
        self.ask(database, document::ensure_index()).await?;
        Ok(using)
    }

    /// Names of the indexes of the collection; `None` where there is no collection.
    async fn indexes(&self, database: &Database) -> Result<Option<Vec<String>>, StoreError> {
        let list = rawdoc! {
            "listCollections": 1,
            "filter": { "name": COLLECTION },
            "nameOnly": true,
        };
        if batch(&self.ask(database, list).await?).is_empty() {
            return Ok(None);
        }
        let list = rawdoc! { "listIndexes": COLLECTION };
        let reply = self.ask(database, list).await?;
        let names = batch(&reply)
            .into_iter()
            .filter_map(|index| Some(index.get_str("name").ok()?.to_owned()));
        Ok(Some(names.collect()))
    }

    /// What the server at this address is, and what decides how it treats sessions.
    ///
    /// # Errors
    /// The server cannot be asked.
    pub async fn server(&self, address: String) -> Result<ServerInfo, StoreError> {
        let Some(database) = self.databases.first() else {
            return Ok(<_>::default());
        };
        let build = self.ask(database, rawdoc! { "buildInfo": 1 }).await?;
        let hello = self.ask(database, rawdoc! { "hello": 1 }).await?;
        let mut settings = BTreeMap::new();
        let deployment = match (hello.get_str("setName"), hello.get_str("msg")) {
            (Ok(name), _) => format!("replica set {name}"),
            // What a router of a sharded cluster calls itself.
            (_, Ok("isdbgrid")) => "sharded".to_owned(),
            _ => "standalone".to_owned(),
        };
        settings.insert("deployment".to_owned(), deployment);
        let status = self.status(database).await?;
        if let Some(engine) = status.as_ref().and_then(|it| it.get("storageEngine")) {
            let engine = engine.as_document().and_then(|it| it.get_str("name").ok());
            settings.extend(engine.map(|name| ("storageEngine".to_owned(), name.to_owned())));
        }
        Ok(ServerInfo {
            product: product(&build).to_owned(),
            version: build.get_str("version").unwrap_or_default().to_owned(),
            managed: false,
            address,
            settings,
        })
    }

    /// What `serverStatus` tells, if it does.
    ///
    /// # Errors
    /// The server cannot be asked.
    pub async fn status(&self, database: &Database) -> Result<Option<Document>, StoreError> {
        self.ask_if_allowed(database, rawdoc! { "serverStatus": 1 })
            .await
    }

    /// What the server uses right now.
    ///
    /// # Errors
    /// The server cannot be asked.
    pub async fn sample(&self) -> Result<StoreSample, StoreError> {
        let mut sample = StoreSample::default();
        let Some(first) = self.databases.first() else {
            return Ok(sample);
        };
        if let Some(status) = self.status(first).await? {
            sample = from_status(&status);
        }
        let mut sizes = Some((0, 0));
        for database in &self.databases {
            let asked = rawdoc! { "collStats": COLLECTION };
            let stats = self.ask_if_allowed(database, asked).await?;
            sizes = sizes.zip(stats.as_ref().and_then(size)).map(
                |((documents, bytes), (more_documents, more_bytes))| {
                    (documents + more_documents, bytes + more_bytes)
                },
            );
        }
        sample.keys = sizes.map(|(documents, _)| documents);
        sample.bytes_per_session =
            sizes.and_then(|(documents, bytes)| bytes.checked_div(documents));
        Ok(sample)
    }

    /// Deletes every session of ours, and what we made to hold them. A command that was on its way
    /// when the pools were shut may write once more, so this is repeated until nothing is found.
    ///
    /// # Errors
    /// The server cannot be asked; or sessions of ours appear as fast as they are deleted.
    pub async fn clean_up(&self) -> Result<(), StoreError> {
        let mut found = 0;
        for _ in 0..CLEANUP_WALKS {
            found = self.delete_own_sessions().await?;
            if found == 0 {
                return self.unmake().await;
            }
        }
        Err(StoreError::Refused(format!(
            "sessions of ours keep appearing, {found} in the last walk: does another run use this \
             `sessionType`?"
        )))
    }

    async fn delete_own_sessions(&self) -> Result<u64, StoreError> {
        let mut deleted = 0;
        for database in &self.databases {
            for application in &self.applications {
                let reply = self
                    .ask(database, document::remove_all(application))
                    .await?;
                deleted += number(&reply, "n").unwrap_or(0);
            }
        }
        Ok(deleted)
    }

    /// Takes away what we made, unless another provider of this process still needs it. A collection
    /// in which others have stored something by now stays.
    async fn unmake(&self) -> Result<(), StoreError> {
        let uses = self.uses.take();
        for (database, using) in self.databases.iter().zip(uses) {
            let command = match using.end() {
                Made::Nothing => continue,
                Made::Index => rawdoc! { "dropIndexes": COLLECTION, "index": INDEX },
                Made::Collection => {
                    let any = rawdoc! { "find": COLLECTION, "limit": 1, "singleBatch": true };
                    if !batch(&self.ask(database, any).await?).is_empty() {
                        continue;
                    }
                    rawdoc! { "drop": COLLECTION }
                }
            };
            self.ask(database, command).await?;
        }
        Ok(())
    }
}

/// The documents of a cursor's first batch; what we ask for never has a second.
#[must_use]
pub fn batch(reply: &Document) -> Vec<&Document> {
    let batch = reply
        .get_document("cursor")
        .and_then(|cursor| cursor.get_array("firstBatch"));
    let documents = batch.into_iter().flatten();
    documents.filter_map(Bson::as_document).collect()
}

/// MongoDB tells which source it was built from; who only speaks its protocol tells the version of
/// MongoDB that it stands in for.
fn product(build: &Document) -> &'static str {
    match build.contains_key("gitVersion") {
        true => "MongoDB",
        false => "compatible with MongoDB",
    }
}

/// What `serverStatus` tells.
fn from_status(status: &Document) -> StoreSample {
    let part = |name| status.get_document(name).ok();
    let of = |name, field| number(part(name)?, field);
    let opcounters = part("opcounters");
    let microseconds = of("extra_info", "user_time_us").zip(of("extra_info", "system_time_us"));
    StoreSample {
        // `resident` counts MiB.
        memory_bytes: of("mem", "resident").map(|mebibytes| mebibytes << 20),
        cpu_seconds: microseconds.map(|(user, system)| (user + system) as f64 / 1e6),
        commands: opcounters.map(|counters| {
            let names = counters.keys();
            names.filter_map(|name| number(counters, name)).sum()
        }),
        bytes_in: of("network", "bytesIn"),
        bytes_out: of("network", "bytesOut"),
        clients: of("connections", "current"),
        ..StoreSample::default()
    }
}

/// Documents of a collection, and their bytes. Those of the indexes come in whole pages, which say
/// nothing of a session while there are few.
fn size(stats: &Document) -> Option<(u64, u64)> {
    number(stats, "count").zip(number(stats, "size"))
}

/// A number of whatever type the server chose.
#[must_use]
pub fn number(document: &Document, name: &str) -> Option<u64> {
    match document.get(name)? {
        Bson::Int32(number) => u64::try_from(*number).ok(),
        Bson::Int64(number) => u64::try_from(*number).ok(),
        Bson::Double(number) => Some(*number as u64),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mongodb::bson::doc;

    #[test]
    fn a_server_that_was_built_from_no_source_of_mongodb_is_not_called_so() {
        let build = doc! { "version": "7.0.0", "gitVersion": "61f5" };
        assert_eq!(product(&build), "MongoDB");
        assert_eq!(
            product(&doc! { "version": "7.0.0" }),
            "compatible with MongoDB"
        );
    }

    #[test]
    fn a_status_tells_memory_processor_traffic_and_clients() {
        let sample = from_status(&doc! {
            "mem": { "resident": 3 },
            "extra_info": { "user_time_us": 1_500_000i64, "system_time_us": 500_000i64 },
            "opcounters": { "query": 2i64, "command": 5i64, "deprecated": { "total": 9 } },
            "network": { "bytesIn": 10i64, "bytesOut": 20.0 },
            "connections": { "current": 4 },
        });
        assert_eq!(sample.memory_bytes, Some(3 << 20));
        assert_eq!(sample.cpu_seconds, Some(2.0));
        assert_eq!(sample.commands, Some(7));
        assert_eq!((sample.bytes_in, sample.bytes_out), (Some(10), Some(20)));
        assert_eq!(sample.clients, Some(4));
    }

    #[test]
    fn what_a_status_does_not_tell_is_unknown() {
        assert_eq!(from_status(&doc! {}), StoreSample::default());
    }

    #[test]
    fn the_size_of_sessions_is_that_of_their_documents() {
        let stats = doc! { "count": 4, "size": 400i64, "totalIndexSize": 40 };
        assert_eq!(size(&stats), Some((4, 400)));
        assert_eq!(size(&doc! { "count": 4 }), None);
    }
}
