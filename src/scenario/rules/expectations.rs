//! Warnings: what a scenario that can be played will not show.
//!
//! In: the scenario and its [`Estimate`]. Out: one warning for each expectation that the numbers on
//! paper already contradict.

use super::{Findings, at};
use crate::providers::ProviderSettings;
use crate::quantity::{Distribution, SiteTime, Span, law::Quantity as _};
use crate::scenario::Estimate;
use crate::scenario::expand::RunPlan;
use crate::scenario::path::Path;
use crate::scenario::plan::{brief, expected_lateness};
use crate::session::{Minutes, StoreKind};
use crate::topology::settings::SharedAccess;
use std::collections::BTreeSet;
use std::time::Duration;

/// Live sessions beyond which a real store and this machine are unlikely to keep up.
const MANY_SESSIONS: f64 = 100_000.0;
/// Requests in progress beyond which the generator is what is measured.
const MANY_IN_PROGRESS: f64 = 10_000.0;
/// Shortest scaled timeout in which real polls and store delays do not decide everything.
const SHORTEST_TIMEOUT: Duration = Duration::from_secs(5);

/// Checks what to expect.
pub fn check(findings: &mut Findings<'_>) {
    let scenario = findings.scenario;
    let estimate = Estimate::of(scenario);
    let runs = scenario.runs();
    let used: BTreeSet<&str> = runs.iter().flat_map(providers).collect();
    think_times(findings);
    for (name, settings) in &scenario.providers {
        if used.contains(name.as_str()) {
            scaled_seconds(findings, name, settings);
        } else {
            let path = at(["providers", name]);
            let message = format!("the provider `{name}` is not used");
            findings.warning(&path, message, "no cluster, no comparison");
        }
    }
    short_timeout(findings);
    for run in &runs {
        drain(findings, &estimate, run);
        uncommitted(findings, run);
    }
    locks(findings);
    load(findings, &estimate, &used);
}

fn providers(run: &RunPlan) -> impl Iterator<Item = &str> {
    let clusters = run.clusters.iter();
    clusters.flat_map(|cluster| {
        StoreKind::ALL
            .into_iter()
            .filter_map(|kind| cluster.provider(kind))
    })
}

/// A visitor who thinks longer than the timeout comes back to a new session.
fn think_times(findings: &mut Findings<'_>) {
    let scenario = findings.scenario;
    let path = at(["visits", "think_time"]);
    let (timeout, think) = (scenario.session.timeout, &scenario.visits.think_time);
    outlasts(findings, &path, think, timeout, "session.timeout");
    if let Some(robots) = &scenario.contacts.robots {
        let path = at(["contacts", "robots", "think_time"]);
        outlasts(
            findings,
            &path,
            &robots.think_time,
            robots.timeout,
            "contacts.robots.timeout",
        );
    }
}

fn outlasts(
    findings: &mut Findings<'_>,
    path: &Path,
    think: &Distribution<Span>,
    timeout: Span,
    timeout_name: &str,
) {
    let timeout = timeout.to_number();
    let (message, label) = if think.mean() > timeout {
        ("sessions end between pages", "longer than the timeout")
    } else if think.high() > timeout {
        (
            "some sessions end between pages: a long think time outlasts the timeout",
            "at times longer than the timeout",
        )
    } else {
        return;
    };
    findings.warning(path, message, label).advise(format!(
        "shorten it, or lengthen `{timeout_name}`, unless that is the lesson"
    ));
}

/// Redis's EXPIRE counts whole seconds, so scaled timeouts should be whole too.
fn scaled_seconds(findings: &mut Findings<'_>, name: &str, settings: &ProviderSettings) {
    // Ours has deadlines in microseconds.
    let ours = matches!(settings, ProviderSettings::RedisDeadline(_));
    if settings.redis().is_none() || ours {
        return;
    }
    let scenario = findings.scenario;
    let site_time = scenario.site_time();
    let real = |minutes: Minutes| minutes.lasting(site_time.minute());
    let mut spans = Vec::new();
    for kind in StoreKind::ALL {
        spans.push((format!("the {kind} timeout"), real(scenario.timeout(kind))));
        if let Some(timeout) = scenario.robot_timeout(kind) {
            spans.push((format!("the {kind} timeout of robots"), real(timeout)));
        }
    }
    if let ProviderSettings::RedisKeyspace(settings) = settings {
        let lead = site_time.real(settings.shadow_key_lead);
        spans.push(("`shadow_key_lead`".to_owned(), lead));
    }
    let broken = spans.iter().find(|(_, span)| {
        let off = span.as_secs_f64();
        (off - off.round()).abs() > 1e-6
    });
    if let Some((what, span)) = broken {
        findings
            .warning(
                &at(["time", "scale"]),
                format!(
                    "{what} lasts {:.3} s at this scale, but `{name}` expires keys in whole seconds",
                    span.as_secs_f64()
                ),
                "leaves a fraction of a second",
            )
            .advise("a scale that divides 60 keeps whole seconds: 1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30, 60");
    }
}

