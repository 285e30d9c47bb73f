//! What a scenario says of its visitors: who comes, what a visit does, how large its data is.
//!
//! All times here are site time, which `time.scale` shortens, except the work of a request.

use crate::quantity::{Count, Distribution, Law, Mean, Rate, Share, Size, Span};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who visits: an open stream of arrivals, or a closed population.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Contacts {
    /// Contacts arrive on a schedule, whatever the site's state (open loop).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arrivals: Option<Arrivals>,
    /// A fixed number of contacts visits again and again (closed loop).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub population: Option<Population>,
    /// How many devices (browsers) an identified contact uses at once; each has its own private
    /// session, all share one shared session.
    #[serde(default = "defaults::one")]
    pub devices: Distribution<Count>,
    /// Site time between the first page of one device and of the next.
    #[serde(default = "defaults::no_span")]
    pub stagger: Distribution<Span>,
    /// Share of contacts that are identified, so that all their devices share one shared session.
    /// An anonymous contact's devices are strangers to the site: a shared session each.
    #[serde(default = "defaults::all")]
    pub identified: Share,
    /// Contacts that come back on the same devices after their visit, with the cookie they had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub returning: Option<Returning>,
    /// Visitors that Sitecore takes for robots: short sessions, one device, anonymous.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub robots: Option<Robots>,
    /// With several clusters: whether a contact keeps one cluster for all devices, or each device
    /// is sent to a cluster of its own.
    #[serde(default)]
    pub cluster_choice: ClusterChoice,
}

/// Open-loop arrivals of contacts. Rates are per site time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Arrivals {
    /// Evenly spaced arrivals.
    Constant(ConstantRate),
    /// Independent arrivals with exponential gaps: what a public site sees.
    Poisson(ConstantRate),
    /// Poisson arrivals whose rate goes linearly from one value to another over the run (warm-up
    /// and measured time).
    Ramp(Ramp),
    /// Poisson arrivals with a rate that changes in steps.
    Steps(Vec<Step>),
    /// Poisson arrivals with a base rate and a spike.
    Spike(Spike),
}

/// One rate for the whole run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConstantRate {
    /// Contacts per time, for example `120/min`.
    pub rate: Rate,
}

/// A linear change of the arrival rate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ramp {
    /// Rate at the start.
    pub from: Rate,
    /// Rate at the end.
    pub to: Rate,
}

/// One step of a rate that changes in steps; the last step lasts to the end of the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Site time that this step lasts.
    pub lasts: Span,
    /// Contacts per time during it.
    pub rate: Rate,
}

/// A base rate with one spike.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spike {
    /// Rate outside the spike.
    pub base: Rate,
    /// Rate during the spike.
    pub peak: Rate,
    /// Site time from the start of the run to the start of the spike.
    pub at: Span,
    /// Site time that the spike lasts.
    pub lasts: Span,
}

/// A closed population: each contact starts its next visit a pause after the one before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Population {
    /// Number of contacts.
    #[schemars(range(min = 1))]
    pub size: u32,
    /// Site time between a contact's visits. A visit after the session's end is a new session.
    pub pause: Distribution<Span>,
    /// Site time over which the first visits are spread evenly.
    #[serde(default)]
    pub spread: Span,
}

/// Contacts that come back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Returning {
    /// Share of visits that are followed by another one of the same contact on the same devices.
    pub share: Share,
    /// Site time between the last page of a visit and the first of the next. Less than the session
    /// timeout continues the session; more finds it ended, or should.
    pub after: Distribution<Span>,
}

/// Visitors taken for robots (`Analytics.Robots.SessionTimeout`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Robots {
    /// Share of contacts that are robots.
    pub share: Share,
    /// Their session timeout, in whole minutes of site time.
    #[serde(default = "defaults::robot_timeout")]
    pub timeout: Span,
    /// Their pages per visit.
    #[serde(default = "defaults::three")]
    pub pages: Distribution<Count>,
    /// Site time between their pages.
    #[serde(default = "defaults::robot_think")]
    pub think_time: Distribution<Span>,
}

