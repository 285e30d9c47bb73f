//! Why a run is left out, in words for a person and with the command that would bring it in.
//!
//! The surprising fact: a run that cannot even be opened may leave something behind in a store that
//! is not ours, so that is part of the reason.

use crate::providers::ConnectError;
use crate::session::StoreError;

/// Why a run is left out.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A provider cannot be brought in.
    #[error("{provider}: {source}")]
    Provider {
        /// The provider's name in the scenario.
        provider: String,
        /// Why.
        source: ConnectError,
    },
    /// A run that cannot be opened left something behind.
    #[error("{error}; moreover, {}", warnings.join("; "))]
    LeftBehind {
        /// Why it cannot be opened.
        error: Box<RunError>,
        /// What could not be cleaned up.
        warnings: Vec<String>,
    },
    /// A provider needs a real server.
    #[error("{provider} needs a real store and cannot live in virtual time")]
    NotVirtual {
        /// The provider's name in the scenario.
        provider: String,
    },
}

impl RunError {
    /// What would bring the run in, if that is known. `optional` is whether nobody minds that a store
    /// cannot be reached.
    #[must_use]
    pub fn remedy(&self, optional: bool) -> Option<String> {
        match self {
            Self::Provider {
                source: ConnectError::NotInstalled { remedy, .. },
                ..
            } => Some(remedy.clone()),
            Self::Provider {
                source: ConnectError::Store(StoreError::Connection(_) | StoreError::Timeout { .. }),
                ..
            } if optional => Some("start its server, or name one that runs".to_owned()),
            Self::Provider { .. } => None,
            Self::LeftBehind { error, .. } => error.remedy(optional),
            Self::NotVirtual { .. } => Some("run it without --virtual".to_owned()),
        }
    }

    /// Why a run of this name is left out; the provider is named where the run's name does not.
    #[must_use]
    pub fn reason(&self, run: &str) -> String {
        match self {
            Self::Provider { provider, source } if provider == run => source.to_string(),
            _ => self.to_string(),
        }
    }

    /// The same, with what could not be cleaned up after it.
    #[must_use]
    pub fn with_warnings(self, warnings: Vec<String>) -> Self {
        match warnings.is_empty() {
            true => self,
            false => Self::LeftBehind {
                error: Box::new(self),
                warnings,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn not_installed(provider: &str) -> RunError {
        RunError::Provider {
            provider: provider.to_owned(),
            source: ConnectError::NotInstalled {
                what: "redis-server",
                remedy: "install it".to_owned(),
            },
        }
    }

    #[test]
    fn a_run_named_after_its_provider_is_not_told_its_name_twice() {
        let reason = not_installed("sessions").reason("sessions");
        assert_eq!(reason, "redis-server is not installed");
    }

    #[test]
    fn a_run_of_another_name_is_told_which_provider_it_lacks() {
        let reason = not_installed("contacts").reason("sessions");
        assert_eq!(reason, "contacts: redis-server is not installed");
    }

    #[test]
    fn what_was_left_behind_is_told_beside_the_reason_and_keeps_its_remedy() {
        let error = not_installed("contacts").with_warnings(vec!["keys remain".to_owned()]);
        assert!(error.to_string().ends_with("; moreover, keys remain"));
        assert_eq!(error.remedy(false).as_deref(), Some("install it"));
    }
}
