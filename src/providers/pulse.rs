//! How quickly a server answers, and how far its clock is from ours.
//!
//! In: a question that costs a server nothing, and one for its time. Out: percentiles of the round
//! trip, and the clocks' difference with its uncertainty. The surprising fact: the best answer of
//! several is not their mean but the one that came fastest, since nobody knows on which half of a
//! slow trip the time was lost.

use crate::clock::{self, Utc};
use serde::Serialize;
use std::time::Duration;

/// Questions whose round trips are counted.
const QUESTIONS: usize = 100;
/// Questions for the time.
const TIMES: usize = 10;

/// How quickly a server answers, and what its clock shows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Pulse {
    /// Median round trip, in seconds.
    pub median_seconds: f64,
    /// 99th percentile of the round trip, in seconds.
    pub p99_seconds: f64,
    /// The clocks' difference; `None` where the server does not tell its time.
    pub clock: Option<ClockDifference>,
}

/// How far a server's clock is ahead of ours.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ClockDifference {
    /// Seconds; negative where it is behind.
    pub ahead_seconds: f64,
    /// By how much that may be wrong: half the round trip.
    pub uncertain_seconds: f64,
}

impl Pulse {
    /// Asks a server often.
    ///
    /// # Errors
    /// A question was not answered.
    pub async fn take<E>(mut ping: impl AsyncFnMut() -> Result<(), E>) -> Result<Self, E> {
        let mut trips = Vec::with_capacity(QUESTIONS);
        // The first one may have to make the connection.
        ping().await?;
        for _ in 0..QUESTIONS {
            let asked = clock::now();
            ping().await?;
            trips.push(clock::now().since(asked));
        }
        trips.sort();
        let at = |percent: usize| trips[trips.len() * percent / 100].as_secs_f64();
        Ok(Self {
            median_seconds: at(50),
            p99_seconds: at(99),
            clock: None,
        })
    }

    /// Compares the clocks. The answer is the server's time in seconds since the start of 1970, or
    /// `None` where it does not tell.
    ///
    /// # Errors
    /// A question was not answered.
    pub async fn with_clock<E>(
        mut self,
        mut time: impl AsyncFnMut() -> Result<Option<f64>, E>,
    ) -> Result<Self, E> {
        for _ in 0..TIMES {
            let (asked, asked_utc) = (clock::now(), Utc::of_the_system());
            let Some(told) = time().await? else { break };
            let trip = clock::now().since(asked);
            self.clock = closer(self.clock, difference(asked_utc, told, trip));
        }
        Ok(self)
    }
}

/// The difference by one answer: it was given half a round trip after the question.
fn difference(asked: Utc, told: f64, trip: Duration) -> ClockDifference {
    let half = trip.as_secs_f64() / 2.0;
    ClockDifference {
        ahead_seconds: told - (asked.since_epoch().as_secs_f64() + half),
        uncertain_seconds: half,
    }
}

/// The one that is less uncertain.
fn closer(known: Option<ClockDifference>, new: ClockDifference) -> Option<ClockDifference> {
    match known {
        Some(known) if known.uncertain_seconds <= new.uncertain_seconds => Some(known),
        _ => Some(new),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::run_virtual;
    use std::cell::Cell;

    #[test]
    fn half_the_round_trip_is_taken_off_the_difference_of_the_clocks() {
        let asked = Utc::from_nanos(1_000_000_000_000);
        let found = difference(asked, 1005.0, Duration::from_secs(2));
        assert_eq!((found.ahead_seconds, found.uncertain_seconds), (4.0, 1.0));
    }

    #[test]
    fn the_fastest_answer_tells_the_time() {
        let of = |uncertain_seconds| ClockDifference {
            ahead_seconds: uncertain_seconds,
            uncertain_seconds,
        };
        let told = [0.3, 0.1, 0.2]
            .into_iter()
            .fold(None, |known, next| closer(known, of(next)));
        assert_eq!(told, Some(of(0.1)));
    }

    #[test]
    fn one_slow_answer_shows_in_the_99th_percentile_and_not_in_the_median() {
        let asked = Cell::new(0);
        let ping = async move || {
            asked.set(asked.get() + 1);
            let slow = asked.get() == 50;
            clock::sleep(Duration::from_millis(if slow { 90 } else { 2 })).await;
            Ok::<_, ()>(())
        };
        let (pulse, _) = run_virtual(async move { Pulse::take(ping).await }).unwrap();
        let pulse = pulse.unwrap();
        assert_eq!((pulse.median_seconds, pulse.p99_seconds), (0.002, 0.09));
        assert_eq!(pulse.clock, None);
    }
}
