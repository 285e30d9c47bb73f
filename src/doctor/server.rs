//! What is judged alike on every server: whether it is there, how far away, what its clock shows,
//! how many connections it takes.

use super::finding::{Finding, Severity};
use crate::providers::ProviderSettings;
use crate::providers::pulse::{ClockDifference, Pulse};
use crate::session::StoreError;

/// Round trips from which on they are worth a note, and a warning. A page pays several, one after
/// the other.
const NOTED_TRIP: f64 = 0.002;
const SLOW_TRIP: f64 = 0.010;
/// Differences of clocks from which on they are worth a note, and a warning.
const NOTED_DIFFERENCE: f64 = 0.1;
const LARGE_DIFFERENCE: f64 = 1.0;

/// A store that cannot be reached.
pub fn unreachable(error: &StoreError) -> Finding {
    Finding::new(
        Severity::Problem,
        "reachability",
        error.to_string(),
        "Without its store a site answers errors, or empty sessions.",
    )
    .remedy("Look whether the server runs, and whether address, port, firewall and TLS are right.")
}

/// How far away a server is, and what that costs a page.
pub fn round_trip(pulse: &Pulse, settings: &ProviderSettings) -> Finding {
    let (median, p99) = (pulse.median_seconds, pulse.p99_seconds);
    let what = format!(
        "{} in the middle, 99 of 100 within {}",
        brief(median),
        brief(p99)
    );
    let trips = settings.capabilities().round_trips.dirty;
    let cost = f64::from(trips) * median;
    let why = format!(
        "A request that changes its session makes {trips} round trips, so it pays {} before any \
         wait for a lock.",
        brief(cost)
    );
    let severity = match median {
        _ if median >= SLOW_TRIP => Severity::Warning,
        _ if median >= NOTED_TRIP => Severity::Note,
        _ => Severity::Ok,
    };
    let finding = Finding::new(severity, "round trip", what, why);
    match severity {
        Severity::Ok => finding,
        _ => finding.remedy(
            "Put store and CD servers into one region and network; measure from a machine as far \
             from the store as they are.",
        ),
    }
}

/// What a server's clock shows. `decides` says what hangs on it.
pub fn clock(difference: Option<ClockDifference>, decides: &str) -> Option<Finding> {
    let ClockDifference {
        ahead_seconds,
        uncertain_seconds,
    } = difference?;
    let size = ahead_seconds.abs();
    let direction = if ahead_seconds > 0.0 {
        "ahead of"
    } else {
        "behind"
    };
    // What is smaller than the uncertainty is no difference.
    let certain = size - uncertain_seconds;
    let severity = match certain {
        _ if certain >= LARGE_DIFFERENCE => Severity::Warning,
        _ if certain >= NOTED_DIFFERENCE => Severity::Note,
        _ => Severity::Ok,
    };
    let what = match certain > 0.0 {
        true => format!(
            "{} {direction} ours, give or take {}",
            brief(size),
            brief(uncertain_seconds)
        ),
        false => format!("as ours, give or take {}", brief(uncertain_seconds)),
    };
    let finding = Finding::new(severity, "clock", what, decides);
    Some(match severity {
        Severity::Ok => finding,
        _ => finding.remedy("Have all servers keep time by NTP or chrony."),
    })
}

/// Whether a server takes as many connections as the scenario makes.
pub fn connections(needed: u64, used: u64, limit: u64, setting: &str) -> Finding {
    let free = limit.saturating_sub(used);
    let what = format!("{needed} needed, {free} free of {limit}");
    let why = "A connection that is refused is a request that fails, in the busiest minute first.";
    let severity = match needed {
        _ if needed > free => Severity::Problem,
        // Room for a deployment, when old and new web servers run at once.
        _ if needed.saturating_mul(2) > free => Severity::Warning,
        _ => Severity::Ok,
    };
    let finding = Finding::new(severity, "connections", what, why);
    match severity {
        Severity::Ok => finding,
        _ => finding.remedy(format!(
            "Raise {setting} to {} or more, or use fewer connections per CD server.",
            (used + 2 * needed).next_multiple_of(100)
        )),
    }
}

/// A length of time that may be very short: `85 µs`, `1.3 ms`, `4 s`.
pub fn brief(seconds: f64) -> String {
    let (value, unit) = match seconds {
        ..0.001 => (seconds * 1e6, "µs"),
        ..1.0 => (seconds * 1e3, "ms"),
        _ => return crate::scenario::plan::brief(std::time::Duration::from_secs_f64(seconds)),
    };
    let decimal = if value < 10.0 { 10.0 } else { 1.0 };
    format!("{} {unit}", (value * decimal).round() / decimal)
}

/// An amount of memory: `1.5 GB`.
pub fn memory(bytes: f64) -> String {
    let (value, unit) = match bytes {
        ..1e3 => (bytes, "B"),
        ..1e6 => (bytes / 1e3, "kB"),
        ..1e9 => (bytes / 1e6, "MB"),
        _ => (bytes / 1e9, "GB"),
    };
    let decimal = if value < 10.0 { 10.0 } else { 1.0 };
    format!("{} {unit}", (value * decimal).round() / decimal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_below_the_uncertainty_is_none() {
        let of = |ahead_seconds, uncertain_seconds| {
            let difference = ClockDifference {
                ahead_seconds,
                uncertain_seconds,
            };
            clock(Some(difference), "x").map(|finding| (finding.severity, finding.what))
        };
        let as_ours = "as ours, give or take 2 s".to_owned();
        assert_eq!(of(-1.5, 2.0), Some((Severity::Ok, as_ours)));
        let behind = "90 s behind ours, give or take 500 µs".to_owned();
        assert_eq!(of(-90.0, 0.0005), Some((Severity::Warning, behind)));
        assert_eq!(clock(None, "x"), None);
    }

    #[test]
    fn connections_must_fit_and_leave_room_for_a_second_set() {
        let severity = |needed| connections(needed, 10, 110, "maxclients").severity;
        assert_eq!(severity(50), Severity::Ok);
        assert_eq!(severity(51), Severity::Warning);
        assert_eq!(severity(101), Severity::Problem);
    }

    #[test]
    fn amounts_are_short() {
        assert_eq!(brief(0.000_085), "85 µs");
        assert_eq!(brief(0.001_34), "1.3 ms");
        assert_eq!(brief(240.0), "4 min");
        assert_eq!(memory(1_540_000_000.0), "1.5 GB");
        assert_eq!(memory(320_000.0), "320 kB");
    }
}
