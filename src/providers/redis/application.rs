//! Whose keys are whose: the names that tell applications, clusters and runs apart in one database.
//!
//! In: `applicationName`, and what tells clusters and runs apart. Out: names for keys, patterns for
//! SCAN and subscriptions, and from a key back to its session. The surprising fact: a name may be
//! the beginning of another, so a pattern only finds candidates; a key is ours when all of it reads
//! as ours.

use super::deadline;
use super::layout::{SHADOW, SUFFIXES};
use crate::session::{SessionId, StoreKind};

/// Suffix of the index of deadlines of `redis_sitecore`; ours.
const INDEX: &str = "_Expirations";
/// Suffix of the index of `redis_index` (facts §10.2).
const EXPIRY_INDEX: &str = "_EXPIRY_INDEX";
/// Suffix of the log of `redis_markers` (facts §10.1).
const LOG: &str = "_log";
/// Suffix of each of its markers.
const MARKER: &str = "_Marker";

/// Tells the keys of one application, cluster and run from all others in a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Application {
    name: String,
    run: String,
    braces: bool,
}

impl Application {
    /// An application by its configured name, and the cluster or run that tells it apart.
    ///
    /// # Errors
    /// A name that would make keys ambiguous.
    pub fn new(name: &str, run: &str) -> Result<Self, String> {
        let plain = |c: char| !c.is_control() && c != '{' && c != '}';
        if name.is_empty() {
            return Err("`applicationName` is empty".to_owned());
        }
        if !(name.chars().all(plain) && run.chars().all(plain)) {
            return Err(format!(
                "`applicationName: {name}` must not hold braces or control characters"
            ));
        }
        Ok(Self {
            name: name.to_owned(),
            run: run.to_owned(),
            braces: true,
        })
    }

    /// The same with keys that have no braces around application and id, as versions 1 have them.
    #[must_use]
    pub fn without_braces(self) -> Self {
        Self {
            braces: false,
            ..self
        }
    }

    /// The name under which the sessions of one kind are kept.
    #[must_use]
    pub fn of(&self, kind: StoreKind) -> String {
        let Self { name, run, .. } = self;
        let separator = if run.is_empty() { "" } else { "_" };
        format!("{name}_{kind}{separator}{run}")
    }

    /// A key as ours are, of a session that is not there.
    #[must_use]
    pub fn example(&self) -> String {
        let (open, close) = if self.braces { ("{", "}") } else { ("", "") };
        format!("{open}{}_0{close}_Data", self.of(StoreKind::Private))
    }

    /// A pattern for SCAN that every key of ours matches; others may match it too.
    #[must_use]
    pub fn pattern(&self) -> String {
        let brace = if self.braces { "{" } else { "" };
        format!("{brace}{}_*", escape(&self.name))
    }

    /// The same without the shadow keys: SCAN deletes what it returns if it has expired, and an
    /// expired shadow ends a session.
    #[must_use]
    pub fn sample_pattern(&self) -> String {
        if !self.braces {
            // Versions 1 have no shadow keys.
            return self.pattern();
        }
        // Of all suffixes, the shadow's is the only one that begins so.
        format!("{{{}_*}}_[^T]*", escape(&self.name))
    }

    /// The session that a key belongs to, if it is one of ours; `None` for the index.
    #[must_use]
    pub fn owner(&self, key: &str) -> Option<Owner> {
        StoreKind::ALL.into_iter().find_map(|kind| {
            if !self.braces {
                let rest = key.strip_prefix(&self.of(kind))?.strip_prefix('_')?;
                return session(rest.split_at_checked(rest.find('_')?)?, kind);
            }
            let rest = key.strip_prefix('{')?.strip_prefix(&self.of(kind))?;
            if rest.strip_prefix('}').is_some_and(is_index) {
                return Some(Owner::Index);
            }
            if let Some(owner) = deadline::keys::owner(rest, kind) {
                return Some(owner);
            }
            session(rest.strip_prefix('_')?.split_once('}')?, kind)
        })
    }
}

/// The session that a key belongs to by its id and suffix.
fn session((id, suffix): (&str, &str), kind: StoreKind) -> Option<Owner> {
    let id = SessionId::parse(id).filter(|id| id.kind() == kind)?;
    SUFFIXES.contains(&suffix).then_some(Owner::Session(id))
}

/// What one of our keys belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// A session.
    Session(SessionId),
    /// No session: what says when sessions are due.
    Index,
}

/// The pattern of the keyspace channels of shadow keys.
#[must_use]
pub fn shadow_pattern(application: &str) -> String {
    format!("{{{}_*}}{SHADOW}", escape(application))
}

