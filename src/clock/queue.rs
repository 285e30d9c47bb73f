//! A queue of deadlines for very many sleepers: the earliest comes out first.
//!
//! A binary heap misses the processor's caches at every level when a hundred thousand visitors
//! think; here a deadline is put into a bucket, and a bucket is sorted when its time comes. Fine
//! buckets of 4 ms span the current window of 17 s, coarse buckets of 17 s the next 19 hours, and a
//! heap holds what is later (facts/simulation.md §2, the "ladder").
//!
//! The surprising fact: a deadline that is set for a time whose bucket is open already goes into a
//! small heap beside it, which is all that a quiet program ever uses.

use super::Instant;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Bits of a nanosecond count below a fine bucket: 4.2 ms.
const FINE: u32 = 22;
/// Bits of a bucket's index: 4,096 buckets of each size.
const BUCKETS: u32 = 12;

/// A deadline and whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// When.
    pub deadline: Instant,
    /// In which order deadlines were set; decides between equal ones.
    pub sequence: u64,
    /// Whose.
    pub slot: u32,
    /// Which use of the slot.
    pub generation: u32,
    /// Index of the task that sleeps, to fetch it ahead.
    pub task: u32,
}

/// Deadlines, the earliest first.
pub struct Queue {
    /// The open bucket, the earliest last.
    open: Vec<Entry>,
    /// Deadlines set for the time of the open bucket or before it.
    early: BinaryHeap<Reverse<Entry>>,
    fine: Vec<Vec<Entry>>,
    coarse: Vec<Vec<Entry>>,
    far: BinaryHeap<Reverse<Entry>>,
    /// Number of the open fine bucket since time zero.
    cursor: u64,
    in_fine: usize,
    in_coarse: usize,
}

impl Default for Queue {
    fn default() -> Self {
        let buckets = || (0..1 << BUCKETS).map(|_| Vec::new()).collect();
        Self {
            open: Vec::new(),
            early: BinaryHeap::new(),
            fine: buckets(),
            coarse: buckets(),
            far: BinaryHeap::new(),
            cursor: 0,
            in_fine: 0,
            in_coarse: 0,
        }
    }
}

fn tick(entry: &Entry) -> u64 {
    entry.deadline.as_nanos() >> FINE
}

const fn window(tick: u64) -> u64 {
    tick >> BUCKETS
}

const fn bucket(index: u64) -> usize {
    (index & ((1 << BUCKETS) - 1)) as usize
}

impl Entry {
    /// Its place in the order, in one number: to compare two fields after one another takes longer.
    fn order(&self) -> u128 {
        u128::from(self.deadline.as_nanos()) << 64 | u128::from(self.sequence)
    }
}

impl Queue {
    /// Adds a deadline.
    pub fn push(&mut self, entry: Entry) {
        let tick = tick(&entry);
        let ahead = window(tick).saturating_sub(window(self.cursor));
        if tick <= self.cursor {
            self.early.push(Reverse(entry));
        } else if ahead == 0 {
            self.fine[bucket(tick)].push(entry);
            self.in_fine += 1;
        } else if ahead < 1 << BUCKETS {
            self.coarse[bucket(window(tick))].push(entry);
            self.in_coarse += 1;
        } else {
            self.far.push(Reverse(entry));
        }
    }

    /// The earliest deadline. Those that are not `wanted` any more are left out when their bucket is
    /// opened: on a busy store nearly all are limits of operations that ended long before.
    pub fn peek(&mut self, wanted: impl Fn(&Entry) -> bool) -> Option<Entry> {
        while self.open.is_empty() && self.early.is_empty() {
            if !self.open_next(&wanted) {
                return None;
            }
        }
        let early = self.early.peek().map(|Reverse(entry)| *entry);
        match (self.open.last().copied(), early) {
            (Some(open), Some(early)) => Some(open.min(early)),
            (open, early) => open.or(early),
        }
    }

    /// Number of the open bucket: another one whenever the queue has moved on.
    pub const fn bucket(&self) -> u64 {
        self.cursor
    }

    /// What is in the open bucket, in no order that matters.
    pub fn open(&self) -> &[Entry] {
        &self.open
    }

