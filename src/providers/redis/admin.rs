//! What is asked of Redis beside the sessions: who it is, what it uses, whether it sends
//! notifications, and that nothing of ours remains. Of a cluster every master is asked.
//!
//! All of it runs on connections of its own, so that the connections of the traffic stay as they
//! are. The surprising fact: there is no command for "the keys of this application"; SCAN walks the
//! whole database, so samples take one small step at a time. And SCAN deletes every expired key that
//! it returns, which raises `expired`: a sample that looked at shadow keys would end the very
//! sessions whose lateness is measured.

use super::address::Address;
use super::application::{Application, Owner};
use super::connection::Connections;
use super::slots;
use crate::providers::StoreSample;
use crate::session::{RequestContext, StoreError};
use futures_util::future::try_join_all;
use redis::{Cmd, FromRedisValue, cmd};
use std::cell::{Cell, RefCell};
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
/// Keys that are added at once.
const FILL_STEP: u32 = 2000;

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

/// The administrator's connections.
pub struct Admin {
    connections: Connections,
    application: Application,
    /// Where the last sample of each master stopped.
    cursors: RefCell<BTreeMap<Address, u64>>,
    /// How often the server was asked what it received.
    counted: Cell<u64>,
}

impl Admin {
    /// An administrator of one application's keys.
    #[must_use]
    pub fn new(connections: Connections, application: Application) -> Self {
        Self {
            connections,
            application,
            cursors: RefCell::default(),
            counted: Cell::new(0),
        }
    }

    /// Whose keys they are.
    #[must_use]
    pub const fn application(&self) -> &Application {
        &self.application
    }

    /// The connections.
    #[must_use]
    pub const fn connections(&self) -> &Connections {
        &self.connections
    }

    /// Every master as of now: our commands are never sent elsewhere, so nothing else would tell us of
    /// a new one, and what lies there would be neither counted nor removed.
    ///
    /// # Errors
    /// None can be found.
    pub async fn masters(&self) -> Result<Vec<Address>, StoreError> {
        let topology = self.connections.topology();
        topology.refresh().await;
        let limit = topology.dialer().limit();
        let masters = topology.masters().await;
        masters.map_err(|failure| failure.into_store_error(limit))
    }

    /// Asks one server, about itself.
    ///
    /// # Errors
    /// It cannot be asked, refuses, or answers what was not asked for.
    pub async fn ask<T: FromRedisValue>(
        &self,
        at: &Address,
        command: &Cmd,
    ) -> Result<T, StoreError> {
        let request = RequestContext::default();
        let value = self.connections.command_at(at, &request, command).await;
        typed(value?)
    }

    /// Asks about keys, whichever master has them by now.
    async fn ask_owner<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, StoreError> {
        let request = RequestContext::default();
        typed(self.connections.command(&request, command).await?)
    }

    /// A server's version and process id.
    ///
    /// # Errors
    /// The server cannot be asked.
    pub async fn identity(&self, at: &Address) -> Result<(String, String), StoreError> {
        let info: String = self.ask(at, cmd("INFO").arg("server")).await?;
        let info = Info::read(&info);
        let text = |name| info.text(name).unwrap_or_default().to_owned();
        Ok((text("redis_version"), text("process_id")))
    }

    /// All settings of a server; `None` where CONFIG is not allowed.
    pub async fn config(&self, at: &Address) -> Option<BTreeMap<String, String>> {
        let asked = self.ask(at, cmd("CONFIG").arg("GET").arg("*")).await;
        asked.ok()
    }

    /// The settings that decide how a server treats sessions; none where CONFIG is not allowed.
    pub async fn settings(&self, at: &Address) -> BTreeMap<String, String> {
        let mut settings = self.config(at).await.unwrap_or_default();
        settings.retain(|name, _| SETTINGS.contains(&name.as_str()));
        settings
    }

