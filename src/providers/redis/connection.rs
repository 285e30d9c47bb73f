//! Commands to a Redis server as StackExchange.Redis sends them: few connections, many requests on
//! each, one limit for an operation, and the retry rule of Microsoft's provider (facts §1.6).
//!
//! In: a command or a script for a request. Out: the reply, with every command that was sent
//! counted on the request. The surprising fact: a retry is not idempotent. When the reply to "take
//! the lock" was lost, the retry finds the lock taken, by itself, and waits for nobody.

use super::script::Script;
use crate::clock::{self, Instant};
use crate::session::{RequestContext, StoreError};
use redis::aio::{ConnectionLike as _, MultiplexedConnection};
use redis::{AsyncConnectionConfig, Client, Cmd, ErrorKind, RedisError, ServerErrorKind, Value};
use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

/// First wait before a failed operation is tried again; the later ones are [`LATER_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(20);
const LATER_WAIT: Duration = Duration::from_secs(1);
/// A connection that only timed out for so long is given up (`ForceReconnect`).
const TROUBLE: Duration = Duration::from_secs(30);
/// Connections are given up for time-outs no more often than this.
const RECONNECT_GAP: Duration = Duration::from_secs(60);
/// Commands that may wait to be written to a connection. StackExchange's queue has no bound; this
/// one is deep enough that requests wait for the server and not here.
const WRITE_QUEUE: usize = 4096;

/// How long things may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Making a connection.
    pub connect: Duration,
    /// One command, with making the connection if there is none.
    pub operation: Duration,
    /// During how long a failed operation is tried again.
    pub retry: Duration,
}

/// The connections of one provider instance, used in turn.
pub struct Connections {
    links: Vec<Link>,
    next: Cell<usize>,
    limits: Limits,
    shut: Shut,
}

/// Shuts connections for good: whatever is sent from then on fails at once. Requests that are still
/// under way when a run is over would otherwise write behind the back of whoever cleans up.
#[derive(Debug, Clone, Default)]
pub struct Shut(Rc<Cell<bool>>);

impl Shut {
    /// Shuts them.
    pub fn close(&self) {
        self.0.set(true);
    }
}

impl Connections {
    /// Connections that are made when they are first needed.
    #[must_use]
    pub fn new(client: &Client, limits: Limits, count: u32, shut: Shut) -> Self {
        Self {
            links: (0..count.max(1)).map(|_| Link::new(client)).collect(),
            next: Cell::new(0),
            limits,
            shut,
        }
    }

    /// Makes all connections.
    ///
    /// # Errors
    /// The server cannot be reached or refuses.
    pub async fn open(&self) -> Result<(), StoreError> {
        for link in &self.links {
            link.make(self.limits.connect)
                .await
                .map_err(|failure| failure.into_store_error(self.limits.connect))?;
        }
        Ok(())
    }

    /// Sends a command, and again by the retry rule.
    ///
    /// # Errors
    /// The last failure when the retry timeout has passed.
    pub async fn command(
        &self,
        request: &RequestContext,
        command: &Cmd,
    ) -> Result<Value, StoreError> {
        self.trying(request, async || self.attempt(request, command).await)
            .await
    }

