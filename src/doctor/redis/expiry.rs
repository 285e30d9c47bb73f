//! The scan for expired keys: how late it makes session ends, or how long the dead stay in memory.

use super::Master;
use crate::doctor::finding::{Finding, Severity};
use crate::providers::ProviderSettings;
use crate::providers::redis::expiry::{KEYS_WITH_SHADOW, KEYS_WITHOUT_SHADOW, Scan};
use crate::scenario::plan::{brief, rounded};
use std::time::Duration;

const SUBJECT: &str = "expiry scan";

/// Settings to propose, the cheaper for the server's processor first.
const PROPOSED: [(i64, i64); 4] = [(10, 10), (100, 1), (100, 10), (500, 10)];

/// Judges `hz` and `active-expire-effort` by the keys that there will be.
pub fn judge(master: &Master<'_>) -> Finding {
    let info = &master.survey.info;
    let hz = info.number("configured_hz");
    let hz = hz.or_else(|| master.setting("hz")?.parse().ok());
    let effort = master.setting("active-expire-effort");
    let effort = effort.and_then(|text| text.parse().ok());
    let told = |setting: Option<i64>, default: i64| match setting {
        Some(value) => value.to_string(),
        None => format!("{default}?"),
    };
    let settings = format!("hz {}, effort {}", told(hz, 10), told(effort, 1));
    let others = info.volatile_keys();
    match master.settings {
        ProviderSettings::RedisKeyspace(_) => {
            let load = Load::new(master, KEYS_WITH_SHADOW);
            of_session_end(&load, Scan::new(hz, effort), &settings, master.demand.lead)
        }
        _ => {
            let load = Load::new(master, KEYS_WITHOUT_SHADOW);
            let late = load.lateness(Scan::new(hz, effort));
            let what = format!(
                "{settings}: what expires is deleted within {} ({others} keys with a TTL are there \
                 already)",
                brief(late)
            );
            let why = "Session ends of this provider do not wait for it; expired data stays in \
                       memory for as long.";
            Finding::new(Severity::Ok, SUBJECT, what, why)
        }
    }
}

/// What the scan has to look at.
struct Load {
    sessions: f64,
    others: f64,
    keys: f64,
    ends_per_second: f64,
}

impl Load {
    fn new(master: &Master<'_>, keys_per_session: f64) -> Self {
        let others = master.survey.info.volatile_keys() as f64;
        let sessions = master.sessions();
        Self {
            sessions,
            others,
            keys: sessions * keys_per_session + others,
            ends_per_second: master.demand.ends_per_second / master.masters,
        }
    }

    fn lateness(&self, scan: Scan) -> Duration {
        scan.lateness(self.keys, self.ends_per_second)
    }
}

/// The scan of a provider whose session ends wait for it.
fn of_session_end(load: &Load, scan: Scan, settings: &str, lead: Duration) -> Finding {
    let late = load.lateness(scan);
    let what = format!(
        "{settings}: with {} sessions and {} other keys with a TTL, a shadow key is found up to {} \
         after it expired, {} in the mean",
        rounded(load.sessions),
        rounded(load.others),
        brief(late),
        brief(late / 2)
    );
    let covered = format!(
        "The notification comes when the scan finds the key; shadow_key_lead covers {} of it.",
        brief(lead)
    );
    if late <= lead {
        return Finding::new(Severity::Ok, SUBJECT, what, covered);
    }
    let lost = 100.0 * (late - lead).as_secs_f64() / late.as_secs_f64();
    let why = format!(
        "{covered} After that the session's data has expired as well, so about {} % of the session \
         ends would find nothing to commit.",
        lost.round()
    );
    let sufficient = PROPOSED.iter().find_map(|(hz, effort)| {
        let better = load.lateness(Scan::new(Some(*hz), Some(*effort)));
        (better <= lead).then(|| {
            format!(
                "`redis-cli CONFIG SET hz {hz}` and `CONFIG SET active-expire-effort {effort}` make \
                 it {}.",
                brief(better)
            )
        })
    });
    let share = load.others / load.keys;
    let remedy = sufficient.unwrap_or_else(|| {
        format!(
            "No setting of the scan is enough: make `shadow_key_lead` longer, or choose a provider \
             that polls. {} % of the keys are others'; a server of its own would be rid of them.",
            (100.0 * share).round()
        )
    });
    Finding::new(Severity::Problem, SUBJECT, what, why).remedy(remedy)
}
