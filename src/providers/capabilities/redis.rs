//! The rows of the Redis providers: Microsoft's, those that are built on it, and our own.

use super::{Capabilities, Detection, NEVER, ONE_EACH};
use crate::providers::expectations::{Deviation, RoundTrips};

/// What Microsoft's flow costs; the third of a dirty request is redundant (facts §1.5).
pub(super) const MICROSOFT_ROUND_TRIPS: RoundTrips = RoundTrips {
    dirty: 3,
    clean: 2,
    read_only: 1,
    reset: 1,
    stale_dirty: 6,
    stale_clean: 5,
    new_visit: 1,
    abandon: 3,
    poll: 1,
    by_chance: 0,
};

/// Of all providers in Microsoft's layouts (facts §1.4).
pub(super) const LOCK_EXPIRES: Deviation = Deviation::always(
    "lock_lasts",
    "the lock's key expires after the execution timeout, whoever waits",
);

/// Of all providers in Microsoft's layouts (facts §1.5).
pub(super) const MARK_REPEATS: Deviation = Deviation::always(
    "uninitialized_marks_once",
    "the mark is a value of the session, which only a write removes",
);

/// Of all providers in Microsoft's layouts (facts §1.3).
pub(super) const CREATION_OVERWRITES: Deviation = Deviation::always(
    "uninitialized_never_overwrites",
    "the script writes without looking",
);

/// Versions of Microsoft's provider that keep a session in a hash (facts §1.2).
const HASHES: &[&str] = &[
    "v2-v4",
    "v1.6.5",
    "v1.6.1-v1.6.4",
    "v1.5.0-v1.6.0",
    "v1.4.0",
];
/// Those in which only writes and resets keep a session alive (facts §1.3).
const WRITES_SLIDE: &[&str] = &["v1.6.1-v1.6.4", "v1.5.0-v1.6.0", "v1.4.0"];
const SLIDES_NOT: &str = "only writes and resets move the time to live";

/// Microsoft.Web.RedisSessionStateProvider (facts §1).
pub const REDIS_MICROSOFT: Capabilities = Capabilities {
    name: "redis_microsoft",
    title: "Microsoft.Web.RedisSessionStateProvider",
    detection: None,
    shared_ends: false,
    expected_lateness: NEVER,
    out_of_process: true,
    virtual_time: false,
    lock: "key with the locker's local clock in ticks",
    wait: "poll every 500 ms",
    steal: "module, at the execution timeout by the waiter's clock; TTL of the lock key",
    sliding: "get, also of a waiter; update, release, reset; before 1.6.5 update and reset only",
    round_trips: MICROSOFT_ROUND_TRIPS,
    managed_server: Some("redis-server"),
    notes: &[
        "Raises no session end, so it cannot hold shared state and no visit is committed.",
        "The third round trip of a dirty request releases a lock that is already free.",
        "A write whose lock was lost or stolen is dropped without an error.",
        "In layouts 1 to 4 the values are in ASP.NET's own serialisation, not in BinaryFormatter's.",
        "Versions 1.4.0 to 1.6.4 keep a session alive by writes only: a visitor whose requests change \
         nothing loses it at a fixed time after the last one that did.",
    ],
    deviations: &[
        LOCK_EXPIRES,
        MARK_REPEATS,
        CREATION_OVERWRITES,
        // Facts §1.5.
        Deviation::always(
            "end_raised",
            "its `SetItemExpireCallback` says that it raises none",
        ),
        // Facts §1.2, as the next one.
        Deviation::with(
            "version",
            HASHES,
            "empty_session_survives",
            "a hash without fields is no key",
        ),
        Deviation::with(
            "version",
            HASHES,
            "many_values",
            "Lua unpacks no more than some 8000 arguments at once",
        ),
        // Facts §1.3, as all that follow.
        Deviation::with("version", WRITES_SLIDE, "slide_get", SLIDES_NOT),
        Deviation::with("version", WRITES_SLIDE, "slide_release", SLIDES_NOT),
        Deviation::with("version", WRITES_SLIDE, "slide_a_little", SLIDES_NOT),
        Deviation::with(
            "version",
            &["v1.4.0"],
            "slide_reset",
            "its script compares a number with a truth value and stops",
        ),
        Deviation::with(
            "version",
            &["v1.5.0-v1.6.0", "v1.4.0"],
            "update_releases",
            "the end of the request releases, not the update",
        ),
        Deviation::with(
            "version",
            &["v1.5.0-v1.6.0", "v1.4.0"],
            "wait",
            "the end of the request releases, not the update",
        ),
    ],
};

