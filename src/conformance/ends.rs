//! The session ends of a site, as its CD servers hear of them.
//!
//! In: calls of the callback. Out: who heard of which session's end, when, and with which data; and
//! for some sessions a handler that takes long, throws, or never comes back.

use crate::clock::{self, Instant};
use crate::session::contract::EndHandlerFailed;
use crate::session::{EndNotice, ExpireCallback, IdMap, Item, SessionId};
use async_trait::async_trait;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::Notify;

/// An end that a server heard of.
#[derive(Debug, Clone)]
pub struct End {
    /// The server.
    pub server: u32,
    /// When its handler was called.
    pub at: Instant,
    /// The session's data.
    pub item: Option<Item>,
}

/// What the handler of a session's end does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Handler {
    /// Returns at once.
    #[default]
    Returns,
    /// Works for a while.
    Takes(Duration),
    /// Throws.
    Throws,
    /// Is called for the first time and never comes back, as in a server that crashes under it;
    /// after that it returns at once.
    FirstNeverReturns,
}

/// All ends of a site.
#[derive(Default)]
pub struct Ends {
    heard: RefCell<IdMap<Vec<End>>>,
    handlers: RefCell<IdMap<Handler>>,
    told: Notify,
}

impl Ends {
    /// Gives a session's end a handler that does not just return.
    pub fn handle(&self, id: SessionId, handler: Handler) {
        self.handlers.borrow_mut().insert(id, handler);
    }

    /// The ends of a session so far.
    pub fn of(&self, id: SessionId) -> Vec<End> {
        self.heard.borrow().get(&id).cloned().unwrap_or_default()
    }

    /// Waits for the end of this number (0 is the first) of a session; `None` when it has not come
    /// by the deadline.
    pub async fn wait_for(&self, id: SessionId, number: usize, deadline: Instant) -> Option<End> {
        loop {
            if let Some(end) = self.of(id).into_iter().nth(number) {
                return Some(end);
            }
            let left = deadline.since(clock::now());
            if clock::timeout(left, self.told.notified()).await.is_err() {
                return None;
            }
        }
    }
}

/// One server's callback.
pub struct Listener {
    /// The server.
    pub server: u32,
    /// Where ends are kept.
    pub ends: Rc<Ends>,
}

#[async_trait(?Send)]
impl ExpireCallback for Listener {
    async fn session_end(&self, notice: EndNotice) -> Result<(), EndHandlerFailed> {
        let EndNotice { id, item, .. } = notice;
        let end = End {
            server: self.server,
            at: clock::now(),
            item,
        };
        let first = {
            let mut heard = self.ends.heard.borrow_mut();
            let ends = heard.entry(id).or_default();
            ends.push(end);
            ends.len() == 1
        };
        self.ends.told.notify_waiters();
        let handler = self.ends.handlers.borrow().get(&id).copied();
        match handler.unwrap_or_default() {
            Handler::Returns => Ok(()),
            Handler::Takes(time) => {
                clock::sleep(time).await;
                Ok(())
            }
            Handler::Throws => Err(EndHandlerFailed),
            Handler::FirstNeverReturns if first => std::future::pending().await,
            Handler::FirstNeverReturns => Ok(()),
        }
    }
}
