//! A private PostgreSQL on loopback and a free port, with its data in a temporary directory.
//!
//! In: settings of postgresql.conf. Out: the port. Durability is on, as in production: `fsync`,
//! `full_page_writes` and `synchronous_commit` have PostgreSQL's own defaults, so that a commit waits
//! for the disk of the temporary directory, which may be memory.
//!
//! The surprising fact: PostgreSQL refuses to run as root. There it runs as `postgres` or `nobody`,
//! which own nothing but the temporary directory.

use super::process::{
    ATTEMPTS, Directory, Down, Process, START_LIMIT, START_PROBE, Stop, failed, free_port,
};
use super::{ConfigValue, StartError};
use crate::clock;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The program that makes a database directory; the server lies beside it.
pub const PROGRAM: &str = "initdb";
/// How to bring it in.
pub const REMEDY: &str = "on Debian and Ubuntu: sudo apt-get install postgresql; \
                          on macOS: brew install postgresql";
/// The user of the database; whoever reaches the loopback port may be it.
pub const USER: &str = "sessionbench";
/// The database.
pub const DATABASE: &str = "postgres";

/// Connections that the server takes unless the scenario says otherwise: each CD server may have a
/// hundred for each kind of state.
const MAX_CONNECTIONS: i64 = 500;

/// Settings that the harness decides itself, or that would let a scenario reach beyond its server.
pub const RESERVED: [&str; 24] = [
    "archive_cleanup_command",
    "archive_command",
    "config_file",
    "data_directory",
    "dynamic_library_path",
    "external_pid_file",
    "hba_file",
    "ident_file",
    "listen_addresses",
    "local_preload_libraries",
    "log_destination",
    "log_directory",
    "logging_collector",
    "port",
    "primary_conninfo",
    "recovery_end_command",
    "restore_command",
    "session_preload_libraries",
    "shared_preload_libraries",
    "ssl",
    "ssl_passphrase_command",
    "unix_socket_directories",
    "unix_socket_group",
    "unix_socket_permissions",
];

/// A running PostgreSQL of ours. Dropping it stops the server and removes its directory.
#[derive(Debug)]
pub struct PostgresServer {
    process: Process,
    port: u16,
}

impl PostgresServer {
    /// Starts a server with these settings of postgresql.conf and waits until it takes connections.
    /// Making its database directory takes about a second, for which the thread is blocked.
    ///
    /// # Errors
    /// See [`StartError`]; nothing is left running then.
    pub async fn start(config: &BTreeMap<String, ConfigValue>) -> Result<Self, StartError> {
        let settings = arguments(config)?;
        let programs = find_programs()?;
        let mut port_taken = StartError::Failed("no free port".to_owned());
        for _ in 0..ATTEMPTS {
            let mut server = Self::launch(&programs, free_port()?, &settings)?;
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

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    fn launch(programs: &Path, port: u16, settings: &[String]) -> Result<Self, StartError> {
        let directory = Directory::new("postgres")?;
        let identity = Identity::needed()?;
        identity.take_over(directory.path())?;
        let data = directory.path().join("data");
        make_database(programs, &data, identity)?;
        let mut command = identity.command(&programs.join("postgres"));
        command.stdin(Stdio::null());
        command.arg("-D").arg(&data).arg("-p").arg(port.to_string());
        for setting in settings {
            command.arg("-c").arg(setting);
        }
        let process = Process::start(command, directory, PROGRAM, REMEDY)?.stopped_by(Stop::Quit);
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
            // The server writes its state beside its data, so nobody else's server can answer.
            let state = self.process.directory().join("data/postmaster.pid");
            let state = std::fs::read_to_string(state).unwrap_or_default();
            if state
                .lines()
                .nth(7)
                .is_some_and(|word| word.trim() == "ready")
            {
                return Ok(());
            }
            if clock::now() >= deadline {
                return Err(Down::Failed(format!(
                    "it did not come up within {} s",
                    START_LIMIT.as_secs()
                )));
            }
            clock::sleep(START_PROBE).await;
        }
    }
}

/// Makes a database directory. Its own flushing to disk is left out: before the run nothing is
/// worth keeping.
fn make_database(programs: &Path, data: &Path, identity: Identity) -> Result<(), StartError> {
    let made = identity
        .command(&programs.join(PROGRAM))
        .arg("-D")
        .arg(data)
        .args(["--username", USER, "--auth", "trust"])
        .args(["--encoding", "UTF8", "--locale", "C", "--no-sync"])
        .stdin(Stdio::null())
        .output()
        .map_err(failed(PROGRAM))?;
    if made.status.success() {
        return Ok(());
    }
    let told = String::from_utf8_lossy(&made.stderr).into_owned();
    Err(StartError::Failed(format!("{PROGRAM}: {}", explain(&told))))
}

/// The directory of the programs: on the path, or where distributions put the newest version.
fn find_programs() -> Result<PathBuf, StartError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut candidates: Vec<PathBuf> = std::env::split_paths(&path).collect();
    candidates.extend(versions(Path::new("/usr/lib/postgresql")));
    candidates
        .into_iter()
        .find(|directory| {
            [PROGRAM, "postgres"].map(|name| directory.join(name).is_file()) == [true; 2]
        })
        .ok_or_else(|| StartError::NotInstalled {
            program: "postgresql",
            remedy: REMEDY.to_owned(),
        })
}