    /// Runs a script by its hash, or by its text when the server does not know it.
    ///
    /// # Errors
    /// As [`Self::command`].
    pub fn eval<'a>(
        &'a self,
        request: &'a RequestContext,
        script: &'a Script,
        keys: &[&str],
        arguments: &[&[u8]],
    ) -> impl Future<Output = Result<Value, StoreError>> + use<'a> {
        // Put together at once, so that nobody keeps keys and arguments while the server works.
        let by_hash = script.evalsha(keys, arguments);
        async move {
            let attempt = async || match self.attempt(request, &by_hash).await {
                Err(Failure::UnknownScript) => {
                    let by_text = script.eval(&by_hash);
                    Box::pin(self.attempt(request, &by_text)).await
                }
                other => other,
            };
            self.trying(request, attempt).await
        }
    }

    async fn trying(
        &self,
        request: &RequestContext,
        attempt: impl AsyncFn() -> Result<Value, Failure>,
    ) -> Result<Value, StoreError> {
        let started = clock::now();
        self.open_still()?;
        match attempt().await {
            Ok(value) => Ok(value),
            // Boxed, as all that is rare here: every operation would carry its bytes.
            Err(failure) => Box::pin(self.retrying(request, started, failure, attempt)).await,
        }
    }

    /// The retry rule: after 20 ms and then every second, until the retry timeout has passed.
    async fn retrying(
        &self,
        request: &RequestContext,
        started: Instant,
        mut failure: Failure,
        attempt: impl AsyncFn() -> Result<Value, Failure>,
    ) -> Result<Value, StoreError> {
        let mut wait = FIRST_WAIT;
        loop {
            let elapsed = clock::now().since(started);
            let left = self.limits.retry.saturating_sub(elapsed);
            if left.is_zero() {
                return Err(failure.into_store_error(self.limits.operation));
            }
            clock::sleep(wait.min(left)).await;
            wait = LATER_WAIT;
            count(&request.retries);
            self.open_still()?;
            match attempt().await {
                Ok(value) => return Ok(value),
                Err(again) => failure = again,
            }
        }
    }

    fn open_still(&self) -> Result<(), StoreError> {
        match self.shut.0.get() {
            true => Err(StoreError::Connection("the provider is closed".to_owned())),
            false => Ok(()),
        }
    }

    /// One attempt: a broken connection is made anew and the command sent once more.
    async fn attempt(&self, request: &RequestContext, command: &Cmd) -> Result<Value, Failure> {
        let link = &self.links[self.next.replace((self.next.get() + 1) % self.links.len())];
        match link.send(request, command, &self.limits).await {
            Err(Failure::Broken(_)) => {
                count(&request.retries);
                Box::pin(link.send(request, command, &self.limits)).await
            }
            other => other,
        }
    }
}

/// One connection that is made anew when it breaks.
struct Link {
    client: Client,
    live: RefCell<Option<(u64, MultiplexedConnection)>>,
    /// Held while a connection is made, so that many requests make one.
    making: tokio::sync::Mutex<()>,
    made: Cell<u64>,
    /// Since when nothing but time-outs happened.
    trouble_since: Cell<Option<Instant>>,
    forced: Cell<Option<Instant>>,
}

impl Link {
    fn new(client: &Client) -> Self {
        Self {
            client: client.clone(),
            live: RefCell::default(),
            making: tokio::sync::Mutex::default(),
            made: Cell::default(),
            trouble_since: Cell::default(),
            forced: Cell::default(),
        }
    }

    async fn send(
        &self,
        request: &RequestContext,
        command: &Cmd,
        limits: &Limits,
    ) -> Result<Value, Failure> {
        let sent = Cell::new(None);
        let sending = pin!(async {
            let (number, mut connection) = match self.live() {
                Some(live) => live,
                None => Box::pin(self.make(limits.connect)).await?,
            };
            sent.set(Some(number));
            connection
                .req_packed_command(command)
                .await
                .and_then(Value::extract_error)
                .map_err(Failure::from)
        });
        let result = clock::timeout(limits.operation, sending)
            .await
            .unwrap_or(Err(Failure::TimedOut));
        if let Some(number) = sent.get() {
            let received = result.as_ref().map_or(0, wire_length);
            request.count_round_trip(packed_length(command), received);
            self.judge(number, &result);
        }
        if matches!(result, Err(Failure::TimedOut)) {
            count(&request.timeouts);
        }
        result
    }

    /// The connection and its number, if there is one.
    fn live(&self) -> Option<(u64, MultiplexedConnection)> {
        self.live.borrow().clone()
    }

    /// Makes the connection, unless another request just did.
    async fn make(&self, limit: Duration) -> Result<(u64, MultiplexedConnection), Failure> {
        let _one_at_a_time = self.making.lock().await;
        if let Some(live) = self.live() {
            return Ok(live);
        }
        // The limits are ours and on our clock: redis-rs's own default would cut the tail at 500 ms.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None)
            .set_pipeline_buffer_size(WRITE_QUEUE);
        let making = self
            .client
            .get_multiplexed_async_connection_with_config(&config);
        let connection = match clock::timeout(limit, making).await {
            Ok(made) => made.map_err(Failure::from)?,
            Err(_) => return Err(Failure::TimedOut),
        };
        self.made.set(self.made.get() + 1);
        let live = (self.made.get(), connection);
        *self.live.borrow_mut() = Some(live.clone());
        Ok(live)
    }

