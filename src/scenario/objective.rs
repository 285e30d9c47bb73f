//! Objectives as readable text: `request.response.p99 < 250ms`.
//!
//! In: one line of text. Out: an [`Objective`] with its target as a number in the metric's base
//! unit, or an error that points into the text. The list of metrics is closed: a name that is not
//! in it is an error, never an objective that silently holds.

use super::metric::{Metric, Statistic, Unit};
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
            let metric = Metric::all().nth(index).unwrap();
            let name = metric.name();
            let statistic = metric.is_distribution().then_some(Statistic::ALL[statistic]);
            let suffix = statistic.map_or(String::new(), |it| format!(".{}", it.name()));
            let value = match metric.unit() {
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
