//! A session as a document, and the commands on it (facts §9.3).
//!
//! ```text
//! { _id: { s: session id, a: application }, t: minutes, e: expiration,
//!   lc: lock cookie, lt: lock timestamp, f: flags, d: data }
//! ```
//!
//! In: a session and what is to become of it. Out: commands as BSON, field by field in the genuine
//! order; and from replies back to what a store answers. The surprising facts: a session that was
//! never locked has a lock timestamp, that of its insertion; an insert replaces whatever is there,
//! a locked session too; and no filter looks at the expiration, so that an expired session lives on
//! when a request comes before the poller.

use crate::session::item::DecodeError;
use crate::session::{Actions, Item, SessionId};
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, DateTime, Document, RawDocumentBuf, rawdoc};

/// The collection of sessions, in each database.
pub const COLLECTION: &str = "sessions";
/// The index of deadlines, under the name that the .NET driver gave it.
pub const INDEX: &str = "e_1__id.s_1__id.a_1";
/// Expired sessions that a poller looks at in one go.
pub const CANDIDATES: i32 = 16;

/// What stands in `lc` when nobody holds the lock.
const UNLOCKED: &str = "";

/// A lock to be taken: who takes it, and when.
#[derive(Debug, Clone, Copy)]
pub struct Lock<'a> {
    /// 32 hexadecimal digits.
    pub cookie: &'a str,
    /// The taker's clock.
    pub taken: DateTime,
}

/// One session of one application.
#[derive(Debug, Clone)]
pub struct Key(RawDocumentBuf);

impl Key {
    /// The key of a session.
    #[must_use]
    pub fn new(session: &str, application: &str) -> Self {
        Self(rawdoc! { "s": session, "a": application })
    }

    fn filter(&self) -> RawDocumentBuf {
        rawdoc! { "_id": self.0.clone() }
    }

    fn locked_by(&self, cookie: &str) -> RawDocumentBuf {
        rawdoc! { "_id": self.0.clone(), "lc": cookie }
    }

    /// Stores a session without a lock, in place of whatever is there.
    #[must_use]
    pub fn insert(
        &self,
        data: Data,
        now: DateTime,
        expires: DateTime,
        actions: Actions,
    ) -> RawDocumentBuf {
        let document = rawdoc! {
            "_id": self.0.clone(),
            "t": data.minutes,
            "e": expires,
            "lc": UNLOCKED,
            "lt": now,
            "f": flags(actions),
            "d": data.binary,
        };
        update(rawdoc! { "q": self.filter(), "u": document, "upsert": true })
    }

    /// Takes the lock if nobody holds it, and moves the expiration.
    #[must_use]
    pub fn lock(&self, lock: Lock<'_>, expires: DateTime) -> RawDocumentBuf {
        find_and_modify(
            self.locked_by(UNLOCKED),
            rawdoc! { "e": expires, "lc": lock.cookie, "lt": lock.taken },
        )
    }

    /// Reads a session, locked or not, and moves the expiration.
    #[must_use]
    pub fn read(&self, expires: DateTime) -> RawDocumentBuf {
        rawdoc! {
            "findAndModify": COLLECTION,
            "query": self.filter(),
            "update": { "$set": { "e": expires } },
            "fields": { "lc": 1, "lt": 1, "f": 1, "d": 1 },
            "new": true,
        }
    }

    /// Asks who holds the lock.
    #[must_use]
    pub fn holder(&self) -> RawDocumentBuf {
        find_one(self.filter(), rawdoc! { "lc": 1, "lt": 1, "f": 1 })
    }

    /// Asks for the timeout.
    #[must_use]
    pub fn timeout(&self) -> RawDocumentBuf {
        find_one(self.filter(), rawdoc! { "t": 1 })
    }

    /// Moves the expiration, whoever holds the lock, and waits for nobody.
    #[must_use]
    pub fn expire_at(&self, expires: DateTime) -> RawDocumentBuf {
        rawdoc! {
            "update": COLLECTION,
            "updates": [{ "q": self.filter(), "u": { "$set": { "e": expires } } }],
            "ordered": true,
            "writeConcern": { "w": 0 },
        }
    }

    /// Writes a session and releases its lock, if this cookie holds it.
    #[must_use]
    pub fn set_and_release(&self, cookie: &str, data: Data, expires: DateTime) -> RawDocumentBuf {
        let set = rawdoc! {
            "e": expires,
            "f": flags(Actions::None),
            "lc": UNLOCKED,
            "t": data.minutes,
            "d": data.binary,
        };
        update(rawdoc! { "q": self.locked_by(cookie), "u": { "$set": set } })
    }

    /// Releases the lock, if this cookie holds it; the expiration stays.
    #[must_use]
    pub fn release(&self, cookie: &str) -> RawDocumentBuf {
        update(rawdoc! { "q": self.locked_by(cookie), "u": { "$set": { "lc": UNLOCKED } } })
    }

    /// Deletes a session, if this cookie holds its lock.
    #[must_use]
    pub fn remove(&self, cookie: &str) -> RawDocumentBuf {
        rawdoc! {
            "delete": COLLECTION,
            "deletes": [{ "q": self.locked_by(cookie), "limit": 1 }],
            "ordered": true,
        }
    }

