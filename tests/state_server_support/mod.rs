//! State servers for tests: ours as a process, a connection that says whatever a test wants, and a
//! fake that answers whatever a test wants.
#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

use sessionbench::clock::run_real;
use sessionbench::servers::StateServer;
use sessionbench::servers::state_server::{Statistics, start_program};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// A minute as it is.
pub const MINUTE: Duration = Duration::from_secs(60);

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Has managed servers be those of the program under test.
pub fn use_program() {
    start_program(Path::new(env!("CARGO_BIN_EXE_sessionbench")));
}

/// A state server of ours, as a process.
pub async fn server(minute: Duration) -> StateServer {
    use_program();
    StateServer::start(minute).await.unwrap()
}

/// The same, for a test without a clock of its own.
pub fn start(minute: Duration) -> StateServer {
    run_real(server(minute)).unwrap()
}

/// A connection on which tests write lines with `\n`.
pub struct Raw(TcpStream);

impl Raw {
    pub fn to(server: &StateServer) -> Self {
        Self::to_address(server.address())
    }

    pub fn to_address(address: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(stream)
    }

    pub fn send(&mut self, text: &str) {
        let text = text.replace('\n', "\r\n");
        self.send_bytes(text.as_bytes());
    }

    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
    }

    /// One answer, with `\n` for line ends.
    pub fn answer(&mut self) -> String {
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.0.read_exact(&mut byte).unwrap();
            bytes.push(byte[0]);
        }
        let head = String::from_utf8(bytes).unwrap().replace("\r\n", "\n");
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("Content-Length: "));
        let mut content = vec![0; length.unwrap().parse().unwrap()];
        self.0.read_exact(&mut content).unwrap();
        head + &String::from_utf8_lossy(&content)
    }

    /// Sends a request and returns its answer.
    pub fn ask(&mut self, text: &str) -> String {
        self.send(text);
        self.answer()
    }

    /// Sends a request and returns the status of its answer.
    pub fn status(&mut self, text: &str) -> u32 {
        let answer = self.ask(text);
        let code = answer.split(' ').nth(1).unwrap();
        code.parse().unwrap()
    }

    /// Stores a session of 20 minutes.
    pub fn put(&mut self, target: &str, content: &str) {
        let length = content.len();
        let put = format!(
            "PUT {target} HTTP/1.1\nHost: x\nTimeout: 20\nContent-Length: {length}\n\n{content}"
        );
        assert_eq!(self.status(&put), 200);
    }

    /// Everything until the server closes the connection.
    pub fn rest(&mut self) -> String {
        let mut bytes = Vec::new();
        self.0.read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).replace("\r\n", "\n")
    }
}

/// What a server of ours tells.
pub fn statistics(address: &str) -> Statistics {
    let get = "GET /sessionbench/statistics HTTP/1.1\nHost: x\n\n";
    let answer = Raw::to_address(address).ask(get);
    let (_, content) = answer.split_once("\n\n").unwrap();
    Statistics::decode(content.as_bytes()).unwrap()
}

/// Asks again until something is true, and fails when it never becomes so.
#[allow(
    clippy::disallowed_methods,
    reason = "it waits for another process, on no clock of ours"
)]
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + PATIENCE;
    while !condition() {
        assert!(
            std::time::Instant::now() < deadline,
            "never happened: {what}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What a fake server does with a request.
pub enum Reply {
    /// Sends bytes and keeps the connection.
    Send(&'static [u8]),
    /// Sends bytes and closes the connection.
    SendAndClose(&'static [u8]),
    /// Says nothing.
    Nothing,
}

/// A fake server.
pub struct Fake {
    pub address: String,
    closed: Arc<AtomicUsize>,
}

impl Fake {
    /// How many connections it closed.
    pub fn closed(&self) -> usize {
        self.closed.load(Ordering::Relaxed)
    }
}

/// A server that answers its first request with 404, as a genuine one does when it is asked for
/// statistics, and every later one as told. It lives on threads until the test program ends.
pub fn fake(reply: fn() -> Reply) -> Fake {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let closed = Arc::new(AtomicUsize::new(0));
    let fake = Fake {
        address,
        closed: Arc::clone(&closed),
    };
    std::thread::spawn(move || {
        let mut first = true;
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let welcome = std::mem::take(&mut first);
            let closed = Arc::clone(&closed);
            std::thread::spawn(move || {
                let mut welcome = welcome;
                while read_request(&mut stream) {
                    if std::mem::take(&mut welcome) {
                        stream.write_all(NOT_FOUND).unwrap();
                        continue;
                    }
                    match reply() {
                        Reply::Send(bytes) => stream.write_all(bytes).unwrap(),
                        Reply::SendAndClose(bytes) => {
                            stream.write_all(bytes).unwrap();
                            drop(stream);
                            closed.fetch_add(1, Ordering::Relaxed);
                            return;
                        }
                        Reply::Nothing => {}
                    }
                }
            });
        }
    });
    fake
}

/// The answer of a .NET 4 state server that has no such session.
pub const NOT_FOUND: &[u8] =
    b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nX-AspNet-Version: 4.0.30319\r\n\r\n";

/// Reads a request and its content off a connection; false when it is closed.
fn read_request(stream: &mut TcpStream) -> bool {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if !matches!(stream.read(&mut byte), Ok(1)) {
            return false;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("Content-Length: "));
    let mut content = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut content).is_ok()
}