/// Constants of providers stay real while timeouts shrink.
fn short_timeout(findings: &mut Findings<'_>) {
    let scenario = findings.scenario;
    let site_time: SiteTime = scenario.site_time();
    let timeout = site_time.real(scenario.session.timeout);
    if timeout < SHORTEST_TIMEOUT {
        findings
            .warning(
                &at(["time", "scale"]),
                format!(
                    "sessions last {} at this scale: polls and expiry scans, which stay real, \
                     decide everything",
                    brief(timeout)
                ),
                "shrinks the timeout below 5 s",
            )
            .advise("choose a smaller scale");
        return;
    }
    for (name, settings) in &scenario.providers {
        let (constant, what) = match settings {
            ProviderSettings::Inproc(_) => (20, "cache wheel"),
            ProviderSettings::RedisSitecore(settings) => (settings.pollingInterval, "poll"),
            ProviderSettings::RedisMarkers(settings) | ProviderSettings::RedisIndex(settings) => {
                (settings.pollingInterval, "poll")
            }
            ProviderSettings::MongoSitecore(settings) => (settings.pollingInterval, "poll"),
            _ => continue,
        };
        let constant = Duration::from_secs(constant.into());
        if timeout < constant {
            findings.warning(
                &at(["time", "scale"]),
                format!(
                    "sessions last {} at this scale, less than the {what} of `{name}`, which \
                     stays {}",
                    brief(timeout),
                    brief(constant)
                ),
                "shrinks the timeout below a constant of the provider",
            );
        }
    }
}

/// An end that comes after the drain counts as missed.
fn drain(findings: &mut Findings<'_>, estimate: &Estimate, run: &RunPlan) {
    let scenario = findings.scenario;
    let late: BTreeSet<(Duration, &str)> = providers(run)
        .filter_map(|name| Some((expected_lateness(scenario, estimate, run, name)?, name)))
        .collect();
    let Some((lateness, name)) = late.last() else {
        return;
    };
    if scenario.time.drain.duration() >= *lateness {
        return;
    }
    let message = format!(
        "`{name}` may raise session end {} late, which is longer than the drain: ends after it \
         count as missed",
        brief(*lateness)
    );
    findings
        .warning(
            &at(["time", "drain"]),
            message,
            "too short for all session ends",
        )
        .advise("lengthen `time.drain`; it is real time");
}

fn uncommitted(findings: &mut Findings<'_>, run: &RunPlan) {
    let scenario = findings.scenario;
    let compared = scenario.compare.iter().enumerate();
    for cluster in run.clusters.iter().filter(|it| it.serves_visitors()) {
        let Some(settings) = scenario.providers.get(&cluster.private) else {
            continue;
        };
        if settings.capabilities().raises_ends(StoreKind::Private) {
            continue;
        }
        let path = compared
            .clone()
            .find(|(_, contender)| contender.name() == run.name)
            .map_or_else(
                || at(["clusters", &cluster.name, "private"]),
                |(index, _)| at(["compare"]).index(index).key("private"),
            );
        let message = format!(
            "no visit is ever committed on `{}`: it raises no session end",
            cluster.private
        );
        findings.warning(&path, message, "every page view is lost");
    }
}

/// A lock shows nothing unless two requests can want it at once.
fn locks(findings: &mut Findings<'_>) {
    let scenario = findings.scenario;
    let visits = &scenario.visits;
    let ajax = visits.ajax.high();
    let exclusive = scenario
        .clusters
        .values()
        .any(|cluster| cluster.shared_access == SharedAccess::Exclusive);
    let several =
        scenario.contacts.devices.high() > 1.0 && scenario.contacts.identified.fraction() > 0.0;
    if ajax < 1.0 && !(exclusive && several) {
        findings
            .warning(
                &at(["visits", "ajax"]),
                "no lock is ever contended: a session has one request at a time",
                "no parallel requests",
            )
            .advise(
                "add `visits.ajax`, or several devices per contact on exclusive shared state, \
                 unless locks do not matter here",
            );
    }
    if ajax > f64::from(scenario.module.queue_limit) {
        findings.warning(
            &at(["visits", "ajax"]),
            format!(
                "a page may fire more requests than the queue limit of {} admits; the others fail",
                scenario.module.queue_limit
            ),
            "above `module.queue_limit`",
        );
    }
    let timeout = scenario.module.execution_timeout;
    let path = at(["visits", "work"]);
    let execution_timeout = timeout.to_number();
    // Requests of one session run one after the other, so the last waits for all others.
    let last_waits = visits.ajax.mean() * visits.work.mean();
    if visits.work.high() > execution_timeout {
        let message =
            format!("some requests hold their session for longer than {timeout}: it is stolen");
        findings.warning(&path, message, "longer than `module.execution_timeout`");
    } else if last_waits > execution_timeout {
        let message = format!(
            "the last request of a page waits for {}, longer than {timeout}: it fails",
            brief(Duration::from_secs_f64(last_waits / 1e9))
        );
        findings.warning(
            &path,
            message,
            "× `ajax` is beyond `module.execution_timeout`",
        );
    }
}

fn load(findings: &mut Findings<'_>, estimate: &Estimate, used: &BTreeSet<&str>) {
    let scenario = findings.scenario;
    let path = at(["contacts"]);
    if estimate.contacts < 1.0 {
        findings.warning(
            &path,
            "hardly anybody comes: less than one contact is expected",
            "too few for the length of the run",
        );
    }
    let on_store = used.iter().any(|name| {
        let settings = scenario.providers.get(*name);
        settings.is_some_and(|settings| settings.capabilities().out_of_process)
    });
    let live = estimate.live_private + estimate.live_shared;
    if on_store && live > MANY_SESSIONS {
        findings
            .warning(
                &path,
                format!("about {live:.0} sessions live at once on a real store"),
                "more than 100 000",
            )
            .advise("check the store's memory with `sessionbench capacity` first");
    }
    if estimate.in_progress > MANY_IN_PROGRESS {
        findings.warning(
            &at(["visits", "work"]),
            format!(
                "about {:.0} requests are in progress at once: the generator will be the bottleneck",
                estimate.in_progress
            ),
            "work × requests per second",
        );
    }
}
