//! What the made-up runs are made of.

use super::{MS, POLL, S, distribution};
use crate::result::{
    ClusterInfo, Detection, LockSpan, Locks, Operations, ProviderInfo, ServerInfo, SessionTimeline,
    Store, StoreSample, Timeline,
};
use std::collections::BTreeMap;

/// Steps of a timeline.
const STEPS: usize = 840;

/// A small generator of even numbers in 0..1 (SplitMix64).
pub(super) struct Even(pub(super) u64);

impl Even {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// About exponential with this mean.
    pub(super) fn exponential(&mut self, mean: u64) -> u64 {
        (-(1.0 - self.next()).ln() * mean as f64) as u64
    }

    pub(super) fn below(&mut self, limit: u64) -> u64 {
        (self.next() * limit as f64) as u64
    }

    pub(super) fn many(
        &mut self,
        count: usize,
        mut draw: impl FnMut(&mut Self) -> u64,
    ) -> Vec<u64> {
        (0..count).map(|_| draw(self)).collect()
    }
}

/// Most find the session free; the rest wait in steps of the poll interval.
fn wait(even: &mut Even, round_trip: u64) -> u64 {
    let polls = match even.next() {
        share if share < 0.9 => 0,
        share if share < 0.97 => 1,
        share if share < 0.992 => 2,
        share if share < 0.998 => 3,
        _ => 4 + even.below(4),
    };
    polls * POLL + round_trip + even.exponential(round_trip)
}

pub(super) fn response(even: &mut Even, round_trip: u64) -> u64 {
    wait(even, round_trip) + 20 * MS + even.exponential(25 * MS)
}

pub(super) fn store(kind: &str, server: u32, round_trip: u64, even: &mut Even) -> Store {
    let latency = distribution(&even.many(500, |even| round_trip + even.exponential(round_trip)));
    let operations = ["get_item_exclusive", "set_and_release_item_exclusive"];
    Store {
        cluster: "europe".to_owned(),
        server,
        kind: kind.to_owned(),
        operations: operations
            .map(|verb| {
                let operations = Operations {
                    latency: latency.clone(),
                    ..Operations::default()
                };
                (verb.to_owned(), operations)
            })
            .into(),
        locks: Locks {
            acquire_wait: distribution(&even.many(15_000, |even| wait(even, round_trip))),
            polls: distribution(&[1, 1, 1, 2, 3]),
            wasted_polls: 2_130,
            hold: distribution(&even.many(15_000, |even| 20 * MS + even.exponential(25 * MS))),
            hand_over: distribution(&even.many(1_500, |even| even.below(POLL))),
            contended: 1_500,
            steals: 0,
            queue_limit_refusals: 0,
            waited_too_long: 1,
            overtakes: 212,
            longest_queue: 5,
        },
    }
}

pub(super) fn timeline(even: &mut Even) -> Timeline {
    let phase = |step: usize| match step {
        0..60 => step as f64 / 60.0,
        60..660 => 1.0 + 0.15 * (step as f64 / 60.0).sin(),
        _ => 0.0,
    };
    let mut column = |draw: &dyn Fn(f64, usize, &mut Even) -> f64| -> Vec<u64> {
        (0..STEPS)
            .map(|step| draw(phase(step), step, even).max(0.0) as u64)
            .collect()
    };
    let alive = |step: usize, lag: usize| -> f64 {
        (step.saturating_sub(lag)..step)
            .map(|step| 4.0 * phase(step))
            .sum()
    };
    Timeline {
        step_ns: S,
        measured_from_ns: 60 * S,
        measured_until_ns: 660 * S,
        requests: column(&|load, _, even| load * (42.0 + 16.0 * even.next())),
        failed: column(&|load, step, _| if step % 211 == 0 { 2.0 * load } else { 0.0 }),
        waiting: column(&|load, _, even| load * 6.0 * even.next()),
        live_private: column(&|_, step, _| alive(step, 150)),
        live_shared: column(&|_, step, _| 0.55 * alive(step, 160)),
        ends: column(&|_, step, even| {
            4.0 * phase(step.saturating_sub(150)) * 2.0 * even.next() * f64::from(step > 150)
        }),
        backlog: column(&|_, step, even| {
            12.0 * even.next() * phase(step.saturating_sub(150)) * f64::from(step > 150)
        }),
        response_p99_ns: column(&|load, _, even| load * (6e8 + 5e8 * even.next())),
        lag_max_ns: column(&|load, _, even| load * 1e6 * (0.2 + even.next())),
        lateness_max_ns: column(&|load, _, even| load * 2e9 * even.next()),
    }
}

/// Twelve requests of two devices, each holding the lock for up to 200 ms and polling for it.
pub(super) fn contention(even: &mut Even) -> SessionTimeline {
    let start = 312 * S;
    let mut free_at = start;
    let requests: Vec<LockSpan> = (0..12)
        .map(|request| {
            let asked = start + request / 3 * 420 * MS + even.below(40 * MS);
            let polls = free_at.saturating_sub(asked).div_ceil(POLL);
            let granted = asked + polls * POLL;
            free_at = granted + 60 * MS + even.below(140 * MS);
            LockSpan {
                request,
                server: (request % 2) as u32,
                asked_ns: asked,
                granted_ns: (request != 11).then_some(granted),
                released_ns: (request != 11).then_some(free_at),
            }
        })
        .collect();
    SessionTimeline {
        session: "q3v0aa5xk1jzq0kkxtwsn5ib".to_owned(),
        kind: "shared".to_owned(),
        total_wait_ns: 9_500 * MS,
        longest_queue: 5,
        truncated: false,
        requests,
    }
}

pub(super) fn cluster(name: &str, title: &str, detection: Option<Detection>) -> ClusterInfo {
    let provider = ProviderInfo {
        name: name.to_owned(),
        provider: name.replace('-', "_"),
        title: title.to_owned(),
        detection,
        expected_lateness: "0–2 s plus backlog".to_owned(),
        wait: "poll every 500 ms".to_owned(),
        designed_round_trips: (3, 2),
        settings: BTreeMap::from([("compression".to_owned(), serde_json::json!(false))]),
        server: Some(ServerInfo {
            product: "redis-server".to_owned(),
            version: "7.0.15".to_owned(),
            managed: true,
            address: "127.0.0.1:6390".to_owned(),
            settings: BTreeMap::from([("hz".to_owned(), "10".to_owned())]),
        }),
    };
    ClusterInfo {
        name: "europe".to_owned(),
        role: "content_delivery".to_owned(),
        servers: 2,
        balancer: "round_robin".to_owned(),
        shared_access: "exclusive".to_owned(),
        private: provider.clone(),
        shared: Some(provider),
    }
}

pub(super) fn sample(memory: u64, keys: u64) -> StoreSample {
    StoreSample {
        memory_bytes: Some(memory),
        cpu_seconds: Some(1.4),
        keys: Some(keys),
        volatile_keys: Some(keys),
        commands: Some(keys * 60),
        bytes_per_session: (keys > 100).then_some(2_380),
        ..StoreSample::default()
    }
}
