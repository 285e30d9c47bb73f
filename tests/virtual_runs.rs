//! Whole runs on the virtual clock: the same seed is the same run, every sum comes out even, and
//! what the in-process provider is known to do shows in the numbers.

#![allow(clippy::unwrap_used, reason = "a test that fails is to panic")]

use sessionbench::engine::{Clock, Interrupt, Progress, Silent, play_all, play_each};
use sessionbench::measure::Promise;
use sessionbench::result::{Distribution, Locks, Result, Run, SessionEnds};
use sessionbench::scenario::parse;
use std::rc::Rc;

/// Plays a scenario; the default environment is the same for every run.
fn play(yaml: &str) -> Result {
    let loaded = parse("test.yaml", yaml).unwrap_or_else(|problems| panic!("{problems}"));
    let progress: Rc<dyn Progress> = Rc::new(Silent);
    let result = play_all(
        &Rc::new(loaded.scenario),
        &loaded.text,
        Clock::Virtual,
        &progress,
        &Interrupt::default(),
    );
    result.unwrap()
}

/// Plays a scenario of one run.
fn run(yaml: &str) -> Run {
    let mut result = play(yaml);
    assert_eq!(result.left_out, []);
    result.runs.pop().unwrap()
}

/// A scenario: the parts that every one has, and those that a test is about.
fn scenario(parts: &str) -> String {
    let mut yaml = "name: test\nproviders: { inproc: { inproc: {} } }\n".to_owned();
    for (key, default) in [
        ("seed", "seed: 1"),
        ("time", "time: { duration: 20min }"),
        (
            "contacts",
            "contacts: { arrivals: { poisson: { rate: 20/min } } }",
        ),
        (
            "clusters",
            "clusters: { web: { private: inproc, shared: inproc } }",
        ),
    ] {
        if !parts
            .lines()
            .any(|line| line.starts_with(&format!("{key}:")))
        {
            yaml.push_str(default);
            yaml.push('\n');
        }
    }
    yaml + parts
}

fn ends<'a>(run: &'a Run, kind: &str) -> &'a SessionEnds {
    run.session_ends.iter().find(|it| it.kind == kind).unwrap()
}

fn locks<'a>(run: &'a Run, kind: &str) -> &'a Locks {
    &run.stores.iter().find(|it| it.kind == kind).unwrap().locks
}

fn violations(run: &Run) -> Vec<(u32, u64)> {
    let broken = run.integrity.iter().filter(|it| it.violations > 0);
    broken.map(|it| (it.number, it.violations)).collect()
}

/// Every sum holds, and the run is valid.
#[track_caller]
fn assert_conserved(run: &Run) {
    let uneven: Vec<_> = run.conservation.iter().filter(|it| !it.holds).collect();
    assert!(uneven.is_empty(), "{uneven:?}");
    assert_eq!(run.conservation.len(), 5);
    assert_eq!(run.validity.reasons, [""; 0]);
    assert!(run.requests.sent > 100, "{}", run.requests.sent);
    assert_eq!(run.requests.in_flight, 0);
}

/// Besides, nothing goes wrong, and every session ends once. A cache entry that a get would prolong
/// by less than a second is not prolonged, so an end may be early by up to that.
#[track_caller]
fn assert_flawless(run: &Run) {
    assert_conserved(run);
    let mut broken = violations(run);
    broken.retain(|(number, _)| *number != Promise::NotEarly as u32);
    assert_eq!(broken, []);
    for ends in &run.session_ends {
        assert!(ends.earliness.max < 1_001_000_000, "{ends:?}");
        assert_eq!(ends.started, ends.ended_once, "{ends:?}");
        assert_eq!(ends.unknown + ends.vanished, 0, "{ends:?}");
    }
    assert_eq!(run.page_views.performed, run.page_views.committed);
}

/// Something of everything.
const MIXED: &str = "
time: { duration: 8min }
contacts:
  arrivals: { poisson: { rate: 30/min } }
  devices: { uniform: { min: 1, max: 3 } }
  stagger: { uniform: { min: 0s, max: 1min } }
  identified: 70%
  returning: { share: 40%, after: { uniform: { min: 10s, max: 5min } } }
  robots: { share: 10% }
