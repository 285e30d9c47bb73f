//! One connection to one server, made when it is first needed and made anew when it breaks.
//!
//! In: a command of a request. Out: the reply, counted on the request with its bytes. The surprising
//! fact: a connection on which commands only time out is kept for 30 s, and given up at most once a
//! minute (`ForceReconnect`, facts §1.6).

use super::address::Address;
use super::command::Command;
use super::connection::Limits;
use super::dial::Dialer;
use super::failure::Failure;
use super::pipe::Pipe;
use crate::clock::{self, Instant};
use crate::session::RequestContext;
use redis::{Value, cmd};
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
    live: RefCell<Option<(u64, Pipe)>>,
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

    /// Sends a command, whose time counts from `started`; with `asking` as one whose slot is on its way
    /// to this server.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn send(
        &self,
        request: &RequestContext,
        command: &Command,
        asking: bool,
        started: Instant,
        limits: &Limits,
    ) -> Result<Value, Failure> {
        // The number of the connection, and the bytes that went out and came back.
        let traffic = Cell::new(None);
        let sending = pin!(async {
            // Boxed, as all that is rare here: every operation would carry its bytes.
            let (number, pipe) = match self.live() {
                Some(live) => live,
                None => Box::pin(self.make()).await?,
            };
            traffic.set(Some((number, 0, 0)));
            if asking {
                pipe.send(&Command::from(&cmd("ASKING")))?;
            }
            let sent = pipe.send(command)?;
            let bytes = sent.bytes;
            traffic.set(Some((number, bytes, 0)));
            let (value, received) = sent.reply().await?;
            traffic.set(Some((number, bytes, received)));
            value.extract_error().map_err(Failure::from)
        });
        let result = clock::timeout_at(started + limits.operation, sending)
            .await
            .unwrap_or(Err(Failure::TimedOut));
        if let Some((number, sent, received)) = traffic.get() {
            request.count_round_trip(sent, received);
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
    fn live(&self) -> Option<(u64, Pipe)> {
        self.live.borrow().clone()
    }

    /// Makes the connection, unless another request just did.
    async fn make(&self) -> Result<(u64, Pipe), Failure> {
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

/// Counts one.
pub fn count(counter: &Cell<u32>) {
    counter.set(counter.get() + 1);
}
