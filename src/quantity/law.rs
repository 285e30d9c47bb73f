//! Laws that quantities follow: constants, well-known distributions, and lists of measured values.
//!
//! In: a law from a scenario, and a generator. Out: a value, or the law's mean for the plan.

use super::Span;
use rand::{Rng, RngExt};
use rand_distr::{Distribution as _, Exp1, StandardNormal};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A whole number of things. Laws round to the nearest whole number.
pub type Count = u32;

/// A law that values follow; a bare value is a constant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Distribution<T> {
    /// Always this value.
    Always(T),
    /// A named law.
    Law(Law<T>),
}

/// A named law.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Law<T> {
    /// Always this value.
    Constant(T),
    /// Memoryless, with a mean.
    Exponential(Mean<T>),
    /// Skewed to the right, as think times and service times are.
    Lognormal(Lognormal<T>),
    /// Each value between two bounds alike.
    Uniform(Uniform<T>),
    /// One of the listed values, each alike: paste what you measured.
    Empirical(Vec<T>),
    /// One of the listed values, by weight.
    Weighted(Vec<Weighted<T>>),
}

/// The mean of a law.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mean<T> {
    /// Mean value.
    pub mean: T,
}

/// A log-normal law by two percentiles, as monitoring shows them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Lognormal<T> {
    /// Half of the values are below.
    pub median: T,
    /// 95 % of the values are below; above the median.
    pub p95: T,
}

/// Two bounds, both included.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Uniform<T> {
    /// Least value.
    pub min: T,
    /// Greatest value.
    pub max: T,
}

/// A value and its weight.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Weighted<T> {
    /// The value.
    pub value: T,
    /// How often it is drawn, relative to the other weights.
    #[schemars(range(min = 0))]
    pub weight: f64,
}

/// The 95th percentile of the standard normal law.
const NORMAL_P95: f64 = 1.644_853_626_951_472_7;

/// What a law can be over: anything that is a number underneath.
pub trait Quantity: Copy {
    /// The quantity as a number, in a unit of its own.
    fn to_number(self) -> f64;
    /// The quantity nearest to a number; negative numbers are zero.
    fn from_number(number: f64) -> Self;
}

impl Quantity for Span {
    fn to_number(self) -> f64 {
        // In 64 bits, which are 584 years: 128 take a call.
        self.duration().as_nanos() as u64 as f64
    }

    fn from_number(number: f64) -> Self {
        std::time::Duration::from_nanos(number.round() as u64).into()
    }
}

impl Quantity for Count {
    fn to_number(self) -> f64 {
        f64::from(self)
    }

    fn from_number(number: f64) -> Self {
        number.round() as Self
    }
}

impl<T: Quantity> Distribution<T> {
    /// Draws a value.
    pub fn sample(&self, random: &mut impl Rng) -> T {
        let law = match self {
            Self::Always(value) => return *value,
            Self::Law(law) => law,
        };
        let number = match law {
            Law::Constant(value) => return *value,
            Law::Exponential(Mean { mean }) => {
                let unit: f64 = Exp1.sample(random);
                mean.to_number() * unit
            }
            Law::Lognormal(law) => {
                let normal: f64 = StandardNormal.sample(random);
                law.median.to_number() * (law.sigma() * normal).exp()
            }
            Law::Uniform(Uniform { min, max }) => {
                let (min, max) = (min.to_number(), max.to_number());
                min + (max - min) * random.random::<f64>()
            }
            Law::Empirical(values) => {
                let at = random.random_range(0..values.len().max(1));
                values.get(at).map_or(0.0, |value| value.to_number())
            }
            Law::Weighted(values) => {
                let total: f64 = values.iter().map(|value| value.weight).sum();
                let mut rest = total * random.random::<f64>();
                let drawn = values.iter().find(|value| {
                    rest -= value.weight;
                    rest < 0.0
                });
                drawn
                    .or(values.last())
                    .map_or(0.0, |drawn| drawn.value.to_number())
            }
        };
        T::from_number(number)
    }

    /// The mean, as a number in the quantity's unit (nanoseconds for a span).
    #[must_use]
    pub fn mean(&self) -> f64 {
        let law = match self {
            Self::Always(value) => return value.to_number(),
            Self::Law(law) => law,
        };
        match law {
            Law::Constant(value) => value.to_number(),
            Law::Exponential(Mean { mean }) => mean.to_number(),
            Law::Lognormal(law) => law.median.to_number() * (law.sigma().powi(2) / 2.0).exp(),
            Law::Uniform(Uniform { min, max }) => f64::midpoint(min.to_number(), max.to_number()),
            Law::Empirical(values) => {
                let total: f64 = values.iter().map(|value| value.to_number()).sum();
                total / values.len().max(1) as f64
            }
            Law::Weighted(values) => {
                let weights: f64 = values.iter().map(|value| value.weight).sum();
                let total: f64 = values
                    .iter()
                    .map(|value| value.weight * value.value.to_number())
                    .sum();
                total / weights
            }
        }
    }

