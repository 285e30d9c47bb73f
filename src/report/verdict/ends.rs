//! Sentences about session ends: missing, late, double, early, broken.

use crate::report::format::{count, counted, duration, percent};
use crate::result::{Detection, Distribution, Run, ScenarioInfo, SessionEnds};

/// The cache of System.Web does not move an expiry by less (facts §3.2); the histogram may round up.
const CACHE_UPDATE: u64 = 1_001_000_000;

/// What sessions of a kind are called.
struct Subject {
    one: &'static str,
    many: &'static str,
}

impl Subject {
    fn of(kind: &str) -> Self {
        if kind == "shared" {
            Self {
                one: "contact session",
                many: "contact sessions",
            }
        } else {
            Self {
                one: "visit",
                many: "visits",
            }
        }
    }

    fn counted(&self, number: u64) -> String {
        counted(number, self.one, self.many)
    }
}

/// How the sessions of one kind ended, the worst first.
pub(super) fn session_ends(run: &Run, scenario: &ScenarioInfo, kind: &str, says: &mut Vec<String>) {
    for ends in run.session_ends.iter().filter(|ends| ends.kind == kind) {
        let subject = Subject::of(kind);
        missing_ends(run, ends, &subject, says);
        untimely_ends(run, scenario, ends, &subject, says);
        broken_ends(ends, &subject, says);
        overstated(scenario, ends, says);
    }
}

fn missing_ends(run: &Run, ends: &SessionEnds, subject: &Subject, says: &mut Vec<String>) {
    let lost = run.page_views.lost_with_visit;
    let private = ends.kind != "shared";
    if ends.missed == 0 {
        if !ends.supported && ends.started > 0 {
            says.push(format!(
                "Session end never fires for {}: the provider cannot raise it.",
                subject.many
            ));
        }
        return;
    }
    if !ends.supported || ends.ended_once + ends.ended_more == 0 {
        says.push(if private {
            format!(
                "Session end never fires: {} ({}) {} never committed.",
                subject.counted(ends.missed),
                counted(lost, "page view", "page views"),
                if ends.missed == 1 { "was" } else { "were" }
            )
        } else {
            format!(
                "Session end never fires for the {} that came due.",
                subject.counted(ends.missed)
            )
        });
        return;
    }
    let due = ends.ended_once + ends.ended_more + ends.missed;
    let overdue = if ends.overdue.count > 0 {
        format!(", overdue by up to {}", duration(ends.overdue.max))
    } else {
        String::new()
    };
    says.push(format!(
        "{} ({} of those that came due) had not ended when the run did{overdue}.",
        subject.counted(ends.missed),
        percent(ends.missed, due)
    ));
}

fn untimely_ends(
    run: &Run,
    scenario: &ScenarioInfo,
    ends: &SessionEnds,
    subject: &Subject,
    says: &mut Vec<String>,
) {
    if ends.lateness.count > 0 {
        let all = match subject.one {
            "visit" => "session ends".to_owned(),
            _ => format!("ends of {}", subject.many),
        };
        let which = if ends.premature + ends.missed > 0 {
            format!("the {all} that came and were not early")
        } else {
            format!("all {all}")
        };
        says.push(format!(
            "Half of {which} come within {} of the deadline, 99 % within {}{}.",
            duration(ends.lateness.p50),
            duration(ends.lateness.p99),
            main_cause(ends)
                .map(|cause| format!(": {cause}"))
                .unwrap_or_default()
        ));
    }
    let ended = ends.ended_once + ends.ended_more;
    if ends.duplicates > 0 {
        says.push(duplicates(run, ends, subject, ended));
    }
    if ends.premature > 0 {
        let minute = 60e9 / scenario.scale.max(f64::MIN_POSITIVE);
        let typical = ends.earliness.p50;
        let lead = (0.8..1.2).contains(&(typical as f64 / minute));
        let how_early = match detection(run, &ends.kind) {
            _ if ends.earliness.count == 0 => String::new(),
            Some(Detection::Notification) if lead => format!(
                ", half of them by {} or more: one minute of the site's time, by design",
                duration(typical)
            ),
            Some(Detection::CacheWheel) if ends.earliness.max <= CACHE_UPDATE => format!(
                ", by up to {}: the cache does not move an expiry by less than 1 s, by design",
                duration(ends.earliness.max)
            ),
            _ => format!(", half of them by {} or more", duration(typical)),
        };
        says.push(format!(
            "Ended before the deadline: {} ({} of all ends{how_early}).",
            subject.counted(ends.premature),
            percent(ends.premature, ended)
        ));
    }
}

