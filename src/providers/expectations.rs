//! What a provider is expected to show when it is held against the contract: what each kind of
//! request costs, and where the genuine provider departs from what ASP.NET asks.
//!
//! In: constants of the table of capabilities, and a provider block. Out: what `conformance` asserts.
//! The surprising fact: a setting may decide whether a provider keeps the contract, so a deviation
//! says under which.

use serde::Serialize;

/// Store round trips of each kind of request, as the request module plays it (facts §1.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RoundTrips {
    /// A session that is there, read and written.
    pub dirty: u32,
    /// The same without a change, or with changes that an error discards.
    pub clean: u32,
    /// `EnableSessionState=ReadOnly`.
    pub read_only: u32,
    /// A request that needs no session and has a cookie: its timeout is reset.
    pub reset: u32,
    /// A cookie whose session is gone; the request writes.
    pub stale_dirty: u32,
    /// A cookie whose session is gone; the request does not write.
    pub stale_clean: u32,
    /// No cookie; the request writes.
    pub new_visit: u32,
    /// `Session.Abandon`.
    pub abandon: u32,
    /// One poll of a request that waits.
    pub poll: u32,
    /// How many more a write may cost, by what else happened at the same time.
    pub by_chance: u32,
}

impl RoundTrips {
    /// Those of a store in the web server's own memory.
    pub const NONE: Self = Self {
        dirty: 0,
        clean: 0,
        read_only: 0,
        reset: 0,
        stale_dirty: 0,
        stale_clean: 0,
        new_visit: 0,
        abandon: 0,
        poll: 0,
        by_chance: 0,
    };
}

/// One departure from the contract, by the name that the conformance suite has for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Deviation {
    /// Name of the behaviour.
    pub behaviour: &'static str,
    /// What the provider does instead, and why.
    pub why: &'static str,
    /// The setting under which it does so; `None`: always.
    pub when: Option<When>,
}

/// A setting that has one of some values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct When {
    /// Its name, as in a scenario.
    pub setting: &'static str,
    /// These values, as in a scenario; of a value with settings of its own, the key.
    pub is: &'static [&'static str],
}

impl Deviation {
    /// A departure that no setting decides.
    #[must_use]
    pub const fn always(behaviour: &'static str, why: &'static str) -> Self {
        Self {
            behaviour,
            why,
            when: None,
        }
    }

    /// A departure under some values of one setting.
    #[must_use]
    pub const fn with(
        setting: &'static str,
        is: &'static [&'static str],
        behaviour: &'static str,
        why: &'static str,
    ) -> Self {
        Self {
            behaviour,
            why,
            when: Some(When { setting, is }),
        }
    }
}

impl When {
    /// Whether a provider block says so.
    #[must_use]
    pub fn holds(&self, settings: &serde_json::Map<String, serde_json::Value>) -> bool {
        let Some(value) = settings.get(self.setting) else {
            return false;
        };
        self.is.iter().any(|is| match value {
            serde_json::Value::String(word) => word == is,
            serde_json::Value::Object(keys) => keys.contains_key(*is),
            value => serde_json::from_str::<serde_json::Value>(is)
                .is_ok_and(|expected| expected == *value),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_compared_as_it_is_written() {
        let block = serde_json::json!({ "word": "none", "flag": false, "key": { "queued": {} } });
        let settings = block.as_object().unwrap();
        let holds = |setting, is| When { setting, is }.holds(settings);
        assert!(holds("word", &["lock", "none"]) && holds("flag", &["false"]));
        assert!(holds("key", &["queued"]) && !holds("key", &["serial"]));
        assert!(!holds("word", &["lock"]) && !holds("flag", &["true"]));
        assert!(!holds("missing", &["none"]));
    }
}