    /// The greatest value that is drawn at all commonly: the bound of a bounded law, the 99.9th
    /// percentile of an unbounded one.
    #[must_use]
    pub fn high(&self) -> f64 {
        let law = match self {
            Self::Always(value) => return value.to_number(),
            Self::Law(law) => law,
        };
        let greatest = |values: &mut dyn Iterator<Item = f64>| values.fold(0.0, f64::max);
        match law {
            Law::Constant(value) => value.to_number(),
            Law::Exponential(Mean { mean }) => mean.to_number() * 1000f64.ln(),
            Law::Lognormal(law) => law.median.to_number() * (law.sigma() * 3.09).exp(),
            Law::Uniform(Uniform { max, .. }) => max.to_number(),
            Law::Empirical(values) => greatest(&mut values.iter().map(|value| value.to_number())),
            Law::Weighted(values) => {
                greatest(&mut values.iter().map(|value| value.value.to_number()))
            }
        }
    }
}

impl<T: Quantity> Lognormal<T> {
    /// Standard deviation of the logarithm.
    fn sigma(&self) -> f64 {
        (self.p95.to_number() / self.median.to_number()).ln() / NORMAL_P95
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::Xoshiro256PlusPlus;

    fn sorted_sample(law: Law<Span>) -> Vec<f64> {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(1);
        let law = Distribution::Law(law);
        let mut values: Vec<f64> = (0..100_000)
            .map(|_| law.sample(&mut random).to_number() / 1e9)
            .collect();
        values.sort_by(f64::total_cmp);
        values
    }

    fn near(measured: f64, expected: f64) {
        assert!(
            (measured / expected - 1.0).abs() < 0.02,
            "{measured}, not {expected}"
        );
    }

    fn seconds(seconds: u64) -> Span {
        Span::from_secs(seconds)
    }

    #[test]
    fn a_lognormal_law_has_the_percentiles_it_is_written_with() {
        let law = Law::Lognormal(Lognormal {
            median: seconds(20),
            p95: seconds(90),
        });
        let values = sorted_sample(law);
        near(values[50_000], 20.0);
        near(values[95_000], 90.0);
    }

    #[test]
    fn an_exponential_law_has_its_mean() {
        let values = sorted_sample(Law::Exponential(Mean { mean: seconds(30) }));
        near(values.iter().sum::<f64>() / 1e5, 30.0);
    }

    #[test]
    fn a_uniform_law_stays_within_its_bounds() {
        let values = sorted_sample(Law::Uniform(Uniform {
            min: seconds(2),
            max: seconds(4),
        }));
        assert!(values[0] >= 2.0 && values[99_999] <= 4.0);
        near(values[50_000], 3.0);
    }

    #[test]
    fn a_weighted_law_draws_by_weight() {
        let value = |value, weight| Weighted {
            value: seconds(value),
            weight,
        };
        let values = sorted_sample(Law::Weighted(vec![value(1, 3.0), value(5, 1.0)]));
        near(
            values.iter().filter(|value| **value < 2.0).count() as f64,
            75_000.0,
        );
    }

    #[test]
    fn an_empirical_law_draws_nothing_but_its_values() {
        let values = sorted_sample(Law::Empirical(vec![seconds(1), seconds(3)]));
        assert!(values.iter().all(|value| [1.0, 3.0].contains(value)));
    }

    #[test]
    fn the_mean_of_a_law_is_the_mean_of_its_sample() {
        for law in [
            Law::Constant(seconds(3)),
            Law::Exponential(Mean { mean: seconds(30) }),
            Law::Lognormal(Lognormal {
                median: seconds(20),
                p95: seconds(50),
            }),
            Law::Uniform(Uniform {
                min: seconds(2),
                max: seconds(4),
            }),
            Law::Empirical(vec![seconds(1), seconds(3), seconds(9)]),
            Law::Weighted(vec![Weighted {
                value: seconds(4),
                weight: 2.5,
            }]),
        ] {
            let values = sorted_sample(law.clone());
            near(
                values.iter().sum::<f64>() / 1e5,
                Distribution::Law(law).mean() / 1e9,
            );
        }
    }
}
