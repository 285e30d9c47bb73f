//! The rows of the SQL providers: Sitecore's, and two of Microsoft's.

use super::{Capabilities, Detection, NEVER, ONE_EACH};
use crate::providers::expectations::{Deviation, RoundTrips};

/// Sitecore.SessionProvider.Sql (facts §9.1, §9.2).
pub const SQL_SITECORE: Capabilities = Capabilities {
    name: "sql_sitecore",
    title: "Sitecore SQL session provider",
    detection: Some(Detection::Poll),
    shared_ends: true,
    expected_lateness: "0–2 s plus backlog: one end after the other",
    out_of_process: true,
    virtual_time: false,
    lock: "columns of the session's row: flag, timestamp and a GUID",
    wait: "poll every 500 ms",
    steal: "module, at the execution timeout by the web server's clock; shared state after 5 s",
    sliding: "every get, also of a waiter; update, release, reset (ours)",
    round_trips: ONE_EACH,
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
    shared_ends: false,
    expected_lateness: NEVER,
    out_of_process: true,
    virtual_time: false,
    lock: "columns of the session's row: flag, date and a counter",
    wait: "poll every 500 ms",
    steal: "module, at the execution timeout by the database's clock",
    sliding: "every get, also of a waiter; update, release, reset",
    round_trips: ONE_EACH,
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
    shared_ends: false,
    expected_lateness: NEVER,
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
