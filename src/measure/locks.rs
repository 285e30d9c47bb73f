//! Who waits for which session: queues, overtakes, hand-overs, and the timelines of the most
//! contended sessions.

use super::life::Holder;
use super::values::Values;
use crate::clock::Instant;
use crate::result::{LockSpan, Locks, SessionTimeline};
use crate::session::observer::{Grant, RequestNumber, ServerIndex};
use crate::session::{IdMap, SessionId};

/// Sessions whose timelines go into the result.
const TIMELINES: usize = 5;
/// Sessions whose timelines are followed; the most contended of them are kept.
const FOLLOWED: usize = 64;
/// Requests that are kept of each timeline.
const SPANS: usize = 120;

/// Locks of one session store as one CD server saw it.
#[derive(Debug, Default)]
pub struct LockMeter {
    /// From asking to holding.
    pub acquire_wait: Values,
    /// Gets per acquired lock.
    pub polls: Values,
    /// Gets that found the session locked.
    pub wasted_polls: u64,
    /// From holding to releasing.
    pub hold: Values,
    /// From a release to the next grant, where somebody waited.
    pub hand_over: Values,
    /// Grants that had to wait.
    pub contended: u64,
    /// Locks released by force.
    pub steals: u64,
    /// Requests refused by the queue limit.
    pub queue_limit_refusals: u64,
    /// Requests that gave up.
    pub waited_too_long: u64,
    /// Grants while somebody waited who had asked earlier.
    pub overtakes: u64,
    /// Most requests that waited for one session.
    pub longest_queue: u64,
}

impl LockMeter {
    /// The counts as they go into the result.
    #[must_use]
    pub fn result(&mut self) -> Locks {
        Locks {
            acquire_wait: self.acquire_wait.distribution(),
            polls: self.polls.distribution(),
            wasted_polls: self.wasted_polls,
            hold: self.hold.distribution(),
            hand_over: self.hand_over.distribution(),
            contended: self.contended,
            steals: self.steals,
            queue_limit_refusals: self.queue_limit_refusals,
            waited_too_long: self.waited_too_long,
            overtakes: self.overtakes,
            longest_queue: self.longest_queue,
        }
    }
}

/// Everyone who waits, for whichever session.
#[derive(Debug, Default)]
pub struct Queues {
    queues: IdMap<Queue>,
    traces: IdMap<Trace>,
    waiting: u64,
}

#[derive(Debug, Default)]
struct Queue {
    /// Who waits, and since when it has asked.
    waiters: Vec<(RequestNumber, Instant)>,
    /// When the lock was released while somebody waited.
    released: Option<Instant>,
}

#[derive(Debug, Default)]
struct Trace {
    total_wait_ns: u64,
    longest_queue: u64,
    truncated: bool,
    spans: Vec<LockSpan>,
}

/// What a grant tells of the queue that it left.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Whether the request had to wait.
    pub waited: bool,
    /// Whether somebody waits on who had asked earlier.
    pub overtook: bool,
    /// Since when the lock was free while somebody waited.
    pub free_since: Option<Instant>,
}

impl Queues {
    /// Requests that wait right now.
    #[must_use]
    pub const fn waiting(&self) -> u64 {
        self.waiting
    }

    /// A request starts to wait. `holder` is who holds the lock, and since when. Returns the length
    /// of the queue.
    pub fn enter(
        &mut self,
        id: SessionId,
        request: RequestNumber,
        server: ServerIndex,
        asked: Instant,
        holder: Option<Holder>,
    ) -> u64 {
        self.waiting += 1;
        let queue = self.queues.entry(id).or_default();
        queue.waiters.push((request, asked));
        let length = queue.waiters.len() as u64;
        if self.traces.len() >= FOLLOWED && !self.traces.contains_key(&id) {
            self.drop_least_contended();
        }
        let trace = self.traces.entry(id).or_default();
        trace.longest_queue = trace.longest_queue.max(length);
        if let Some(holder) = holder
            && trace.span(holder.request()).is_none()
        {
            trace.push(LockSpan {
                request: holder.request().0,
                server: server.0,
                asked_ns: holder.since.as_nanos(),
                granted_ns: Some(holder.since.as_nanos()),
                released_ns: None,
            });
        }
        trace.push(LockSpan {
            request: request.0,
            server: server.0,
            asked_ns: asked.as_nanos(),
            granted_ns: None,
            released_ns: None,
        });
        length
    }

