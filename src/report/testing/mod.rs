//! A made-up result for the tests of this room, as like a real one as it can be: four providers,
//! two CD servers, staircase waits, late, early, double and missing session ends.

mod parts;

use crate::result::{
    Conservation, Detection, Distribution, Environment, Generator, Interval, Invariant, LeftOut,
    Objective, Offender, PageViews, Requests, Result, Run, SCHEMA_VERSION, ScenarioInfo,
    ServerRequests, ServerUse, SessionEnds, Timeline, Validity,
};
use hdrhistogram::Histogram;
use parts::{Even, cluster, contention, response, sample, store, timeline};
use std::collections::BTreeMap;

const MS: u64 = 1_000_000;
const S: u64 = 1_000 * MS;
const POLL: u64 = 500 * MS;
const VISITS: usize = 2_400;

/// The distribution of some values.
pub(crate) fn distribution(values: &[u64]) -> Distribution {
    let mut histogram = Histogram::new(3).unwrap();
    for &value in values {
        histogram.record(value).unwrap();
    }
    Distribution::of(&histogram)
}

/// Four providers compared, and one left out.
pub(crate) fn comparison() -> Result {
    Result {
        runs: vec![
            inproc(),
            redis_microsoft(),
            redis_keyspace(),
            redis_sitecore(),
        ],
        left_out: vec![LeftOut {
            name: "sql-sitecore".to_owned(),
            reason: "postgres is not installed".to_owned(),
            remedy: Some("apt-get install postgresql".to_owned()),
        }],
        ..empty()
    }
}

/// A result without a single run.
pub(crate) fn empty() -> Result {
    Result {
        schema_version: SCHEMA_VERSION,
        environment: Environment {
            version: "0.1.0".to_owned(),
            started: "2026-11-20T14:05:09Z".to_owned(),
            took_seconds: 3_412.7,
            system: "Linux 6.8".to_owned(),
            processor: "AMD EPYC 7B13".to_owned(),
            processors: 2,
            optimised: true,
        },
        scenario: ScenarioInfo {
            name: "Phone and laptop at once".to_owned(),
            description: "Contacts browse on two devices at the same time; every page fires two \
                          AJAX requests. Which store ends their visits in time?"
                .to_owned(),
            seed: 42,
            scale: 10.0,
            warm_up_ns: 60 * S,
            measured_ns: 600 * S,
            drain_ns: 60 * S,
            timeout_minutes: 20,
            poll_interval_ns: POLL,
            yaml:
                "name: Phone and laptop at once\ntime: { scale: 10 }\ncontacts: 1200 # & devices\n"
                    .to_owned(),
        },
        partial: false,
        runs: Vec::new(),
        left_out: Vec::new(),
    }
}

/// A run of which nothing was measured.
pub(crate) fn blank(name: &str) -> Run {
    Run {
        name: name.to_owned(),
        virtual_time: false,
        trace_hash: None,
        partial: false,
        clusters: Vec::new(),
        validity: Validity {
            valid: true,
            ..Validity::default()
        },
        requests: Requests::default(),
        stores: Vec::new(),
        session_ends: Vec::new(),
        page_views: PageViews::default(),
        integrity: Vec::new(),
        offenders: BTreeMap::new(),
        conservation: Vec::new(),
        timeline: Timeline::default(),
        contention: Vec::new(),
        servers: Vec::new(),
        background: Vec::new(),
        generator: Generator::default(),
        objectives: Vec::new(),
        warnings: Vec::new(),
        verdict: Vec::new(),
    }
}

/// In process: late by the phase of the cache wheel.
pub(crate) fn inproc() -> Run {
    let mut even = Even(1);
    let lateness = even.many(VISITS, |even| even.below(20 * S));
    let ends = ends_with(&lateness, "cache wheel");
    let title = "System.Web in-process store";
    let mut run = run(
        "inproc",
        title,
        Some(Detection::CacheWheel),
        6_000,
        &mut even,
    );
    run.virtual_time = true;
    run.trace_hash = Some("9f86d081884c7d65".to_owned());
    run.servers.clear();
    with_ends(run, ends)
}

