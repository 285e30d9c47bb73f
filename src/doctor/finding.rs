//! What an examination finds, as plain data.

use crate::providers::ServerInfo;
use serde::Serialize;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// As it should be.
    Ok,
    /// Worth knowing.
    Note,
    /// Sessions may suffer.
    Warning,
    /// Sessions, or their ends, will be lost or late, or the scenario cannot be played.
    Problem,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What was looked at: `maxmemory-policy`.
    pub subject: &'static str,
    /// What was found.
    pub what: String,
    /// Why it matters for sessions.
    pub why: String,
    /// What to do; `None` where nothing is to be done.
    pub remedy: Option<String>,
}

impl Finding {
    /// A finding about which nothing is to be done yet.
    #[must_use]
    pub fn new(
        severity: Severity,
        subject: &'static str,
        what: impl Into<String>,
        why: impl Into<String>,
    ) -> Self {
        Self {
            severity,
            subject,
            what: what.into(),
            why: why.into(),
            remedy: None,
        }
    }

    /// The same with what to do.
    #[must_use]
    pub fn remedy(self, remedy: impl Into<String>) -> Self {
        Self {
            remedy: Some(remedy.into()),
            ..self
        }
    }
}

/// What was found on the store of one provider block.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Examination {
    /// The provider block's name in the scenario.
    pub name: String,
    /// The provider.
    pub provider: &'static str,
    /// The server; `None` where there is none or it was not reached.
    pub server: Option<ServerInfo>,
    /// Whether the store could be reached.
    pub reached: bool,
    /// What was found, the worst first.
    pub findings: Vec<Finding>,
}

impl Examination {
    /// The worst of its findings.
    #[must_use]
    pub fn worst(&self) -> Severity {
        let severities = self.findings.iter().map(|finding| finding.severity);
        severities.max().unwrap_or(Severity::Ok)
    }
}
