//! Rules about single values and their neighbours.

use super::{Findings, at};
use crate::providers::ProviderSettings;
use crate::providers::redis::settings::RedisDeadline;
use crate::quantity::{Count, Distribution, Law, Rate, Span, law::Quantity};
use crate::scenario::objective::Objective;
use crate::scenario::path::Path;
use crate::topology::settings::Role;
use crate::traffic::settings::Arrivals;
use std::collections::HashSet;
use std::time::Duration;

/// Longest session timeout of ASP.NET's cache-backed stores: one year (facts §2.1).
const LONGEST_TIMEOUT: u64 = 525_600;

/// Checks every value.
pub fn check(findings: &mut Findings<'_>) {
    names(findings);
    time(findings);
    arrivals(findings);
    visits(findings);
    sessions(findings);
    module(findings);
    clusters(findings);
    objectives(findings);
}

fn valid_name(name: &str) -> bool {
    let mut characters = name.chars();
    characters
        .next()
        .is_some_and(|first| first.is_ascii_alphanumeric())
        && characters.all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

fn names(findings: &mut Findings<'_>) {
    let scenario = findings.scenario;
    let mut places = vec![(at(["name"]), scenario.name.as_str())];
    for name in scenario.clusters.keys() {
        places.push((at(["clusters", name]), name));
    }
    for name in scenario.providers.keys() {
        places.push((at(["providers", name]), name));
    }
    for (index, contender) in scenario.compare.iter().enumerate() {
        // A contender's provider is looked up elsewhere; only a name of its own is new here.
        if contender.name() != contender.private() {
            places.push((at(["compare"]).index(index).key("name"), contender.name()));
        }
    }
    for (path, name) in places {
        if !valid_name(name) {
            findings
                .error(
                    &path,
                    format!("`{name}` cannot be a name"),
                    "used in file and key names",
                )
                .advise("use letters, digits, `-` and `_`, and begin with a letter or digit");
        }
    }
    let mut seen = HashSet::new();
    for (index, contender) in scenario.compare.iter().enumerate() {
        if !seen.insert(contender.name()) {
            let message = format!("two runs are named `{}`", contender.name());
            findings
                .error(&at(["compare"]).index(index), message, "again here")
                .advise("give this one a `name` of its own");
        }
    }
}

fn time(findings: &mut Findings<'_>) {
    if findings.scenario.time.duration == Span::default() {
        let path = at(["time", "duration"]);
        findings.error(
            &path,
            "the measured time is zero",
            "nothing would be measured",
        );
    }
}

fn arrivals(findings: &mut Findings<'_>) {
    let contacts = &findings.scenario.contacts;
    let path = at(["contacts"]);
    match (&contacts.arrivals, &contacts.population) {
        (Some(_), None) | (None, Some(_)) => {}
        (None, None) => findings
            .error(&path, "nobody visits", "needs `arrivals` or `population`")
            .advise("for example `arrivals: { poisson: { rate: 60/min } }`"),
        (Some(_), Some(_)) => findings
            .error(
                &path.key("population"),
                "contacts either arrive or are a fixed population",
                "beside `arrivals`",
            )
            .advise("keep one of `arrivals` and `population`"),
    }
    let Some(arrivals) = &contacts.arrivals else {
        return;
    };
    let path = path.key("arrivals");
    let none = |rates: &[Rate]| rates.iter().all(|rate| rate.per_second() == 0.0);
    let (key, nobody) = match arrivals {
        Arrivals::Constant(law) => ("constant", none(&[law.rate])),
        Arrivals::Poisson(law) => ("poisson", none(&[law.rate])),
        Arrivals::Ramp(ramp) => ("ramp", none(&[ramp.from, ramp.to])),
        Arrivals::Spike(spike) => ("spike", none(&[spike.base, spike.peak])),
        Arrivals::Steps(steps) => {
            let rates: Vec<_> = steps.iter().map(|step| step.rate).collect();
            ("steps", none(&rates))
        }
    };
    if nobody {
        findings.error(&path.key(key), "nobody arrives", "every rate is zero");
    }
    if let Arrivals::Spike(spike) = arrivals {
        let time = &findings.scenario.time;
        let run = time.warm_up.duration() + time.duration.duration();
        if spike.at.duration() >= run {
            findings.error(
                &path.key("spike").key("at"),
                "the spike starts after the run",
                "later than `warm_up` and `duration` together",
            );
        }
    }
}

fn visits(findings: &mut Findings<'_>) {
    let scenario = findings.scenario;
    let (contacts, visits) = (&scenario.contacts, &scenario.visits);
    law(findings, &at(["contacts", "devices"]), &contacts.devices);
    at_least_one(findings, &at(["contacts", "devices"]), &contacts.devices);
    law(findings, &at(["contacts", "stagger"]), &contacts.stagger);
    if let Some(population) = &contacts.population {
        law(
            findings,
            &at(["contacts", "population", "pause"]),
            &population.pause,
        );
    }
    if let Some(returning) = &contacts.returning {
        law(
            findings,
            &at(["contacts", "returning", "after"]),
            &returning.after,
        );
    }
    if let Some(robots) = &contacts.robots {
        let path = at(["contacts", "robots"]);
        law(findings, &path.key("pages"), &robots.pages);
        at_least_one(findings, &path.key("pages"), &robots.pages);
        law(findings, &path.key("think_time"), &robots.think_time);
    }
    law(findings, &at(["visits", "pages"]), &visits.pages);
    at_least_one(findings, &at(["visits", "pages"]), &visits.pages);
    law(findings, &at(["visits", "think_time"]), &visits.think_time);
    law(findings, &at(["visits", "ajax"]), &visits.ajax);
    law(findings, &at(["visits", "work"]), &visits.work);
    let path = at(["session", "end_handler", "latency"]);
    law(findings, &path, &scenario.session.end_handler.latency);

    let requests = &visits.requests;
    let shares = [
        requests.read_only,
        requests.clean,
        requests.sessionless,
        requests.failing,
    ];
    let sum: f64 = shares.iter().map(|share| share.fraction()).sum();
    if sum > 1.0 + 1e-9 {
        let message = format!(
            "the shares of `visits.requests` sum to {}%",
            (sum * 1e4).round() / 100.0
        );
        findings
            .error(&at(["visits", "requests"]), message, "more than 100%")
            .advise("what they leave of 100% changes the session and succeeds");
    }
}

/// A law that can be drawn from.
fn law<T: Quantity>(findings: &mut Findings<'_>, path: &Path, distribution: &Distribution<T>) {
    let Distribution::Law(law) = distribution else {
        return;
    };
    match law {
        Law::Constant(_) => {}
        Law::Exponential(law) => {
            if law.mean.to_number() <= 0.0 {
                let path = path.key("exponential").key("mean");
                let message = format!("`{path}` is zero");
                findings
                    .error(&path, message, "a mean above zero")
                    .advise("write the bare value 0 where it is always zero");
            }
        }
        Law::Lognormal(law) => {
            let (median, p95) = (law.median.to_number(), law.p95.to_number());
            let path = path.key("lognormal");
            if median <= 0.0 {
                let path = path.key("median");
                findings.error(&path, format!("`{path}` is zero"), "a median above zero");
            } else if p95 <= median {
                let path = path.key("p95");
                findings
                    .error(
                        &path,
                        format!("`{path}` is not above the median"),
                        "must be above `median`",
                    )
                    .advise("95 % of the values are below p95, half of them below the median");
            }
        }
        Law::Uniform(law) => {
            if law.min.to_number() > law.max.to_number() {
                let path = path.key("uniform").key("min");
                findings
                    .error(&path, format!("`{path}` is above `max`"), "above `max`")
                    .advise("swap `min` and `max`");
            }
        }
        Law::Empirical(values) => {
            if values.is_empty() {
                let path = path.key("empirical");
                findings.error(
                    &path,
                    format!("`{path}` lists no values"),
                    "list at least one",
                );
            }
        }
        Law::Weighted(values) => {
            let weights = values.iter().map(|value| value.weight);
            if weights.clone().sum::<f64>() <= 0.0 {
                let path = path.key("weighted");
                let message = format!("`{path}` has no value with a weight above zero");
                findings.error(&path, message, "nothing could be drawn");
            }
        }
    }
}

fn at_least_one(findings: &mut Findings<'_>, path: &Path, count: &Distribution<Count>) {
    let empty = matches!(count, Distribution::Law(Law::Empirical(values)) if values.is_empty());
    if count.high() < 1.0 && !empty {
        findings.error(path, format!("`{path}` is never 1"), "at least 1 is needed");
    }
}

fn sessions(findings: &mut Findings<'_>) {
    let scenario = findings.scenario;
    timeout(
        findings,
        &at(["session", "timeout"]),
        scenario.session.timeout,
    );
    if let Some(robots) = &scenario.contacts.robots {
        timeout(
            findings,
            &at(["contacts", "robots", "timeout"]),
            robots.timeout,
        );
    }
    for (name, settings) in &scenario.providers {
        if let ProviderSettings::RedisDeadline(settings) = settings {
            deadlines(findings, name, settings);
        }
        let ProviderSettings::RedisKeyspace(settings) = settings else {
            continue;
        };
        let path = at(["providers", name, "redis_keyspace", "shadow_key_lead"]);
        let lead = settings.shadow_key_lead;
        if lead >= scenario.session.timeout {
            findings.error(
                &path,
                "the shadow key would expire before the session begins",
                "not shorter than `session.timeout`",
            );
        } else if let Some(robots) = &scenario.contacts.robots
            && lead >= robots.timeout
        {
            findings
                .warning(
                    &path,
                    "robots' sessions end at once: their shadow key has no time to live",
                    "not shorter than `contacts.robots.timeout`",
                )
                .advise("shorten the lead, or lengthen the timeout of robots");
        }
    }
}

fn deadlines(findings: &mut Findings<'_>, name: &str, settings: &RedisDeadline) {
    // A poll that comes too soon after the last one is skipped.
    let two_polls = Span::from(findings.scenario.module.poll_interval.duration() * 2);
    let path = |key| at(["providers", name, "redis_deadline", key]);
    for (key, span, least, why) in [
        (
            "safety_poll",
            settings.safety_poll,
            Span::from_millis(10),
            "the server would do nothing else",
        ),
        (
            "claim_lease",
            settings.claim_lease,
            Span::from_millis(100),
            "ends would be raised again while their handlers are at work",
        ),
        (
            "waiter_lease",
            settings.waiter_lease,
            two_polls,
            "waiters would lose their place between their polls (`module.poll_interval`)",
        ),
        (
            "retention",
            settings.retention,
            settings.claim_lease,
            "an end whose server died would be lost before another one claims it",
        ),
    ] {
        if span < least {
            findings
                .error(
                    &path(key),
                    format!("`{key}` is too short: {why}"),
                    "too short",
                )
                .advise(format!("`{least}` or more"));
        }
    }
}

fn timeout(findings: &mut Findings<'_>, path: &Path, timeout: Span) {
    let seconds = timeout.duration().as_secs();
    let whole = timeout.duration() == Duration::from_secs(seconds / 60 * 60);
    if !whole || !(1..=LONGEST_TIMEOUT).contains(&(seconds / 60)) {
        let message = format!("`{path}` must be whole minutes, from 1min to {LONGEST_TIMEOUT}min");
        findings
            .error(path, message, "not whole minutes")
            .advise("ASP.NET keeps timeouts in whole minutes; shorten the minute by `time.scale`");
    }
}

fn module(findings: &mut Findings<'_>) {
    let module = &findings.scenario.module;
    let places = [
        ("poll_interval", module.poll_interval),
        ("execution_timeout", module.execution_timeout),
        ("shared_lock_max_age", module.shared_lock_max_age),
    ];
    for (key, span) in places {
        if span == Span::default() {
            let path = at(["module", key]);
            findings.error(&path, format!("`{path}` is zero"), "above zero");
        }
    }
}

fn clusters(findings: &mut Findings<'_>) {
    let mut clusters = findings.scenario.clusters.values();
    let visited =
        clusters.any(|cluster| cluster.role == Role::ContentDelivery && cluster.weight > 0.0);
    if !visited {
        findings
            .error(
                &at(["clusters"]),
                "no cluster serves visitors",
                "no content-delivery cluster with a weight above zero",
            )
            .advise("add a cluster, for example `web: { servers: 2, private: …, shared: … }`");
    }
}

fn objectives(findings: &mut Findings<'_>) {
    let scenario = findings.scenario;
    for (index, text) in scenario.objectives.iter().enumerate() {
        let Err(error) = Objective::parse(text) else {
            continue;
        };
        let path = at(["objectives"]).index(index);
        if let Some(written) = findings.document.written(&path) {
            let message = format!("`{written}` stands for no objective");
            findings
                .error(&path, message, "in this objective")
                .advise("with its value it is to read like `request.response.p99 < 250ms`");
            continue;
        }
        let problem = findings.error(&path, error.message, "in this objective");
        problem.help = error.help;
        // The caret goes to the part that is wrong, where the file has the text as it was parsed:
        // not across the escapes of a quoted text, or the lines of a folded one.
        if let Some(label) = problem.labels.first_mut() {
            for quote in [0, 1] {
                let start = label.span.start + quote;
                if label.span.len() == text.len() + 2 * quote {
                    label.span = start + error.at.start..start + error.at.end;
                    label.text = "here".to_owned();
                    break;
                }
            }
        }
    }
}
