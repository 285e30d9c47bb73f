//! `SessionStateModule`: how a request gets its session, waits for it, and gives it back.
//!
//! The same for every provider (facts §2). In: a request, a session id and what the request wants
//! of it. Out: the session, held until it is released. Private and shared state each have a module
//! of their own on every CD server, with their own store and constants.
//!
//! The surprising fact: nobody wakes a waiting request. It asks again every 500 ms, so a wait is a
//! whole number of polls however short the lock was held, and whoever polls first after a release
//! is served first, however long others have waited.

use super::contract::{Found, GetItem, LockId, RequestContext, SessionStateStore, StoreError};
use super::id::IdMap;
use super::observer::{
    AcquireError, Grant, Observer, Operation, Outcome, Release, RequestNumber, ServerIndex, Verb,
    Written,
};
use super::settings::ModuleSettings;
use super::{Actions, Item, Minutes, SessionId, StoreKind};
use crate::clock::{self, Instant};
use crate::fetch::Kept;
use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

/// The request module of one CD server for one store kind.
pub struct SessionStateModule {
    store: Rc<dyn SessionStateStore>,
    observer: Rc<dyn Observer>,
    server: ServerIndex,
    constants: Constants,
    /// Requests that wait in this server, by session.
    waiting: RefCell<IdMap<u32>>,
}

/// What decides how a module waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Constants {
    /// Interval of the polls of a waiting request.
    pub poll_interval: Duration,
    /// A poll is skipped when the last one completed less than this ago.
    pub poll_gap: Duration,
    /// Age at which a lock is released by force.
    pub steal_after: Duration,
    /// A request this old that still waits fails.
    pub execution_timeout: Duration,
    /// Requests of one session that may wait in one server.
    pub queue_limit: u32,
}

impl Constants {
    /// The constants for a store kind: a shared lock is stolen after `maxLockAge`, a private one at
    /// the execution timeout (facts §9.5, §2.2).
    #[must_use]
    pub fn of(settings: &ModuleSettings, kind: StoreKind) -> Self {
        let execution_timeout = settings.execution_timeout.duration();
        Self {
            poll_interval: settings.poll_interval.duration(),
            poll_gap: settings.poll_gap.duration(),
            steal_after: match kind {
                StoreKind::Private => execution_timeout,
                StoreKind::Shared => settings.shared_lock_max_age.duration(),
            },
            execution_timeout,
            queue_limit: settings.queue_limit,
        }
    }
}

/// A page request under way.
#[derive(Debug)]
pub struct Request {
    /// Its number in the run.
    pub number: RequestNumber,
    /// When it came in; its execution timeout counts from here, over the waits for all its
    /// sessions.
    pub started: Instant,
    /// What its providers count and remember.
    pub context: RequestContext,
}

/// What a request wants of its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Read it without a lock (`EnableSessionState=ReadOnly`).
    ReadOnly,
    /// Take its lock.
    Exclusive,
}

/// A session that a request holds.
#[derive(Debug)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// Its data, for the request to read and change.
    pub item: Item,
    /// Whether no request has put anything into it yet, so that `Session_Start` is due.
    pub is_new: bool,
    access: Access,
    lock: Option<LockId>,
    in_store: bool,
    timeout_found: Minutes,
}

impl Session {
    /// A session for a visitor without a cookie: nothing is asked of the store (facts §2.2).
    #[must_use]
    pub fn without_cookie(id: SessionId, timeout: Minutes) -> Self {
        Self {
            id,
            item: Item::new(timeout),
            is_new: true,
            access: Access::Exclusive,
            lock: None,
            in_store: false,
            timeout_found: timeout,
        }
    }
}

/// How a request ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Well.
    Success,
    /// In an error: its changes are discarded.
    Error,
    /// With `Session.Abandon`.
    Abandon,
}

impl SessionStateModule {
    /// The module of one CD server for one store.
    #[must_use]
    pub fn new(
        store: Rc<dyn SessionStateStore>,
        observer: Rc<dyn Observer>,
        server: ServerIndex,
        constants: Constants,
    ) -> Self {
        Self {
            store,
            observer,
            server,
            constants,
            waiting: RefCell::default(),
        }
    }

