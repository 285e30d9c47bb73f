//! Sitecore's poller (facts §9.1, §9.4): a timer that looks for expired sessions and raises their
//! ends.
//!
//! In: a source of expired sessions and the callback. Out: session ends, one after the other in the
//! tick (before Sitecore 9.2), or through a queue in memory with worker threads (from 9.2 on).
//!
//! The surprising fact: one session that cannot be decoded makes its tick fail, and where the source
//! gives it back, as Redis's does, no session behind it ever ends. That poison pill is genuine, and
//! kept.
//!
//! Ours, because unknown: the queue is as deep as it must be when sessions leave the store before
//! their end; when they leave after it, it holds no more than a few per worker, so that no claim
//! runs out while it waits.

use super::BackgroundWork;
use crate::clock::{self, Instant};
use crate::session::{EndNotice, ExpireCallback, Item, Noticed, SessionId, StoreError};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::{Mutex, Semaphore, mpsc, watch};

/// Claimed sessions per worker that may wait in memory while they are still in the store.
const WAITING_PER_WORKER: usize = 16;

/// How Sitecore's poller hands expired sessions to the end handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Processing {
    /// One after the other in the poll itself, as before Sitecore 9.2.
    Serial,
    /// Through a queue in memory with worker threads, as from 9.2 on.
    Queued(Queued),
}

/// Worker threads of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(non_snake_case)]
pub struct Queued {
    /// Threads that take sessions from the queue.
    #[schemars(range(min = 1, max = 256))]
    pub SessionExpirationThreadCount: u32,
}

/// A session that a poller has claimed.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// The session.
    pub id: SessionId,
    /// Its data.
    pub item: Item,
    /// What proves the claim.
    pub cookie: Rc<str>,
}

/// Where a poller finds expired sessions.
#[async_trait(?Send)]
pub trait ExpiredSessions {
    /// The time of a tick, in the store's own words.
    type Signal;

    /// Claims one session that expired before the signal time (`GetExpiredItemExclusive`). The
    /// first call of a tick gets `None` and fixes the signal time for the rest.
    ///
    /// # Errors
    /// The store cannot be asked, or the earliest expired session cannot be decoded.
    async fn claim(&self, signal: &mut Option<Self::Signal>)
    -> Result<Option<Claimed>, StoreError>;

    /// Removes a claimed session from the store (`RemoveItem`).
    ///
    /// # Errors
    /// The store cannot be asked.
    async fn remove(&self, claimed: &Claimed) -> Result<(), StoreError>;
}

/// How a poller works.
#[derive(Debug, Clone, Copy)]
pub struct Polling {
    /// Distance of two ticks; real time.
    pub period: Duration,
    /// In the tick, or through a queue.
    pub processing: Processing,
    /// Whether a session leaves the store only after its end was handled. Serial processing always
    /// does so.
    pub remove_after_end: bool,
}

/// A running poller. Dropping it stops it at once, as a crash would: what is queued is lost.
pub struct Poller {
    stop: watch::Sender<bool>,
}

impl Poller {
    /// Starts to poll; the first tick comes after one period.
    pub fn start(
        source: Rc<impl ExpiredSessions + 'static>,
        callback: Rc<dyn ExpireCallback>,
        polling: Polling,
        work: Rc<RefCell<BackgroundWork>>,
    ) -> Self {
        let (stop, stopped) = watch::channel(false);
        let ticker = Ticker {
            source,
            callback,
            origin: clock::now(),
            polling,
            work,
        };
        clock::spawn_detached(Rc::new(ticker).run(stopped));
        Self { stop }
    }

    /// Stops: no further tick; ends that are under way or queued are handled before this returns.
    pub async fn stop(&self) {
        self.stop.send_replace(true);
        self.stop.closed().await;
    }
}

struct Ticker<S> {
    source: Rc<S>,
    callback: Rc<dyn ExpireCallback>,
    origin: Instant,
    polling: Polling,
    work: Rc<RefCell<BackgroundWork>>,
}