visits:
  ajax: { uniform: { min: 0, max: 4 } }
  work: { lognormal: { median: 20ms, p95: 90ms } }
  requests: { read_only: 10%, clean: 20%, sessionless: 5%, failing: 3% }
  abandon: 10%
";

fn json(result: &Result) -> String {
    serde_json::to_string_pretty(result).unwrap()
}

#[test]
fn the_same_seed_gives_the_same_result_byte_for_byte() {
    let yaml = scenario(MIXED);
    assert!(json(&play(&yaml)) == json(&play(&yaml)));
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let yaml = scenario(MIXED);
    let trace = run(&yaml).trace_hash;
    assert!(trace.is_some());
    assert_eq!(trace, run(&yaml).trace_hash);
}

#[test]
fn another_seed_gives_another_trace() {
    let trace = |seed: u64| run(&scenario(&format!("{MIXED}\nseed: {seed}"))).trace_hash;
    assert_ne!(trace(1), trace(2));
}

#[test]
fn sums_hold_for_a_mix_of_everything() {
    assert_conserved(&run(&scenario(MIXED)));
}

#[test]
fn sums_hold_on_three_servers_behind_a_sticky_balancer() {
    let run = run(&scenario(
        "
allow_unsupported: true
contacts: { arrivals: { poisson: { rate: 20/min } }, identified: 0% }
clusters: { web: { servers: 3, balancer: sticky, private: inproc, shared: inproc } }
",
    ));
    assert_flawless(&run);
}

/// In-process sessions on two servers, requests on either in turn.
const ROUND_ROBIN: &str = "
allow_unsupported: true
clusters: { web: { servers: 2, balancer: round_robin, private: inproc, shared: inproc } }
";

#[test]
fn sums_hold_for_sessions_in_process_behind_round_robin() {
    assert_conserved(&run(&scenario(ROUND_ROBIN)));
}

#[test]
fn sessions_in_process_behind_round_robin_vanish() {
    assert!(ends(&run(&scenario(ROUND_ROBIN)), "private").vanished > 0);
}

#[test]
fn sums_hold_for_a_closed_population() {
    let run = run(&scenario(
        "contacts: { population: { size: 50, pause: { exponential: { mean: 15min } }, spread: 5min } }",
    ));
    assert_flawless(&run);
}

#[test]
fn sums_hold_for_constant_arrivals() {
    assert_flawless(&run(&scenario(
        "contacts: { arrivals: { constant: { rate: 20/min } } }",
    )));
}

#[test]
fn sums_hold_for_a_ramp() {
    assert_flawless(&run(&scenario(
        "contacts: { arrivals: { ramp: { from: 1/min, to: 40/min } } }",
    )));
}

#[test]
fn sums_hold_for_steps() {
    assert_flawless(&run(&scenario(
        "
contacts:
  arrivals: { steps: [{ lasts: 5min, rate: 5/min }, { lasts: 5min, rate: 40/min }] }
",
    )));
}

#[test]
fn sums_hold_for_a_spike() {
    assert_flawless(&run(&scenario(
        "
contacts:
  arrivals: { spike: { base: 5/min, peak: 100/min, at: 5min, lasts: 2min } }
",
    )));
}

#[test]
fn sums_hold_for_robots() {
    let run = run(&scenario(
        "contacts: { arrivals: { poisson: { rate: 20/min } }, robots: { share: 60% } }",
    ));
    assert_flawless(&run);
}

#[test]
fn sums_hold_for_contacts_that_return_before_and_after_their_sessions_end() {
    let run = run(&scenario(
        "
time: { duration: 60min }
contacts:
  arrivals: { poisson: { rate: 5/min } }
  returning: { share: 60%, after: { uniform: { min: 1min, max: 40min } } }
",
    ));
    assert_flawless(&run);
}

#[test]
fn sums_hold_for_log_outs() {
    let run = run(&scenario("visits: { abandon: 50%, pages: 3 }"));
    assert_flawless(&run);
    assert!(ends(&run, "private").abandoned > 0);
}

#[test]
fn sums_hold_for_failing_requests() {
    let run = run(&scenario("visits: { requests: { failing: 20% } }"));
    assert_flawless(&run);
}

