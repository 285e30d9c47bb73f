//! The queue of timers: who is to be woken, and when.
//!
//! A [queue](super::queue) of deadlines and a slab of sleepers. Equal deadlines fire in the order in which
//! they were set, which makes virtual time deterministic. A timer that is dropped leaves a tombstone in the
//! queue, recognised by its generation.

use super::Instant;
use super::queue::{Entry, Queue};
use super::tasks::{TaskId, Tasks};
use crate::fetch::{Level, fetch};
use std::task::Waker;

/// How many timers before its own a task is fetched into the first cache.
const SOON: usize = 2;

/// A timer that is set. Must be given back to [`Timers::clear`] when it is no longer wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timer {
    slot: u32,
    generation: u32,
}

/// Whom a timer wakes.
#[derive(Debug)]
pub enum Sleeper {
    /// A task of the same executor.
    Task(TaskId),
    /// Someone else, such as a future that wakes only a part of a task.
    Waker(Waker),
}

impl Sleeper {
    const NOBODY: Self = Self::Task(TaskId::NONE);

    /// The task, if it is known.
    const fn task(&self) -> u32 {
        match self {
            Self::Task(task) => task.index,
            Self::Waker(_) => TaskId::NONE.index,
        }
    }
}

/// A timer whose deadline has passed.
#[derive(Debug)]
pub struct Due {
    /// Its deadline.
    pub deadline: Instant,
    /// In which order it was set.
    pub sequence: u64,
    /// Whom it wakes.
    pub sleeper: Sleeper,
}

/// Timers that are set.
#[derive(Default)]
pub struct Timers {
    queue: Queue,
    slots: Vec<Slot>,
    free: Vec<u32>,
    sequence: u64,
    ahead: Ahead,
}

/// How far the buckets after the open one are fetched.
#[derive(Default)]
struct Ahead {
    /// The open bucket.
    bucket: u64,
    /// Timers of the next bucket whose tasks were fetched.
    tasks: usize,
    /// Timers of the bucket after that for which was fetched what leads to their tasks.
    slots: usize,
}

struct Slot {
    generation: u32,
    sleeper: Sleeper,
}

/// Whether nobody dropped the timer of this entry.
fn is_set(slots: &[Slot], entry: &Entry) -> bool {
    slots[entry.slot as usize].generation == entry.generation
}

impl Timers {
    /// Sets `timer` to wake a sleeper at `deadline`, or changes whom it wakes when it is set already.
    pub fn set(&mut self, timer: &mut Option<Timer>, deadline: Instant, sleeper: Sleeper) {
        if let Some(set) = *timer {
            let slot = &mut self.slots[set.slot as usize];
            if slot.generation == set.generation {
                slot.sleeper = sleeper;
                return;
            }
        }
        let task = sleeper.task();
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot {
                generation: 0,
                sleeper: Sleeper::NOBODY,
            });
            (self.slots.len() - 1) as u32
        });
        let entry = &mut self.slots[slot as usize];
        entry.sleeper = sleeper;
        let generation = entry.generation;
        self.sequence += 1;
        self.queue.push(Entry {
            deadline,
            sequence: self.sequence,
            slot,
            generation,
            task,
        });
        *timer = Some(Timer { slot, generation });
    }

    /// Forgets a timer; harmless when it has fired. Returns whom it would have woken.
    pub fn clear(&mut self, timer: Timer) -> Option<Sleeper> {
        let slot = &mut self.slots[timer.slot as usize];
        (slot.generation == timer.generation)
            .then(|| Self::retire(slot, &mut self.free, timer.slot))
    }

    /// The earliest deadline.
    pub fn next(&mut self) -> Option<Instant> {
        Some(self.first()?.deadline)
    }

    /// The earliest timer that nobody dropped.
    fn first(&mut self) -> Option<Entry> {
        loop {
            let slots = &self.slots;
            let entry = self.queue.peek(|entry| is_set(slots, entry))?;
            if is_set(&self.slots, &entry) {
                return Some(entry);
            }
            self.queue.take(&entry);
        }
    }

    /// Takes the earliest timer if its deadline is not after `now`. Has the processor fetch a part of the
    /// tasks that are woken some milliseconds later.
    pub fn pop_due(&mut self, now: Instant, tasks: &Tasks) -> Option<Due> {
        let entry = self.first().filter(|entry| entry.deadline <= now)?;
        self.fetch_ahead(tasks);
        self.queue.take(&entry);
        let slot = &mut self.slots[entry.slot as usize];
        Some(Due {
            deadline: entry.deadline,
            sequence: entry.sequence,
            sleeper: Self::retire(slot, &mut self.free, entry.slot),
        })
    }

    /// Takes everyone who sleeps, for the end of a run.
    pub fn take_all(&mut self) -> Vec<Sleeper> {
        self.queue = Queue::default();
        let sleepers = self.slots.iter_mut();
        sleepers
            .map(|slot| std::mem::replace(&mut slot.sleeper, Sleeper::NOBODY))
            .filter(|sleeper| matches!(sleeper, Sleeper::Waker(_)))
            .collect()
    }

    /// Has the processor fetch a share of the tasks that the next bucket wakes and of what they will use,
    /// and a share of what leads to the tasks of the bucket after that. A hundred thousand visitors are in
    /// no cache, and one that is woken unprepared waits for memory several times in a row
    /// (facts/simulation.md §2). A share with each timer: a processor fetches only a dozen lines at once,
    /// and stops for more.
    fn fetch_ahead(&mut self, tasks: &Tasks) {
        if self.ahead.bucket != self.queue.bucket() {
            self.ahead = Ahead {
                bucket: self.queue.bucket(),
                ..Ahead::default()
            };
        }
        let open = self.queue.open();
        if let Some(soon) = open.len().checked_sub(1 + SOON) {
            tasks.fetch(open[soon].task, Level::First);
        }
        let times = open.len().max(1);
        for entry in share(self.queue.upcoming(1), &mut self.ahead.tasks, times) {
            tasks.fetch(entry.task, Level::Second);
        }
        for entry in share(self.queue.upcoming(2), &mut self.ahead.slots, times) {
            let slot = self.slots.as_ptr().wrapping_add(entry.slot as usize);
            fetch::<1>(slot.cast(), Level::Second);
            tasks.fetch_slot(entry.task);
        }
    }

    fn retire(slot: &mut Slot, free: &mut Vec<u32>, index: u32) -> Sleeper {
        slot.generation = slot.generation.wrapping_add(1);
        free.push(index);
        std::mem::replace(&mut slot.sleeper, Sleeper::NOBODY)
    }
}

/// What is to be done now of all that is to be done in so many times. Notes it as done.
fn share<'a>(all: &'a [Entry], done: &mut usize, times: usize) -> &'a [Entry] {
    let rest = all.get(*done..).unwrap_or_default();
    let now = (rest.len() as u32).div_ceil(times as u32) as usize;
    *done += now;
    &rest[..now]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn shares_are_everything_once_by_the_last_time(all in 0..100u32, times in 1..100usize) {
            let entries: Vec<_> = (0..all)
                .map(|task| Entry {
                    deadline: Instant::START,
                    sequence: 0,
                    slot: 0,
                    generation: 0,
                    task,
                })
                .collect();
            let mut done = 0;
            let mut given = Vec::new();
            for left in (1..=times).rev() {
                given.extend(share(&entries, &mut done, left).iter().map(|entry| entry.task));
            }
            prop_assert_eq!(given, (0..all).collect::<Vec<_>>());
        }
    }
}