    /// Claims an expired session if its expiration is still what it was: whoever holds its lock
    /// loses it.
    #[must_use]
    pub fn claim(&self, seen: DateTime, lock: Lock<'_>, expires: DateTime) -> RawDocumentBuf {
        find_and_modify(
            rawdoc! { "_id": self.0.clone(), "e": seen },
            rawdoc! { "e": expires, "lc": lock.cookie, "lt": lock.taken },
        )
    }
}

/// Asks for the sessions of an application that expired longest ago.
#[must_use]
pub fn candidates(application: &str, signal: DateTime) -> RawDocumentBuf {
    rawdoc! {
        "find": COLLECTION,
        "filter": { "_id.a": application, "e": { "$lt": signal } },
        "sort": { "e": 1 },
        "projection": { "_id.s": 1, "e": 1 },
        "limit": CANDIDATES,
    }
}

/// Makes sure of the index of deadlines, and with it of the collection.
#[must_use]
pub fn ensure_index() -> RawDocumentBuf {
    rawdoc! {
        "createIndexes": COLLECTION,
        "indexes": [{ "key": { "e": 1, "_id.s": 1, "_id.a": 1 }, "name": INDEX }],
    }
}

/// Deletes every session of an application.
#[must_use]
pub fn remove_all(application: &str) -> RawDocumentBuf {
    rawdoc! {
        "delete": COLLECTION,
        "deletes": [{ "q": { "_id.a": application }, "limit": 0 }],
    }
}

fn find_and_modify(query: RawDocumentBuf, set: RawDocumentBuf) -> RawDocumentBuf {
    rawdoc! {
        "findAndModify": COLLECTION,
        "query": query,
        "update": { "$set": set },
        "new": true,
    }
}

fn find_one(filter: RawDocumentBuf, projection: RawDocumentBuf) -> RawDocumentBuf {
    rawdoc! {
        "find": COLLECTION,
        "filter": filter,
        "projection": projection,
        "limit": 1,
        "singleBatch": true,
    }
}

/// A write whose acknowledgement is left to the server's default: .NET's `WriteConcern.Acknowledged`
/// names no `w`.
fn update(statement: RawDocumentBuf) -> RawDocumentBuf {
    rawdoc! {
        "update": COLLECTION,
        "updates": [statement],
        "ordered": true,
    }
}

/// `SessionStateActions` as .NET numbers them.
fn flags(actions: Actions) -> i32 {
    match actions {
        Actions::None => 0,
        Actions::InitializeItem => 1,
    }
}

/// A session's data as it is stored.
#[derive(Debug, Clone)]
pub struct Data {
    minutes: i32,
    binary: Binary,
}

impl Data {
    /// The whole frame of a session (facts §4.1), deflated or not.
    #[must_use]
    pub fn of(item: &Item, compressed: bool) -> Self {
        Self {
            minutes: i32::try_from(item.timeout().0).unwrap_or(i32::MAX),
            binary: Binary {
                subtype: BinarySubtype::Generic,
                bytes: match compressed {
                    true => item.encode_compressed(),
                    false => item.encode(),
                },
            },
        }
    }
}

/// A session as it was found.
#[derive(Debug, Clone)]
pub struct Stored(pub Document);

impl Stored {
    /// The document that a `findAndModify` met, if any.
    #[must_use]
    pub fn modified(mut reply: Document) -> Option<Self> {
        match reply.remove("value") {
            Some(mongodb::bson::Bson::Document(document)) => Some(Self(document)),
            _ => None,
        }
    }

    /// The documents that a `find` met.
    #[must_use]
    pub fn found(reply: &Document) -> Vec<Self> {
        let batch = reply
            .get_document("cursor")
            .and_then(|cursor| cursor.get_array("firstBatch"));
        let documents = batch.into_iter().flatten();
        let documents = documents.filter_map(|document| document.as_document());
        documents.cloned().map(Self).collect()
    }

    /// The session's id in its key.
    #[must_use]
    pub fn session(&self) -> Option<SessionId> {
        let key = self.0.get_document("_id").ok()?;
        SessionId::parse(key.get_str("s").ok()?)
    }

    /// Who holds the lock and since when; `None` when nobody does.
    #[must_use]
    pub fn holder(&self) -> Option<(&str, DateTime)> {
        let cookie = self.0.get_str("lc").ok()?;
        let taken = self.0.get_datetime("lt").ok()?;
        (cookie != UNLOCKED).then_some((cookie, *taken))
    }

    /// When the session expires.
    #[must_use]
    pub fn expires(&self) -> Option<DateTime> {
        self.0.get_datetime("e").ok().copied()
    }

    /// The timeout in minutes, beside the data.
    #[must_use]
    pub fn minutes(&self) -> Option<u32> {
        u32::try_from(self.0.get_i32("t").ok()?).ok()
    }

    /// What a request must do with the session.
    #[must_use]
    pub fn actions(&self) -> Actions {
        match self.0.get_i32("f") {
            Ok(1) => Actions::InitializeItem,
            _ => Actions::None,
        }
    }

    /// The session itself.
    ///
    /// # Errors
    /// There is no data, or it is no session's.
    pub fn item(&self, compressed: bool) -> Result<Item, DecodeError> {
        let bytes = self.0.get_binary_generic("d");
        let bytes = bytes.map_err(|_| DecodeError::CutShort)?;
        match compressed {
            true => Item::decode_compressed(bytes),
            false => Item::decode(bytes),
        }
    }
}

#[cfg(test)]
mod tests;
