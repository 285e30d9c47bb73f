//! What is asked of a Redis server beside the sessions: who it is, what it uses, whether it sends
//! notifications, and that nothing of ours remains.
//!
//! All of it runs on a connection of its own, so that the connections of the traffic stay as they
//! are. The surprising fact: there is no command for "the keys of this application"; SCAN walks the
//! whole database, so samples take one small step at a time. And SCAN deletes every expired key that
//! it returns, which raises `expired`: a sample that looked at shadow keys would end the very
//! sessions whose lateness is measured.

use super::application::{Application, Owner};
use super::connection::{Connections, store_error};
use crate::providers::StoreSample;
use crate::session::{RequestContext, StoreError};
use redis::{Cmd, FromRedisValue, cmd};
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

/// Sessions whose memory is asked for in one sample.
const SAMPLED_SESSIONS: usize = 5;
/// Steps of SCAN in one sample.
const SAMPLE_STEPS: u32 = 5;
/// Keys that SCAN looks at in one step.
const SAMPLE_STEP: usize = 100;
/// The same for cleaning up.
const CLEANUP_STEP: usize = 1000;
/// Walks through the database to clean up; two are enough where nobody else uses our names.
const CLEANUP_WALKS: usize = 5;
/// Keys that are added in one go.
const FILL_STEP: u32 = 10_000;

/// Settings that decide how a server treats sessions; they go into the result.
const SETTINGS: [&str; 14] = [
    "active-expire-effort",
    "appendonly",
    "client-output-buffer-limit",
    "databases",
    "dynamic-hz",
    "hz",
    "io-threads",
    "lazyfree-lazy-expire",
    "lfu-decay-time",
    "maxclients",
    "maxmemory",
    "maxmemory-policy",
    "notify-keyspace-events",
    "save",
];

/// The administrator's connection.
pub struct Admin {
    connections: Connections,
    application: Application,
    cursor: Cell<u64>,
}

impl Admin {
    /// An administrator of one application's keys.
    #[must_use]
    pub fn new(connections: Connections, application: Application) -> Self {
        Self {
            connections,
            application,
            cursor: Cell::new(0),
        }
    }

    async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, StoreError> {
        let value = self
            .connections
            .command(&RequestContext::default(), command)
            .await?;
        redis::from_redis_value(value).map_err(|error| StoreError::Refused(error.to_string()))
    }

    /// The server's version and process id.
    ///
    /// # Errors
    /// The server cannot be asked.
    pub async fn identity(&self) -> Result<(String, String), StoreError> {
        let info: String = self.ask(cmd("INFO").arg("server")).await?;
        let info = Info::read(&info);
        let text = |name| info.text(name).unwrap_or_default().to_owned();
        Ok((text("redis_version"), text("process_id")))
    }

    /// The settings that decide how the server treats sessions; none where CONFIG is not allowed.
    pub async fn settings(&self) -> BTreeMap<String, String> {
        let asked = self
            .ask::<BTreeMap<String, String>>(cmd("CONFIG").arg("GET").arg("*"))
            .await;
        let mut settings = asked.unwrap_or_default();
        settings.retain(|name, _| SETTINGS.contains(&name.as_str()));
        settings
    }

    /// The flags of `notify-keyspace-events`; `None` where CONFIG is not allowed.
    pub async fn notifications(&self) -> Option<String> {
        let mut settings = self
            .ask::<BTreeMap<String, String>>(cmd("CONFIG").arg("GET").arg("notify-keyspace-events"))
            .await
            .ok()?;
        settings.remove("notify-keyspace-events")
    }

    /// Sets the flags of `notify-keyspace-events`.
    ///
    /// # Errors
    /// The server cannot be asked or refuses.
    pub async fn set_notifications(&self, flags: &str) -> Result<(), StoreError> {
        self.ask(
            cmd("CONFIG")
                .arg("SET")
                .arg("notify-keyspace-events")
                .arg(flags),
        )
        .await
    }

