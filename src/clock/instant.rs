//! Points in time: [`Instant`] since the start of the run, [`Utc`] by the calendar.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

/// A point in time, in nanoseconds since the start of the run. Spans 584 years.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(u64);

impl Instant {
    /// The start of the run.
    pub const START: Self = Self(0);
    /// After every other one.
    pub const NEVER: Self = Self(u64::MAX);

    /// The instant so many nanoseconds after the start of the run.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the start of the run.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Time since an earlier instant; zero when that one is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// Nanoseconds from another instant to this one; negative when that one is later.
    #[must_use]
    pub const fn signed_nanos_since(self, other: Self) -> i64 {
        self.0.wrapping_sub(other.0) as i64
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration.as_nanos() as u64))
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;

    /// Saturates at the start of the run.
    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(duration.as_nanos() as u64))
    }
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.6} s", self.0 as f64 / 1e9)
    }
}

/// A date and time of day, in nanoseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Utc(u64);

/// 100 ns steps from 0001-01-01, where .NET counts from, to 1970-01-01.
const TICKS_TO_1970: u64 = 621_355_968_000_000_000;

impl Utc {
    /// A point so many nanoseconds after the start of 1970.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// The system's date and time, for what happens outside a run.
    #[must_use]
    #[allow(
        clippy::disallowed_methods,
        reason = "this is where the real time comes from"
    )]
    pub fn of_the_system() -> Self {
        let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Self(since_1970.unwrap_or_default().as_nanos() as u64)
    }

    /// Time since the start of 1970.
    #[must_use]
    pub const fn since_epoch(self) -> Duration {
        Duration::from_nanos(self.0)
    }

    /// The point as .NET counts it: 100 ns steps since the start of year 1.
    #[must_use]
    pub const fn ticks(self) -> u64 {
        self.0 / 100 + TICKS_TO_1970
    }

    /// The point of a .NET tick count; `None` before 1970.
    #[must_use]
    pub const fn from_ticks(ticks: u64) -> Option<Self> {
        match ticks.checked_sub(TICKS_TO_1970) {
            Some(since_1970) => Some(Self(since_1970.saturating_mul(100))),
            None => None,
        }
    }
}

impl fmt::Display for Utc {
    /// RFC 3339, to the second.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0 / 1_000_000_000;
        let (day, second) = (seconds / 86_400, seconds % 86_400);
        // The calendar repeats every 400 years of 146,097 days; years start in March, so that the
        // leap day is the last (H. Hinnant, "chrono-Compatible Low-Level Date Algorithms").
        let since_era = day + 719_468;
        let (era, day) = (since_era / 146_097, since_era % 146_097);
        let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let day = day - (153 * month + 2) / 5 + 1;
        let (year, month) = match month {
            0..10 => (era * 400 + year, month + 3),
            _ => (era * 400 + year + 1, month - 9),
        };
        let (hour, minute) = (second / 3600, second / 60 % 60);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{:02}Z",
            second % 60
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_count_from_year_one() {
        // DateTime(2024, 1, 1).Ticks in .NET: 738 885 days of 864 000 000 000 ticks.
        let start_of_2024 = Utc::from_nanos(1_704_067_200_000_000_000);
        assert_eq!(start_of_2024.ticks(), 738_885 * 864_000_000_000);
    }

    #[test]
    fn a_date_prints_as_rfc_3339() {
        let print = |seconds: u64| Utc::from_nanos(seconds * 1_000_000_000).to_string();
        assert_eq!(print(0), "1970-01-01T00:00:00Z");
        assert_eq!(print(951_827_696), "2000-02-29T12:34:56Z");
        assert_eq!(print(1_704_067_199), "2023-12-31T23:59:59Z");
    }

    #[test]
    fn ticks_read_back() {
        let point = Utc::from_nanos(1_704_067_200_123_456_700);
        assert_eq!(Utc::from_ticks(point.ticks()), Some(point));
    }

    #[test]
    fn an_instant_before_another_is_a_negative_distance() {
        let early = Instant::from_nanos(5);
        assert_eq!(early.signed_nanos_since(Instant::from_nanos(8)), -3);
    }
}
