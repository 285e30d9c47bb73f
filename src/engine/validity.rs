//! Whether a run's numbers can be trusted, and what they cannot prove (design §5).

use crate::measure::{Promise, Recorded};
use crate::result::{Generator, Invariant, Offender, Validity};
use std::time::Duration;

/// A generator that is later than this for one request in a hundred was the bottleneck.
pub const LAG_LIMIT: Duration = Duration::from_millis(10);

/// Share of its one processor beyond which the generator was the bottleneck.
const CPU_LIMIT: f64 = 0.95;

/// Relative difference of the two sides of Little's law beyond which something is mislabelled.
const LITTLE_LIMIT: f64 = 0.05;

/// Fewer requests than this say nothing about Little's law.
const LITTLE_NEEDS: u64 = 1000;

/// Judges a run. In virtual time the generator has no speed, so only the sums count.
#[must_use]
pub fn judge(recorded: &Recorded, generator: &Generator, virtual_time: bool) -> Validity {
    let mut reasons = Vec::new();
    let requests = &recorded.requests;
    for sum in recorded.conservation.iter().filter(|sum| !sum.holds) {
        reasons.push(format!(
            "a sum does not come out even, which is a defect of the harness: {} ({} against {})",
            sum.equation, sum.left, sum.right
        ));
    }
    if requests.measured == 0 {
        reasons.push("no request was measured".to_owned());
    }
    if requests.measured > 0 && requests.ok == 0 {
        reasons.push("every request failed".to_owned());
    }
    if !virtual_time {
        let lag = Duration::from_nanos(requests.lag.p99);
        if lag > LAG_LIMIT {
            reasons.push(format!(
                "the generator was late: 99 % of requests were sent within {lag:.1?} of their \
                 intended instant, more than {LAG_LIMIT:?}"
            ));
        }
        if generator.cpu_share > CPU_LIMIT {
            reasons.push(format!(
                "the generator used {:.0} % of its processor, more than {:.0} %",
                generator.cpu_share * 100.0,
                CPU_LIMIT * 100.0
            ));
        }
    }
    let (mean, expected) = (generator.mean_in_progress, generator.expected_in_progress);
    if requests.measured >= LITTLE_NEEDS && (mean - expected).abs() > LITTLE_LIMIT * expected {
        reasons.push(format!(
            "Little's law does not hold: {mean:.2} requests were in progress, {expected:.2} expected"
        ));
    }
    Validity {
        valid: reasons.is_empty(),
        reasons,
        unproven: unproven(recorded),
    }
}

impl Validity {
    /// Counts the verdict under the twelfth promise, that the harness is honest.
    pub fn note_in(&self, integrity: &mut [Invariant]) {
        let twelfth = integrity
            .iter_mut()
            .find(|it| it.number == Promise::HonestHarness as u32);
        if let Some(promise) = twelfth {
            promise.checked = 1;
            promise.violations = self.reasons.len() as u64;
            promise.offenders = (self.reasons.iter())
                .map(|reason| Offender {
                    at_ns: 0,
                    session: String::new(),
                    found: reason.clone(),
                })
                .collect();
        }
    }
}

fn unproven(recorded: &Recorded) -> Vec<String> {
    let contended: u64 = recorded
        .stores
        .iter()
        .map(|store| store.locks.contended)
        .sum();
    let ended: u64 = recorded
        .session_ends
        .iter()
        .map(|e| e.ended_once + e.ended_more)
        .sum();
    let mut unproven = Vec::new();
    if contended == 0 {
        unproven
            .push("No lock was ever contended: this run proves nothing about locks.".to_owned());
    }
    if ended == 0 {
        unproven.push("No session ended: this run proves nothing about session ends.".to_owned());
    }
    unproven
}
