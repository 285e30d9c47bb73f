//! One run: bring the stores in, let visitors come, wait for session ends, close the books.

use super::session_end::Commit;
use super::site::Site;
use super::visitor::arrive;
use super::{Clock, Interrupt, Phase, Progress, objectives, validity};
use crate::clock::{self, Instant, Task};
use crate::measure::{EndDesign, Live, ProcessUse, Recorded, Recorder, Setup};
use crate::providers::{self, ConnectError, Provider, ProviderSettings, Seat, StoreSample};
use crate::result::{ClusterInfo, Generator, ProviderInfo, Run, ServerUse};
use crate::scenario::{ClusterPlan, Objective, RunPlan, Scenario};
use crate::session::item::TextPool;
use crate::session::module::{Constants, SessionStateModule};
use crate::session::observer::{Observer, ServerIndex};
use crate::session::{SessionStateStore, StoreError, StoreKind};
use crate::topology::{CdServer, Cluster, LoadBalancer};
use crate::traffic::{Arrivals, Traffic, shared_id};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

/// Why a run is left out.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A provider cannot be brought in.
    #[error("{provider}: {source}")]
    Provider {
        /// The provider's name in the scenario.
        provider: String,
        /// Why.
        source: ConnectError,
    },
    /// A provider needs a real server.
    #[error("{provider} needs a real store and cannot live in virtual time")]
    NotVirtual {
        /// The provider's name in the scenario.
        provider: String,
    },
}

impl RunError {
    /// The command that would bring the run in, if there is one.
    #[must_use]
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::Provider {
                source: ConnectError::NotInstalled { remedy, .. },
                ..
            } => Some(remedy.clone()),
            Self::Provider { .. } => None,
            Self::NotVirtual { .. } => Some("run it without --virtual".to_owned()),
        }
    }
}

/// How long the run waits, when every end has come, for ends that come again.
const SETTLE: Duration = Duration::from_secs(3);

/// Distance of two samples of the stores' servers, and of two steps of the timeline.
const SECOND: Duration = Duration::from_secs(1);

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
    scenario
        .timeout(StoreKind::Shared)
        .lasting(scenario.site_time().minute())
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
    let opened = stores.open(scenario, plan, &recorder).await;
    let (clusters, instances) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            stores.close().await;
            return Err(error);
        }
    };
    let site = Rc::new(Site {
        clusters,
        traffic: traffic(scenario),
        recorder: Rc::clone(&recorder),
        text: Rc::new(TextPool::new(
            scenario.seed,
            scenario.data.compressibility.fraction(),
        )),
        until: Cell::new(until),
        last_request: Cell::new(0),
    });
    let before = stores.sample().await;
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
        watch.until_sessions_have_ended(scenario).await;
    }
    let peak = sampler.stop().await;
    let after = stores.sample().await;
    for instance in &instances {
        instance.dispose().await;
    }
    let recorded = recorder.finish();
    let servers = stores.server_use(before, peak, after, recorded.requests.ok);
    let run = close(
        scenario,
        plan,
        &stores,
        recorded,
        servers,
        used,
        clock,
        interrupt.raised(),
    );
    stores.close().await;
    Ok(run)
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

/// The stores of a run: for each cluster, its providers by name.
struct Stores {
    clusters: Vec<ClusterStores>,
}

struct ClusterStores {
    plan: ClusterPlan,
    /// One for each provider block that the cluster uses; private and shared state may share one.
    providers: BTreeMap<String, (ProviderSettings, Rc<dyn Provider>)>,
}

