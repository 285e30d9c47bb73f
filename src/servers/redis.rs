//! A private redis-server on loopback and a free port, that keeps nothing on disk.
//!
//! The surprising fact: a port that was free a moment ago may be taken by somebody else's server,
//! which answers PING just as well. So the server must tell our child's process id before it counts
//! as started; otherwise the next port is tried.

use super::StartError;
use crate::clock;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// The program.
pub const PROGRAM: &str = "redis-server";
/// How to bring it in.
pub const REMEDY: &str = "on Debian and Ubuntu: sudo apt-get install redis-server; \
                          on macOS: brew install redis";

/// How long a server may take to come up.
const START_LIMIT: Duration = Duration::from_secs(10);
/// Wait between two attempts to reach a server that starts.
const START_PROBE: Duration = Duration::from_millis(5);
/// Ports to try.
const ATTEMPTS: u32 = 5;

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

/// A value in redis.conf.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ConfigValue {
    /// A number.
    Number(i64),
    /// A word or several.
    Text(String),
}

/// A running redis-server of ours. Dropping it kills the server and removes its directory.
#[derive(Debug)]
pub struct RedisServer {
    child: Child,
    port: u16,
    // Dropped after `drop` has killed the server.
    _directory: Directory,
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
        self.child.id()
    }

    fn launch(port: u16, settings: &str) -> Result<Self, StartError> {
        let directory = Directory::new().map_err(failed("its directory"))?;
        let file = directory.0.join("redis.conf");
        let config = format!(
            "save \"\"\nappendonly no\n{settings}bind 127.0.0.1\nport {port}\ndaemonize no\ndir \"{}\"\n",
            directory.0.display()
        );
        std::fs::write(&file, config).map_err(failed("its configuration"))?;
        let log = File::create(directory.log()).map_err(failed("its log"))?;
        let errors = log.try_clone().map_err(failed("its log"))?;
        let mut command = Command::new(PROGRAM);
        command
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors);
        #[cfg(unix)]
        {
            use std::os::unix::process::CommandExt as _;
            command.process_group(0);
        }
        let child = command.spawn().map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => StartError::NotInstalled {
                program: PROGRAM,
                remedy: REMEDY.to_owned(),
            },
            _ => failed(PROGRAM)(error),
        })?;
        Ok(Self {
            child,
            port,
            _directory: directory,
        })
    }

    async fn wait_until_up(&mut self) -> Result<(), Down> {
        let deadline = clock::now() + START_LIMIT;
        loop {
            if let Ok(Some(_)) = self.child.try_wait() {
                let log = self._directory.read_log();
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

impl Drop for RedisServer {
    fn drop(&mut self) {
        // An error means that it is gone already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Why a server did not come up.
enum Down {
    PortTaken,
    Failed(String),
}

/// A directory of our own for as long as the value lives. It holds the configuration and the log;
/// `tempfile` is not worth a dependency of the program for this.
#[derive(Debug)]
struct Directory(PathBuf);

impl Directory {
    fn new() -> std::io::Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = format!("sessionbench-redis-{}-{number}", std::process::id());
            let path = std::env::temp_dir().join(name);
            let mut builder = std::fs::DirBuilder::new();
            #[cfg(unix)]
            std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
            match builder.create(&path) {
                Ok(()) => return Ok(Self(path)),
                // Left by a process of the same number that was killed.
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn log(&self) -> PathBuf {
        self.0.join("log")
    }

    fn read_log(&self) -> String {
        std::fs::read(self.log())
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(Path::new(&self.0));
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

fn free_port() -> Result<u16, StartError> {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(failed("a free port"))
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

fn failed(what: &str) -> impl Fn(std::io::Error) -> StartError + use<> {
    let what = what.to_owned();
    move |error| StartError::Failed(format!("{what}: {error}"))
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
