//! Site time and real time.

use super::Span;
use std::time::Duration;

/// How much shorter than the site's time the run is (`time.scale`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SiteTime {
    scale: f64,
}

impl SiteTime {
    /// Site time that is `scale` times shorter in the run.
    #[must_use]
    pub const fn new(scale: f64) -> Self {
        Self { scale }
    }

    /// The real length of a span of site time.
    #[must_use]
    pub fn real(self, span: Span) -> Duration {
        // Most runs are not compressed, and a page asks for this.
        if self.scale == 1.0 {
            return span.duration();
        }
        span.duration().div_f64(self.scale)
    }

    /// The real length of a minute of site time: 60 s at scale 1.
    #[must_use]
    pub fn minute(self) -> Duration {
        self.real(Span::from_secs(60))
    }

    /// The real rate per second of a rate per second of site time.
    #[must_use]
    pub fn real_rate(self, per_second: f64) -> f64 {
        per_second * self.scale
    }
}
