//! A server's process and its directory, for as long as the value lives.
//!
//! The process is in a group of its own, so that Ctrl-C reaches only us and the run can still be
//! written down. What it prints goes into a log in the directory.

use super::StartError;
use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// How long a server may take to come up.
pub const START_LIMIT: Duration = Duration::from_secs(10);
/// Wait between two attempts to reach a server that starts.
pub const START_PROBE: Duration = Duration::from_millis(5);
/// Ports to try.
pub const ATTEMPTS: u32 = 5;

/// Why a server did not come up.
pub enum Down {
    /// Another server has its port.
    PortTaken,
    /// Anything else, in words.
    Failed(String),
}

/// How a process is stopped when it is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// At once; the kernel cleans up.
    Kill,
    /// By SIGQUIT, for a server that has children and shared memory to clear away.
    Quit,
}

/// A running process of ours. Dropping it stops it and removes its directory.
#[derive(Debug)]
pub struct Process {
    child: Child,
    stop: Stop,
    // Dropped after `drop` has stopped the process.
    directory: Directory,
}

impl Process {
    /// Starts a program, whose `name` and `remedy` are told when it is not there.
    ///
    /// # Errors
    /// The program is not installed, or cannot be started.
    pub fn start(
        mut command: Command,
        directory: Directory,
        name: &'static str,
        remedy: &str,
    ) -> Result<Self, StartError> {
        let log = File::create(directory.log()).map_err(failed("its log"))?;
        let errors = log.try_clone().map_err(failed("its log"))?;
        command.stdout(log).stderr(errors);
        #[cfg(unix)]
        {
            use std::os::unix::process::CommandExt as _;
            command.process_group(0);
        }
        let child = command.spawn().map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => StartError::NotInstalled {
                program: name,
                remedy: remedy.to_owned(),
            },
            _ => failed(name)(error),
        })?;
        Ok(Self {
            child,
            stop: Stop::Kill,
            directory,
        })
    }

    /// Stops it in this way when it is dropped; otherwise it is killed.
    #[must_use]
    pub const fn stopped_by(mut self, stop: Stop) -> Self {
        self.stop = stop;
        self
    }

    /// Its directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it ended by itself.
    pub fn ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    /// What it printed so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read(self.directory.log())
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // An error means that it is gone already, which is what is wanted.
        let told = self.stop == Stop::Quit && quit(&self.child);
        if !told {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

/// Sends SIGQUIT; returns whether it could.
#[cfg(target_os = "linux")]
fn quit(child: &Child) -> bool {
    use rustix::process::{Pid, Signal, kill_process};
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| kill_process(pid, Signal::QUIT).is_ok())
}

#[cfg(not(target_os = "linux"))]
fn quit(_child: &Child) -> bool {
    false
}

/// A directory of our own for as long as the value lives; `tempfile` is not worth a dependency of
/// the program for this.
#[derive(Debug)]
pub struct Directory(PathBuf);

impl Directory {
    /// An empty directory that nobody else can read, named after a server.
    ///
    /// # Errors
    /// It cannot be created.
    pub fn new(server: &str) -> Result<Self, StartError> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = format!("sessionbench-{server}-{}-{number}", std::process::id());
            let path = std::env::temp_dir().join(name);
            let mut builder = std::fs::DirBuilder::new();
            #[cfg(unix)]
            std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
            match builder.create(&path) {
                Ok(()) => return Ok(Self(path)),
                // Left by a process of the same number that was killed.
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(failed("its directory")(error)),
            }
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    fn log(&self) -> PathBuf {
        self.0.join("log")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A loopback port that nobody listens on right now.
///
/// # Errors
/// There is none.
pub fn free_port() -> Result<u16, StartError> {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(failed("a free port"))
}

/// A failure of the operating system, with what it was about.
pub fn failed(what: &str) -> impl Fn(std::io::Error) -> StartError + use<> {
    let what = what.to_owned();
    move |error| StartError::Failed(format!("{what}: {error}"))
}
