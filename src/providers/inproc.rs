//! System.Web's in-process store (facts §3): the example to read before writing a provider.
//!
//! Each CD server keeps its sessions in its own memory. A session slides on every get, also on the
//! poll of a waiter, and is removed by the cache wheel: a timer at every UTC multiple of 20 s that
//! removes whatever has expired, or by the next request that touches it.
//!
//! The surprising fact: a get that would prolong a session by less than 1 s does not move its
//! expiry, so a session can end up to 1 s early.

use super::{Provider, Seat, ServerInfo, StoreSample};
use crate::clock::{self, Instant, Task};
use crate::session::{
    Actions, EndNotice, ExpireCallback, Found, GetItem, IdMap, Item, LockId, Minutes, Noticed,
    RequestContext, SessionId, SessionStateStore, StoreError,
};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

/// Distance of two flushes of the cache wheel; flushes come at UTC multiples of it.
const WHEEL: Duration = Duration::from_secs(20);

/// A get that would prolong a session by less does not move its expiry.
const MIN_SLIDING_UPDATE: Duration = Duration::from_secs(1);

/// Settings of the in-process store; it has none of its own.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Inproc {}

/// The in-process provider of one cluster.
#[derive(Default)]
pub struct InprocProvider {
    caches: RefCell<Vec<Rc<Cache>>>,
}

#[async_trait(?Send)]
impl Provider for InprocProvider {
    async fn open(&self, seat: &Seat) -> Result<Rc<dyn SessionStateStore>, StoreError> {
        let cache = Rc::new(Cache {
            sessions: RefCell::default(),
            minute: seat.minute,
            callback: RefCell::default(),
        });
        self.caches.borrow_mut().push(Rc::clone(&cache));
        let wheel = clock::spawn(turn_wheel(Rc::clone(&cache)));
        Ok(Rc::new(InprocStore {
            cache,
            wheel: Cell::new(Some(wheel)),
        }))
    }

    fn server(&self) -> Option<&ServerInfo> {
        None
    }

    async fn sample(&self) -> Result<StoreSample, StoreError> {
        let caches = self.caches.borrow();
        let sessions: usize = caches
            .iter()
            .map(|cache| cache.sessions.borrow().len())
            .sum();
        Ok(StoreSample {
            keys: Some(sessions as u64),
            volatile_keys: Some(sessions as u64),
            ..StoreSample::default()
        })
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.caches.borrow_mut().clear();
        Ok(())
    }
}

/// The in-process store of one CD server and store kind (`InProcSessionStateStore`).
struct InprocStore {
    cache: Rc<Cache>,
    wheel: Cell<Option<Task<()>>>,
}

/// The sessions in one server's memory.
struct Cache {
    sessions: RefCell<IdMap<Entry>>,
    minute: Duration,
    callback: RefCell<Option<Rc<dyn ExpireCallback>>>,
}

/// One session in memory.
struct Entry {
    item: Item,
    expires: Instant,
    locked: bool,
    /// When the lock was taken last.
    locked_since: Instant,
    /// Counts the times the lock was taken; identifies the holder.
    cookie: u32,
    uninitialised: bool,
}

impl Entry {
    fn new(item: Item, minute: Duration, uninitialised: bool) -> Self {
        Self {
            expires: clock::now() + item.timeout().lasting(minute),
            item,
            locked: false,
            locked_since: Instant::START,
            cookie: 1,
            uninitialised,
        }
    }

    fn held_by(&self, lock: Option<&LockId>) -> bool {
        self.locked && lock == Some(&LockId::Cookie(self.cookie.into()))
    }
}

impl Cache {
    /// Uses an entry as every access of the cache does: an expired one is removed and its end
    /// raised, a live one slides.
    fn access<T>(self: &Rc<Self>, id: SessionId, f: impl FnOnce(&mut Entry) -> T) -> Option<T> {
        let now = clock::now();
        let mut sessions = self.sessions.borrow_mut();
        let entry = sessions.get_mut(&id)?;
        if entry.expires <= now {
            let entry = sessions.remove(&id)?;
            drop(sessions);
            self.raise_end(id, entry, Noticed::Access);
            return None;
        }
        let slid = now + entry.item.timeout().lasting(self.minute);
        if slid.since(entry.expires) >= MIN_SLIDING_UPDATE {
            entry.expires = slid;
        }
        Some(f(entry))
    }

    /// Removes every session that has expired.
    fn flush(self: &Rc<Self>, tick: Instant) {
        let now = clock::now();
        let mut expired: Vec<_> = {
            let sessions = self.sessions.borrow();
            let due = sessions.iter().filter(|(_, entry)| entry.expires <= now);
            due.map(|(id, entry)| (entry.expires, *id)).collect()
        };
        expired.sort_unstable();
        for (_, id) in expired {
            let removed = self.sessions.borrow_mut().remove(&id);
            if let Some(entry) = removed {
                let noticed = Noticed::Tick {
                    origin: tick,
                    period: WHEEL,
                };
                self.raise_end(id, entry, noticed);
            }
        }
    }

