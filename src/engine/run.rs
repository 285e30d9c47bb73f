//! One run: bring the stores in, let visitors come, wait for session ends, close the books.
//!
//! In: a scenario and one entry of its `compare`. Out: a [`Run`], judged. `stores` knows what stands
//! behind the site, `watch` how time passes; here is only the order of things.

use super::error::RunError;
use super::site::Site;
use super::stores::{Samples, Stores};
use super::visitor::arrive;
use super::watch::Watch;
use super::{Clock, Interrupt, Progress, objectives, validity};
use crate::clock::{self, Instant};
use crate::measure::{Recorded, Recorder, Setup};
use crate::result::{Background, ClusterInfo, Generator, Run, ServerUse};
use crate::scenario::{Objective, RunPlan, Scenario};
use crate::session::StoreKind;
use crate::session::value::TextPool;
use crate::topology::Cluster;
use crate::traffic::{Arrivals, Traffic, shared_id};
use crate::usage::ProcessUse;
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

/// The real length that a run is expected to have.
#[must_use]
pub fn expected_length(scenario: &Scenario) -> Duration {
    traffic_length(scenario) + longest_timeout(scenario) + scenario.time.drain.duration()
}

fn traffic_length(scenario: &Scenario) -> Duration {
    let time = scenario.site_time();
    time.real(scenario.time.warm_up) + time.real(scenario.time.duration)
}

fn longest_timeout(scenario: &Scenario) -> Duration {
    let visitors = scenario.timeout(StoreKind::Shared);
    let robots = scenario.robot_timeout(StoreKind::Shared);
    let longest = robots.map_or(visitors, |robots| robots.max(visitors));
    longest.lasting(scenario.site_time().minute())
}

/// Plays one run of a scenario.
///
/// # Errors
/// A provider cannot be brought in; nothing is left running then.
pub async fn play(
    scenario: &Rc<Scenario>,
    plan: &RunPlan,
    clock: Clock,
    progress: &Rc<dyn Progress>,
    interrupt: &Interrupt,
) -> Result<Run, RunError> {
    let stores = Stores::bring_in(scenario, plan, clock).await?;
    let instances = match stores.open(scenario).await {
        Ok(instances) => instances,
        Err(error) => return Err(error.with_warnings(stores.close().await)),
    };
    let before = stores.sample().await;
    // Only now, so that no visitor waits for what was opened.
    let started = clock::now();
    let measured_from = started + scenario.site_time().real(scenario.time.warm_up);
    let until = started + traffic_length(scenario);
    let recorder = Rc::new(Recorder::new(Setup {
        servers: plan.servers(),
        started,
        measured_from,
        measured_until: until,
        minute: scenario.site_time().minute(),
        ends: StoreKind::ALL.map(|kind| stores.end_design(kind)),
        shared_id,
        seed: scenario.seed,
    }));
    let clusters = stores.serve(scenario, &instances, &recorder);
    let site = Rc::new(site(scenario, clusters, &recorder, until));
    let sampler = stores.spawn_sampler(clock);
    let arrivals = clock::spawn(arrive(Rc::clone(&site), arrivals(scenario), started));
    let mut watch = Watch {
        recorder: &recorder,
        progress,
        interrupt,
        started,
        measured_from,
    };
    let used = watch.until_traffic_ends(&site, until).await;
    arrivals.cancel().await;
    if !interrupt.raised() {
        let last_due = clock::now() + longest_timeout(scenario);
        let give_up = last_due + scenario.time.drain.duration();
        watch.until_sessions_have_ended(give_up).await;
    }
    let peak = sampler.stop().await;
    let after = stores.sample().await;
    for instance in &instances {
        instance.dispose().await;
    }
    let recorded = recorder.finish();
    let samples = Samples {
        before,
        peak,
        after,
    };
    let played = Played {
        clusters: stores.clusters(),
        servers: stores.server_use(samples, recorded.requests.ok),
        background: stores.background(),
        generator: generator(used, recorded.in_progress, clock),
        recorded,
        virtual_time: clock == Clock::Virtual,
        partial: interrupt.raised(),
        warnings: stores.close().await,
    };
    Ok(played.judged(scenario, plan))
}

fn site(
    scenario: &Scenario,
    clusters: Vec<Cluster>,
    recorder: &Rc<Recorder>,
    until: Instant,
) -> Site {
    let compressibility = scenario.data.compressibility.fraction();
    Site {
        clusters,
        traffic: traffic(scenario),
        recorder: Rc::clone(recorder),
        text: Rc::new(TextPool::new(scenario.seed, compressibility)),
        until: Cell::new(until),
        last_request: Cell::new(0),
    }
}

fn traffic(scenario: &Scenario) -> Traffic {
    Traffic {
        seed: scenario.seed,
        time: scenario.site_time(),
        contacts: scenario.contacts.clone(),
        visits: scenario.visits.clone(),
        data: scenario.data.clone(),
        timeout: scenario.timeout(StoreKind::Private),
    }
}

fn arrivals(scenario: &Scenario) -> Arrivals {
    let (seed, time, length) = (
        scenario.seed,
        scenario.site_time(),
        traffic_length(scenario),
    );
    match (&scenario.contacts.arrivals, &scenario.contacts.population) {
        (Some(open), _) => Arrivals::open(open, seed, time, length),
        (None, Some(population)) => Arrivals::closed(population, seed, time, length),
        (None, None) => Arrivals::none(),
    }
}

/// What the generator used in a measured time of this length.
fn generator(
    (used, length): (ProcessUse, Duration),
    (mean_in_progress, expected_in_progress): (f64, f64),
    clock: Clock,
) -> Generator {
    match clock {
        // What the machine did says nothing about a virtual run, and would tell two of them apart.
        Clock::Virtual => Generator {
            mean_in_progress,
            expected_in_progress,
            ..Generator::default()
        },
        Clock::Real => Generator {
            cpu_seconds: used.cpu.as_secs_f64(),
            cpu_share: used.cpu.as_secs_f64() / length.as_secs_f64().max(1e-9),
            memory_bytes: used.memory,
            mean_in_progress,
            expected_in_progress,
        },
    }
}

/// Everything that a run has come to, before it is judged.
struct Played {
    clusters: Vec<ClusterInfo>,
    recorded: Recorded,
    servers: Vec<ServerUse>,
    background: Vec<Background>,
    generator: Generator,
    virtual_time: bool,
    partial: bool,
    warnings: Vec<String>,
}

impl Played {
    fn judged(self, scenario: &Scenario, plan: &RunPlan) -> Run {
        let mut recorded = self.recorded;
        let mut validity = validity::judge(&recorded, &self.generator, self.virtual_time);
        validity.note_in(&mut recorded.integrity);
        validity.note_silent_servers(&self.servers);
        let wanted: Vec<Objective> = scenario
            .objectives
            .iter()
            .filter_map(|text| Objective::parse(text).ok())
            .collect();
        Run {
            name: plan.name.clone(),
            virtual_time: self.virtual_time,
            trace_hash: None,
            partial: self.partial,
            clusters: self.clusters,
            validity,
            objectives: objectives::judge(&wanted, &recorded, &self.servers),
            requests: recorded.requests,
            stores: recorded.stores,
            session_ends: recorded.session_ends,
            page_views: recorded.page_views,
            integrity: recorded.integrity,
            offenders: recorded.offenders,
            conservation: recorded.conservation,
            timeline: recorded.timeline,
            contention: recorded.contention,
            servers: self.servers,
            background: self.background,
            generator: self.generator,
            warnings: self.warnings,
            verdict: Vec::new(),
        }
    }
}
