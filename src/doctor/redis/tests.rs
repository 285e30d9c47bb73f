use super::*;
use crate::providers::pulse::Pulse;
use crate::providers::redis::address::Address;
use crate::providers::redis::admin::Info;
use crate::providers::redis::settings::{RedisKeyspace, RedisSitecore};
use std::collections::BTreeMap;
use std::time::Duration;

/// A server that is fit for sessions.
const HEALTHY: &str = "redis_version:7.2.4\r\nconfigured_hz:10\r\nmaxclients:10000\r\n\
    connected_clients:3\r\nmaxmemory:4000000000\r\nmaxmemory_policy:noeviction\r\n\
    used_memory:1000000\r\nevicted_keys:0\r\nconnected_slaves:1\r\naof_enabled:1\r\n\
    rdb_last_bgsave_status:ok\r\n";

fn master(port: u16, info: &str, config: Option<&[(&str, &str)]>) -> Survey {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Survey {
        at: Address::tcp("redis.example", port),
        pulse: Pulse {
            median_seconds: 0.000_3,
            p99_seconds: 0.001,
            clock: None,
        },
        info: Info::read(info),
        config: config.map(|config| config.iter().map(owned).collect::<BTreeMap<_, _>>()),
        cluster: None,
        rights: Rights::Refused(Vec::new()),
    }
}

fn keyspace() -> ProviderSettings {
    ProviderSettings::RedisKeyspace(RedisKeyspace::default())
}

fn sitecore() -> ProviderSettings {
    ProviderSettings::RedisSitecore(RedisSitecore::default())
}

fn demand() -> Demand {
    Demand {
        cd_servers: 2,
        instances: 2,
        connections: 4,
        sessions: 1000.0,
        bytes: 10e6,
        ends_per_second: 1000.0 / 1200.0,
        lead: Duration::from_secs(60),
        ..Demand::default()
    }
}

fn found(settings: &ProviderSettings, masters: Vec<Survey>) -> Vec<Finding> {
    let surveyed = Surveyed {
        server: ServerInfo::default(),
        is_cluster: masters.len() > 1,
        masters,
    };
    judge(settings, &demand(), &surveyed)
}

fn about<'a>(findings: &'a [Finding], subject: &str) -> &'a Finding {
    let found = findings.iter().find(|finding| finding.subject == subject);
    found.unwrap_or_else(|| panic!("nothing about {subject}: {findings:?}"))
}

const CONFIG: [(&str, &str); 4] = [
    ("notify-keyspace-events", "AK"),
    ("appendfsync", "everysec"),
    (
        "client-output-buffer-limit",
        "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60",
    ),
    ("active-expire-effort", "1"),
];

#[test]
fn nothing_is_wrong_with_a_healthy_server() {
    let findings = found(&keyspace(), vec![master(1, HEALTHY, Some(&CONFIG))]);
    for finding in &findings {
        assert_eq!(finding.severity, Severity::Ok, "{finding:?}");
    }
    assert!(findings.len() >= 11, "{findings:?}");
}

#[test]
fn where_config_is_hidden_the_portal_is_named_and_the_rest_is_read_from_info() {
    let findings = found(&keyspace(), vec![master(1, HEALTHY, None)]);
    let notifications = about(&findings, "notify-keyspace-events");
    assert_eq!(notifications.severity, Severity::Warning);
    let remedy = notifications.remedy.as_deref().unwrap();
    assert!(
        remedy.contains("portal") && remedy.contains("Kx"),
        "{remedy}"
    );
    assert_eq!(about(&findings, "maxmemory-policy").what, "noeviction");
    assert!(
        about(&findings, "expiry scan")
            .what
            .contains("hz 10, effort 1?")
    );
}

#[test]
fn a_policy_that_evicts_is_a_problem_once_there_is_a_limit() {
    let evicting = HEALTHY.replace("noeviction", "volatile-lru");
    let severity = |info: &str| {
        let findings = found(&sitecore(), vec![master(1, info, Some(&CONFIG))]);
        about(&findings, "maxmemory-policy").severity
    };
    assert_eq!(severity(&evicting), Severity::Problem);
    let unlimited = evicting.replace("maxmemory:4000000000", "maxmemory:0");
    assert_eq!(severity(&unlimited), Severity::Warning);
}

