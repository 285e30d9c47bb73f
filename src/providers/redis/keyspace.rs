//! Microsoft's provider with a shadow key and Redis's notifications for session end (seed 002,
//! facts §10.3, §11.2).
//!
//! In: what Microsoft's provider gets; beside each operation that keeps a session alive, one more
//! command sets a shadow key that expires a little before the session. Out: the same, and a session
//! end for each `expired` notification of a shadow key.
//!
//! The surprising facts: Redis notifies when it deletes the key, which may be minutes after it
//! expired; every instance hears every notification, so that session end is raised once per server
//! unless they claim it; and what is sent while a subscriber is away is lost for good.
//!
//! Ours, because the seed does not say: the shadow key has the braces of layout 2 and later around
//! application and id, where the seed writes version 1's plain names; it is not set for a session
//! that was not found; abandoning deletes it and raises session end; and the claim.

use super::listener::{Heard, Listener, Listening, Subscriptions, milliseconds};
use super::microsoft::MicrosoftStore;
use crate::clock;
use crate::providers::BackgroundWork;
use crate::providers::poller::raise_abandoned;
use crate::session::{
    ExpireCallback, GetItem, Item, LockId, Minutes, RequestContext, SessionId, SessionStateStore,
    StoreError,
};
use async_trait::async_trait;
use redis::cmd;
use std::cell::RefCell;
use std::rc::Rc;
use tokio::sync::{Notify, watch};

/// One instance of the provider.
pub struct KeyspaceStore {
    heard: Rc<Heard>,
    callback: RefCell<Option<Rc<dyn ExpireCallback>>>,
    /// Until the callback comes, the subscriptions that were made when the instance was opened.
    subscriptions: RefCell<Subscriptions>,
    stop: RefCell<Option<watch::Sender<bool>>>,
}

impl KeyspaceStore {
    /// An instance on Microsoft's provider, subscribed to every master already, so that no event is
    /// missed between its first session and its first callback.
    ///
    /// # Errors
    /// A subscription cannot be made although it must (`must_hear`); or the lead is not shorter than the session's timeout.
    pub async fn open(
        microsoft: MicrosoftStore,
        listening: Listening,
        must_hear: bool,
        work: Rc<RefCell<BackgroundWork>>,
    ) -> Result<Self, StoreError> {
        let seat = microsoft.seat();
        if listening.lead >= seat.timeout.lasting(seat.minute) {
            return Err(StoreError::Refused(
                "`shadow_key_lead` must be shorter than the session's timeout".to_owned(),
            ));
        }
        let heard = Heard {
            store: microsoft,
            listening,
            work,
        };
        let subscriptions = match heard.subscribe_to_all().await {
            Err(StoreError::Connection(_) | StoreError::Timeout { .. }) if !must_hear => {
                Subscriptions::default()
            }
            other => other?,
        };
        Ok(Self {
            heard: Rc::new(heard),
            callback: RefCell::default(),
            subscriptions: RefCell::new(subscriptions),
            stop: RefCell::default(),
        })
    }

    fn microsoft(&self) -> &MicrosoftStore {
        &self.heard.store
    }

    /// Sets the shadow key; with `only_existing` not for a session that has none.
    async fn shadow(
        &self,
        request: &RequestContext,
        id: SessionId,
        timeout: Minutes,
        only_existing: bool,
    ) -> Result<(), StoreError> {
        let life = self.heard.shadow_life(timeout);
        let mut command = cmd("SET");
        command
            .arg(self.microsoft().keys(id).shadow())
            .arg(1)
            .arg("PX")
            .arg(milliseconds(life));
        if only_existing {
            command.arg("XX");
        }
        let set = self
            .microsoft()
            .connections()
            .command(request, &command)
            .await;
        self.microsoft().tolerate(request, set.map(drop), ())
    }

    async fn shadow_if_found(
        &self,
        request: &RequestContext,
        id: SessionId,
        got: &GetItem,
    ) -> Result<(), StoreError> {
        match got {
            GetItem::Found(found) => self.shadow(request, id, found.item.timeout(), false).await,
            _ => Ok(()),
        }
    }
}

#[async_trait(?Send)]
impl SessionStateStore for KeyspaceStore {
    fn set_item_expire_callback(&self, callback: Rc<dyn ExpireCallback>) -> bool {
        *self.callback.borrow_mut() = Some(Rc::clone(&callback));
        let (stop, stopped) = watch::channel(false);
        let listener = Listener {
            heard: Rc::clone(&self.heard),
            callback,
            stopped,
            broke: Notify::default(),
        };
        let subscriptions = self.subscriptions.take();
        clock::spawn(Rc::new(listener).run(subscriptions)).detach();
        *self.stop.borrow_mut() = Some(stop);
        true
    }

    async fn get_item(
        &self,
        request: &RequestContext,
        id: SessionId,
    ) -> Result<GetItem, StoreError> {
        let got = self.microsoft().get_item(request, id).await?;
        self.shadow_if_found(request, id, &got).await?;
        Ok(got)
    }

    async fn get_item_exclusive(
        &self,
        request: &RequestContext,
        id: SessionId,
    ) -> Result<GetItem, StoreError> {
        let got = self.microsoft().get_item_exclusive(request, id).await?;
        self.shadow_if_found(request, id, &got).await?;
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
        self.microsoft()
            .set_and_release_item_exclusive(request, id, item, lock, new_item)
            .await?;
        self.shadow(request, id, item.timeout(), false).await
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

    async fn remove_item(
        &self,
        request: &RequestContext,
        id: SessionId,
        lock: Option<&LockId>,
        item: &Item,
    ) -> Result<(), StoreError> {
        self.microsoft()
            .remove_item(request, id, lock, item)
            .await?;
        // DEL is no `expired` event, so the end is raised here and only here.
        let delete = cmd("DEL").arg(self.microsoft().keys(id).shadow()).take();
        let deleted = self
            .microsoft()
            .connections()
            .command(request, &delete)
            .await;
        self.microsoft().tolerate(request, deleted.map(drop), ())?;
        let callback = self.callback.borrow().clone();
        if raise_abandoned(callback, id, item).await {
            self.heard.work.borrow_mut().failed_ends += 1;
        }
        Ok(())
    }

    async fn reset_item_timeout(
        &self,
        request: &RequestContext,
        id: SessionId,
    ) -> Result<(), StoreError> {
        self.microsoft().reset_item_timeout(request, id).await?;
        let timeout = self.microsoft().seat().timeout;
        self.shadow(request, id, timeout, true).await
    }

    async fn create_uninitialized_item(
        &self,
        request: &RequestContext,
        id: SessionId,
        timeout: Minutes,
    ) -> Result<(), StoreError> {
        self.microsoft()
            .create_uninitialized_item(request, id, timeout)
            .await?;
        self.shadow(request, id, timeout, false).await
    }

    async fn end_request(&self, request: &RequestContext) -> Result<(), StoreError> {
        self.microsoft().end_request(request).await
    }

    async fn dispose(&self) {
        let stop = self.stop.borrow_mut().take();
        if let Some(stop) = stop {
            stop.send_replace(true);
            stop.closed().await;
        }
        self.subscriptions.take();
    }
}
