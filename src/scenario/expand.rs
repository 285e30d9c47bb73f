//! What a scenario plays: one run, or one for each entry of `compare`, with names resolved.
//!
//! In: a checked scenario. Out: [`RunPlan`]s, in which every CD cluster names its providers.

use super::model::{Contender, Scenario};
use crate::quantity::{SiteTime, Span};
use crate::session::{Minutes, StoreKind};
use crate::topology::settings::{Balancer, Role, SharedAccess};

/// One run of a scenario.
#[derive(Debug, Clone, PartialEq)]
pub struct RunPlan {
    /// Its name in reports, unique within the scenario.
    pub name: String,
    /// Its clusters, in the order of their names.
    pub clusters: Vec<ClusterPlan>,
    /// Whether it is no failure that a store of it cannot be reached.
    pub optional: bool,
}

/// One cluster of a run, with its providers by their names in the scenario.
#[derive(Debug, Clone, PartialEq)]
pub struct ClusterPlan {
    /// Its name in the scenario.
    pub name: String,
    /// What its servers do.
    pub role: Role,
    /// Number of servers.
    pub servers: u32,
    /// How requests are spread over them.
    pub balancer: Balancer,
    /// Relative share of contacts that choose it.
    pub weight: f64,
    /// How requests use the shared session.
    pub shared_access: SharedAccess,
    /// Provider of private state.
    pub private: String,
    /// Provider of shared state; `None` on CM servers, which have none.
    pub shared: Option<String>,
}

impl ClusterPlan {
    /// Whether it serves visitors.
    #[must_use]
    pub const fn serves_visitors(&self) -> bool {
        matches!(self.role, Role::ContentDelivery)
    }

    /// The provider of a store kind.
    #[must_use]
    pub fn provider(&self, kind: StoreKind) -> Option<&str> {
        match kind {
            StoreKind::Private => Some(&self.private),
            StoreKind::Shared => self.shared.as_deref(),
        }
    }
}

impl Contender {
    /// The provider of private state.
    #[must_use]
    pub fn private(&self) -> &str {
        match self {
            Self::Same(name) => name,
            Self::Mixed(mixed) => &mixed.private,
        }
    }

    /// The provider of shared state.
    #[must_use]
    pub fn shared(&self) -> &str {
        match self {
            Self::Same(name) => name,
            Self::Mixed(mixed) => mixed.shared.as_ref().unwrap_or(&mixed.private),
        }
    }

    /// The run's name in reports.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Same(name) => name,
            Self::Mixed(mixed) => mixed.name.as_ref().unwrap_or(&mixed.private),
        }
    }

    /// Number of servers per CD cluster, where the run has its own.
    #[must_use]
    pub const fn servers(&self) -> Option<u32> {
        match self {
            Self::Same(_) => None,
            Self::Mixed(mixed) => mixed.servers,
        }
    }

    /// Whether it is no failure that a store of the run cannot be reached.
    #[must_use]
    pub const fn optional(&self) -> bool {
        match self {
            Self::Same(_) => false,
            Self::Mixed(mixed) => mixed.optional,
        }
    }
}

impl Scenario {
    /// How much shorter than the site's time the runs are.
    #[must_use]
    pub const fn site_time(&self) -> SiteTime {
        SiteTime::new(self.time.scale)
    }

    /// The session timeout of a store kind; the shared session's is one minute more than the
    /// private one's (facts §9.5).
    #[must_use]
    pub fn timeout(&self, kind: StoreKind) -> Minutes {
        for_kind(minutes(self.session.timeout), kind)
    }

    /// The session timeout of visitors taken for robots (facts §12); `None` without robots.
    #[must_use]
    pub fn robot_timeout(&self, kind: StoreKind) -> Option<Minutes> {
        let robots = self.contacts.robots.as_ref()?;
        Some(for_kind(minutes(robots.timeout), kind))
    }