/// 103 500 keys at 200 per second are found 517 s late; the lead covers 60 s of them.
#[test]
fn keys_of_others_make_session_ends_late_and_a_faster_scan_is_proposed() {
    let info = format!("{HEALTHY}db3:keys=100000,expires=100000,avg_ttl=0\r\n");
    let findings = found(&keyspace(), vec![master(1, &info, Some(&CONFIG))]);
    let scan = about(&findings, "expiry scan");
    assert_eq!(scan.severity, Severity::Problem);
    assert!(scan.what.contains("8.6 min after"), "{}", scan.what);
    assert!(scan.why.contains("about 88 %"), "{}", scan.why);
    let remedy = scan.remedy.as_deref().unwrap();
    assert!(
        remedy.contains("CONFIG SET hz 100`") && remedy.contains("52 s"),
        "{remedy}"
    );
    let polled = found(&sitecore(), vec![master(1, &info, Some(&CONFIG))]);
    assert_eq!(about(&polled, "expiry scan").severity, Severity::Ok);
}

#[test]
fn a_snapshot_that_failed_stops_every_write() {
    let info = HEALTHY.replace("bgsave_status:ok", "bgsave_status:err");
    let findings = found(&sitecore(), vec![master(1, &info, Some(&CONFIG))]);
    assert_eq!(about(&findings, "persistence").severity, Severity::Problem);
}

#[test]
fn a_subscriber_that_would_be_cut_off_when_all_sessions_end_at_once_is_a_warning() {
    let mut config = CONFIG;
    config[2].1 = "pubsub 0 100000 60";
    let findings = found(&keyspace(), vec![master(1, HEALTHY, Some(&config))]);
    let limit = about(&findings, "client-output-buffer-limit");
    assert_eq!(limit.severity, Severity::Warning);
    assert!(limit.what.starts_with("100 kB"), "{}", limit.what);
}

#[test]
fn sessions_that_do_not_fit_are_a_problem() {
    let small = HEALTHY.replace("4000000000", "5000000");
    let findings = found(&sitecore(), vec![master(1, &small, Some(&CONFIG))]);
    assert_eq!(about(&findings, "memory").severity, Severity::Problem);
}

#[test]
fn of_several_masters_the_worst_speaks() {
    let evicted = HEALTHY.replace("evicted_keys:0", "evicted_keys:9");
    let masters = [HEALTHY, &evicted, HEALTHY].into_iter().zip(7001..);
    let masters = masters.map(|(info, port)| master(port, info, Some(&CONFIG)));
    let findings = found(&keyspace(), masters.collect());
    let keys = about(&findings, "evicted keys");
    assert_eq!(keys.severity, Severity::Warning);
    assert!(
        keys.what.starts_with("redis.example:7002: 9 keys"),
        "{}",
        keys.what
    );
    let subjects: std::collections::BTreeSet<_> =
        findings.iter().map(|finding| finding.subject).collect();
    assert_eq!(subjects.len(), findings.len());
}

#[test]
fn a_cluster_is_refused_to_a_provider_that_cannot_run_on_one() {
    let masters = (7001..7004).map(|port| master(port, HEALTHY, Some(&CONFIG)));
    let findings = found(&sitecore(), masters.collect());
    assert_eq!(about(&findings, "cluster").severity, Severity::Problem);
}

#[test]
fn a_slot_that_nobody_serves_is_a_problem() {
    let mut survey = master(1, HEALTHY, Some(&CONFIG));
    let state = |fail| {
        format!(
            "cluster_state:ok\r\ncluster_slots_assigned:16384\r\ncluster_slots_pfail:0\r\n\
             cluster_slots_fail:{fail}\r\n"
        )
    };
    for (fail, severity) in [(0, Severity::Ok), (1, Severity::Problem)] {
        survey.cluster = Some(Info::read(&state(fail)));
        let findings = found(&keyspace(), vec![survey.clone()]);
        assert_eq!(about(&findings, "cluster state").severity, severity);
    }
}
