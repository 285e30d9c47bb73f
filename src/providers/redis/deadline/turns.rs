//! Wakes the requests of one instance whose turn at a session's lock has come.
//!
//! In: messages on the instance's channel, each the number of a waiting request. Out: that request
//! asks again at once. The surprising fact: nothing is lost when a message is. The place in the
//! queue is in Redis, and a request that hears nothing asks at its next poll.

use super::super::failure::Failure;
use super::super::topology::Topology;
use crate::clock;
use crate::providers::BackgroundWork;
use crate::session::StoreError;
use futures_util::StreamExt as _;
use redis::aio::{PubSubSink, PubSubStream};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// Wait before a broken subscription is made anew.
const RESUBSCRIBE_WAIT: Duration = Duration::from_millis(500);

/// A subscription: the sink keeps it alive.
pub type Subscription = (PubSubSink, PubSubStream);

/// The requests of one instance that wait, or may have to.
pub struct Turns {
    channel: String,
    last: Cell<u64>,
    waiting: RefCell<HashMap<u64, Rc<Notify>>>,
}

impl Turns {
    /// Nobody waits yet.
    #[must_use]
    pub fn new(channel: String) -> Self {
        Self {
            channel,
            last: Cell::default(),
            waiting: RefCell::default(),
        }
    }

    /// A number for a request that asks for a lock. It is known before the store is asked, so that
    /// its turn may come before the store's answer does.
    pub fn enter(&self) -> u64 {
        let number = self.last.get() + 1;
        self.last.set(number);
        self.waiting.borrow_mut().insert(number, Rc::default());
        number
    }

    /// The request of this number waits no more.
    pub fn leave(&self, number: u64) {
        self.waiting.borrow_mut().remove(&number);
    }

    /// The number as it stands in Redis: with the channel on which to call it.
    #[must_use]
    pub fn ticket(&self, number: u64) -> String {
        format!("{} {number}", self.channel)
    }

    /// Waits until it is a request's turn; for ever, if it waits for none.
    pub async fn come(&self, number: u64) {
        let turn = self.waiting.borrow().get(&number).cloned();
        match turn {
            Some(turn) => turn.notified().await,
            None => std::future::pending().await,
        }
    }

    fn call(&self, message: &redis::Msg) {
        let number = std::str::from_utf8(message.get_payload_bytes()).ok();
        let number = number.and_then(|number| number.parse().ok());
        if let Some(turn) =
            number.and_then(|number: u64| self.waiting.borrow().get(&number).cloned())
        {
            turn.notify_one();
        }
    }

    /// Subscribes to the channel, on a connection of its own.
    ///
    /// # Errors
    /// The server cannot be reached or refuses.
    pub async fn subscribe(&self, topology: &Topology) -> Result<Subscription, StoreError> {
        let subscribing = async {
            // In a cluster every node hears every message, so any master will do.
            let masters = topology.masters().await?;
            let none = || Failure::Unusable("no master is known".to_owned());
            let at = masters.first().ok_or_else(none)?;
            let made = topology
                .dialer()
                .subscription(at, async |made| made.subscribe(&self.channel).await);
            Ok(made.await?.split())
        };
        let made: Result<_, Failure> = subscribing.await;
        made.map_err(|failure| failure.into_store_error(topology.dialer().limit()))
    }
}

/// Hears calls until it is told to stop.
pub struct Hearing {
    /// Whom it calls.
    pub turns: Rc<Turns>,
    /// Where a broken subscription is made anew.
    pub topology: Rc<Topology>,
    /// What was done so far.
    pub work: Rc<RefCell<BackgroundWork>>,
    /// Tells it to stop; so does the sender's end.
    pub stopped: watch::Receiver<bool>,
}

impl Hearing {
    /// Hears, starting with a subscription that is there already.
    pub async fn run(self, subscription: Subscription) {
        let mut stopped = self.stopped.clone();
        tokio::select! {
            biased;
            _ = stopped.wait_for(|stop| *stop) => {}
            () = self.listen(Some(subscription)) => {}
        }
    }

    async fn listen(&self, mut subscription: Option<Subscription>) {
        loop {
            if let Some((_sink, stream)) = &mut subscription {
                while let Some(message) = stream.next().await {
                    self.work.borrow_mut().events += 1;
                    self.turns.call(&message);
                }
            }
            self.topology.refresh().await;
            subscription = self.turns.subscribe(&self.topology).await.ok();
            if subscription.is_none() {
                clock::sleep(RESUBSCRIBE_WAIT).await;
            } else {
                self.work.borrow_mut().resubscriptions += 1;
            }
        }
    }
}