    /// Gets a session that the visitor has a cookie for (facts §2.2). `timeout` is the configured
    /// one, for a session that is not in the store.
    ///
    /// # Errors
    /// See [`AcquireError`]. The request then holds nothing.
    #[allow(
        clippy::manual_async_fn,
        reason = "an async function keeps its arguments twice"
    )]
    pub fn acquire(
        &self,
        request: &Request,
        id: SessionId,
        access: Access,
        timeout: Minutes,
    ) -> impl Future<Output = Result<Session, AcquireError>> {
        async move {
            let mut asked = None;
            let mut wait = Wait::new(self, request, id);
            request.context.waits.set(true);
            let mut polls = 0;
            let mut created = false;
            loop {
                polls += 1;
                // In a block, so that a request that waits does not keep the answer.
                let locked = 'locked: {
                    let (answer, called) = self.get(request, id, access, timeout).await;
                    let asked = *asked.get_or_insert(called.started);
                    let found = match answer {
                        Ok(GetItem::Found(found)) => Some(found),
                        Ok(GetItem::Missing) if access == Access::Exclusive && !created => {
                            break 'locked None;
                        }
                        Ok(GetItem::Missing) => None,
                        Ok(GetItem::Locked { age, lock }) => break 'locked Some((age, lock)),
                        Err(error) => return Err(wait.give_up(error.into())),
                    };
                    let session = session(id, access, timeout, found);
                    self.observer.granted(&Grant {
                        server: self.server,
                        request: request.number,
                        id,
                        exclusive: session.lock.is_some(),
                        asked,
                        granted: called.done,
                        polls,
                        item: (!session.is_new).then_some(&session.item),
                    });
                    return Ok(session);
                };
                // Boxed, as all that is rare: a request under way takes little memory then.
                let Some((age, lock)) = locked else {
                    // Concurrent first requests queue up behind the lock of an empty session.
                    created = true;
                    let creating = Box::pin(self.create_uninitialized(request, id, timeout));
                    if let (Err(error), _) = creating.await {
                        return Err(wait.give_up(error.into()));
                    }
                    continue;
                };
                if age >= self.constants.steal_after {
                    let stealing = Box::pin(self.release_lock(request, id, &lock, timeout));
                    let (stolen, called) = stealing.await;
                    self.observer
                        .stolen(self.server, request.number, id, called.done);
                    if let Err(error) = stolen {
                        return Err(wait.give_up(error.into()));
                    }
                }
                Box::pin(wait.until_next_poll()).await?;
            }
        }
    }

    /// Where the store and the observer keep a session in memory.
    pub fn kept(&self, id: SessionId) -> [Kept; 2] {
        [self.store.kept(id), self.observer.kept(id)]
    }

    /// Gives a session back (facts §2.3). Returns whether it is in the store now, so that the
    /// visitor keeps its cookie.
    ///
    /// # Errors
    /// The store failed; what it did is unknown, and the lock may remain.
    #[allow(
        clippy::manual_async_fn,
        reason = "an async function keeps its arguments twice"
    )]
    pub fn release(
        &self,
        request: &Request,
        session: &Session,
        ending: Ending,
    ) -> impl Future<Output = Result<bool, StoreError>> {
        async move {
            let Session { id, item, .. } = session;
            let untouched = !item.dirty() && item.timeout() == session.timeout_found;
            if session.access == Access::ReadOnly && session.in_store {
                return Ok(true);
            }
            if !session.in_store && (untouched || ending != Ending::Success) {
                // Nothing was stored: the cookie is withdrawn.
                return Ok(false);
            }
            let sent = clock::now();
            let lock = session.lock.as_ref();
            let writes = ending == Ending::Success && (!untouched || !session.in_store);
            if lock.is_some() {
                let written = writes.then_some(item);
                self.observer.releasing(request.number, *id, sent, written);
            }
            let (result, done, written) = match ending {
                Ending::Abandon => {
                    let call = self.store.remove_item(&request.context, *id, lock, item);
                    let (result, called) = self
                        .observed(request, *id, Verb::RemoveItem, item.timeout(), call)
                        .await;
                    (result, called.done, Written::Removed)
                }
                Ending::Success if writes => {
                    let call = self.store.set_and_release_item_exclusive(
                        &request.context,
                        *id,
                        item,
                        lock,
                        !session.in_store,
                    );
                    let verb = Verb::SetAndReleaseItemExclusive;
                    let (result, called) = self
                        .observed(request, *id, verb, item.timeout(), call)
                        .await;
                    let written = match result {
                        Ok(()) => Written::Item(item),
                        Err(_) => Written::Unknown(item),
                    };
                    (result, called.done, written)
                }
                Ending::Success | Ending::Error => match lock {
                    Some(lock) => {
                        let (result, called) =
                            self.release_lock(request, *id, lock, item.timeout()).await;
                        (result, called.done, Written::Nothing)
                    }
                    None => (Ok(()), sent, Written::Nothing),
                },
            };
            self.observer.released(&Release {
                server: self.server,
                request: request.number,
                id: *id,
                sent,
                done,
                written,
            });
            result.map(|()| ending != Ending::Abandon)
        }
    }

    /// Keeps a session alive for a request that does not need it.
    ///
    /// # Errors
    /// The store failed.
    pub async fn keep_alive(
        &self,
        request: &Request,
        id: SessionId,
        timeout: Minutes,
    ) -> Result<(), StoreError> {
        let call = self.store.reset_item_timeout(&request.context, id);
        self.observed(request, id, Verb::ResetItemTimeout, timeout, call)
            .await
            .0
    }

    /// Ends a request: a provider releases what it still remembers.
    ///
    /// # Errors
    /// The store failed.
    pub async fn end_request(&self, request: &Request, id: SessionId) -> Result<(), StoreError> {
        if !self.store.has_to_end(&request.context) {
            return Ok(());
        }
        let before = request.context.round_trips.get();
        let started = clock::now();
        let result = self.store.end_request(&request.context).await;
        if result.is_err() || request.context.round_trips.get() != before {
            // Most providers do nothing here; only a round trip is an operation worth counting.
            let outcome = result.as_ref().map_or_else(outcome_of, |()| Outcome::Done);
            self.observe(
                request,
                id,
                Verb::EndRequest,
                started,
                outcome,
                Minutes::default(),
            );
        }
        result
    }

    #[allow(
        clippy::manual_async_fn,
        reason = "an async function keeps its arguments twice"
    )]
    fn get(
        &self,
        request: &Request,
        id: SessionId,
        access: Access,
        timeout: Minutes,
    ) -> impl Future<Output = (Result<GetItem, StoreError>, Called)> {
        async move {
            let started = clock::now();
            let (verb, result) = match access {
                Access::ReadOnly => (
                    Verb::GetItem,
                    self.store.get_item(&request.context, id).await,
                ),
                Access::Exclusive => (
                    Verb::GetItemExclusive,
                    self.store.get_item_exclusive(&request.context, id).await,
                ),
            };
            let (outcome, timeout) = match &result {
                Ok(GetItem::Found(found)) => (Outcome::Found, found.item.timeout()),
                Ok(GetItem::Missing) => (Outcome::Missing, timeout),
                Ok(GetItem::Locked { .. }) => (Outcome::Locked, timeout),
                Err(error) => (outcome_of(error), timeout),
            };
            let called = self.observe(request, id, verb, started, outcome, timeout);
            (result, called)
        }
    }

    async fn create_uninitialized(
        &self,
        request: &Request,
        id: SessionId,
        timeout: Minutes,
    ) -> (Result<(), StoreError>, Called) {
        let call = self
            .store
            .create_uninitialized_item(&request.context, id, timeout);
        self.observed(request, id, Verb::CreateUninitializedItem, timeout, call)
            .await
    }

    async fn release_lock(
        &self,
        request: &Request,
        id: SessionId,
        lock: &LockId,
        timeout: Minutes,
    ) -> (Result<(), StoreError>, Called) {
        let call = self
            .store
            .release_item_exclusive(&request.context, id, lock);
        self.observed(request, id, Verb::ReleaseItemExclusive, timeout, call)
            .await
    }

    #[allow(
        clippy::manual_async_fn,
        reason = "an async function keeps its arguments twice"
    )]
    fn observed(
        &self,
        request: &Request,
        id: SessionId,
        verb: Verb,
        timeout: Minutes,
        call: impl Future<Output = Result<(), StoreError>>,
    ) -> impl Future<Output = (Result<(), StoreError>, Called)> {
        async move {
            let started = clock::now();
            let result = call.await;
            let outcome = result.as_ref().map_or_else(outcome_of, |()| Outcome::Done);
            let called = self.observe(request, id, verb, started, outcome, timeout);
            (result, called)
        }
    }

    fn observe(
        &self,
        request: &Request,
        id: SessionId,
        verb: Verb,
        started: Instant,
        outcome: Outcome,
        timeout: Minutes,
    ) -> Called {
        let done = clock::now();
        self.observer.operation(&Operation {
            server: self.server,
            request: request.number,
            id,
            verb,
            started,
            done,
            outcome,
            timeout,
        });
        Called { started, done }
    }
}

