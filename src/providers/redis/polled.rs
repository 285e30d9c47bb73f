//! What `redis_markers` and `redis_index` have in common: Microsoft's provider in layout 2 to 4, a
//! record of when sessions are due that only a write moves, and Sitecore's serial poller.
//!
//! In: what Microsoft's provider gets. Out: the same, and session ends. The surprising fact: both
//! designs keep their record beside the provider's scripts, in commands of their own before the
//! write. Whatever else keeps a session alive in Redis — a read, a request without a change, a
//! reset — leaves the record, so that a visitor who only looks around is ended under way.

use super::microsoft::MicrosoftStore;
use super::on_microsoft::Addition;
use crate::providers::BackgroundWork;
use crate::providers::poller::{ExpiredSessions, Poller, Polling};
use crate::session::{ExpireCallback, Item, RequestContext, SessionId, StoreError};
use std::borrow::Cow;
use std::cell::RefCell;
use std::rc::Rc;

/// A record of when sessions are due.
pub(super) trait Record: ExpiredSessions {
    /// The provider that keeps the sessions.
    fn microsoft(&self) -> &MicrosoftStore;

    /// Enters a session that is about to be written.
    ///
    /// # Errors
    /// The store cannot be asked or refuses.
    async fn enter(&self, request: &RequestContext, id: SessionId) -> Result<(), StoreError>;

    /// The item as it is written.
    fn written<'a>(&self, item: &'a Item) -> Cow<'a, Item> {
        Cow::Borrowed(item)
    }
}

/// What such a provider adds to Microsoft's: the record, and a poller of it. Abandoning raises no end,
/// and leaves the record to the poller, which finds no data.
pub(super) struct Polled<R> {
    record: Rc<R>,
    polling: Polling,
    poller: RefCell<Option<Poller>>,
    work: Rc<RefCell<BackgroundWork>>,
}

impl<R: Record + 'static> Polled<R> {
    /// An instance that does not poll yet.
    #[must_use]
    pub fn new(record: R, polling: Polling, work: Rc<RefCell<BackgroundWork>>) -> Self {
        Self {
            record: Rc::new(record),
            polling,
            poller: RefCell::default(),
            work,
        }
    }
}

impl<R: Record + 'static> Addition for Polled<R> {
    fn microsoft(&self) -> &MicrosoftStore {
        self.record.microsoft()
    }

    fn raise_ends(&self, callback: Rc<dyn ExpireCallback>) {
        let record = Rc::clone(&self.record);
        let poller = Poller::start(record, callback, self.polling, Rc::clone(&self.work));
        *self.poller.borrow_mut() = Some(poller);
    }

    async fn stop(&self) {
        let poller = self.poller.borrow_mut().take();
        if let Some(poller) = poller {
            poller.stop().await;
        }
    }

    async fn before_write(
        &self,
        request: &RequestContext,
        id: SessionId,
    ) -> Result<(), StoreError> {
        self.record.enter(request, id).await
    }

    fn written<'a>(&self, item: &'a Item) -> Cow<'a, Item> {
        self.record.written(item)
    }
}

/// Runs a command and reads its reply.
///
/// # Errors
/// The store cannot be asked, refuses, or replies something else.
pub async fn ask<T: redis::FromRedisValue>(
    store: &MicrosoftStore,
    request: &RequestContext,
    command: &redis::Cmd,
) -> Result<T, StoreError> {
    let reply = store.connections().command(request, command).await?;
    redis::from_redis_value(reply).map_err(|error| StoreError::Refused(error.to_string()))
}
