//! Recorded values: an HDR histogram that grows with its largest value.

use crate::result::Distribution;
use hdrhistogram::Histogram;
use std::time::Duration;

/// Values of one kind, to three digits, in bounded memory.
#[derive(Debug, Clone)]
pub struct Values(Histogram<u64>);

impl Default for Values {
    fn default() -> Self {
        // Three digits are always accepted: hdrhistogram takes 0 to 5.
        #[allow(clippy::expect_used, reason = "the argument is a valid constant")]
        Self(Histogram::new(3).expect("3 digits are valid"))
    }
}

impl Values {
    /// Records a number.
    pub fn record(&mut self, value: u64) {
        // An auto-resizing histogram refuses no value; `saturating_record` would not resize it.
        let _ = self.0.record(value);
    }

    /// Records a duration in nanoseconds.
    pub fn record_duration(&mut self, duration: Duration) {
        self.record(duration.as_nanos() as u64);
    }

    /// Adds the values of another one.
    pub fn add(&mut self, other: &Self) {
        // Adding to an auto-resizing histogram of the same precision cannot fail.
        let _ = self.0.add(&other.0);
    }

    /// Forgets all values, keeping the memory.
    pub fn clear(&mut self) {
        self.0.reset();
    }

    /// The histogram.
    #[must_use]
    pub const fn histogram(&self) -> &Histogram<u64> {
        &self.0
    }

    /// The values as they go into the result.
    #[must_use]
    pub fn distribution(&self) -> Distribution {
        Distribution::of(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_an_hour_is_recorded_to_three_digits() {
        let mut values = Values::default();
        values.record_duration(Duration::from_secs(3600));
        let max = values.histogram().max() as f64;
        assert!((max / 3.6e12 - 1.0).abs() < 1e-3, "{max}");
    }
}
