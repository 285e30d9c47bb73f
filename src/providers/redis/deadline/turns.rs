//! Wakes the requests of one instance whose turn at a session's lock has come.
//!
//! In: messages on the instance's channel, each the number of a waiting request. Out: that request
//! asks again at once. The surprising fact: nothing is lost when a message is. The place in the
//! queue is in Redis, and a request that hears nothing asks at its next poll.

use super::super::connection::store_error;
use crate::clock;
use crate::providers::BackgroundWork;
use crate::session::StoreError;
use futures_util::StreamExt as _;
use redis::Client;
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
    pub async fn subscribe(
        &self,
        client: &Client,
        limit: Duration,
    ) -> Result<Subscription, StoreError> {
        let making = async {
            let (mut sink, stream) = client.get_async_pubsub().await?.split();
            sink.subscribe(&self.channel).await?;
            Ok((sink, stream))
        };
        clock::timeout(limit, making)
            .await
            .map_err(|_| StoreError::Timeout { limit })?
            .map_err(store_error)
    }
}

/// Hears calls until it is told to stop.
pub struct Hearing {
    /// Whom it calls.
    pub turns: Rc<Turns>,
    /// Makes a broken subscription anew.
    pub client: Client,
    /// Limit for making it.
    pub limit: Duration,
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
            subscription = self.turns.subscribe(&self.client, self.limit).await.ok();
            if subscription.is_none() {
                clock::sleep(RESUBSCRIBE_WAIT).await;
            } else {
                self.work.borrow_mut().resubscriptions += 1;
            }
        }
    }
}