/// The program directories of all versions that Debian installed, the newest first.
fn versions(root: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root).into_iter().flatten().flatten();
    let mut versions: Vec<u32> = entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    versions.sort_unstable_by(|one, other| other.cmp(one));
    versions
        .iter()
        .map(|version| root.join(version.to_string()).join("bin"))
        .collect()
}

/// Whom the server runs as: ourselves, or an unprivileged user when we are root.
#[derive(Debug, Clone, Copy)]
struct Identity(Option<(u32, u32)>);

impl Identity {
    #[cfg(target_os = "linux")]
    fn needed() -> Result<Self, StartError> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self(None));
        }
        let users = std::fs::read_to_string("/etc/passwd").map_err(failed("/etc/passwd"))?;
        ["postgres", "nobody"]
            .iter()
            .find_map(|name| user(&users, name))
            .map(|ids| Self(Some(ids)))
            .ok_or_else(|| {
                StartError::Failed(
                    "PostgreSQL does not run as root, and there is no user `postgres` or `nobody`"
                        .to_owned(),
                )
            })
    }

    #[cfg(not(target_os = "linux"))]
    fn needed() -> Result<Self, StartError> {
        Ok(Self(None))
    }

    /// Gives a directory to the user.
    fn take_over(self, directory: &Path) -> Result<(), StartError> {
        #[cfg(unix)]
        if let Some((user, group)) = self.0 {
            std::os::unix::fs::chown(directory, Some(user), Some(group))
                .map_err(failed("its directory"))?;
        }
        #[cfg(not(unix))]
        let _ = directory;
        Ok(())
    }

    fn command(self, program: &Path) -> Command {
        let mut command = Command::new(program);
        // Messages in English, which we read; a directory that the user may enter.
        command.env("LC_ALL", "C").current_dir("/");
        #[cfg(unix)]
        if let Some((user, group)) = self.0 {
            use std::os::unix::process::CommandExt as _;
            command.uid(user).gid(group);
        }
        command
    }
}

/// Ids of a user and its group in the text of /etc/passwd.
#[cfg(any(target_os = "linux", test))]
fn user(users: &str, name: &str) -> Option<(u32, u32)> {
    let mut fields = users
        .lines()
        .map(|line| line.split(':'))
        .find(|fields| fields.clone().next() == Some(name))?
        .skip(2);
    let mut id = || fields.next()?.parse().ok();
    Some((id()?, id()?))
}

/// Settings as `name=value`, the harness's own after the scenario's.
fn arguments(config: &BTreeMap<String, ConfigValue>) -> Result<Vec<String>, StartError> {
    let mut arguments = vec![format!("max_connections={MAX_CONNECTIONS}")];
    for (name, value) in config {
        let refused = |why| StartError::Setting {
            name: name.clone(),
            why,
        };
        if RESERVED.contains(&name.to_ascii_lowercase().as_str()) {
            return Err(refused("the harness decides it"));
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
        if name.is_empty() || !name.chars().all(plain) {
            return Err(refused("it is no name of a setting"));
        }
        let value = match value {
            ConfigValue::Number(number) => number.to_string(),
            ConfigValue::Text(text) => text.clone(),
        };
        if value.chars().any(char::is_control) {
            return Err(refused("its value spans lines"));
        }
        arguments.push(format!("{name}={value}"));
    }
    arguments.push("listen_addresses=127.0.0.1".to_owned());
    arguments.push("unix_socket_directories=".to_owned());
    Ok(arguments)
}

/// What a log tells of a failure: its errors, or its end.
fn explain(log: &str) -> String {
    let lines: Vec<&str> = log.lines().filter(|line| !line.trim().is_empty()).collect();
    let told: Vec<&str> = lines
        .iter()
        .filter_map(|line| {
            ["FATAL:", "error:", "ERROR:"]
                .iter()
                .find_map(|word| line.split_once(word))
                .map(|(_, rest)| rest.trim())
        })
        .collect();
    if told.is_empty() {
        return lines[lines.len().saturating_sub(3)..].join(" ");
    }
    told.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(name: &str, value: ConfigValue) -> BTreeMap<String, ConfigValue> {
        BTreeMap::from([(name.to_owned(), value)])
    }

    #[test]
    fn a_setting_that_the_harness_decides_is_refused() {
        let refused = arguments(&config("Port", ConfigValue::Number(1))).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "`Port` cannot be set for a managed server: the harness decides it"
        );
    }

    #[test]
    fn a_name_cannot_smuggle_a_second_setting_in() {
        let value = ConfigValue::Text("10".to_owned());
        assert!(arguments(&config("fsync=off -c port", value)).is_err());
    }

    #[test]
    fn a_scenario_may_take_fewer_connections() {
        let written = arguments(&config("max_connections", ConfigValue::Number(20))).unwrap();
        // The server takes the last of several.
        let last = written.iter().rfind(|one| one.starts_with("max_conn"));
        assert_eq!(last.unwrap(), "max_connections=20");
    }

    #[test]
    fn a_user_is_found_by_its_whole_name() {
        let users = "root:x:0:0::/root:/bin/sh\npostgres2:x:7:7:::\npostgres:x:101:103:::\n";
        assert_eq!(user(users, "postgres"), Some((101, 103)));
        assert_eq!(user(users, "nobody"), None);
    }

    #[test]
    fn an_error_is_told_without_its_surroundings() {
        let log = "LOG:  starting\nFATAL:  no such thing\nLOG:  shut down\n";
        assert_eq!(explain(log), "no such thing");
        assert_eq!(explain("a\nb\nc\nd\n"), "b c d");
    }
}
