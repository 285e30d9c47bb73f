//! What each kind of request costs in store round trips: by design, as the provider tells it, and as
//! the server counts it.
//!
//! In: a site of its own on which nothing else happens. Out: a row for each path of the request
//! module (facts §1.5). The surprising fact: the first request of a kind costs more, because the
//! server does not know its script yet; each path is played once before it counts.

use super::module::{PATIENT, module, request};
use super::probe::{Bench, Otherwise, deviates, item};
use super::subject::TIMEOUT;
use crate::providers::RoundTrips;
use crate::session::module::{Access, Constants, Ending, Request, Session, SessionStateModule};
use crate::session::observer::AcquireError;
use crate::session::{SessionId, StoreError, Value};
use serde::Serialize;
use std::time::Duration;

/// One path and its cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Path {
    /// Which requests take it.
    pub path: &'static str,
    /// Round trips by the table of capabilities.
    pub designed: u32,
    /// How many more there may be, by what else happened at the same time.
    pub by_chance: u32,
    /// Round trips that the provider told; `None` where the request could not be played.
    pub told: Option<u32>,
    /// Commands that the server counted; `None` where it does not tell, or others may use it.
    pub counted: Option<u64>,
    /// Why the request could not be played.
    pub failed: Option<String>,
}

impl Path {
    /// Whether all counts agree.
    #[must_use]
    pub fn as_designed(&self) -> bool {
        let designed = self.designed..=self.designed + self.by_chance;
        let told = self.told.filter(|told| designed.contains(told));
        told.is_some_and(|told| {
            self.counted
                .is_none_or(|counted| counted == u64::from(told))
        })
    }
}

/// A path through the request module.
#[derive(Clone, Copy)]
enum Kind {
    /// A request with a cookie that takes the session's lock.
    Page {
        /// Whether the session is there.
        stored: bool,
        /// Whether it writes.
        writes: bool,
        /// How it ends.
        ending: Ending,
    },
    ReadOnly,
    Reset,
    NewVisit,
    Poll,
}

/// Every path with its round trips by design.
fn paths(designed: RoundTrips) -> [(&'static str, Kind, u32); 10] {
    let page = |stored, writes, ending| Kind::Page {
        stored,
        writes,
        ending,
    };
    [
        (
            "session written",
            page(true, true, Ending::Success),
            designed.dirty,
        ),
        (
            "session unchanged",
            page(true, false, Ending::Success),
            designed.clean,
        ),
        (
            "request error",
            page(true, true, Ending::Error),
            designed.clean,
        ),
        ("read only", Kind::ReadOnly, designed.read_only),
        ("session not needed", Kind::Reset, designed.reset),
        (
            "stale cookie, written",
            page(false, true, Ending::Success),
            designed.stale_dirty,
        ),
        (
            "stale cookie, unchanged",
            page(false, false, Ending::Success),
            designed.stale_clean,
        ),
        ("no cookie, written", Kind::NewVisit, designed.new_visit),
        (
            "abandoned",
            page(true, false, Ending::Abandon),
            designed.abandon,
        ),
        ("one poll of a waiter", Kind::Poll, designed.poll),
    ]
}

/// Plays every path.
///
/// # Errors
/// The store cannot be asked.
pub async fn measure(bench: &Bench, designed: RoundTrips) -> Result<Vec<Path>, StoreError> {
    let mut measured = Vec::new();
    let by_chance = designed.by_chance;
    for (path, kind, designed) in paths(designed) {
        let (told, counted, failed) = match play_twice(bench, kind).await {
            Ok((told, counted)) => (Some(told), counted, None),
            Err(Otherwise::Store(error @ StoreError::Connection(_))) => return Err(error),
            Err(otherwise) => (None, None, Some(otherwise.to_string())),
        };
        measured.push(Path {
            path,
            designed,
            by_chance,
            told,
            counted,
            failed,
        });
    }
    Ok(measured)
}

/// Plays a request, once for the server to learn its scripts and once to count.
async fn play_twice(bench: &Bench, kind: Kind) -> Result<(u32, Option<u64>), Otherwise> {
    play(bench, kind).await?;
    play(bench, kind).await
}

/// Plays one request; returns what it cost.
async fn play(bench: &Bench, kind: Kind) -> Result<(u32, Option<u64>), Otherwise> {
    let id = bench.site.id();
    if !matches!(kind, Kind::NewVisit | Kind::Page { stored: false, .. }) {
        bench.a.store_new(id, &item("first")).await?;
    }
    if let Kind::Poll = kind {
        bench.a.take(id).await?;
    }
    let module = module(&bench.a, PATIENT)?;
    let before = counted(bench).await?;
    let request = request();
    match kind {
        Kind::Page { writes, ending, .. } => {
            page(&module, &request, id, Access::Exclusive, writes, ending).await?;
        }
        Kind::ReadOnly => {
            page(
                &module,
                &request,
                id,
                Access::ReadOnly,
                false,
                Ending::Success,
            )
            .await?;
        }
        Kind::Reset => module.keep_alive(&request, id, TIMEOUT).await?,
        Kind::NewVisit => {
            let mut session = Session::without_cookie(id, TIMEOUT);
            session.item.set("page", Value::Int32(1));
            module.release(&request, &session, Ending::Success).await?;
        }
        Kind::Poll => poll_once(bench, &request, id).await?,
    }
    // Giving up after the poll is no part of it.
    if !matches!(kind, Kind::Poll) {
        module.end_request(&request, id).await?;
    }
    let told = request.context.round_trips.get();
    let after = counted(bench).await?;
    let counted = after.zip(before).map(|(after, before)| after - before);
    if let Kind::Poll = kind {
        module.end_request(&request, id).await?;
    }
    Ok((told, counted))
}

async fn page(
    module: &SessionStateModule,
    request: &Request,
    id: SessionId,
    access: Access,
    writes: bool,
    ending: Ending,
) -> Result<(), Otherwise> {
    let acquired = module.acquire(request, id, access, TIMEOUT).await;
    let mut session = acquired.or_else(|error| deviates(error.to_string()))?;
    if writes {
        session.item.set("page", Value::Int32(1));
    }
    Ok(module.release(request, &session, ending).await.map(drop)?)
}

/// A request that asks for a locked session once and gives up.
async fn poll_once(bench: &Bench, request: &Request, id: SessionId) -> Result<(), Otherwise> {
    let impatient = Constants {
        execution_timeout: Duration::ZERO,
        ..PATIENT
    };
    let module = module(&bench.a, impatient)?;
    let acquired = module.acquire(request, id, Access::Exclusive, TIMEOUT);
    match acquired.await {
        Err(AcquireError::WaitedTooLong) => Ok(()),
        Err(error) => deviates(error.to_string()),
        Ok(_) => deviates("a held session was given to a second request"),
    }
}

/// Commands that the server has received, where it is ours alone.
async fn counted(bench: &Bench) -> Result<Option<u64>, Otherwise> {
    let provider = &bench.site.provider;
    match provider.server() {
        Some(server) if server.managed => Ok(provider.commands_received().await?),
        _ => Ok(None),
    }
}