/// Microsoft's provider with a shadow key and notifications (seed 002, facts §10.3).
pub const REDIS_KEYSPACE: Capabilities = Capabilities {
    name: "redis_keyspace",
    title: "Redis with keyspace notifications",
    detection: Some(Detection::Notification),
    shared_ends: true,
    expected_lateness: "one minute early by design, plus Redis's expiry scan: up to volatile keys / 200 s",
    out_of_process: true,
    virtual_time: false,
    lock: "as redis_microsoft",
    wait: "poll every 500 ms",
    steal: "as redis_microsoft",
    sliding: "as redis_microsoft; the shadow key on get, update, create and reset",
    // Microsoft's, and one SET of the shadow key after each get that finds the session, each write
    // and each reset; abandoning deletes it.
    round_trips: RoundTrips {
        dirty: 5,
        clean: 3,
        read_only: 2,
        reset: 2,
        stale_dirty: 9,
        stale_clean: 7,
        new_visit: 2,
        abandon: 5,
        poll: 1,
        by_chance: 0,
    },
    managed_server: Some("redis-server"),
    notes: &[
        "Every CD server hears every event: session end is raised once per server unless they claim it.",
        "Pub/sub delivers at most once: a subscriber that is away loses ends for good.",
        "A Redis Cluster's masters tell of their own keys only: until a new master is known, its ends are lost.",
        "The shadow key is a command of its own: a server that dies in between leaves an old deadline.",
        "A visitor who returns between the event and the data's expiry finds the ended session alive.",
        "Braces in the shadow key, the claim, and the end of an abandoned session are ours.",
    ],
    deviations: &[
        LOCK_EXPIRES,
        MARK_REPEATS,
        CREATION_OVERWRITES,
        Deviation::always(
            "slide_get_locked",
            "a refused get does not set the shadow key",
        ),
        Deviation::always("slide_release", "a release does not set the shadow key"),
        // Facts §10.3.
        Deviation::always(
            "end_not_early",
            "the shadow key expires `shadow_key_lead` before the session",
        ),
        Deviation::with(
            "claim",
            &["none"],
            "end_once_two_servers",
            "every server hears every event",
        ),
        Deviation::always(
            "end_leaves_nothing",
            "the data live on for `shadow_key_lead`, and a visitor who returns prolongs them",
        ),
        Deviation::always(
            "end_holds_visitor_off",
            "the end takes no lock, and the data are still there",
        ),
        Deviation::always(
            "expired_claim_spares_locked",
            "the shadow key knows nothing of locks",
        ),
        Deviation::always(
            "uninitialized_ends_silently",
            "an uninitialised session has a shadow key too",
        ),
        Deviation::with(
            "claim",
            &["lock"],
            "crash_between_claim_and_end",
            "an event comes once, and the others have left it to the server that claimed it",
        ),
    ],
};

/// Sitecore.SessionProvider.Redis (facts §9.1, §9.4).
pub const REDIS_SITECORE: Capabilities = Capabilities {
    name: "redis_sitecore",
    title: "Sitecore Redis session provider",
    detection: Some(Detection::Poll),
    shared_ends: true,
    expected_lateness: "0–2 s plus backlog",
    out_of_process: true,
    virtual_time: false,
    lock: "as redis_microsoft",
    wait: "poll every 500 ms",
    steal: "module, at the execution timeout; shared state after 5 s",
    sliding: "as redis_microsoft",
    round_trips: MICROSOFT_ROUND_TRIPS,
    managed_server: Some("redis-server"),
    notes: &[
        "The genuine index of expiring sessions is unknown; ours is a sorted set of deadlines, which \
         no Redis cluster can run.",
        "One session that cannot be decoded stops all session ends behind it.",
        "A handler that throws loses its visit; removal before the handler loses the queue in a crash.",
        "With removal after the handler a claim lasts 120 s (ours): a slower handler runs twice.",
    ],
    deviations: &[
        LOCK_EXPIRES,
        MARK_REPEATS,
        CREATION_OVERWRITES,
        Deviation::always(
            "resurrection",
            "data outlive their deadline until a poller comes; a request before it prolongs them",
        ),
        Deviation::with(
            "pollingEnabled",
            &["false"],
            "expires",
            "data outlive their deadline by an hour where nobody polls",
        ),
        // Facts §9.4.
        Deviation::with(
            "pollingEnabled",
            &["false"],
            "end_raised",
            "other servers poll",
        ),
        Deviation::always(
            "uninitialized_ends_silently",
            "an uninitialised session has a deadline too",
        ),
        Deviation::always(
            "crash_between_claim_and_end",
            "removed before its end it is lost; removed after it, it is due again when the claim's \
             120 s are over",
        ),
    ],
};

/// Our own: what Redis can do (simulation §4.4, simulation §4.6).
pub const REDIS_DEADLINE: Capabilities = Capabilities {
    name: "redis_deadline",
    title: "Redis with deadlines, wake-ups and fenced locks (ours)",
    detection: Some(Detection::Deadline),
    shared_ends: true,
    expected_lateness: "below 5 ms plus backlog; a claim's lease (30 s) when a server dies in a handler",
    out_of_process: true,
    virtual_time: false,
    lock: "number that only rises, checked by the write",
    wait: "message on release, first come first served; poll every 500 ms as a net",
    steal: "module, at the execution timeout by the store's clock",
    sliding: "get, update, release, reset; not by a waiter",
    round_trips: ONE_EACH,
    managed_server: Some("redis-server"),
    notes: &[
        "Not a product: our own design, to show what the others could do on the same server.",
        "A server that dies while it handles an end leaves it to another, which may raise it twice.",
        "Of two requests that both found no session and write one, the second is refused.",
        "Each CD server looks at each shard once a second, whether or not a session ends there.",
    ],
    deviations: &[Deviation::with(
        "claim_lease",
        &["30s"],
        "crash_between_claim_and_end",
        "another server ends it when the claim's 30 s are over, which the suite does not wait for",
    )],
};
