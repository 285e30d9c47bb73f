//! The plan of a scenario: what `check` prints, so that a person sees the size of a run before it
//! starts.
//!
//! In: a checked scenario. Out: expected traffic, live sessions, connections, and how long all of
//! it takes in real time.

use super::expand::{ClusterPlan, RunPlan};
use super::{Estimate, Scenario};
use crate::providers::redis::expiry::{self, Scan};
use crate::providers::redis::settings::{ConfigValue, RedisServer, RedisSettings};
use crate::providers::{Detection, ProviderSettings};
use crate::session::StoreKind;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// What a scenario will do.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The scenario's name.
    pub name: String,
    /// How much shorter than the site's time it runs.
    pub scale: f64,
    /// Expected traffic of each run.
    pub traffic: Estimate,
    /// Its runs.
    pub runs: Vec<RunOutline>,
    /// How long each run takes.
    pub times: RunTimes,
}

/// One run in outline.
#[derive(Debug, Clone, PartialEq)]
pub struct RunOutline {
    /// Its name.
    pub name: String,
    /// CD servers of all clusters.
    pub cd_servers: u32,
    /// Connections to the store's server, by provider; in-process providers have none.
    pub connections: BTreeMap<String, u32>,
    /// Expected session ends by store kind; `None` where the provider raises none.
    pub ends: [(StoreKind, Option<f64>); 2],
    /// Longest lateness of session end that the design of the providers leads one to expect.
    pub lateness: Option<Duration>,
}

/// Real time of one run, part by part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunTimes {
    /// Before measuring starts.
    pub warm_up: Duration,
    /// While measuring.
    pub measured: Duration,
    /// From the end of the traffic until the last session is due: the longest timeout.
    pub until_due: Duration,
    /// Longest wait for session ends after that. A run in which every session has ended does not
    /// wait for the rest of it.
    pub drain: Duration,
}

impl RunTimes {
    /// The real times of a scenario's run.
    #[must_use]
    pub fn of(scenario: &Scenario) -> Self {
        let site_time = scenario.site_time();
        let minute = site_time.minute();
        let shared = scenario.timeout(StoreKind::Shared);
        let robots = scenario.robot_timeout(StoreKind::Shared);
        Self {
            warm_up: site_time.real(scenario.time.warm_up),
            measured: site_time.real(scenario.time.duration),
            until_due: shared.max(robots.unwrap_or_default()).lasting(minute),
            drain: scenario.time.drain.duration(),
        }
    }

    /// The whole run at its longest.
    #[must_use]
    pub fn total(&self) -> Duration {
        self.warm_up + self.measured + self.until_due + self.drain
    }
}

impl Plan {
    /// The plan of a scenario.
    #[must_use]
    pub fn of(scenario: &Scenario) -> Self {
        let traffic = Estimate::of(scenario);
        let runs = scenario.runs();
        Self {
            name: scenario.name.clone(),
            scale: scenario.time.scale,
            runs: runs
                .iter()
                .map(|run| RunOutline::of(scenario, &traffic, run))
                .collect(),
            traffic,
            times: RunTimes::of(scenario),
        }
    }

    /// All runs together, each at its longest.
    #[must_use]
    pub fn total(&self) -> Duration {
        self.times.total() * self.runs.len() as u32
    }
}

impl RunOutline {
    fn of(scenario: &Scenario, traffic: &Estimate, run: &RunPlan) -> Self {
        let visited = || run.clusters.iter().filter(|it| it.serves_visitors());
        let mut connections = BTreeMap::new();
        for (cluster, _, name) in seats(run) {
            let each = scenario.providers.get(name).map_or(0, connections_each);
            if each > 0 {
                *connections
                    .entry(format!("{name} ({})", cluster.name))
                    .or_insert(0) += each * cluster.servers;
            }
        }
        let began = |kind| match kind {
            StoreKind::Private => traffic.private_sessions,
            StoreKind::Shared => traffic.shared_sessions,
        };
        let raises = |kind, name: &str| {
            let settings = scenario.providers.get(name);
            settings.is_some_and(|settings| settings.capabilities().raises_ends(kind))
        };
        let raised = |kind| {
            let by_all = visited().all(|cluster| {
                let name = cluster.provider(kind);
                name.is_some_and(|name| raises(kind, name))
            });
            by_all.then(|| began(kind))
        };
        Self {
            name: run.name.clone(),
            cd_servers: visited().map(|cluster| cluster.servers).sum(),
            connections,
            ends: StoreKind::ALL.map(|kind| (kind, raised(kind))),
            lateness: seats(run)
                .filter(|(_, kind, name)| raises(*kind, name))
                .filter_map(|(_, _, name)| expected_lateness(scenario, traffic, run, name))
                .max(),
        }
    }
}

/// Every store that CD clusters of a run use, by cluster and kind, with its provider's name.
fn seats(run: &RunPlan) -> impl Iterator<Item = (&ClusterPlan, StoreKind, &str)> {
    run.clusters
        .iter()
        .filter(|cluster| cluster.serves_visitors())
        .flat_map(|cluster| {
            StoreKind::ALL.into_iter().filter_map(move |kind| {
                let name = cluster.provider(kind)?;
                Some((cluster, kind, name))
            })
        })
}

