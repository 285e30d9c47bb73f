//! The queue of timers: who is to be woken, and when.
//!
//! A [queue](super::queue) of deadlines and a slab of wakers. Equal deadlines fire in the order in which they were
//! set, which makes virtual time deterministic. A timer that is dropped leaves a tombstone in the
//! queue, recognised by its generation.

use super::Instant;
use super::queue::{Entry, Queue};
use crate::fetch::fetch;
use std::num::NonZeroU64;
use std::task::Waker;

/// Bytes of a task that are fetched before it is woken: what a visitor who thinks takes.
const TASK_BYTES: usize = 192;

/// A timer that is set. Must be given back to [`Timers::clear`] when it is no longer wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timer {
    slot: u32,
    generation: u32,
}

/// Timers that are set.
#[derive(Default)]
pub struct Timers {
    queue: Queue,
    slots: Vec<Slot>,
    free: Vec<u32>,
    sequence: u64,
    /// The bucket of the queue whose tasks were fetched last.
    fetched: u64,
    /// What the sleepers of the bucket after that one announced.
    announced: Vec<NonZeroU64>,
}

struct Slot {
    generation: u32,
    waker: Option<Waker>,
}

/// Whether nobody dropped the timer of this entry.
fn is_set(slots: &[Slot], entry: &Entry) -> bool {
    slots[entry.slot as usize].generation == entry.generation
}

impl Timers {
    /// Sets `timer` to wake at `deadline`, or changes whom it wakes when it is set already.
    pub fn set(
        &mut self,
        timer: &mut Option<Timer>,
        deadline: Instant,
        waker: &Waker,
        announced: Option<NonZeroU64>,
    ) {
        if let Some(set) = *timer {
            let slot = &mut self.slots[set.slot as usize];
            if slot.generation == set.generation {
                match &mut slot.waker {
                    Some(old) => old.clone_from(waker),
                    empty => *empty = Some(waker.clone()),
                }
                return;
            }
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot {
                generation: 0,
                waker: None,
            });
            (self.slots.len() - 1) as u32
        });
        let entry = &mut self.slots[slot as usize];
        entry.waker = Some(waker.clone());
        let generation = entry.generation;
        self.sequence += 1;
        self.queue.push(Entry {
            deadline,
            sequence: self.sequence,
            slot,
            generation,
            announced,
        });
        *timer = Some(Timer { slot, generation });
    }

    /// Forgets a timer; harmless when it has fired.
    pub fn clear(&mut self, timer: Timer) -> Option<Waker> {
        let slot = &mut self.slots[timer.slot as usize];
        (slot.generation == timer.generation)
            .then(|| Self::retire(slot, &mut self.free, timer.slot))
            .flatten()
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
            if self.queue.bucket() != self.fetched {
                self.fetched = self.queue.bucket();
                self.fetch_ahead();
            }
            if is_set(&self.slots, &entry) {
                return Some(entry);
            }
            self.queue.take(&entry);
        }
    }

    /// Takes the earliest timer if its deadline is not after `now`.
    pub fn pop_due(&mut self, now: Instant) -> Option<(Instant, u64, Option<Waker>)> {
        let entry = self.first().filter(|entry| entry.deadline <= now)?;
        self.queue.take(&entry);
        let slot = &mut self.slots[entry.slot as usize];
        let waker = Self::retire(slot, &mut self.free, entry.slot);
        Some((entry.deadline, entry.sequence, waker))
    }

    /// Takes what was announced by those who are to wake up within some milliseconds.
    pub fn take_announced(&mut self) -> Vec<NonZeroU64> {
        std::mem::take(&mut self.announced)
    }

    /// Takes every waker, for the end of a run.
    pub fn take_all(&mut self) -> Vec<Waker> {
        self.queue = Queue::default();
        self.slots
            .iter_mut()
            .filter_map(|slot| slot.waker.take())
            .collect()
    }

    /// Has the processor fetch the tasks that the open bucket wakes, and the wakers of the next one,
    /// which say where the tasks after those are. A hundred thousand visitors are in no cache, and one
    /// that is woken unprepared waits for memory several times in a row (facts/simulation.md §2). Notes
    /// what the sleepers of the next bucket announced.
    fn fetch_ahead(&mut self) {
        self.announced.clear();
        for entry in self.queue.open() {
            let slot = &self.slots[entry.slot as usize];
            if let Some(waker) = &slot.waker {
                fetch(waker.data().cast(), TASK_BYTES);
            }
        }
        for entry in self.queue.upcoming() {
            let slot = &raw const self.slots[entry.slot as usize];
            fetch(slot.cast(), size_of::<Slot>());
            self.announced.extend(entry.announced);
        }
    }

    fn retire(slot: &mut Slot, free: &mut Vec<u32>, index: u32) -> Option<Waker> {
        slot.generation = slot.generation.wrapping_add(1);
        free.push(index);
        slot.waker.take()
    }
}
