//! The rows of two third parties' Redis providers for Sitecore, which keep a record of what is due and
//! poll it.

use super::redis::{CREATION_OVERWRITES, LOCK_EXPIRES, MARK_REPEATS, MICROSOFT_ROUND_TRIPS};
use super::{Capabilities, Detection};
use crate::providers::expectations::{Deviation, RoundTrips};

/// Of both providers that only a write keeps alive for their poller.
const WRITES_MOVE: &str = "only a write moves the instant at which the session is due";
const OWN_TIMEOUT: &str = "what is due is reckoned from the configured timeout";
const DATA_STAY: &str = "the end removes no data";
const NO_ABANDON: &str = "abandoning deletes the session and raises no end";
const EXTRA_VALUE: &str = "each write adds a value of the provider's own";
const NO_LOCK: &str = "the poller does not look at the session's lock";

/// TrueClarity's Redis provider for Sitecore (facts §10.1).
pub const REDIS_MARKERS: Capabilities = Capabilities {
    name: "redis_markers",
    title: "TrueClarity's Redis provider for Sitecore",
    detection: Some(Detection::Poll),
    shared_ends: false,
    expected_lateness: "0–2 s after the last write's timeout, plus backlog",
    out_of_process: true,
    virtual_time: false,
    lock: "as redis_microsoft",
    wait: "poll every 500 ms",
    steal: "as redis_microsoft",
    sliding: "data as redis_microsoft; the due time by writes only",
    // Microsoft's, and before each write GET, SREM, SCARD, SET, SADD, ZADD; ZREM where a marker is
    // empty then; a new session is in no marker yet.
    round_trips: RoundTrips {
        dirty: 9,
        stale_dirty: 10,
        new_visit: 5,
        by_chance: 1,
        ..MICROSOFT_ROUND_TRIPS
    },
    managed_server: Some("redis-server"),
    notes: &[
        "Visitors who only look around are ended under way: reads and resets do not move the due time.",
        "A poller that dies after SPOP loses the session's end; after the last id of a marker it stops \
         all ends behind it.",
        "An id moves between markers in several commands: a server that dies in between leaves it in \
         two, or in none.",
        "Shared sessions are not entered and never end, so it cannot hold shared state.",
        "Data live for ten timeouts, also those of ended sessions, and a visitor who returns gets them.",
        "The application's name in the keys of log and markers is ours; so is the timeout that is read.",
    ],
    deviations: &[
        LOCK_EXPIRES,
        MARK_REPEATS,
        CREATION_OVERWRITES,
        // Facts §1.2, as the next one.
        Deviation::always("empty_session_survives", "a hash without fields is no key"),
        Deviation::always(
            "many_values",
            "Lua unpacks no more than some 8000 arguments at once",
        ),
        // Facts §10.1, as all that follow.
        Deviation::always("slide_get", WRITES_MOVE),
        Deviation::always("slide_get_exclusive", WRITES_MOVE),
        Deviation::always("slide_get_locked", WRITES_MOVE),
        Deviation::always("slide_release", WRITES_MOVE),
        Deviation::always("slide_reset", WRITES_MOVE),
        Deviation::always("timeout_change_prolongs", OWN_TIMEOUT),
        Deviation::always("expires", "data live for ten timeouts"),
        Deviation::always("resurrection", "data live for ten timeouts"),
        Deviation::always("end_leaves_nothing", DATA_STAY),
        Deviation::always("end_holds_visitor_off", DATA_STAY),
        Deviation::always("abandon_end", NO_ABANDON),
        Deviation::always("expired_claim_spares_locked", NO_LOCK),
        Deviation::always(
            "crash_between_claim_and_end",
            "the id was taken out before its end was raised",
        ),
    ],
};

/// Glass's Redis provider for Sitecore (facts §10.2).
pub const REDIS_INDEX: Capabilities = Capabilities {
    name: "redis_index",
    title: "Glass's Redis provider for Sitecore",
    detection: Some(Detection::Poll),
    shared_ends: true,
    expected_lateness: "0–2 s after the last write's timeout, plus backlog",
    out_of_process: true,
    virtual_time: false,
    lock: "as redis_microsoft; the poller's own for 10 s",
    wait: "poll every 500 ms",
    steal: "as redis_microsoft",
    sliding: "data as redis_microsoft; the due time by writes only",
    // Microsoft's, and a ZADD before each write.
    round_trips: RoundTrips {
        dirty: 4,
        stale_dirty: 7,
        new_visit: 2,
        ..MICROSOFT_ROUND_TRIPS
    },
    managed_server: Some("redis-server"),
    notes: &[
        "Visitors who only look around are ended under way: reads and resets do not move the due time.",
        "What was due more than an hour ago less the timeout is never found: ends are lost in an outage, \
         and with a timeout of an hour there are none.",
        "The range is read apart from the claim: two servers raise one end when one is 10 s behind.",
        "Data are left for two minutes: a visitor who returns goes on with the ended session, which \
         then ends again.",
        "Each write adds a value of its own to the session.",
        "The application's name in the index's key is ours; so are two minutes once instead of at each write.",
    ],
    deviations: &[
        LOCK_EXPIRES,
        MARK_REPEATS,
        CREATION_OVERWRITES,
        // Facts §1.2.
        Deviation::always(
            "many_values",
            "Lua unpacks no more than some 8000 arguments at once",
        ),
        // Facts §10.2, as all that follow.
        Deviation::always("slide_get", WRITES_MOVE),
        Deviation::always("slide_get_exclusive", WRITES_MOVE),
        Deviation::always("slide_get_locked", WRITES_MOVE),
        Deviation::always("slide_release", WRITES_MOVE),
        Deviation::always("slide_reset", WRITES_MOVE),
        Deviation::always("timeout_change_prolongs", OWN_TIMEOUT),
        Deviation::always("resurrection", "data outlive their session by two minutes"),
        Deviation::always("values_round_trip", EXTRA_VALUE),
        Deviation::always("binary_values_round_trip", EXTRA_VALUE),
        Deviation::always("large_item", EXTRA_VALUE),
        Deviation::always("empty_session_survives", EXTRA_VALUE),
        Deviation::always("end_leaves_nothing", DATA_STAY),
        Deviation::always("end_holds_visitor_off", DATA_STAY),
        Deviation::always("abandon_end", NO_ABANDON),
        Deviation::always("expired_claim_spares_locked", NO_LOCK),
        Deviation::always(
            "crash_between_claim_and_end",
            "the claim moves the entry by five minutes and a timeout, which the data do not outlive",
        ),
    ],
};
