//! What is measured: requests, operations, locks, session ends, and the promises behind them.
//!
//! In: everything that the request module, the visitors and the session-end handler tell, as it
//! happens ([`Observer`] and the methods of [`Recorder`]). Out: the numbers of one run, in the
//! types of `result/`. One recorder serves one run; its memory grows with the number of live
//! sessions and not with the length of the run.
//!
//! The surprising fact: nothing here asks a provider how it is doing. The ledger knows from the
//! contract what each session is, and compares.

mod due;
mod handover;
mod integrity;
mod ledger;
mod life;
mod locks;
mod requests;
mod timeline;
mod values;

pub use integrity::Promise;
pub use ledger::{EndDesign, RaisedEnd};
pub use requests::{Failure, RequestDone};
pub use values::Values;

use crate::clock::{self, Instant};
use crate::fetch::Kept;
use crate::result::{
    Conservation, Invariant, Offender, Operations, PageViews, Requests, SessionEnds,
    SessionTimeline, Store, Timeline,
};
use crate::session::observer::{
    AcquireError, Grant, Observer, Operation, Outcome, Release, RequestNumber, ServerIndex, Verb,
};
use crate::session::{EndNotice, Item, SessionId, StoreKind};
use integrity::Integrity;
use ledger::Ledger;
use locks::{LockMeter, Queues};
use requests::{Progress, RequestMeter};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::Duration;
use timeline::TimelineMeter;

/// What a recorder must know before the first request.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Cluster and index of every CD server, in the order of [`ServerIndex`].
    pub servers: Vec<(String, u32)>,
    /// Start of the traffic, from which the result's instants count.
    pub started: Instant,
    /// End of the warm-up.
    pub measured_from: Instant,
    /// End of the traffic, unless it is interrupted.
    pub measured_until: Instant,
    /// Real length of a minute of site time.
    pub minute: Duration,
    /// How private and shared sessions end.
    pub ends: [EndDesign; 2],
    /// The shared session's id of an owner.
    pub shared_id: fn(u64, u64) -> SessionId,
    /// The scenario's seed.
    pub seed: u64,
}

/// Records everything that happens in one run.
pub struct Recorder {
    setup: Setup,
    measured_until: Cell<Instant>,
    state: RefCell<State>,
}

struct State {
    requests: RequestMeter,
    /// One for each CD server and store kind.
    lanes: Vec<Lane>,
    queues: Queues,
    ledgers: [Ledger; 2],
    integrity: Integrity,
    timeline: TimelineMeter,
}

/// One store kind as one CD server sees it.
#[derive(Default)]
struct Lane {
    operations: [OperationMeter; Verb::ALL.len()],
    locks: LockMeter,
}

#[derive(Default)]
struct OperationMeter {
    latency: Values,
    failed: u64,
    timed_out: u64,
}

/// The live figures of a run, for progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Live {
    /// Requests answered in the last second.
    pub requests: u64,
    /// Sessions alive, both kinds.
    pub sessions: u64,
    /// Sessions due and not ended, both kinds.
    pub backlog: u64,
    /// Session ends so far, both kinds.
    pub ends: u64,
    /// Longest lag in the last second.
    pub lag: Duration,
}

/// Everything that a recorder found out.
pub struct Recorded {
    /// Page requests.
    pub requests: Requests,
    /// Operations and locks by CD server and store kind.
    pub stores: Vec<Store>,
    /// Session ends by store kind.
    pub session_ends: Vec<SessionEnds>,
    /// Page views.
    pub page_views: PageViews,
    /// The promises.
    pub integrity: Vec<Invariant>,
    /// The first offenders of what no promise tells apart.
    pub offenders: BTreeMap<String, Vec<Offender>>,
    /// The sums.
    pub conservation: Vec<Conservation>,
    /// The time series.
    pub timeline: Timeline,
    /// The most contended sessions.
    pub contention: Vec<SessionTimeline>,
    /// Both sides of Little's law.
    pub in_progress: (f64, f64),
}

