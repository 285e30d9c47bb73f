//! How much traffic a scenario means, worked out on paper.
//!
//! In: the laws of the scenario. Out: expected contacts, visits, requests and sessions. All of it is
//! means: expected values multiplied as if independent, lock waits left out. Good enough to see that
//! a scenario is ten times too large, which is what it is for.

use super::Scenario;
use crate::quantity::{Distribution, Law, Span, law::Quantity as _};
use crate::session::StoreKind;
use crate::topology::settings::Role;
use crate::traffic::settings::{Arrivals, ClusterChoice, Contacts, Step};

/// Expected traffic of one run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// Contacts that arrive, or that the population has.
    pub contacts: f64,
    /// Visits: one for each device and each time that its contact comes.
    pub visits: f64,
    /// Pages of all visits.
    pub pages: f64,
    /// Page requests with their AJAX requests.
    pub requests: f64,
    /// Requests per second of real time, over warm-up and measured time.
    pub requests_per_second: f64,
    /// Requests in progress at once: requests per second × work (Little's law).
    pub in_progress: f64,
    /// Private sessions that begin.
    pub private_sessions: f64,
    /// Shared sessions that begin.
    pub shared_sessions: f64,
    /// Private sessions alive at the end of the traffic.
    pub live_private: f64,
    /// Shared sessions alive at the end of the traffic.
    pub live_shared: f64,
}

impl Estimate {
    /// The expected traffic of a scenario.
    #[must_use]
    pub fn of(scenario: &Scenario) -> Self {
        let contacts = &scenario.contacts;
        let run = seconds(scenario.time.warm_up) + seconds(scenario.time.duration);
        let person = Visit::of_person(scenario);
        let robot = Visit::of_robot(scenario);
        let robots = contacts
            .robots
            .as_ref()
            .map_or(0.0, |robots| robots.share.fraction());
        let people = 1.0 - robots;
        let devices = contacts.devices.mean().max(1.0);
        let arrived = arrived(contacts, run);

        // How often a contact comes; whether the same session serves it again depends on the pause.
        let (rounds, pause) = rounds(contacts, run, person.seconds);
        let timeout = |kind| f64::from(scenario.timeout(kind).0) * 60.0;
        let continued = |kind| {
            let below = pause.map_or(0.0, |pause| share_below(pause, timeout(kind) * 1e9));
            (rounds - 1.0) * below
        };
        let lives = |kind| rounds - continued(kind);
        let pause_seconds = pause.map_or(0.0, |pause| pause.mean() / 1e9);
        let length = |kind: StoreKind| {
            let again = continued(kind) / lives(kind);
            person.seconds + timeout(kind) + again * (person.seconds + pause_seconds)
        };
        let robot_length = |kind: StoreKind| {
            let timeout = scenario.robot_timeout(kind).unwrap_or_default();
            robot.seconds + f64::from(timeout.0) * 60.0
        };

        let identified = contacts.identified.fraction();
        // An anonymous contact's devices are strangers, with a shared session each.
        let shared_per_person =
            identified * clusters_reached(scenario, devices) + (1.0 - identified) * devices;
        let visits_of_people = arrived * people * devices * rounds;
        let visits_of_robots = arrived * robots;
        let requests = visits_of_people * person.requests + visits_of_robots * robot.requests;
        let real_seconds = run / scenario.time.scale;
        let requests_per_second = requests / real_seconds;

        // Little's law, L = λ·W, with W cut at the length of the run: sessions that began in it
        // cannot be older than it.
        let live = |people_sessions: f64, robot_sessions: f64, kind| {
            (people_sessions * (length(kind) / run).min(1.0))
                + robot_sessions * (robot_length(kind) / run).min(1.0)
        };
        let private_of_people = arrived * people * devices * lives(StoreKind::Private);
        let shared_of_people = arrived * people * shared_per_person * lives(StoreKind::Shared);
        Self {
            contacts: arrived,
            visits: visits_of_people + visits_of_robots,
            pages: visits_of_people * person.pages + visits_of_robots * robot.pages,
            requests,
            requests_per_second,
            in_progress: requests_per_second * scenario.visits.work.mean() / 1e9,
            private_sessions: private_of_people + visits_of_robots,
            shared_sessions: shared_of_people + visits_of_robots,
            live_private: live(private_of_people, visits_of_robots, StoreKind::Private),
            live_shared: live(shared_of_people, visits_of_robots, StoreKind::Shared),
        }
    }

    /// Sessions of a kind alive at the end of the traffic.
    #[must_use]
    pub const fn live(&self, kind: StoreKind) -> f64 {
        match kind {
            StoreKind::Private => self.live_private,
            StoreKind::Shared => self.live_shared,
        }
    }
}

