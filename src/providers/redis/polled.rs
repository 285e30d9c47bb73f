//! What `redis_markers` and `redis_index` have in common: Microsoft's provider in layout 2 to 4, a
//! record of when sessions are due that only a write moves, and Sitecore's serial poller.
//!
//! In: what Microsoft's provider gets. Out: the same, and session ends. The surprising fact: both
//! designs keep their record beside the provider's scripts, in commands of their own before the
//! write. Whatever else keeps a session alive in Redis — a read, a request without a change, a
//! reset — leaves the record, so that a visitor who only looks around is ended under way.

use super::microsoft::MicrosoftStore;
use crate::providers::BackgroundWork;
use crate::providers::poller::{ExpiredSessions, Poller, Polling};
use crate::session::{
    ExpireCallback, GetItem, Item, LockId, Minutes, RequestContext, SessionId, SessionStateStore,
    StoreError,
};
use async_trait::async_trait;
use std::borrow::Cow;
use std::cell::RefCell;
use std::rc::Rc;

/// A record of when sessions are due.
#[async_trait(?Send)]
pub trait Record: ExpiredSessions {
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

/// One instance of a provider with such a record.
pub struct PolledStore<R> {
    record: Rc<R>,
    polling: Polling,
    poller: RefCell<Option<Poller>>,
    work: Rc<RefCell<BackgroundWork>>,
}

impl<R: Record + 'static> PolledStore<R> {
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

    fn microsoft(&self) -> &MicrosoftStore {
        self.record.microsoft()
    }
}

#[async_trait(?Send)]
impl<R: Record + 'static> SessionStateStore for PolledStore<R> {
    fn set_item_expire_callback(&self, callback: Rc<dyn ExpireCallback>) -> bool {
        let record = Rc::clone(&self.record);
        let poller = Poller::start(record, callback, self.polling, Rc::clone(&self.work));
        *self.poller.borrow_mut() = Some(poller);
        true
    }

    async fn get_item(
        &self,
        request: &RequestContext,
        id: SessionId,
    ) -> Result<GetItem, StoreError> {
        self.microsoft().get_item(request, id).await
    }

    async fn get_item_exclusive(
        &self,
        request: &RequestContext,
        id: SessionId,
    ) -> Result<GetItem, StoreError> {
        self.microsoft().get_item_exclusive(request, id).await
    }

    async fn set_and_release_item_exclusive(
        &self,
        request: &RequestContext,
        id: SessionId,
        item: &Item,
        lock: Option<&LockId>,
        new_item: bool,
    ) -> Result<(), StoreError> {
        self.record.enter(request, id).await?;
        let item = self.record.written(item);
        self.microsoft()
            .set_and_release_item_exclusive(request, id, &item, lock, new_item)
            .await
    }

    async fn release_item_exclusive(
        &self,
        request: &RequestContext,
        id: SessionId,
        lock: &LockId,
    ) -> Result<(), StoreError> {
        self.microsoft()
            .release_item_exclusive(request, id, lock)
            .await
    }

    /// Raises no end, and leaves the record to the poller, which finds no data.
    async fn remove_item(
        &self,
        request: &RequestContext,
        id: SessionId,
        lock: Option<&LockId>,
        item: &Item,
    ) -> Result<(), StoreError> {
        self.microsoft().remove_item(request, id, lock, item).await
    }

    async fn reset_item_timeout(
        &self,
        request: &RequestContext,
        id: SessionId,
    ) -> Result<(), StoreError> {
        self.microsoft().reset_item_timeout(request, id).await
    }

    async fn create_uninitialized_item(
        &self,
        request: &RequestContext,
        id: SessionId,
        timeout: Minutes,
    ) -> Result<(), StoreError> {
        self.microsoft()
            .create_uninitialized_item(request, id, timeout)
            .await
    }

    async fn end_request(&self, request: &RequestContext) -> Result<(), StoreError> {
        self.microsoft().end_request(request).await
    }

    async fn dispose(&self) {
        let poller = self.poller.borrow_mut().take();
        if let Some(poller) = poller {
            poller.stop().await;
        }
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
