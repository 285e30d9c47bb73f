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

use super::connection::store_error;
use super::layout;
use super::microsoft::MicrosoftStore;
use super::settings::{Claim, Notifications};
use super::sitecore::raise_abandoned;
use crate::clock::{self, Instant};
use crate::providers::BackgroundWork;
use crate::session::{
    EndNotice, ExpireCallback, GetItem, Item, LockId, Minutes, Noticed, RequestContext, SessionId,
    SessionStateStore, StoreError,
};
use async_trait::async_trait;
use futures_util::StreamExt as _;
use redis::aio::{PubSubSink, PubSubStream};
use redis::{Client, Msg, Value as Reply, cmd};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::watch;

/// Longest time for which a claim on one session end stands.
const LONGEST_CLAIM: Duration = Duration::from_secs(10);
/// Wait before a broken subscription is made anew.
const RESUBSCRIBE_WAIT: Duration = Duration::from_millis(500);

/// How session ends are heard of.
#[derive(Debug, Clone, Copy)]
pub struct Listening {
    /// Which notifications.
    pub notifications: Notifications,
    /// Whether the servers agree on one of them.
    pub claim: Claim,
    /// Real time by which the shadow expires before the session.
    pub lead: Duration,
    /// Limit for making the subscription.
    pub limit: Duration,
    /// Database number, which stands in the channels' names.
    pub database: u32,
}

/// One instance of the provider.
pub struct KeyspaceStore {
    heard: Rc<Heard>,
    client: Client,
    callback: RefCell<Option<Rc<dyn ExpireCallback>>>,
    /// Until the callback comes, the subscription that was made when the instance was opened.
    subscription: RefCell<Option<Subscription>>,
    stop: RefCell<Option<watch::Sender<bool>>>,
}

/// A subscription: the sink keeps it alive.
type Subscription = (PubSubSink, PubSubStream);

impl KeyspaceStore {
    /// An instance on Microsoft's provider, subscribed already, so that no event is missed between
    /// its first session and its first callback.
    ///
    /// # Errors
    /// The subscription cannot be made; or the lead is not shorter than the session's timeout.
    pub async fn open(
        microsoft: MicrosoftStore,
        client: Client,
        listening: Listening,
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
        let subscription = heard.subscribe(&client).await?;
        Ok(Self {
            heard: Rc::new(heard),
            client,
            callback: RefCell::default(),
            subscription: RefCell::new(Some(subscription)),
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
            .arg(self.microsoft().keys(id).shadow)
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
            client: self.client.clone(),
            callback,
            stopped,
        };
        let subscription = self.subscription.borrow_mut().take();
        clock::spawn(listener.run(subscription)).detach();
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
        let delete = cmd("DEL").arg(self.microsoft().keys(id).shadow).take();
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
        self.subscription.borrow_mut().take();
    }
}

/// What an instance knows of the sessions that it hears of.
struct Heard {
    store: MicrosoftStore,
    listening: Listening,
    work: Rc<RefCell<BackgroundWork>>,
}

impl Heard {
    /// Makes a subscription, on a connection of its own.
    async fn subscribe(&self, client: &Client) -> Result<Subscription, StoreError> {
        let Listening {
            notifications,
            database,
            limit,
            ..
        } = self.listening;
        let making = async {
            let (mut sink, stream) = client.get_async_pubsub().await?.split();
            match notifications {
                Notifications::Keyspace => {
                    let keys = layout::shadow_pattern(self.store.application());
                    sink.psubscribe(format!("__keyspace@{database}__:{keys}"))
                        .await?;
                }
                Notifications::Keyevent => {
                    sink.subscribe(format!("__keyevent@{database}__:expired"))
                        .await?;
                }
            }
            Ok((sink, stream))
        };
        clock::timeout(limit, making)
            .await
            .map_err(|_| StoreError::Timeout { limit })?
            .map_err(store_error)
    }

    /// The session whose shadow a notification says has expired.
    fn expired(&self, message: &Msg) -> Option<SessionId> {
        let key = match self.listening.notifications {
            Notifications::Keyspace => {
                // Not `expire`, which tells that a lifetime was set.
                if message.get_payload_bytes() != b"expired" {
                    return None;
                }
                message.get_channel_name().split_once(':')?.1
            }
            Notifications::Keyevent => std::str::from_utf8(message.get_payload_bytes()).ok()?,
        };
        layout::shadow_owner(self.store.application(), key)
    }

