//! A connection that many requests share: commands go out in the order in which they were sent, and
//! replies come back in the same order.
//!
//! In: commands. Out: their replies, with the bytes that both took. A command that nobody waits for
//! any more keeps its place, so that its reply is not taken for another's.
//!
//! redis-rs's own shared connection is not used: made for many threads, it passes each command and each
//! reply through a channel, which takes a good part of what the harness may take for an operation
//! (METHODOLOGY.md, "Speed of the harness").
//!
//! The surprising fact: a command that finds the connection idle is written at once, by whoever sends
//! it, and whoever gets a reply that leaves it idle runs before all others, so that the server works
//! while other requests are prepared. Where more replies are awaited, the driver writes after whoever
//! can run has run, and many commands share a system call.

use super::command::Command;
use super::reply::{self, Malformed};
use crate::clock;
use redis::Value;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that are read at once.
const READ_SIZE: usize = 16 * 1024;

/// What Redis's protocol runs on.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Why there is no reply: the connection broke.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// It is gone.
    #[error("{0}")]
    Gone(String),
    /// The other side speaks something else.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

/// A connection. The last clone that is dropped closes it.
#[derive(Clone)]
pub struct Pipe(Rc<Open>);

/// Closes the connection when it is dropped.
struct Open(Rc<State>);

/// What requests and the driver share.
struct State {
    stream: RefCell<Box<dyn Stream>>,
    /// Commands that are not handed to the system yet.
    unsent: RefCell<Vec<u8>>,
    /// Who waits for a reply, in the order of the commands.
    waiting: RefCell<VecDeque<Rc<Place>>>,
    /// Wakes the driver.
    driver: RefCell<Option<Waker>>,
    /// Why no more replies come.
    broken: RefCell<Option<Broken>>,
    closed: Cell<bool>,
}

/// A command's place among the replies.
#[derive(Default)]
struct Place {
    reply: RefCell<Option<Result<Reply, Broken>>>,
    waker: RefCell<Option<Waker>>,
}

/// A reply and the bytes that it took on the wire.
type Reply = (Value, usize);

/// A command under way.
pub struct Sent {
    /// The bytes that it takes on the wire.
    pub bytes: usize,
    place: Rc<Place>,
}

impl Pipe {
    /// A connection over a stream, driven by a task of its own.
    #[must_use]
    pub fn new(stream: Box<dyn Stream>) -> Self {
        let state = Rc::new(State {
            stream: RefCell::new(stream),
            unsent: RefCell::default(),
            waiting: RefCell::default(),
            driver: RefCell::default(),
            broken: RefCell::default(),
            closed: Cell::new(false),
        });
        let mut driver = Driver {
            state: Rc::clone(&state),
            arrived: Vec::new(),
        };
        clock::spawn_detached(poll_fn(move |context| driver.poll(context)));
        Self(Rc::new(Open(state)))
    }

    /// Sends a command, after those that were sent before it.
    ///
    /// # Errors
    /// [`Broken`], so that it was not sent.
    pub fn send(&self, command: &Command) -> Result<Sent, Broken> {
        let Open(state) = &*self.0;
        if let Some(why) = &*state.broken.borrow() {
            return Err(why.clone());
        }
        let wire = command.wire();
        let was_empty = {
            let mut unsent = state.unsent.borrow_mut();
            let was_empty = unsent.is_empty();
            unsent.extend_from_slice(wire);
            was_empty
        };
        let place = Rc::new(Place::default());
        let mut waiting = state.waiting.borrow_mut();
        let idle = waiting.is_empty();
        waiting.push_back(Rc::clone(&place));
        drop(waiting);
        if idle {
            state.write_at_once();
        } else if was_empty {
            state.wake_driver();
        }
        Ok(Sent {
            bytes: wire.len(),
            place,
        })
    }
}

impl Sent {
    /// The reply, which may be an error of the server's, and the bytes that it took on the wire.
    ///
    /// # Errors
    /// [`Broken`]; whether the server got the command is unknown then.
    pub async fn reply(self) -> Result<Reply, Broken> {
        poll_fn(|context| match self.place.reply.take() {
            Some(reply) => Poll::Ready(reply),
            None => {
                keep(&self.place.waker, context);
                Poll::Pending
            }
        })
        .await
    }
}

