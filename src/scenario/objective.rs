//! Objectives as readable text: `request.response.p99 < 250ms`.
//!
//! In: one line of text. Out: an [`Objective`] with its target as a number in the metric's base
//! unit, or an error that points into the text. The list of metrics is closed: a name that is not
//! in it is an error, never an objective that silently holds.

use super::suggest;
use crate::quantity::{Rate, Share, Size, Span};
use crate::session::StoreKind;
use std::fmt;
use std::ops::Range;

/// What must hold of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Objective {
    /// As it was written.
    pub text: String,
    /// What is measured.
    pub metric: Metric,
    /// Of which store kind; `None`: of both together.
    pub kind: Option<StoreKind>,
    /// Of a distribution, which of its values; `None` for a metric that is one number.
    pub statistic: Option<Statistic>,
    /// How measured value and target must compare.
    pub comparison: Comparison,
    /// The target in the base unit of the metric's [`Unit`].
    pub target: f64,
}

/// Unit of a metric's values, and of the number in [`Objective::target`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A length of time, in nanoseconds.
    Span,
    /// A number of things.
    Count,
    /// A fraction from 0 to 1.
    Share,
    /// So many per second of real time.
    Rate,
    /// Bytes.
    Size,
}

/// Everything that an objective can be about. The first list entry of each is its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Metric {
    /// Done − intended, of every request: what a visitor felt.
    RequestResponse,
    /// Done − sent, of every request: what the site did.
    RequestService,
    /// Sent − intended, of every request: what the load generator was late by.
    RequestLag,
    /// Requests that failed.
    RequestFailed,
    /// Requests that failed, of all that were sent.
    RequestFailedShare,
    /// Requests per second of measured real time.
    RequestRate,
    /// From first asking for an exclusive session to holding its lock.
    LockAcquireWait,
    /// From holding a lock to releasing it.
    LockHold,
    /// From a release to the next waiter's grant.
    LockHandOver,
    /// Gets per acquired lock; all but one are wasted.
    LockPolls,
    /// Locks released by force.
    LockSteals,
    /// Requests refused by the queue limit.
    LockQueueLimitRefusals,
    /// Grants while another request waited that had asked earlier.
    LockOvertakes,
    /// Store operations of all verbs.
    OperationLatency,
    /// Session end raised − due, where it was not early.
    SessionEndLateness,
    /// Due − session end raised, where it was early.
    SessionEndEarliness,
    /// From the end raised to the visit committed.
    SessionEndHandler,
    /// Sessions that were due and never ended.
    SessionEndMissed,
    /// Session ends beyond the first of a session.
    SessionEndDuplicate,
    /// Session ends before the session was due.
    SessionEndPremature,
    /// Sessions that were served although they were due and not ended.
    SessionEndResurrected,
    /// Sessions that ended.
    SessionEndEnded,
    /// Breaches of the twelve invariants, all together.
    IntegrityViolations,
    /// Updates that a store acknowledged and then did not have.
    IntegrityLostUpdates,
    /// Page views that were performed and never committed.
    PageViewsLost,
    /// Page views that were never committed, of all that were performed.
    PageViewsLostShare,
    /// Most memory that the stores' servers used.
    StoreMemory,
    /// Memory of one session with all its keys.
    StoreBytesPerSession,
}

/// One value of a distribution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Statistic {
    /// Median.
    P50,
    /// 90th percentile.
    P90,
    /// 95th percentile.
    P95,
    /// 99th percentile.
    P99,
    /// 99.9th percentile.
    P99_9,
    /// 99.99th percentile.
    P99_99,
    /// Mean.
    Mean,
    /// Greatest value.
    Max,
    /// Least value.
    Min,
}

/// How a measured value is compared with a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    Greater,
    /// `>=`
    AtLeast,
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
}

/// An objective that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ObjectiveError {
    /// What is wrong.
    pub message: String,
    /// Bytes of the objective's text that it is about.
    pub at: Range<usize>,
    /// What to do.
    pub help: Option<String>,
}

