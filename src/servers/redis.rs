//! A private redis-server on loopback and a free port, that keeps nothing on disk.
//!
//! The surprising fact: a port that was free a moment ago may be taken by somebody else's server,
//! which answers PING just as well. So the server must tell our child's process id before it counts
//! as started; otherwise the next port is tried.

use super::process::{
    ATTEMPTS, Directory, Down, Process, START_LIMIT, START_PROBE, failed, free_port,
};
use super::{ConfigValue, StartError};
use crate::clock;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::TcpListener;
use std::process::{Command, Stdio};

/// The program.
pub const PROGRAM: &str = "redis-server";
/// How to bring it in.
pub const REMEDY: &str = "on Debian and Ubuntu: sudo apt-get install redis-server; \
                          on macOS: brew install redis";

/// Pairs of ports to try; of those that the system gives out, a sixth has no port 10 000 above it.
const PORTS_TO_TRY: u32 = 100;

/// Settings that the harness decides itself, or that would let a scenario reach beyond its server.
const RESERVED: [&str; 18] = [
    "bind",
    "bind-source-addr",
    "cluster-config-file",
    "cluster-enabled",
    "cluster-port",
    "daemonize",
    "dir",
    "include",
    "loadmodule",
    "logfile",
    "pidfile",
    "port",
    "protected-mode",
    "replicaof",
    "requirepass",
    "slaveof",
    "supervised",
    "unixsocket",
];

/// A running redis-server of ours. Dropping it kills the server and removes its directory.
#[derive(Debug)]
pub struct RedisServer {
    process: Process,
    port: u16,
}

impl RedisServer {
    /// Starts a server with these settings of redis.conf and waits until it answers.
    ///
    /// # Errors
    /// See [`StartError`]; nothing is left running then.
    pub async fn start(config: &BTreeMap<String, ConfigValue>) -> Result<Self, StartError> {
        Self::start_on(config, "", free_port).await
    }

    /// Starts a node of a cluster that has no other nodes and no slots yet.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_node(config: &BTreeMap<String, ConfigValue>) -> Result<Self, StartError> {
        let ours = "cluster-enabled yes\ncluster-config-file nodes.conf\n";
        Self::start_on(config, ours, cluster_port).await
    }

    async fn start_on(
        config: &BTreeMap<String, ConfigValue>,
        ours: &str,
        port: impl Fn() -> Result<u16, StartError>,
    ) -> Result<Self, StartError> {
        let settings = written(config)? + ours;
        let mut port_taken = StartError::Failed("no free port".to_owned());
        for _ in 0..ATTEMPTS {
            let mut server = Self::launch(port()?, &settings)?;
            match server.wait_until_up().await {
                Ok(()) => return Ok(server),
                Err(Down::PortTaken) => {
                    port_taken =
                        StartError::Failed(format!("port {} is taken by another", server.port));
                }
                Err(Down::Failed(why)) => return Err(StartError::Failed(why)),
            }
        }
        Err(port_taken)
    }

    /// Where it listens.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Its process, for a way out on which nothing is dropped.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    fn launch(port: u16, settings: &str) -> Result<Self, StartError> {
        let directory = Directory::new("redis")?;
        let file = directory.path().join("redis.conf");
        let config = format!(
            "save \"\"\nappendonly no\n{settings}bind 127.0.0.1\nport {port}\ndaemonize no\ndir \"{}\"\n",
            directory.path().display()
        );
        std::fs::write(&file, config).map_err(failed("its configuration"))?;
        let mut command = Command::new(PROGRAM);
        command.arg(&file).stdin(Stdio::null());
        let process = Process::start(command, directory, PROGRAM, REMEDY)?;
        Ok(Self { process, port })
    }

    async fn wait_until_up(&mut self) -> Result<(), Down> {
        let deadline = clock::now() + START_LIMIT;
        loop {
            if self.process.ended() {
                let log = self.process.log();
                return Err(if log.contains("Address already in use") {
                    Down::PortTaken
                } else {
                    Down::Failed(explain(&log))
                });
            }
            match clock::timeout(START_LIMIT, process_id(self.port)).await {
                Ok(Ok(pid)) if pid == self.pid() => return Ok(()),
                Ok(Ok(_)) => return Err(Down::PortTaken),
                _ if clock::now() >= deadline => {
                    return Err(Down::Failed(format!(
                        "no answer within {} s",
                        START_LIMIT.as_secs()
                    )));
                }
                _ => clock::sleep(START_PROBE).await,
            }
        }
    }
}