    /// What the server uses right now.
    ///
    /// # Errors
    /// The server cannot be asked.
    pub async fn sample(&self) -> Result<StoreSample, StoreError> {
        let info: String = self.ask(&cmd("INFO")).await?;
        let keys: u64 = self.ask(&cmd("DBSIZE")).await?;
        let info = Info::read(&info);
        let cpu = |name| info.number::<f64>(name);
        Ok(StoreSample {
            memory_bytes: info.number("used_memory"),
            cpu_seconds: cpu("used_cpu_sys")
                .zip(cpu("used_cpu_user"))
                .map(|(s, u)| s + u),
            commands: info.number("total_commands_processed"),
            keys: Some(keys),
            volatile_keys: Some(info.volatile_keys()),
            expired_keys: info.number("expired_keys"),
            evicted_keys: info.number("evicted_keys"),
            bytes_in: info.number("total_net_input_bytes"),
            bytes_out: info.number("total_net_output_bytes"),
            clients: info.number("connected_clients"),
            bytes_per_session: self.bytes_per_session().await?,
        })
    }

    /// Mean memory of a few sessions, from where the last sample stopped.
    async fn bytes_per_session(&self) -> Result<Option<u64>, StoreError> {
        let mut sessions = BTreeSet::new();
        let pattern = self.application.sample_pattern();
        for _ in 0..SAMPLE_STEPS {
            let keys = self.scan(&pattern, SAMPLE_STEP).await?;
            sessions.extend(keys.iter().filter_map(|key| self.session_prefix(key)));
            if sessions.len() >= SAMPLED_SESSIONS || self.cursor.get() == 0 {
                break;
            }
        }
        let mut bytes = 0;
        let mut counted = 0;
        for prefix in sessions.into_iter().take(SAMPLED_SESSIONS) {
            let mut session = 0;
            for suffix in super::layout::SUFFIXES {
                let key = format!("{prefix}{suffix}");
                let used: Option<u64> = self.ask(cmd("MEMORY").arg("USAGE").arg(key)).await?;
                session += used.unwrap_or(0);
            }
            // A session may have ended since SCAN saw it.
            if session > 0 {
                bytes += session;
                counted += 1;
            }
        }
        Ok(bytes.checked_div(counted))
    }

    fn session_prefix(&self, key: &str) -> Option<String> {
        let Owner::Session(id) = self.application.owner(key)? else {
            return None;
        };
        let id = id.to_string();
        let end = key.rfind(&id)? + id.len();
        // In most layouts the brace that was opened before the application closes after the id.
        let end = end + usize::from(key[end..].starts_with('}'));
        Some(key[..end].to_owned())
    }

    /// One step of SCAN over keys that match.
    async fn scan(&self, pattern: &str, step: usize) -> Result<Vec<String>, StoreError> {
        let (cursor, keys): (u64, Vec<Vec<u8>>) = self
            .ask(
                cmd("SCAN")
                    .arg(self.cursor.get())
                    .arg("MATCH")
                    .arg(pattern)
                    .arg("COUNT")
                    .arg(step),
            )
            .await?;
        self.cursor.set(cursor);
        // A key that is not UTF-8 is not ours.
        Ok(keys
            .into_iter()
            .filter_map(|key| String::from_utf8(key).ok())
            .collect())
    }

    /// Deletes every key of ours, and nothing else. A command that was on its way when the
    /// connections were shut may write once more, so the walk is repeated until it finds nothing.
    ///
    /// # Errors
    /// The server cannot be asked; or keys of ours appear as fast as they are deleted.
    pub async fn clean_up(&self) -> Result<(), StoreError> {
        let mut found = 0;
        for _ in 0..CLEANUP_WALKS {
            found = self.delete_own_keys().await?;
            if found == 0 {
                return Ok(());
            }
        }
        Err(StoreError::Refused(format!(
            "keys of ours keep appearing, {found} in the last walk: does another run use this name?"
        )))
    }