    /// The runs, in the order in which they are played.
    #[must_use]
    pub fn runs(&self) -> Vec<RunPlan> {
        if self.compare.is_empty() {
            return vec![self.run(None)];
        }
        let contenders = self.compare.iter();
        contenders
            .map(|contender| self.run(Some(contender)))
            .collect()
    }

    fn run(&self, contender: Option<&Contender>) -> RunPlan {
        let clusters = self.clusters.iter().map(|(name, cluster)| {
            let visited = cluster.role == Role::ContentDelivery;
            let contender = contender.filter(|_| visited);
            let own = cluster.private.clone().unwrap_or_default();
            ClusterPlan {
                name: name.clone(),
                role: cluster.role,
                servers: contender
                    .and_then(Contender::servers)
                    .unwrap_or(cluster.servers),
                balancer: cluster.balancer,
                weight: cluster.weight,
                shared_access: cluster.shared_access,
                private: contender.map_or(own, |it| it.private().to_owned()),
                shared: match contender {
                    Some(contender) => Some(contender.shared().to_owned()),
                    None => cluster.shared.clone(),
                },
            }
        });
        let clusters: Vec<_> = clusters.collect();
        let name = match contender {
            Some(contender) => contender.name().to_owned(),
            None => run_name(&clusters),
        };
        RunPlan {
            name,
            clusters,
            optional: contender.is_some_and(Contender::optional),
        }
    }
}

/// A run that no `compare` names: its private providers, each once.
fn run_name(clusters: &[ClusterPlan]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for cluster in clusters.iter().filter(|it| it.serves_visitors()) {
        if !names.contains(&cluster.private.as_str()) {
            names.push(&cluster.private);
        }
    }
    names.join("+")
}

fn minutes(span: Span) -> Minutes {
    Minutes((span.duration().as_secs() / 60) as u32)
}

fn for_kind(private: Minutes, kind: StoreKind) -> Minutes {
    match kind {
        StoreKind::Private => private,
        StoreKind::Shared => Minutes(private.0 + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::parse;

    const HEAD: &str = "name: x\ntime: {duration: 10min}\n\
        contacts: {arrivals: {poisson: {rate: 6/min}}}\n\
        providers: {a: {redis_sitecore: {}}, b: {redis_sitecore: {}}, i: {inproc: {}}}\n";

    fn runs(rest: &str) -> Vec<RunPlan> {
        let loaded = parse("test.yaml", &format!("{HEAD}{rest}"));
        loaded.unwrap().scenario.runs()
    }

    #[test]
    fn without_compare_there_is_one_run_named_after_its_private_providers() {
        let runs = runs(
            "clusters:\n  eu: {servers: 2, private: a, shared: a}\n  us: {private: b, shared: b}\n  \
             cm: {role: content_management, private: i}\n",
        );
        assert_eq!(runs.len(), 1);
        assert_eq!(runs[0].name, "a+b");
    }

    #[test]
    fn each_entry_of_compare_is_a_run_with_its_providers_in_every_cd_cluster() {
        let runs = runs(
            "clusters: {web: {servers: 2}}\n\
             compare: [a, {name: own, private: b, shared: a, servers: 3}]\n",
        );
        let web = &runs[0].clusters[0];
        assert_eq!(
            (web.private.as_str(), web.shared.as_deref()),
            ("a", Some("a"))
        );
        assert_eq!(web.servers, 2);
        let web = &runs[1].clusters[0];
        assert_eq!(
            (web.private.as_str(), web.shared.as_deref()),
            ("b", Some("a"))
        );
        assert_eq!((runs[1].name.as_str(), web.servers), ("own", 3));
    }

    #[test]
    fn shared_state_lives_one_minute_longer() {
        let loaded = parse(
            "test.yaml",
            &format!("{HEAD}clusters: {{web: {{private: a, shared: a}}}}\n"),
        );
        let scenario = loaded.unwrap().scenario;
        assert_eq!(scenario.timeout(StoreKind::Private), Minutes(20));
        assert_eq!(scenario.timeout(StoreKind::Shared), Minutes(21));
    }
}
