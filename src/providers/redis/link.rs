//! One connection to one server, made when it is first needed and made anew when it breaks.
//!
//! In: a command of a request. Out: the reply, counted on the request with its bytes. The surprising
//! fact: a connection on which commands only time out is kept for 30 s, and given up at most once a
//! minute (`ForceReconnect`, facts §1.6).

use super::address::Address;
use super::connection::Limits;
use super::dial::Dialer;
use super::failure::Failure;
use crate::clock::{self, Instant};
use crate::session::RequestContext;
use redis::aio::{ConnectionLike as _, MultiplexedConnection};
use redis::{Cmd, Value};
use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

/// A connection that only timed out for so long is given up (`ForceReconnect`).
const TROUBLE: Duration = Duration::from_secs(30);
/// Connections are given up for time-outs no more often than this.
const RECONNECT_GAP: Duration = Duration::from_secs(60);

/// One connection that is made anew when it breaks.
pub struct Link {
    dialer: Rc<Dialer>,
    at: Address,
    live: RefCell<Option<(u64, MultiplexedConnection)>>,
    /// Held while a connection is made, so that many requests make one.
    making: tokio::sync::Mutex<()>,
    made: Cell<u64>,
    /// Since when nothing but time-outs happened.
    trouble_since: Cell<Option<Instant>>,
    forced: Cell<Option<Instant>>,
}

impl Link {
    /// A connection that is made when it is first needed.
    #[must_use]
    pub fn new(dialer: &Rc<Dialer>, at: &Address) -> Self {
        Self {
            dialer: Rc::clone(dialer),
            at: at.clone(),
            live: RefCell::default(),
            making: tokio::sync::Mutex::default(),
            made: Cell::default(),
            trouble_since: Cell::default(),
            forced: Cell::default(),
        }
    }

    /// Sends a command; with `asking` as one whose slot is on its way to this server.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn send(
        &self,
        request: &RequestContext,
        command: &Cmd,
        asking: bool,
        limits: &Limits,
    ) -> Result<Value, Failure> {
        let sent = Cell::new(None);
        let sending = pin!(async {
            // Boxed, as all that is rare here: every operation would carry its bytes.
            let (number, mut connection) = match self.live() {
                Some(live) => live,
                None => Box::pin(self.make()).await?,
            };
            sent.set(Some(number));
            let answer = match asking {
                false => connection.req_packed_command(command).await,
                true => Box::pin(after_asking(&mut connection, command)).await,
            };
            answer.and_then(Value::extract_error).map_err(Failure::from)
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

    /// Makes the connection, if there is none.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn open(&self) -> Result<(), Failure> {
        self.make().await.map(drop)
    }

    /// The connection and its number, if there is one.
    fn live(&self) -> Option<(u64, MultiplexedConnection)> {
        self.live.borrow().clone()
    }

    /// Makes the connection, unless another request just did.
    async fn make(&self) -> Result<(u64, MultiplexedConnection), Failure> {
        let _one_at_a_time = self.making.lock().await;
        if let Some(live) = self.live() {
            return Ok(live);
        }
        let connection = self.dialer.commands(&self.at).await?;
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

/// Sends ASKING and a command, with nothing in between.
async fn after_asking(
    connection: &mut MultiplexedConnection,
    command: &Cmd,
) -> redis::RedisResult<Value> {
    let mut both = redis::pipe();
    both.cmd("ASKING").add_command(command.clone());
    let mut answers = connection.req_packed_commands(&both, 1, 1).await?;
    Ok(answers.pop().unwrap_or(Value::Nil))
}

/// Counts one.
pub fn count(counter: &Cell<u32>) {
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