/// Microsoft's provider for Redis: no session ever ends.
pub(crate) fn redis_microsoft() -> Run {
    let mut even = Even(2);
    let title = "Microsoft.Web.RedisSessionStateProvider";
    let mut run = run("redis-microsoft", title, None, 240_000, &mut even);
    run.timeline.ends.fill(0);
    let ends = SessionEnds {
        supported: false,
        missed: VISITS as u64,
        overdue: distribution(&even.many(VISITS, |even| even.below(700 * S))),
        ..SessionEnds::default()
    };
    run.page_views.lost_with_visit = run.page_views.performed;
    run.page_views.committed = 0;
    run.validity.unproven = vec!["session ends: none was ever raised".to_owned()];
    with_ends(run, ends)
}

/// Keyspace notifications: a second early, or late by Redis's expiry scan; twice on two servers.
pub(crate) fn redis_keyspace() -> Run {
    let mut even = Even(3);
    let lateness = even.many(VISITS - 380, |even| {
        20 * MS + even.exponential(9 * S).min(60 * S)
    });
    let mut ends = ends_with(&lateness, "expiry scan");
    ends.ended_more = ends.ended_once;
    ends.duplicates = ends.ended_once;
    ends.ended_once = 0;
    ends.premature = 360;
    ends.ended_more += 360;
    ends.duplicates += 360;
    ends.missed = 20;
    ends.earliness = distribution(&even.many(360, |even| 900 * MS + even.below(200 * MS)));
    ends.overdue = distribution(&even.many(20, |even| 20 * S + even.below(40 * S)));
    let title = "Redis with keyspace notifications";
    let detection = Some(Detection::Notification);
    let mut run = run("redis-keyspace", title, detection, 310_000, &mut even);
    run.page_views.committed_again = run.page_views.committed;
    run.page_views.lost_with_visit = 96;
    run.page_views.committed -= 96;
    run.integrity[1].violations = ends.duplicates;
    run.integrity[1].offenders = vec![Offender {
        at_ns: 192 * S,
        session: "q3v0aa5xk1jzq0kkxtwsn5ib".to_owned(),
        found: "ended again by server 1, 3 ms after server 0".to_owned(),
    }];
    let offender = |second: u64, session: &str, found: &str| Offender {
        at_ns: second * S,
        session: session.to_owned(),
        found: found.to_owned(),
    };
    run.offenders = BTreeMap::from([
        (
            "private.missed".to_owned(),
            vec![offender(
                212,
                "missed00aaaaaaaaaaaaaaaa",
                "due, and not ended 60.0s later",
            )],
        ),
        (
            "private.duplicates".to_owned(),
            vec![offender(
                192,
                "q3v0aa5xk1jzq0kkxtwsn5ib",
                "ended for the 2. time",
            )],
        ),
    ]);
    run.objectives[1].met = false;
    run.objectives[1].measured = Some("duplicate ends = 2,380".to_owned());
    with_ends(run, ends)
}

/// Sitecore's provider for Redis: late by the phase of its poll, and a backlog behind it.
pub(crate) fn redis_sitecore() -> Run {
    let mut even = Even(4);
    let lateness = even.many(VISITS, |even| even.below(2 * S) + even.exponential(40 * MS));
    let mut ends = ends_with(&lateness, "poll phase");
    let backlog = distribution(&even.many(VISITS, |even| even.exponential(40 * MS)));
    ends.lateness_by_cause.insert("backlog".to_owned(), backlog);
    let title = "Sitecore Redis session provider";
    with_ends(
        run(
            "redis-sitecore",
            title,
            Some(Detection::Poll),
            260_000,
            &mut even,
        ),
        ends,
    )
}

fn ends_with(lateness: &[u64], cause: &str) -> SessionEnds {
    let lateness_of = distribution(lateness);
    SessionEnds {
        supported: true,
        ended_once: lateness.len() as u64,
        lateness: lateness_of.clone(),
        lateness_by_cause: BTreeMap::from([(cause.to_owned(), lateness_of)]),
        due_uncertainty: distribution(&[MS, 2 * MS]),
        handler: distribution(&[3 * MS, 5 * MS, 9 * MS]),
        ..SessionEnds::default()
    }
}

