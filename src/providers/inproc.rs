//! System.Web's in-process store (facts §3): the example to read before writing a provider.
//!
//! Each CD server keeps its sessions in its own memory, in ASP.NET's [`cache`]. A session slides on
//! every get, also on the poll of a waiter, and is removed by the cache wheel or by the next request
//! that touches it.
//!
//! The surprising fact: a session can end up to 1 s early, because the cache does not prolong it by
//! less than that.

use super::{Provider, Seat, ServerInfo, StoreSample};
use crate::cache::{self, Access, Cache, Sliding, WHEEL};
use crate::clock::{self, Instant, Task};
use crate::fetch::Kept;
use crate::session::{
    Actions, EndNotice, ExpireCallback, Found, GetItem, IdHasher, Item, LockId, Minutes, Noticed,
    RequestContext, SessionId, SessionStateStore, StoreError,
};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::cell::{Cell, RefCell};
use std::hash::BuildHasherDefault;
use std::rc::Rc;
use std::time::Duration;

/// Settings of the in-process store; it has none of its own.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Inproc {}

/// The in-process provider of one cluster.
#[derive(Default)]
pub struct InprocProvider {
    memories: RefCell<Vec<Rc<Memory>>>,
}

#[async_trait(?Send)]
impl Provider for InprocProvider {
    async fn open(&self, seat: &Seat) -> Result<Rc<dyn SessionStateStore>, StoreError> {
        let memory = Rc::new(Memory {
            sessions: RefCell::new(Cache::new(seat.minute)),
            callback: RefCell::default(),
        });
        self.memories.borrow_mut().push(Rc::clone(&memory));
        let turned = Rc::clone(&memory);
        let wheel = clock::spawn(cache::turn_wheel(move |turn| turned.flush(turn)));
        Ok(Rc::new(InprocStore {
            memory,
            wheel: Cell::new(Some(wheel)),
        }))
    }

    fn server(&self) -> Option<&ServerInfo> {
        None
    }

    async fn sample(&self) -> Result<StoreSample, StoreError> {
        let memories = self.memories.borrow();
        let sessions: usize = memories
            .iter()
            .map(|memory| memory.sessions.borrow().len())
            .sum();
        Ok(StoreSample {
            keys: Some(sessions as u64),
            volatile_keys: Some(sessions as u64),
            ..StoreSample::default()
        })
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.memories.borrow_mut().clear();
        Ok(())
    }
}

/// The in-process store of one CD server and store kind (`InProcSessionStateStore`).
struct InprocStore {
    memory: Rc<Memory>,
    wheel: Cell<Option<Task<()>>>,
}

/// The sessions in one server's memory.
struct Memory {
    sessions: RefCell<Cache<SessionId, Entry, BuildHasherDefault<IdHasher>>>,
    callback: RefCell<Option<Rc<dyn ExpireCallback>>>,
}

/// One session in memory.
struct Entry {
    item: Item,
    locked: bool,
    /// When the lock was taken last.
    locked_since: Instant,
    /// Counts the times the lock was taken; identifies the holder.
    cookie: u32,
    uninitialised: bool,
}

impl Entry {
    fn new(item: Item, uninitialised: bool) -> Self {
        Self {
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

impl Sliding for Entry {
    fn timeout(&self, minute: Duration) -> Duration {
        self.item.timeout().lasting(minute)
    }
}

impl Memory {
    /// Uses an entry; the end of one that had expired is raised.
    fn access<T>(&self, id: SessionId, f: impl FnOnce(&mut Entry) -> T) -> Option<T> {
        let expired = match self.sessions.borrow_mut().access(id) {
            Access::Missing => return None,
            Access::Live(entry) => return Some(f(entry)),
            Access::Expired(entry) => entry,
        };
        self.raise_end(id, expired, Noticed::Access);
        None
    }

    /// Removes every session that has expired.
    fn flush(&self, turn: Instant) {
        let expired = self.sessions.borrow_mut().flush();
        for (id, entry) in expired {
            let noticed = Noticed::Tick {
                origin: turn,
                period: WHEEL,
            };
            self.raise_end(id, entry, noticed);
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
        clock::spawn_detached(async move { callback.session_end(notice).await });
    }
}

#[async_trait(?Send)]
impl SessionStateStore for InprocStore {
    fn set_item_expire_callback(&self, callback: Rc<dyn ExpireCallback>) -> bool {
        *self.memory.callback.borrow_mut() = Some(callback);
        true
    }

    async fn get_item(
        &self,
        _request: &RequestContext,
        id: SessionId,
    ) -> Result<GetItem, StoreError> {
        let answer = self.memory.access(id, |entry| match entry.locked {
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
        let answer = self.memory.access(id, |entry| match entry.locked {
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
            let entry = Entry::new(item.stored(), false);
            self.memory.sessions.borrow_mut().insert(id, entry);
            return Ok(());
        }
        let reinsert = self.memory.access(id, |entry| {
            if !entry.held_by(lock) {
                // Stolen meanwhile: the update is lost without a word.
                return false;
            }
            let changed = entry.item.timeout() != item.timeout();
            entry.item = item.stored();
            entry.locked = false;
            entry.uninitialised = false;
            changed
        });
        if reinsert == Some(true) {
            let mut sessions = self.memory.sessions.borrow_mut();
            if let Some(entry) = sessions.remove(&id) {
                sessions.insert(id, entry);
            }
        }
        Ok(())
    }

    async fn release_item_exclusive(
        &self,
        _request: &RequestContext,
        id: SessionId,
        lock: &LockId,
    ) -> Result<(), StoreError> {
        self.memory.access(id, |entry| {
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
        let owned = self.memory.access(id, |entry| entry.held_by(lock));
        if owned == Some(true) {
            let removed = self.memory.sessions.borrow_mut().remove(&id);
            if let Some(entry) = removed {
                self.memory.raise_end(id, entry, Noticed::Abandoned);
            }
        }
        Ok(())
    }

    async fn reset_item_timeout(
        &self,
        _request: &RequestContext,
        id: SessionId,
    ) -> Result<(), StoreError> {
        self.memory.access(id, |_| ());
        Ok(())
    }

    async fn create_uninitialized_item(
        &self,
        _request: &RequestContext,
        id: SessionId,
        timeout: Minutes,
    ) -> Result<(), StoreError> {
        // The cache's `Add` does not overwrite.
        let entry = Entry::new(Item::new(timeout), true);
        self.memory.sessions.borrow_mut().add(id, entry);
        Ok(())
    }

    async fn end_request(&self, _request: &RequestContext) -> Result<(), StoreError> {
        Ok(())
    }

    fn has_to_end(&self, _request: &RequestContext) -> bool {
        false
    }

    fn kept(&self, id: SessionId) -> Kept {
        self.memory.sessions.borrow().kept(&id)
    }

    async fn dispose(&self) {
        self.memory.callback.borrow_mut().take();
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