/// When an operation was called and when it returned: the instants of what it made possible, too, since
/// to ask the time once more would take time.
#[derive(Debug, Clone, Copy)]
struct Called {
    started: Instant,
    done: Instant,
}

fn outcome_of(error: &StoreError) -> Outcome {
    match error {
        StoreError::Timeout { .. } => Outcome::TimedOut,
        _ => Outcome::Failed,
    }
}

fn session(id: SessionId, access: Access, timeout: Minutes, found: Option<Found>) -> Session {
    match found {
        Some(Found {
            item,
            lock,
            actions,
        }) => Session {
            id,
            is_new: actions == Actions::InitializeItem,
            access,
            lock,
            in_store: true,
            timeout_found: item.timeout(),
            item,
        },
        None => Session {
            access,
            ..Session::without_cookie(id, timeout)
        },
    }
}

/// A request's place among those that wait for a session in one server.
struct Wait<'a> {
    module: &'a SessionStateModule,
    request: &'a Request,
    id: SessionId,
    /// When the poll timer was started; `None` before the session was found locked.
    since: Option<Instant>,
}

impl<'a> Wait<'a> {
    fn new(module: &'a SessionStateModule, request: &'a Request, id: SessionId) -> Self {
        Self {
            module,
            request,
            id,
            since: None,
        }
    }