    /// The flags of a server's `notify-keyspace-events`; `None` where CONFIG is not allowed.
    pub async fn notifications(&self, at: &Address) -> Option<String> {
        let asked = cmd("CONFIG")
            .arg("GET")
            .arg("notify-keyspace-events")
            .take();
        let mut settings = self
            .ask::<BTreeMap<String, String>>(at, &asked)
            .await
            .ok()?;
        settings.remove("notify-keyspace-events")
    }

    /// Sets the flags of a server's `notify-keyspace-events`.
    ///
    /// # Errors
    /// The server cannot be asked or refuses.
    pub async fn set_notifications(&self, at: &Address, flags: &str) -> Result<(), StoreError> {
        let set = cmd("CONFIG")
            .arg("SET")
            .arg("notify-keyspace-events")
            .arg(flags)
            .take();
        self.ask(at, &set).await
    }

    /// What the masters use right now, together.
    ///
    /// # Errors
    /// One of them cannot be asked.
    pub async fn sample(&self) -> Result<StoreSample, StoreError> {
        let masters = self.masters().await?;
        let samples = try_join_all(masters.iter().map(|at| self.sample_at(at))).await?;
        let costs = samples.iter().filter_map(|sample| sample.bytes_per_session);
        let counted = costs.clone().count() as u64;
        let bytes_per_session = costs.sum::<u64>().checked_div(counted);
        let together = samples.into_iter().reduce(StoreSample::plus);
        Ok(StoreSample {
            bytes_per_session,
            ..together.unwrap_or_default()
        })
    }