    /// A request got the session.
    pub fn granted(&mut self, grant: &Grant<'_>) -> Left {
        let Some(queue) = self.queues.get_mut(&grant.id) else {
            return Left::default();
        };
        let before = queue.waiters.len();
        queue
            .waiters
            .retain(|(request, _)| *request != grant.request);
        let waited = queue.waiters.len() < before;
        self.waiting -= u64::from(waited);
        let left = Left {
            waited,
            overtook: queue.waiters.iter().any(|(_, asked)| *asked < grant.asked),
            // The lock stays free under a request that only reads.
            free_since: queue.released.take_if(|_| grant.exclusive),
        };
        if queue.waiters.is_empty() {
            self.queues.remove(&grant.id);
        }
        if let Some(trace) = self.traces.get_mut(&grant.id) {
            trace.total_wait_ns += grant.granted.since(grant.asked).as_nanos() as u64;
            // Who only reads holds nothing that it could release.
            let released_ns = (!grant.exclusive).then_some(grant.granted.as_nanos());
            match trace.span(grant.request) {
                Some(span) => {
                    span.granted_ns = Some(grant.granted.as_nanos());
                    span.released_ns = released_ns;
                }
                // Someone who need not wait, but whom waiters see overtake them.
                None if left.overtook => trace.push(LockSpan {
                    request: grant.request.0,
                    server: grant.server.0,
                    asked_ns: grant.asked.as_nanos(),
                    granted_ns: Some(grant.granted.as_nanos()),
                    released_ns,
                }),
                None => {}
            }
        }
        left
    }

    /// A request gave the session back.
    pub fn released(
        &mut self,
        id: SessionId,
        request: RequestNumber,
        sent: Instant,
        done: Instant,
    ) {
        if let Some(queue) = self.queues.get_mut(&id) {
            queue.released = Some(done);
        }
        if let Some(span) = self
            .traces
            .get_mut(&id)
            .and_then(|trace| trace.span(request))
        {
            span.released_ns = Some(sent.as_nanos());
        }
    }

    /// A request stopped waiting without the session.
    pub fn gave_up(&mut self, id: SessionId, request: RequestNumber) {
        let Some(queue) = self.queues.get_mut(&id) else {
            return;
        };
        let before = queue.waiters.len();
        queue.waiters.retain(|(waiter, _)| *waiter != request);
        self.waiting -= u64::from(queue.waiters.len() < before);
        if queue.waiters.is_empty() {
            self.queues.remove(&id);
        }
    }

    /// The timelines of the most contended sessions, the worst first, with instants since the start
    /// of the traffic.
    #[must_use]
    pub fn timelines(&self, started: Instant) -> Vec<SessionTimeline> {
        let mut traces: Vec<_> = self.traces.iter().collect();
        traces.sort_by_key(|(id, trace)| (std::cmp::Reverse(trace.total_wait_ns), **id));
        traces
            .into_iter()
            .take(TIMELINES)
            .map(|(id, trace)| SessionTimeline {
                session: id.to_string(),
                kind: id.kind().to_string(),
                total_wait_ns: trace.total_wait_ns,
                longest_queue: trace.longest_queue,
                truncated: trace.truncated,
                requests: trace
                    .spans
                    .iter()
                    .map(|span| since(span, started))
                    .collect(),
            })
            .collect()
    }