impl Recorder {
    /// A recorder for one run.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        let (from, until) = (setup.measured_from, setup.measured_until);
        let ledger =
            |kind: StoreKind| Ledger::new(kind, setup.minute, setup.ends[kind as usize], from);
        let state = State {
            requests: RequestMeter::new(from, until, setup.servers.len()),
            lanes: setup
                .servers
                .iter()
                .flat_map(|_| [Lane::default(), Lane::default()])
                .collect(),
            queues: Queues::default(),
            ledgers: StoreKind::ALL.map(ledger),
            integrity: Integrity::default(),
            timeline: TimelineMeter::default(),
        };
        Self {
            measured_until: Cell::new(until),
            setup,
            state: RefCell::new(state),
        }
    }

    /// A request's intended instant came.
    pub fn request_intended(&self) {
        self.state.borrow_mut().requests.intended();
    }

    /// A request is never sent: the run ended first.
    pub fn request_not_sent(&self) {
        self.state.borrow_mut().requests.not_sent();
    }

    /// A request was sent to a CD server.
    pub fn request_sent(&self, server: ServerIndex, now: Instant) {
        self.state.borrow_mut().requests.sent(server, now);
    }

    /// A request was answered.
    pub fn request_done(&self, request: &RequestDone<'_>) {
        let state = &mut *self.state.borrow_mut();
        state.requests.done(request);
        if let Some(failure) = request.failure {
            let found = || format!("request failed: {}", failure.name());
            let (at, id) = (request.done, request.session);
            state.integrity.offended("failed", at, id, found);
        }
    }

    /// A provider raised session end.
    pub fn end_raised(&self, notice: &EndNotice) -> RaisedEnd {
        let state = &mut *self.state.borrow_mut();
        let kind = notice.id.kind();
        let ledger = &mut state.ledgers[kind as usize];
        let raised = ledger.end_raised(notice, clock::now(), &mut state.integrity);
        if kind == StoreKind::Private
            && let Some(owner) = raised.owner
        {
            let shared = (self.setup.shared_id)(self.setup.seed, owner);
            let [private, shared_ledger] = &mut state.ledgers;
            if shared_ledger.is_over(shared) {
                private.contact_gone(&raised, &mut state.integrity);
            }
        }
        raised
    }

    /// The handler of a session end is done; `committed` unless it threw.
    pub fn end_handled(&self, end: &RaisedEnd, committed: bool) {
        let state = &mut *self.state.borrow_mut();
        let ledger = &mut state.ledgers[end.id.kind() as usize];
        ledger.end_handled(end, clock::now(), committed, &mut state.integrity);
    }

    /// Closes a second of the timeline.
    pub fn step(&self) -> Live {
        let now = clock::now();
        let state = &mut *self.state.borrow_mut();
        let requests = state.requests.step(now);
        let [private, shared] = &mut state.ledgers;
        let (private, shared) = (private.step(now), shared.step(now));
        state
            .timeline
            .push(requests, state.queues.waiting(), private, shared);
        for ledger in &mut state.ledgers {
            if ledger.has_grown() {
                ledger.forget_old(now, &mut state.integrity);
            }
        }
        Live {
            requests: requests.done,
            sessions: private.alive + shared.alive,
            backlog: private.overdue + shared.overdue,
            ends: private.ends + shared.ends,
            lag: requests.lag_max,
        }
    }

    /// Sessions whose end is still to come, of the kinds that raise it at all.
    #[must_use]
    pub fn awaited(&self) -> u64 {
        let state = self.state.borrow();
        let raising = state.ledgers.iter().zip(&self.setup.ends);
        let raising = raising.filter(|(_, design)| design.detection.is_some());
        raising.map(|(ledger, _)| ledger.awaited()).sum()
    }

    /// The traffic ends: requests sent from now on are not measured.
    pub fn traffic_ends(&self, now: Instant) {
        self.measured_until.set(now);
        self.state.borrow_mut().requests.traffic_ends(now);
    }

    /// Requests in progress.
    #[must_use]
    pub fn in_progress(&self) -> u64 {
        self.state.borrow().requests.in_progress()
    }

    /// Closes the books. Whatever has not happened by now never does.
    #[must_use]
    pub fn finish(&self) -> Recorded {
        let now = clock::now();
        let started = self.setup.started;
        let state = &mut *self.state.borrow_mut();
        let Progress { mean, expected } = state.requests.progress();
        let servers = &self.setup.servers;
        let integrity = &mut state.integrity;
        let ends = state
            .ledgers
            .each_mut()
            .map(|ledger| ledger.finish(now, integrity));
        let page_views = state.ledgers[StoreKind::Private as usize].page_views();
        let requests = state.requests.result(started, |at| servers[at].clone());
        Recorded {
            conservation: conservation(&requests, &ends, &page_views),
            requests,
            stores: stores(&mut state.lanes, servers),
            session_ends: ends.into(),
            page_views,
            integrity: state.integrity.result(started),
            offenders: state.integrity.offenders(started),
            timeline: state.timeline.result(
                self.setup.measured_from.since(started),
                self.measured_until.get().since(started),
            ),
            contention: state.queues.timelines(started),
            in_progress: (mean, expected),
        }
    }
}

