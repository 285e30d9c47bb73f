//! How long Redis takes to find keys that have expired (facts §11.1, simulation §4.3).
//!
//! In: `hz`, `active-expire-effort`, how many keys have a TTL, how many of them end per second. Out:
//! how late their deletion is, and with it the `expired` notification. The surprising fact: it is the
//! keys that live on which make a session end late. The scan looks at a fixed number of keys per
//! second, whichever they are, and hurries only while more than about a tenth of them are dead.

use std::time::Duration;

/// Volatile keys per session of a provider with a shadow key: data, internal and shadow key, and
/// the lock's while a request holds it (facts §11.1).
pub const KEYS_WITH_SHADOW: f64 = 3.5;
/// The same without a shadow key.
pub const KEYS_WITHOUT_SHADOW: f64 = 2.5;

/// Longest time that is told; beyond it the number means nothing.
const NEVER: f64 = 1e6;

/// The scan of one server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scan {
    /// How many times a second it runs.
    hz: i64,
    /// `active-expire-effort`.
    effort: i64,
}

impl Default for Scan {
    /// Redis's own defaults.
    fn default() -> Self {
        Self { hz: 10, effort: 1 }
    }
}

impl Scan {
    /// A scan with these settings, within Redis's own limits; its defaults where they are not known.
    #[must_use]
    pub fn new(hz: Option<i64>, effort: Option<i64>) -> Self {
        let default = Self::default();
        Self {
            hz: hz.unwrap_or(default.hz).clamp(1, 500),
            effort: effort.unwrap_or(default.effort).clamp(1, 10),
        }
    }

    /// One full turn of its cursor: the lateness of a key that it has just passed.
    #[must_use]
    pub fn turn(self, keys: f64) -> Duration {
        let keys_per_second = (20 + 5 * (self.effort - 1)) * self.hz;
        Duration::from_secs_f64((keys / keys_per_second as f64).clamp(0.0, NEVER))
    }

    /// The longest lateness in a steady state in which so many keys end per second. Half of it is
    /// the mean. It is a full turn, or less where the dead among the keys make the scan hurry: then
    /// about four times as long as it takes for the share of the dead that Redis accepts to die.
    #[must_use]
    pub fn lateness(self, keys: f64, ends_per_second: f64) -> Duration {
        let accepted = (10 - (self.effort - 1)) as f64 / 100.0;
        let hurried = match ends_per_second > 0.0 {
            true => 4.0 * accepted * keys / ends_per_second,
            false => NEVER,
        };
        self.turn(keys)
            .min(Duration::from_secs_f64(hurried.clamp(0.0, NEVER)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Facts §11.1.
    #[test]
    fn a_turn_over_a_hundred_thousand_keys_takes_500_s_at_the_defaults() {
        assert_eq!(Scan::default().turn(100_000.0), Duration::from_secs(500));
        let eager = Scan::new(Some(100), Some(10));
        assert_eq!(eager.turn(65_000.0), Duration::from_secs(10));
    }

    /// Simulation §4.3: populations of one key per session in a steady state, whose 99th percentile
    /// was measured or forecast; a bound is to hold and to be no more than 2.3 times too high.
    #[test]
    fn lateness_bounds_what_was_measured() {
        for (keys, ttl, hz, effort, p99) in [
            (1e3, 1200.0, 10, 1, 4.9),
            (1e4, 1200.0, 10, 1, 49.0),
            (1e5, 1200.0, 10, 1, 215.0),
            (1e6, 1200.0, 10, 1, 433.0),
            (1e5, 1200.0, 10, 10, 46.0),
            (1e5, 1200.0, 100, 1, 48.0),
            (1e6, 1200.0, 100, 10, 46.0),
            (1e5, 120.0, 10, 1, 42.97),
        ] {
            let scan = Scan::new(Some(hz), Some(effort));
            let bound = scan.lateness(keys, keys / ttl).as_secs_f64();
            assert!(
                (p99 * 0.98..p99 * 2.3).contains(&bound),
                "{bound} for {p99}"
            );
        }
    }

    #[test]
    fn settings_keep_within_the_limits_of_redis() {
        assert_eq!(Scan::new(Some(0), Some(99)), Scan { hz: 1, effort: 10 });
        assert_eq!(Scan::new(None, None), Scan::default());
    }
}