    /// Gives a connection up that broke, or on which nothing but time-outs happened for long.
    fn judge(&self, number: u64, result: &Result<Value, Failure>) {
        let give_up = match result {
            Err(Failure::Broken(_)) => true,
            Err(Failure::TimedOut) => {
                let now = clock::now();
                let since = self.trouble_since.get().unwrap_or(now);
                self.trouble_since.set(Some(since));
                let lately = |at: Instant| now.since(at) < RECONNECT_GAP;
                let force = now.since(since) >= TROUBLE && !self.forced.get().is_some_and(lately);
                if force {
                    self.forced.set(Some(now));
                }
                force
            }
            _ => {
                self.trouble_since.set(None);
                false
            }
        };
        if give_up {
            let mut live = self.live.borrow_mut();
            // Another request may have made a new one already.
            if live.as_ref().is_some_and(|(made, _)| *made == number) {
                live.take();
            }
        }
    }
}

/// Why one command failed.
enum Failure {
    TimedOut,
    UnknownScript,
    /// The connection broke, or could not be made.
    Broken(RedisError),
    Refused(RedisError),
}

impl From<RedisError> for Failure {
    fn from(error: RedisError) -> Self {
        match error.kind() {
            ErrorKind::Server(ServerErrorKind::NoScript) => Self::UnknownScript,
            ErrorKind::Io | ErrorKind::Parse => Self::Broken(error),
            _ => Self::Refused(error),
        }
    }
}

impl Failure {
    fn into_store_error(self, limit: Duration) -> StoreError {
        match self {
            Self::TimedOut => StoreError::Timeout { limit },
            // The text was sent after it, so the server forgot it in between; the next try helps.
            Self::UnknownScript => StoreError::Refused("NOSCRIPT".to_owned()),
            Self::Broken(error) => StoreError::Connection(error.to_string()),
            Self::Refused(error) => StoreError::Refused(error.to_string()),
        }
    }
}

/// An error of a connection that is used without [`Connections`], as ours.
#[must_use]
pub fn store_error(error: RedisError) -> StoreError {
    Failure::from(error).into_store_error(Duration::ZERO)
}

fn count(counter: &Cell<u32>) {
    counter.set(counter.get() + 1);
}

/// Bytes of a command on the wire: an array of bulk strings.
fn packed_length(command: &Cmd) -> usize {
    let arguments = command.args_iter();
    let head = 3 + digits(arguments.len());
    head + arguments
        .map(|argument| match argument {
            redis::Arg::Simple(bytes) => bulk_length(bytes.len()),
            _ => bulk_length(1),
        })
        .sum::<usize>()
}

/// Bytes of a reply on the wire, for the replies that our commands get.
fn wire_length(value: &Value) -> usize {
    match value {
        Value::BulkString(bytes) => bulk_length(bytes.len()),
        Value::Int(number) => 3 + number.to_string().len(),
        Value::Array(values) => {
            3 + digits(values.len()) + values.iter().map(wire_length).sum::<usize>()
        }
        Value::SimpleString(text) => 3 + text.len(),
        _ => 5,
    }
}

fn bulk_length(length: usize) -> usize {
    5 + digits(length) + length
}

fn digits(number: usize) -> usize {
    number.checked_ilog10().unwrap_or(0) as usize + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_of_a_command_is_what_is_sent() {
        let command = redis::cmd("SET").arg("key").arg(vec![0u8; 1234]).take();
        assert_eq!(packed_length(&command), command.get_packed_command().len());
    }

    #[test]
    fn the_length_of_a_reply_is_what_was_received() {
        let wire = b"*4\r\n$3\r\nabc\r\n$-1\r\n:17\r\n+OK\r\n";
        let value = redis::parse_redis_value(wire).unwrap();
        assert_eq!(wire_length(&value), wire.len());
    }
}
