//! The stores of a run: brought in before it, opened for each CD server, sampled, and cleared away.
//!
//! In: a plan and the scenario's provider blocks. Out: what a CD server works with, and what each
//! store used. Whatever was brought in is closed on every way out, and what could not be cleaned up
//! is told as a warning of the run.

use super::Clock;
use super::error::RunError;
use super::session_end::Commit;
use crate::clock::{self, Task};
use crate::measure::{EndDesign, Recorder};
use crate::providers::{self, Provider, ProviderSettings, Seat, StoreSample};
use crate::result::{Background, BackgroundWork, ClusterInfo, ProviderInfo, ServerUse};
use crate::scenario::{ClusterPlan, RunPlan, Scenario};
use crate::session::module::{Constants, SessionStateModule};
use crate::session::observer::{Observer, ServerIndex};
use crate::session::{SessionStateStore, StoreError, StoreKind};
use crate::topology::{CdServer, Cluster, LoadBalancer};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

/// Distance of two samples of the stores' servers.
const SAMPLED_EVERY: Duration = Duration::from_secs(1);

/// The stores of a run: for each cluster, its providers by name.
pub struct Stores {
    clusters: Vec<ClusterStores>,
}

pub struct ClusterStores {
    plan: ClusterPlan,
    /// One for each provider block that the cluster uses; private and shared state may share one.
    providers: BTreeMap<String, (ProviderSettings, Rc<dyn Provider>)>,
}

impl Stores {
    /// Connects to every store, or starts it.
    pub async fn bring_in(
        scenario: &Scenario,
        plan: &RunPlan,
        clock: Clock,
    ) -> Result<Self, RunError> {
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
                        return Err(error.with_warnings(stores.close().await));
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
    pub fn end_design(&self, kind: StoreKind) -> EndDesign {
        let detections = self.clusters.iter().filter_map(|cluster| {
            let (settings, _) = cluster.providers.get(cluster.plan.provider(kind)?)?;
            settings.capabilities().detection_of(kind)
        });
        EndDesign {
            detection: detections.into_iter().next(),
        }
    }

    /// Opens an instance of the store for every CD server and store kind, in this order. It may take
    /// a while: tables are created here.
    pub async fn open(
        &self,
        scenario: &Scenario,
    ) -> Result<Vec<Rc<dyn SessionStateStore>>, RunError> {
        let mut instances = Vec::new();
        for cluster in &self.clusters {
            for server in 0..cluster.plan.servers {
                for (kind, name) in cluster.kinds() {
                    instances.push(cluster.open(scenario, name, server, kind).await?);
                }
            }
        }
        Ok(instances)
    }

    /// The clusters, on the instances that were opened; from now on sessions may end.
    pub fn serve(
        &self,
        scenario: &Scenario,
        instances: &[Rc<dyn SessionStateStore>],
        recorder: &Rc<Recorder>,
    ) -> Vec<Cluster> {
        let mut instances = instances.iter();
        let mut clusters = Vec::new();
        let mut index = 0;
        for cluster in &self.clusters {
            let mut servers = Vec::new();
            for _ in 0..cluster.plan.servers {
                let at = ServerIndex(index);
                index += 1;
                let kinds = cluster.kinds().zip(instances.by_ref());
                let mut modules = kinds.map(|((kind, _), store)| {
                    store.set_item_expire_callback(Rc::new(Commit::new(
                        scenario.session.end_handler.clone(),
                        Rc::clone(recorder),
                        scenario.seed,
                    )));
                    let observer: Rc<dyn Observer> = Rc::clone(recorder) as Rc<dyn Observer>;
                    let constants = Constants::of(&scenario.module, kind);
                    SessionStateModule::new(Rc::clone(store), observer, at, constants)
                });
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
        clusters
    }

    fn providers(&self) -> impl Iterator<Item = (&str, &str, &Rc<dyn Provider>)> {
        self.clusters.iter().flat_map(|cluster| {
            let named = cluster.providers.iter();
            named.map(|(name, (_, provider))| (cluster.plan.name.as_str(), name.as_str(), provider))
        })
    }

    /// What each provider's store uses right now.
    pub async fn sample(&self) -> Vec<StoreSample> {
        let mut samples = Vec::new();
        for (_, _, provider) in self.providers() {
            // A store that cannot be asked right now tells nothing.
            samples.push(provider.sample().await.unwrap_or_default());
        }
        samples
    }

    /// Samples the stores in the background; in virtual time there is nothing to sample.
    pub fn spawn_sampler(&self, clock: Clock) -> Sampler {
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
                    clock::sleep(SAMPLED_EVERY).await;
                }
            })
        });
        Sampler { peak, task }
    }

    /// What each provider's server used for so many requests.
    pub fn server_use(&self, samples: Samples, requests: u64) -> Vec<ServerUse> {
        let samples = (samples.before.into_iter())
            .zip(samples.peak)
            .zip(samples.after);
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

    /// What each provider did beside the requests; providers that do nothing there are left out.
    pub fn background(&self) -> Vec<Background> {
        let work = self
            .providers()
            .map(|(cluster, name, provider)| Background {
                cluster: cluster.to_owned(),
                provider: name.to_owned(),
                work: provider.background_work(),
            });
        work.filter(|background| background.work != BackgroundWork::default())
            .collect()
    }

    /// What the clusters are, for the result.
    pub fn clusters(&self) -> Vec<ClusterInfo> {
        let infos = self.clusters.iter().filter_map(ClusterStores::info);
        infos.collect()
    }

    /// Removes everything of ours, and returns a warning about whatever remains.
    #[must_use]
    pub async fn close(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        for (cluster, name, provider) in self.providers() {
            if let Err(error) = provider.close().await {
                warnings.push(format!(
                    "{name} of cluster {cluster} could not be cleaned up: {error}"
                ));
            }
        }
        warnings
    }
}

impl ClusterStores {
    /// The store kinds that it has, and the name of each one's provider.
    fn kinds(&self) -> impl Iterator<Item = (StoreKind, &str)> {
        let named = |kind| Some((kind, self.plan.provider(kind)?));
        StoreKind::ALL.into_iter().filter_map(named)
    }

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
            let mut info = ProviderInfo::new(name, kind, settings.capabilities());
            info.settings = settings.without_server().into_iter().collect();
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

/// The word for a setting in a scenario.
fn word(setting: &impl serde::Serialize) -> String {
    let written = serde_json::to_value(setting).unwrap_or_default();
    written.as_str().unwrap_or_default().to_owned()
}

/// Samples of every provider's store, in the order of the providers.
pub struct Samples {
    /// Before the first visit.
    pub before: Vec<StoreSample>,
    /// The largest of each number.
    pub peak: Vec<StoreSample>,
    /// After the drain.
    pub after: Vec<StoreSample>,
}

/// Samples the stores once a second and keeps the largest of each number.
pub struct Sampler {
    peak: Rc<RefCell<Vec<StoreSample>>>,
    task: Option<Task<()>>,
}

impl Sampler {
    /// Stops, and returns the largest of each number.
    pub async fn stop(self) -> Vec<StoreSample> {
        if let Some(task) = self.task {
            task.cancel().await;
        }
        self.peak.take()
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
    pub fn servers(&self) -> Vec<(String, u32)> {
        let servers = self
            .visited()
            .flat_map(|cluster| (0..cluster.servers).map(|server| (cluster.name.clone(), server)));
        servers.collect()
    }
}
