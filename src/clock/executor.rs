//! The executor: a queue of tasks that can run, and the timers. Single-threaded, first in first out, but
//! for tasks that are woken [`at_once`](Executor::at_once).
//!
//! What differs between the clocks is only what happens when no task can run: virtual time jumps to
//! the next deadline here, real time waits for it in `real.rs`.

use super::task::{Task, join};
use super::tasks::{Job, TaskId, Tasks, Turn};
use super::timers::{Due, Sleeper, Timer, Timers};
use super::{Instant, Utc};
use crate::fetch::Kept;
use crate::quantity::mix;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

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
    let sleeper = CURRENT.with(|current| {
        let current = current.try_borrow().ok()?;
        current.as_ref()?.timers.borrow_mut().clear(timer)
    });
    // A waker may own the last reference to something whose drop clears timers: drop it last.
    drop(sleeper);
}

/// Tasks woken by other threads, such as name resolution.
#[derive(Default)]
struct Inbox {
    /// Whether there are tasks: looked at far more often than there are.
    filled: AtomicBool,
    tasks: Mutex<Vec<TaskId>>,
    waker: Mutex<Option<Waker>>,
}

/// A clock's time source.
enum Source {
    Real { start: std::time::Instant },
    Virtual,
}

/// Wakes a task, from whichever thread.
struct TaskWaker {
    inbox: Arc<Inbox>,
    task: TaskId,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        wake(&self.inbox, self.task);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        wake(&self.inbox, self.task);
    }
}

/// The task that is polled, and the address by which its waker is known.
#[derive(Clone, Copy)]
struct Running {
    task: TaskId,
    waker: *const (),
}

