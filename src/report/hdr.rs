//! HdrHistogram's own files, which its standard tools read and draw.
//!
//! Out flow `hdr/<run>.<what>.hgrm`, percentile distributions as HdrHistogram's
//! `outputPercentileDistribution` prints them, and `responses.hlog`, an interval log in format 1.3
//! with the run's name as tag. Values in `.hgrm` are milliseconds, in the log nanoseconds.
//!
//! The surprising fact: the log's format allows no space and no comma in a tag, so that names of
//! runs lose theirs.

use super::merge;
use super::{File, WriteError};
use crate::result::{Distribution, Result, Run};
use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

/// Nanoseconds in the unit of `.hgrm` files and of the interval log's greatest value.
const MILLISECOND: f64 = 1e6;
/// Steps to each halving of the distance to 100 %, HdrHistogram's default.
const TICKS_PER_HALF_DISTANCE: u32 = 5;

/// Percentile distributions of each run and the interval log of all.
pub(super) fn files(result: &Result) -> std::result::Result<Vec<File>, WriteError> {
    let mut files = Vec::new();
    let mut names = BTreeSet::new();
    for run in &result.runs {
        let name = unique(&mut names, file_name(&run.name));
        for (what, distribution) in distributions(run) {
            if let Some(histogram) = merge::histogram(&distribution) {
                files.push(File {
                    name: format!("hdr/{name}.{what}.hgrm"),
                    contents: percentiles(&histogram).into_bytes(),
                });
            }
        }
    }
    files.push(File {
        name: "responses.hlog".to_owned(),
        contents: interval_log(result)?,
    });
    Ok(files)
}

/// The distributions of a run that have a file of their own.
fn distributions(run: &Run) -> Vec<(String, Distribution)> {
    let requests = &run.requests;
    let mut all = vec![
        ("response".to_owned(), requests.response.clone()),
        ("service".to_owned(), requests.service.clone()),
        ("lag".to_owned(), requests.lag.clone()),
    ];
    for kind in ["private", "shared"] {
        if let Some(locks) = merge::locks(run, kind) {
            all.push((format!("acquire-wait-{kind}"), locks.acquire_wait));
        }
    }
    for ends in &run.session_ends {
        all.push((
            format!("lateness-{}", file_name(&ends.kind)),
            ends.lateness.clone(),
        ));
    }
    all
}

/// A percentile distribution as HdrHistogram prints it.
fn percentiles(histogram: &Histogram<u64>) -> String {
    let digits = usize::from(histogram.sigfig());
    let mut text = format!(
        "{:>12} {:>14} {:>10} {:>14}\n\n",
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
    );
    let mut total = 0;
    for step in histogram.iter_quantiles(TICKS_PER_HALF_DISTANCE) {
        total += step.count_since_last_iteration();
        let quantile = step.quantile_iterated_to();
        let value = step.value_iterated_to() as f64 / MILLISECOND;
        // Writing to a string cannot fail.
        let _ = write!(text, "{value:>12.digits$} {quantile:.12} {total:>10}");
        let _ = if quantile < 1.0 {
            writeln!(text, " {:>14.2}", 1.0 / (1.0 - quantile))
        } else {
            writeln!(text)
        };
    }
    let _ = write!(
        text,
        "#[Mean    = {:>12.digits$}, StdDeviation   = {:>12.digits$}]\n\
         #[Max     = {:>12.digits$}, Total count    = {:>12}]\n\
         #[Buckets = {:>12}, SubBuckets     = {:>12}]\n",
        histogram.mean() / MILLISECOND,
        histogram.stdev() / MILLISECOND,
        histogram.max() as f64 / MILLISECOND,
        histogram.len(),
        histogram.buckets(),
        sub_buckets(histogram),
    );
    text
}

/// Values that a bucket tells apart: the power of two that holds twice the digits' resolution.
fn sub_buckets(histogram: &Histogram<u64>) -> u64 {
    (2 * 10_u64.pow(u32::from(histogram.sigfig()))).next_power_of_two()
}

/// The responses of each interval of each run, in order of time.
fn interval_log(result: &Result) -> std::result::Result<Vec<u8>, WriteError> {
    let failed = |error: &dyn std::fmt::Display| WriteError::Histogram(error.to_string());
    let mut intervals = Vec::new();
    for run in &result.runs {
        let tag = tag(&run.name);
        for interval in &run.requests.response_intervals {
            if let Some(histogram) = merge::histogram(&interval.values) {
                intervals.push((interval, tag.clone(), histogram));
            }
        }
    }
    intervals.sort_by_key(|(interval, ..)| interval.start_ns);

    let mut log = Vec::new();
    let mut serializer = V2DeflateSerializer::new();
    let mut header = IntervalLogWriterBuilder::new();
    header
        .add_comment("[Logged with sessionbench]")
        .add_comment("[Histogram log format version 1.3]")
        .with_max_value_divisor(MILLISECOND);
    if let Some(started) = seconds_since_1970(&result.environment.started) {
        let started = SystemTime::UNIX_EPOCH + Duration::from_secs(started);
        header.with_start_time(started).with_base_time(started);
    }
    let mut writer = header
        .begin_log_with(&mut log, &mut serializer)
        .map_err(|error| failed(&error))?;
    for (interval, tag, histogram) in &intervals {
        writer
            .write_histogram(
                histogram,
                Duration::from_nanos(interval.start_ns),
                Duration::from_nanos(interval.length_ns),
                Tag::new(tag),
            )
            .map_err(|error| failed(&error))?;
    }
    Ok(log)
}

