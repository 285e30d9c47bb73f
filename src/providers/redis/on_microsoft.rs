//! Microsoft's provider with something added to it, as three others are built.
//!
//! In: operations of the contract. Out: Microsoft's own, and before or after them what the
//! [`Addition`] does. The surprising fact: an addition is known when this is compiled, so what it
//! leaves out costs nothing, and what it does is no future of its own on the heap.

use super::microsoft::MicrosoftStore;
use crate::session::{
    ExpireCallback, GetItem, Item, LockId, Minutes, RequestContext, SessionId, SessionStateStore,
    StoreError,
};
use async_trait::async_trait;
use std::borrow::Cow;
use std::rc::Rc;

/// What a provider does beside Microsoft's operations; where it does not say, nothing.
///
/// # Errors
/// Each of its own operations fails when the store cannot be asked or refuses; the one that it goes
/// with then fails too.
pub(super) trait Addition {
    /// The provider that keeps the sessions.
    fn microsoft(&self) -> &MicrosoftStore;

    /// Starts raising session end.
    fn raise_ends(&self, callback: Rc<dyn ExpireCallback>);

    /// Stops it; no end is raised after this returns.
    async fn stop(&self);

    /// A get answered.
    async fn after_get(
        &self,
        _request: &RequestContext,
        _id: SessionId,
        _got: &GetItem,
    ) -> Result<(), StoreError> {
        Ok(())
    }

    /// A session is about to be written.
    async fn before_write(
        &self,
        _request: &RequestContext,
        _id: SessionId,
    ) -> Result<(), StoreError> {
        Ok(())
    }

    /// The item as it is written.
    fn written<'a>(&self, item: &'a Item) -> Cow<'a, Item> {
        Cow::Borrowed(item)
    }

    /// A session with this timeout was written, or created without data.
    async fn after_write(
        &self,
        _request: &RequestContext,
        _id: SessionId,
        _timeout: Minutes,
    ) -> Result<(), StoreError> {
        Ok(())
    }

    /// A session is about to be abandoned.
    async fn before_remove(&self, _id: SessionId, _item: &Item) {}

    /// A session was abandoned.
    async fn after_remove(
        &self,
        _request: &RequestContext,
        _id: SessionId,
        _item: &Item,
    ) -> Result<(), StoreError> {
        Ok(())
    }

    /// A session was kept alive without being read.
    async fn after_reset(
        &self,
        _request: &RequestContext,
        _id: SessionId,
    ) -> Result<(), StoreError> {
        Ok(())
    }
}

/// One instance of a provider that is Microsoft's and an addition.
pub(super) struct OnMicrosoft<A>(pub A);

#[async_trait(?Send)]
impl<A: Addition> SessionStateStore for OnMicrosoft<A> {
    fn set_item_expire_callback(&self, callback: Rc<dyn ExpireCallback>) -> bool {
        self.0.raise_ends(callback);
        true
    }

    async fn get_item(
        &self,
        request: &RequestContext,
        id: SessionId,
    ) -> Result<GetItem, StoreError> {
        let got = self.0.microsoft().get_item(request, id).await?;
        self.0.after_get(request, id, &got).await?;
        Ok(got)
    }

    async fn get_item_exclusive(
        &self,
        request: &RequestContext,
        id: SessionId,
    ) -> Result<GetItem, StoreError> {
        let got = self.0.microsoft().get_item_exclusive(request, id).await?;
        self.0.after_get(request, id, &got).await?;
        Ok(got)
    }

    async fn set_and_release_item_exclusive(
        &self,
        request: &RequestContext,
        id: SessionId,
        item: &Item,
        lock: Option<&LockId>,
        new_item: bool,
    ) -> Result<(), StoreError> {
        self.0.before_write(request, id).await?;
        let written = self.0.written(item);
        self.0
            .microsoft()
            .set_and_release_item_exclusive(request, id, &written, lock, new_item)
            .await?;
        self.0.after_write(request, id, item.timeout()).await
    }

    async fn release_item_exclusive(
        &self,
        request: &RequestContext,
        id: SessionId,
        lock: &LockId,
    ) -> Result<(), StoreError> {
        self.0
            .microsoft()
            .release_item_exclusive(request, id, lock)
            .await
    }

    async fn remove_item(
        &self,
        request: &RequestContext,
        id: SessionId,
        lock: Option<&LockId>,
        item: &Item,
    ) -> Result<(), StoreError> {
        self.0.before_remove(id, item).await;
        self.0
            .microsoft()
            .remove_item(request, id, lock, item)
            .await?;
        self.0.after_remove(request, id, item).await
    }

    async fn reset_item_timeout(
        &self,
        request: &RequestContext,
        id: SessionId,
    ) -> Result<(), StoreError> {
        self.0.microsoft().reset_item_timeout(request, id).await?;
        self.0.after_reset(request, id).await
    }

    async fn create_uninitialized_item(
        &self,
        request: &RequestContext,
        id: SessionId,
        timeout: Minutes,
    ) -> Result<(), StoreError> {
        self.0
            .microsoft()
            .create_uninitialized_item(request, id, timeout)
            .await?;
        self.0.after_write(request, id, timeout).await
    }

    async fn end_request(&self, request: &RequestContext) -> Result<(), StoreError> {
        self.0.microsoft().end_request(request).await
    }

    fn has_to_end(&self, request: &RequestContext) -> bool {
        self.0.microsoft().has_to_end(request)
    }

    async fn dispose(&self) {
        self.0.stop().await;
    }
}
