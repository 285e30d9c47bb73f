//! `redis_deadline`: our own answer to what a session store on Redis can do.
//!
//! In: what every provider gets. Out: the same, and session ends at the deadline. Nothing genuine
//! is on the wire here; the design is ours, from the measurements of facts/simulation.md §4.
//!
//! ```text
//! keys      shards, so that a session, its queue and its index share a cluster slot
//! sleeper   sleeps until the earliest deadline of a shard; claims, raises, acknowledges
//! turns     calls a waiting request when the lock is its own to take
//! scripts/  one script for each operation: session, lock, queue and index change together
//! ```
//!
//! **Time** is the server's, read in each script, so clocks of CD servers do not count.
//!
//! **The index is lazy.** A request moves the deadline in the session and leaves the index, unless
//! the entry would come too late. An entry that comes too early is moved when it comes: one index
//! write for each timeout that passes, and not one for each request.
//!
//! **An ended session** is renamed, so that its data stays until its end was handled while the
//! visitor, who finds no session, begins a new one under the same id. Nobody gets a session that is
//! due: a request that comes before the sleeper ends it, and the sleeper raises the end.
//! A session whose lock is held is in use and does not end.
//!
//! **A lock** is a number that only rises. The script that writes looks whether it is still the
//! session's, so that a request that was robbed changes nothing. It lasts until it is released or
//! stolen, but keeps its session from ending for the execution timeout only: then its holder is
//! gone. **Waiters** have a place in Redis, in the order in which they came; a release calls the
//! first one, and nobody overtakes it. A waiter that does not ask again within its lease has lost
//! its place, so that none who died is waited for. A request that asks once and does not wait has no
//! place, so that it blocks nobody.
//!
//! **Two requests that both find no session** and store one do not overwrite each other: the first
//! write stays, the second is refused and counted. What the second wanted to write is lost; to keep
//! both, they would have to wait for each other, as requests with exclusive access do.
//!
//! **When all CD servers are gone**, everything stays for [`RedisDeadline::retention`]: a server that
//! comes back raises the ends that are due. After that Redis removes all of it but one small counter
//! for each shard.
//!
//! The surprising fact: a dirty page costs two round trips, one less than with the genuine
//! providers, although it does more: those release a lock that they have released already.

pub mod keys;
pub mod scripts;
mod sleeper;
mod turns;

use self::keys::{Keys, Shard};
use self::sleeper::{Alarm, Sleeper};
use self::turns::{Hearing, Turns};
use super::connection::Connections;
use super::microsoft::{add_one, tolerate};
use super::script::Script;
use super::settings::RedisDeadline;
use crate::clock;
use crate::providers::poller::raise_abandoned;
use crate::providers::{BackgroundWork, Seat};
use crate::session::{
    Actions, ExpireCallback, Found, GetItem, Item, LockId, Minutes, RequestContext, SessionId,
    SessionStateStore, StoreError,
};
use async_trait::async_trait;
use redis::Value as Reply;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, watch};

/// How the provider works, in real time.
#[derive(Debug, Clone, Copy)]
pub struct Design {
    /// A sleeper looks at its shard at least this often.
    pub safety_poll: Duration,
    /// How long a claim on an ended session lasts.
    pub lease: Duration,
    /// How long a waiter that does not ask again keeps its place.
    pub waiter_lease: Duration,
    /// How long data outlives its deadline where nobody handles it.
    pub retention: Duration,
    /// Session ends that one server handles at once.
    pub handlers: usize,
    /// Whether a failed operation fails the request.
    pub throw_on_error: bool,
}

impl From<&RedisDeadline> for Design {
    fn from(settings: &RedisDeadline) -> Self {
        Self {
            safety_poll: settings.safety_poll.duration(),
            lease: settings.claim_lease.duration(),
            waiter_lease: settings.waiter_lease.duration(),
            retention: settings.retention.duration(),
            handlers: settings.handlers.max(1) as usize,
            throw_on_error: settings.redis.throwOnError,
        }
    }
}

