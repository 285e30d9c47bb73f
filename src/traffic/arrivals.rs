//! When contacts arrive: the open-loop schedule as data.
//!
//! Instants come from the schedule alone and never from the site's state, so a slow store cannot
//! make its own load lighter (coordinated omission).

use super::draw::{Draw, generator};
use super::settings::{self, Population};
use crate::clock::Instant;
use crate::quantity::SiteTime;
use rand::RngExt;
use rand::rngs::Xoshiro256PlusPlus;
use rand_distr::{Distribution as _, Exp1};
use std::time::Duration;

/// Instants at which contacts arrive, in order, up to the end of the traffic.
#[derive(Debug)]
pub struct Arrivals {
    law: ArrivalLaw,
    random: Xoshiro256PlusPlus,
    /// Seconds of real time since the start of the run.
    now: f64,
    end: f64,
}

#[derive(Debug)]
enum ArrivalLaw {
    /// Every so many seconds.
    Even { gap: f64 },
    /// Poisson with a rate that changes; thinned from the highest rate.
    Poisson { rates: Vec<Piece>, highest: f64 },
    /// One of each contact of a closed population.
    Population { gap: f64, left: u32 },
}

/// The rate during a part of the run, linear between its ends. All in real seconds.
#[derive(Debug, Clone, Copy)]
struct Piece {
    from: f64,
    until: f64,
    start_rate: f64,
    end_rate: f64,
}

impl Piece {
    fn rate(&self, at: f64) -> f64 {
        let part = (at - self.from) / (self.until - self.from);
        self.start_rate + (self.end_rate - self.start_rate) * part
    }
}

impl Arrivals {
    /// Open-loop arrivals over a run of this real length.
    #[must_use]
    pub fn open(
        arrivals: &settings::Arrivals,
        seed: u64,
        time: SiteTime,
        length: Duration,
    ) -> Self {
        let end = length.as_secs_f64();
        let rate = |rate: crate::quantity::Rate| time.real_rate(rate.per_second());
        let whole = |start_rate, end_rate| Piece {
            from: 0.0,
            until: end,
            start_rate,
            end_rate,
        };
        let law = match arrivals {
            settings::Arrivals::Constant(constant) => ArrivalLaw::Even {
                gap: 1.0 / rate(constant.rate),
            },
            settings::Arrivals::Poisson(constant) => {
                let steady = rate(constant.rate);
                ArrivalLaw::poisson(vec![whole(steady, steady)])
            }
            settings::Arrivals::Ramp(ramp) => {
                ArrivalLaw::poisson(vec![whole(rate(ramp.from), rate(ramp.to))])
            }
            settings::Arrivals::Steps(steps) => {
                let mut from = 0.0;
                let mut pieces = Vec::with_capacity(steps.len());
                for (at, step) in steps.iter().enumerate() {
                    let until = match at + 1 == steps.len() {
                        true => end.max(from),
                        false => from + time.real(step.lasts).as_secs_f64(),
                    };
                    let steady = rate(step.rate);
                    pieces.push(Piece {
                        from,
                        until,
                        start_rate: steady,
                        end_rate: steady,
                    });
                    from = until;
                }
                ArrivalLaw::poisson(pieces)
            }
            settings::Arrivals::Spike(spike) => {
                let at = time.real(spike.at).as_secs_f64();
                let over = at + time.real(spike.lasts).as_secs_f64();
                let piece = |from, until, steady| Piece {
                    from,
                    until,
                    start_rate: steady,
                    end_rate: steady,
                };
                ArrivalLaw::poisson(vec![
                    piece(0.0, at, rate(spike.base)),
                    piece(at, over, rate(spike.peak)),
                    piece(over, end.max(over), rate(spike.base)),
                ])
            }
        };
        Self::new(law, seed, end)
    }

    /// The first arrivals of a closed population.
    #[must_use]
    pub fn closed(population: &Population, seed: u64, time: SiteTime, length: Duration) -> Self {
        let spread = time.real(population.spread).as_secs_f64();
        let law = ArrivalLaw::Population {
            gap: spread / f64::from(population.size.max(1)),
            left: population.size,
        };
        Self::new(law, seed, length.as_secs_f64())
    }

    /// No arrivals.
    #[must_use]
    pub fn none() -> Self {
        Self::new(ArrivalLaw::Population { gap: 0.0, left: 0 }, 0, 0.0)
    }

    fn new(law: ArrivalLaw, seed: u64, end: f64) -> Self {
        let random = generator(seed, Draw::Arrivals, &[]);
        Self {
            law,
            random,
            now: 0.0,
            end,
        }
    }
}

impl ArrivalLaw {
    fn poisson(rates: Vec<Piece>) -> Self {
        let ends = rates
            .iter()
            .flat_map(|piece| [piece.start_rate, piece.end_rate]);
        let highest = ends.fold(0.0, f64::max);
        Self::Poisson { rates, highest }
    }
}

impl Iterator for Arrivals {
    type Item = Instant;

