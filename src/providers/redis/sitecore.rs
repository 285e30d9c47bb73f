//! Sitecore's Redis provider: Microsoft's flow, an index of deadlines, and a poller (facts §9.1,
//! §9.4).
//!
//! In: what Microsoft's provider gets. Out: the same, and session ends. The genuine provider's keys
//! and its index of expiring sessions are unknown; ours are the simplest that fit its stack traces:
//! keys as layout 5, the whole frame as the blob, and one sorted set per application with the
//! deadline of every session in ms by the server's clock, kept by the same scripts.
//!
//! The surprising facts: a session whose deadline has passed lives on when a request comes before
//! the poller; and the index and the sessions lie in different slots, so that a Redis cluster
//! cannot run these scripts.

use super::application;
use super::microsoft::MicrosoftStore;
use super::on_microsoft::Addition;
use super::script;
use crate::clock;
use crate::providers::BackgroundWork;
use crate::providers::poller::{Claimed, ExpiredSessions, Poller, Polling, raise_abandoned};
use crate::session::item::DecodeError;
use crate::session::{
    ExpireCallback, Item, LockId, RequestContext, SessionId, SessionStateStore as _, StoreError,
};
use async_trait::async_trait;
use redis::Value as Reply;
use std::cell::RefCell;
use std::rc::Rc;

/// How long a poller's claim lasts; a session whose poller died is due again after it. Ours, after
/// the two minutes of Sitecore's MongoDB provider (facts §9.3). A handler that takes longer is
/// raised twice.
const LEASE_SECONDS: u32 = 120;

/// What Sitecore's provider adds to Microsoft's, whose scripts keep its index: the poller.
pub(super) struct Sitecore {
    microsoft: Rc<MicrosoftStore>,
    /// `None`: `pollingEnabled` is off.
    polling: Option<Polling>,
    poller: RefCell<Option<Poller>>,
    callback: RefCell<Option<Rc<dyn ExpireCallback>>>,
    work: Rc<RefCell<BackgroundWork>>,
}

impl Sitecore {
    /// An instance on Microsoft's provider with Sitecore's layout.
    #[must_use]
    pub fn new(
        microsoft: MicrosoftStore,
        polling: Option<Polling>,
        work: Rc<RefCell<BackgroundWork>>,
    ) -> Self {
        Self {
            microsoft: Rc::new(microsoft),
            polling,
            poller: RefCell::default(),
            callback: RefCell::default(),
            work,
        }
    }
}

impl Addition for Sitecore {
    fn microsoft(&self) -> &MicrosoftStore {
        &self.microsoft
    }

    /// Starts the poller. Without polling the ends of abandoned sessions are raised here too, and
    /// others poll.
    fn raise_ends(&self, callback: Rc<dyn ExpireCallback>) {
        if let Some(polling) = self.polling {
            let source = Rc::new(Expired {
                store: Rc::clone(&self.microsoft),
                work: Rc::clone(&self.work),
            });
            let poller =
                Poller::start(source, Rc::clone(&callback), polling, Rc::clone(&self.work));
            *self.poller.borrow_mut() = Some(poller);
        }
        *self.callback.borrow_mut() = Some(callback);
    }

    async fn stop(&self) {
        let poller = self.poller.borrow_mut().take();
        if let Some(poller) = poller {
            poller.stop().await;
        }
    }

    /// Raises session end in the request, before the session is removed (facts §9.1).
    async fn before_remove(&self, id: SessionId, item: &Item) {
        let callback = self.callback.borrow().clone();
        if raise_abandoned(callback, id, item).await {
            self.work.borrow_mut().failed_ends += 1;
        }
    }
}

/// The expired sessions of one application.
struct Expired {
    store: Rc<MicrosoftStore>,
    work: Rc<RefCell<BackgroundWork>>,
}

impl Expired {
    /// Gives back what cannot be decoded, so that the next tick meets it again.
    async fn give_back(&self, id: &[u8], cookie: &str, deadline: &[u8]) -> Result<(), StoreError> {
        let id_text = String::from_utf8_lossy(id);
        let lock = format!("{{{}_{id_text}}}_WriteLock", self.store.application());
        let index = application::index(self.store.application());
        let request = RequestContext::default();
        self.store
            .connections()
            .eval(
                &request,
                &script::UNCLAIM,
                &[&lock, &index],
                &[cookie.as_bytes(), id, deadline],
            )
            .await
            .map(drop)
    }
}

#[async_trait(?Send)]
impl ExpiredSessions for Expired {
    type Signal = String;

    async fn claim(&self, signal: &mut Option<String>) -> Result<Option<Claimed>, StoreError> {
        // Ticks, as a request's lock would be, so that waiters can tell its age.
        let cookie: Rc<str> = clock::utc().ticks().to_string().into();
        let request = RequestContext::default();
        let reply = self
            .store
            .connections()
            .eval(
                &request,
                &script::CLAIM_EXPIRED,
                &[&application::index(self.store.application())],
                &[
                    self.store.application().as_bytes(),
                    cookie.as_bytes(),
                    LEASE_SECONDS.to_string().as_bytes(),
                    signal.as_deref().unwrap_or_default().as_bytes(),
                ],
            )
            .await?;
        let Reply::Array(elements) = reply else {
            return Err(StoreError::Refused("a claim has another shape".to_owned()));
        };
        let mut elements = elements.into_iter().map(|element| match element {
            Reply::BulkString(bytes) => bytes,
            _ => Vec::new(),
        });
        let signalled = elements.next().unwrap_or_default();
        *signal = Some(String::from_utf8_lossy(&signalled).into_owned());
        let (Some(id), Some(data), Some(deadline)) =
            (elements.next(), elements.next(), elements.next())
        else {
            return Ok(None);
        };
        let parsed = std::str::from_utf8(&id).ok().and_then(SessionId::parse);
        let decoded = self
            .store
            .layout()
            .decode(&Reply::BulkString(data), self.store.seat().timeout);
        match (parsed, decoded) {
            (Some(id), Ok(Some(item))) => Ok(Some(Claimed { id, item, cookie })),
            (_, failed) => {
                self.work.borrow_mut().undecodable += 1;
                self.give_back(&id, &cookie, &deadline).await?;
                let why = failed.err().unwrap_or(DecodeError::CutShort);
                Err(StoreError::Undecodable(why.to_string()))
            }
        }
    }

    async fn remove(&self, claimed: &Claimed) -> Result<(), StoreError> {
        let lock = LockId::Text(Rc::clone(&claimed.cookie));
        let request = RequestContext::default();
        self.store
            .remove_item(&request, claimed.id, Some(&lock), &claimed.item)
            .await
    }
}