impl Stores {
    /// Connects to every store, or starts it.
    async fn bring_in(scenario: &Scenario, plan: &RunPlan, clock: Clock) -> Result<Self, RunError> {
        let mut stores = Self {
            clusters: Vec::new(),
        };
        for cluster in plan.visited() {
            let mut providers = BTreeMap::new();
            for name in StoreKind::ALL
                .into_iter()
                .filter_map(|kind| cluster.provider(kind))
            {
                if providers.contains_key(name) {
                    continue;
                }
                // A checked scenario names no provider that it does not have.
                let Some(settings) = scenario.providers.get(name) else {
                    continue;
                };
                match connect(settings, name, &cluster.name, clock).await {
                    Ok(provider) => {
                        providers.insert(name.to_owned(), (settings.clone(), provider));
                    }
                    Err(error) => {
                        stores.clusters.push(ClusterStores {
                            plan: cluster.clone(),
                            providers,
                        });
                        stores.close().await;
                        return Err(error);
                    }
                }
            }
            stores.clusters.push(ClusterStores {
                plan: cluster.clone(),
                providers,
            });
        }
        Ok(stores)
    }

    /// How sessions of a kind end; in every cluster alike, or it is not said how.
    fn end_design(&self, kind: StoreKind) -> EndDesign {
        let detections = self.clusters.iter().filter_map(|cluster| {
            let (settings, _) = cluster.providers.get(cluster.plan.provider(kind)?)?;
            settings.capabilities().detection
        });
        EndDesign {
            detection: detections.into_iter().next(),
        }
    }

    /// Opens an instance of the store for every CD server and store kind.
    async fn open(
        &self,
        scenario: &Scenario,
        plan: &RunPlan,
        recorder: &Rc<Recorder>,
    ) -> Result<(Vec<Cluster>, Vec<Rc<dyn SessionStateStore>>), RunError> {
        let mut instances = Vec::new();
        let mut clusters = Vec::new();
        let mut index = 0;
        for cluster in &self.clusters {
            let mut servers = Vec::new();
            for server in 0..cluster.plan.servers {
                let at = ServerIndex(index);
                index += 1;
                let mut modules = Vec::new();
                for kind in StoreKind::ALL {
                    let Some(name) = cluster.plan.provider(kind) else {
                        continue;
                    };
                    let store = cluster.open(scenario, name, server, kind).await?;
                    store.set_item_expire_callback(Rc::new(Commit::new(
                        scenario.session.end_handler.clone(),
                        Rc::clone(recorder),
                        scenario.seed,
                    )));
                    instances.push(Rc::clone(&store));
                    let observer: Rc<dyn Observer> = Rc::clone(recorder) as Rc<dyn Observer>;
                    let constants = Constants::of(&scenario.module, kind);
                    modules.push(SessionStateModule::new(store, observer, at, constants));
                }
                let mut modules = modules.into_iter();
                if let Some(private) = modules.next() {
                    servers.push(CdServer::new(at, private, modules.next()));
                }
            }
            clusters.push(Cluster {
                name: cluster.plan.name.clone(),
                role: cluster.plan.role,
                shared_access: cluster.plan.shared_access,
                weight: cluster.plan.weight,
                balancer: LoadBalancer::new(cluster.plan.balancer, cluster.plan.servers),
                servers,
            });
        }
        debug_assert_eq!(index as usize, plan.servers().len());
        Ok((clusters, instances))
    }

    fn providers(&self) -> impl Iterator<Item = (&str, &str, &Rc<dyn Provider>)> {
        self.clusters.iter().flat_map(|cluster| {
            let named = cluster.providers.iter();
            named.map(|(name, (_, provider))| (cluster.plan.name.as_str(), name.as_str(), provider))
        })
    }

    async fn sample(&self) -> Vec<StoreSample> {
        let mut samples = Vec::new();
        for (_, _, provider) in self.providers() {
            // A store that cannot be asked right now tells nothing.
            samples.push(provider.sample().await.unwrap_or_default());
        }
        samples
    }

    fn spawn_sampler(&self, clock: Clock) -> Sampler {
        let providers: Vec<_> = self.providers().map(|(.., p)| Rc::clone(p)).collect();
        let peak = Rc::new(RefCell::new(vec![StoreSample::default(); providers.len()]));
        let task = (clock == Clock::Real).then(|| {
            let peak = Rc::clone(&peak);
            clock::spawn(async move {
                loop {
                    for (at, provider) in providers.iter().enumerate() {
                        if let Ok(sample) = provider.sample().await {
                            peak.borrow_mut()[at].raise_to(&sample);
                        }
                    }
                    clock::sleep(SECOND).await;
                }
            })
        });
        Sampler { peak, task }
    }