/// How contacts choose one of several clusters, weighted by each cluster's `weight`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClusterChoice {
    /// All devices of a contact go to one cluster.
    #[default]
    Contact,
    /// Each device goes to a cluster of its own.
    Device,
}

/// What a visit does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Visits {
    /// Pages per visit.
    pub pages: Distribution<Count>,
    /// Site time between the end of one page and the start of the next.
    pub think_time: Distribution<Span>,
    /// Requests that a page fires at once, after its document, on the same session.
    pub ajax: Distribution<Count>,
    /// Real time that a request works while it holds its session.
    pub work: Distribution<Span>,
    /// What share of requests takes which way through the session.
    pub requests: RequestMix,
    /// Share of visits that end with an explicit log-out (`Session.Abandon`) on their last page.
    pub abandon: Share,
}

/// Shares of requests by what they do with the session. The rest changes the session and succeeds.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RequestMix {
    /// `EnableSessionState=ReadOnly`: reads the session without its lock.
    pub read_only: Share,
    /// Takes the lock but leaves the session unchanged.
    pub clean: Share,
    /// Needs no session; only keeps it alive.
    pub sessionless: Share,
    /// Ends in an error: its changes are discarded.
    pub failing: Share,
}

/// Size of session data.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Data {
    /// Private session: pages, goals and campaigns of one visit.
    pub private: PrivateData,
    /// Shared session: facets and devices of one contact.
    pub shared: SharedData,
    /// How well the data compresses: 0 % is random text, 100 % one repeated letter.
    pub compressibility: Share,
}

/// Growth of the private session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PrivateData {
    /// Bytes at the start of a visit.
    pub initial: Size,
    /// Bytes that each page view adds.
    pub per_page: Size,
    /// Goals: share of page views that convert one, and the bytes it adds.
    pub goals: Growth,
    /// Campaigns: share of page views that trigger one, and the bytes it adds.
    pub campaigns: Growth,
}

/// Something that a share of page views adds to the private session.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Growth {
    /// Share of page views.
    pub share: Share,
    /// Bytes added each time.
    pub bytes: Size,
}

/// Size of the shared session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SharedData {
    /// Bytes of contact facets.
    pub facets: Size,
    /// Bytes that each device of the contact adds.
    pub per_device: Size,
}

/// Default values.
mod defaults {
    use crate::quantity::{Count, Distribution, Share, Span};

    pub fn one() -> Distribution<Count> {
        Distribution::Always(1)
    }
    pub fn three() -> Distribution<Count> {
        Distribution::Always(3)
    }
    pub fn no_span() -> Distribution<Span> {
        Distribution::Always(Span::from_secs(0))
    }
    pub fn all() -> Share {
        Share::ALL
    }
    pub fn robot_timeout() -> Span {
        Span::from_secs(60)
    }
    pub fn robot_think() -> Distribution<Span> {
        Distribution::Always(Span::from_secs(2))
    }
}

impl Default for Visits {
    fn default() -> Self {
        Self {
            pages: Distribution::Always(5),
            think_time: Distribution::Law(Law::Exponential(Mean {
                mean: Span::from_secs(30),
            })),
            ajax: Distribution::Always(0),
            work: Distribution::Always(Span::from_millis(20)),
            requests: RequestMix::default(),
            abandon: Share::NONE,
        }
    }
}

impl Default for PrivateData {
    fn default() -> Self {
        Self {
            initial: Size::from_bytes(2048),
            per_page: Size::from_bytes(600),
            goals: Growth::default(),
            campaigns: Growth::default(),
        }
    }
}

impl Default for SharedData {
    fn default() -> Self {
        Self {
            facets: Size::from_bytes(4096),
            per_device: Size::from_bytes(256),
        }
    }
}