/// The mean visit of one device.
struct Visit {
    pages: f64,
    requests: f64,
    /// Site time from the first page to the end of the last one.
    seconds: f64,
}

impl Visit {
    fn new(scenario: &Scenario, pages: f64, think_time: &Distribution<Span>, ajax: f64) -> Self {
        // Work is real time; in site time it lasts `scale` times as long.
        let work = scenario.visits.work.mean() / 1e9 * scenario.time.scale;
        let pages = pages.max(1.0);
        Self {
            pages,
            requests: pages * (1.0 + ajax),
            seconds: (pages - 1.0) * think_time.mean() / 1e9 + pages * work,
        }
    }

    fn of_person(scenario: &Scenario) -> Self {
        let visits = &scenario.visits;
        let (pages, ajax) = (visits.pages.mean(), visits.ajax.mean());
        Self::new(scenario, pages, &visits.think_time, ajax)
    }

    /// Robots fetch documents only.
    fn of_robot(scenario: &Scenario) -> Self {
        match &scenario.contacts.robots {
            Some(robots) => Self::new(scenario, robots.pages.mean(), &robots.think_time, 0.0),
            None => Self::of_person(scenario),
        }
    }
}

/// Contacts that arrive in a run of so many seconds of site time.
fn arrived(contacts: &Contacts, run: f64) -> f64 {
    if let Some(population) = &contacts.population {
        return f64::from(population.size);
    }
    match &contacts.arrivals {
        None => 0.0,
        Some(Arrivals::Constant(law) | Arrivals::Poisson(law)) => law.rate.per_second() * run,
        Some(Arrivals::Ramp(ramp)) => {
            f64::midpoint(ramp.from.per_second(), ramp.to.per_second()) * run
        }
        Some(Arrivals::Steps(steps)) => in_steps(steps, run),
        Some(Arrivals::Spike(spike)) => {
            let start = seconds(spike.at).min(run);
            let end = (start + seconds(spike.lasts)).min(run);
            let (base, peak) = (spike.base.per_second(), spike.peak.per_second());
            base * (run - (end - start)) + peak * (end - start)
        }
    }
}

/// The last step lasts to the end of the run.
fn in_steps(steps: &[Step], run: f64) -> f64 {
    let mut left = run;
    let mut arrived = 0.0;
    for (position, step) in steps.iter().enumerate() {
        let last = position + 1 == steps.len();
        let lasts = if last {
            left
        } else {
            seconds(step.lasts).min(left)
        };
        arrived += step.rate.per_second() * lasts;
        left -= lasts;
    }
    arrived
}

/// How often a contact comes in a run, and the site time between.
fn rounds(contacts: &Contacts, run: f64, visit: f64) -> (f64, Option<&Distribution<Span>>) {
    if let Some(population) = &contacts.population {
        let pause = population.pause.mean() / 1e9;
        let present = run - seconds(population.spread).min(run) / 2.0;
        let rounds = (present / (visit + pause)).max(1.0);
        return (rounds, Some(&population.pause));
    }
    let Some(returning) = &contacts.returning else {
        return (1.0, None);
    };
    let pause = returning.after.mean() / 1e9;
    // A geometric number of visits, but no more than fit into half a run, the mean time that is
    // left to a contact.
    let wanted = 1.0 / (1.0 - returning.share.fraction()).max(1e-9);
    let fitting = 1.0 + run / 2.0 / (visit + pause).max(1e-9);
    (wanted.min(fitting), Some(&returning.after))
}

/// Clusters that a contact's devices reach, each of which has a shared session of the contact.
fn clusters_reached(scenario: &Scenario, devices: f64) -> f64 {
    if scenario.contacts.cluster_choice == ClusterChoice::Contact {
        return 1.0;
    }
    let visited = scenario.clusters.values();
    let visited = visited.filter(|cluster| cluster.role == Role::ContentDelivery);
    let total: f64 = visited.clone().map(|cluster| cluster.weight).sum();
    visited
        .map(|cluster| 1.0 - (1.0 - cluster.weight / total).powf(devices))
        .sum()
}