    /// Real life of the shadow of a session with this timeout.
    fn shadow_life(&self, timeout: Minutes) -> Duration {
        timeout
            .lasting(self.store.seat().minute)
            .saturating_sub(self.listening.lead)
            .max(Duration::from_millis(1))
    }

    /// Handles one notification.
    async fn end(&self, id: SessionId, arrived: Instant, callback: &dyn ExpireCallback) {
        self.work.borrow_mut().events += 1;
        if self.listening.claim == Claim::Lock && !self.claim(id).await {
            return;
        }
        let item = self.read(id).await;
        if item.is_none() {
            self.work.borrow_mut().without_data += 1;
        }
        let lead = self.listening.lead;
        let noticed = Noticed::Event { arrived, lead };
        let notice = EndNotice { id, item, noticed };
        if callback.session_end(notice).await.is_err() {
            self.work.borrow_mut().failed_ends += 1;
        }
    }

    /// Whether this instance is the first to claim the session's end. A claim stands for at most
    /// half of the shadow's life, so that it never stands in the way of the next end.
    async fn claim(&self, id: SessionId) -> bool {
        let life = self.shadow_life(self.store.seat().timeout) / 2;
        let set = cmd("SET")
            .arg(self.store.keys(id).end_claim)
            .arg(self.store.seat().server)
            .arg("NX")
            .arg("PX")
            .arg(milliseconds(life.min(LONGEST_CLAIM)))
            .take();
        let request = RequestContext::default();
        let ours = match self.store.connections().command(&request, &set).await {
            Ok(reply) => reply != Reply::Nil,
            // Whether another one has it is unknown: an end twice is better than none.
            Err(_) => true,
        };
        let mut work = self.work.borrow_mut();
        if ours {
            work.claimed += 1;
        } else {
            work.claimed_by_others += 1;
        }
        ours
    }

    /// The session's data, if it is still there. Does not keep the session alive.
    async fn read(&self, id: SessionId) -> Option<Item> {
        let layout = self.store.layout();
        let command = layout.peek(&self.store.keys(id));
        let request = RequestContext::default();
        let data = self
            .store
            .connections()
            .command(&request, &command)
            .await
            .ok()?;
        let decoded = layout.decode(&data, self.store.seat().timeout);
        if decoded.is_err() {
            self.work.borrow_mut().undecodable += 1;
        }
        decoded.ok().flatten()
    }
}

/// Hears notifications until it is told to stop.
struct Listener {
    heard: Rc<Heard>,
    client: Client,
    callback: Rc<dyn ExpireCallback>,
    stopped: watch::Receiver<bool>,
}

impl Listener {
    async fn run(mut self, subscription: Option<Subscription>) {
        let mut stopped = self.stopped.clone();
        tokio::select! {
            biased;
            // Told to stop, or the store was dropped.
            _ = stopped.wait_for(|stop| *stop) => {}
            () = self.listen(subscription) => {}
        }
    }

    async fn listen(&mut self, mut subscription: Option<Subscription>) {
        loop {
            if let Some((_sink, stream)) = &mut subscription {
                while let Some(message) = stream.next().await {
                    self.hear(&message);
                }
            }
            // The connection broke: what happens until the next one is lost.
            subscription = self.heard.subscribe(&self.client).await.ok();
            if subscription.is_none() {
                clock::sleep(RESUBSCRIBE_WAIT).await;
            } else {
                self.heard.work.borrow_mut().resubscriptions += 1;
            }
        }
    }

    /// Starts to handle a notification; the next one does not wait for it.
    fn hear(&self, message: &Msg) {
        let arrived = clock::now();
        let Some(id) = self.heard.expired(message) else {
            return;
        };
        let heard = Rc::clone(&self.heard);
        let callback = Rc::clone(&self.callback);
        // Whoever stops waits until the last one of these is gone.
        let stopped = self.stopped.clone();
        clock::spawn(async move {
            heard.end(id, arrived, callback.as_ref()).await;
            drop(stopped);
        })
        .detach();
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis())
        .unwrap_or(u64::MAX)
        .max(1)
}
