//! Where and when a result is measured.

use crate::clock::Utc;
use crate::result::Environment;

/// Remembers when a run started.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(Utc);

impl Stopwatch {
    /// Starts now.
    #[must_use]
    pub fn start() -> Self {
        Self(Utc::of_the_system())
    }

    /// The environment of what ran since the start.
    #[must_use]
    pub fn environment(&self) -> Environment {
        let took = Utc::of_the_system()
            .since_epoch()
            .saturating_sub(self.0.since_epoch());
        let processors = std::thread::available_parallelism().map_or(1, |n| n.get() as u32);
        Environment {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started: self.0.to_string(),
            took_seconds: (took.as_secs_f64() * 10.0).round() / 10.0,
            system: system(),
            processor: processor().unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            processors,
            optimised: !cfg!(debug_assertions),
        }
    }
}

fn system() -> String {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{} {}", std::env::consts::OS, kernel.trim())
        .trim()
        .to_owned()
}

fn processor() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
