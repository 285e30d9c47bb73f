//! Connections to a state server, one for each request under way, kept for the next (facts §6.1).
//!
//! In: a request. Out: its answer, or why there is none. A connection that was idle for 5 s is
//! dropped, as the genuine client's pool does; one on which anything went wrong is never used again.
//!
//! The surprising fact: a request is never sent twice. A kept connection that its server closed is
//! noticed before the request is sent, and replaced; after that, a failure is the request's failure.

use super::settings::Address;
use crate::clock::{self, Instant};
use crate::servers::state_server::protocol::{Action, Dialect, Parsed, Request, Response};
use crate::session::{RequestContext, StoreError};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// How long a connection is kept without a request.
pub const KEPT_IDLE: Duration = Duration::from_secs(5);
/// Bytes that are read at once.
const READ: usize = 16 * 1024;

/// Shuts all connections of a provider for good: whatever is sent from then on fails at once.
#[derive(Debug, Clone, Default)]
pub struct Shut(Rc<Cell<bool>>);

impl Shut {
    /// Shuts them.
    pub fn close(&self) {
        self.0.set(true);
    }
}

/// How a server is spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Where it listens.
    pub address: Address,
    /// How long a request may take, with making a connection if there is none.
    pub limit: Duration,
    /// How requests are spelt.
    pub dialect: Dialect,
}

/// The connections of one provider instance.
#[derive(Debug)]
pub struct Connections {
    line: Line,
    /// Those without a request; the one used last is last.
    idle: RefCell<Vec<Idle>>,
    shut: Shut,
}

#[derive(Debug)]
struct Idle {
    stream: TcpStream,
    since: Instant,
}

impl Connections {
    /// Connections that are made when they are needed.
    #[must_use]
    pub fn new(line: Line, shut: Shut) -> Self {
        Self {
            line,
            idle: RefCell::default(),
            shut,
        }
    }

    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    /// The server cannot be reached, does not answer within the limit, or answers what is no
    /// answer. An answer of 400 is an error too.
    pub async fn ask(
        &self,
        context: &RequestContext,
        request: &Request,
    ) -> Result<Response, StoreError> {
        if self.shut.0.get() {
            return Err(StoreError::Connection("the provider is closed".to_owned()));
        }
        let limit = self.line.limit;
        let asked = clock::timeout(limit, self.exchange(context, request)).await;
        asked.unwrap_or_else(|clock::Elapsed| {
            context.timeouts.set(context.timeouts.get() + 1);
            Err(StoreError::Timeout { limit })
        })
    }

    async fn exchange(
        &self,
        context: &RequestContext,
        request: &Request,
    ) -> Result<Response, StoreError> {
        let mut stream = match self.kept() {
            Some(stream) => stream,
            None => self.connect().await?,
        };
        let to_head = request.action == Action::ResetTimeout;
        let sent = request.encode(&self.line.address.to_string(), self.line.dialect);
        let mut counted = Counted {
            context,
            sent: sent.len(),
            received: Vec::new(),
        };
        stream.write_all(&sent).await.map_err(broken)?;
        let response = loop {
            let received = &mut counted.received;
            match Response::parse(received, to_head) {
                Ok(Parsed::Complete { message, length }) if length == received.len() => {
                    break message;
                }
                Ok(Parsed::Complete { .. }) => return Err(no_answer("it goes on after its end")),
                Ok(Parsed::Incomplete) => {}
                Err(garbage) => return Err(no_answer(garbage)),
            }
            received.reserve(READ);
            if stream.read_buf(received).await.map_err(broken)? == 0 {
                return Err(StoreError::Connection(match received.len() {
                    0 => "the server closed the connection".to_owned(),
                    _ => "the server closed the connection within its answer".to_owned(),
                }));
            }
        };
        if !self.shut.0.get() {
            self.idle.borrow_mut().push(Idle {
                stream,
                since: clock::now(),
            });
        }
        Ok(response)
    }

    /// The connection that was used last, if it is still good for a request.
    fn kept(&self) -> Option<TcpStream> {
        self.drop_idle();
        loop {
            let Idle { stream, .. } = self.idle.borrow_mut().pop()?;
            let unasked = stream.try_read(&mut [0]);
            // Anything but silence says that the server closed it, or is out of step.
            if unasked.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock) {
                return Some(stream);
            }
        }
    }

    async fn connect(&self) -> Result<TcpStream, StoreError> {
        let Address { host, port } = &self.line.address;
        let stream = TcpStream::connect((host.as_str(), *port)).await;
        let stream = stream.map_err(broken)?;
        // Without it, Nagle's algorithm holds small requests back.
        stream.set_nodelay(true).map_err(broken)?;
        Ok(stream)
    }

    /// Drops connections that were idle for too long.
    pub fn drop_idle(&self) {
        let now = clock::now();
        let fresh = |idle: &Idle| now.since(idle.since) < KEPT_IDLE;
        self.idle.borrow_mut().retain(fresh);
    }

    /// Drops all connections without a request.
    pub fn drop_all(&self) {
        self.idle.borrow_mut().clear();
    }
}

/// Counts an exchange however it ends, also when it is given up.
struct Counted<'a> {
    context: &'a RequestContext,
    sent: usize,
    received: Vec<u8>,
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.context
            .count_round_trip(self.sent, self.received.len());
    }
}

fn broken(error: std::io::Error) -> StoreError {
    StoreError::Connection(error.to_string())
}

fn no_answer(why: impl std::fmt::Display) -> StoreError {
    StoreError::Refused(format!("its answer is none of a state server: {why}"))
}
