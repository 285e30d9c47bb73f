//! What a probe works with, and what it can find.
//!
//! In: a bench with two CD servers. Out: `Ok` when the provider does what the contract says, or
//! [`Otherwise`]. The surprising fact: a machine that is too busy makes a session look dead that was
//! only used too late, so each probe that depends on time checks its own punctuality and is played
//! again when it was late.

use super::ends::Ends;
use super::subject::{Held, Server, Site, TIMEOUT, said};
use crate::clock::{self, Instant};
use crate::providers::{Capabilities, Detection};
use crate::session::value::Text;
use crate::session::{GetItem, Item, SessionId, StoreError, Value};
use std::rc::Rc;
use std::time::Duration;

/// What a probe found.
pub type Probed = Result<(), Otherwise>;

/// What a probe found in place of the behaviour.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Otherwise {
    /// The provider departs from the contract, in this way.
    #[error("{0}")]
    Deviates(String),
    /// The behaviour cannot be seen here, for this reason.
    #[error("{0}")]
    NotProbed(String),
    /// The machine was too busy to tell.
    #[error("this machine was too busy")]
    TooSlow,
    /// The store could not be asked.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The provider departs from the contract, in this way.
pub fn deviates<T>(how: impl Into<String>) -> Result<T, Otherwise> {
    Err(Otherwise::Deviates(how.into()))
}

/// Departs from the contract in this way unless something is so.
pub fn expect(so: bool, otherwise: &str) -> Probed {
    if so { Ok(()) } else { deviates(otherwise) }
}

/// How long a probe waits for a session end before it says that none came.
const PATIENCE: Duration = Duration::from_secs(30);

/// Two CD servers of one site.
pub struct Bench {
    /// The site.
    pub site: Site,
    /// A server.
    pub a: Rc<Server>,
    /// Another; the same one, where the store is in its process.
    pub b: Rc<Server>,
    /// How the provider notices that a session expired.
    pub detection: Option<Detection>,
    /// What the servers hear of ends.
    ends: Rc<Ends>,
}

impl Bench {
    /// Two servers of a site; nobody listens to ends yet.
    ///
    /// # Errors
    /// The store cannot be reached or refuses.
    pub async fn open(site: Site, capabilities: &Capabilities) -> Result<Self, StoreError> {
        let a = site.open().await?;
        let b = match capabilities.out_of_process {
            true => site.open().await?,
            false => Rc::clone(&a),
        };
        // A web server may delete what has expired after its first request and then every 30 s
        // (facts §7.3), in one table also what other sites have: let it be now. Whatever fails here,
        // probes will tell.
        for server in [&a, &b] {
            let _ = server.read(site.id()).await;
        }
        Ok(Self {
            site,
            a,
            b,
            detection: capabilities.detection,
            ends: Rc::default(),
        })
    }

    /// Has both servers listen to ends.
    pub fn listen(&self) {
        self.a.listen(&self.ends);
        if self.b.number() != self.a.number() {
            self.b.listen(&self.ends);
        }
    }

    /// The ends of sessions.
    ///
    /// # Errors
    /// The provider raises none.
    pub fn ends(&self) -> Result<&Ends, Otherwise> {
        match self.detection {
            Some(_) => Ok(&self.ends),
            None => Err(Otherwise::NotProbed("it raises no session end".to_owned())),
        }
    }

    /// How often visitors had what has expired deleted so far.
    pub fn purges(&self) -> u64 {
        match self.detection {
            Some(_) => 0,
            None => self.site.provider.background_work().ticks,
        }
    }

    /// Waits for a session's first end.
    pub async fn first_end(&self, id: SessionId) -> Result<super::ends::End, Otherwise> {
        let deadline = clock::now() + self.site.life() + PATIENCE;
        let ends = self.ends()?;
        ends.wait_for(id, 0, deadline).await.ok_or_else(|| {
            let patience = PATIENCE.as_secs();
            Otherwise::NotProbed(format!("no session end came within {patience} s"))
        })
    }

    /// A new session with some data, stored by the first server.
    pub async fn session(&self) -> Result<SessionId, Otherwise> {
        let id = self.site.id();
        self.a.store_new(id, &item("first")).await?;
        Ok(id)
    }

    /// A new session whose lock the first server holds.
    pub async fn held(&self) -> Result<Held, Otherwise> {
        let born = clock::now();
        let id = self.session().await?;
        let taken = self.a.take(id).await;
        self.unless_outlived(born, taken)
    }

    /// What came of a session that was stored at an instant or later; what fails after its life says
    /// nothing.
    pub fn unless_outlived<T>(
        &self,
        born: Instant,
        came: Result<T, Otherwise>,
    ) -> Result<T, Otherwise> {
        came.map_err(|error| match before(born + self.site.life()) {
            Ok(()) => error,
            Err(too_slow) => too_slow,
        })
    }

    /// Takes a session's lock from its holder by force, for the second server.
    pub async fn steal(&self, id: SessionId) -> Result<Held, Otherwise> {
        match self.b.ask(id).await? {
            GetItem::Locked { lock, .. } => {
                self.b.release_by_force(id, &lock).await?;
                self.b.take(id).await
            }
            other => deviates(format!("a held session was {}", said(&other))),
        }
    }

    /// How long at most after a session's death its end has been noticed.
    pub const fn noticing(&self) -> Duration {
        match self.detection {
            Some(Detection::CacheWheel) => Duration::from_secs(21),
            _ => Duration::from_millis(2500),
        }
    }
}

/// The probe is worth nothing if this instant has passed already.
pub fn before(deadline: Instant) -> Probed {
    if clock::now() < deadline {
        Ok(())
    } else {
        Err(Otherwise::TooSlow)
    }
}

/// An item with one text.
pub fn item(text: &str) -> Item {
    let mut item = Item::new(TIMEOUT);
    item.set(DATA, Value::Text(text.into()));
    item
}

/// Name of that text.
const DATA: &str = "data";

/// The text of such an item.
pub fn text_of(item: &Item) -> String {
    match item.get(DATA) {
        Some(Value::Text(Text::Owned(text))) => text.to_string(),
        _ => "no text".to_owned(),
    }
}

/// Writes a text into a session that a request holds.
pub fn change(held: &mut Held, text: &str) {
    held.item.set(DATA, Value::Text(text.into()));
}

/// The session that a get must have found.
pub fn found(got: GetItem) -> Result<Item, Otherwise> {
    match got {
        GetItem::Found(found) => Ok(found.item),
        other => deviates(format!("the session was {}", said(&other))),
    }
}

/// A get must have found a session with this text.
pub fn expect_text(got: GetItem, expected: &str) -> Probed {
    let item = found(got)?;
    match text_of(&item).as_str() {
        text if text == expected => Ok(()),
        other => deviates(format!(
            "the session held `{other}` instead of `{expected}`"
        )),
    }
}

/// A get must have found no session.
pub fn expect_missing(got: &GetItem) -> Probed {
    match got {
        GetItem::Missing => Ok(()),
        other => deviates(format!("the session was {}", said(other))),
    }
}

/// A get must have found the session locked.
pub fn expect_locked(got: &GetItem) -> Probed {
    match got {
        GetItem::Locked { .. } => Ok(()),
        other => deviates(format!("the session was {}", said(other))),
    }
}