fn stores(lanes: &mut [Lane], servers: &[(String, u32)]) -> Vec<Store> {
    let names = servers
        .iter()
        .flat_map(|server| StoreKind::ALL.map(|kind| (server, kind)));
    lanes
        .iter_mut()
        .zip(names)
        .map(|(lane, ((cluster, server), kind))| Store {
            cluster: cluster.clone(),
            server: *server,
            kind: kind.name().to_owned(),
            operations: Verb::ALL
                .into_iter()
                .zip(&mut lane.operations)
                .filter_map(|(verb, meter)| {
                    let any = !meter.latency.histogram().is_empty();
                    any.then(|| (verb.name().to_owned(), meter.result()))
                })
                .collect(),
            locks: lane.locks.result(),
        })
        .collect()
}

impl OperationMeter {
    fn result(&mut self) -> Operations {
        Operations {
            latency: self.latency.distribution(),
            failed: self.failed,
            timed_out: self.timed_out,
        }
    }
}

/// The sums that must come out even (METHODOLOGY.md, "Sums").
fn conservation(requests: &Requests, ends: &[SessionEnds], views: &PageViews) -> Vec<Conservation> {
    let sum = |equation: String, left, right| Conservation {
        equation,
        left,
        right,
        holds: left == right,
    };
    let failed: u64 = requests.failed.values().sum();
    let mut sums = vec![
        sum(
            "requests intended = sent + not sent".to_owned(),
            requests.intended,
            requests.sent + requests.not_sent,
        ),
        sum(
            "requests sent = ok + failed + in flight".to_owned(),
            requests.sent,
            requests.ok + failed + requests.in_flight,
        ),
    ];
    for ends in ends {
        sums.push(sum(
            format!(
                "{} sessions started = ended once + ended more + missed + alive",
                ends.kind
            ),
            ends.started,
            ends.ended_once + ends.ended_more + ends.missed + ends.alive,
        ));
    }
    sums.push(sum(
        "page views performed = committed + alive + lost with their visit + lost in it".to_owned(),
        views.performed,
        views.committed + views.alive + views.lost_with_visit + views.lost_in_visit,
    ));
    sums
}

impl State {
    fn lane(&mut self, server: ServerIndex, id: SessionId) -> &mut Lane {
        &mut self.lanes[server.0 as usize * 2 + id.kind() as usize]
    }
}

impl Recorder {
    fn measures(&self, at: Instant) -> bool {
        (self.setup.measured_from..self.measured_until.get()).contains(&at)
    }
}

