//! One row per second of everything that changes; per several seconds in long runs, so that memory
//! does not grow with the run's length.

use super::ledger::Step;
use super::requests::RequestStep;
use crate::result::Timeline;
use std::time::Duration;

/// Most steps; then two become one.
const STEPS: usize = 1200;

/// The shortest step, in nanoseconds.
const SECOND: u64 = 1_000_000_000;

/// A time series that is being written.
#[derive(Debug)]
pub struct TimelineMeter {
    timeline: Timeline,
    /// Seconds in the step that is being written, and in every step.
    seconds: u64,
    per_step: u64,
}

impl Default for TimelineMeter {
    fn default() -> Self {
        let timeline = Timeline {
            step_ns: SECOND,
            ..Timeline::default()
        };
        Self {
            timeline,
            seconds: 0,
            per_step: 1,
        }
    }
}

impl TimelineMeter {
    /// Adds a second.
    pub fn push(&mut self, requests: RequestStep, waiting: u64, private: Step, shared: Step) {
        let line = &mut self.timeline;
        let fresh = self.seconds == 0;
        let sum = |column: &mut Vec<u64>, value| put(column, fresh, value, |old, new| old + new);
        sum(&mut line.requests, requests.done);
        sum(&mut line.failed, requests.failed);
        sum(&mut line.ends, private.ends + shared.ends);
        let last = |column: &mut Vec<u64>, value| put(column, fresh, value, |_, new| new);
        last(&mut line.waiting, waiting);
        last(&mut line.live_private, private.alive);
        last(&mut line.live_shared, shared.alive);
        last(&mut line.backlog, private.overdue + shared.overdue);
        let most = |column: &mut Vec<u64>, value| put(column, fresh, value, u64::max);
        most(&mut line.response_p99_ns, requests.response_p99);
        most(&mut line.lag_max_ns, requests.lag_max.as_nanos() as u64);
        let lateness = private.lateness_max.max(shared.lateness_max);
        most(&mut line.lateness_max_ns, lateness.as_nanos() as u64);
        self.seconds = (self.seconds + 1) % self.per_step;
        if self.seconds == 0 && self.timeline.requests.len() == STEPS {
            self.halve();
        }
    }

    /// The timeline as it goes into the result, with the measured time since its start.
    #[must_use]
    pub fn result(&self, measured_from: Duration, measured_until: Duration) -> Timeline {
        Timeline {
            measured_from_ns: measured_from.as_nanos() as u64,
            measured_until_ns: measured_until.as_nanos() as u64,
            ..self.timeline.clone()
        }
    }

    fn halve(&mut self) {
        let line = &mut self.timeline;
        for column in [&mut line.requests, &mut line.failed, &mut line.ends] {
            pair(column, |a, b| a + b);
        }
        for column in [
            &mut line.waiting,
            &mut line.live_private,
            &mut line.live_shared,
            &mut line.backlog,
        ] {
            pair(column, |_, b| b);
        }
        for column in [
            &mut line.response_p99_ns,
            &mut line.lag_max_ns,
            &mut line.lateness_max_ns,
        ] {
            pair(column, u64::max);
        }
        self.per_step *= 2;
        line.step_ns = SECOND * self.per_step;
    }
}

fn put(column: &mut Vec<u64>, fresh: bool, value: u64, merge: fn(u64, u64) -> u64) {
    match column.last_mut() {
        Some(last) if !fresh => *last = merge(*last, value),
        _ => column.push(value),
    }
}

fn pair(column: &mut Vec<u64>, merge: fn(u64, u64) -> u64) {
    *column = column
        .chunks(2)
        .map(|pair| match pair {
            [first, second] => merge(*first, *second),
            rest => rest.iter().sum(),
        })
        .collect();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(meter: &mut TimelineMeter, done: u64, alive: u64) {
        let requests = RequestStep {
            done,
            failed: 0,
            response_p99: done,
            lag_max: Duration::ZERO,
        };
        let step = Step {
            alive,
            overdue: 0,
            ends: 0,
            lateness_max: Duration::ZERO,
        };
        meter.push(requests, 0, step, step);
    }

    #[test]
    fn a_long_run_has_fewer_longer_steps_and_the_same_total() {
        let mut meter = TimelineMeter::default();
        for second in 0..10_000 {
            push(&mut meter, 3, second);
        }
        let line = meter.result(Duration::ZERO, Duration::ZERO);
        assert!(line.requests.len() <= STEPS);
        assert_eq!(line.requests.iter().sum::<u64>(), 30_000);
        assert_eq!(line.live_private.last(), Some(&9_999));
        assert_eq!(line.response_p99_ns.iter().max(), Some(&3));
        assert_eq!(line.step_ns, 16 * SECOND);
    }
}
