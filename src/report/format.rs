//! Numbers for people: `231 ms`, `12,345`, `3.4 %`, `20 KiB`.
//!
//! Numbers flow in, short text flows out; tables, plots and sentences all use it, so that the same
//! number looks the same everywhere. The surprising fact: a share that is not quite nothing or not
//! quite all never rounds to 0 % or 100 %, because one lost visit in a million is not none.

use crate::result::Distribution;

/// What stands where nothing was measured.
pub const NOTHING: &str = "–";

const MICROSECOND: u64 = 1_000;
const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// A span of time from nanoseconds, to three digits: `12.3 µs`, `231 ms`, `1.98 s`, `2 min 3 s`.
#[must_use]
pub fn duration(nanoseconds: u64) -> String {
    let value = nanoseconds as f64;
    // Limits lie half a digit below the next unit, so that 999.7 ms reads "1 s", not "1000 ms".
    match nanoseconds {
        0 => "0 s".to_owned(),
        1..1_000 => format!("{nanoseconds} ns"),
        1_000..999_500 => format!("{} µs", three_digits(value / MICROSECOND as f64)),
        999_500..999_500_000 => format!("{} ms", three_digits(value / MILLISECOND as f64)),
        999_500_000..59_950_000_000 => format!("{} s", three_digits(value / SECOND as f64)),
        _ => {
            let seconds = (nanoseconds + SECOND / 2) / SECOND;
            let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
            match (hours, minutes, seconds % 60) {
                (0, minutes, 0) => format!("{minutes} min"),
                (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
                (hours, 0, _) => format!("{hours} h"),
                (hours, minutes, _) => format!("{hours} h {minutes} min"),
            }
        }
    }
}

/// An instant of a run, in seconds since its start, as fine as people look things up: `63.204 s`.
#[must_use]
pub fn instant(nanoseconds: u64) -> String {
    let (seconds, rest) = (nanoseconds / SECOND, nanoseconds % SECOND);
    format!("{}.{:03} s", count(seconds), rest / MILLISECOND)
}

/// A round span of time for the tick of an axis: `250 ms`, `2 s`, `1 min`, `1 h`.
#[must_use]
pub fn tick(nanoseconds: u64) -> String {
    match nanoseconds {
        0 => "0".to_owned(),
        1..MICROSECOND => format!("{nanoseconds} ns"),
        MICROSECOND..MILLISECOND => in_unit(nanoseconds, MICROSECOND, "µs"),
        MILLISECOND..SECOND => in_unit(nanoseconds, MILLISECOND, "ms"),
        SECOND..MINUTE => in_unit(nanoseconds, SECOND, "s"),
        MINUTE..HOUR if nanoseconds.is_multiple_of(MINUTE) => in_unit(nanoseconds, MINUTE, "min"),
        HOUR.. if nanoseconds.is_multiple_of(HOUR) => in_unit(nanoseconds, HOUR, "h"),
        _ => duration(nanoseconds),
    }
}

/// A whole number with thousands apart: `12,345`.
#[must_use]
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count with its noun: `1 visit`, `12,345 visits`.
#[must_use]
pub fn counted(number: u64, singular: &str, plural: &str) -> String {
    format!(
        "{} {}",
        count(number),
        if number == 1 { singular } else { plural }
    )
}

/// A share of a whole: `3.4 %`, `< 0.1 %`; `–` of nothing.
#[must_use]
pub fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return NOTHING.to_owned();
    }
    if part == 0 {
        return "0 %".to_owned();
    }
    let share = 100.0 * part as f64 / whole as f64;
    if part == whole {
        "100 %".to_owned()
    } else if share < 0.1 {
        "< 0.1 %".to_owned()
    } else if part < whole && share > 99.9 {
        "> 99.9 %".to_owned()
    } else {
        format!("{share:.1} %")
    }
}

/// A size in bytes: `824 B`, `20 KiB`, `1.5 GiB`.
#[must_use]
pub fn bytes(size: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if size < 1024 {
        return format!("{size} B");
    }
    let mut value = size as f64 / 1024.0;
    let mut unit = UNITS[0];
    for larger in &UNITS[1..] {
        if value < 1023.5 {
            break;
        }
        value /= 1024.0;
        unit = larger;
    }
    format!("{} {unit}", three_digits(value))
}

/// Something per second: `1,235/s`, `12.3/s`.
#[must_use]
pub fn rate(per_second: f64) -> String {
    format!("{}/s", number(per_second))
}

/// A number to three digits, thousands apart.
#[must_use]
pub fn number(value: f64) -> String {
    if value >= 999.5 {
        count(value.round() as u64)
    } else {
        three_digits(value)
    }
}

/// One figure of a distribution of times; `–` when it is empty.
#[must_use]
pub fn time_of(distribution: &Distribution, figure: impl Fn(&Distribution) -> u64) -> String {
    if distribution.count == 0 {
        return NOTHING.to_owned();
    }
    duration(figure(distribution))
}

fn in_unit(nanoseconds: u64, unit: u64, name: &str) -> String {
    let value = nanoseconds as f64 / unit as f64;
    format!("{value} {name}")
}

/// At most three digits, but all of those before the point, and no zeros at the end of a fraction.
fn three_digits(value: f64) -> String {
    let decimals = match value {
        v if v >= 99.95 => 0,
        v if v >= 9.995 => 1,
        _ => 2,
    };
    let text = format!("{value:.decimals$}");
    if decimals == 0 {
        return text;
    }
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_read_as_people_say_them() {
        let cases = [
            (0, "0 s"),
            (850, "850 ns"),
            (12_345, "12.3 µs"),
            (231_400_000, "231 ms"),
            (999_700_000, "1 s"),
            (1_980_000_000, "1.98 s"),
            (20_000_000_000, "20 s"),
            (59_960_000_000, "1 min"),
            (123_000_000_000, "2 min 3 s"),
            (3_840_000_000_000, "1 h 4 min"),
        ];
        for (nanoseconds, text) in cases {
            assert_eq!(duration(nanoseconds), text);
        }
    }

    #[test]
    fn ticks_are_round() {
        let cases = [
            (0, "0"),
            (100_000, "100 µs"),
            (250 * MILLISECOND, "250 ms"),
            (2_500 * MILLISECOND, "2.5 s"),
            (90 * SECOND, "1 min 30 s"),
            (2 * HOUR, "2 h"),
        ];
        for (nanoseconds, text) in cases {
            assert_eq!(tick(nanoseconds), text);
        }
    }

    #[test]
    fn sizes_change_unit_at_1024() {
        assert_eq!(bytes(824), "824 B");
        assert_eq!(bytes(20 * 1024), "20 KiB");
        assert_eq!(bytes(1536 * 1024 * 1024), "1.5 GiB");
    }

    #[test]
    fn a_share_of_nothing_is_nothing() {
        assert_eq!(percent(0, 0), NOTHING);
    }

    #[test]
    fn one_in_a_million_is_not_none_and_all_but_one_is_not_all() {
        assert_eq!(percent(1, 1_000_000), "< 0.1 %");
        assert_eq!(percent(999_999, 1_000_000), "> 99.9 %");
        assert_eq!(percent(34, 1000), "3.4 %");
    }

    proptest! {
        #[test]
        fn thousands_apart_change_no_digit(number: u64) {
            prop_assert_eq!(count(number).replace(',', ""), number.to_string());
        }

        #[test]
        fn a_time_never_shows_a_thousand_of_a_smaller_unit(nanoseconds: u64) {
            prop_assert!(!duration(nanoseconds).starts_with("1000 "));
        }
    }
}
