//! Commands to a MongoDB server: one pool of connections per web server, one limit for an
//! operation, everything counted.
//!
//! In: a command for a request. Out: the reply. Commands are sent as they are and never again:
//! the driver repeats only those that it builds itself, and the genuine driver of that time
//! repeated none. The surprising fact: the driver knows no unacknowledged writes. One is sent here
//! with `w: 0` and not waited for, so a request pays no round trip; but the server answers, which
//! it would not for the genuine driver.

use super::failure::store_error;
use super::settings::Target;
use crate::clock;
use crate::session::{RequestContext, StoreError};
use mongodb::bson::{Bson, Document, RawDocumentBuf};
use mongodb::options::ClientOptions;
use mongodb::{Client, Database};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::IntoFuture as _;
use std::rc::Rc;
use std::time::Duration;

/// Makes the pools of all web servers.
pub struct Pools {
    options: ClientOptions,
    limit: Duration,
    /// By web server.
    made: RefCell<BTreeMap<u32, Client>>,
    shut: Rc<Cell<bool>>,
}

impl Pools {
    /// Pools to a server; nothing is sent yet.
    ///
    /// # Errors
    /// The options contradict each other.
    pub async fn new(target: Target) -> Result<Self, StoreError> {
        let options = ClientOptions::parse(target.string)
            .await
            .map_err(|error| store_error(&error))?;
        Ok(Self {
            options,
            limit: target.limit,
            made: RefCell::default(),
            shut: Rc::default(),
        })
    }

    /// What the connection string says.
    #[must_use]
    pub const fn options(&self) -> &ClientOptions {
        &self.options
    }

    /// The hosts, without secrets.
    #[must_use]
    pub fn address(&self) -> String {
        let hosts: Vec<String> = self.options.hosts.iter().map(ToString::to_string).collect();
        hosts.join(",")
    }

    /// A connection on the pool of a web server, which both its stores share.
    ///
    /// # Errors
    /// The options contradict each other.
    pub fn of(&self, server: u32) -> Result<Connection, StoreError> {
        let mut made = self.made.borrow_mut();
        let client = match made.get(&server) {
            Some(client) => client.clone(),
            None => {
                let client = self.client()?;
                made.insert(server, client.clone());
                client
            }
        };
        Ok(Connection {
            client,
            limit: self.limit,
            shut: Rc::clone(&self.shut),
        })
    }

    /// A connection on a pool of its own that stays open when the others are shut.
    ///
    /// # Errors
    /// The options contradict each other.
    pub fn own(&self) -> Result<Connection, StoreError> {
        Ok(Connection {
            client: self.client()?,
            limit: self.limit,
            shut: Rc::default(),
        })
    }

    fn client(&self) -> Result<Client, StoreError> {
        Client::with_options(self.options.clone()).map_err(|error| store_error(&error))
    }

    /// Shuts the pools of the web servers for good: whatever is sent from then on fails at once.
    /// Requests that are still under way when a run is over would otherwise write behind the back
    /// of whoever cleans up.
    pub async fn shut(&self) {
        self.shut.set(true);
        let made = std::mem::take(&mut *self.made.borrow_mut());
        for client in made.into_values() {
            client.shutdown().immediate(true).await;
        }
    }
}

/// Sends commands on one pool.
#[derive(Clone)]
pub struct Connection {
    client: Client,
    limit: Duration,
    shut: Rc<Cell<bool>>,
}

impl Connection {
    /// A database on it.
    #[must_use]
    pub fn database(&self, name: &str) -> Database {
        self.client.database(name)
    }

    /// Sends a command and waits for the reply.
    ///
    /// # Errors
    /// The server does not answer in time, cannot be reached, or refuses, one write of the command
    /// included.
    pub async fn run(
        &self,
        request: &RequestContext,
        database: &Database,
        command: RawDocumentBuf,
    ) -> Result<Document, StoreError> {
        if self.shut.get() {
            return Err(StoreError::Connection("the provider is closed".to_owned()));
        }
        let sent = sent_length(&command, database);
        let sending = database.run_raw_command(command).into_future();
        let result = clock::timeout(self.limit, sending).await;
        let reply = match result {
            Ok(reply) => reply.map_err(|error| store_error(&error)),
            Err(_) => {
                request.timeouts.set(request.timeouts.get() + 1);
                Err(StoreError::Timeout { limit: self.limit })
            }
        };
        let received = reply.as_ref().map_or(0, |reply| HEADER + length(reply));
        request.count_round_trip(sent, received);
        refuse_failed_writes(reply?)
    }