/// What the parts of one instance share.
pub struct Core {
    connections: Connections,
    keys: Keys,
    seat: Seat,
    design: Design,
    turns: Rc<Turns>,
    /// One for each shard.
    alarms: Vec<Alarm>,
    work: Rc<RefCell<BackgroundWork>>,
}

/// One instance of the provider. Dropping it is the death of its server: what it has claimed and
/// not handled is claimed by another one.
pub struct DeadlineStore {
    core: Rc<Core>,
    callback: RefCell<Option<Rc<dyn ExpireCallback>>>,
    stop: watch::Sender<bool>,
}

impl DeadlineStore {
    /// An instance for one CD server and store kind. It subscribes to its own channel.
    ///
    /// # Errors
    /// The server cannot be reached or refuses.
    pub async fn open(
        connections: Connections,
        keys: Keys,
        seat: Seat,
        design: Design,
        work: Rc<RefCell<BackgroundWork>>,
    ) -> Result<Self, StoreError> {
        let turns = Rc::new(Turns::new(
            keys.channel(instance(&connections, &keys).await?),
        ));
        let topology = Rc::clone(connections.topology());
        let subscription = turns.subscribe(&topology).await?;
        let (stop, stopped) = watch::channel(false);
        let hearing = Hearing {
            turns: Rc::clone(&turns),
            topology,
            work: Rc::clone(&work),
            stopped,
        };
        clock::spawn_detached(hearing.run(subscription));
        let core = Core {
            connections,
            alarms: keys.shards().map(|_| Alarm::default()).collect(),
            keys,
            seat,
            design,
            turns,
            work,
        };
        Ok(Self {
            core: Rc::new(core),
            callback: RefCell::default(),
            stop,
        })
    }

    /// Runs a script on one session.
    fn eval<'a>(
        &'a self,
        request: &'a RequestContext,
        id: SessionId,
        script: &'a Script,
        arguments: &[&[u8]],
    ) -> impl Future<Output = Result<Reply, StoreError>> + use<'a> {
        let core = &self.core;
        let (keys, id) = (core.keys.session(id), id.to_string());
        let retention = core.design.retention.as_millis().to_string();
        let arguments = [&[id.as_bytes(), retention.as_bytes()], arguments].concat();
        core.connections
            .eval(request, script, &keys.all(), &arguments)
    }

    fn tolerate<T>(
        &self,
        request: &RequestContext,
        result: Result<T, StoreError>,
        empty: T,
    ) -> Result<T, StoreError> {
        tolerate(self.core.design.throw_on_error, request, result, empty)
    }

    /// Asks for a session, with a place in its queue.
    async fn get(
        &self,
        request: &RequestContext,
        id: SessionId,
        script: &Script,
        arguments: &[&[u8]],
    ) -> Result<GetItem, StoreError> {
        let turns = &self.core.turns;
        let number = match request.queued.take() {
            Some((waited_for, number)) if waited_for == id => number,
            _ => turns.enter(),
        };
        let waits = request.waits.get();
        let lease = match waits {
            true => micros(self.core.design.waiter_lease),
            false => micros(Duration::ZERO),
        };
        let ticket = turns.ticket(number);
        let arguments = [&[ticket.as_bytes()], arguments, &[lease.as_bytes()]].concat();
        let answer = self.eval(request, id, script, &arguments).await;
        let answer = answer.and_then(|reply| read_answer(request, reply));
        match &answer {
            Ok(GetItem::Locked { .. }) if !waits => turns.leave(number),
            // An answer that was lost may have been a place in the queue, or the lock.
            Ok(GetItem::Locked { .. }) | Err(_) => request.queued.set(Some((id, number))),
            _ => turns.leave(number),
        }
        if let Ok(GetItem::Found(found)) = &answer {
            self.touched(id, self.lasting(found.item.timeout()));
        }
        answer
    }

    /// Has the sleeper wake up for a deadline that is nearer than the next safety polls: other
    /// servers' sleepers would not know of it in time.
    fn touched(&self, id: SessionId, left: Duration) {
        if left < self.core.design.safety_poll * 2 {
            let shard = self.core.keys.shard(id);
            self.core.alarm(shard).set(clock::now() + left);
        }
    }

    /// The same where only the store knows the timeout, and replied it.
    fn touched_by_reply(&self, id: SessionId, reply: &Reply) {
        if let Reply::Int(timeout @ 1..) = reply {
            self.touched(id, Duration::from_micros(timeout.unsigned_abs()));
        }
    }

    /// Real length of a timeout.
    fn lasting(&self, timeout: Minutes) -> Duration {
        timeout.lasting(self.core.seat.minute)
    }
}