/// Connections of one provider instance: those for commands, and one to hear notifications or calls.
#[must_use]
pub fn connections_each(settings: &ProviderSettings) -> u32 {
    let listening = matches!(
        settings.capabilities().detection,
        Some(Detection::Notification | Detection::Deadline)
    );
    settings.redis().map_or(0, |redis| {
        redis.connections_per_server + u32::from(listening)
    })
}

/// The longest lateness of session end that a provider's design leads one to expect, backlog left
/// out; `None` where it raises none.
#[must_use]
pub fn expected_lateness(
    scenario: &Scenario,
    traffic: &Estimate,
    run: &RunPlan,
    name: &str,
) -> Option<Duration> {
    let settings = scenario.providers.get(name)?;
    match settings {
        // The wheel turns every 20 s (facts §3.2).
        ProviderSettings::Inproc(_) => Some(Duration::from_secs(20)),
        ProviderSettings::RedisMicrosoft(_)
        | ProviderSettings::StateServer(_)
        | ProviderSettings::SqlAsync(_)
        | ProviderSettings::SqlUniversal(_) => None,
        ProviderSettings::RedisSitecore(settings) => {
            Some(Duration::from_secs(settings.pollingInterval.into()))
        }
        ProviderSettings::RedisMarkers(settings) | ProviderSettings::RedisIndex(settings) => {
            Some(Duration::from_secs(settings.pollingInterval.into()))
        }
        ProviderSettings::SqlSitecore(settings) => {
            Some(Duration::from_secs(settings.pollingInterval.into()))
        }
        ProviderSettings::MongoSitecore(settings) => {
            Some(Duration::from_secs(settings.pollingInterval.into()))
        }
        ProviderSettings::RedisKeyspace(settings) => {
            let visited = run.clusters.iter().filter(|it| it.serves_visitors());
            let weights: f64 = visited.clone().map(|cluster| cluster.weight).sum();
            // Each cluster has a database of its own; the largest is the slowest.
            let sessions = visited.map(|cluster| {
                let kinds = StoreKind::ALL.into_iter();
                let kinds = kinds.filter(|kind| cluster.provider(*kind) == Some(name));
                let live: f64 = kinds.map(|kind| traffic.live(kind)).sum();
                live * cluster.weight / weights
            });
            let scan = expiry_scan(&settings.redis, sessions.fold(0.0, f64::max));
            // The shadow key expires early, which the scan may use up.
            let lead = scenario.site_time().real(settings.shadow_key_lead);
            Some(scan.saturating_sub(lead))
        }
        // As late as a server can be that has to be relieved.
        ProviderSettings::RedisDeadline(settings) => Some(settings.safety_poll.duration()),
    }
}

/// One full turn of the expiry scan of the server's masters.
fn expiry_scan(redis: &RedisSettings, sessions: f64) -> Duration {
    let (scan, others, masters) = match &redis.server {
        RedisServer::Managed(managed) => {
            let number = |key: &str| match managed.config.get(key) {
                Some(ConfigValue::Number(number)) => Some(*number),
                Some(ConfigValue::Text(text)) => text.parse().ok(),
                None => None,
            };
            let scan = Scan::new(number("hz"), number("active-expire-effort"));
            let masters = managed.cluster.unwrap_or(1);
            (scan, managed.other_volatile_keys, masters)
        }
        RedisServer::ConnectionString(_) => (Scan::default(), 0, 1),
    };
    let keys = sessions * expiry::KEYS_WITH_SHADOW + f64::from(others);
    // Each master scans its own keys.
    scan.turn(keys / f64::from(masters.max(1)))
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let traffic = &self.traffic;
        let count = rounded;
        writeln!(f, "{}: {}", self.name, runs_in_words(self))?;
        if self.scale > 1.0 {
            writeln!(
                f,
                "  time         1 min of the site lasts {}; work, polls and stores stay real",
                brief(Duration::from_secs(60).div_f64(self.scale))
            )?;
        }
        writeln!(
            f,
            "  each run     {} warm-up, {} measured, {} until all are due, up to {} for session ends",
            brief(self.times.warm_up),
            brief(self.times.measured),
            brief(self.times.until_due),
            brief(self.times.drain)
        )?;
        writeln!(
            f,
            "  traffic      {} contacts, {} visits, {} pages, {} requests",
            count(traffic.contacts),
            count(traffic.visits),
            count(traffic.pages),
            count(traffic.requests)
        )?;
        writeln!(
            f,
            "  load         {} requests/s, {} in progress at once",
            count(traffic.requests_per_second),
            count(traffic.in_progress)
        )?;
        writeln!(
            f,
            "  live         {} private and {} shared sessions when traffic stops (Little's law)",
            count(traffic.live_private),
            count(traffic.live_shared)
        )?;
        for run in &self.runs {
            writeln!(f, "  {run}")?;
        }
        Ok(())
    }
}

