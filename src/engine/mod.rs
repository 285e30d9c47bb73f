//! The engine: takes a scenario, returns a result.
//!
//! In: a checked [`Scenario`]. Out: one [`result::Run`] for each provider that is compared, played
//! one after the other on the same visits. The way of one request: `run` has `stores` bring the
//! stores in, starts the traffic and has `watch` follow it; `visitor` plays a device's visits, `request` takes one page request
//! through balancer, CD server, private and shared session; `session_end` takes a session from
//! the provider's callback to the commit.
//!
//! The surprising fact: the engine has one thread; a second one would cost more than it brings
//! (facts/measuring.md §3.5). A load that one thread cannot generate makes a run invalid.

mod error;
mod objectives;
mod request;
mod run;
mod session_end;
mod site;
mod stores;
mod validity;
mod visitor;
mod watch;

pub use error::RunError;

use run::play;

use crate::clock;
use crate::result::{self, LeftOut, SCHEMA_VERSION, ScenarioInfo};
use crate::scenario::Scenario;
use crate::session::StoreKind;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How a scenario is to be played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// In real time, on real stores.
    Real,
    /// In virtual time; only providers that need no server can live there.
    Virtual,
}

/// What the engine tells while it works, for live progress.
pub trait Progress {
    /// A run starts: its name, its place among all runs, and its expected real length.
    fn run_started(&self, name: &str, at: usize, of: usize, length: Duration);
    /// A second of a run has passed.
    fn second(&self, elapsed: Duration, phase: Phase, live: &crate::measure::Live);
    /// A run is over.
    fn run_done(&self, run: &result::Run);
    /// A run is left out.
    fn left_out(&self, run: &LeftOut);
}

/// The part that a run is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Requests are played and not measured.
    WarmUp,
    /// Requests are measured.
    Measured,
    /// No more requests; sessions end.
    Drain,
}

/// Tells nobody.
pub struct Silent;

impl Progress for Silent {
    fn run_started(&self, _: &str, _: usize, _: usize, _: Duration) {}
    fn second(&self, _: Duration, _: Phase, _: &crate::measure::Live) {}
    fn run_done(&self, _: &result::Run) {}
    fn left_out(&self, _: &LeftOut) {}
}

/// Asks a running scenario to stop; what was measured until then is kept. May be raised from any
/// thread; a run looks at it once a second.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Stops the scenario.
    pub fn raise(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it was asked for.
    #[must_use]
    pub fn raised(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Plays every run of a scenario, each from a time zero of its own. `text` is the scenario as it
/// was read, without secrets.
///
/// # Errors
/// The clock cannot run: the operating system refuses a timer, or in virtual time a run waits for
/// something that never happens.
pub fn play_all(
    scenario: &Rc<Scenario>,
    text: &str,
    clock: Clock,
    progress: &Rc<dyn Progress>,
    interrupt: &Interrupt,
) -> Result<result::Result, EngineError> {
    play_each(scenario, text, clock, progress, interrupt, |_| {})
}

/// As [`play_all`], and gives `keep` the result so far after each run but the last, marked as
/// partial, so that a crash in a later run loses nothing.
///
/// # Errors
/// As [`play_all`].
pub fn play_each(
    scenario: &Rc<Scenario>,
    text: &str,
    clock: Clock,
    progress: &Rc<dyn Progress>,
    interrupt: &Interrupt,
    mut keep: impl FnMut(&mut result::Result),
) -> Result<result::Result, EngineError> {
    let mut whole = result::Result {
        schema_version: SCHEMA_VERSION,
        environment: result::Environment::default(),
        scenario: describe(scenario, text),
        partial: true,
        runs: Vec::new(),
        left_out: Vec::new(),
    };
    let plans = scenario.runs();
    let of = plans.len();
    for (at, plan) in plans.into_iter().enumerate() {
        if interrupt.raised() {
            break;
        }
        progress.run_started(&plan.name, at, of, run::expected_length(scenario));
        let (name, optional) = (plan.name.clone(), plan.optional);
        let playing = {
            let (scenario, progress) = (Rc::clone(scenario), Rc::clone(progress));
            let interrupt = interrupt.clone();
            async move { play(&scenario, &plan, clock, &progress, &interrupt).await }
        };
        let played = match clock {
            Clock::Real => clock::run_real(playing)?,
            Clock::Virtual => {
                let (played, trace) = clock::run_virtual(playing)?;
                played.map(|run| result::Run {
                    trace_hash: Some(format!("{trace:016x}")),
                    ..run
                })
            }
        };
        match played {
            Ok(run) => {
                progress.run_done(&run);
                whole.runs.push(run);
                if at + 1 < of {
                    keep(&mut whole);
                }
            }
            Err(error) => {
                let (reason, remedy) = (error.reason(&name), error.remedy(optional));
                let run = LeftOut {
                    name,
                    reason,
                    remedy,
                };
                progress.left_out(&run);
                whole.left_out.push(run);
            }
        }
    }
    whole.partial = interrupt.raised();
    Ok(whole)
}

/// Why a scenario cannot be played at all.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The operating system refuses a timer or an event queue.
    #[error("the clock cannot run")]
    System(#[from] std::io::Error),
    /// A defect of ours.
    #[error("in virtual time, {0}")]
    Deadlock(#[from] clock::Deadlock),
}

fn describe(scenario: &Scenario, text: &str) -> ScenarioInfo {
    let time = scenario.site_time();
    ScenarioInfo {
        name: scenario.name.clone(),
        description: scenario.description.clone(),
        seed: scenario.seed,
        scale: scenario.time.scale,
        warm_up_ns: time.real(scenario.time.warm_up).as_nanos() as u64,
        measured_ns: time.real(scenario.time.duration).as_nanos() as u64,
        drain_ns: scenario.time.drain.duration().as_nanos() as u64,
        timeout_minutes: scenario.timeout(StoreKind::Private).0,
        poll_interval_ns: scenario.module.poll_interval.duration().as_nanos() as u64,
        yaml: text.to_owned(),
    }
}
