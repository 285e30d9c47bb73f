//! Sleeps until the earliest deadline of a shard, claims what has ended, and raises its end.
//!
//! In: the shard's index, and deadlines so near that only this server knows them yet. Out: session
//! ends, each in a task of its own, as many at once as there are handlers; then an
//! acknowledgement, which removes the data. An end is raised once while servers live. When one dies
//! between claim and acknowledgement, another raises the end again after the claim's lease, so a
//! handler must be able to meet a session twice.
//!
//! Every server has a sleeper for every shard, and all of them know the same earliest deadline. The
//! surprising fact: they need no leader to keep out of each other's way. Whoever wakes up and finds
//! that another one was there first waits a little longer the next time, up to the safety poll;
//! whoever finds something to do does not. So one of them does the work, and is relieved when it
//! is slow or gone.
//!
//! No clock of a CD server counts: the server says how long it is to the next deadline, and the
//! sleeper counts from the instant at which it *asked*. It is then early by as much as its question
//! took to arrive, so that the next one arrives on time.

use super::Core;
use super::keys::{Shard, member_id};
use super::scripts;
use crate::clock::{self, Instant};
use crate::session::{EndNotice, ExpireCallback, Item, Noticed, RequestContext, StoreError};
use redis::Value as Reply;
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};

/// Most sessions of one claim: their data comes in one reply, which others wait behind.
const BATCH: usize = 16;
/// By how much a sleeper first stands back for another one.
const FIRST_COURTESY: Duration = Duration::from_millis(2);

/// The nearest deadline that a server made itself and that others may learn of too late.
#[derive(Default)]
pub struct Alarm {
    at: Cell<Option<Instant>>,
    moved: Notify,
}

impl Alarm {
    /// Wakes the sleeper at an instant, if not before.
    pub fn set(&self, at: Instant) {
        if self.at.get().is_none_or(|earlier| at < earlier) {
            self.at.set(Some(at));
            self.moved.notify_one();
        }
    }

    fn rings_before(&self, wake: Instant) -> Instant {
        self.at.get().map_or(wake, |at| at.min(wake))
    }

    fn stop(&self, now: Instant) {
        if self.at.get().is_some_and(|at| at <= now) {
            self.at.set(None);
        }
    }
}

/// One sleeper of one instance.
pub struct Sleeper {
    /// The instance's store.
    pub core: Rc<Core>,
    /// The shard.
    pub shard: Shard,
    /// Whom it tells of session ends.
    pub callback: Rc<dyn ExpireCallback>,
    /// Handlers that may run at once, of all shards of the instance.
    pub handlers: Arc<Semaphore>,
    /// Tells it to stop; the sender's end is the server's death.
    pub stopped: watch::Receiver<bool>,
}

/// What a claim brought.
struct Claim {
    /// Instant of the earliest entry that is left, and how long it is until then.
    next: Option<(u64, Duration)>,
    /// Entries that had come too early.
    moved: u64,
    ended: Vec<Ended>,
}

/// An ended session that is ours to handle until the claim's lease is over.
struct Ended {
    member: String,
    token: String,
    again: bool,
    data: Vec<u8>,
}

impl Sleeper {
    /// Sleeps and claims until it is told to stop.
    pub async fn run(self) {
        let mut stopped = self.stopped.clone();
        tokio::select! {
            biased;
            _ = stopped.wait_for(|stop| *stop) => {}
            () = self.sleep_and_claim() => {}
        }
    }

    async fn sleep_and_claim(&self) {
        let safety_poll = self.core.design.safety_poll;
        // What ended while no server was there has waited for long enough.
        let mut wake = clock::now();
        let mut courtesy = Duration::ZERO;
        // The entry for which this sleeper wakes up, if any.
        let mut expected = None;
        loop {
            self.sleep_until(wake).await;
            let woke = clock::now();
            self.core.alarm(self.shard).stop(woke);
            let room = self.room().await;
            let asked = clock::now();
            self.core.work.borrow_mut().ticks += 1;
            let Ok(claim) = self.claim(room.num_permits()).await else {
                self.core.work.borrow_mut().failed_ticks += 1;
                wake = clock::now() + safety_poll;
                continue;
            };
            let next = claim.next.map(|(at, _)| at);
            if !claim.ended.is_empty() || claim.moved > 0 {
                courtesy = Duration::ZERO;
            } else if expected.is_some() && expected != next {
                self.core.work.borrow_mut().claimed_by_others += 1;
                courtesy = (courtesy * 2).clamp(FIRST_COURTESY, safety_poll);
            }
            let left = claim.next.map(|(_, left)| left + courtesy);
            expected = next.filter(|_| left.is_some_and(|left| left < safety_poll));
            wake = asked + left.unwrap_or(safety_poll).min(safety_poll);
            self.handle(claim.ended, woke, room);
        }
    }