impl Metric {
    /// All metrics: name, unit, whether it is a distribution, whether it can be asked for one store
    /// kind.
    #[rustfmt::skip]
    const TABLE: [(Self, &'static str, Unit, bool, bool); 28] = [
        (Self::RequestResponse, "request.response", Unit::Span, true, false),
        (Self::RequestService, "request.service", Unit::Span, true, false),
        (Self::RequestLag, "request.lag", Unit::Span, true, false),
        (Self::RequestFailed, "request.failed", Unit::Count, false, false),
        (Self::RequestFailedShare, "request.failed.share", Unit::Share, false, false),
        (Self::RequestRate, "request.rate", Unit::Rate, false, false),
        (Self::LockAcquireWait, "lock.acquire_wait", Unit::Span, true, true),
        (Self::LockHold, "lock.hold", Unit::Span, true, true),
        (Self::LockHandOver, "lock.hand_over", Unit::Span, true, true),
        (Self::LockPolls, "lock.polls", Unit::Count, true, true),
        (Self::LockSteals, "lock.steals", Unit::Count, false, true),
        (Self::LockQueueLimitRefusals, "lock.queue_limit_refusals", Unit::Count, false, true),
        (Self::LockOvertakes, "lock.overtakes", Unit::Count, false, true),
        (Self::OperationLatency, "operation.latency", Unit::Span, true, true),
        (Self::SessionEndLateness, "session_end.lateness", Unit::Span, true, true),
        (Self::SessionEndEarliness, "session_end.earliness", Unit::Span, true, true),
        (Self::SessionEndHandler, "session_end.handler", Unit::Span, true, true),
        (Self::SessionEndMissed, "session_end.missed", Unit::Count, false, true),
        (Self::SessionEndDuplicate, "session_end.duplicate", Unit::Count, false, true),
        (Self::SessionEndPremature, "session_end.premature", Unit::Count, false, true),
        (Self::SessionEndResurrected, "session_end.resurrected", Unit::Count, false, true),
        (Self::SessionEndEnded, "session_end.ended", Unit::Count, false, true),
        (Self::IntegrityViolations, "integrity.violations", Unit::Count, false, false),
        (Self::IntegrityLostUpdates, "integrity.lost_updates", Unit::Count, false, false),
        (Self::PageViewsLost, "page_views.lost", Unit::Count, false, false),
        (Self::PageViewsLostShare, "page_views.lost.share", Unit::Share, false, false),
        (Self::StoreMemory, "store.memory", Unit::Size, false, false),
        (Self::StoreBytesPerSession, "store.bytes_per_session", Unit::Size, false, false),
    ];

    /// All metrics, in the order of the documentation.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::TABLE.iter().map(|row| row.0)
    }

    const fn row(self) -> &'static (Self, &'static str, Unit, bool, bool) {
        // The table is in the order of the enum; a test holds it there.
        &Self::TABLE[self as usize]
    }

    /// Its name in objectives.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.row().1
    }

    /// The unit of its values.
    #[must_use]
    pub const fn unit(self) -> Unit {
        self.row().2
    }

    /// Whether it has many values, so that an objective names a statistic.
    #[must_use]
    pub const fn is_distribution(self) -> bool {
        self.row().3
    }

    /// Whether an objective may start with `private.` or `shared.`.
    #[must_use]
    pub const fn is_per_kind(self) -> bool {
        self.row().4
    }
}

impl Statistic {
    /// All statistics.
    pub const ALL: [Self; 9] = [
        Self::P50,
        Self::P90,
        Self::P95,
        Self::P99,
        Self::P99_9,
        Self::P99_99,
        Self::Mean,
        Self::Max,
        Self::Min,
    ];

    /// Its name in objectives.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::P50 => "p50",
            Self::P90 => "p90",
            Self::P95 => "p95",
            Self::P99 => "p99",
            Self::P99_9 => "p99.9",
            Self::P99_99 => "p99.99",
            Self::Mean => "mean",
            Self::Max => "max",
            Self::Min => "min",
        }
    }
}

impl Comparison {
    /// Longer signs first, since `<` begins `<=`.
    const SIGNS: [(&'static str, Self); 6] = [
        ("<=", Self::AtMost),
        (">=", Self::AtLeast),
        ("==", Self::Equal),
        ("!=", Self::NotEqual),
        ("<", Self::Less),
        (">", Self::Greater),
    ];

    fn holds(self, value: f64, target: f64) -> bool {
        // Numbers that print alike are equal: targets come from decimal text.
        let equal = (value - target).abs() <= 1e-9 * target.abs().max(1e-3);
        match self {
            Self::Less => value < target && !equal,
            Self::AtMost => value < target || equal,
            Self::Greater => value > target && !equal,
            Self::AtLeast => value > target || equal,
            Self::Equal => equal,
            Self::NotEqual => !equal && !value.is_nan(),
        }
    }
}

impl Objective {
    /// Reads `[private.|shared.]metric[.statistic] comparison target`.
    ///
    /// # Errors
    /// An unknown name, a statistic too many or too few, a target of the wrong unit.
    pub fn parse(text: &str) -> Result<Self, ObjectiveError> {
        let start = text
            .find(['<', '>', '=', '!'])
            .ok_or_else(|| ObjectiveError {
                message: "an objective compares: there is no `<`, `<=`, `>`, `>=`, `==` or `!=`"
                    .to_owned(),
                at: 0..text.len(),
                help: Some("write it like `request.response.p99 < 250ms`".to_owned()),
            })?;
        let sign = Comparison::SIGNS
            .iter()
            .find(|(sign, _)| text[start..].starts_with(sign));
        let Some((sign, comparison)) = sign else {
            let help = "comparisons: `<`, `<=`, `>`, `>=`, `==`, `!=`".to_owned();
            return Err(ObjectiveError {
                message: format!("`{}` is no comparison", &text[start..=start]),
                at: start..start + 1,
                help: Some(help),
            });
        };
        let name = trimmed(text, 0..start);
        let (kind, metric, statistic) = parse_name(&text[name.clone()], name.start)?;
        let value = trimmed(text, start + sign.len()..text.len());
        let target = parse_target(&text[value.clone()], metric.unit()).map_err(|message| {
            ObjectiveError {
                message,
                at: if value.is_empty() {
                    start..start + sign.len()
                } else {
                    value
                },
                help: None,
            }
        })?;
        Ok(Self {
            text: text.trim().to_owned(),
            metric,
            kind,
            statistic,
            comparison: *comparison,
            target,
        })
    }

