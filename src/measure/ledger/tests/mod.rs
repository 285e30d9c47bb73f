//! The ledger, told by hand what happened. Timeouts are one minute, unless a test says otherwise.

mod alive;
mod closing;
mod content;
mod ends;

use super::*;
use crate::result::{Invariant, SessionEnds};
use crate::session::observer::{Grant, Release, RequestNumber, ServerIndex, Written};
use crate::session::value::TextPool;
use crate::session::{EndNotice, Item, Minutes, Noticed, Stamp};
use std::rc::Rc;
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);
const TIMEOUT: Minutes = Minutes(1);
const OWNER: u64 = 7;

fn id() -> SessionId {
    SessionId::private(1)
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn at(seconds: u64) -> Instant {
    Instant::START + secs(seconds)
}

/// A content after so many page views; every life here starts with its own number.
fn stamp(life: u64, pages: u32) -> Stamp {
    (0..pages).fold(Stamp::begin(OWNER, life), |stamp, page| {
        stamp.updated(life * 100 + u64::from(page), 1)
    })
}

fn item(stamp: Stamp) -> Item {
    thread_local! {
        static POOL: Rc<TextPool> = Rc::new(TextPool::new(1, 0.0));
    }
    let mut item = Item::new(TIMEOUT);
    POOL.with(|pool| stamp.write(&mut item, pool, 0));
    item
}

fn tick() -> Noticed {
    Noticed::Tick {
        origin: at(0),
        period: secs(20),
    }
}

/// A ledger and the promises it watches.
struct Book {
    ledger: Ledger,
    integrity: Integrity,
    /// How long every operation takes.
    latency: Duration,
}

impl Book {
    fn new() -> Self {
        Self::of(StoreKind::Private, Some(Detection::CacheWheel))
    }

    fn of(kind: StoreKind, detection: Option<Detection>) -> Self {
        Self {
            ledger: Ledger::new(kind, MINUTE, EndDesign { detection }, at(0)),
            integrity: Integrity::default(),
            latency: Duration::ZERO,
        }
    }

    fn operation(&mut self, verb: Verb, outcome: Outcome, started: Instant) {
        let operation = Operation {
            server: ServerIndex(0),
            request: RequestNumber(0),
            id: id(),
            verb,
            started,
            done: started + self.latency,
            outcome,
            timeout: TIMEOUT,
        };
        self.ledger.operation(&operation, &mut self.integrity);
    }

    fn grant(&mut self, request: u64, at: Instant, item: Option<&Item>, exclusive: bool) {
        let grant = Grant {
            server: ServerIndex(0),
            request: RequestNumber(request),
            id: id(),
            exclusive,
            asked: at,
            granted: at + self.latency,
            polls: 1,
            item,
        };
        self.ledger.granted(&grant, &mut self.integrity);
    }

    fn release(&mut self, request: u64, at: Instant, written: Written<'_>) -> Option<Duration> {
        let release = Release {
            server: ServerIndex(0),
            request: RequestNumber(request),
            id: id(),
            sent: at,
            done: at + self.latency,
            written,
        };
        self.ledger.released(&release, &mut self.integrity)
    }

    /// A request gets the session with this content and its lock.
    fn takes(&mut self, request: u64, at: Instant, content: Stamp) {
        self.operation(Verb::GetItemExclusive, Outcome::Found, at);
        self.grant(request, at, Some(&item(content)), true);
    }

    /// A request finds no session, creates one and holds its lock.
    fn takes_new(&mut self, request: u64, at: Instant) {
        self.operation(Verb::GetItemExclusive, Outcome::Missing, at);
        self.operation(Verb::GetItemExclusive, Outcome::Found, at);
        self.grant(request, at, None, true);
    }

    /// A request writes a content, and the store says that it did.
    fn writes(&mut self, request: u64, at: Instant, content: Stamp) {
        self.operation(Verb::SetAndReleaseItemExclusive, Outcome::Done, at);
        self.release(request, at, Written::Item(&item(content)));
    }

    /// A write of which nobody knows whether the store did it.
    fn writes_perhaps(&mut self, request: u64, at: Instant, content: Stamp) {
        self.operation(Verb::SetAndReleaseItemExclusive, Outcome::TimedOut, at);
        self.release(request, at, Written::Unknown(&item(content)));
    }

    fn logs_out(&mut self, request: u64, at: Instant) {
        self.operation(Verb::RemoveItem, Outcome::Done, at);
        self.release(request, at, Written::Removed);
    }

    fn ends_with(&mut self, at: Instant, item: Option<Item>, noticed: Noticed) -> RaisedEnd {
        let notice = EndNotice {
            id: id(),
            item,
            noticed,
        };
        self.ledger.end_raised(&notice, at, &mut self.integrity)
    }

    fn ends(&mut self, at: Instant, content: Stamp) -> RaisedEnd {
        self.ends_with(at, Some(item(content)), tick())
    }

    /// The handler of an end took a second and committed the visit, or threw.
    fn handled(&mut self, end: &RaisedEnd, committed: bool) {
        let done = end.raised + secs(1);
        self.ledger
            .end_handled(end, done, committed, &mut self.integrity);
    }

    /// The session ends and its visit is committed.
    fn ends_and_commits(&mut self, at: Instant, content: Stamp) {
        let end = self.ends(at, content);
        self.handled(&end, true);
    }

    fn forget_old(&mut self, at: Instant) {
        self.ledger.forget_old(at, &mut self.integrity);
    }

    fn finish(&mut self, at: Instant) -> SessionEnds {
        self.ledger.finish(at, &mut self.integrity)
    }

    /// Page views after closing the books long after everything.
    fn views(&mut self) -> PageViews {
        self.finish(at(100_000));
        self.ledger.page_views()
    }

    fn promise(&self, promise: Promise) -> Invariant {
        self.integrity.result(at(0))[promise as usize - 1].clone()
    }

    /// Session, second and finding of the first offenders of a wrong.
    fn offenders(&self, wrong: &str) -> Vec<(String, u64, String)> {
        let mut all = self.integrity.offenders(at(0));
        let tell = |it: crate::result::Offender| (it.session, it.at_ns / 1_000_000_000, it.found);
        let first = all.remove(wrong).unwrap_or_default();
        first.into_iter().map(tell).collect()
    }

    fn broken(&self, promise: Promise) -> u64 {
        self.promise(promise).violations
    }
}

/// A session created at 0 s, and so due at 60 s.
fn created() -> Book {
    let mut book = Book::new();
    book.writes(1, at(0), stamp(1, 1));
    book
}

/// A session that the store wrote at some time between 0 and 10 s, and so due from 60 to 70 s.
fn created_slowly() -> Book {
    let mut book = Book::new();
    book.latency = secs(10);
    book.writes(1, at(0), stamp(1, 1));
    book
}

/// A session whose visitor logged out at 11 s.
fn logged_out() -> Book {
    let mut book = created();
    book.takes(2, at(10), stamp(1, 1));
    book.logs_out(2, at(11));
    book
}

/// A session whose visitor saw a second page view at 11 s, and so due at 71 s.
fn visited_twice() -> Book {
    let mut book = created();
    book.takes(2, at(10), stamp(1, 1));
    book.writes(2, at(11), stamp(1, 2));
    book
}