    async fn sample_at(&self, at: &Address) -> Result<StoreSample, StoreError> {
        let info: String = self.ask(at, &cmd("INFO")).await?;
        let keys: u64 = self.ask(at, &cmd("DBSIZE")).await?;
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
            bytes_per_session: self.bytes_per_session(at).await?,
        })
    }

    /// Commands that clients have sent, without those of this question; `None` where there are
    /// several masters, which are asked where keys are as well. Redis counts commands inside scripts
    /// with the others, so reads from sockets are taken: one for each command that is sent alone and
    /// fits into 16 KiB.
    ///
    /// # Errors
    /// The server cannot be asked.
    pub async fn commands_received(&self) -> Result<Option<u64>, StoreError> {
        let masters = self.masters().await?;
        let [at] = masters.as_slice() else {
            return Ok(None);
        };
        let info: String = self.ask(at, cmd("INFO").arg("stats")).await?;
        self.counted.set(self.counted.get() + 1);
        let reads = Info::read(&info).number::<u64>("total_reads_processed");
        Ok(reads.map(|reads| reads.saturating_sub(self.counted.get())))
    }

    /// Mean memory of a few of a master's sessions, from where its last sample stopped.
    async fn bytes_per_session(&self, at: &Address) -> Result<Option<u64>, StoreError> {
        let mut sessions = BTreeSet::new();
        let pattern = self.application.sample_pattern();
        let mut cursor = self.cursors.borrow().get(at).copied().unwrap_or(0);
        for _ in 0..SAMPLE_STEPS {
            let keys;
            (cursor, keys) = self.scan(at, cursor, &pattern, SAMPLE_STEP).await?;
            sessions.extend(keys.iter().filter_map(|key| self.session_prefix(key)));
            if sessions.len() >= SAMPLED_SESSIONS || cursor == 0 {
                break;
            }
        }
        self.cursors.borrow_mut().insert(at.clone(), cursor);
        let mut bytes = 0;
        let mut counted = 0;
        for prefix in sessions.into_iter().take(SAMPLED_SESSIONS) {
            let mut session = 0;
            for suffix in super::layout::SUFFIXES {
                let key = format!("{prefix}{suffix}");
                let asked = cmd("MEMORY").arg("USAGE").arg(key).take();
                let used: Option<u64> = self.ask_owner(&asked).await?;
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

    /// One step of SCAN over a master's keys that match; returns where the next one starts.
    async fn scan(
        &self,
        at: &Address,
        cursor: u64,
        pattern: &str,
        step: usize,
    ) -> Result<(u64, Vec<String>), StoreError> {
        let scan = cmd("SCAN")
            .arg(cursor)
            .arg("MATCH")
            .arg(pattern)
            .arg("COUNT")
            .arg(step)
            .take();
        let (cursor, keys): (u64, Vec<Vec<u8>>) = self.ask(at, &scan).await?;
        // A key that is not UTF-8 is not ours.
        let keys = keys
            .into_iter()
            .filter_map(|key| String::from_utf8(key).ok());
        Ok((cursor, keys.collect()))
    }

    /// Deletes every key of ours, and nothing else. A command that was on its way when the
    /// connections were shut may write once more, so the walk is repeated until it finds nothing.
    ///
    /// # Errors
    /// The server cannot be asked; or keys of ours appear as fast as they are deleted.
    pub async fn clean_up(&self) -> Result<(), StoreError> {
        let mut found = 0;
        for _ in 0..CLEANUP_WALKS {
            let masters = self.masters().await?;
            let walks = masters.iter().map(|at| self.delete_own_keys(at));
            found = try_join_all(walks).await?.into_iter().sum();
            if found == 0 {
                return Ok(());
            }
        }
        Err(StoreError::Refused(format!(
            "keys of ours keep appearing, {found} in the last walk: does another run use this name?"
        )))
    }

    /// One walk through a master's keys; returns how many it deleted.
    async fn delete_own_keys(&self, at: &Address) -> Result<u64, StoreError> {
        let mut deleted = 0;
        let mut cursor = 0;
        let pattern = self.application.pattern();
        loop {
            let mut keys;
            (cursor, keys) = self.scan(at, cursor, &pattern, CLEANUP_STEP).await?;
            keys.retain(|key| self.application.owner(key).is_some());
            deleted += self.unlink(keys).await?;
            if cursor == 0 {
                return Ok(deleted);
            }
        }
    }

    /// Deletes keys; in a cluster a command takes those of one slot only.
    async fn unlink(&self, keys: Vec<String>) -> Result<u64, StoreError> {
        let in_cluster = self.connections.topology().is_cluster();
        let mut slots: BTreeMap<u16, Vec<String>> = BTreeMap::new();
        for key in keys {
            let slot = if in_cluster {
                slots::slot(key.as_bytes())
            } else {
                0
            };
            slots.entry(slot).or_default().push(key);
        }
        let unlinks = slots
            .into_values()
            .map(async |keys| self.ask_owner::<u64>(cmd("UNLINK").arg(&keys)).await);
        Ok(try_join_all(unlinks).await?.into_iter().sum())
    }
}

fn typed<T: FromRedisValue>(value: redis::Value) -> Result<T, StoreError> {
    redis::from_redis_value(value).map_err(|error| StoreError::Refused(error.to_string()))
}

/// Adds keys that live for an hour, as other applications' would.
///
/// # Errors
/// The server cannot be asked or refuses.
pub async fn fill(connections: &Connections, keys: u32) -> Result<(), StoreError> {
    for start in (0..keys).step_by(FILL_STEP as usize) {
        let numbers = start..keys.min(start.saturating_add(FILL_STEP));
        try_join_all(numbers.map(async |number| {
            let set = cmd("SET")
                .arg(format!("other:{number}"))
                .arg(1)
                .arg("EX")
                .arg(3600)
                .take();
            let request = RequestContext::default();
            connections.command(&request, &set).await
        }))
        .await?;
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

/// What INFO answers: lines of `name:value` under headings. CLUSTER INFO answers alike.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Info(BTreeMap<String, String>);

impl Info {
    /// Reads an answer.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let lines = text.lines().filter_map(|line| line.split_once(':'));
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.trim().to_owned());
        Self(lines.map(owned).collect())
    }

    /// A value.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A value that is a number.
    #[must_use]
    pub fn number<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.text(name)?.parse().ok()
    }

    /// Keys that expire, of all databases: `db0:keys=3,expires=2,avg_ttl=0`.
    #[must_use]
    pub fn volatile_keys(&self) -> u64 {
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
