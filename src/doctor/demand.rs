//! What a scenario will ask of a store.
//!
//! In: the plan that `check` prints. Out: connections, sessions, bytes and session ends for each
//! store that a provider block stands for. The surprising fact: a block is one store for several
//! clusters when it names a server, and a store for each of them when it has one started.

use crate::providers::ProviderSettings;
use crate::scenario::plan::{self, connections_each};
use crate::scenario::{ClusterPlan, Estimate, RunPlan, Scenario};
use crate::session::StoreKind;
use std::time::Duration;

/// What is asked of one store in the run that asks most of it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Demand {
    /// CD servers.
    pub cd_servers: u32,
    /// Provider instances: one for each CD server and kind of session.
    pub instances: u32,
    /// Connections of their provider instances to each server of the store, where they keep some.
    pub connections: u32,
    /// Requests in progress at once, each of which may need a connection of its own.
    pub in_progress: f64,
    /// Sessions alive when traffic stops.
    pub sessions: f64,
    /// Bytes of their data, without what a store adds.
    pub bytes: f64,
    /// Session ends per second of real time.
    pub ends_per_second: f64,
    /// Real time by which a shadow key expires before its session; zero without one.
    pub lead: Duration,
}

impl Demand {
    /// What a scenario asks of the store of a provider block.
    #[must_use]
    pub fn of(scenario: &Scenario, name: &str) -> Self {
        let Some(settings) = scenario.providers.get(name) else {
            return Self::default();
        };
        let traffic = Estimate::of(scenario);
        let mut most = Self::default();
        for run in scenario.runs() {
            let of_clusters = Self::of_clusters(scenario, &traffic, &run, name, settings);
            let of_run = match settings.is_managed() {
                true => of_clusters.fold(Self::default(), Self::larger),
                false => of_clusters.fold(Self::default(), Self::plus),
            };
            most = most.larger(of_run);
        }
        if let ProviderSettings::RedisKeyspace(settings) = settings {
            most.lead = scenario.site_time().real(settings.shadow_key_lead);
        }
        most
    }

    fn of_clusters<'a>(
        scenario: &'a Scenario,
        traffic: &'a Estimate,
        run: &'a RunPlan,
        name: &'a str,
        settings: &'a ProviderSettings,
    ) -> impl Iterator<Item = Self> + 'a {
        let visited = run.clusters.iter().filter(|it| it.serves_visitors());
        let weights: f64 = visited.clone().map(|cluster| cluster.weight).sum();
        visited.map(move |cluster| {
            let share = cluster.weight / weights;
            let kinds = StoreKind::ALL.into_iter();
            kinds
                .filter(|kind| cluster.provider(*kind) == Some(name))
                .map(|kind| Self::of_kind(scenario, traffic, cluster, settings, kind, share))
                // Private and shared state are used by the same servers and requests.
                .reduce(|private, shared| Self {
                    cd_servers: private.cd_servers,
                    in_progress: private.in_progress,
                    ..private.plus(shared)
                })
                .unwrap_or_default()
        })
    }

    fn of_kind(
        scenario: &Scenario,
        traffic: &Estimate,
        cluster: &ClusterPlan,
        settings: &ProviderSettings,
        kind: StoreKind,
        share: f64,
    ) -> Self {
        let sessions = traffic.live(kind) * share;
        let minute = scenario.site_time().minute();
        let lives = scenario.timeout(kind).lasting(minute).as_secs_f64();
        Self {
            cd_servers: cluster.servers,
            instances: cluster.servers,
            connections: connections_each(settings) * cluster.servers,
            in_progress: traffic.in_progress * share,
            sessions,
            bytes: sessions * bytes_each(scenario, kind),
            ends_per_second: if lives > 0.0 { sessions / lives } else { 0.0 },
            lead: Duration::ZERO,
        }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            cd_servers: self.cd_servers + other.cd_servers,
            instances: self.instances + other.instances,
            connections: self.connections + other.connections,
            in_progress: self.in_progress + other.in_progress,
            sessions: self.sessions + other.sessions,
            bytes: self.bytes + other.bytes,
            ends_per_second: self.ends_per_second + other.ends_per_second,
            lead: self.lead,
        }
    }

    fn larger(self, other: Self) -> Self {
        Self {
            cd_servers: self.cd_servers.max(other.cd_servers),
            instances: self.instances.max(other.instances),
            connections: self.connections.max(other.connections),
            in_progress: self.in_progress.max(other.in_progress),
            sessions: self.sessions.max(other.sessions),
            bytes: self.bytes.max(other.bytes),
            ends_per_second: self.ends_per_second.max(other.ends_per_second),
            lead: self.lead,
        }
    }

    /// The sessions, for a person.
    #[must_use]
    pub fn sessions_in_words(&self) -> String {
        format!("{} live sessions", plan::rounded(self.sessions))
    }
}

/// Mean bytes of one session's data at the end of its visit.
fn bytes_each(scenario: &Scenario, kind: StoreKind) -> f64 {
    let data = &scenario.data;
    match kind {
        StoreKind::Private => {
            let own = &data.private;
            let pages = scenario.visits.pages.mean();
            let grown = own.per_page.bytes() as f64
                + [&own.goals, &own.campaigns]
                    .iter()
                    .map(|growth| growth.share.fraction() * growth.bytes.bytes() as f64)
                    .sum::<f64>();
            own.initial.bytes() as f64 + pages * grown
        }
        StoreKind::Shared => {
            let devices = scenario.contacts.devices.mean();
            data.shared.facets.bytes() as f64 + devices * data.shared.per_device.bytes() as f64
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demand(rest: &str) -> Demand {
        let text = format!(
            "name: x\ntime: {{duration: 2h}}\n\
             contacts: {{arrivals: {{constant: {{rate: 1/s}}}}}}\nvisits: {{pages: 1, work: 0}}\n\
             data: {{private: {{initial: 1kB, per_page: 500B}}}}\n{rest}"
        );
        let loaded = crate::scenario::parse("test.yaml", &text);
        Demand::of(
            &loaded
                .unwrap_or_else(|problems| panic!("{problems}"))
                .scenario,
            "a",
        )
    }

    #[test]
    fn two_clusters_share_a_server_that_is_named_and_have_one_each_that_is_managed() {
        let clusters = "clusters: {one: {private: a, shared: b}, two: {private: a, shared: b}}\n\
                        allow_unsupported: true\n";
        let with = |server: &str| {
            demand(&format!(
                "{clusters}providers: {{a: {{redis_sitecore: {{{server}}}}}, \
                 b: {{redis_sitecore: {{databaseId: 1}}}}}}\n"
            ))
        };
        let managed = with("");
        let named = with("server: 'localhost:6379'");
        assert_eq!(named.sessions, 2.0 * managed.sessions);
        assert_eq!(named.cd_servers, 2 * managed.cd_servers);
    }

    #[test]
    fn private_and_shared_state_on_one_store_double_the_connections_and_not_the_servers() {
        let both = demand(
            "clusters: {web: {servers: 3, private: a, shared: a}}\n\
             providers: {a: {redis_sitecore: {connections_per_server: 2}}}\n",
        );
        assert_eq!(
            (both.cd_servers, both.instances, both.connections),
            (3, 6, 12)
        );
        // 20 and 21 minutes at one visit per second.
        assert_eq!(both.sessions.round(), 1200.0 + 1260.0);
        assert!((both.ends_per_second - 2.0).abs() < 0.01);
        let private = 1200.0 * 1500.0;
        assert!(both.bytes > private, "{}", both.bytes);
    }
}
