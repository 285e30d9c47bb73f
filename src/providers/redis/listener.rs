//! Hears notifications of expired shadow keys and turns them into session ends.
//!
//! In: a subscription to every master. Out: a call of the callback for each `expired`, each in a
//! task of its own, so that reading never waits for a handler. The surprising facts: a server tells
//! all who listen, and tells them once, so who was away is not told later; and the masters of a
//! cluster tell only of their own keys, so who does not know a new master hears nothing of its
//! sessions (facts §11.2).

use super::address::Address;
use super::application;
use super::failure::Failure;
use super::microsoft::MicrosoftStore;
use super::settings::{Claim, Notifications};
use crate::clock::{self, Instant, Task};
use crate::providers::BackgroundWork;
use crate::session::{
    EndNotice, ExpireCallback, Item, Minutes, Noticed, RequestContext, SessionId, StoreError,
};
use futures_util::StreamExt as _;
use redis::aio::{PubSubSink, PubSubStream};
use redis::{Msg, Value as Reply, cmd};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// Longest time for which a claim on one session end stands.
const LONGEST_CLAIM: Duration = Duration::from_secs(10);
/// Wait before a broken subscription is made anew.
const RESUBSCRIBE_WAIT: Duration = Duration::from_millis(500);
/// After a subscription broke, the masters are asked for again so soon, and then ever later up to
/// `configCheckSeconds`: a server that comes back may learn only then that it lost its office.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// How session ends are heard of.
#[derive(Debug, Clone, Copy)]
pub struct Listening {
    /// Which notifications.
    pub notifications: Notifications,
    /// Whether the servers agree on one of them.
    pub claim: Claim,
    /// Real time by which the shadow expires before the session.
    pub lead: Duration,
    /// Database number, which stands in the channels' names.
    pub database: u32,
}

/// A subscription: the sink keeps it alive.
pub type Subscription = (PubSubSink, PubSubStream);
/// A subscription to each of several masters.
pub type Subscriptions = BTreeMap<Address, Subscription>;

/// What an instance knows of the sessions that it hears of.
pub struct Heard {
    /// Microsoft's provider, to ask for them.
    pub store: MicrosoftStore,
    /// How they are heard of.
    pub listening: Listening,
    /// What was done so far.
    pub work: Rc<RefCell<BackgroundWork>>,
}

impl Heard {
    /// Makes a subscription to every master, each on a connection of its own.
    ///
    /// # Errors
    /// A server cannot be reached or refuses.
    pub async fn subscribe_to_all(&self) -> Result<Subscriptions, StoreError> {
        let topology = self.store.connections().topology();
        let subscribing = async {
            let mut made = Subscriptions::default();
            for at in topology.masters().await? {
                let subscription = self.subscribe(&at).await?;
                made.insert(at, subscription);
            }
            Ok(made)
        };
        let made: Result<_, Failure> = subscribing.await;
        made.map_err(|failure| failure.into_store_error(topology.dialer().limit()))
    }

    async fn subscribe(&self, at: &Address) -> Result<Subscription, Failure> {
        let Listening {
            notifications,
            database,
            ..
        } = self.listening;
        let dialer = self.store.connections().topology().dialer();
        let made = dialer.subscription(at, async |made| match notifications {
            Notifications::Keyspace => {
                let keys = application::shadow_pattern(self.store.application());
                made.psubscribe(format!("__keyspace@{database}__:{keys}"))
                    .await
            }
            Notifications::Keyevent => {
                made.subscribe(format!("__keyevent@{database}__:expired"))
                    .await
            }
        });
        Ok(made.await?.split())
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
        application::shadow_owner(self.store.application(), key)
    }

    /// Real life of the shadow of a session with this timeout.
    #[must_use]
    pub fn shadow_life(&self, timeout: Minutes) -> Duration {
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
            .arg(self.store.keys(id).end_claim())
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
pub struct Listener {
    /// What it hears of.
    pub heard: Rc<Heard>,
    /// Whom it tells.
    pub callback: Rc<dyn ExpireCallback>,
    /// Tells it to stop; so does the sender's end.
    pub stopped: watch::Receiver<bool>,
    /// Told whenever a subscription broke.
    pub broke: Notify,
}

impl Listener {
    /// Hears until it is told to stop, starting with the subscriptions that are there already.
    pub async fn run(self: Rc<Self>, made: Subscriptions) {
        let mut stopped = self.stopped.clone();
        tokio::select! {
            biased;
            // Told to stop, or the store was dropped.
            _ = stopped.wait_for(|stop| *stop) => {}
            () = self.follow(made) => {}
            () = self.heard.store.connections().topology().hear_switches() => {}
        }
    }

    /// Listens to every master, whoever they are at the time.
    async fn follow(self: &Rc<Self>, mut made: Subscriptions) {
        let topology = self.heard.store.connections().topology();
        let mut changes = topology.changes();
        // Dropping a task ends it.
        let mut listening: BTreeMap<Address, Task<()>> = BTreeMap::new();
        let mut pause = topology.config_check();
        loop {
            let Ok(masters) = topology.masters().await else {
                clock::sleep(RESUBSCRIBE_WAIT).await;
                continue;
            };
            listening.retain(|at, _| masters.contains(at));
            for at in masters {
                let made = made.remove(&at);
                let listen = || clock::spawn(Rc::clone(self).listen(at.clone(), made));
                listening.entry(at.clone()).or_insert_with(listen);
            }
            let check = async {
                match pause {
                    Some(pause) => clock::sleep(pause).await,
                    None => std::future::pending().await,
                }
            };
            let longest = topology.config_check();
            tokio::select! {
                biased;
                _ = changes.changed() => {}
                () = self.broke.notified() => pause = longest.map(|longest| longest.min(LOOK_AGAIN)),
                () = check => {
                    topology.refresh().await;
                    pause = pause.map(|pause| pause * 2).min(longest);
                }
            }
        }
    }

    /// Listens to one master, anew whenever the connection breaks.
    async fn listen(self: Rc<Self>, at: Address, mut subscription: Option<Subscription>) {
        loop {
            if let Some((_sink, stream)) = &mut subscription {
                while let Some(message) = stream.next().await {
                    self.hear(&message);
                }
            }
            // What happens until the next subscription is lost. If the server is no master any more,
            // this ends the task.
            self.broke.notify_one();
            self.heard.store.connections().topology().refresh().await;
            subscription = self.heard.subscribe(&at).await.ok();
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
        clock::spawn_detached(async move {
            heard.end(id, arrived, callback.as_ref()).await;
            drop(stopped);
        });
    }
}

/// Whole milliseconds as PX takes them: at least one.
#[must_use]
pub fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis())
        .unwrap_or(u64::MAX)
        .max(1)
}