impl<S: ExpiredSessions + 'static> Ticker<S> {
    async fn run(self: Rc<Self>, mut stopped: watch::Receiver<bool>) {
        let queue = match self.polling.processing {
            Processing::Serial => None,
            Processing::Queued(queued) => {
                Some(self.start_workers(queued.SessionExpirationThreadCount, &stopped))
            }
        };
        loop {
            tokio::select! {
                biased;
                // Told to stop, or the poller was dropped.
                _ = stopped.wait_for(|stop| *stop) => return,
                () = clock::sleep_until(self.next_tick()) => {}
            }
            self.work.borrow_mut().ticks += 1;
            if self.tick(queue.as_ref(), &stopped).await.is_err() {
                self.work.borrow_mut().failed_ticks += 1;
            }
        }
    }

    /// The next instant of the grid; those that passed while a tick was at work are skipped.
    fn next_tick(&self) -> Instant {
        let period = self.polling.period.as_nanos() as u64;
        let passed = clock::now().since(self.origin).as_nanos() as u64 / period;
        self.origin + Duration::from_nanos(period.saturating_mul(passed + 1))
    }

    /// Claims expired sessions until there is none.
    async fn tick(
        self: &Rc<Self>,
        queue: Option<&mpsc::Sender<Claimed>>,
        stopped: &watch::Receiver<bool>,
    ) -> Result<(), StoreError> {
        let mut signal = None;
        while !is_stopped(stopped) {
            let Some(claimed) = self.source.claim(&mut signal).await? else {
                break;
            };
            self.work.borrow_mut().claimed += 1;
            match queue {
                None => self.handle(&claimed, true).await?,
                Some(queue) => {
                    if !self.polling.remove_after_end {
                        self.source.remove(&claimed).await?;
                    }
                    // The workers outlive the queue's only sender.
                    let _ = queue.send(claimed).await;
                }
            }
        }
        Ok(())
    }

    /// Raises one end. A callback that throws is not asked again: its visit is lost (facts §9.1).
    async fn handle(&self, claimed: &Claimed, remove: bool) -> Result<(), StoreError> {
        let notice = EndNotice {
            id: claimed.id,
            item: Some(claimed.item.clone()),
            noticed: Noticed::Tick {
                origin: self.origin,
                period: self.polling.period,
            },
        };
        if self.callback.session_end(notice).await.is_err() {
            self.work.borrow_mut().failed_ends += 1;
        }
        if remove {
            self.source.remove(claimed).await?;
        }
        Ok(())
    }

    fn start_workers(
        self: &Rc<Self>,
        workers: u32,
        stopped: &watch::Receiver<bool>,
    ) -> mpsc::Sender<Claimed> {
        let workers = workers.max(1) as usize;
        let depth = if self.polling.remove_after_end {
            workers * WAITING_PER_WORKER
        } else {
            Semaphore::MAX_PERMITS
        };
        let (queue, claimed) = mpsc::channel(depth);
        let claimed = Rc::new(Mutex::new(claimed));
        for _ in 0..workers {
            let worker = Rc::clone(self).work(Rc::clone(&claimed), stopped.clone());
            clock::spawn_detached(worker);
        }
        queue
    }

    /// One worker: takes what is queued until the poller is gone and the queue empty.
    async fn work(
        self: Rc<Self>,
        queue: Rc<Mutex<mpsc::Receiver<Claimed>>>,
        stopped: watch::Receiver<bool>,
    ) {
        loop {
            let next = queue.lock().await.recv().await;
            let Some(claimed) = next else { return };
            let crashed = stopped.has_changed().is_err();
            if crashed {
                return;
            }
            let remove = self.polling.remove_after_end;
            if self.handle(&claimed, remove).await.is_err() {
                self.work.borrow_mut().failed_removals += 1;
            }
        }
    }
}

/// Raises the end of an abandoned session. Returns whether the handler threw.
pub async fn raise_abandoned(
    callback: Option<Rc<dyn ExpireCallback>>,
    id: SessionId,
    item: &Item,
) -> bool {
    let Some(callback) = callback else {
        return false;
    };
    let notice = EndNotice {
        id,
        item: Some(item.clone()),
        noticed: Noticed::Abandoned,
    };
    callback.session_end(notice).await.is_err()
}

fn is_stopped(stopped: &watch::Receiver<bool>) -> bool {
    *stopped.borrow() || stopped.has_changed().is_err()
}