impl Place {
    fn fill(&self, reply: Result<Reply, Broken>) {
        *self.reply.borrow_mut() = Some(reply);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.closed.set(true);
        self.0.wake_driver();
    }
}

impl State {
    fn wake_driver(&self) {
        if let Some(driver) = &*self.driver.borrow() {
            driver.wake_by_ref();
        }
    }

    /// Writes without waiting for the driver, which goes on where the stream takes no more. A stream
    /// that breaks is left to the driver to find, so that nobody is told by two.
    fn write_at_once(&self) {
        let written = match &*self.driver.borrow() {
            Some(driver) => self.write(&mut Context::from_waker(driver)),
            // It has not begun, and will find the command.
            None => return,
        };
        if written.is_err() {
            self.wake_driver();
        }
    }

    /// Writes what there is, as far as the stream takes it now.
    fn write(&self, context: &mut Context<'_>) -> Result<(), Broken> {
        let mut stream = self.stream.borrow_mut();
        let mut unsent = self.unsent.borrow_mut();
        let mut sent = 0;
        let written = loop {
            if sent == unsent.len() {
                break Ok(());
            }
            match Pin::new(&mut **stream).poll_write(context, &unsent[sent..]) {
                Poll::Ready(Ok(0)) => break Err(gone("the connection is closed")),
                Poll::Ready(Ok(written)) => sent += written,
                Poll::Ready(Err(error)) => break Err(gone(error)),
                Poll::Pending => break Ok(()),
            }
        };
        unsent.drain(..sent);
        // TLS keeps what it is given until then.
        let flushed = Pin::new(&mut **stream).poll_flush(context);
        match flushed {
            Poll::Ready(Err(error)) => written.and(Err(gone(error))),
            _ => written,
        }
    }

    fn break_off(&self, why: &Broken) {
        *self.broken.borrow_mut() = Some(why.clone());
        for place in self.waiting.take() {
            place.fill(Err(why.clone()));
        }
    }
}

/// Keeps the waker of whoever waits now.
fn keep(waker: &RefCell<Option<Waker>>, context: &Context<'_>) {
    let mut waker = waker.borrow_mut();
    let known = |old: &Waker| old.will_wake(context.waker());
    if !waker.as_ref().is_some_and(known) {
        *waker = Some(context.waker().clone());
    }
}

/// Carries bytes between the requests and the stream.
struct Driver {
    state: Rc<State>,
    /// What arrived of a reply that is not whole yet.
    arrived: Vec<u8>,
}

impl Driver {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.state.closed.get() {
            return Poll::Ready(());
        }
        keep(&self.state.driver, context);
        let written = self.state.write(context);
        let carried = written.and_then(|()| self.read(context));
        match carried {
            Ok(()) => Poll::Pending,
            Err(why) => {
                self.state.break_off(&why);
                Poll::Ready(())
            }
        }
    }

    /// Reads what has arrived, and fills the places of the replies that are whole.
    fn read(&mut self, context: &mut Context<'_>) -> Result<(), Broken> {
        let mut bytes = [MaybeUninit::uninit(); READ_SIZE];
        loop {
            let mut buffer = ReadBuf::uninit(&mut bytes);
            let mut stream = self.state.stream.borrow_mut();
            match Pin::new(&mut **stream).poll_read(context, &mut buffer) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Err(error)) => return Err(gone(error)),
                Poll::Ready(Ok(())) => {}
            }
            let read = buffer.filled();
            if read.is_empty() {
                return Err(gone("the server hung up"));
            }
            if self.arrived.is_empty() {
                // Mostly whole replies, which need not be kept first.
                let used = self.fill(read)?;
                self.arrived.extend_from_slice(&read[used..]);
            } else {
                self.arrived.extend_from_slice(read);
                let used = self.fill(&self.arrived)?;
                self.arrived.drain(..used);
            }
        }
    }

    /// Fills the places of whole replies; returns the bytes that they took.
    fn fill(&self, arrived: &[u8]) -> Result<usize, Broken> {
        let mut used = 0;
        while let Some((value, length)) = reply::read(&arrived[used..])? {
            used += length;
            let (place, idle) = {
                let mut waiting = self.state.waiting.borrow_mut();
                (waiting.pop_front(), waiting.is_empty())
            };
            let place = place.ok_or_else(|| gone("a reply that nobody asked for"))?;
            let fill = || place.fill(Ok((value, length)));
            match idle {
                true => clock::at_once(fill),
                false => fill(),
            }
        }
        Ok(used)
    }
}

