//! Recorded values: an HDR histogram that grows with its largest value.
//!
//! The surprising fact: a value that is recorded several times in a row goes into the histogram once,
//! with its count. Twenty values are recorded in every page request, and many of them are the same
//! in every one: one poll, two round trips, in virtual time no lag.

use crate::clock::Instant;
use crate::result::Distribution;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2Serializer};
use std::time::Duration;

/// Values of one kind, to three digits, in bounded memory.
#[derive(Debug, Clone)]
pub struct Values {
    histogram: Histogram<u64>,
    /// The value that was recorded last.
    last: u64,
    /// How many times it still has to go into the histogram.
    repeats: u64,
}

impl Default for Values {
    fn default() -> Self {
        // Three digits are always accepted: hdrhistogram takes 0 to 5.
        #[allow(clippy::expect_used, reason = "the argument is a valid constant")]
        let histogram = Histogram::new(3).expect("3 digits are valid");
        Self {
            histogram,
            last: 0,
            repeats: 0,
        }
    }
}

/// Values that are put by, in a hundredth of the memory: HdrHistogram's V2 encoding.
#[derive(Debug)]
pub struct Packed(Vec<u8>);

impl Packed {
    /// Everything in two of them.
    pub fn merged(&self, other: &Self) -> Self {
        let mut values = self.unpack();
        // Adding to an auto-resizing histogram of the same precision cannot fail.
        let _ = values.histogram.add(&other.unpack().histogram);
        values.pack()
    }

    /// The values again.
    pub fn unpack(&self) -> Values {
        let mut values = Values::default();
        // It was encoded by this very process.
        if let Ok(mut histogram) = Deserializer::new().deserialize(&mut self.0.as_slice()) {
            histogram.auto(true);
            values.histogram = histogram;
        }
        values
    }
}

impl Values {
    /// Records a number.
    #[inline]
    pub fn record(&mut self, value: u64) {
        if value != self.last {
            self.settle();
            self.last = value;
        }
        self.repeats += 1;
    }

    /// Records a duration in nanoseconds.
    #[inline]
    pub fn record_duration(&mut self, duration: Duration) {
        self.record(duration.as_nanos() as u64);
    }

    /// Records the time from one instant to a later one, in nanoseconds.
    #[inline]
    pub fn record_time(&mut self, from: Instant, to: Instant) {
        self.record(to.as_nanos().saturating_sub(from.as_nanos()));
    }

    /// Forgets all values, keeping the memory.
    pub fn clear(&mut self) {
        self.histogram.reset();
        self.repeats = 0;
    }

    /// Packs what was recorded so far.
    pub fn pack(&mut self) -> Packed {
        let mut bytes = Vec::new();
        // A vector takes whatever is written into it.
        let _ = V2Serializer::new().serialize(self.histogram(), &mut bytes);
        Packed(bytes)
    }

    /// The histogram.
    pub fn histogram(&mut self) -> &Histogram<u64> {
        self.settle();
        &self.histogram
    }

    /// The values as they go into the result.
    pub fn distribution(&mut self) -> Distribution {
        Distribution::of(self.histogram())
    }

    fn settle(&mut self) {
        if self.repeats > 0 {
            // An auto-resizing histogram refuses no value; `saturating_record` would not resize it.
            let _ = self.histogram.record_n(self.last, self.repeats);
            self.repeats = 0;
        }
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

    #[test]
    fn every_value_counts_once_whatever_came_before_it() {
        let mut values = Values::default();
        let recorded = [0, 0, 7, 7, 7, 0, 9];
        for value in recorded {
            values.record(value);
        }
        let histogram = values.histogram();
        assert_eq!(histogram.len(), recorded.len() as u64);
        assert_eq!([0, 7, 9].map(|value| histogram.count_at(value)), [3, 3, 1]);
    }

    #[test]
    fn packed_values_come_back_and_can_be_merged() {
        let packed = |recorded: &[u64]| {
            let mut values = Values::default();
            recorded.iter().for_each(|value| values.record(*value));
            values.pack()
        };
        let merged = packed(&[1, 1, 5_000_000]).merged(&packed(&[1, 9_000_000_000]));
        let whole = packed(&[1, 1, 1, 5_000_000, 9_000_000_000]);
        assert_eq!(merged.unpack().histogram(), whole.unpack().histogram());
    }

    #[test]
    fn cleared_values_are_gone() {
        let mut values = Values::default();
        values.record(7);
        values.clear();
        assert!(values.histogram().is_empty());
    }
}