fn runs_in_words(plan: &Plan) -> String {
    match plan.runs.len() {
        1 => format!("1 run, at most {}", brief(plan.total())),
        several => format!(
            "{several} runs of at most {} each, {} in all",
            brief(plan.times.total()),
            brief(plan.total())
        ),
    }
}

impl fmt::Display for RunOutline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "run {}: {} CD server", self.name, self.cd_servers)?;
        if self.cd_servers != 1 {
            f.write_str("s")?;
        }
        for (provider, connections) in &self.connections {
            write!(f, ", {connections} connections to {provider}")?;
        }
        for (kind, ends) in self.ends {
            match ends {
                Some(ends) => write!(f, ", {} {kind} ends", rounded(ends))?,
                None => write!(f, ", no {kind} ends")?,
            }
        }
        match self.lateness {
            Some(lateness) => write!(f, ", up to {} late by design", brief(lateness)),
            None => Ok(()),
        }
    }
}

/// A count with two significant digits, or whole below a hundred, with thousands apart.
#[must_use]
pub fn rounded(value: f64) -> String {
    if value < 10.0 {
        return format!("{}", (value * 10.0).round() / 10.0);
    }
    let unit = 10f64.powf((value.log10().floor() - 1.0).max(0.0));
    let digits = format!("{}", (value / unit).round() * unit);
    let mut grouped = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position) % 3 == 0 {
            grouped.push(' ');
        }
        grouped.push(digit);
    }
    grouped
}

/// A length of time with at most one decimal: `0.3 s`, `80 s`, `3.5 min`, `2 h`.
#[must_use]
pub fn brief(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    let (value, unit) = match seconds {
        ..120.0 => (seconds, "s"),
        ..7200.0 => (seconds / 60.0, "min"),
        _ => (seconds / 3600.0, "h"),
    };
    let decimal = if value < 10.0 { 10.0 } else { 1.0 };
    format!("{} {unit}", (value * decimal).round() / decimal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::parse;

    fn plan(rest: &str) -> Plan {
        let text = format!(
            "name: x\ntime: {{duration: 10min, scale: 60}}\n\
             contacts: {{arrivals: {{constant: {{rate: 60/min}}}}}}\n{rest}"
        );
        let loaded = parse("test.yaml", &text).unwrap_or_else(|problems| panic!("{problems}"));
        Plan::of(&loaded.scenario)
    }

    #[test]
    fn a_run_lasts_until_the_last_session_is_due_and_drained() {
        let plan = plan(
            "clusters: {web: {}}\nproviders: {a: {redis_sitecore: {}}, i: {inproc: {}}}\n\
             compare: [a, i]\n",
        );
        assert_eq!(plan.times.total(), Duration::from_secs(10 + 21 + 30));
        assert_eq!(plan.total(), Duration::from_secs(2 * 61));
    }

    #[test]
    fn every_server_and_store_kind_has_its_connections() {
        let plan = plan(
            "clusters: {web: {servers: 3, private: a, shared: k}}\n\
             providers: {a: {redis_sitecore: {connections_per_server: 2}}, \
             k: {redis_keyspace: {}}}\n",
        );
        let connections: Vec<_> = plan.runs[0].connections.values().copied().collect();
        assert_eq!(connections, [6, 6]);
    }

    #[test]
    fn a_plan_expects_no_ends_of_a_kind_that_the_provider_does_not_raise() {
        let plan = plan(
            "allow_unsupported: true\nclusters: {web: {private: m, shared: r}}\n\
             providers: {m: {redis_microsoft: {}}, r: {redis_markers: {}}}\n",
        );
        let run = &plan.runs[0];
        assert_eq!(run.ends.map(|(_, ends)| ends), [None, None]);
        assert_eq!(run.lateness, None);
    }

    /// Facts §11.1: 100 000 volatile keys at hz 10 take 500 s.
    #[test]
    fn notifications_wait_for_the_expiry_scan() {
        let with = |config: &str| {
            let plan = plan(&format!(
                "clusters: {{web: {{private: k, shared: k}}}}\nproviders: {{k: {{redis_keyspace: \
                 {{shadow_key_lead: 0, server: {{managed: {{other_volatile_keys: 95800, \
                 config: {{{config}}}}}}}}}}}}}\n"
            ));
            plan.runs[0].lateness.unwrap().as_secs()
        };
        assert_eq!(with(""), 500);
        assert_eq!(with("hz: 100"), 50);
    }

    #[test]
    fn counts_are_short() {
        for (value, text) in [
            (0.04, "0"),
            (3.06, "3.1"),
            (12.6, "13"),
            (1234.0, "1 200"),
            (1_234_567.0, "1 200 000"),
        ] {
            assert_eq!(rounded(value), text);
        }
    }

    #[test]
    fn times_are_short() {
        for (millis, text) in [
            (250, "0.3 s"),
            (21_000, "21 s"),
            (210_000, "3.5 min"),
            (7_200_000, "2 h"),
        ] {
            assert_eq!(brief(Duration::from_millis(millis)), text);
        }
    }
}
