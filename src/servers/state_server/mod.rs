//! The ASP.NET state server: a server of ours with the genuine one's protocol and rules (facts §6),
//! and its process for scenarios that say `managed`.
//!
//! ```text
//! listener    connections, limits ──► protocol    bytes ⇄ messages; the client uses it too
//!    │
//! sessions    what becomes of each request, on ASP.NET's cache
//! statistics  what our server tells of itself, which a genuine one does not
//! ```
//!
//! A managed server is this very program in a process of its own, so that what it uses is not the
//! load generator's. The surprising fact: it must not outlive us even when we are killed, so it ends
//! when its standard input does, which the operating system closes with us.

pub mod listener;
pub mod protocol;
pub mod sessions;
pub mod statistics;

pub use listener::{Limits, serve};
pub use statistics::Statistics;

use super::StartError;
use super::process::{Directory, Process, START_LIMIT, START_PROBE, failed};
use crate::clock;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

/// What a server prints before its address once it listens.
pub const LISTENING: &str = "listening on ";

/// The program that has the subcommand `state-server`, where this process does not run it itself.
static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// Has this program started instead of the one that runs: for tests, whose own program has no
/// subcommands. The first call counts.
pub fn start_program(program: &Path) {
    PROGRAM.get_or_init(|| program.to_owned());
}

/// A running state server of ours. Dropping it kills it.
#[derive(Debug)]
pub struct StateServer {
    process: Process,
    address: String,
}

impl StateServer {
    /// Starts a server on loopback and a free port, on which a minute lasts `minute`, and waits
    /// until it listens.
    ///
    /// # Errors
    /// See [`StartError`]; nothing is left running then.
    pub async fn start(minute: Duration) -> Result<Self, StartError> {
        let program = match PROGRAM.get() {
            Some(program) => program.clone(),
            None => std::env::current_exe().map_err(failed("the path of this program"))?,
        };
        let mut command = Command::new(program);
        command
            .args(["state-server", "--listen", "127.0.0.1:0", "--minute"])
            .arg(format!("{}ns", minute.as_nanos()))
            .arg("--until-stdin-closes")
            .stdin(Stdio::piped());
        let directory = Directory::new("state-server")?;
        let remedy = "it was moved or deleted since it was started: start it again";
        let mut process = Process::start(command, directory, "sessionbench", remedy)?;
        let deadline = clock::now() + START_LIMIT;
        loop {
            let log = process.log();
            // A line that is not complete may lack digits of the port.
            let line = log.split_inclusive('\n').next().unwrap_or_default();
            if let Some(address) = line.strip_prefix(LISTENING)
                && line.ends_with('\n')
            {
                let address = address.trim().to_owned();
                return Ok(Self { process, address });
            }
            if process.ended() {
                return Err(StartError::Failed(process.log().trim().to_owned()));
            }
            if clock::now() >= deadline {
                let seconds = START_LIMIT.as_secs();
                let why = format!("it did not listen within {seconds} s");
                return Err(StartError::Failed(why));
            }
            clock::sleep(START_PROBE).await;
        }
    }

    /// Where it listens: `127.0.0.1:40123`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its process, for a way out on which nothing is dropped.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }
}
