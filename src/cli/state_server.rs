//! `sessionbench state-server`: an ASP.NET state server.

use super::Outcome;
use crate::clock::{self, run_real};
use crate::quantity::Span;
use crate::servers::state_server::{LISTENING, Limits, serve};
use clap::Args;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

/// Arguments of `state-server`.
#[derive(Debug, Args)]
pub struct StateServerArguments {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:42424")]
    pub listen: SocketAddr,
    /// Length of a minute of session timeouts
    #[arg(long, value_name = "TIME", default_value = "1min")]
    pub minute: Span,
    /// End when standard input does, and so with the program that started this one
    #[arg(long, hide = true)]
    pub until_stdin_closes: bool,
}

/// Serves until it is told to stop.
///
/// # Errors
/// The operating system refuses a timer, an event queue or signals.
pub fn state_server(arguments: &StateServerArguments) -> anyhow::Result<Outcome> {
    let (listen, minute) = (arguments.listen, arguments.minute.duration());
    if minute.is_zero() {
        eprintln!("error: a minute of no length lets no session live; try `--minute 1s`");
        return Ok(Outcome::Configuration);
    }
    if !listen.ip().is_loopback() {
        eprintln!(
            "warning: whoever reaches {listen} can read and change every session: the protocol \
             knows neither passwords nor encryption"
        );
    }
    let closed = arguments.until_stdin_closes.then(stdin_closes);
    run_real(async move {
        let listener = match TcpListener::bind(listen).await {
            Ok(listener) => listener,
            Err(error) => {
                eprintln!("error: {}", explain(listen, &error));
                return Ok(Outcome::Configuration);
            }
        };
        let mut asked = signal(SignalKind::interrupt())?;
        let mut told = signal(SignalKind::terminate())?;
        println!("{LISTENING}{}", listener.local_addr()?);
        std::io::stdout().flush()?;
        let serving = clock::spawn(serve(listener, minute, Limits::default()));
        let parent_gone = async {
            match closed {
                // An error says that the thread is gone, and standard input with it.
                Some(closed) => drop(closed.await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            _ = asked.recv() => {}
            _ = told.recv() => {}
            () = parent_gone => {}
        }
        serving.cancel().await;
        Ok(Outcome::Good)
    })?
}

/// Tells when standard input is closed. On a thread of its own, since reading it blocks.
fn stdin_closes() -> oneshot::Receiver<()> {
    let (closed, receiver) = oneshot::channel();
    std::thread::spawn(move || {
        // Nobody writes; an error means as well that nobody is there.
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        // Nobody listens any more when the server stopped first.
        let _ = closed.send(());
    });
    receiver
}

fn explain(listen: SocketAddr, error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::AddrInUse => format!(
            "another program listens on {listen}; choose another address with `--listen`, or port 0 \
             for a free one"
        ),
        std::io::ErrorKind::AddrNotAvailable => {
            format!("{listen} is no address of this machine; choose another with `--listen`")
        }
        std::io::ErrorKind::PermissionDenied => {
            format!("listening on {listen} is not permitted; ports below 1024 need a privilege")
        }
        _ => format!("cannot listen on {listen}: {error}"),
    }
}