#[test]
fn sums_hold_for_two_clusters() {
    let run = run(&scenario(
        "
clusters:
  europe: { weight: 3, private: inproc, shared: inproc }
  america: { private: inproc, shared: inproc }
",
    ));
    assert_flawless(&run);
}

#[test]
fn contacts_spread_over_two_clusters_by_weight() {
    let run = run(&scenario(
        "
contacts: { arrivals: { poisson: { rate: 60/min } } }
clusters:
  a: { weight: 3, private: inproc, shared: inproc }
  b: { private: inproc, shared: inproc }
",
    ));
    let counts: Vec<_> = (run.requests.by_server.iter())
        .map(|server| server.response.count as f64)
        .collect();
    let share = counts[0] / (counts[0] + counts[1]);
    assert!((share - 0.75).abs() < 0.04, "{share}");
}

#[test]
fn sums_hold_for_devices_of_one_contact_in_two_clusters() {
    let run = run(&scenario(
        "
contacts:
  arrivals: { poisson: { rate: 20/min } }
  devices: 2
  cluster_choice: device
clusters:
  europe: { private: inproc, shared: inproc }
  america: { private: inproc, shared: inproc }
",
    ));
    assert_flawless(&run);
}

#[test]
fn page_views_of_visits_whose_handler_throws_are_lost_and_no_others() {
    // One page view in each visit, so that visits and page views can be compared.
    let run = run(&scenario(
        "
visits: { pages: 1 }
session: { end_handler: { failures: 30% } }
",
    ));
    assert_conserved(&run);
    let failed = ends(&run, "private").handler_failed;
    assert!(failed > 0);
    assert_eq!(run.page_views.lost_with_visit, failed);
    assert_eq!(run.page_views.lost_in_visit, 0);
}

#[test]
fn littles_law_holds() {
    let run = run(&scenario(
        "contacts: { arrivals: { poisson: { rate: 100/min } } }",
    ));
    let generator = &run.generator;
    let ratio = generator.mean_in_progress / generator.expected_in_progress;
    assert!((ratio - 1.0).abs() < 0.01, "{ratio}");
}

/// Six requests at once on one session, each of which holds it for 20 ms.
const AJAX: &str = "
time: { duration: 6min }
contacts: { arrivals: { poisson: { rate: 20/min } } }
visits: { ajax: 6, work: 20ms }
";

#[test]
fn waits_of_parallel_requests_are_multiples_of_500_ms() {
    let run = run(&scenario(AJAX));
    let locks = locks(&run, "private");
    for wait in histogram(&locks.acquire_wait) {
        // To the three digits that a histogram keeps.
        let polls = wait as f64 / 5e8;
        assert!((polls - polls.round()).abs() < 0.01, "{wait} ns");
    }
    assert!(locks.acquire_wait.p99 > 1_400_000_000, "{locks:?}");
}

#[test]
fn each_of_parallel_requests_waits_one_poll_more() {
    let run = run(&scenario(AJAX));
    let waits = &locks(&run, "private").acquire_wait;
    let polls = |wait: u64| (wait as f64 / 5e8).round();
    // A document and six requests: two of seven need not wait, the last waits for five polls.
    assert_eq!(polls(waits.max), 5.0);
    assert_eq!(polls(waits.p50), 2.0);
    assert_eq!(polls(waits.min), 0.0);
}

/// The distinct values of a distribution.
fn histogram(values: &Distribution) -> Vec<u64> {
    let histogram = values.histogram().unwrap().unwrap();
    histogram
        .iter_recorded()
        .map(|value| value.value_iterated_to())
        .collect()
}

#[test]
fn ends_of_sessions_in_process_are_late_by_0_to_20_s() {
    let run = run(&scenario(MIXED));
    for ends in &run.session_ends {
        assert!(ends.lateness.max < 20_100_000_000, "{ends:?}");
        assert!(ends.earliness.max < 1_001_000_000, "{ends:?}");
    }
}