/// The visits' ends, and as many contacts' for half the visits.
fn with_ends(mut run: Run, mut ends: SessionEnds) -> Run {
    ends.started = VISITS as u64;
    ends.kind = "private".to_owned();
    let mut shared = ends.clone();
    shared.kind = "shared".to_owned();
    run.session_ends = vec![ends, shared];
    run.verdict = crate::report::verdict(&run, &empty().scenario);
    run
}

fn run(
    name: &str,
    title: &str,
    detection: Option<Detection>,
    round_trip: u64,
    even: &mut Even,
) -> Run {
    let responses = even.many(30_000, |even| response(even, round_trip));
    let measured = responses.len() as u64;
    let service = distribution(&responses);
    Run {
        clusters: vec![cluster(name, title, detection)],
        requests: Requests {
            intended: measured + 3_120,
            sent: measured + 3_120,
            ok: measured + 3_118,
            failed: BTreeMap::from([("execution timeout".to_owned(), 2)]),
            not_sent: 0,
            in_flight: 0,
            measured,
            per_second: measured as f64 / 600.0,
            by_way: BTreeMap::from([("dirty".to_owned(), 21_000), ("clean".to_owned(), 9_000)]),
            response: service.clone(),
            service,
            lag: distribution(&even.many(30_000, |even| even.exponential(60_000))),
            by_server: (0..2)
                .map(|server| ServerRequests {
                    cluster: "europe".to_owned(),
                    server,
                    response: distribution(&responses[server as usize * 15_000..][..15_000]),
                    most_in_progress: 31,
                })
                .collect(),
            round_trips: distribution(&[2, 3, 3, 3, 4]),
            bytes_sent: distribution(&[820, 2_200, 2_400]),
            bytes_received: distribution(&[1_900, 2_100, 2_300]),
            response_intervals: responses
                .chunks(5_000)
                .zip(0..)
                .map(|(values, index)| Interval {
                    start_ns: 60 * S + index * 100 * S,
                    length_ns: 100 * S,
                    values: distribution(values),
                })
                .collect(),
            ..Requests::default()
        },
        stores: ["private", "shared"]
            .into_iter()
            .flat_map(|kind| (0..2).map(move |server| (kind, server)))
            .map(|(kind, server)| store(kind, server, round_trip, even))
            .collect(),
        page_views: PageViews {
            performed: 11_400,
            committed: 11_400,
            ..PageViews::default()
        },
        integrity: [
            (3, "no lost, no doubled update"),
            (4, "end fires exactly once"),
        ]
        .map(|(number, promise)| Invariant {
            number,
            promise: promise.to_owned(),
            checked: 33_118,
            violations: 0,
            offenders: Vec::new(),
        })
        .to_vec(),
        conservation: vec![Conservation {
            equation: "intended = sent + not sent".to_owned(),
            left: measured + 3_120,
            right: measured + 3_120,
            holds: true,
        }],
        timeline: timeline(even),
        contention: vec![contention(even)],
        servers: vec![ServerUse {
            cluster: "europe".to_owned(),
            provider: name.to_owned(),
            before: sample(1_048_576, 0),
            peak: sample(9_437_184, 5_200),
            after: sample(1_310_720, 12),
            cpu_seconds_per_1000_requests: Some(0.043),
        }],
        generator: Generator {
            cpu_seconds: 48.3,
            cpu_share: 0.08,
            memory_bytes: 48 << 20,
            mean_in_progress: 2.9,
            expected_in_progress: 2.88,
        },
        objectives: [
            ("response p99 < 1 s", "response p99 = 1.01 s", false),
            ("duplicate ends = 0", "duplicate ends = 0", true),
        ]
        .map(|(text, measured, met)| Objective {
            text: text.to_owned(),
            measured: Some(measured.to_owned()),
            met,
        })
        .to_vec(),
        ..blank(name)
    }
}
