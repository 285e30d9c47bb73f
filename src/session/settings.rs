//! What a scenario says of sessions: their timeout, the end handler, and the module's constants.

use crate::quantity::{Distribution, Share, Span};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The session and its end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Session {
    /// Timeout of the private session, in whole minutes of site time. The shared session's is one
    /// minute more.
    pub timeout: Span,
    /// The session-end handler: committing the visit to xConnect.
    pub end_handler: EndHandler,
}

/// What committing a visit costs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EndHandler {
    /// Real time of one commit.
    pub latency: Distribution<Span>,
    /// Share of commits that throw: their visit is lost.
    pub failures: Share,
}

/// Constants of `SessionStateModule`; real time. Genuine defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ModuleSettings {
    /// Interval at which a waiting request asks for a locked session again
    /// (`SessionStateLockedItemPollInterval`).
    pub poll_interval: Span,
    /// A poll is skipped when the last one completed less than this ago.
    pub poll_gap: Span,
    /// `httpRuntime executionTimeout`: a lock of this age is released by force, and a request that
    /// waits this long fails.
    pub execution_timeout: Span,
    /// `aspnet:RequestQueueLimitPerSession`: requests of one session that may wait in one server.
    #[schemars(range(min = 1))]
    pub queue_limit: u32,
    /// `SharedSessionStateConfig maxLockAge`: a shared lock of this age is released by force.
    pub shared_lock_max_age: Span,
}

impl Default for Session {
    fn default() -> Self {
        Self {
            timeout: Span::from_secs(20 * 60),
            end_handler: EndHandler::default(),
        }
    }
}

impl Default for EndHandler {
    fn default() -> Self {
        Self {
            latency: Distribution::Always(Span::from_millis(20)),
            failures: Share::NONE,
        }
    }
}

impl Default for ModuleSettings {
    fn default() -> Self {
        Self {
            poll_interval: Span::from_millis(500),
            poll_gap: Span::from_millis(250),
            execution_timeout: Span::from_secs(110),
            queue_limit: 50,
            shared_lock_max_age: Span::from_secs(5),
        }
    }
}
