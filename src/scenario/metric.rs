//! What objectives can be about: the closed list of metrics, their units and their statistics.
//!
//! Whoever evaluates an objective matches on [`Metric`], so that a metric added here and forgotten
//! there does not compile.

/// Unit of a metric's values, and of the number in [`Objective::target`](super::Objective::target).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A length of time, in nanoseconds.
    Span,
    /// A number of things.
    Count,
    /// A fraction from 0 to 1.
    Share,
    /// So many per second of real time.
    Rate,
    /// Bytes.
    Size,
}

/// Everything that an objective can be about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Metric {
    /// Done − intended, of every request: what a visitor felt.
    RequestResponse,
    /// Done − sent, of every request: what the site did.
    RequestService,
    /// Sent − intended, of every request: what the load generator was late by.
    RequestLag,
    /// Requests that failed.
    RequestFailed,
    /// Requests that failed, of all that were sent.
    RequestFailedShare,
    /// Requests per second of measured real time.
    RequestRate,
    /// From first asking for an exclusive session to holding its lock.
    LockAcquireWait,
    /// From holding a lock to releasing it.
    LockHold,
    /// From a release to the next waiter's grant.
    LockHandOver,
    /// Gets per acquired lock; all but one are wasted.
    LockPolls,
    /// Locks released by force.
    LockSteals,
    /// Requests refused by the queue limit.
    LockQueueLimitRefusals,
    /// Grants while another request waited that had asked earlier.
    LockOvertakes,
    /// Store operations of all verbs.
    OperationLatency,
    /// Session end raised − due, where it was not early.
    SessionEndLateness,
    /// Due − session end raised, where it was early.
    SessionEndEarliness,
    /// From the end raised to the visit committed.
    SessionEndHandler,
    /// Sessions that were due and never ended.
    SessionEndMissed,
    /// Session ends beyond the first of a session.
    SessionEndDuplicate,
    /// Session ends before the session was due.
    SessionEndPremature,
    /// Sessions that were served although they were due and not ended.
    SessionEndResurrected,
    /// Sessions that ended.
    SessionEndEnded,
    /// Breaches of the twelve invariants, all together.
    IntegrityViolations,
    /// Updates that a store acknowledged and then did not have.
    IntegrityLostUpdates,
    /// Page views that were performed and never committed.
    PageViewsLost,
    /// Page views that were never committed, of all that were performed.
    PageViewsLostShare,
    /// Most memory that the stores' servers used.
    StoreMemory,
    /// Memory of one session with all its keys.
    StoreBytesPerSession,
}

/// One value of a distribution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Statistic {
    /// Median.
    P50,
    /// 90th percentile.
    P90,
    /// 95th percentile.
    P95,
    /// 99th percentile.
    P99,
    /// 99.9th percentile.
    P99_9,
    /// 99.99th percentile.
    P99_99,
    /// Mean.
    Mean,
    /// Greatest value.
    Max,
    /// Least value.
    Min,
}

impl Metric {
    /// All metrics: name, unit, whether it is a distribution, whether it can be asked for one store
    /// kind.
    #[rustfmt::skip]
    const TABLE: [(Self, &'static str, Unit, bool, bool); 28] = [
        (Self::RequestResponse, "request.response", Unit::Span, true, false),
        (Self::RequestService, "request.service", Unit::Span, true, false),
        (Self::RequestLag, "request.lag", Unit::Span, true, false),
        (Self::RequestFailed, "request.failed", Unit::Count, false, false),
        (Self::RequestFailedShare, "request.failed.share", Unit::Share, false, false),
        (Self::RequestRate, "request.rate", Unit::Rate, false, false),
        (Self::LockAcquireWait, "lock.acquire_wait", Unit::Span, true, true),
        (Self::LockHold, "lock.hold", Unit::Span, true, true),
        (Self::LockHandOver, "lock.hand_over", Unit::Span, true, true),
        (Self::LockPolls, "lock.polls", Unit::Count, true, true),
        (Self::LockSteals, "lock.steals", Unit::Count, false, true),
        (Self::LockQueueLimitRefusals, "lock.queue_limit_refusals", Unit::Count, false, true),
        (Self::LockOvertakes, "lock.overtakes", Unit::Count, false, true),
        (Self::OperationLatency, "operation.latency", Unit::Span, true, true),
        (Self::SessionEndLateness, "session_end.lateness", Unit::Span, true, true),
        (Self::SessionEndEarliness, "session_end.earliness", Unit::Span, true, true),
        (Self::SessionEndHandler, "session_end.handler", Unit::Span, true, true),
        (Self::SessionEndMissed, "session_end.missed", Unit::Count, false, true),
        (Self::SessionEndDuplicate, "session_end.duplicate", Unit::Count, false, true),
        (Self::SessionEndPremature, "session_end.premature", Unit::Count, false, true),
        (Self::SessionEndResurrected, "session_end.resurrected", Unit::Count, false, true),
        (Self::SessionEndEnded, "session_end.ended", Unit::Count, false, true),
        (Self::IntegrityViolations, "integrity.violations", Unit::Count, false, false),
        (Self::IntegrityLostUpdates, "integrity.lost_updates", Unit::Count, false, false),
        (Self::PageViewsLost, "page_views.lost", Unit::Count, false, false),
        (Self::PageViewsLostShare, "page_views.lost.share", Unit::Share, false, false),
        (Self::StoreMemory, "store.memory", Unit::Size, false, false),
        (Self::StoreBytesPerSession, "store.bytes_per_session", Unit::Size, false, false),
    ];

    /// All metrics, in the order of the documentation.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::TABLE.iter().map(|row| row.0)
    }

    const fn row(self) -> &'static (Self, &'static str, Unit, bool, bool) {
        // The table is in the order of the enum; a test holds it there.
        &Self::TABLE[self as usize]
    }

    /// Its name in objectives.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.row().1
    }

    /// The unit of its values.
    #[must_use]
    pub const fn unit(self) -> Unit {
        self.row().2
    }

    /// Whether it has many values, so that an objective names a statistic.
    #[must_use]
    pub const fn is_distribution(self) -> bool {
        self.row().3
    }

    /// Whether an objective may start with `private.` or `shared.`.
    #[must_use]
    pub const fn is_per_kind(self) -> bool {
        self.row().4
    }
}

impl Statistic {
    /// All statistics.
    pub const ALL: [Self; 9] = [
        Self::P50,
        Self::P90,
        Self::P95,
        Self::P99,
        Self::P99_9,
        Self::P99_99,
        Self::Mean,
        Self::Max,
        Self::Min,
    ];

    /// Its name in objectives.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::P50 => "p50",
            Self::P90 => "p90",
            Self::P95 => "p95",
            Self::P99 => "p99",
            Self::P99_9 => "p99.9",
            Self::P99_99 => "p99.99",
            Self::Mean => "mean",
            Self::Max => "max",
            Self::Min => "min",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_enum() {
        for (position, metric) in Metric::all().enumerate() {
            assert_eq!(metric as usize, position, "{}", metric.name());
        }
    }
}
