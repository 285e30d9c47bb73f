//! The scenario as plain data: what a YAML file says, word by word.
//!
//! These types are the format. The JSON Schema that editors use, the structural checks with their
//! carets and the decoding are all derived from them, so a field is added here and nowhere else.
//! In: the tree of a YAML file, through serde. Out: plain data that the lower rooms read.
//!
//! The surprising fact: two kinds of time live in one file. *Site time* (visits, think times,
//! session timeouts, run length) is shortened by `time.scale`; *real time* (work per request, the
//! commit to xConnect, the constants of ASP.NET and of the providers) never is. Each field of
//! type [`Span`] says which one it is.

use crate::providers::ProviderSettings;
use crate::quantity::Span;
use crate::session::settings::{ModuleSettings, Session};
use crate::topology::settings::Cluster;
use crate::traffic::settings::{Contacts, Data, Visits};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One scenario: who visits, on which clusters, with which session-state providers, and what must
/// hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Short name; the report goes to `reports/<name>/`. Letters, digits, `-` and `_`.
    #[schemars(regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9_-]*$"))]
    pub name: String,
    /// What the scenario teaches and what to look for in its report.
    #[serde(default)]
    pub description: String,
    /// Decides all traffic: the same seed gives the same visits.
    #[serde(default = "defaults::seed")]
    pub seed: u64,
    /// How long to measure, and how much shorter than the site's time the run is.
    pub time: Time,
    /// Who visits.
    pub contacts: Contacts,
    /// What a visit does.
    #[serde(default)]
    pub visits: Visits,
    /// How large session data is.
    #[serde(default)]
    pub data: Data,
    /// The session itself: its timeout and what happens at its end.
    #[serde(default)]
    pub session: Session,
    /// The constants of ASP.NET's session-state module; genuine by default.
    #[serde(default)]
    pub module: ModuleSettings,
    /// Groups of servers that share one session database, by name.
    #[schemars(extend("minProperties" = 1))]
    pub clusters: BTreeMap<String, Cluster>,
    /// Session-state providers with their settings, by a name of your choice.
    #[schemars(extend("minProperties" = 1))]
    pub providers: BTreeMap<String, ProviderSettings>,
    /// Play the same visits once for each entry, one after the other. An entry names the provider
    /// that every CD cluster uses in that run; clusters then name none themselves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub compare: Vec<Contender>,
    /// What must hold, as readable text: `request.response.p99 < 250ms`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub objectives: Vec<String>,
    /// Run combinations that the product documentation rules out, to see what goes wrong.
    #[serde(default)]
    pub allow_unsupported: bool,
}

/// Run length and time compression.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Time {
    /// Site time before measuring starts; its requests are played but not measured.
    #[serde(default)]
    pub warm_up: Span,
    /// Site time that is measured.
    pub duration: Span,
    /// Real time to wait for session ends after the last session is due.
    #[serde(default = "defaults::drain")]
    pub drain: Span,
    /// How many times shorter than the site's a minute of the run is: 60 plays a 20-minute session
    /// in 20 s. Work per request and the constants of ASP.NET and of the providers stay real.
    #[serde(default = "defaults::scale")]
    #[schemars(range(min = 1, max = 100_000))]
    pub scale: f64,
}

/// One run of a comparison: a provider's name for private and shared state alike, or one for each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Contender {
    /// One provider for private and shared state.
    Same(String),
    /// A run spelt out.
    Mixed(MixedContender),
}

/// A run of a comparison with its own providers or topology.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MixedContender {
    /// Name in reports; the private provider's name by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Provider of private session state.
    pub private: String,
    /// Provider of shared session state; the private one by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared: Option<String>,
    /// Number of servers per CD cluster in this run, where the provider does not support more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 256))]
    pub servers: Option<u32>,
    /// Whether the others are compared all the same, and that is no failure, where a store of this
    /// run cannot be reached.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
}

/// Default values.
mod defaults {
    use crate::quantity::Span;

    pub fn seed() -> u64 {
        1
    }
    pub fn drain() -> Span {
        Span::from_secs(30)
    }
    pub fn scale() -> f64 {
        1.0
    }
}