/// Settings as lines of redis.conf.
fn written(config: &BTreeMap<String, ConfigValue>) -> Result<String, StartError> {
    let mut lines = String::new();
    for (name, value) in config {
        let refused = |why| StartError::Setting {
            name: name.clone(),
            why,
        };
        if RESERVED.contains(&name.to_ascii_lowercase().as_str()) {
            return Err(refused("the harness decides it"));
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if name.is_empty() || !name.chars().all(plain) {
            return Err(refused("it is no name of a setting"));
        }
        let value = match value {
            ConfigValue::Number(number) => number.to_string(),
            ConfigValue::Text(text) if text.is_empty() => "\"\"".to_owned(),
            ConfigValue::Text(text) => text.clone(),
        };
        if value.chars().any(char::is_control) {
            return Err(refused("its value spans lines"));
        }
        // Writing to a string cannot fail.
        let _ = writeln!(lines, "{name} {value}");
    }
    Ok(lines)
}

/// What a log tells of a failure: the lines after redis-server's own headline, or its end.
fn explain(log: &str) -> String {
    let lines: Vec<&str> = log.lines().filter(|line| !line.trim().is_empty()).collect();
    let from = lines
        .iter()
        .position(|line| line.contains("FATAL CONFIG FILE ERROR"))
        .map_or(lines.len().saturating_sub(3), |at| at + 1);
    lines[from..].join(" ")
}

/// A free port with another one, 10 000 above it, for what the nodes of a cluster tell each other.
fn cluster_port() -> Result<u16, StartError> {
    const BUS: u16 = 10_000;
    for _ in 0..PORTS_TO_TRY {
        let port = free_port()?;
        let bus = port.checked_add(BUS);
        if bus.is_some_and(|bus| TcpListener::bind(("127.0.0.1", bus)).is_ok()) {
            return Ok(port);
        }
    }
    Err(StartError::Failed("no two free ports".to_owned()))
}

/// The process id that the server on this port tells.
async fn process_id(port: u16) -> redis::RedisResult<u32> {
    let config = redis::AsyncConnectionConfig::new()
        .set_connection_timeout(None)
        .set_response_timeout(None);
    let mut connection = redis::Client::open(("127.0.0.1", port))?
        .get_multiplexed_async_connection_with_config(&config)
        .await?;
    let info: String = redis::cmd("INFO")
        .arg("server")
        .query_async(&mut connection)
        .await?;
    Ok(info
        .lines()
        .find_map(|line| line.strip_prefix("process_id:"))
        .and_then(|number| number.trim().parse().ok())
        .unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_that_the_harness_decides_is_refused() {
        let config = BTreeMap::from([("Port".to_owned(), ConfigValue::Number(1))]);
        let refused = written(&config).unwrap_err().to_string();
        assert_eq!(
            refused,
            "`Port` cannot be set for a managed server: the harness decides it"
        );
    }

    #[test]
    fn a_value_cannot_smuggle_a_second_setting_in() {
        let value = ConfigValue::Text("10\nbind 0.0.0.0".to_owned());
        assert!(written(&BTreeMap::from([("hz".to_owned(), value)])).is_err());
    }

    #[test]
    fn an_empty_text_is_written_in_quotes() {
        let config = BTreeMap::from([("save".to_owned(), ConfigValue::Text(String::new()))]);
        assert_eq!(written(&config).unwrap(), "save \"\"\n");
    }
}
