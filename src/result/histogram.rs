//! Distributions: an HDR histogram with its usual percentiles beside it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A distribution of whole numbers, mostly nanoseconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Distribution {
    /// Number of values.
    pub count: u64,
    /// Least value.
    pub min: u64,
    /// Mean.
    pub mean: f64,
    /// Median.
    pub p50: u64,
    /// 90th percentile.
    pub p90: u64,
    /// 95th percentile.
    pub p95: u64,
    /// 99th percentile.
    pub p99: u64,
    /// 99.9th percentile.
    #[serde(rename = "p99.9")]
    pub p99_9: u64,
    /// 99.99th percentile.
    #[serde(rename = "p99.99")]
    pub p99_99: u64,
    /// Greatest value.
    pub max: u64,
    /// The whole histogram: HdrHistogram's V2 encoding, deflated, in base64. None without values.
    pub hdr: Option<String>,
}

/// A histogram's text form that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an HdrHistogram in V2 deflated base64: {0}")]
pub struct HistogramError(String);

impl Distribution {
    /// The distribution of a histogram.
    #[must_use]
    pub fn of(histogram: &Histogram<u64>) -> Self {
        if histogram.is_empty() {
            return Self::default();
        }
        let mut encoded = Vec::new();
        let hdr = V2DeflateSerializer::new()
            .serialize(histogram, &mut encoded)
            .ok()
            .map(|_| BASE64.encode(&encoded));
        Self {
            count: histogram.len(),
            min: histogram.min(),
            mean: histogram.mean(),
            p50: histogram.value_at_quantile(0.5),
            p90: histogram.value_at_quantile(0.9),
            p95: histogram.value_at_quantile(0.95),
            p99: histogram.value_at_quantile(0.99),
            p99_9: histogram.value_at_quantile(0.999),
            p99_99: histogram.value_at_quantile(0.9999),
            max: histogram.max(),
            hdr,
        }
    }

    /// All values of several distributions together.
    ///
    /// # Errors
    /// One of them has a damaged text form.
    pub fn merged<'a>(parts: impl IntoIterator<Item = &'a Self>) -> Result<Self, HistogramError> {
        let mut whole: Option<Histogram<u64>> = None;
        for histogram in parts.into_iter().map(Self::histogram) {
            let Some(histogram) = histogram? else {
                continue;
            };
            match &mut whole {
                None => whole = Some(histogram),
                Some(whole) => {
                    whole.auto(true);
                    whole
                        .add(&histogram)
                        .map_err(|error| HistogramError(error.to_string()))?;
                }
            }
        }
        Ok(whole.as_ref().map(Self::of).unwrap_or_default())
    }

    /// The histogram; `None` without values.
    ///
    /// # Errors
    /// The text form is damaged.
    pub fn histogram(&self) -> Result<Option<Histogram<u64>>, HistogramError> {
        let Some(text) = &self.hdr else {
            return Ok(None);
        };
        let bytes = BASE64
            .decode(text)
            .map_err(|error| HistogramError(error.to_string()))?;
        Deserializer::new()
            .deserialize(&mut bytes.as_slice())
            .map(Some)
            .map_err(|error| HistogramError(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_survives_its_text_form() {
        let mut histogram = Histogram::new(3).unwrap();
        for value in [1, 10, 1_000_000, 3_600_000_000_000] {
            histogram.record(value).unwrap();
        }
        let read = Distribution::of(&histogram).histogram().unwrap();
        assert_eq!(read, Some(histogram));
    }

    #[test]
    fn no_values_give_no_histogram() {
        let empty = Distribution::of(&Histogram::new(3).unwrap());
        assert_eq!(empty.histogram(), Ok(None));
    }

    #[test]
    fn a_damaged_text_form_is_an_error() {
        let damaged = Distribution {
            hdr: Some("HISTFAAA".to_owned()),
            ..Distribution::default()
        };
        assert!(damaged.histogram().is_err());
    }
}