/// A run's name as a tag of the interval log.
fn tag(name: &str) -> String {
    name.replace([',', ' ', '\r', '\n'], "_")
}

/// A name as part of a file's name: no path, nothing that a file system or shell minds.
fn file_name(name: &str) -> String {
    name.chars()
        .map(|char| match char {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '_' => char,
            _ => '-',
        })
        .collect()
}

/// Two runs whose names look alike as files keep apart.
fn unique(taken: &mut BTreeSet<String>, name: String) -> String {
    let mut candidate = name.clone();
    let mut number = 2;
    while !taken.insert(candidate.clone()) {
        candidate = format!("{name}-{number}");
        number += 1;
    }
    candidate
}

/// Seconds from 1970 to an instant in RFC 3339 and UTC; `None` when it is something else.
fn seconds_since_1970(text: &str) -> Option<u64> {
    let part = |range: std::ops::Range<usize>| text.get(range)?.parse::<u64>().ok();
    let (year, month, day) = (part(0..4)?, part(5..7)?, part(8..10)?);
    let (hour, minute, second) = (part(11..13)?, part(14..16)?, part(17..19)?);
    if !text.ends_with('Z') || !(1..=12).contains(&month) || !(1..=31).contains(&day) || year < 1970
    {
        return None;
    }
    // Years begin in March here, so that the leap day is the last one.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    const DAYS_TO_1970: u64 = 719_468;
    Some((((days - DAYS_TO_1970) * 24 + hour) * 60 + minute) * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::{comparison, distribution};
    use hdrhistogram::serialization::Deserializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    #[test]
    fn a_percentile_distribution_is_laid_out_as_hdrhistogram_does() {
        let values = distribution(&[1_000_000, 2_000_000, 3_000_000, 4_000_000]);
        let text = percentiles(&merge::histogram(&values).unwrap());
        let expected = "       Value     Percentile TotalCount 1/(1-Percentile)\n\
            \n\
            \x20      1.000 0.000000000000          1           1.00\n\
            \x20      1.000 0.100000000000          1           1.11\n\
            \x20      1.000 0.200000000000          1           1.25\n";
        assert!(text.starts_with(expected), "{text}");
        let footer = "       4.002 1.000000000000          4\n\
            #[Mean    =        2.500, StdDeviation   =        1.118]\n\
            #[Max     =        4.002, Total count    =            4]\n\
            #[Buckets =           12, SubBuckets     =         2048]\n";
        assert!(text.ends_with(footer), "{text}");
    }

    #[test]
    fn the_interval_log_reads_back_with_hdrhistogram() {
        let result = comparison();
        let log = interval_log(&result).unwrap();
        let (mut of_sitecore, mut values) = (0, 0);
        for entry in IntervalLogIterator::new(&log) {
            let LogEntry::Interval(interval) = entry.unwrap() else {
                continue;
            };
            let bytes = base64::Engine::decode(
                &base64::engine::general_purpose::STANDARD,
                interval.encoded_histogram(),
            )
            .unwrap();
            let histogram: Histogram<u64> = Deserializer::new()
                .deserialize(&mut bytes.as_slice())
                .unwrap();
            values += histogram.len();
            if interval.tag().unwrap().as_str() == "redis-sitecore" {
                of_sitecore += 1;
            }
        }
        assert_eq!((of_sitecore, values), (6, 120_000));
    }

    #[test]
    fn a_tag_has_no_character_that_ends_it() {
        assert!(Tag::new(&tag("two, words\n")).is_some());
    }

    #[test]
    fn names_of_runs_lead_to_no_other_directory() {
        assert_eq!(file_name("../etc/x y"), "---etc-x-y");
    }

    #[test]
    fn runs_whose_names_look_alike_keep_apart() {
        let mut result = comparison();
        result.runs[0].name = "a b".to_owned();
        result.runs[1].name = "a,b".to_owned();
        let names: BTreeSet<String> = files(&result)
            .unwrap()
            .into_iter()
            .map(|file| file.name)
            .collect();
        assert!(names.contains("hdr/a-b.response.hgrm"));
        assert!(names.contains("hdr/a-b-2.response.hgrm"));
    }

    #[test]
    fn empty_distributions_have_no_file() {
        let names: Vec<String> = files(&comparison())
            .unwrap()
            .into_iter()
            .map(|file| file.name)
            .collect();
        assert!(!names.contains(&"hdr/redis-microsoft.lateness-private.hgrm".to_owned()));
        assert!(names.contains(&"hdr/inproc.lateness-private.hgrm".to_owned()));
    }

    #[test]
    fn seconds_since_1970_follow_the_calendar() {
        assert_eq!(seconds_since_1970("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(
            seconds_since_1970("2024-02-29T12:00:00.5Z"),
            Some(1_709_208_000)
        );
        assert_eq!(seconds_since_1970("yesterday"), None);
    }
}
