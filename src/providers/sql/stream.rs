//! A socket that counts what goes through it, under whatever protocol and TLS lie above.
//!
//! In: a connected socket. Out: the same, with a [`Meter`] that its owner can read. The surprising
//! fact: with TLS the counted bytes are those on the wire, encryption included.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Bytes that went through a socket so far. Atomic only because drivers want sockets to be `Send`.
#[derive(Debug, Clone, Default)]
pub struct Meter(Arc<[AtomicU64; 2]>);

impl Meter {
    /// Bytes sent and received.
    #[must_use]
    pub fn read(&self) -> (u64, u64) {
        let [sent, received] = &*self.0;
        (
            sent.load(Ordering::Relaxed),
            received.load(Ordering::Relaxed),
        )
    }
}

/// A socket that counts.
#[derive(Debug)]
pub struct Counted {
    stream: TcpStream,
    meter: Meter,
}

impl Counted {
    /// Counts what goes through a socket.
    #[must_use]
    pub fn new(stream: TcpStream) -> (Self, Meter) {
        let meter = Meter::default();
        let counted = Self {
            stream,
            meter: meter.clone(),
        };
        (counted, meter)
    }
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let read = buffer.filled().len() - before;
        self.meter.0[1].fetch_add(read as u64, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, bytes))?;
        self.meter.0[0].fetch_add(written as u64, Ordering::Relaxed);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
