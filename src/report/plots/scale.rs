//! From a value to its place on an axis, and the round values that an axis names.

use crate::report::format;

const MS: u64 = 1_000_000;
const S: u64 = 1_000 * MS;
const MIN: u64 = 60 * S;
const HOUR: u64 = 60 * MIN;

/// How values lie along an axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Scale {
    /// Evenly, between two values.
    Linear(f64, f64),
    /// By their order of magnitude, between two values above 0.
    Logarithmic(f64, f64),
    /// Quantiles by their distance to 1, up to this one: 90 %, 99 % and 99.9 % lie evenly.
    Tail(f64),
}

impl Scale {
    /// Where a value lies: 0 at the start of the axis, 1 at its end, and never beyond.
    pub(super) fn at(self, value: f64) -> f64 {
        let share = match self {
            Self::Linear(from, to) => (value - from) / (to - from),
            Self::Logarithmic(from, to) => (value.max(from) / from).ln() / (to / from).ln(),
            Self::Tail(to) => (1.0 - value.min(to)).ln() / (1.0 - to).ln(),
        };
        if share.is_nan() {
            0.0
        } else {
            share.clamp(0.0, 1.0)
        }
    }
}

/// A place on an axis with its name.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tick {
    pub value: f64,
    pub label: String,
}

/// Round times from 0, at most so many.
pub(super) fn times(to: u64, most: u64) -> Vec<Tick> {
    const STEPS: [u64; 30] = [
        1_000,
        10_000,
        100_000,
        MS,
        2 * MS,
        5 * MS,
        10 * MS,
        20 * MS,
        50 * MS,
        100 * MS,
        250 * MS,
        500 * MS,
        S,
        2 * S,
        5 * S,
        10 * S,
        15 * S,
        30 * S,
        MIN,
        2 * MIN,
        5 * MIN,
        10 * MIN,
        15 * MIN,
        30 * MIN,
        HOUR,
        2 * HOUR,
        6 * HOUR,
        12 * HOUR,
        24 * HOUR,
        168 * HOUR,
    ];
    let fits = |step: &&u64| to / **step <= most;
    let step = STEPS.iter().find(fits).copied().unwrap_or(to.max(1));
    (0..=to / step)
        .map(|index| Tick {
            value: (index * step) as f64,
            label: format::tick(index * step),
        })
        .collect()
}

/// The round times of a logarithmic axis: `1 ms`, `10 ms`, `100 ms`, `1 s`, `10 s`, `1 min`…
pub(super) fn magnitudes(from: f64, to: f64) -> Vec<Tick> {
    const NAMED: [u64; 13] = [
        1_000,
        10_000,
        100_000,
        MS,
        10 * MS,
        100 * MS,
        S,
        10 * S,
        MIN,
        10 * MIN,
        HOUR,
        10 * HOUR,
        100 * HOUR,
    ];
    NAMED
        .into_iter()
        .filter(|&value| (from..=to).contains(&(value as f64)))
        .map(|value| Tick {
            value: value as f64,
            label: format::tick(value),
        })
        .collect()
}

/// The ends of a logarithmic axis of times that holds both values, on whole decades below and on
/// a named or half decade above.
pub(super) fn magnitude_range(least: u64, greatest: u64) -> (f64, f64) {
    let least = least.clamp(10_000, 100 * MS) as f64;
    let from = 10_f64.powf(least.log10().floor());
    let greatest = (greatest as f64).max(from * 10.0);
    let decade = 10_f64.powf(greatest.log10().floor());
    let to = [1.0, 2.0, 3.0, 6.0, 10.0]
        .into_iter()
        .map(|factor| factor * decade)
        .find(|end| *end >= greatest)
        .unwrap_or(greatest);
    (from, to)
}

/// Round whole numbers from 0, at most so many, the last at or above `to`.
pub(super) fn counts(to: u64, most: u64) -> Vec<Tick> {
    let mut decade = 1;
    let step = loop {
        let fits = [1, 2, 5]
            .into_iter()
            .map(|factor| factor * decade)
            .find(|step| to.div_ceil(*step) <= most);
        match fits {
            Some(step) => break step,
            None => decade *= 10,
        }
    };
    (0..=to.div_ceil(step).max(1))
        .map(|index| Tick {
            value: (index * step) as f64,
            label: format::count(index * step),
        })
        .collect()
}

/// Shares in steps of a quarter.
pub(super) fn quarters() -> Vec<Tick> {
    [0, 25, 50, 75, 100]
        .into_iter()
        .map(|percent| Tick {
            value: f64::from(percent) / 100.0,
            label: format!("{percent} %"),
        })
        .collect()
}

/// Percentiles that lie evenly on [`Scale::Tail`].
pub(super) fn nines(to: f64) -> Vec<Tick> {
    [
        (0.0, "0 %"),
        (0.5, "50 %"),
        (0.9, "90 %"),
        (0.99, "99 %"),
        (0.999, "99.9 %"),
        (0.9999, "99.99 %"),
        (0.99999, "99.999 %"),
    ]
    .into_iter()
    .filter(|(value, _)| *value <= to + 1e-9)
    .map(|(value, label)| Tick {
        value,
        label: label.to_owned(),
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn labels(ticks: Vec<Tick>) -> Vec<String> {
        ticks.into_iter().map(|tick| tick.label).collect()
    }

    #[test]
    fn the_nines_lie_evenly() {
        let scale = Scale::Tail(0.999);
        let (one, two) = (scale.at(0.9), scale.at(0.99));
        assert!((one - 1.0 / 3.0).abs() < 1e-9 && (two - 2.0 / 3.0).abs() < 1e-9);
    }

    #[test]
    fn times_are_named_as_people_would() {
        assert_eq!(
            labels(times(3 * S, 6)),
            ["0", "500 ms", "1 s", "1.5 s", "2 s", "2.5 s", "3 s"]
        );
    }

    #[test]
    fn magnitudes_go_by_minutes_after_seconds() {
        assert_eq!(
            labels(magnitudes(1e8, 7e11)),
            ["100 ms", "1 s", "10 s", "1 min", "10 min"]
        );
    }

    #[test]
    fn an_axis_of_counts_ends_at_or_above_its_greatest() {
        assert_eq!(labels(counts(1_234, 3)), ["0", "500", "1,000", "1,500"]);
        assert_eq!(labels(counts(0, 3)), ["0", "1"]);
    }

    proptest! {
        #[test]
        fn nothing_lies_off_its_axis(value in 0.0_f64..1e15, from in 1.0_f64..1e6, width in 1.0_f64..1e12) {
            for scale in [
                Scale::Linear(from, from + width),
                Scale::Logarithmic(from, from + width),
                Scale::Tail(0.9999),
            ] {
                prop_assert!((0.0..=1.0).contains(&scale.at(value)));
            }
        }

        #[test]
        fn a_logarithmic_axis_holds_its_greatest_value(least: u64, greatest in 1_u64..1_000_000_000_000_000) {
            let (from, to) = magnitude_range(least, greatest);
            prop_assert!(from < to && greatest as f64 <= to);
        }

        #[test]
        fn an_axis_of_counts_has_few_ticks(to in 0_u64..1_000_000_000_000) {
            let ticks = counts(to, 4);
            prop_assert!(ticks.len() <= 5 && ticks.last().unwrap().value >= to as f64);
        }
    }
}