/// The session whose shadow a key is.
#[must_use]
pub fn shadow_owner(application: &str, key: &str) -> Option<SessionId> {
    let id = key
        .strip_prefix('{')?
        .strip_prefix(application)?
        .strip_prefix('_')?
        .strip_suffix(SHADOW)?
        .strip_suffix('}')?;
    SessionId::parse(id)
}

/// Whether a key says when sessions are due, by what follows the application in it.
fn is_index(suffix: &str) -> bool {
    let second = |text: &str| text.chars().all(|c| c.is_ascii_digit() || " :".contains(c));
    [INDEX, EXPIRY_INDEX, LOG].contains(&suffix)
        || suffix
            .strip_prefix('_')
            .and_then(|rest| rest.strip_suffix(MARKER))
            .is_some_and(second)
}

/// The key of the index of `redis_index`.
#[must_use]
pub fn expiry_index(application: &str) -> String {
    format!("{{{application}}}{EXPIRY_INDEX}")
}

/// The key of the log of `redis_markers`.
#[must_use]
pub fn log(application: &str) -> String {
    format!("{{{application}}}{LOG}")
}

/// The key of the marker of a second.
#[must_use]
pub fn marker(application: &str, second: &str) -> String {
    format!("{{{application}}}_{second}{MARKER}")
}

/// The key of the index of deadlines.
#[must_use]
pub fn index(application: &str) -> String {
    format!("{{{application}}}{INDEX}")
}

/// Text that a Redis pattern takes literally.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if "*?[]\\^".contains(c) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::super::layout::{Layout, V1};
    use super::*;

    const ID: u128 = 7;

    #[test]
    fn every_key_of_a_session_is_known_as_ours() {
        let application = Application::new("site*", "cluster1").unwrap();
        for (kind, id) in [
            (StoreKind::Private, SessionId::private(ID)),
            (StoreKind::Shared, SessionId::shared(ID)),
        ] {
            let name = application.of(kind);
            for layout in [Layout::V5, Layout::V2To4] {
                let keys = layout.keys(&name, id);
                for key in [
                    keys.lock(),
                    keys.data(),
                    keys.timeout(),
                    &keys.shadow(),
                    &keys.end_claim(),
                    &keys.poller_lock(),
                ] {
                    assert_eq!(application.owner(key), Some(Owner::Session(id)), "{key}");
                }
            }
            for key in [
                index(&name),
                expiry_index(&name),
                log(&name),
                marker(&name, "2024 01 01 00:00:00"),
            ] {
                assert_eq!(application.owner(&key), Some(Owner::Index), "{key}");
            }
        }
    }

    #[test]
    fn a_key_of_another_run_or_application_is_not_ours() {
        let ours = Application::new("site", "").unwrap();
        let theirs = Application::new("site", "other").unwrap();
        let keys = Layout::V5.keys(&theirs.of(StoreKind::Private), SessionId::private(ID));
        assert_eq!(ours.owner(keys.data()), None);
        assert_eq!(ours.owner("{site_private_cart}_Data"), None);
        assert_eq!(ours.owner("site_private"), None);
        assert_eq!(ours.owner("{site_private}_cart_Marker"), None);
    }

    #[test]
    fn keys_without_braces_are_known_as_ours() {
        let application = Application::new("a_b", "run").unwrap().without_braces();
        let layout = Layout::V1(V1::From4);
        for id in [SessionId::private(ID), SessionId::shared(ID)] {
            let keys = layout.keys(&application.of(id.kind()), id);
            for key in [keys.lock(), keys.data(), keys.timeout()] {
                assert_eq!(application.owner(key), Some(Owner::Session(id)), "{key}");
            }
        }
        assert_eq!(application.pattern(), "a_b_*");
        assert_eq!(application.owner("a_b_private_run_cart_Data"), None);
    }

    #[test]
    fn a_pattern_takes_the_name_literally() {
        assert_eq!(
            Application::new("a*[b]", "").unwrap().pattern(),
            "{a\\*\\[b\\]_*"
        );
        assert_eq!(shadow_pattern("a?"), "{a\\?_*}_Timeout");
    }

    #[test]
    fn every_suffix_but_the_shadows_is_sampled() {
        for suffix in SUFFIXES {
            assert_eq!(suffix.starts_with("_T"), suffix == SHADOW, "{suffix}");
        }
    }

    #[test]
    fn a_name_with_braces_is_refused() {
        assert!(Application::new("a}b", "").is_err());
    }

    #[test]
    fn a_shadow_key_tells_its_session() {
        let id = SessionId::shared(ID);
        let keys = Layout::V5.keys("site", id);
        assert_eq!(shadow_owner("site", &keys.shadow()), Some(id));
        assert_eq!(shadow_owner("site", keys.timeout()), None);
    }
}
