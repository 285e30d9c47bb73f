//! The rows of what ASP.NET itself brings: sessions in process, and its state server.

use super::{Capabilities, Detection, NEVER, ONE_EACH};
use crate::providers::expectations::{Deviation, RoundTrips};

/// System.Web's in-process store (facts §3).
pub const INPROC: Capabilities = Capabilities {
    name: "inproc",
    title: "System.Web in-process store",
    detection: Some(Detection::CacheWheel),
    shared_ends: true,
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

/// System.Web's client of the ASP.NET state server (facts §6).
pub const STATE_SERVER: Capabilities = Capabilities {
    name: "state_server",
    title: "ASP.NET state server",
    detection: None,
    shared_ends: false,
    expected_lateness: NEVER,
    out_of_process: true,
    virtual_time: false,
    lock: "flag and counter in the server's entry",
    wait: "poll every 500 ms",
    steal: "module, at the execution timeout by the server's clock",
    sliding: "every get, also of a waiter; update, release, reset",
    round_trips: ONE_EACH,
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
