//! Memory: what happens when it is full, whether it was, and whether it will be.

use super::Master;
use crate::doctor::finding::{Finding, Severity};
use crate::doctor::server::memory;
use crate::providers::ProviderSettings;
use crate::providers::redis::expiry::{KEYS_WITH_SHADOW, KEYS_WITHOUT_SHADOW};

/// Bytes that Redis needs for a key beside name and value: entries of two tables, and an object.
const KEY_BYTES: f64 = 150.0;
/// Share of the free memory from which on there is little left for a busy day.
const TIGHT: f64 = 0.7;

/// What the server does when its memory is full.
pub fn policy(master: &Master<'_>) -> Finding {
    const SUBJECT: &str = "maxmemory-policy";
    let policy = master.survey.info.text("maxmemory_policy");
    let policy = policy.or_else(|| master.setting("maxmemory-policy"));
    let policy = policy.unwrap_or("unknown").to_owned();
    let why = "Every session has a TTL, so every policy but noeviction removes sessions when memory \
               is full: an evicted session raises no end, and its visit is never committed.";
    if policy == "noeviction" {
        return Finding::new(Severity::Ok, SUBJECT, policy, why);
    }
    let remedy = "`redis-cli CONFIG SET maxmemory-policy noeviction`, and the same in redis.conf. \
                  Azure Cache for Redis: in the portal, under Settings, Advanced settings.";
    let limit = maxmemory(master);
    let (severity, what) = match limit {
        Some(limit) if limit == 0.0 => (
            Severity::Warning,
            format!("{policy}, without effect while maxmemory is 0"),
        ),
        _ => (Severity::Problem, policy),
    };
    Finding::new(severity, SUBJECT, what, why).remedy(remedy)
}

/// Whether the server evicted already.
pub fn evicted(master: &Master<'_>) -> Option<Finding> {
    let evicted = master.number("evicted_keys")?;
    let what = format!("{evicted} keys since the server's start");
    let why = "Keys that were evicted for want of memory may have been sessions.";
    Some(match evicted {
        0 => Finding::new(Severity::Ok, "evicted keys", what, why),
        _ => Finding::new(Severity::Warning, "evicted keys", what, why)
            .remedy("Give the server more memory, or sessions a server of their own."),
    })
}

/// Whether the sessions fit.
pub fn room(master: &Master<'_>) -> Finding {
    const SUBJECT: &str = "memory";
    let keys = match master.settings {
        ProviderSettings::RedisKeyspace(_) => KEYS_WITH_SHADOW,
        _ => KEYS_WITHOUT_SHADOW,
    };
    let needed = master.demand.bytes / master.masters + master.sessions() * keys * KEY_BYTES;
    let used = master.number("used_memory").unwrap_or(0) as f64;
    let sessions = master.demand.sessions_in_words();
    let limit = maxmemory(master).filter(|limit| *limit > 0.0);
    let (limit, name) = match limit {
        Some(limit) => (limit, "maxmemory"),
        None => {
            let system = master.number("total_system_memory").unwrap_or(0) as f64;
            (system, "the machine's memory, for maxmemory is 0")
        }
    };
    let free = (limit - used).max(0.0);
    let what = format!(
        "about {} for {sessions}; {} of {} are free ({name})",
        memory(needed),
        memory(free),
        memory(limit)
    );
    let why = "A full server refuses writes or evicts sessions; one without a limit is killed by the \
               system.";
    let severity = match needed {
        // A server that does not tell its limits.
        _ if limit == 0.0 => Severity::Note,
        _ if needed > free => Severity::Problem,
        _ if needed > TIGHT * free => Severity::Warning,
        _ => Severity::Ok,
    };
    let finding = Finding::new(severity, SUBJECT, what, why);
    match severity {
        Severity::Ok => finding,
        _ => finding.remedy(format!(
            "Give it {} or more, or turn compression on where the provider has it.",
            memory((used + needed) / TIGHT)
        )),
    }
}

/// The limit in bytes, 0 for none; `None` where the server does not tell it.
fn maxmemory(master: &Master<'_>) -> Option<f64> {
    let told = master.number("maxmemory").map(|bytes| bytes as f64);
    told.or_else(|| master.setting("maxmemory")?.parse().ok())
}