    fn next(&mut self) -> Option<Instant> {
        let at = match &mut self.law {
            ArrivalLaw::Even { gap } => {
                let at = self.now;
                self.now += *gap;
                at
            }
            ArrivalLaw::Poisson { rates, highest } => loop {
                let unit: f64 = Exp1.sample(&mut self.random);
                self.now += unit / *highest;
                // Where nobody ever comes, the rate is 0 and the instant may be no number.
                if self.now.is_nan() || self.now >= self.end {
                    return None;
                }
                let now = self.now;
                let piece = rates.iter().find(|piece| now < piece.until);
                let rate = piece.map_or(0.0, |piece| piece.rate(now));
                if self.random.random::<f64>() * *highest < rate {
                    break now;
                }
            },
            ArrivalLaw::Population { gap, left } => {
                *left = left.checked_sub(1)?;
                let at = self.now;
                self.now += *gap;
                at
            }
        };
        (at < self.end).then(|| Instant::from_nanos((at * 1e9) as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantity::Span;
    use crate::traffic::settings::{ConstantRate, Ramp, Spike, Step};
    use proptest::prelude::*;

    const REAL: SiteTime = SiteTime::new(1.0);

    fn times(arrivals: &settings::Arrivals, seconds: u64) -> Vec<f64> {
        Arrivals::open(arrivals, 1, REAL, Duration::from_secs(seconds))
            .map(|at| at.as_nanos() as f64 / 1e9)
            .collect()
    }

    fn constant(rate: &str) -> ConstantRate {
        ConstantRate {
            rate: rate.parse().unwrap(),
        }
    }

    fn between(times: &[f64], from: f64, until: f64) -> usize {
        times
            .iter()
            .filter(|at| (from..until).contains(*at))
            .count()
    }

    #[test]
    fn constant_arrivals_are_evenly_spaced() {
        let times = times(&settings::Arrivals::Constant(constant("2/s")), 2);
        assert_eq!(times, [0.0, 0.5, 1.0, 1.5]);
    }

    #[test]
    fn poisson_arrivals_have_their_rate_and_its_scatter() {
        let times = times(&settings::Arrivals::Poisson(constant("600/min")), 1000);
        // 10 000 expected, with a standard deviation of 100.
        assert!((9_600..10_400).contains(&times.len()), "{}", times.len());
        let busy = (0..1000)
            .filter(|&s| between(&times, s as f64, s as f64 + 1.0) > 16)
            .count();
        // P(X > 16) = 2.7 % for a Poisson law of mean 10.
        assert!((10..60).contains(&busy), "{busy}");
    }

    #[test]
    fn a_ramp_has_three_times_as_many_arrivals_in_its_second_half() {
        let ramp = Ramp {
            from: "0/s".parse().unwrap(),
            to: "20/s".parse().unwrap(),
        };
        let times = times(&settings::Arrivals::Ramp(ramp), 1000);
        let ratio = between(&times, 500.0, 1000.0) as f64 / between(&times, 0.0, 500.0) as f64;
        assert!((2.7..3.3).contains(&ratio), "{ratio}");
    }

    #[test]
    fn the_last_step_lasts_to_the_end() {
        let step = |lasts: u64, rate: &str| Step {
            lasts: Span::from_secs(lasts),
            rate: rate.parse().unwrap(),
        };
        let steps = settings::Arrivals::Steps(vec![step(100, "0/s"), step(1, "10/s")]);
        let times = times(&steps, 1000);
        assert_eq!(between(&times, 0.0, 100.0), 0);
        assert!((8_600..9_400).contains(&between(&times, 100.0, 1000.0)));
    }

    #[test]
    fn a_spike_is_where_it_is_said_to_be() {
        let spike = Spike {
            base: "1/s".parse().unwrap(),
            peak: "100/s".parse().unwrap(),
            at: Span::from_secs(50),
            lasts: Span::from_secs(10),
        };
        let times = times(&settings::Arrivals::Spike(spike), 100);
        assert!((850..1150).contains(&between(&times, 50.0, 60.0)));
        assert!(times.len() - between(&times, 50.0, 60.0) < 140);
    }

    #[test]
    fn a_scale_of_60_brings_60_times_as_many_contacts_per_second() {
        let poisson = settings::Arrivals::Poisson(constant("60/min"));
        let scaled = Arrivals::open(&poisson, 1, SiteTime::new(60.0), Duration::from_secs(100));
        let count = scaled.count();
        assert!((5_700..6_300).contains(&count), "{count}");
    }

    #[test]
    fn a_population_arrives_once_each_over_its_spread() {
        let population = Population {
            size: 4,
            pause: crate::quantity::Distribution::Always(Span::from_secs(1)),
            spread: Span::from_secs(8),
        };
        let closed = Arrivals::closed(&population, 1, REAL, Duration::from_secs(100));
        let seconds: Vec<_> = closed.map(|at| at.as_nanos() / 1_000_000_000).collect();
        assert_eq!(seconds, [0, 2, 4, 6]);
    }

    proptest! {
        #[test]
        fn arrivals_never_go_back_or_past_the_end(seed: u64, rate in 0.0..500.0f64, end in 1u64..20) {
            let law = settings::Arrivals::Poisson(constant(&format!("{rate}/s")));
            let mut last = Instant::START;
            for at in Arrivals::open(&law, seed, REAL, Duration::from_secs(end)) {
                prop_assert!(at >= last && at < Instant::START + Duration::from_secs(end));
                last = at;
            }
        }
    }
}
