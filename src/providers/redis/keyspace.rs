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
use super::on_microsoft::Addition;
use crate::clock;
use crate::providers::BackgroundWork;
use crate::providers::poller::raise_abandoned;
use crate::session::{
    ExpireCallback, GetItem, Item, Minutes, RequestContext, SessionId, StoreError,
};
use redis::cmd;
use std::cell::RefCell;
use std::rc::Rc;
use tokio::sync::{Notify, watch};

/// What the provider adds to Microsoft's: a shadow key, and ears for its end.
pub(super) struct Keyspace {
    heard: Rc<Heard>,
    callback: RefCell<Option<Rc<dyn ExpireCallback>>>,
    /// Until the callback comes, the subscriptions that were made when the instance was opened.
    subscriptions: RefCell<Subscriptions>,
    stop: RefCell<Option<watch::Sender<bool>>>,
}

impl Keyspace {
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

    /// Sets the shadow key; with `only_existing` not for a session that has none.
    async fn shadow(
        &self,
        request: &RequestContext,
        id: SessionId,
        timeout: Minutes,
        only_existing: bool,
    ) -> Result<(), StoreError> {
        let microsoft = self.microsoft();
        let life = self.heard.shadow_life(timeout);
        let mut command = cmd("SET");
        command
            .arg(microsoft.keys(id).shadow())
            .arg(1)
            .arg("PX")
            .arg(milliseconds(life));
        if only_existing {
            command.arg("XX");
        }
        let set = microsoft.connections().command(request, &command).await;
        microsoft.tolerate(request, set.map(drop), ())
    }
}

impl Addition for Keyspace {
    fn microsoft(&self) -> &MicrosoftStore {
        &self.heard.store
    }

    fn raise_ends(&self, callback: Rc<dyn ExpireCallback>) {
        *self.callback.borrow_mut() = Some(Rc::clone(&callback));
        let (stop, stopped) = watch::channel(false);
        let listener = Listener {
            heard: Rc::clone(&self.heard),
            callback,
            stopped,
            broke: Notify::default(),
        };
        let subscriptions = self.subscriptions.take();
        clock::spawn_detached(Rc::new(listener).run(subscriptions));
        *self.stop.borrow_mut() = Some(stop);
    }

    async fn stop(&self) {
        let stop = self.stop.borrow_mut().take();
        if let Some(stop) = stop {
            stop.send_replace(true);
            stop.closed().await;
        }
        self.subscriptions.take();
    }

    async fn after_get(
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

    async fn after_write(
        &self,
        request: &RequestContext,
        id: SessionId,
        timeout: Minutes,
    ) -> Result<(), StoreError> {
        self.shadow(request, id, timeout, false).await
    }

    /// DEL is no `expired` event, so the end is raised here and only here.
    async fn after_remove(
        &self,
        request: &RequestContext,
        id: SessionId,
        item: &Item,
    ) -> Result<(), StoreError> {
        let microsoft = self.microsoft();
        let delete = cmd("DEL").arg(microsoft.keys(id).shadow()).take();
        let deleted = microsoft.connections().command(request, &delete).await;
        microsoft.tolerate(request, deleted.map(drop), ())?;
        let callback = self.callback.borrow().clone();
        if raise_abandoned(callback, id, item).await {
            self.heard.work.borrow_mut().failed_ends += 1;
        }
        Ok(())
    }

    async fn after_reset(&self, request: &RequestContext, id: SessionId) -> Result<(), StoreError> {
        let timeout = self.microsoft().seat().timeout;
        self.shadow(request, id, timeout, true).await
    }
}