    fn server_use(
        &self,
        before: Vec<StoreSample>,
        peak: Vec<StoreSample>,
        after: Vec<StoreSample>,
        requests: u64,
    ) -> Vec<ServerUse> {
        let samples = before.into_iter().zip(peak).zip(after);
        let uses = self
            .providers()
            .zip(samples)
            .filter(|((.., provider), _)| provider.server().is_some());
        uses.map(|((cluster, name, _), ((before, mut peak), after))| {
            peak.raise_to(&after);
            let cpu = after
                .cpu_seconds
                .zip(before.cpu_seconds)
                .map(|(after, before)| after - before);
            ServerUse {
                cluster: cluster.to_owned(),
                provider: name.to_owned(),
                before,
                peak,
                after,
                cpu_seconds_per_1000_requests: cpu
                    .filter(|_| requests > 0)
                    .map(|cpu| cpu * 1000.0 / requests as f64),
            }
        })
        .collect()
    }

    async fn close(&self) {
        for (_, name, provider) in self.providers() {
            if let Err(error) = provider.close().await {
                eprintln!("warning: {name} could not be cleaned up: {error}");
            }
        }
    }
}

impl ClusterStores {
    async fn open(
        &self,
        scenario: &Scenario,
        name: &str,
        server: u32,
        kind: StoreKind,
    ) -> Result<Rc<dyn SessionStateStore>, RunError> {
        let seat = Seat {
            server,
            kind,
            timeout: scenario.timeout(kind),
            minute: scenario.site_time().minute(),
            execution_timeout: scenario.module.execution_timeout.duration(),
        };
        let unknown = || StoreError::Refused("no such provider".to_owned());
        let opened = match self.providers.get(name) {
            Some((_, provider)) => provider.open(&seat).await,
            None => Err(unknown()),
        };
        opened.map_err(|error| RunError::Provider {
            provider: name.to_owned(),
            source: error.into(),
        })
    }

    fn info(&self) -> Option<ClusterInfo> {
        let provider = |kind| {
            let name = self.plan.provider(kind)?;
            let (settings, provider) = self.providers.get(name)?;
            let mut info = ProviderInfo::new(name, settings.capabilities());
            info.settings = plain_settings(settings);
            info.server = provider.server().cloned();
            Some(info)
        };
        Some(ClusterInfo {
            name: self.plan.name.clone(),
            role: word(&self.plan.role),
            servers: self.plan.servers,
            balancer: word(&self.plan.balancer),
            shared_access: word(&self.plan.shared_access),
            private: provider(StoreKind::Private)?,
            shared: provider(StoreKind::Shared),
        })
    }
}

async fn connect(
    settings: &ProviderSettings,
    name: &str,
    cluster: &str,
    clock: Clock,
) -> Result<Rc<dyn Provider>, RunError> {
    if clock == Clock::Virtual && !settings.capabilities().virtual_time {
        return Err(RunError::NotVirtual {
            provider: name.to_owned(),
        });
    }
    let connected = providers::connect(settings, cluster).await;
    connected.map_err(|source| RunError::Provider {
        provider: name.to_owned(),
        source,
    })
}

/// A provider's settings as they were written, but for its server, which may hold a secret.
fn plain_settings(settings: &ProviderSettings) -> BTreeMap<String, serde_json::Value> {
    let written = serde_json::to_value(settings).unwrap_or_default();
    let block = written
        .as_object()
        .and_then(|kinds| kinds.values().next()?.as_object().cloned());
    let settings = block.unwrap_or_default().into_iter();
    settings.filter(|(name, _)| name != "server").collect()
}

/// The word for a setting in a scenario.
fn word(setting: &impl serde::Serialize) -> String {
    let written = serde_json::to_value(setting).unwrap_or_default();
    written.as_str().unwrap_or_default().to_owned()
}