    /// Waits for the next tick of the poll timer (facts §2.2, steps 5 and 6), or for a store that
    /// says that the lock may be free.
    async fn until_next_poll(&mut self) -> Result<(), AcquireError> {
        let completed = clock::now();
        let constants = &self.module.constants;
        let since = match self.since {
            Some(since) => since,
            None => self.enter(completed)?,
        };
        // The timer ticks on a grid of its own; ticks that come during a poll or too soon after it
        // are skipped.
        let interval = constants.poll_interval.as_nanos().max(1) as u64;
        let earliest = (completed + constants.poll_gap).since(since).as_nanos() as u64;
        let tick = earliest.div_ceil(interval).max(1) * interval;
        tokio::select! {
            biased;
            () = clock::sleep_until(since + Duration::from_nanos(tick)) => {}
            () = self.module.store.lock_may_be_free(&self.request.context) => {}
        }
        if clock::now().since(self.request.started) >= constants.execution_timeout {
            return Err(self.give_up(AcquireError::WaitedTooLong));
        }
        Ok(())
    }

    fn enter(&mut self, now: Instant) -> Result<Instant, AcquireError> {
        let waiting = self
            .module
            .waiting
            .borrow()
            .get(&self.id)
            .copied()
            .unwrap_or(0);
        if waiting >= self.module.constants.queue_limit {
            return Err(self.give_up(AcquireError::QueueLimit));
        }
        self.module
            .waiting
            .borrow_mut()
            .insert(self.id, waiting + 1);
        self.since = Some(now);
        self.module
            .observer
            .waiting(self.module.server, self.request.number, self.id, now);
        Ok(now)
    }

    fn give_up(&self, why: AcquireError) -> AcquireError {
        self.module
            .observer
            .refused(self.module.server, self.request.number, self.id, &why);
        why
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        if self.since.is_none() {
            return;
        }
        let mut waiting = self.module.waiting.borrow_mut();
        if let Some(count) = waiting.get_mut(&self.id) {
            *count -= 1;
            if *count == 0 {
                waiting.remove(&self.id);
            }
        }
    }
}

#[cfg(test)]
mod tests;
