//! The simulator: CPU per page request and memory per live contact, in virtual time.

use sessionbench::engine::{Clock, Interrupt, Phase, Progress, play_all};
use sessionbench::measure::Live;
use sessionbench::result::{LeftOut, Run};
use sessionbench::scenario;
use sessionbench::usage::ProcessUse;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

/// Contacts that are alive at once.
const CONTACTS: u64 = 100_000;

/// One private and one shared session per contact, a page every 30 s, 20-minute sessions.
const SCENARIO: &str = "
name: in-process
time: { warm_up: 2min, duration: 10min, drain: 30s }
contacts:
  population: { size: 100000, pause: 30s, spread: 2min }
visits: { pages: 100000, think_time: { exponential: { mean: 30s } }, work: 20ms }
clusters: { web: { servers: 1, private: inproc, shared: inproc } }
providers: { inproc: { inproc: {} } }
";

/// Repetitions; the least is reported, since noise only adds.
const TIMES: usize = 3;

/// Samples this process while the contacts are alive.
#[derive(Default)]
struct Sampled {
    first: Cell<Option<(ProcessUse, u64)>>,
    last: Cell<(ProcessUse, u64)>,
    requests: Cell<u64>,
    memory: RefCell<u64>,
}

impl Progress for Sampled {
    fn run_started(&self, _: &str, _: usize, _: usize, _: Duration) {}

    fn second(&self, _: Duration, phase: Phase, live: &Live) {
        self.requests.set(self.requests.get() + live.requests);
        if phase == Phase::Measured {
            let now = (ProcessUse::now(), self.requests.get());
            self.first.set(self.first.get().or(Some(now)));
            self.last.set(now);
            let mut memory = self.memory.borrow_mut();
            *memory = now.0.memory.max(*memory);
        }
    }

    fn run_done(&self, _: &Run) {}
    fn left_out(&self, _: &LeftOut) {}
}

/// Measures and prints.
pub fn measure() {
    println!("In process, virtual time, {CONTACTS} live contacts");
    let Ok(loaded) = scenario::parse("in-process", SCENARIO) else {
        println!("  the scenario is damaged");
        return;
    };
    let scenario = Rc::new(loaded.scenario);
    let mut cpu = Vec::new();
    let mut memory = Vec::new();
    for _ in 0..TIMES {
        let before = ProcessUse::now().memory;
        let sampled = Rc::new(Sampled::default());
        let progress: Rc<dyn Progress> = Rc::clone(&sampled) as Rc<dyn Progress>;
        let played = play_all(
            &scenario,
            SCENARIO,
            Clock::Virtual,
            &progress,
            &Interrupt::default(),
        );
        if played.is_err() {
            println!("  the run failed");
            return;
        }
        let (start, from) = sampled.first.get().unwrap_or_default();
        let (end, until) = sampled.last.get();
        cpu.push((end.cpu - start.cpu).as_secs_f64() * 1e6 / (until - from) as f64);
        memory.push((sampled.memory.take() - before) as f64 / CONTACTS as f64);
    }
    let least = |values: &[f64]| values.iter().copied().fold(f64::INFINITY, f64::min);
    println!(
        "  CPU per page request    {:6.2} µs   limit 2 µs, all runs {cpu:.2?}",
        least(&cpu)
    );
    // Later runs reuse memory that the first one left, so only the first tells.
    println!(
        "  memory per live contact {:6.0} B    limit 1200 B",
        memory[0]
    );
}
