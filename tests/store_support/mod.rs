//! What tests of every store need: sessions, requests, and somebody who hears their ends.
#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

use sessionbench::clock::{Instant, now, sleep};
use sessionbench::providers::Seat;
use sessionbench::session::value::Text;
use sessionbench::session::{
    EndNotice, ExpireCallback, Found, GetItem, Item, Minutes, RequestContext, SessionId,
    SessionStateStore, StoreKind, Value,
};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

/// A CD server's private state: 20 minutes at scale 1.
pub fn seat(server: u32) -> Seat {
    Seat {
        server,
        kind: StoreKind::Private,
        timeout: Minutes(20),
        minute: Duration::from_secs(60),
        execution_timeout: Duration::from_secs(110),
    }
}

/// The same with minutes of this length.
pub fn fast_seat(server: u32, minute: Duration) -> Seat {
    Seat {
        minute,
        ..seat(server)
    }
}

pub fn id(number: u128) -> SessionId {
    SessionId::private(number)
}

pub fn request() -> RequestContext {
    RequestContext::default()
}

/// An item with a text.
pub fn item(text: &str) -> Item {
    let mut item = Item::new(Minutes(20));
    item.set("data", Value::Text(text.into()));
    item
}

pub fn text_of(item: &Item) -> String {
    match item.get("data") {
        Some(Value::Text(Text::Owned(text))) => text.to_string(),
        other => panic!("no text: {other:?}"),
    }
}

/// Stores a new session.
pub async fn store_new(store: &Rc<dyn SessionStateStore>, id: SessionId, text: &str) {
    store
        .set_and_release_item_exclusive(&request(), id, &item(text), None, true)
        .await
        .unwrap();
}

/// Takes the lock of a session that must be there and free.
pub async fn take(
    store: &Rc<dyn SessionStateStore>,
    request: &RequestContext,
    id: SessionId,
) -> Found {
    match store.get_item_exclusive(request, id).await.unwrap() {
        GetItem::Found(found) => found,
        other => panic!("not found: {other:?}"),
    }
}

/// An end as a callback saw it.
pub struct End {
    pub notice: EndNotice,
    pub at: Instant,
}

/// Collects session ends; its handler may take a while or throw.
#[derive(Default)]
pub struct Ends {
    pub seen: RefCell<Vec<End>>,
    pub at_work: Cell<usize>,
    pub most_at_work: Cell<usize>,
    pub takes: Cell<Duration>,
    pub throws: Cell<bool>,
}

#[async_trait::async_trait(?Send)]
impl ExpireCallback for Ends {
    async fn session_end(
        &self,
        notice: EndNotice,
    ) -> Result<(), sessionbench::session::contract::EndHandlerFailed> {
        self.seen.borrow_mut().push(End { notice, at: now() });
        self.at_work.set(self.at_work.get() + 1);
        self.most_at_work
            .set(self.most_at_work.get().max(self.at_work.get()));
        if !self.takes.get().is_zero() {
            sleep(self.takes.get()).await;
        }
        self.at_work.set(self.at_work.get() - 1);
        if self.throws.get() {
            return Err(sessionbench::session::contract::EndHandlerFailed);
        }
        Ok(())
    }
}

impl Ends {
    pub fn ids(&self) -> Vec<SessionId> {
        self.seen.borrow().iter().map(|end| end.notice.id).collect()
    }
}

/// Waits until something is true, and fails when it never becomes so.
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = now() + Duration::from_secs(30);
    while !condition() {
        assert!(now() < deadline, "never happened: {what}");
        sleep(Duration::from_millis(2)).await;
    }
}
