//! What each provider can do, in one table. The support matrix, `sessionbench providers`, the
//! checks of scenarios and the report read it here.

use super::expectations::{Deviation, RoundTrips};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a provider can do, and how.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Capabilities {
    /// Its name in scenarios.
    pub name: &'static str,
    /// What it is, for a person.
    pub title: &'static str,
    /// How it notices that a session expired; `None`: it raises no session end.
    pub detection: Option<Detection>,
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
    /// Whether it raises session end.
    #[must_use]
    pub const fn session_end(&self) -> bool {
        self.detection.is_some()
    }

    /// Whether Sitecore supports it for shared state on so many CD servers: it must raise session
    /// end, and be out of process where there is more than one server (seeds 000, 001, 003).
    #[must_use]
    pub const fn supports_shared(&self, servers: u32) -> bool {
        self.session_end() && (self.out_of_process || servers == 1)
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

/// System.Web's in-process store (facts §3).
pub const INPROC: Capabilities = Capabilities {
    name: "inproc",
    title: "System.Web in-process store",
    detection: Some(Detection::CacheWheel),
    expected_lateness: "0–20 s in bursts; up to 1 s early",
    out_of_process: false,
    virtual_time: true,
    lock: "flag and counter in the entry",
    wait: "poll every 500 ms",
    steal: "module, at the execution timeout",
    sliding: "every get, also of a waiter; update",
    round_trips: RoundTrips::NONE,
    managed_server: None,
    notes: &["Killing the process loses every session and its end."],
    deviations: &[
        Deviation::always("shared_by_servers", "each server keeps its own sessions"),
        Deviation::always("survives_crash", "sessions die with their process"),
        Deviation::always(
            "lock_outlives_holder",
            "lock and session die with their process",
        ),
        // Facts §3.2.
        Deviation::always(
            "slide_a_little",
            "the cache moves no expiry by less than 1 s",
        ),
        Deviation::always(
            "expired_claim_spares_locked",
            "the cache wheel knows nothing of locks",
        ),
        Deviation::always(
            "crash_between_claim_and_end",
            "the ends of all sessions die with their process",
        ),
    ],
};

/// What Microsoft's flow costs; the third of a dirty request is redundant (facts §1.5).
const MICROSOFT_ROUND_TRIPS: RoundTrips = RoundTrips {
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
const LOCK_EXPIRES: Deviation = Deviation::always(
    "lock_lasts",
    "the lock's key expires after the execution timeout, whoever waits",
);

/// Of all providers in Microsoft's layouts (facts §1.5).
const MARK_REPEATS: Deviation = Deviation::always(
    "uninitialized_marks_once",
    "the mark is a value of the session, which only a write removes",
);

/// Of all providers in Microsoft's layouts (facts §1.3).
const CREATION_OVERWRITES: Deviation = Deviation::always(
    "uninitialized_never_overwrites",
    "the script writes without looking",
);

/// System.Web's client of the ASP.NET state server (facts §6).
pub const STATE_SERVER: Capabilities = Capabilities {
    name: "state_server",
    title: "ASP.NET state server",
    detection: None,
    expected_lateness: "never",
    out_of_process: true,
    virtual_time: false,
    lock: "flag and counter in the server's entry",
    wait: "poll every 500 ms",
    steal: "module, at the execution timeout by the server's clock",
    sliding: "every get, also of a waiter; update, release, reset",
    round_trips: RoundTrips {
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
    },
    // It is this program itself.
    managed_server: None,
    notes: &[
        "Raises no session end, so it cannot hold shared state and no visit is committed.",
        "A write whose lock was stolen is dropped without an error while the next holder has the \
         lock, and overwrites that holder's update once it has released it.",
        "Restarting the server loses every session.",
        "Limits of the managed server on requests and connections are ours.",
    ],
    deviations: &[
        Deviation::always(
            "foreign_lock_id_write",
            "a write is held against the lock only while somebody has it",
        ),
        Deviation::always(
            "slide_a_little",
            "the cache moves no expiry by less than 1 s",
        ),
        Deviation::always("end_raised", "it is no part of the protocol"),
    ],
};

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
    expected_lateness: "never",
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
        "Shared sessions are not entered: none of them ends.",
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

/// Our own: what Redis can do (simulation §4.4, simulation §4.6).
pub const REDIS_DEADLINE: Capabilities = Capabilities {
    name: "redis_deadline",
    title: "Redis with deadlines, wake-ups and fenced locks (ours)",
    detection: Some(Detection::Deadline),
    expected_lateness: "below 5 ms plus backlog; a claim's lease (30 s) when a server dies in a handler",
    out_of_process: true,
    virtual_time: false,
    lock: "number that only rises, checked by the write",
    wait: "message on release, first come first served; poll every 500 ms as a net",
    steal: "module, at the execution timeout by the store's clock",
    sliding: "get, update, release, reset; not by a waiter",
    round_trips: RoundTrips {
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
    },
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

/// Sitecore.SessionProvider.MongoDB (facts §9.1, §9.3).
pub const MONGO_SITECORE: Capabilities = Capabilities {
    name: "mongo_sitecore",
    title: "Sitecore MongoDB session provider",
    detection: Some(Detection::Poll),
    expected_lateness: "0–2 s plus backlog",
    out_of_process: true,
    virtual_time: false,
    lock: "GUID and time in the document",
    wait: "poll every 500 ms; once more at once if just freed",
    steal: "module, at the execution timeout; shared state after 5 s; the poller, from any holder",
    sliding: "get, also of a read-only waiter; update, reset; not release",
    // Of private sessions; each get of a session with a timeout of its own has one more.
    round_trips: RoundTrips {
        dirty: 2,
        clean: 2,
        read_only: 1,
        reset: 2,
        stale_dirty: 5,
        stale_clean: 5,
        new_visit: 1,
        abandon: 2,
        poll: 2,
        by_chance: 0,
    },
    managed_server: None,
    notes: &[
        "Every get of a session whose timeout is not the private sessions', so of every shared one, \
         sends a second update that nobody waits for.",
        "The poller looks at no lock: a request that outlasts its session loses it.",
        "An insert overwrites a session that another request has locked.",
        "An expired session lives on when a request comes before the poller.",
        "A handler that takes longer than two minutes, or dies, is raised again.",
        "A handler that throws loses its visit.",
        "A request that changes nothing does not prolong its session by the time it held it.",
        "How sessions are serialised and compressed is ours: ASP.NET's own way.",
    ],
    // Facts §9.3.
    deviations: &[
        Deviation::always(
            "slide_release",
            "a release sets the lock cookie and nothing else",
        ),
        Deviation::always(
            "resurrection",
            "a get does not look whether the session has expired",
        ),
        Deviation::always(
            "uninitialized_never_overwrites",
            "an insert replaces what is there",
        ),
        Deviation::always("expired_claim_spares_locked", "a claim looks at no lock"),
        Deviation::always(
            "slide_get_locked",
            "a get that finds a holder reads the document and changes nothing",
        ),
        Deviation::always(
            "uninitialized_marks_once",
            "the flag stays until a write clears it",
        ),
        Deviation::always(
            "uninitialized_ends_silently",
            "the poller claims whatever has expired",
        ),
        Deviation::always(
            "crash_between_claim_and_end",
            "what is claimed is due again after two minutes, not before",
        ),
    ],
};

/// Sitecore.SessionProvider.Sql (facts §9.1, §9.2).
pub const SQL_SITECORE: Capabilities = Capabilities {
    name: "sql_sitecore",
    title: "Sitecore SQL session provider",
    detection: Some(Detection::Poll),
    expected_lateness: "0–2 s plus backlog: one end after the other",
    out_of_process: true,
    virtual_time: false,
    lock: "columns of the session's row: flag, timestamp and a GUID",
    wait: "poll every 500 ms",
    steal: "module, at the execution timeout by the web server's clock; shared state after 5 s",
    sliding: "every get, also of a waiter; update, release, reset (ours)",
    round_trips: RoundTrips {
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
    },
    managed_server: Some("postgresql"),
    notes: &[
        "Columns and bodies of the genuine procedures are unknown; those that we create are the \
         simplest that fit. `schema: existing` runs the genuine ones.",
        "A write whose lock was lost or stolen is dropped without an error.",
        "A poller that dies between claim and removal leaves the session locked: its end is lost.",
        "A session that cannot be decoded stays claimed: its end is lost, those behind it are not.",
        "A session whose time has passed is served until a poller claims it.",
        "On a genuine database the row of the application's name in `Application` remains.",
    ],
    // Of the poller what is known is that it claims with a cookie of its own; that a claim lasts, and
    // that no get looks at the deadline, is ours.
    deviations: &[
        Deviation::always(
            "resurrection",
            "a get does not look whether the session has expired",
        ),
        Deviation::always(
            "uninitialized_ends_silently",
            "the poller claims whatever has expired",
        ),
        Deviation::always(
            "crash_between_claim_and_end",
            "a claim locks the session, and nobody frees it",
        ),
    ],
};

/// Microsoft's SqlSessionStateProviderAsync (facts §7.3).
pub const SQL_ASYNC: Capabilities = Capabilities {
    name: "sql_async",
    title: "Microsoft SqlSessionStateProviderAsync",
    detection: None,
    expected_lateness: "never",
    out_of_process: true,
    virtual_time: false,
    lock: "columns of the session's row: flag, date and a counter",
    wait: "poll every 500 ms",
    steal: "module, at the execution timeout by the database's clock",
    sliding: "every get, also of a waiter; update, release, reset",
    round_trips: RoundTrips {
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
    },
    managed_server: Some("postgresql"),
    notes: &[
        "Raises no session end, so it cannot hold shared state and no visit is committed.",
        "A session whose time has passed is served, and lives on, until a purge deletes it.",
        "Expired sessions are deleted at the end of a request, every 30 s by every web server: without \
         visitors never.",
        "A write whose lock was stolen and not yet taken again overwrites the session.",
        "On the tables of aspnet_regsql (`repositoryType: FrameworkCompat`, the default), a session that \
         grows beyond 7000 bytes keeps its last short value too, until it is written again.",
    ],
    deviations: &[
        Deviation::always(
            "resurrection",
            "no procedure looks at the deadline, and only a purge deletes",
        ),
        Deviation::always("expires", "it stays until a purge deletes it"),
        Deviation::always(
            "end_raised",
            "its `SetItemExpireCallback` says that it raises none",
        ),
        Deviation::with(
            "skipKeepAliveWhenUnused",
            &["true"],
            "slide_reset",
            "a request that does not need its session leaves its timeout alone",
        ),
    ],
};

/// Microsoft.AspNet.Providers (facts §8).
pub const SQL_UNIVERSAL: Capabilities = Capabilities {
    name: "sql_universal",
    title: "Microsoft ASP.NET Universal Providers",
    detection: None,
    expected_lateness: "never",
    out_of_process: true,
    virtual_time: false,
    lock: "columns of the session's row: flag and date; the cookie is always 0",
    wait: "poll every 500 ms",
    steal: "never: the age that the module sees is below 60 s",
    sliding: "every get, also of a waiter; reset; not update, not release",
    round_trips: RoundTrips {
        dirty: 4,
        clean: 4,
        read_only: 2,
        reset: 2,
        stale_dirty: 7,
        stale_clean: 7,
        new_visit: 2,
        abandon: 4,
        poll: 2,
        by_chance: 0,
    },
    managed_server: Some("postgresql"),
    notes: &[
        "Raises no session end, so it cannot hold shared state and no visit is committed.",
        "A lock whose holder is gone stays until the session expires, and each poll of a waiter puts \
         that off.",
        "Whoever writes last wins, with or without the lock.",
        "A visitor who comes back after the deadline finds nothing, and what is written before a purge \
         is lost.",
        "Every session takes at least 7000 bytes, and is read whole by every operation.",
        "The package's source is not public: this is its nearest public descendant.",
    ],
    deviations: &[
        Deviation::always(
            "end_raised",
            "its `SetItemExpireCallback` says that it raises none",
        ),
        Deviation::always(
            "missing_stays_missing",
            "a write to a session that is gone fails",
        ),
        Deviation::always("lock_ids_differ", "every lock's cookie is 0"),
        Deviation::always("foreign_lock_id_write", "a write looks at no lock"),
        Deviation::always(
            "foreign_lock_id_release",
            "every holder has the same cookie",
        ),
        Deviation::always("remove_foreign_lock", "every holder has the same cookie"),
        Deviation::always(
            "slide_update",
            "a write leaves the deadline where the get put it",
        ),
        Deviation::always("slide_release", "a release frees the lock and nothing else"),
        Deviation::always(
            "timeout_change_prolongs",
            "a new timeout counts from the next get on",
        ),
        Deviation::always(
            "uninitialized_never_overwrites",
            "nothing is overwritten, but every new session carries the mark, also one with data",
        ),
    ],
};
