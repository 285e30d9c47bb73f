//! What our state server tells of itself, on a target that no session has.
//!
//! In: counters. Out: lines of `name value` for `GET /sessionbench/statistics`, and back. A genuine
//! state server knows no such session and answers 404, so whoever asks learns which of both it is.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

/// Where a server of ours tells.
pub const TARGET: &str = "/sessionbench/statistics";

/// What a server did since its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Requests that it answered, those for statistics among them.
    pub requests: u64,
    /// Sessions that it stored for the first time.
    pub created: u64,
    /// Sessions that clients removed.
    pub removed: u64,
    /// Sessions that expired.
    pub expired: u64,
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes sent.
    pub bytes_out: u64,
}

/// What a server tells.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Statistics {
    /// Version of sessionbench.
    pub version: String,
    /// Its process.
    pub process_id: u32,
    /// How long a minute lasts on it.
    pub minute: Duration,
    /// CPU time since its start, in seconds; 0 where the system does not tell.
    pub cpu_seconds: f64,
    /// Memory in use, in bytes; 0 where the system does not tell.
    pub memory_bytes: u64,
    /// Sessions that it holds.
    pub sessions: u64,
    /// Open connections.
    pub clients: u64,
    /// What it did since its start.
    pub counts: Counts,
}

impl Statistics {
    /// As it is told.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut text = String::new();
        let mut line = |name: &str, value: &dyn std::fmt::Display| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{name} {value}");
        };
        line("version", &self.version);
        line("process_id", &self.process_id);
        line("minute_nanos", &self.minute.as_nanos());
        line("cpu_seconds", &self.cpu_seconds);
        line("memory_bytes", &self.memory_bytes);
        line("sessions", &self.sessions);
        line("clients", &self.clients);
        line("requests", &self.counts.requests);
        line("created", &self.counts.created);
        line("removed", &self.counts.removed);
        line("expired", &self.counts.expired);
        line("bytes_in", &self.counts.bytes_in);
        line("bytes_out", &self.counts.bytes_out);
        text.into_bytes()
    }

    /// Reads what a server told; `None` when a needed line is missing or no number.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let lines: BTreeMap<_, _> = text
            .lines()
            .filter_map(|line| line.split_once(' '))
            .collect();
        let number = |name: &str| lines.get(name)?.parse::<u64>().ok();
        Some(Self {
            version: (*lines.get("version")?).to_owned(),
            process_id: lines.get("process_id")?.parse().ok()?,
            minute: Duration::from_nanos(number("minute_nanos")?),
            cpu_seconds: lines.get("cpu_seconds")?.parse().ok()?,
            memory_bytes: number("memory_bytes")?,
            sessions: number("sessions")?,
            clients: number("clients")?,
            counts: Counts {
                requests: number("requests")?,
                created: number("created")?,
                removed: number("removed")?,
                expired: number("expired")?,
                bytes_in: number("bytes_in")?,
                bytes_out: number("bytes_out")?,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_can_be_read() {
        let told = Statistics {
            version: "1.2.3".to_owned(),
            process_id: 7,
            minute: Duration::from_nanos(8_571_428_571),
            cpu_seconds: 1.25,
            memory_bytes: 4096,
            sessions: 2,
            clients: 1,
            counts: Counts {
                requests: 9,
                expired: 4,
                ..Counts::default()
            },
        };
        assert_eq!(Statistics::decode(&told.encode()), Some(told));
    }

    #[test]
    fn the_content_of_a_session_is_no_statistics() {
        assert_eq!(Statistics::decode(&[20, 0, 0, 0, 0, 0, 0xFF]), None);
    }
}
