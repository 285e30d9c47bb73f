//! The executor: a queue of tasks that can run, and the timers. Single-threaded, first in first out, but
//! for tasks that are woken [`at_once`](Executor::at_once).
//!
//! What differs between the clocks is only what happens when no task can run: virtual time jumps to
//! the next deadline here, real time waits for it in `real.rs`.

use super::timers::{Timer, Timers};
use super::{Instant, Task, Utc};
use crate::quantity::mix;
use async_task::Runnable;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::num::NonZeroU64;
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

/// Start of the day in virtual time: 2024-01-01T00:00:00Z.
const VIRTUAL_UTC: Utc = Utc::from_nanos(1_704_067_200_000_000_000);

thread_local! {
    static CURRENT: RefCell<Option<Rc<Executor>>> = const { RefCell::new(None) };
    /// The time of a run in virtual time. Beside the executor, since every request asks for it dozens
    /// of times.
    static VIRTUAL_NOW: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// The time since the start of this thread's run.
#[inline]
pub fn now() -> Instant {
    match VIRTUAL_NOW.get() {
        Some(now) => now,
        None => current(Executor::now),
    }
}

/// Calls `f` with the executor of this thread's run.
pub fn current<T>(f: impl FnOnce(&Executor) -> T) -> T {
    CURRENT.with_borrow(|current| match current {
        Some(executor) => f(executor),
        None => panic!("the clock is used outside a run"),
    })
}

/// Clears a timer if its run is still under way.
pub fn clear_timer(timer: Timer) {
    let waker = CURRENT.with(|current| {
        let current = current.try_borrow().ok()?;
        current.as_ref()?.timers.borrow_mut().clear(timer)
    });
    // A waker may own the last reference to a task, whose drop may clear timers: drop it last.
    drop(waker);
}

/// Tasks woken by other threads, such as name resolution.
#[derive(Default)]
struct Inbox {
    /// Whether there are tasks: looked at far more often than there are.
    filled: AtomicBool,
    tasks: Mutex<Vec<Runnable>>,
    waker: Mutex<Option<Waker>>,
}

/// A clock's time source.
enum Source {
    Real { start: std::time::Instant },
    Virtual,
}

/// Hears what sleepers announced.
type Listener = Rc<dyn Fn(&[NonZeroU64])>;

/// The executor of one run.
pub struct Executor {
    source: Source,
    utc_at_start: Utc,
    queue: RefCell<VecDeque<Runnable>>,
    /// Whether tasks that are woken right now run before all others.
    at_once: Cell<bool>,
    inbox: Arc<Inbox>,
    timers: RefCell<Timers>,
    trace: Cell<u64>,
    /// Wakes whoever runs the executor.
    outer: RefCell<Option<Waker>>,
    /// Hears what sleepers announced.
    listener: RefCell<Option<Listener>>,
    /// Whether the executor pauses, so that whoever runs it must be woken for a task that can run.
    paused: Cell<bool>,
}

impl Executor {
    /// An executor on the real clock.
    #[allow(
        clippy::disallowed_methods,
        reason = "this is where the real time comes from"
    )]
    pub fn real() -> Self {
        let start = std::time::Instant::now();
        Self::new(Source::Real { start }, Utc::of_the_system())
    }

    /// An executor on the virtual clock.
    fn simulated() -> Self {
        Self::new(Source::Virtual, VIRTUAL_UTC)
    }

    fn new(source: Source, utc_at_start: Utc) -> Self {
        Self {
            source,
            utc_at_start,
            queue: RefCell::default(),
            at_once: Cell::new(false),
            inbox: Arc::default(),
            timers: RefCell::default(),
            trace: Cell::new(0),
            outer: RefCell::new(None),
            listener: RefCell::new(None),
            paused: Cell::new(false),
        }
    }

    /// The time since the start of the run.
    #[allow(
        clippy::disallowed_methods,
        reason = "this is where the real time comes from"
    )]
    pub fn now(&self) -> Instant {
        match &self.source {
            Source::Real { start } => Instant::from_nanos(start.elapsed().as_nanos() as u64),
            Source::Virtual => VIRTUAL_NOW.get().unwrap_or_default(),
        }
    }

    /// The date and time of day.
    pub fn utc(&self) -> Utc {
        let nanos = self.utc_at_start.since_epoch().as_nanos() as u64 + self.now().as_nanos();
        Utc::from_nanos(nanos)
    }

    /// Starts a task.
    pub fn spawn<T: 'static>(&self, future: impl Future<Output = T> + 'static) -> Task<T> {
        let inbox = Arc::clone(&self.inbox);
        let schedule = move |task: Runnable| schedule(&inbox, task);
        let (task, handle) = async_task::spawn_local(future, schedule);
        task.schedule();
        handle
    }

    /// Has the tasks that `wake` wakes run before all others.
    pub fn at_once(&self, wake: impl FnOnce()) {
        self.at_once.set(true);
        wake();
        self.at_once.set(false);
    }

    /// Sets a timer for a sleeping task.
    pub fn set_timer(
        &self,
        timer: &mut Option<Timer>,
        deadline: Instant,
        waker: &Waker,
        announced: Option<NonZeroU64>,
    ) {
        let mut timers = self.timers.borrow_mut();
        timers.set(timer, deadline, waker, announced);
    }

    /// Sets who hears what sleepers announce.
    pub fn listen(&self, listener: Listener) {
        *self.listener.borrow_mut() = Some(listener);
    }

    /// Tells what those announced whose time is near.
    fn announce(&self, announced: &[NonZeroU64]) {
        let listener = self.listener.borrow().clone();
        if let Some(listener) = listener {
            listener(announced);
        }
    }

    /// The earliest deadline anyone sleeps for.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.timers.borrow_mut().next()
    }

    /// Wakes every task whose deadline has passed.
    pub fn fire_timers(&self, now: Instant) {
        loop {
            let due = self.timers.borrow_mut().pop_due(now);
            let Some((_, _, waker)) = due else { return };
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    /// Runs tasks until none can run, or `limit` have run. Returns whether some still can.
    pub fn run_tasks(&self, limit: usize) -> bool {
        self.receive();
        for _ in 0..limit {
            let task = self.queue.borrow_mut().pop_front();
            match task {
                Some(task) => {
                    task.run();
                }
                None => return false,
            }
        }
        !self.queue.borrow().is_empty()
    }

    /// Notes that the executor runs.
    pub fn enter(&self) {
        self.paused.set(false);
    }

    /// Notes that the executor pauses, and whom to wake when a task can run again. Returns whether
    /// one can already.
    pub fn leave(&self, waker: &Waker) -> bool {
        let mut outer = self.outer.borrow_mut();
        if !outer.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *outer = Some(waker.clone());
            *lock(&self.inbox.waker) = Some(waker.clone());
        }
        self.paused.set(true);
        self.inbox.filled.load(Ordering::Acquire)
    }

    fn receive(&self) {
        // Looked at first: to write what other threads may write is slow, and this is asked at every
        // event.
        if !self.inbox.filled.load(Ordering::Acquire) {
            return;
        }
        self.inbox.filled.store(false, Ordering::Release);
        let mut inbox = lock(&self.inbox.tasks);
        self.queue.borrow_mut().extend(inbox.drain(..));
    }

    /// Jumps to the earliest deadline and wakes whoever sleeps for it. Returns whether anyone did.
    fn jump(&self) -> bool {
        let due = self.timers.borrow_mut().pop_due(Instant::NEVER);
        let Some((deadline, sequence, waker)) = due else {
            return false;
        };
        let announced = self.timers.borrow_mut().take_announced();
        if !announced.is_empty() {
            self.announce(&announced);
        }
        VIRTUAL_NOW.set(Some(self.now().max(deadline)));
        self.trace.set(mix(self.trace.get()
            ^ deadline.as_nanos()
            ^ sequence.rotate_left(40)));
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }

    /// Drops every task that is left, and whatever their drop wakes.
    fn clear(&self) {
        self.listener.borrow_mut().take();
        loop {
            let wakers = self.timers.borrow_mut().take_all();
            self.receive();
            let tasks: Vec<_> = self.queue.borrow_mut().drain(..).collect();
            if wakers.is_empty() && tasks.is_empty() {
                return;
            }
            drop(wakers);
            drop(tasks);
        }
    }
}