    /// Whether a measured value meets the objective. The value is in the metric's base unit; one
    /// that is not a number meets none.
    #[must_use]
    pub fn holds(&self, value: f64) -> bool {
        self.comparison.holds(value, self.target)
    }
}

impl fmt::Display for Objective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A range of a text without the white space at its ends.
fn trimmed(text: &str, range: Range<usize>) -> Range<usize> {
    let part = &text[range.clone()];
    let start = range.start + (part.len() - part.trim_start().len());
    start..start + part.trim().len()
}

type Name = (Option<StoreKind>, Metric, Option<Statistic>);

fn parse_name(text: &str, offset: usize) -> Result<Name, ObjectiveError> {
    let error = |message: String, at: Range<usize>, help: Option<String>| ObjectiveError {
        message,
        at: offset + at.start..offset + at.end,
        help,
    };
    let prefixed = StoreKind::ALL.into_iter().find_map(|kind| {
        let rest = text.strip_prefix(kind.name())?.strip_prefix('.')?;
        Some((kind, rest))
    });
    let (kind, rest) = match prefixed {
        Some((kind, rest)) => (Some(kind), rest),
        None => (None, text),
    };
    let skipped = text.len() - rest.len();
    // The longest name that fits: `request.failed` also begins `request.failed.share`.
    let found = Metric::all()
        .filter_map(|metric| {
            let rest = rest.strip_prefix(metric.name())?;
            let statistic = rest.strip_prefix('.');
            (rest.is_empty() || statistic.is_some()).then_some((metric, statistic))
        })
        .max_by_key(|(metric, _)| metric.name().len());
    let Some((metric, statistic)) = found else {
        return Err(error(
            format!("unknown metric `{rest}`"),
            skipped..text.len(),
            Some(metric_help(rest)),
        ));
    };
    if kind.is_some() && !metric.is_per_kind() {
        return Err(error(
            format!("`{}` is not measured per store kind", metric.name()),
            0..skipped,
            Some(format!("write `{rest}`")),
        ));
    }
    let names: Vec<_> = Statistic::ALL
        .iter()
        .map(|statistic| statistic.name())
        .collect();
    match (metric.is_distribution(), statistic) {
        (false, None) => Ok((kind, metric, None)),
        (true, None) => Err(error(
            format!("`{}` has many values: name a statistic", metric.name()),
            0..text.len(),
            Some(format!(
                "for example `{text}.p99`; statistics: {}",
                suggest::listed(names)
            )),
        )),
        (false, Some(_)) => Err(error(
            format!("`{}` is one number and has no statistic", metric.name()),
            skipped + metric.name().len()..text.len(),
            Some(format!("write `{}`", metric.name())),
        )),
        (true, Some(name)) => {
            let statistic = Statistic::ALL
                .into_iter()
                .find(|statistic| statistic.name() == name);
            match statistic {
                Some(statistic) => Ok((kind, metric, Some(statistic))),
                None => Err(error(
                    format!("unknown statistic `{name}`"),
                    text.len() - name.len()..text.len(),
                    Some(suggest::help(name, &names, "statistics")),
                )),
            }
        }
    }
}

/// Help for an unknown metric: the nearest name, or all of the same family, or all.
fn metric_help(written: &str) -> String {
    let bare = Statistic::ALL
        .iter()
        .filter_map(|statistic| written.strip_suffix(statistic.name())?.strip_suffix('.'))
        .next()
        .unwrap_or(written);
    let family = bare.split('.').next().unwrap_or_default();
    let names: Vec<_> = Metric::all().map(Metric::name).collect();
    let kin: Vec<_> = names
        .iter()
        .copied()
        .filter(|name| name.split('.').next() == Some(family))
        .collect();
    if let Some(name) = suggest::nearest(bare, names.iter().copied()) {
        return format!("did you mean `{name}`?");
    }
    let shown = if kin.is_empty() { names } else { kin };
    format!("metrics: {}", suggest::listed(shown))
}

/// Reads a target in its unit; the error says what was expected.
fn parse_target(text: &str, unit: Unit) -> Result<f64, String> {
    match unit {
        Unit::Span => text
            .parse::<Span>()
            .map(|span| span.duration().as_nanos() as f64)
            .map_err(|error| error.to_string()),
        Unit::Share => text
            .parse::<Share>()
            .map(Share::fraction)
            .map_err(|error| error.to_string()),
        Unit::Rate => text
            .parse::<Rate>()
            .map(Rate::per_second)
            .map_err(|error| error.to_string()),
        Unit::Size => text
            .parse::<Size>()
            .map(|size| size.bytes() as f64)
            .map_err(|error| error.to_string()),
        Unit::Count => text
            .parse::<f64>()
            .ok()
            .filter(|count| count.is_finite() && *count >= 0.0)
            .ok_or_else(|| format!("`{text}` is not a number of things; write it like 0 or 12")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_table_is_in_the_order_of_the_enum() {
        for (position, metric) in Metric::all().enumerate() {
            assert_eq!(metric as usize, position, "{}", metric.name());
        }
    }

    #[test]
    fn a_percentile_of_a_distribution_reads() {
        let objective = Objective::parse("request.response.p99.9 < 250ms").unwrap();
        assert_eq!(objective.metric, Metric::RequestResponse);
        assert_eq!(objective.statistic, Some(Statistic::P99_9));
        assert_eq!(objective.comparison, Comparison::Less);
        assert_eq!(objective.target, 250e6);
    }

    #[test]
    fn a_store_kind_may_precede_a_lock_metric() {
        let objective = Objective::parse("shared.lock.acquire_wait.max<=1s").unwrap();
        assert_eq!(objective.kind, Some(StoreKind::Shared));
    }

    #[test]
    fn the_longer_of_two_names_wins() {
        let objective = Objective::parse("request.failed.share <= 0.1%").unwrap();
        assert_eq!(objective.metric, Metric::RequestFailedShare);
        assert!(objective.holds(0.001));
        assert!(!objective.holds(0.0011));
    }

    #[test]
    fn equality_ignores_the_last_bits() {
        let objective = Objective::parse("request.failed.share == 30%").unwrap();
        assert!(objective.holds(0.1 + 0.2));
    }

    #[test]
    fn what_was_not_measured_meets_no_objective() {
        for comparison in ["<", "<=", ">", ">=", "==", "!="] {
            let objective = Objective::parse(&format!("request.failed {comparison} 3")).unwrap();
            assert!(!objective.holds(f64::NAN), "{comparison}");
        }
    }

    #[test]
    fn errors_point_at_the_part_that_is_wrong() {
        for (text, wrong, help) in [
            (
                "request.respnse.p99 < 1s",
                "request.respnse.p99",
                "did you mean `request.response`?",
            ),
            ("request.response.p98 < 1s", "p98", "did you mean `p"),
            (
                "request.response < 1s",
                "request.response",
                "`request.response.p99`",
            ),
            (
                "session_end.missed.p99 == 0",
                ".p99",
                "write `session_end.missed`",
            ),
            (
                "shared.request.rate > 1/s",
                "shared.",
                "write `request.rate`",
            ),
            ("request.rate = 1/s", "=", "comparisons"),
            (
                "request.rate",
                "request.rate",
                "write it like `request.response.p99 < 250ms`",
            ),
        ] {
            let error = Objective::parse(text).unwrap_err();
            assert_eq!(&text[error.at.clone()], wrong, "{error}");
            let found = error.help.unwrap();
            assert!(found.contains(help), "{found}");
        }
    }

    #[test]
    fn a_target_of_the_wrong_unit_is_an_error() {
        let text = "request.response.p99 < 250";
        let error = Objective::parse(text).unwrap_err();
        assert_eq!(&text[error.at.clone()], "250");
        assert!(error.message.contains("length of time"), "{error}");
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text: String) {
            if let Err(error) = Objective::parse(&text) {
                prop_assert!(text.get(error.at).is_some());
            }
        }

        #[test]
        fn every_metric_reads_under_its_name(index in 0..28usize, statistic in 0..9usize) {
            let (metric, name, unit, distribution, _) = Metric::TABLE[index];
            let statistic = distribution.then_some(Statistic::ALL[statistic]);
            let suffix = statistic.map_or(String::new(), |it| format!(".{}", it.name()));
            let value = match unit {
                Unit::Span => "3s",
                Unit::Count => "3",
                Unit::Share => "3%",
                Unit::Rate => "3/s",
                Unit::Size => "3B",
            };
            let objective = Objective::parse(&format!("{name}{suffix} >= {value}")).unwrap();
            prop_assert_eq!((objective.metric, objective.statistic), (metric, statistic));
        }
    }
}