    /// What is so far in the bucket that comes `after` so many, if it is of the same window.
    pub fn upcoming(&self, after: u64) -> &[Entry] {
        &self.fine[bucket(self.cursor + after)]
    }

    /// Takes out the earliest deadline, as [`peek`](Self::peek) showed it.
    pub fn take(&mut self, first: &Entry) {
        if self.open.last() == Some(first) {
            self.open.pop();
        } else {
            self.early.pop();
        }
    }

    /// Opens the next bucket that holds anything wanted. Returns whether there was one.
    fn open_next(&mut self, wanted: impl Fn(&Entry) -> bool) -> bool {
        while self.in_fine > 0 || self.enter_next_window() {
            self.cursor += 1;
            self.open = std::mem::take(&mut self.fine[bucket(self.cursor)]);
            self.in_fine -= self.open.len();
            self.open.retain(&wanted);
            if !self.open.is_empty() {
                self.open
                    .sort_unstable_by_key(|entry| Reverse(entry.order()));
                return true;
            }
        }
        false
    }

    /// Moves on to the next window that holds anything, and spreads it over the fine buckets.
    fn enter_next_window(&mut self) -> bool {
        let next = match (self.in_coarse, self.far.peek()) {
            (0, None) => return false,
            (0, Some(Reverse(entry))) => window(tick(entry)),
            _ => {
                let mut next = window(self.cursor) + 1;
                while self.coarse[bucket(next)].is_empty() {
                    next += 1;
                }
                next
            }
        };
        // One before the window's first bucket, so that this one is opened too.
        self.cursor = (next << BUCKETS) - 1;
        let entries = std::mem::take(&mut self.coarse[bucket(next)]);
        self.in_coarse -= entries.len();
        for entry in entries {
            self.fine[bucket(tick(&entry))].push(entry);
            self.in_fine += 1;
        }
        while let Some(Reverse(entry)) = self.far.peek()
            && window(tick(entry)) < next + (1 << BUCKETS)
        {
            let entry = *entry;
            self.far.pop();
            if window(tick(&entry)) == next {
                self.fine[bucket(tick(&entry))].push(entry);
                self.in_fine += 1;
            } else {
                self.coarse[bucket(window(tick(&entry)))].push(entry);
                self.in_coarse += 1;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(nanos: u64, sequence: u64, wanted: bool) -> Entry {
        Entry {
            deadline: Instant::from_nanos(nanos),
            sequence,
            slot: wanted.into(),
            generation: 0,
            task: 0,
        }
    }

    fn pop(queue: &mut Queue) -> Option<Entry> {
        let wanted = |entry: &Entry| entry.slot == 1;
        loop {
            let first = queue.peek(wanted)?;
            queue.take(&first);
            if wanted(&first) {
                return Some(first);
            }
        }
    }

    /// Deadlines near and far: within a bucket, a window, a day, a year.
    fn any_delay() -> impl Strategy<Value = u64> {
        prop_oneof![
            0..1u64 << 20,
            0..1u64 << 30,
            0..1u64 << 40,
            0..1u64 << 48,
            0..1u64 << 55
        ]
    }

    proptest! {
        #[test]
        fn wanted_deadlines_come_out_as_from_a_sorted_list(
            steps in proptest::collection::vec((any_delay(), any::<bool>(), 0..3usize), 1..200)
        ) {
            let mut queue = Queue::default();
            let mut model = std::collections::BTreeSet::new();
            let mut now = 0;
            for (sequence, (delay, wanted, pops)) in steps.into_iter().enumerate() {
                let entry = entry(now + delay, sequence as u64, wanted);
                queue.push(entry);
                if wanted {
                    model.insert(entry);
                }
                for _ in 0..pops {
                    let expected = model.pop_first();
                    prop_assert_eq!(pop(&mut queue), expected);
                    now = expected.map_or(now, |entry| entry.deadline.as_nanos().max(now));
                }
            }
            while let Some(expected) = model.pop_first() {
                prop_assert_eq!(pop(&mut queue), Some(expected));
            }
            prop_assert_eq!(pop(&mut queue), None);
        }
    }
}