    /// One walk through the database; returns how many keys it deleted.
    async fn delete_own_keys(&self) -> Result<u64, StoreError> {
        let mut deleted = 0;
        self.cursor.set(0);
        loop {
            let pattern = self.application.pattern();
            let mut keys = self.scan(&pattern, CLEANUP_STEP).await?;
            keys.retain(|key| self.application.owner(key).is_some());
            if !keys.is_empty() {
                deleted += self.ask::<u64>(cmd("UNLINK").arg(&keys)).await?;
            }
            if self.cursor.get() == 0 {
                return Ok(deleted);
            }
        }
    }
}

/// Adds keys that live for an hour, as other applications' would.
///
/// # Errors
/// The server cannot be asked or refuses.
pub async fn fill(client: &redis::Client, keys: u32) -> Result<(), StoreError> {
    if keys == 0 {
        return Ok(());
    }
    let config = redis::AsyncConnectionConfig::new()
        .set_connection_timeout(None)
        .set_response_timeout(None);
    let mut connection = client
        .get_multiplexed_async_connection_with_config(&config)
        .await
        .map_err(store_error)?;
    for start in (0..keys).step_by(FILL_STEP as usize) {
        let mut batch = redis::pipe();
        for number in start..keys.min(start.saturating_add(FILL_STEP)) {
            let key = format!("other:{number}");
            batch
                .cmd("SET")
                .arg(key)
                .arg(1)
                .arg("EX")
                .arg(3600)
                .ignore();
        }
        let () = batch
            .query_async(&mut connection)
            .await
            .map_err(store_error)?;
    }
    Ok(())
}

/// Flags of `notify-keyspace-events`, and those that are needed.
#[must_use]
pub fn with_flags(flags: &str, needed: &str) -> String {
    let missing = needed.chars().filter(|flag| !has_flag(flags, *flag));
    flags.chars().chain(missing).collect()
}

/// Whether flags cover what is needed; `A` stands for all classes of events, `x` among them.
#[must_use]
pub fn has_flags(flags: &str, needed: &str) -> bool {
    needed.chars().all(|flag| has_flag(flags, flag))
}

fn has_flag(flags: &str, flag: char) -> bool {
    flags.contains(flag) || (flag == 'x' && flags.contains('A'))
}

/// What INFO answers: lines of `name:value` under headings.
struct Info<'a>(BTreeMap<&'a str, &'a str>);

impl<'a> Info<'a> {
    fn read(text: &'a str) -> Self {
        Self(
            text.lines()
                .filter_map(|line| line.split_once(':'))
                .collect(),
        )
    }

    fn text(&self, name: &str) -> Option<&'a str> {
        self.0.get(name).map(|value| value.trim())
    }

    fn number<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.text(name)?.parse().ok()
    }

    /// Keys that expire, of all databases: `db0:keys=3,expires=2,avg_ttl=0`.
    fn volatile_keys(&self) -> u64 {
        self.0
            .iter()
            .filter(|(name, _)| {
                name.strip_prefix("db")
                    .is_some_and(|number| number.parse::<u32>().is_ok())
            })
            .filter_map(|(_, value)| {
                value
                    .split(',')
                    .find_map(|part| part.strip_prefix("expires="))
            })
            .filter_map(|number| number.parse::<u64>().ok())
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volatile_keys_are_summed_over_databases() {
        let info =
            "# Keyspace\r\ndb0:keys=3,expires=2,avg_ttl=0\r\ndb5:keys=9,expires=7,avg_ttl=1\r\n";
        assert_eq!(Info::read(info).volatile_keys(), 9);
    }

    #[test]
    fn the_class_of_all_events_holds_the_expired_ones() {
        assert!(has_flags("AK", "Kx"));
        assert!(!has_flags("AE", "Kx"));
        assert_eq!(with_flags("gE", "Kx"), "gEKx");
    }
}