    fn drop_least_contended(&mut self) {
        let idle = self
            .traces
            .iter()
            .filter(|(id, _)| !self.queues.contains_key(id));
        let least = idle.min_by_key(|(id, trace)| (trace.total_wait_ns, **id));
        if let Some(id) = least.map(|(id, _)| *id) {
            self.traces.remove(&id);
        }
    }
}

fn since(span: &LockSpan, started: Instant) -> LockSpan {
    let shift = |nanos: u64| nanos.saturating_sub(started.as_nanos());
    LockSpan {
        asked_ns: shift(span.asked_ns),
        granted_ns: span.granted_ns.map(shift),
        released_ns: span.released_ns.map(shift),
        ..span.clone()
    }
}

impl Trace {
    fn push(&mut self, span: LockSpan) {
        if self.spans.len() < SPANS {
            self.spans.push(span);
        } else {
            self.truncated = true;
        }
    }

    fn span(&mut self, request: RequestNumber) -> Option<&mut LockSpan> {
        self.spans
            .iter_mut()
            .rev()
            .find(|span| span.request == request.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: fn() -> SessionId = || SessionId::private(1);

    fn at(nanos: u64) -> Instant {
        Instant::from_nanos(nanos)
    }

    fn grant(request: u64, asked: u64, granted: u64) -> Grant<'static> {
        Grant {
            server: ServerIndex(0),
            request: RequestNumber(request),
            id: ID(),
            exclusive: true,
            asked: at(asked),
            granted: at(granted),
            polls: 2,
            item: None,
        }
    }

    fn two_wait() -> Queues {
        let mut queues = Queues::default();
        queues.enter(ID(), RequestNumber(1), ServerIndex(0), at(10), None);
        queues.enter(ID(), RequestNumber(2), ServerIndex(0), at(20), None);
        queues
    }

    #[test]
    fn whoever_came_first_overtakes_nobody() {
        assert!(!two_wait().granted(&grant(1, 10, 30)).overtook);
    }

    #[test]
    fn whoever_came_later_overtakes() {
        assert!(two_wait().granted(&grant(2, 20, 30)).overtook);
    }

    #[test]
    fn a_fresh_arrival_overtakes_all_who_wait() {
        let left = two_wait().granted(&grant(3, 30, 30));
        assert!(left.overtook && !left.waited);
    }

    #[test]
    fn a_hand_over_starts_at_the_release() {
        let mut queues = two_wait();
        queues.released(ID(), RequestNumber(9), at(24), at(25));
        assert_eq!(queues.granted(&grant(1, 10, 30)).free_since, Some(at(25)));
    }

    #[test]
    fn a_timeline_tells_who_asked_got_and_released_when() {
        let mut queues = two_wait();
        queues.granted(&grant(1, 10, 30));
        queues.released(ID(), RequestNumber(1), at(40), at(41));
        let span = &queues.timelines(Instant::START)[0].requests[0];
        let expected = (1, 10, Some(30), Some(40));
        assert_eq!(
            (
                span.request,
                span.asked_ns,
                span.granted_ns,
                span.released_ns
            ),
            expected
        );
    }

    #[test]
    fn who_only_reads_holds_nothing_and_ends_no_hand_over() {
        let mut queues = two_wait();
        queues.released(ID(), RequestNumber(9), at(24), at(25));
        let reader = Grant {
            exclusive: false,
            ..grant(1, 10, 30)
        };
        assert_eq!(queues.granted(&reader).free_since, None);
        let span = &queues.timelines(Instant::START)[0].requests[0];
        assert_eq!((span.granted_ns, span.released_ns), (Some(30), Some(30)));
        assert_eq!(queues.granted(&grant(2, 20, 40)).free_since, Some(at(25)));
    }

    #[test]
    fn nobody_waits_when_all_have_got_the_session_or_given_up() {
        let mut queues = two_wait();
        queues.granted(&grant(1, 10, 30));
        queues.gave_up(ID(), RequestNumber(2));
        assert_eq!(queues.waiting(), 0);
    }
}
