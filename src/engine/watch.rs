//! A run followed second by second: how its phases pass, and what the generator used.
//!
//! In: the recorder, and the instants at which phases end. Out: a step of the timeline and live
//! figures each second, until there is nothing more to wait for.

use super::site::Site;
use super::{Interrupt, Phase, Progress};
use crate::clock::{self, Instant};
use crate::measure::{Live, Recorder};
use crate::usage::ProcessUse;
use std::rc::Rc;
use std::time::Duration;

/// How long the run waits, when every end has come, for ends that come again.
const SETTLE: Duration = Duration::from_secs(3);

/// Distance of two steps of the timeline.
const SECOND: Duration = Duration::from_secs(1);

/// Follows a run second by second.
pub struct Watch<'a> {
    /// Told of every second; knows what still has to end.
    pub recorder: &'a Recorder,
    /// Told of every second.
    pub progress: &'a Rc<dyn Progress>,
    /// Ends every phase.
    pub interrupt: &'a Interrupt,
    /// When the traffic started.
    pub started: Instant,
    /// When the warm-up ends.
    pub measured_from: Instant,
}

impl Watch<'_> {
    /// Returns what this process used during the measured time, and how long that was.
    pub async fn until_traffic_ends(
        &mut self,
        site: &Site,
        until: Instant,
    ) -> (ProcessUse, Duration) {
        let mut at_start = ProcessUse::now();
        let mut from = self.started;
        while clock::now() < until && !self.interrupt.raised() {
            let now = clock::now();
            if now < self.measured_from {
                self.second(Phase::WarmUp, self.measured_from).await;
                (at_start, from) = (ProcessUse::now(), clock::now());
            } else {
                self.second(Phase::Measured, until).await;
            }
        }
        let now = clock::now();
        site.until.set(now.min(until));
        self.recorder.traffic_ends(now.min(until));
        let used = ProcessUse::now();
        let cpu = used.cpu.saturating_sub(at_start.cpu);
        (
            ProcessUse {
                cpu,
                memory: used.memory,
            },
            now.since(from),
        )
    }

    /// Waits until every session that can end has ended, or until `give_up`.
    pub async fn until_sessions_have_ended(&mut self, give_up: Instant) {
        let mut quiet = Duration::ZERO;
        while clock::now() < give_up && quiet < SETTLE && !self.interrupt.raised() {
            self.second(Phase::Drain, give_up).await;
            let idle = self.recorder.awaited() == 0 && self.recorder.in_progress() == 0;
            quiet = if idle { quiet + SECOND } else { Duration::ZERO };
        }
    }

    /// Lets a second pass, or what is left until `end`, and closes a step of the timeline.
    async fn second(&mut self, phase: Phase, end: Instant) {
        let elapsed = clock::now().since(self.started).as_nanos();
        let next = self.started + SECOND * (elapsed / SECOND.as_nanos() + 1) as u32;
        clock::sleep_until(next.min(end)).await;
        if clock::now() >= next {
            let live: Live = self.recorder.step();
            self.progress
                .second(clock::now().since(self.started), phase, &live);
        }
    }
}