    /// Sleeps until an instant, or until an alarm that rings before it.
    async fn sleep_until(&self, wake: Instant) {
        let alarm = self.core.alarm(self.shard);
        loop {
            tokio::select! {
                biased;
                () = clock::sleep_until(alarm.rings_before(wake)) => return,
                () = alarm.moved.notified() => {}
            }
        }
    }

    /// Waits for a free handler, and takes as many as there are for one claim.
    async fn room(&self) -> OwnedSemaphorePermit {
        let count = self.handlers.available_permits().clamp(1, BATCH);
        let permits = Arc::clone(&self.handlers).acquire_many_owned(count as u32);
        match permits.await {
            Ok(permits) => permits,
            // Nobody closes it.
            Err(_) => std::future::pending().await,
        }
    }

    async fn claim(&self, most: usize) -> Result<Claim, StoreError> {
        let Core { keys, design, .. } = &*self.core;
        let (index, counter) = (keys.index(self.shard), keys.counter(self.shard));
        let [most, lease, retention] = [
            most.to_string(),
            design.lease.as_micros().to_string(),
            design.retention.as_millis().to_string(),
        ];
        let request = RequestContext::default();
        let reply = self
            .core
            .connections
            .eval(
                &request,
                &scripts::CLAIM,
                &[&index, &counter],
                &[most.as_bytes(), lease.as_bytes(), retention.as_bytes()],
            )
            .await?;
        read_claim(reply).ok_or_else(|| StoreError::Refused("a claim has another shape".to_owned()))
    }

    /// Raises the ends, each in a task of its own.
    fn handle(&self, ended: Vec<Ended>, woke: Instant, mut room: OwnedSemaphorePermit) {
        for ended in ended {
            let permit = room.split(1);
            let core = Rc::clone(&self.core);
            let callback = Rc::clone(&self.callback);
            // Whoever stops waits until the last one of these is gone.
            let mut stopped = self.stopped.clone();
            let shard = self.shard;
            clock::spawn_detached(async move {
                let (died, raised) = (
                    stopped.wait_for(|_| false),
                    core.raise(ended, woke, shard, callback.as_ref()),
                );
                tokio::select! {
                    biased;
                    _ = died => {}
                    () = raised => {}
                }
                drop(permit);
            });
        }
    }
}

impl Core {
    /// Raises one end and acknowledges it. A handler that throws is not asked again, as with every
    /// other provider (facts §2.4).
    async fn raise(
        &self,
        ended: Ended,
        woke: Instant,
        shard: Shard,
        callback: &dyn ExpireCallback,
    ) {
        let Some(id) = member_id(&ended.member) else {
            return;
        };
        let item = Item::decode(&ended.data).ok();
        {
            let mut work = self.work.borrow_mut();
            work.claimed += 1;
            work.claimed_again += u64::from(ended.again);
            work.undecodable += u64::from(item.is_none());
        }
        // What cannot be decoded blocks nobody; its data stays until its retention is over.
        let keep: &[u8] = if item.is_none() { b"keep" } else { b"" };
        let noticed = Noticed::Claimed {
            woke,
            again: ended.again,
        };
        let notice = EndNotice { id, item, noticed };
        if callback.session_end(notice).await.is_err() {
            self.work.borrow_mut().failed_ends += 1;
        }
        let keys = [
            self.keys.index(shard),
            self.keys.counter(shard),
            self.keys.ended(shard, &ended.member),
        ];
        let arguments = [ended.member.as_bytes(), ended.token.as_bytes(), keep];
        let acknowledged = self
            .connections
            .eval(
                &RequestContext::default(),
                &scripts::ACKNOWLEDGE,
                &keys.each_ref().map(String::as_str),
                &arguments,
            )
            .await;
        // Refused: the handler took longer than the lease, and another server has it now.
        if acknowledged != Ok(Reply::Int(1)) {
            self.work.borrow_mut().failed_removals += 1;
        }
    }
}

fn read_claim(reply: Reply) -> Option<Claim> {
    let Reply::Array(elements) = reply else {
        return None;
    };
    let mut elements = elements.into_iter();
    let mut number = || match elements.next()? {
        Reply::Int(number) => Some(number),
        _ => None,
    };
    let (now, next, moved) = (number()?, number()?, number()?);
    let next = u64::try_from(next).ok();
    Some(Claim {
        next: next.map(|at| {
            let left = at.saturating_sub(now.unsigned_abs());
            (at, Duration::from_micros(left))
        }),
        moved: moved.unsigned_abs(),
        ended: elements.map(read_ended).collect::<Option<_>>()?,
    })
}

fn read_ended(reply: Reply) -> Option<Ended> {
    let Reply::Array(elements) = reply else {
        return None;
    };
    let [
        Reply::BulkString(member),
        Reply::Int(token),
        Reply::Int(claims),
        Reply::BulkString(data),
    ]: [Reply; 4] = elements.try_into().ok()?
    else {
        return None;
    };
    Some(Ended {
        member: String::from_utf8(member).ok()?,
        token: token.to_string(),
        again: claims > 1,
        data,
    })
}