#[test]
fn ends_of_sessions_in_process_are_late_evenly() {
    let run = run(&scenario(
        "contacts: { arrivals: { poisson: { rate: 100/min } } }",
    ));
    let lateness = &ends(&run, "private").lateness;
    let mean = lateness.mean / 1e9;
    assert!((mean - 10.0).abs() < 0.6, "{mean} s");
    let histogram = lateness.histogram().unwrap().unwrap();
    for quarter in 0..4u64 {
        let from = quarter * 5_000_000_000;
        let count = histogram.count_between(from, from + 4_999_999_999);
        let share = count as f64 / lateness.count as f64;
        assert!((share - 0.25).abs() < 0.04, "{share} in quarter {quarter}");
    }
}

#[test]
fn exclusive_shared_access_makes_devices_wait_for_each_other() {
    let contended = |access: &str| {
        let run = run(&scenario(&format!(
            "
time: {{ duration: 5min }}
contacts: {{ arrivals: {{ poisson: {{ rate: 20/min }} }}, devices: 3 }}
visits: {{ think_time: 5s, work: 200ms }}
clusters: {{ web: {{ private: inproc, shared: inproc, shared_access: {access} }} }}
"
        )));
        assert_conserved(&run);
        locks(&run, "shared").contended
    };
    assert_eq!(contended("read_only"), 0);
    assert!(contended("exclusive") > 100);
}

#[test]
fn sixty_requests_at_once_run_into_the_queue_limit() {
    let run = run(&scenario(
        "
time: { duration: 5min }
contacts: { arrivals: { constant: { rate: 4/min } } }
visits: { ajax: 60, work: 20ms, pages: 1 }
",
    ));
    assert_conserved(&run);
    // One of 60 holds the session and 50 wait.
    let refusals = locks(&run, "private").queue_limit_refusals;
    assert_eq!(refusals, 9 * ends(&run, "private").started);
    assert_eq!(run.requests.failed.get("queue_limit"), Some(&refusals));
}

#[test]
fn a_run_without_contention_says_that_it_proves_nothing_about_locks() {
    let run = run(&scenario(""));
    let unproven = &run.validity.unproven;
    assert_eq!(unproven.len(), 1);
    assert!(unproven[0].contains("proves nothing about locks"));
}

#[test]
fn ten_thousand_contacts_with_sessions_of_20_minutes_end_every_session_once() {
    let run = run(&scenario(
        "
contacts: { arrivals: { constant: { rate: 500/min } } }
visits: { pages: 2, think_time: { exponential: { mean: 30s } } }
",
    ));
    assert_flawless(&run);
    assert!(ends(&run, "private").started >= 10_000);
}

#[test]
fn a_result_does_not_grow_with_the_length_of_the_run() {
    let size = |hours: u32| {
        let result = play(&scenario(&format!(
            "
time: {{ duration: {hours}h }}
contacts: {{ arrivals: {{ poisson: {{ rate: 2/min }} }} }}
visits: {{ ajax: 1, pages: 3 }}
"
        )));
        json(&result).len() as f64
    };
    let ratio = size(10) / size(1);
    assert!(ratio < 2.0, "{ratio}");
}

#[test]
fn the_result_so_far_is_kept_before_the_next_run_and_marked_as_partial() {
    let yaml = scenario(
        "clusters: { web: {} }\ncompare:\n- { name: first, private: inproc }\n\
         - { name: second, private: inproc }\n",
    );
    let loaded = parse("test.yaml", &yaml).unwrap_or_else(|problems| panic!("{problems}"));
    let progress: Rc<dyn Progress> = Rc::new(Silent);
    let mut kept = Vec::new();
    let whole = play_each(
        &Rc::new(loaded.scenario),
        &loaded.text,
        Clock::Virtual,
        &progress,
        &Interrupt::default(),
        |so_far| kept.push(so_far.clone()),
    );
    let whole = whole.unwrap();
    assert_eq!((kept.len(), whole.runs.len()), (1, 2));
    assert_eq!(kept[0].runs, whole.runs[..1]);
    assert!(kept[0].partial && !whole.partial);
}

#[test]
fn a_visitor_thinks_after_a_page_however_long_it_took() {
    let run = run(&scenario(
        "visits: { pages: 5, think_time: 1s, work: 10s, ajax: 0 }",
    ));
    assert_conserved(&run);
    // Pages intended while the one before was at work would be sent late.
    assert_eq!(run.requests.lag.max, 0);
    assert_eq!(run.requests.not_sent, 0);
    assert!(run.stores.iter().all(|store| store.locks.contended == 0));
}