fn gone(why: impl ToString) -> Broken {
    Broken::Gone(why.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::run_virtual;
    use redis::cmd;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

    /// A connection, and the server's end of it.
    fn pipe() -> (Pipe, DuplexStream) {
        let (client, server) = tokio::io::duplex(64);
        (Pipe::new(Box::new(client)), server)
    }

    async fn read(server: &mut DuplexStream, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        server.read_exact(&mut bytes).await.unwrap();
        bytes
    }

    fn get() -> Command {
        Command::from(&cmd("GET").arg("a").take())
    }

    fn ping() -> Command {
        Command::from(&cmd("PING"))
    }

    const GET: &[u8] = b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n";

    #[test]
    fn a_command_goes_out_as_a_server_expects_it_and_its_reply_comes_back() {
        let (answer, _) = run_virtual(async {
            let (pipe, mut server) = pipe();
            let sent = pipe.send(&get()).unwrap();
            assert_eq!(sent.bytes, GET.len());
            assert_eq!(read(&mut server, GET.len()).await, GET);
            server.write_all(b"$2\r\nhi\r\n").await.unwrap();
            sent.reply().await
        })
        .unwrap();
        assert_eq!(answer, Ok((Value::BulkString(b"hi".to_vec()), 8)));
    }

    #[test]
    fn replies_find_their_commands_by_their_order_also_where_one_gave_up() {
        let (answers, _) = run_virtual(async {
            let (pipe, mut server) = pipe();
            let sent: [_; 3] = std::array::from_fn(|_| pipe.send(&get()).unwrap());
            let [first, second, third] = sent;
            drop(second);
            read(&mut server, 3 * GET.len()).await;
            server.write_all(b":1\r\n:2\r\n:3\r\n").await.unwrap();
            [first.reply().await, third.reply().await]
        })
        .unwrap();
        assert_eq!(answers, [1, 3].map(|number| Ok((Value::Int(number), 4))));
    }

    #[test]
    fn commands_and_replies_of_any_size_pass_in_pieces() {
        let (answer, _) = run_virtual(async {
            let (pipe, mut server) = pipe();
            let command = Command::from(&cmd("SET").arg("a").arg(vec![7; 100_000]).take());
            let sent = pipe.send(&command).unwrap();
            let bytes = sent.bytes;
            assert_eq!(read(&mut server, bytes).await, command.wire());
            let serving = clock::spawn(async move {
                server.write_all(b"$100000\r\n").await.unwrap();
                server.write_all(&[8; 100_000]).await.unwrap();
                server.write_all(b"\r\n").await.unwrap();
                server
            });
            let answer = sent.reply().await;
            serving.await;
            answer
        })
        .unwrap();
        assert_eq!(answer, Ok((Value::BulkString(vec![8; 100_000]), 100_011)));
    }

    #[test]
    fn when_the_server_hangs_up_all_who_wait_and_all_who_come_are_told() {
        run_virtual(async {
            let (pipe, server) = pipe();
            let sent = pipe.send(&ping()).unwrap();
            drop(server);
            assert!(matches!(sent.reply().await, Err(Broken::Gone(_))));
            assert!(matches!(pipe.send(&ping()), Err(Broken::Gone(_))));
        })
        .unwrap();
    }

    #[test]
    fn a_server_that_speaks_something_else_is_told_from_one_that_is_gone() {
        run_virtual(async {
            let (pipe, mut server) = pipe();
            let sent = pipe.send(&ping()).unwrap();
            server.write_all(b"HTTP/1.1 400").await.unwrap();
            assert!(matches!(sent.reply().await, Err(Broken::Malformed(_))));
        })
        .unwrap();
    }

    #[test]
    fn a_connection_that_nobody_keeps_is_closed() {
        let (end, _) = run_virtual(async {
            let (pipe, mut server) = pipe();
            let other = pipe.clone();
            drop(pipe);
            other.send(&ping()).unwrap();
            read(&mut server, 14).await;
            drop(other);
            server.read(&mut [0]).await.unwrap()
        })
        .unwrap();
        assert_eq!(end, 0);
    }
}