impl Core {
    fn alarm(&self, shard: Shard) -> &Alarm {
        // There is one for each shard of `keys`.
        &self.alarms[shard.index()]
    }
}

/// A number for an instance that no other one of this application has.
async fn instance(connections: &Connections, keys: &Keys) -> Result<u64, StoreError> {
    let Some(shard) = keys.shards().next() else {
        return Ok(0);
    };
    let command = redis::cmd("INCR").arg(keys.counter(shard)).take();
    let request = RequestContext::default();
    match connections.command(&request, &command).await? {
        Reply::Int(number) => Ok(number.unsigned_abs()),
        _ => Err(unreadable()),
    }
}

#[async_trait(?Send)]
impl SessionStateStore for DeadlineStore {
    fn set_item_expire_callback(&self, callback: Rc<dyn ExpireCallback>) -> bool {
        let handlers = Arc::new(Semaphore::new(self.core.design.handlers));
        for shard in self.core.keys.shards() {
            let sleeper = Sleeper {
                core: Rc::clone(&self.core),
                shard,
                callback: Rc::clone(&callback),
                handlers: Arc::clone(&handlers),
                stopped: self.stop.subscribe(),
            };
            clock::spawn_detached(sleeper.run());
        }
        *self.callback.borrow_mut() = Some(callback);
        true
    }

    async fn get_item(
        &self,
        request: &RequestContext,
        id: SessionId,
    ) -> Result<GetItem, StoreError> {
        let result = self.get(request, id, &scripts::READ, &[]).await;
        self.tolerate(request, result, GetItem::Missing)
    }

    async fn get_item_exclusive(
        &self,
        request: &RequestContext,
        id: SessionId,
    ) -> Result<GetItem, StoreError> {
        let life = micros(self.core.seat.execution_timeout);
        let result = self
            .get(request, id, &scripts::TAKE, &[life.as_bytes()])
            .await;
        self.tolerate(request, result, GetItem::Missing)
    }

    async fn set_and_release_item_exclusive(
        &self,
        request: &RequestContext,
        id: SessionId,
        item: &Item,
        lock: Option<&LockId>,
        _new_item: bool,
    ) -> Result<(), StoreError> {
        let lock = lock.map(LockId::as_text).unwrap_or_default();
        let timeout = self.lasting(item.timeout());
        let (lasting, data) = (micros(timeout), item.encode());
        let arguments = [lock.as_bytes(), lasting.as_bytes(), &data];
        let result = self.eval(request, id, &scripts::WRITE, &arguments).await;
        if result == Ok(Reply::Int(0)) {
            add_one(&request.refused);
        }
        self.touched(id, timeout);
        self.tolerate(request, result.map(drop), ())
    }

    async fn release_item_exclusive(
        &self,
        request: &RequestContext,
        id: SessionId,
        lock: &LockId,
    ) -> Result<(), StoreError> {
        let lock = lock.as_text();
        let result = self
            .eval(request, id, &scripts::RELEASE, &[lock.as_bytes()])
            .await;
        let result = result.map(|reply| self.touched_by_reply(id, &reply));
        self.tolerate(request, result, ())
    }