/// Puts a task that was woken into its executor's queue.
fn schedule(inbox: &Arc<Inbox>, task: Runnable) {
    let mut task = Some(task);
    // `try_with`: a task may be woken while the thread ends.
    let _ = CURRENT.try_with(|current| {
        let Ok(current) = current.try_borrow() else {
            return;
        };
        let Some(executor) = current.as_ref() else {
            return;
        };
        if Arc::ptr_eq(&executor.inbox, inbox) {
            let mut queue = executor.queue.borrow_mut();
            match task.take() {
                Some(task) if executor.at_once.get() => queue.push_front(task),
                task => queue.extend(task),
            }
            if executor.paused.replace(false)
                && let Some(outer) = &*executor.outer.borrow()
            {
                outer.wake_by_ref();
            }
        }
    });
    if let Some(task) = task {
        lock(&inbox.tasks).push(task);
        inbox.filled.store(true, Ordering::Release);
        if let Some(waker) = lock(&inbox.waker).as_ref() {
            waker.wake_by_ref();
        }
    }
}

/// Locks, whatever a panicking thread left: the data is a list that is always whole.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes an executor the current one of this thread until it is dropped.
pub struct Installed(Rc<Executor>);

impl Installed {
    /// Installs an executor.
    ///
    /// # Panics
    /// A run is under way on this thread.
    pub fn new(executor: Executor) -> Self {
        if matches!(executor.source, Source::Virtual) {
            VIRTUAL_NOW.set(Some(Instant::START));
        }
        let executor = Rc::new(executor);
        CURRENT.with_borrow_mut(|current| {
            assert!(current.is_none(), "a run is under way on this thread");
            *current = Some(Rc::clone(&executor));
        });
        Self(executor)
    }
}

impl std::ops::Deref for Installed {
    type Target = Executor;

    fn deref(&self) -> &Executor {
        &self.0
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        self.0.clear();
        CURRENT.with_borrow_mut(Option::take);
        VIRTUAL_NOW.set(None);
    }
}

/// No task can ever run again, and the one that was waited for is not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("every task waits for another one")]
pub struct Deadlock;

/// Runs a future on the virtual clock, which starts at zero. Returns its output and a hash over
/// every instant at which anything happened: equal hashes mean equal runs.
///
/// # Errors
/// [`Deadlock`] when the future waits for something that nobody will do.
pub fn run_virtual<T: 'static>(
    future: impl Future<Output = T> + 'static,
) -> Result<(T, u64), Deadlock> {
    let executor = Installed::new(Executor::simulated());
    let mut main = pin!(executor.spawn(future));
    let mut context = Context::from_waker(Waker::noop());
    loop {
        executor.run_tasks(usize::MAX);
        // Asked first: a poll would keep the waker anew at every event.
        if main.is_finished()
            && let Poll::Ready(value) = main.as_mut().poll(&mut context)
        {
            return Ok((value, executor.trace.get()));
        }
        if !executor.jump() {
            return Err(Deadlock);
        }
    }
}