/// The cause that most of the lateness is due to, and how much of it.
fn main_cause(ends: &SessionEnds) -> Option<String> {
    let weight = |parts: &Distribution| parts.mean * parts.count as f64;
    let total: f64 = ends.lateness_by_cause.values().map(weight).sum();
    let (cause, parts) = ends
        .lateness_by_cause
        .iter()
        .max_by(|a, b| weight(a.1).total_cmp(&weight(b.1)))?;
    let share = weight(parts) / total;
    (share.is_finite() && share > 0.5).then(|| match share {
        share if share > 0.995 => format!("the {cause} accounts for all of it"),
        share => format!("the {cause} accounts for {:.0} % of it", share * 100.0),
    })
}

fn duplicates(run: &Run, ends: &SessionEnds, subject: &Subject, ended: u64) -> String {
    let servers: u32 = run
        .clusters
        .iter()
        .filter(|cluster| cluster.role == "content_delivery")
        .map(|cluster| cluster.servers)
        .sum();
    let everyone_hears = detection(run, &ends.kind) == Some(Detection::Notification)
        && ends.ended_once == 0
        && servers > 1
        && ends.duplicates == ended * u64::from(servers - 1);
    if everyone_hears {
        let times = match servers {
            2 => "twice".to_owned(),
            servers => format!("{servers} times"),
        };
        return format!(
            "Every end of a {} fires {times}: each of the {servers} CD servers hears every \
             notification ({}).",
            subject.one,
            counted(ends.duplicates, "duplicate", "duplicates")
        );
    }
    format!(
        "{} of {} ended more than once ({}).",
        subject.counted(ends.ended_more),
        count(ended),
        counted(ends.duplicates, "duplicate", "duplicates")
    )
}

fn detection(run: &Run, kind: &str) -> Option<Detection> {
    let cluster = run.clusters.first()?;
    let provider = match (kind, &cluster.shared) {
        ("shared", Some(shared)) => shared,
        _ => &cluster.private,
    };
    provider.detection
}

fn broken_ends(ends: &SessionEnds, subject: &Subject, says: &mut Vec<String>) {
    let faults = [
        (ends.vanished, "Vanished from the store before the deadline"),
        (
            ends.without_data,
            "Ended without data, with nothing left to commit",
        ),
        (ends.handler_failed, "Ended in a handler that threw"),
        (
            ends.contact_gone,
            "Ended after the contact’s shared session, whose data was gone",
        ),
        (ends.resurrected, "Served although due and not ended"),
        (ends.used_after_end, "Served after the end was raised"),
        (ends.unknown, "Ended though never started in this run"),
    ];
    for (number, what) in faults {
        if number > 0 {
            says.push(format!("{what}: {}.", subject.counted(number)));
        }
    }
}

/// Margins of one minute of the site shrink with it; what they stand against does not.
fn overstated(scenario: &ScenarioInfo, ends: &SessionEnds, says: &mut Vec<String>) {
    if scenario.scale <= 1.0 || ends.without_data + ends.contact_gone == 0 {
        return;
    }
    let minute = (60e9 / scenario.scale) as u64;
    let sentence = format!(
        "That overstates what the site would see: a minute of the site lasts {} here, and the \
         margins of one minute (shadow key before data, private before shared session) stand \
         against timers that stay real.",
        duration(minute)
    );
    if !says.contains(&sentence) {
        says.push(sentence);
    }
}
