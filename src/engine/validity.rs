//! Whether a run's numbers can be trusted, and what they cannot prove (METHODOLOGY.md, "Validity").

use crate::measure::{Promise, Recorded};
use crate::result::{Generator, Invariant, Offender, ServerUse, StoreSample, Validity};
use std::time::Duration;

/// A generator that is later than this for one request in a hundred was the bottleneck.
pub const LAG_LIMIT: Duration = Duration::from_millis(10);

/// Share of its one processor beyond which the generator was the bottleneck.
const CPU_LIMIT: f64 = 0.95;

/// Relative difference of the two sides of Little's law beyond which something is mislabelled.
const LITTLE_LIMIT: f64 = 0.01;

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
    /// A run whose store does not answer at its end is no measurement of that store.
    pub fn note_silent_servers(&mut self, servers: &[ServerUse]) {
        let silent = StoreSample::default();
        for server in servers {
            if server.after == silent && server.before != silent {
                let reason = format!(
                    "the server of {} in {} did not answer at the end of the run",
                    server.provider, server.cluster
                );
                self.reasons.push(reason);
                self.valid = false;
            }
        }
    }

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::{Conservation, PageViews, Requests, Timeline};

    /// A run of 2,000 requests in which nothing went wrong.
    fn recorded() -> Recorded {
        Recorded {
            requests: Requests {
                measured: 2000,
                ok: 2000,
                ..Requests::default()
            },
            stores: Vec::new(),
            session_ends: Vec::new(),
            page_views: PageViews::default(),
            integrity: Vec::new(),
            offenders: std::collections::BTreeMap::new(),
            conservation: Vec::new(),
            timeline: Timeline::default(),
            contention: Vec::new(),
            in_progress: (1.0, 1.0),
        }
    }

    fn late() -> Recorded {
        let mut recorded = recorded();
        recorded.requests.lag.p99 = 11_000_000;
        recorded
    }

    fn in_progress(mean: f64, expected: f64) -> Generator {
        Generator {
            mean_in_progress: mean,
            expected_in_progress: expected,
            ..Generator::default()
        }
    }

    #[test]
    fn a_run_in_which_nothing_went_wrong_is_valid() {
        assert!(judge(&recorded(), &in_progress(1.0, 1.0), false).valid);
    }

    #[test]
    fn a_generator_that_was_late_makes_a_run_invalid() {
        assert!(!judge(&late(), &in_progress(1.0, 1.0), false).valid);
    }

    #[test]
    fn in_virtual_time_the_generator_cannot_be_late() {
        assert!(judge(&late(), &in_progress(1.0, 1.0), true).valid);
    }

    #[test]
    fn a_generator_that_used_its_whole_processor_makes_a_run_invalid() {
        let generator = Generator {
            cpu_share: 0.96,
            ..in_progress(1.0, 1.0)
        };
        assert!(!judge(&recorded(), &generator, false).valid);
    }

    #[test]
    fn a_run_against_littles_law_is_invalid() {
        assert!(!judge(&recorded(), &in_progress(1.1, 1.0), true).valid);
    }

    #[test]
    fn a_run_without_a_measured_request_is_invalid() {
        let mut recorded = recorded();
        recorded.requests.measured = 0;
        assert!(!judge(&recorded, &in_progress(0.0, 0.0), true).valid);
    }

    #[test]
    fn a_sum_that_does_not_come_out_even_makes_a_run_invalid() {
        let mut recorded = recorded();
        recorded.conservation.push(Conservation {
            equation: "sent = answered".to_owned(),
            left: 2,
            right: 1,
            holds: false,
        });
        let validity = judge(&recorded, &in_progress(1.0, 1.0), true);
        assert!(validity.reasons[0].contains("sent = answered (2 against 1)"));
    }

    #[test]
    fn a_run_in_which_no_session_ended_proves_nothing_about_ends() {
        let unproven = judge(&recorded(), &in_progress(1.0, 1.0), true).unproven;
        assert!(unproven.iter().any(|it| it.contains("about session ends")));
    }
}