/// The executor of one run.
pub struct Executor {
    source: Source,
    utc_at_start: Utc,
    tasks: RefCell<Tasks>,
    queue: RefCell<VecDeque<TaskId>>,
    running: Cell<Option<Running>>,
    /// Whether tasks that are woken right now run before all others.
    at_once: Cell<bool>,
    inbox: Arc<Inbox>,
    timers: RefCell<Timers>,
    trace: Cell<u64>,
    /// Wakes whoever runs the executor.
    outer: RefCell<Option<Waker>>,
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
            tasks: RefCell::default(),
            queue: RefCell::default(),
            running: Cell::new(None),
            at_once: Cell::new(false),
            inbox: Arc::default(),
            timers: RefCell::default(),
            trace: Cell::new(0),
            outer: RefCell::new(None),
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
        let (job, joined) = join(future);
        Task::new(self.start(job), joined)
    }

    /// Starts a task that nobody waits for.
    pub fn start(&self, job: Job) -> TaskId {
        let waker = |task| {
            let inbox = Arc::clone(&self.inbox);
            Waker::from(Arc::new(TaskWaker { inbox, task }))
        };
        let task = self.tasks.borrow_mut().add(job, waker);
        self.wake(task);
        task
    }

    /// Cancels a task: it is dropped when its turn comes.
    pub fn cancel(&self, task: TaskId) {
        self.tasks.borrow_mut().cancel(task);
        self.wake(task);
    }

    /// Puts a task into the queue, unless it is there already.
    fn wake(&self, task: TaskId) {
        if self.tasks.borrow_mut().wake(task) {
            self.enqueue(task);
        }
    }

    fn enqueue(&self, task: TaskId) {
        let mut queue = self.queue.borrow_mut();
        if self.at_once.get() {
            queue.push_front(task);
        } else {
            queue.push_back(task);
        }
        if self.paused.replace(false)
            && let Some(outer) = &*self.outer.borrow()
        {
            outer.wake_by_ref();
        }
    }

    /// Polls a task whose turn has come.
    fn run(&self, task: TaskId) {
        let turn = self.tasks.borrow_mut().begin(task);
        match turn {
            Turn::Poll(mut job, waker) => {
                self.running.set(Some(Running {
                    task,
                    waker: waker.data(),
                }));
                let polled = job.as_mut().poll(&mut Context::from_waker(&waker));
                self.running.set(None);
                if polled.is_pending() {
                    let again = self.tasks.borrow_mut().suspend(task, job, waker);
                    if again {
                        self.enqueue(task);
                    }
                    return;
                }
                drop(job);
            }
            Turn::Drop(job) => drop(job),
        }
        self.tasks.borrow_mut().remove(task);
    }

    /// Notes what memory the task that is polled will use when it is woken.
    pub fn will_use(&self, what: [Kept; 4]) {
        if let Some(running) = self.running.get() {
            self.tasks.borrow_mut().will_use(running.task, what);
        }
    }

    /// Has the tasks that `wake` wakes run before all others.
    pub fn at_once(&self, wake: impl FnOnce()) {
        self.at_once.set(true);
        wake();
        self.at_once.set(false);
    }

    /// Sets a timer for a sleeper.
    pub fn set_timer(&self, timer: &mut Option<Timer>, deadline: Instant, waker: &Waker) {
        let running = self.running.get();
        let sleeper = match running.filter(|running| running.waker == waker.data()) {
            Some(running) => Sleeper::Task(running.task),
            None => Sleeper::Waker(waker.clone()),
        };
        self.timers.borrow_mut().set(timer, deadline, sleeper);
    }

    fn pop_due(&self, now: Instant) -> Option<Due> {
        let tasks = self.tasks.borrow();
        self.timers.borrow_mut().pop_due(now, &tasks)
    }

    fn wake_sleeper(&self, sleeper: Sleeper) {
        match sleeper {
            Sleeper::Task(task) => self.wake(task),
            Sleeper::Waker(waker) => waker.wake(),
        }
    }

    /// The earliest deadline anyone sleeps for.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.timers.borrow_mut().next()
    }

    /// Wakes every task whose deadline has passed.
    pub fn fire_timers(&self, now: Instant) {
        while let Some(due) = self.pop_due(now) {
            self.wake_sleeper(due.sleeper);
        }
    }

    /// Runs tasks until none can run, or `limit` have run. Returns whether some still can.
    pub fn run_tasks(&self, limit: usize) -> bool {
        self.receive();
        for _ in 0..limit {
            let task = self.queue.borrow_mut().pop_front();
            match task {
                Some(task) => self.run(task),
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
        let woken = std::mem::take(&mut *lock(&self.inbox.tasks));
        woken.into_iter().for_each(|task| self.wake(task));
    }

    /// Jumps to the earliest deadline and wakes whoever sleeps for it. Returns whether anyone did.
    fn jump(&self) -> bool {
        let Some(due) = self.pop_due(Instant::NEVER) else {
            return false;
        };
        VIRTUAL_NOW.set(Some(self.now().max(due.deadline)));
        self.trace.set(mix(self.trace.get()
            ^ due.deadline.as_nanos()
            ^ due.sequence.rotate_left(40)));
        self.wake_sleeper(due.sleeper);
        true
    }

    /// Drops every task that is left, and whatever their drop wakes.
    fn clear(&self) {
        loop {
            let sleepers = self.timers.borrow_mut().take_all();
            let jobs = self.tasks.borrow_mut().take_all();
            self.queue.borrow_mut().clear();
            if sleepers.is_empty() && jobs.is_empty() {
                return;
            }
            drop(sleepers);
            drop(jobs);
        }
    }
}

/// Cancels a task of this thread's run, if that is still under way.
pub fn cancel(task: TaskId) {
    // `try_with`: a handle may be dropped while the thread ends.
    let _ = CURRENT.try_with(|current| {
        if let Ok(current) = current.try_borrow()
            && let Some(executor) = &*current
        {
            executor.cancel(task);
        }
    });
}

/// Wakes a task, on its executor's thread or another.
fn wake(inbox: &Arc<Inbox>, task: TaskId) {
    let woken = CURRENT.try_with(|current| {
        let Ok(current) = current.try_borrow() else {
            return false;
        };
        match &*current {
            Some(executor) if Arc::ptr_eq(&executor.inbox, inbox) => {
                executor.wake(task);
                true
            }
            _ => false,
        }
    });
    if woken != Ok(true) {
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