/// The share of values below a limit, in nanoseconds.
fn share_below(law: &Distribution<Span>, limit: f64) -> f64 {
    let law = match law {
        Distribution::Always(value) => return f64::from(value.to_number() < limit),
        Distribution::Law(law) => law,
    };
    match law {
        Law::Constant(value) => f64::from(value.to_number() < limit),
        Law::Exponential(law) => 1.0 - (-limit / law.mean.to_number()).exp(),
        Law::Lognormal(law) => {
            let (median, p95) = (law.median.to_number(), law.p95.to_number());
            // Standard deviations above the median; 1.645 of them are at the 95th percentile. The
            // logistic curve is within 1 % of the normal law.
            let deviations = (limit / median).ln() / (p95 / median).ln() * 1.645;
            1.0 / (1.0 + (-1.702 * deviations).exp())
        }
        Law::Uniform(law) => {
            let (min, max) = (law.min.to_number(), law.max.to_number());
            if max > min {
                ((limit - min) / (max - min)).clamp(0.0, 1.0)
            } else {
                f64::from(max < limit)
            }
        }
        Law::Empirical(values) => {
            let below = values.iter().filter(|value| value.to_number() < limit);
            below.count() as f64 / values.len() as f64
        }
        Law::Weighted(values) => {
            let total: f64 = values.iter().map(|value| value.weight).sum();
            let below = values.iter().filter(|it| it.value.to_number() < limit);
            below.map(|value| value.weight).sum::<f64>() / total
        }
    }
}

fn seconds(span: Span) -> f64 {
    span.to_number() / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::parse;

    fn estimate(traffic: &str) -> Estimate {
        let text = format!(
            "name: x\nclusters: {{web: {{private: a, shared: a}}}}\n\
             providers: {{a: {{redis_sitecore: {{}}}}}}\n{traffic}"
        );
        let loaded = parse("test.yaml", &text).unwrap_or_else(|problems| panic!("{problems}"));
        Estimate::of(&loaded.scenario)
    }

    fn near(value: f64, expected: f64) {
        assert!(
            (value / expected - 1.0).abs() < 0.01,
            "{value}, not {expected}"
        );
    }

    /// Sitecore's own example (facts §12): 10 requests/s, 7 pages per visit, 5-minute visits, so
    /// 1.42 sessions/s that live for 25 (private) and 26 minutes (shared).
    #[test]
    fn sitecores_memory_example_comes_out() {
        let estimate = estimate(
            "time: {duration: 2h}\n\
             contacts: {arrivals: {constant: {rate: 1.42/s}}}\n\
             visits: {pages: 7, think_time: 50s, work: 0}\n",
        );
        near(estimate.requests_per_second, 10.0);
        near(estimate.live_private, 1.42 * 25.0 * 60.0);
        near(estimate.live_shared, 1.42 * 26.0 * 60.0);
    }

    #[test]
    fn a_short_run_has_no_more_live_sessions_than_began() {
        let estimate = estimate(
            "time: {duration: 1min}\ncontacts: {arrivals: {constant: {rate: 1/s}}, devices: 2}\n",
        );
        near(estimate.live_private, 120.0);
        near(estimate.live_shared, 60.0);
    }

    #[test]
    fn rates_that_change_are_integrated() {
        for (arrivals, expected) in [
            ("ramp: {from: 0/s, to: 2/s}", 600.0),
            (
                "steps: [{lasts: 1min, rate: 1/s}, {lasts: 1min, rate: 2/s}]",
                60.0 + 1080.0,
            ),
            (
                "spike: {base: 1/s, peak: 11/s, at: 1min, lasts: 1min}",
                600.0 + 600.0,
            ),
        ] {
            let traffic =
                format!("time: {{duration: 10min}}\ncontacts: {{arrivals: {{{arrivals}}}}}\n");
            near(estimate(&traffic).contacts, expected);
        }
    }

    #[test]
    fn a_contact_that_returns_after_the_timeout_begins_a_new_session() {
        let returning = |after| {
            estimate(&format!(
                "time: {{duration: 100h}}\ncontacts: {{arrivals: {{constant: {{rate: 1/s}}}}, \
                 returning: {{share: 50%, after: {after}}}}}\n"
            ))
        };
        let contacts = returning("5min").contacts;
        near(returning("5min").private_sessions, contacts);
        near(returning("1h").private_sessions, 2.0 * contacts);
        near(
            returning("{uniform: {min: 15min, max: 25min}}").private_sessions,
            1.5 * contacts,
        );
        // The shared session lives a minute longer.
        near(returning("1230s").shared_sessions, contacts);
        near(returning("1230s").private_sessions, 2.0 * contacts);
    }

    #[test]
    fn compressed_time_multiplies_the_real_rate() {
        let traffic = |scale| {
            format!(
                "time: {{duration: 10min, scale: {scale}}}\n\
                 contacts: {{arrivals: {{constant: {{rate: 60/min}}}}}}\nvisits: {{pages: 1}}\n"
            )
        };
        near(estimate(&traffic(1)).requests_per_second, 1.0);
        near(estimate(&traffic(60)).requests_per_second, 60.0);
    }
}