    /// Hands a removed session to the thread pool, as the module does (facts §2.4).
    fn raise_end(&self, id: SessionId, entry: Entry, noticed: Noticed) {
        let callback = self.callback.borrow().clone();
        let Some(callback) = callback.filter(|_| !entry.uninitialised) else {
            return;
        };
        let notice = EndNotice {
            id,
            item: Some(entry.item),
            noticed,
        };
        // Nobody hears of an exception in the handler: the cache swallows it.
        clock::spawn(async move { callback.session_end(notice).await }).detach();
    }
}

/// Flushes the cache at every UTC multiple of 20 s.
async fn turn_wheel(cache: Rc<Cache>) {
    let since_tick = clock::utc().since_epoch().as_nanos() % WHEEL.as_nanos();
    let mut tick = clock::now() + (WHEEL - Duration::from_nanos(since_tick as u64));
    loop {
        clock::sleep_until(tick).await;
        cache.flush(tick);
        tick = tick + WHEEL;
    }
}

#[async_trait(?Send)]
impl SessionStateStore for InprocStore {
    fn set_item_expire_callback(&self, callback: Rc<dyn ExpireCallback>) -> bool {
        *self.cache.callback.borrow_mut() = Some(callback);
        true
    }

    async fn get_item(
        &self,
        _request: &RequestContext,
        id: SessionId,
    ) -> Result<GetItem, StoreError> {
        let answer = self.cache.access(id, |entry| match entry.locked {
            true => locked(entry),
            false => found(entry, None),
        });
        Ok(answer.unwrap_or(GetItem::Missing))
    }

    async fn get_item_exclusive(
        &self,
        _request: &RequestContext,
        id: SessionId,
    ) -> Result<GetItem, StoreError> {
        let answer = self.cache.access(id, |entry| match entry.locked {
            true => locked(entry),
            false => {
                entry.cookie += 1;
                entry.locked = true;
                entry.locked_since = clock::now();
                let lock = LockId::Cookie(entry.cookie.into());
                found(entry, Some(lock))
            }
        });
        Ok(answer.unwrap_or(GetItem::Missing))
    }

    async fn set_and_release_item_exclusive(
        &self,
        _request: &RequestContext,
        id: SessionId,
        item: &Item,
        lock: Option<&LockId>,
        new_item: bool,
    ) -> Result<(), StoreError> {
        if new_item {
            let entry = Entry::new(item.stored(), self.cache.minute, false);
            self.cache.sessions.borrow_mut().insert(id, entry);
            return Ok(());
        }
        let minute = self.cache.minute;
        self.cache.access(id, |entry| {
            if !entry.held_by(lock) {
                // Stolen meanwhile: the update is lost without a word.
                return;
            }
            if entry.item.timeout() != item.timeout() {
                entry.expires = clock::now() + item.timeout().lasting(minute);
            }
            entry.item = item.stored();
            entry.locked = false;
            entry.uninitialised = false;
        });
        Ok(())
    }

    async fn release_item_exclusive(
        &self,
        _request: &RequestContext,
        id: SessionId,
        lock: &LockId,
    ) -> Result<(), StoreError> {
        self.cache.access(id, |entry| {
            if entry.held_by(Some(lock)) {
                entry.locked = false;
            }
        });
        Ok(())
    }

    async fn remove_item(
        &self,
        _request: &RequestContext,
        id: SessionId,
        lock: Option<&LockId>,
        _item: &Item,
    ) -> Result<(), StoreError> {
        let owned = self.cache.access(id, |entry| entry.held_by(lock));
        if owned == Some(true) {
            let removed = self.cache.sessions.borrow_mut().remove(&id);
            if let Some(entry) = removed {
                self.cache.raise_end(id, entry, Noticed::Abandoned);
            }
        }
        Ok(())
    }

    async fn reset_item_timeout(
        &self,
        _request: &RequestContext,
        id: SessionId,
    ) -> Result<(), StoreError> {
        self.cache.access(id, |_| ());
        Ok(())
    }

    async fn create_uninitialized_item(
        &self,
        _request: &RequestContext,
        id: SessionId,
        timeout: Minutes,
    ) -> Result<(), StoreError> {
        // The cache's `Add` does not overwrite.
        let mut sessions = self.cache.sessions.borrow_mut();
        sessions
            .entry(id)
            .or_insert_with(|| Entry::new(Item::new(timeout), self.cache.minute, true));
        Ok(())
    }

    async fn end_request(&self, _request: &RequestContext) -> Result<(), StoreError> {
        Ok(())
    }

    fn prefetch(&self, id: SessionId) {
        let sessions = self.cache.sessions.borrow();
        std::hint::black_box(sessions.get(&id).map(|entry| entry.item.is_ours()));
    }

    async fn dispose(&self) {
        self.cache.callback.borrow_mut().take();
        if let Some(wheel) = self.wheel.take() {
            wheel.cancel().await;
        }
    }
}

fn locked(entry: &Entry) -> GetItem {
    GetItem::Locked {
        age: clock::now().since(entry.locked_since),
        lock: LockId::Cookie(entry.cookie.into()),
    }
}

fn found(entry: &mut Entry, lock: Option<LockId>) -> GetItem {
    // Whoever sees the flag first raises `Session_Start`, so it is cleared.
    let actions = match std::mem::take(&mut entry.uninitialised) {
        true => Actions::InitializeItem,
        false => Actions::None,
    };
    GetItem::Found(Found {
        item: entry.item.clone(),
        lock,
        actions,
    })
}

#[cfg(test)]
mod tests;
