//! The tasks of one executor: futures in a slab, polled by one thread.
//!
//! A task is known by its place in the slab, so that a timer or the executor's queue wakes it without
//! touching a waker. Wakers are for everyone else, such as channels and other threads; they are counted
//! atomically, which takes longer than the poll of a short task.
//!
//! The surprising fact: a task that is cancelled is dropped when its turn comes, as if it had been
//! woken, and not at once: whoever cancels it may be in the middle of something that the drop changes.

use crate::fetch::{Kept, Level, fetch};
use std::future::Future;
use std::pin::Pin;
use std::task::Waker;

/// Cache lines of a future that are fetched before it is polled: what a visitor who thinks takes.
const FUTURE_LINES: usize = 3;

/// What a task runs.
pub type Job = Pin<Box<dyn Future<Output = ()>>>;

/// A task: its place in the slab, and which use of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskId {
    pub index: u32,
    generation: u32,
}

impl TaskId {
    /// No task.
    pub const NONE: Self = Self {
        index: u32::MAX,
        generation: 0,
    };
}

/// The tasks that have not ended.
#[derive(Default)]
pub struct Tasks {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

/// A task. On a boundary of two cache lines, as it is fetched before the task is woken.
#[repr(align(128))]
struct Slot {
    generation: u32,
    state: State,
    cancelled: bool,
    /// It and its waker are not there while it is polled.
    job: Option<Job>,
    waker: Option<Waker>,
    will_use: [Kept; 4],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// There is no task here.
    Vacant,
    /// It waits to be woken.
    Waiting,
    /// It waits for its turn.
    Queued,
    /// It is polled.
    Running,
    /// It is polled, and was woken meanwhile.
    Woken,
}

/// What is to be done with a task whose turn has come.
pub enum Turn {
    /// Poll it, then call [`Tasks::suspend`] or [`Tasks::remove`].
    Poll(Job, Waker),
    /// Drop it, and call [`Tasks::remove`].
    Drop(Option<Job>),
}

impl Tasks {
    /// Adds a task whose waker `waker` makes. It is not queued yet.
    pub fn add(&mut self, job: Job, waker: impl FnOnce(TaskId) -> Waker) -> TaskId {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot {
                generation: 0,
                state: State::Vacant,
                cancelled: false,
                job: None,
                waker: None,
                will_use: Default::default(),
            });
            (self.slots.len() - 1) as u32
        });
        let slot = &mut self.slots[index as usize];
        let id = TaskId {
            index,
            generation: slot.generation,
        };
        slot.state = State::Waiting;
        slot.cancelled = false;
        slot.job = Some(job);
        slot.waker = Some(waker(id));
        id
    }

    /// Wakes a task. Returns whether it is to be queued.
    pub fn wake(&mut self, id: TaskId) -> bool {
        let Some(slot) = self.get(id) else {
            return false;
        };
        match slot.state {
            State::Waiting => {
                slot.state = State::Queued;
                true
            }
            State::Running => {
                slot.state = State::Woken;
                false
            }
            State::Vacant | State::Queued | State::Woken => false,
        }
    }

    /// Cancels a task, which is also to be woken.
    pub fn cancel(&mut self, id: TaskId) {
        if let Some(slot) = self.get(id) {
            slot.cancelled = true;
        }
    }

    /// Starts the turn of a task that was queued.
    pub fn begin(&mut self, id: TaskId) -> Turn {
        let Some(slot) = self.get(id) else {
            return Turn::Drop(None);
        };
        slot.state = State::Running;
        match (slot.job.take(), slot.waker.take()) {
            (Some(job), Some(waker)) if !slot.cancelled => Turn::Poll(job, waker),
            (job, _) => Turn::Drop(job),
        }
    }

    /// Puts a task back that is not done. Returns whether it is to be queued again.
    pub fn suspend(&mut self, id: TaskId, job: Job, waker: Waker) -> bool {
        let slot = &mut self.slots[id.index as usize];
        let again = slot.state == State::Woken;
        slot.state = if again { State::Queued } else { State::Waiting };
        slot.job = Some(job);
        slot.waker = Some(waker);
        again
    }

    /// Frees the place of a task that ended.
    pub fn remove(&mut self, id: TaskId) {
        if let Some(slot) = self.get(id) {
            slot.state = State::Vacant;
            slot.generation = slot.generation.wrapping_add(1);
            slot.waker = None;
            slot.will_use = Default::default();
            self.free.push(id.index);
        }
    }

    /// Takes every task out, for the end of a run.
    pub fn take_all(&mut self) -> Vec<Job> {
        let slots = self.slots.iter_mut();
        let jobs = slots.filter_map(|slot| slot.job.take()).collect();
        *self = Self::default();
        jobs
    }

    /// Notes what memory a task will use when it is woken.
    pub fn will_use(&mut self, id: TaskId, what: [Kept; 4]) {
        if let Some(slot) = self.get(id) {
            slot.will_use = what;
        }
    }

    /// Has the processor fetch what is known of a task, for [`Self::fetch`].
    pub fn fetch_slot(&self, index: u32) {
        let slot = self.slots.as_ptr().wrapping_add(index as usize);
        fetch::<2>(slot.cast(), Level::Second);
    }

    /// Has the processor fetch a task that will be polled soon, and what it said that it will use.
    #[inline]
    pub fn fetch(&self, index: u32, level: Level) {
        let Some(slot) = self.slots.get(index as usize) else {
            return;
        };
        if let Some(job) = &slot.job {
            fetch::<FUTURE_LINES>((&raw const **job).cast(), level);
        }
        slot.will_use.iter().for_each(|kept| kept.fetch(level));
    }

    fn get(&mut self, id: TaskId) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(id.index as usize)?;
        (slot.generation == id.generation).then_some(slot)
    }
}
