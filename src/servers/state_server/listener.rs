//! Connections of the state server: many at once, each kept for one request after the other.
//!
//! In: a listening socket. Out: answers from [`Sessions`]. Bytes that are no message get a 400 and
//! the connection is closed; a message that makes no sense gets a 400 and the connection is kept.
//!
//! The surprising fact: a client that vanishes without a word looks like one that thinks. So a
//! request that has begun must arrive, and its answer leave, within a limit, and a connection
//! without requests is closed after a longer one.

use super::protocol::{Parsed, Request, Response, Status};
use super::sessions::Sessions;
use super::statistics::{Statistics, TARGET};
use crate::cache;
use crate::clock;
use crate::usage::ProcessUse;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Wait after a connection could not be accepted: the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Bytes that a connection reads at once, and keeps between two requests.
const READ: usize = 16 * 1024;

/// What clients may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once; more are closed as soon as they come.
    pub connections: usize,
    /// From the first byte of a request to its last, and from its answer's to its last.
    pub exchange: Duration,
    /// Between two requests.
    pub idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            exchange: Duration::from_secs(30),
            idle: Duration::from_secs(300),
        }
    }
}

/// A state server at work.
struct Server {
    sessions: RefCell<Sessions>,
    clients: Cell<usize>,
    minute: Duration,
    limits: Limits,
}

/// Serves for ever; a minute of a session's timeout lasts `minute`.
pub async fn serve(listener: TcpListener, minute: Duration, limits: Limits) {
    let server = Rc::new(Server {
        sessions: RefCell::new(Sessions::new(minute)),
        clients: Cell::new(0),
        minute,
        limits,
    });
    let turned = Rc::clone(&server);
    let _wheel = clock::spawn(cache::turn_wheel(move |_| {
        turned.sessions.borrow_mut().flush();
    }));
    loop {
        match listener.accept().await {
            Ok((stream, _)) if server.clients.get() < limits.connections => {
                let client = Client::enter(&server);
                clock::spawn_detached(async move { client.converse(stream).await });
            }
            Ok(_) => {}
            Err(_) => clock::sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// One connection, counted while it lives.
struct Client(Rc<Server>);

impl Drop for Client {
    fn drop(&mut self) {
        self.0.clients.set(self.0.clients.get() - 1);
    }
}

/// The connection is over: closed, broken, too slow or garbled.
struct Over;

impl From<std::io::Error> for Over {
    fn from(_: std::io::Error) -> Self {
        Self
    }
}

impl From<clock::Elapsed> for Over {
    fn from(_: clock::Elapsed) -> Self {
        Self
    }
}

impl Client {
    fn enter(server: &Rc<Server>) -> Self {
        server.clients.set(server.clients.get() + 1);
        Self(Rc::clone(server))
    }

    /// One request after the other, until the connection is over.
    async fn converse(self, mut stream: TcpStream) {
        // Without it, Nagle's algorithm holds small answers back.
        let _ = stream.set_nodelay(true);
        let mut received = Vec::new();
        while self.exchange(&mut stream, &mut received).await.is_ok() {
            if received.capacity() > READ {
                received.shrink_to(READ);
            }
        }
    }

    /// Reads a request and answers it. What was received beyond it stays for the next.
    async fn exchange(&self, stream: &mut TcpStream, received: &mut Vec<u8>) -> Result<(), Over> {
        let limits = self.0.limits;
        if received.is_empty() {
            clock::timeout(limits.idle, self.receive(stream, received)).await??;
        }
        let reading = async {
            loop {
                match Request::parse(received) {
                    Ok(Parsed::Complete { message, length }) => return Ok((message, length)),
                    Ok(Parsed::Incomplete) => self.receive(stream, received).await?,
                    Err(garbage) => {
                        self.send(stream, &Response::bad(&garbage)).await?;
                        return self.hang_up(stream).await;
                    }
                }
            }
        };
        let (message, length) = clock::timeout(limits.exchange, reading).await??;
        received.drain(..length);
        self.0.sessions.borrow_mut().counts.requests += 1;
        let response = match message {
            Ok(request) => self.answer(request),
            Err(bad) => Response::bad(&bad),
        };
        clock::timeout(limits.exchange, self.send(stream, &response)).await?
    }

    /// Lets the last answer arrive: closing while bytes are unread would take it back.
    async fn hang_up<T>(&self, stream: &mut TcpStream) -> Result<T, Over> {
        stream.shutdown().await?;
        loop {
            self.receive(stream, &mut Vec::new()).await?;
        }
    }

    fn answer(&self, request: Request) -> Response {
        if request.target == TARGET {
            return Response {
                content: self.0.statistics().encode(),
                ..Response::new(Status::Ok)
            };
        }
        self.0.sessions.borrow_mut().answer(request)
    }

    async fn receive(&self, stream: &mut TcpStream, received: &mut Vec<u8>) -> Result<(), Over> {
        received.reserve(READ);
        let count = stream.read_buf(received).await?;
        self.0.sessions.borrow_mut().counts.bytes_in += count as u64;
        match count {
            0 => Err(Over),
            _ => Ok(()),
        }
    }

    async fn send(&self, stream: &mut TcpStream, response: &Response) -> Result<(), Over> {
        let bytes = response.encode();
        stream.write_all(&bytes).await?;
        self.0.sessions.borrow_mut().counts.bytes_out += bytes.len() as u64;
        Ok(())
    }
}

impl Server {
    fn statistics(&self) -> Statistics {
        let sessions = self.sessions.borrow();
        let used = ProcessUse::now();
        Statistics {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            process_id: std::process::id(),
            minute: self.minute,
            cpu_seconds: used.cpu.as_secs_f64(),
            memory_bytes: used.memory,
            sessions: sessions.len() as u64,
            clients: self.clients.get() as u64,
            counts: sessions.counts,
        }
    }
}