/// Samples the stores once a second and keeps the largest of each number.
struct Sampler {
    peak: Rc<RefCell<Vec<StoreSample>>>,
    task: Option<Task<()>>,
}

impl Sampler {
    async fn stop(self) -> Vec<StoreSample> {
        if let Some(task) = self.task {
            task.cancel().await;
        }
        self.peak.take()
    }
}

/// Follows a run second by second.
struct Watch<'a> {
    recorder: &'a Recorder,
    progress: &'a Rc<dyn Progress>,
    interrupt: &'a Interrupt,
    started: Instant,
    measured_from: Instant,
}

impl Watch<'_> {
    /// Returns what this process used during the measured time, and how long that was.
    async fn until_traffic_ends(&mut self, site: &Site, until: Instant) -> (ProcessUse, Duration) {
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

    /// Waits until every session that can end has ended, or the drain is over.
    async fn until_sessions_have_ended(&mut self, scenario: &Scenario) {
        let minute = scenario.site_time().minute();
        let timeout = longest_timeout(scenario);
        let robots = scenario.robot_timeout(StoreKind::Shared);
        let timeout = robots.map_or(timeout, |robots| timeout.max(robots.lasting(minute)));
        let last_due = clock::now() + timeout;
        let mut quiet = Duration::ZERO;
        loop {
            let now = clock::now();
            // Requests that still wait for a lock keep sessions alive; the drain starts after them.
            let give_up = last_due + scenario.time.drain.duration();
            if now >= give_up || quiet >= SETTLE || self.interrupt.raised() {
                return;
            }
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

#[allow(
    clippy::too_many_arguments,
    reason = "everything that a run has come to, brought together once"
)]
fn close(
    scenario: &Scenario,
    plan: &RunPlan,
    stores: &Stores,
    recorded: Recorded,
    servers: Vec<ServerUse>,
    (used, length): (ProcessUse, Duration),
    clock: Clock,
    partial: bool,
) -> Run {
    let virtual_time = clock == Clock::Virtual;
    let (mean_in_progress, expected_in_progress) = recorded.in_progress;
    let generator = match virtual_time {
        // What the machine did says nothing about a virtual run, and would tell two of them apart.
        true => Generator {
            mean_in_progress,
            expected_in_progress,
            ..Generator::default()
        },
        false => Generator {
            cpu_seconds: used.cpu.as_secs_f64(),
            cpu_share: used.cpu.as_secs_f64() / length.as_secs_f64().max(1e-9),
            memory_bytes: used.memory,
            mean_in_progress,
            expected_in_progress,
        },
    };
    let validity = validity::judge(&recorded, &generator, virtual_time);
    let mut integrity = recorded.integrity.clone();
    validity.note_in(&mut integrity);
    let recorded = Recorded {
        integrity,
        ..recorded
    };
    let wanted: Vec<Objective> = scenario
        .objectives
        .iter()
        .filter_map(|text| Objective::parse(text).ok())
        .collect();
    Run {
        name: plan.name.clone(),
        virtual_time,
        trace_hash: None,
        partial,
        clusters: stores
            .clusters
            .iter()
            .filter_map(ClusterStores::info)
            .collect(),
        validity,
        objectives: objectives::judge(&wanted, &recorded, &servers),
        requests: recorded.requests,
        stores: recorded.stores,
        session_ends: recorded.session_ends,
        page_views: recorded.page_views,
        integrity: recorded.integrity,
        conservation: recorded.conservation,
        timeline: recorded.timeline,
        contention: recorded.contention,
        servers,
        generator,
        verdict: Vec::new(),
    }
}

impl RunPlan {
    /// Clusters that serve visitors; CM servers serve authors, who are not played.
    fn visited(&self) -> impl Iterator<Item = &ClusterPlan> {
        self.clusters
            .iter()
            .filter(|cluster| cluster.serves_visitors())
    }

    /// Cluster and index of every CD server.
    fn servers(&self) -> Vec<(String, u32)> {
        let servers = self
            .visited()
            .flat_map(|cluster| (0..cluster.servers).map(|server| (cluster.name.clone(), server)));
        servers.collect()
    }
}
