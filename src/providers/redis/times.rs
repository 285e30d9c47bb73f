//! Times on the wire: timeouts in whole seconds, locks in .NET ticks (facts §1.2, §1.4).
//!
//! In: minutes of site time and how long one lasts. Out: seconds, and back. The surprising fact: a
//! lock's age is told by the clocks of two web servers, so a clock that runs ahead makes locks
//! young and one that lags gets them stolen. Here all servers of a run share one clock.

use crate::clock::Utc;
use crate::session::Minutes;
use std::time::Duration;

/// A timeout as it stands on the wire, when a minute of site time lasts `minute`.
#[must_use]
pub fn seconds(timeout: Minutes, minute: Duration) -> u64 {
    whole_seconds(timeout.lasting(minute))
}

/// A timeout from the wire. The genuine provider divides by 60 and drops the rest; ours divides by
/// the scaled minute, and knows the configured timeout again although its seconds were rounded up.
#[must_use]
pub fn minutes(stored: u64, configured: Minutes, minute: Duration) -> Minutes {
    if stored == seconds(configured, minute) {
        return configured;
    }
    let minutes = Duration::from_secs(stored).as_nanos() / minute.as_nanos().max(1);
    Minutes(u32::try_from(minutes).unwrap_or(u32::MAX))
}

/// Age of a lock: now less the ticks in it, whatever clock wrote them; what is no tick count was
/// taken in year 1 and is stolen at once (facts §1.4).
#[must_use]
pub fn lock_age(holder: &str, now: Utc) -> Duration {
    match holder.parse().ok().and_then(Utc::from_ticks) {
        Some(taken) => now.since_epoch().saturating_sub(taken.since_epoch()),
        None => {
            const TICKS_PER_SECOND: u64 = 10_000_000;
            Duration::from_secs(now.ticks() / TICKS_PER_SECOND)
        }
    }
}

/// Whole seconds as EXPIRE takes them: rounded up, at least one.
#[must_use]
pub fn whole_seconds(duration: Duration) -> u64 {
    let part = u64::from(duration.subsec_nanos() > 0);
    (duration.as_secs() + part).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Utc = Utc::from_nanos(1_704_067_200_000_000_000);

    #[test]
    fn a_lock_is_as_old_as_its_ticks() {
        let taken = Utc::from_nanos(1_704_067_193_000_000_000)
            .ticks()
            .to_string();
        assert_eq!(lock_age(&taken, NOW), Duration::from_secs(7));
    }

    #[test]
    fn a_lock_from_a_clock_that_runs_ahead_is_new() {
        let taken = Utc::from_nanos(1_704_067_300_000_000_000)
            .ticks()
            .to_string();
        assert_eq!(lock_age(&taken, NOW), Duration::ZERO);
    }

    #[test]
    fn a_lock_that_is_no_tick_count_is_two_thousand_years_old() {
        let year = Duration::from_secs(31_556_952);
        assert!(lock_age("nonsense", NOW) > 2000 * year);
    }

    #[test]
    fn stored_seconds_are_divided_by_the_minute_and_the_rest_dropped() {
        let minute = Duration::from_secs(60);
        assert_eq!(minutes(1830, Minutes(20), minute), Minutes(30));
        assert_eq!(minutes(59, Minutes(20), minute), Minutes(0));
    }

    #[test]
    fn the_configured_timeout_survives_rounding() {
        let minute = Duration::from_millis(100);
        let configured = Minutes(21);
        assert_eq!(seconds(configured, minute), 3);
        assert_eq!(minutes(3, configured, minute), configured);
    }

    #[test]
    fn seconds_on_the_wire_are_rounded_up_and_never_zero() {
        assert_eq!(whole_seconds(Duration::from_millis(2001)), 3);
        assert_eq!(whole_seconds(Duration::from_secs(1200)), 1200);
        assert_eq!(whole_seconds(Duration::ZERO), 1);
    }
}