    /// Raises session end in the request, then removes, as Sitecore's providers do (facts §9.1). A
    /// server that dies in between leaves a session that ends at its deadline.
    async fn remove_item(
        &self,
        request: &RequestContext,
        id: SessionId,
        lock: Option<&LockId>,
        item: &Item,
    ) -> Result<(), StoreError> {
        let callback = self.callback.borrow().clone();
        if raise_abandoned(callback, id, item).await {
            self.core.work.borrow_mut().failed_ends += 1;
        }
        let lock = lock.map(LockId::as_text).unwrap_or_default();
        let result = self
            .eval(request, id, &scripts::REMOVE, &[lock.as_bytes()])
            .await;
        self.tolerate(request, result.map(drop), ())
    }

    async fn reset_item_timeout(
        &self,
        request: &RequestContext,
        id: SessionId,
    ) -> Result<(), StoreError> {
        let result = self.eval(request, id, &scripts::RESET, &[]).await;
        let result = result.map(|reply| self.touched_by_reply(id, &reply));
        self.tolerate(request, result, ())
    }

    async fn create_uninitialized_item(
        &self,
        request: &RequestContext,
        id: SessionId,
        timeout: Minutes,
    ) -> Result<(), StoreError> {
        let data = Item::new(timeout).encode();
        let timeout = self.lasting(timeout);
        let lasting = micros(timeout);
        let result = self
            .eval(request, id, &scripts::CREATE, &[lasting.as_bytes(), &data])
            .await;
        self.touched(id, timeout);
        self.tolerate(request, result.map(drop), ())
    }

    /// A request that gave up waiting leaves the queue, and a lock that it never heard of.
    async fn end_request(&self, request: &RequestContext) -> Result<(), StoreError> {
        let Some((id, number)) = request.queued.get() else {
            return Ok(());
        };
        if id.kind() != self.core.seat.kind {
            return Ok(());
        }
        request.queued.set(None);
        let ticket = self.core.turns.ticket(number);
        self.core.turns.leave(number);
        let result = self
            .eval(request, id, &scripts::LEAVE, &[ticket.as_bytes()])
            .await;
        self.tolerate(request, result.map(drop), ())
    }

    async fn lock_may_be_free(&self, request: &RequestContext) {
        match request.queued.get() {
            Some((_, number)) => self.core.turns.come(number).await,
            None => std::future::pending().await,
        }
    }

    async fn dispose(&self) {
        self.stop.send_replace(true);
        self.stop.closed().await;
    }
}

/// What the scripts that get a session reply.
fn read_answer(request: &RequestContext, reply: Reply) -> Result<GetItem, StoreError> {
    let elements: [Reply; 4] = match reply {
        Reply::Nil => return Ok(GetItem::Missing),
        Reply::Array(elements) => elements.try_into().map_err(|_| unreadable())?,
        _ => return Err(unreadable()),
    };
    match elements {
        [_, lock, Reply::Int(age), _] => Ok(GetItem::Locked {
            age: Duration::from_micros(age.unsigned_abs()),
            lock: lock_id(&lock).ok_or_else(unreadable)?,
        }),
        [_, lock, Reply::BulkString(data), new] => {
            let item = Item::decode(&data).map_err(|error| {
                add_one(&request.undecodable);
                StoreError::Undecodable(error.to_string())
            })?;
            let actions = match new {
                Reply::BulkString(new) if new.is_empty() => Actions::None,
                _ => Actions::InitializeItem,
            };
            Ok(GetItem::Found(Found {
                item,
                lock: lock_id(&lock),
                actions,
            }))
        }
        _ => Err(unreadable()),
    }
}

/// A lock's number; none where a reader took no lock.
fn lock_id(reply: &Reply) -> Option<LockId> {
    let number = match reply {
        Reply::Int(number) => number.unsigned_abs(),
        Reply::BulkString(text) => std::str::from_utf8(text).ok()?.parse().ok()?,
        _ => return None,
    };
    Some(LockId::Cookie(number))
}

fn unreadable() -> StoreError {
    StoreError::Refused("a script's reply has another shape".to_owned())
}

fn micros(duration: Duration) -> String {
    duration.as_micros().to_string()
}