    /// Sends a command and waits for nobody. What becomes of it is never known.
    pub fn send(&self, request: &RequestContext, database: &Database, command: RawDocumentBuf) {
        request.count_round_trip(sent_length(&command, database), 0);
        let connection = self.clone();
        let database = database.clone();
        clock::spawn_detached(async move {
            // By contract nobody hears of its failure.
            let _ = connection
                .run(&RequestContext::default(), &database, command)
                .await;
        });
    }
}

/// A command that was carried out may still have failed to write.
fn refuse_failed_writes(reply: Document) -> Result<Document, StoreError> {
    let failed = ["writeErrors", "writeConcernError"]
        .into_iter()
        .filter_map(|key| reply.get(key))
        .find_map(|failed| match failed {
            Bson::Array(failed) => failed.first()?.as_document(),
            failed => failed.as_document(),
        });
    match failed {
        None => Ok(reply),
        Some(failed) => Err(StoreError::Refused(
            failed
                .get_str("errmsg")
                .unwrap_or("a write failed")
                .to_owned(),
        )),
    }
}

/// Bytes of a message around its document: header, flags, and the kind of its only section.
const HEADER: usize = 16 + 4 + 1;
/// Bytes of the session that the driver adds to a command: `lsid: { id: UUID }`.
const SESSION: usize = 36;

/// Bytes of a command on the wire, with the name of its database and the driver's session.
fn sent_length(command: &RawDocumentBuf, database: &Database) -> usize {
    let name = element("$db") + 4 + database.name().len() + 1;
    HEADER + command.as_bytes().len() + name + SESSION
}

/// Bytes of an element's type and name.
fn element(name: &str) -> usize {
    1 + name.len() + 1
}

/// Bytes of a document, for the values that replies hold.
fn length(document: &Document) -> usize {
    let elements = document.iter();
    5 + elements
        .map(|(name, value)| element(name) + value_length(value))
        .sum::<usize>()
}

fn value_length(value: &Bson) -> usize {
    match value {
        Bson::Document(document) => length(document),
        Bson::Array(values) => {
            let elements = values.iter().enumerate();
            5 + elements
                .map(|(at, value)| element(&at.to_string()) + value_length(value))
                .sum::<usize>()
        }
        Bson::Binary(binary) => 5 + binary.bytes.len(),
        Bson::String(text) => 5 + text.len(),
        Bson::ObjectId(_) => 12,
        Bson::Int32(_) => 4,
        Bson::Boolean(_) => 1,
        Bson::Null => 0,
        // Numbers, dates and timestamps.
        _ => 8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mongodb::bson::spec::BinarySubtype;
    use mongodb::bson::{Binary, DateTime, doc, rawdoc};

    #[test]
    fn the_length_of_a_reply_is_that_of_its_bson() {
        let bytes = vec![7; 300];
        let subtype = BinarySubtype::Generic;
        let reply = doc! {
            "value": { "lc": "abc", "lt": DateTime::from_millis(1), "f": 0, "d": Binary { subtype, bytes } },
            "list": ["a", 1i64, null_value(), true, 1.5],
            "ok": 1.0,
        };
        assert_eq!(length(&reply), reply.to_vec().unwrap().len());
    }

    fn null_value() -> Bson {
        Bson::Null
    }

    #[test]
    fn a_command_is_counted_with_what_the_driver_adds() {
        let added = rawdoc! {
            "lsid": { "id": Binary { subtype: BinarySubtype::Uuid, bytes: vec![0; 16] } },
        };
        assert_eq!(SESSION, added.as_bytes().len() - 5);
    }

    #[test]
    fn a_write_that_failed_is_an_error_although_the_command_is_ok() {
        let reply = doc! { "ok": 1, "n": 0, "writeErrors": [{ "index": 0, "code": 11000, "errmsg": "duplicate" }] };
        assert_eq!(
            refuse_failed_writes(reply),
            Err(StoreError::Refused("duplicate".to_owned()))
        );
        assert!(refuse_failed_writes(doc! { "ok": 1, "n": 0 }).is_ok());
    }
}