impl Observer for Recorder {
    fn kept(&self, id: SessionId) -> Kept {
        self.state.borrow().ledgers[id.kind() as usize].kept(id)
    }

    fn operation(&self, operation: &Operation) {
        let state = &mut *self.state.borrow_mut();
        let kind = operation.id.kind() as usize;
        state.ledgers[kind].operation(operation, &mut state.integrity);
        if !self.measures(operation.started) {
            return;
        }
        let lane = state.lane(operation.server, operation.id);
        lane.locks.wasted_polls += u64::from(operation.outcome == Outcome::Locked);
        let meter = &mut lane.operations[operation.verb as usize];
        meter.latency.record_time(operation.started, operation.done);
        meter.failed += u64::from(operation.outcome == Outcome::Failed);
        meter.timed_out += u64::from(operation.outcome == Outcome::TimedOut);
    }

    fn waiting(&self, server: ServerIndex, request: RequestNumber, id: SessionId, since: Instant) {
        let state = &mut *self.state.borrow_mut();
        let holder = state.ledgers[id.kind() as usize].holder(id);
        let length = state.queues.enter(id, request, server, since, holder);
        let locks = &mut state.lane(server, id).locks;
        locks.longest_queue = locks.longest_queue.max(length);
    }

    fn stolen(&self, server: ServerIndex, request: RequestNumber, id: SessionId, at: Instant) {
        let state = &mut *self.state.borrow_mut();
        let found = || format!("request {} took its lock by force", request.0);
        state.integrity.offended("steals", at, id, found);
        state.lane(server, id).locks.steals += 1;
        state.ledgers[id.kind() as usize].stolen(id);
    }

    fn granted(&self, grant: &Grant<'_>) {
        let state = &mut *self.state.borrow_mut();
        state.ledgers[grant.id.kind() as usize].granted(grant, &mut state.integrity);
        let left = state.queues.granted(grant);
        if left.waited {
            state.integrity.checked(Promise::Liveness);
        }
        if !grant.exclusive || !self.measures(grant.asked) {
            return;
        }
        let locks = &mut state.lane(grant.server, grant.id).locks;
        locks.acquire_wait.record_time(grant.asked, grant.granted);
        locks.polls.record(grant.polls.into());
        locks.contended += u64::from(left.waited);
        locks.overtakes += u64::from(left.overtook);
        if let Some(free_since) = left.free_since {
            locks.hand_over.record_time(free_since, grant.granted);
        }
    }

    fn refused(
        &self,
        server: ServerIndex,
        request: RequestNumber,
        id: SessionId,
        why: &AcquireError,
    ) {
        let state = &mut *self.state.borrow_mut();
        state.queues.gave_up(id, request);
        let locks = &mut state.lane(server, id).locks;
        match why {
            AcquireError::Store(_) => return,
            AcquireError::QueueLimit => locks.queue_limit_refusals += 1,
            AcquireError::WaitedTooLong => locks.waited_too_long += 1,
        }
        state.integrity.checked(Promise::Liveness);
        let found = || why.to_string();
        state
            .integrity
            .broken(Promise::Liveness, clock::now(), Some(id), found);
    }

    fn releasing(
        &self,
        request: RequestNumber,
        id: SessionId,
        sent: Instant,
        written: Option<&Item>,
    ) {
        let state = &mut *self.state.borrow_mut();
        state.ledgers[id.kind() as usize].releasing(request, id, sent, written);
    }

    fn released(&self, release: &Release<'_>) {
        let state = &mut *self.state.borrow_mut();
        let ledger = &mut state.ledgers[release.id.kind() as usize];
        let held = ledger.released(release, &mut state.integrity);
        state
            .queues
            .released(release.id, release.request, release.sent, release.done);
        if let Some(held) = held
            && self.measures(release.sent)
        {
            state
                .lane(release.server, release.id)
                .locks
                .hold
                .record_duration(held);
        }
    }
}

#[cfg(test)]
mod tests;
