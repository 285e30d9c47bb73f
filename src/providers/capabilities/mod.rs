//! What each provider can do, in one table. The support matrix, `sessionbench providers`, the
//! checks of scenarios and the report read it here. Each family of providers has its rows in a file.

mod aspnet;
mod mongo;
mod redis;
mod redis_polled;
mod sql;

pub use aspnet::{INPROC, STATE_SERVER};
pub use mongo::MONGO_SITECORE;
pub use redis::{REDIS_DEADLINE, REDIS_KEYSPACE, REDIS_MICROSOFT, REDIS_SITECORE};
pub use redis_polled::{REDIS_INDEX, REDIS_MARKERS};
pub use sql::{SQL_ASYNC, SQL_SITECORE, SQL_UNIVERSAL};

use super::expectations::{Deviation, RoundTrips};
use crate::session::StoreKind;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The lateness of ends that are not raised.
const NEVER: &str = "never";

/// Round trips of a provider that needs one for each operation of the contract.
const ONE_EACH: RoundTrips = RoundTrips {
    dirty: 2,
    clean: 2,
    read_only: 1,
    reset: 1,
    stale_dirty: 4,
    stale_clean: 4,
    new_visit: 1,
    abandon: 2,
    poll: 1,
    by_chance: 0,
};

/// What a provider can do, and how.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Capabilities {
    /// Its name in scenarios.
    pub name: &'static str,
    /// What it is, for a person.
    pub title: &'static str,
    /// How it notices that a session expired; `None`: it raises no session end.
    pub detection: Option<Detection>,
    /// Whether it raises the ends of shared sessions too.
    pub shared_ends: bool,
    /// Lateness of session end that its design leads one to expect.
    pub expected_lateness: &'static str,
    /// Whether sessions live outside the web server's process.
    pub out_of_process: bool,
    /// Whether it can play on the virtual clock.
    pub virtual_time: bool,
    /// What its lock is.
    pub lock: &'static str,
    /// How a waiting request learns that a lock is free.
    pub wait: &'static str,
    /// Who releases a lock whose holder is gone, and when.
    pub steal: &'static str,
    /// Which operations keep a session alive.
    pub sliding: &'static str,
    /// Store round trips of each kind of request.
    pub round_trips: RoundTrips,
    /// The program that a managed server needs, if any.
    pub managed_server: Option<&'static str>,
    /// What is known to go wrong, and where the design is ours because the genuine one is unknown.
    pub notes: &'static [&'static str],
    /// Where it departs from the contract. The conformance suite asserts each.
    pub deviations: &'static [Deviation],
}

impl Capabilities {
    /// How it notices that a session of a kind expired; `None`: it raises no end of that kind.
    #[must_use]
    pub const fn detection_of(&self, kind: StoreKind) -> Option<Detection> {
        match kind {
            StoreKind::Shared if !self.shared_ends => None,
            StoreKind::Private | StoreKind::Shared => self.detection,
        }
    }

    /// Whether it raises the ends of sessions of a kind.
    #[must_use]
    pub const fn raises_ends(&self, kind: StoreKind) -> bool {
        self.detection_of(kind).is_some()
    }

    /// Lateness of the ends of a kind that its design leads one to expect.
    #[must_use]
    pub const fn expected_lateness_of(&self, kind: StoreKind) -> &'static str {
        match self.raises_ends(kind) {
            true => self.expected_lateness,
            false => NEVER,
        }
    }

    /// Which ends it raises, for a person.
    #[must_use]
    pub const fn ends(&self) -> &'static str {
        match (self.detection, self.shared_ends) {
            (None, _) => "no session end",
            (Some(_), false) => "session end of private sessions only",
            (Some(_), true) => "session end",
        }
    }

    /// Whether Sitecore supports it for shared state on so many CD servers: it must raise session
    /// end, and be out of process where there is more than one server (seeds 000, 001, 003).
    #[must_use]
    pub const fn supports_shared(&self, servers: u32) -> bool {
        self.raises_ends(StoreKind::Shared) && (self.out_of_process || servers == 1)
    }
}

/// How a provider notices that a session expired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Detection {
    /// The cache wheel of System.Web, flushed every 20 s, and lazily on access.
    CacheWheel,
    /// A poller asks the store for expired sessions.
    Poll,
    /// The store notifies when it deletes an expired key.
    Notification,
    /// The provider sleeps until the earliest deadline.
    Deadline,
}

impl Detection {
    /// The mechanism, for a person.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::CacheWheel => "cache wheel, every 20 s",
            Self::Poll => "poll, every 2 s by default",
            Self::Notification => "keyspace notification",
            Self::Deadline => "at the deadline",
        }
    }

    /// What the time between a session's due instant and its detection is spent on.
    #[must_use]
    pub const fn cause(self) -> &'static str {
        match self {
            Self::CacheWheel => "cache wheel",
            Self::Poll => "poll phase",
            Self::Notification => "expiry scan",
            Self::Deadline => "wake-up",
        }
    }
}

/// Every provider, in the order of the support matrix.
pub const ALL: [&Capabilities; 12] = [
    &INPROC,
    &STATE_SERVER,
    &REDIS_MICROSOFT,
    &REDIS_KEYSPACE,
    &REDIS_SITECORE,
    &REDIS_MARKERS,
    &REDIS_INDEX,
    &REDIS_DEADLINE,
    &MONGO_SITECORE,
    &SQL_SITECORE,
    &SQL_ASYNC,
    &SQL_UNIVERSAL,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_raise_ends_of_private_sessions_only() {
        let raised = StoreKind::ALL.map(|kind| REDIS_MARKERS.detection_of(kind));
        assert_eq!(raised, [Some(Detection::Poll), None]);
    }

    #[test]
    fn what_raises_no_ends_of_shared_sessions_holds_no_shared_state() {
        for provider in ALL.iter().filter(|provider| !provider.shared_ends) {
            assert!(!provider.supports_shared(1), "{}", provider.name);
        }
    }

    #[test]
    fn no_provider_raises_ends_of_shared_sessions_only() {
        for provider in ALL.iter().filter(|provider| provider.shared_ends) {
            assert!(provider.detection.is_some(), "{}", provider.name);
        }
    }
}
