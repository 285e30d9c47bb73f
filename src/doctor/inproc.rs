//! What there is to know of sessions in the web servers' own processes (facts §3.2): there is no
//! server to ask.

use super::demand::Demand;
use super::finding::{Finding, Severity};
use super::server::memory;

/// Judges by the design alone.
pub fn judge(demand: &Demand) -> Vec<Finding> {
    let each = demand.bytes / f64::from(demand.cd_servers.max(1));
    vec![
        Finding::new(
            Severity::Note,
            "persistence",
            "sessions live in the web server's process",
            "A recycled application pool loses every session and its end.",
        )
        .remedy("Recycle when nobody visits, or use a store of its own."),
        Finding::new(
            Severity::Ok,
            "expiry",
            "up to 20 s late",
            "The cache looks for expired sessions every 20 s.",
        ),
        Finding::new(
            Severity::Ok,
            "memory",
            format!(
                "about {} on each web server for {} on {}",
                memory(each),
                demand.sessions_in_words(),
                demand.cd_servers
            ),
            "The cache may trim itself when memory is short.",
        ),
    ]
}
