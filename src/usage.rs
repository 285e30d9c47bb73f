//! What this process uses. The generator of the load must not be what is measured; and the state
//! server, which is this program too, tells what it used.

use std::time::Duration;

/// CPU time and memory of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ProcessUse {
    /// CPU time since the start of the process, in user and system mode.
    pub cpu: Duration,
    /// Memory in use, in bytes.
    pub memory: u64,
}

impl ProcessUse {
    /// Reads the figures; zeros where the system does not tell.
    #[must_use]
    pub fn now() -> Self {
        Self {
            cpu: cpu_time(),
            memory: memory(),
        }
    }
}

#[cfg(target_os = "linux")]
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[cfg(target_os = "linux")]
fn memory() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|line| {
            let resident = line.split_whitespace().nth(1)?;
            resident.parse::<u64>().ok()
        });
    pages.unwrap_or(0) * rustix::param::page_size() as u64
}

#[cfg(not(target_os = "linux"))]
fn cpu_time() -> Duration {
    Duration::ZERO
}

#[cfg(not(target_os = "linux"))]
fn memory() -> u64 {
    0
}
