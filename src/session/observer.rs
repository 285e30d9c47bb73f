//! What the request module tells whoever watches.
//!
//! The module and the visitors call these; `measure/` implements them. Everything is told as it
//! happens, on the engine's one thread, so an observer must be quick and must not call back.

use super::{Item, Minutes, SessionId};
use crate::clock::Instant;
use crate::fetch::Kept;

/// One CD server of one cluster, as an index into whatever the observer keeps per server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerIndex(pub u32);

/// Number of a page request in its run; also the order in which requests were sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestNumber(pub u64);

/// Which operation of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verb {
    /// `GetItem`.
    GetItem,
    /// `GetItemExclusive`.
    GetItemExclusive,
    /// `SetAndReleaseItemExclusive`.
    SetAndReleaseItemExclusive,
    /// `ReleaseItemExclusive`.
    ReleaseItemExclusive,
    /// `RemoveItem`.
    RemoveItem,
    /// `ResetItemTimeout`.
    ResetItemTimeout,
    /// `CreateUninitializedItem`.
    CreateUninitializedItem,
    /// `EndRequest`.
    EndRequest,
}

impl Verb {
    /// All verbs.
    pub const ALL: [Self; 8] = [
        Self::GetItem,
        Self::GetItemExclusive,
        Self::SetAndReleaseItemExclusive,
        Self::ReleaseItemExclusive,
        Self::RemoveItem,
        Self::ResetItemTimeout,
        Self::CreateUninitializedItem,
        Self::EndRequest,
    ];

    /// The field's own name in snake case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::GetItem => "get_item",
            Self::GetItemExclusive => "get_item_exclusive",
            Self::SetAndReleaseItemExclusive => "set_and_release_item_exclusive",
            Self::ReleaseItemExclusive => "release_item_exclusive",
            Self::RemoveItem => "remove_item",
            Self::ResetItemTimeout => "reset_item_timeout",
            Self::CreateUninitializedItem => "create_uninitialized_item",
            Self::EndRequest => "end_request",
        }
    }
}

/// How an operation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A get found the session.
    Found,
    /// A get found no session.
    Missing,
    /// A get found the session locked.
    Locked,
    /// Any other operation was acknowledged.
    Done,
    /// The store did not answer in time; what it did is unknown.
    TimedOut,
    /// The operation failed; after a broken connection, what the store did is unknown too.
    Failed,
}

/// One operation of the contract, after it ended.
#[derive(Debug, Clone, Copy)]
pub struct Operation {
    /// The CD server that asked.
    pub server: ServerIndex,
    /// The request that it served.
    pub request: RequestNumber,
    /// The session.
    pub id: SessionId,
    /// The verb.
    pub verb: Verb,
    /// When it was called.
    pub started: Instant,
    /// When it returned.
    pub done: Instant,
    /// How it ended.
    pub outcome: Outcome,
    /// The session's timeout as far as the caller knows it.
    pub timeout: Minutes,
}

/// A request got its session.
#[derive(Debug, Clone, Copy)]
pub struct Grant<'a> {
    /// The CD server.
    pub server: ServerIndex,
    /// The request.
    pub request: RequestNumber,
    /// The session.
    pub id: SessionId,
    /// Whether it holds the lock.
    pub exclusive: bool,
    /// When it first asked.
    pub asked: Instant,
    /// When it got it.
    pub granted: Instant,
    /// Gets that it took; each but the last was wasted.
    pub polls: u32,
    /// The session as it was found; `None` when there was none and a new life starts.
    pub item: Option<&'a Item>,
}

/// A request is done with its session.
#[derive(Debug, Clone, Copy)]
pub struct Release<'a> {
    /// The CD server.
    pub server: ServerIndex,
    /// The request.
    pub request: RequestNumber,
    /// The session.
    pub id: SessionId,
    /// Just before the releasing operation was sent: the last instant at which the lock was
    /// certainly held.
    pub sent: Instant,
    /// When it was acknowledged, or given up.
    pub done: Instant,
    /// What became of the data.
    pub written: Written<'a>,
}

/// What a request did to its session's data.
#[derive(Debug, Clone, Copy)]
pub enum Written<'a> {
    /// Left it as it was.
    Nothing,
    /// Wrote it, and the store acknowledged.
    Item(&'a Item),
    /// Tried to write it; whether the store did is unknown.
    Unknown(&'a Item),
    /// Removed the session (`Session.Abandon`).
    Removed,
}

/// Why a request did not get its session.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AcquireError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] super::StoreError),
    /// Too many requests of this session wait in this server already
    /// (`aspnet:RequestQueueLimitPerSession`).
    #[error("the request queue limit of the session is exceeded")]
    QueueLimit,
    /// The request waited for its execution timeout.
    #[error("the request timed out waiting for its session")]
    WaitedTooLong,
}

/// Watches the request module at work.
pub trait Observer {
    /// Where it keeps what it knows of a session; see
    /// [`SessionStateStore::kept`](super::SessionStateStore::kept).
    fn kept(&self, _id: SessionId) -> Kept {
        Kept::default()
    }
    /// An operation ended.
    fn operation(&self, operation: &Operation);
    /// A request found its session locked for the first time and starts to wait.
    fn waiting(&self, server: ServerIndex, request: RequestNumber, id: SessionId, since: Instant);
    /// A request released another's lock by force.
    fn stolen(&self, server: ServerIndex, request: RequestNumber, id: SessionId, at: Instant);
    /// A request got its session.
    fn granted(&self, grant: &Grant<'_>);
    /// A request did not get its session and stopped waiting.
    fn refused(
        &self,
        server: ServerIndex,
        request: RequestNumber,
        id: SessionId,
        why: &AcquireError,
    );
    /// A request that holds a lock is about to release it, and to write this item with it. Others
    /// may get the lock before [`released`](Self::released) comes.
    fn releasing(
        &self,
        request: RequestNumber,
        id: SessionId,
        sent: Instant,
        written: Option<&Item>,
    );
    /// A request is done with its session.
    fn released(&self, release: &Release<'_>);
}

/// Watches nothing.
#[derive(Debug, Clone, Copy)]
pub struct Nobody;

impl Observer for Nobody {
    fn operation(&self, _: &Operation) {}
    fn waiting(&self, _: ServerIndex, _: RequestNumber, _: SessionId, _: Instant) {}
    fn stolen(&self, _: ServerIndex, _: RequestNumber, _: SessionId, _: Instant) {}
    fn granted(&self, _: &Grant<'_>) {}
    fn refused(&self, _: ServerIndex, _: RequestNumber, _: SessionId, _: &AcquireError) {}
    fn releasing(&self, _: RequestNumber, _: SessionId, _: Instant, _: Option<&Item>) {}
    fn released(&self, _: &Release<'_>) {}
}
