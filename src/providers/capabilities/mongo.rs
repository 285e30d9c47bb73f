//! The row of Sitecore's MongoDB provider.

use super::{Capabilities, Detection, ONE_EACH};
use crate::providers::expectations::{Deviation, RoundTrips};

/// Sitecore.SessionProvider.MongoDB (facts §9.1, §9.3).
pub const MONGO_SITECORE: Capabilities = Capabilities {
    name: "mongo_sitecore",
    title: "Sitecore MongoDB session provider",
    detection: Some(Detection::Poll),
    shared_ends: true,
    expected_lateness: "0–2 s plus backlog",
    out_of_process: true,
    virtual_time: false,
    lock: "GUID and time in the document",
    wait: "poll every 500 ms; once more at once if just freed",
    steal: "module, at the execution timeout; shared state after 5 s; the poller, from any holder",
    sliding: "get, also of a read-only waiter; update, reset; not release",
    // Of private sessions; each get of a session with a timeout of its own has one more.
    round_trips: RoundTrips {
        reset: 2,
        stale_dirty: 5,
        stale_clean: 5,
        poll: 2,
        ..ONE_EACH
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
