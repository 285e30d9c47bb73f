//! How expired sessions are found and claimed (facts §9.1, §9.3).
//!
//! In: a tick of the poller. Out: one claimed session at a time. Every claim asks anew for the 16
//! sessions that expired longest ago, and picks one at random, so that several servers seldom want
//! the same; what is left of the 16 is forgotten. So an end costs three round trips: candidates,
//! claim, removal.
//!
//! The surprising facts: a claim asks only whether the expiration is still what it was, so it takes
//! the lock from a request that has outlasted the session; and it lasts two minutes, so that a
//! handler that takes longer is raised again.

use super::connection::Connection;
use super::document::{self, Key, Lock, Stored};
use super::store::{self, Sessions};
use crate::providers::BackgroundWork;
use crate::providers::poller::{Claimed, ExpiredSessions};
use crate::session::{RequestContext, SessionId, StoreError};
use async_trait::async_trait;
use mongodb::Database;
use mongodb::bson::DateTime;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

/// How long a claim lasts; a constant of the provider, so it stays real when minutes shrink.
const CLAIM: Duration = Duration::from_secs(120);

/// The expired sessions of one application.
pub struct Expired {
    /// The sessions.
    pub sessions: Rc<Sessions>,
    /// What is counted.
    pub work: Rc<RefCell<BackgroundWork>>,
}

/// An expired session as it was seen.
#[derive(Debug, Clone, PartialEq)]
struct Candidate {
    id: String,
    expires: DateTime,
}

impl Expired {
    async fn candidates(
        &self,
        database: &Database,
        signal: DateTime,
    ) -> Result<Vec<Candidate>, StoreError> {
        let command = document::candidates(&self.sessions.application, signal);
        let request = RequestContext::default();
        let reply = self.connection().run(&request, database, command).await?;
        let candidate = |stored: Stored| {
            let key = stored.0.get_document("_id").ok()?;
            Some(Candidate {
                id: key.get_str("s").ok()?.to_owned(),
                expires: stored.expires()?,
            })
        };
        Ok(Stored::found(&reply)
            .into_iter()
            .filter_map(candidate)
            .collect())
    }

    /// Claims a candidate, unless somebody used or claimed it since it was seen.
    async fn take(
        &self,
        database: &Database,
        candidate: &Candidate,
    ) -> Result<Option<Claimed>, StoreError> {
        let cookie = store::cookie();
        let key = Key::new(&candidate.id, &self.sessions.application);
        let lock = Lock {
            cookie: &cookie,
            taken: store::now(),
        };
        let command = key.claim(candidate.expires, lock, store::after(CLAIM));
        let request = RequestContext::default();
        let reply = self.connection().run(&request, database, command).await?;
        let Some(stored) = Stored::modified(reply) else {
            self.work.borrow_mut().claimed_by_others += 1;
            return Ok(None);
        };
        let item = stored.item(self.sessions.compressed);
        match (SessionId::parse(&candidate.id), item) {
            (Some(id), Ok(item)) => Ok(Some(Claimed { id, item, cookie })),
            // It stays claimed, so it is met again in two minutes and blocks nobody until then.
            (id, item) => {
                self.work.borrow_mut().undecodable += 1;
                let why = match (id, item) {
                    (_, Err(why)) => why.to_string(),
                    _ => "its id is no session's".to_owned(),
                };
                Err(StoreError::Undecodable(why))
            }
        }
    }

    fn connection(&self) -> &Connection {
        &self.sessions.connection
    }
}

#[async_trait(?Send)]
impl ExpiredSessions for Expired {
    type Signal = DateTime;

    async fn claim(&self, signal: &mut Option<DateTime>) -> Result<Option<Claimed>, StoreError> {
        let signal = *signal.get_or_insert_with(store::now);
        let databases = &self.sessions.databases;
        // From a partition at random on, until each in turn had nothing.
        let mut at = store::draw(databases.len());
        let mut left = databases.len();
        while left > 0 {
            let mut candidates = self.candidates(&databases[at], signal).await?;
            if candidates.is_empty() {
                at = (at + 1) % databases.len();
                left -= 1;
            }
            while let Some(candidate) = pick(&mut candidates, store::draw) {
                if let Some(claimed) = self.take(&databases[at], &candidate).await? {
                    return Ok(Some(claimed));
                }
            }
        }
        Ok(None)
    }

    async fn remove(&self, claimed: &Claimed) -> Result<(), StoreError> {
        let request = RequestContext::default();
        self.sessions
            .remove(&request, claimed.id, &claimed.cookie)
            .await
    }
}

/// Takes one of the candidates, whichever is drawn.
fn pick(candidates: &mut Vec<Candidate>, draw: impl Fn(usize) -> usize) -> Option<Candidate> {
    if candidates.is_empty() {
        return None;
    }
    let at = draw(candidates.len());
    Some(candidates.swap_remove(at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn sixteen() -> Vec<Candidate> {
        let expires = DateTime::from_millis(1);
        let ids = (0..document::CANDIDATES).map(|number| number.to_string());
        ids.map(|id| Candidate { id, expires }).collect()
    }

    #[test]
    fn each_of_the_candidates_may_be_the_first() {
        let first = |_| pick(&mut sixteen(), store::draw).unwrap().id;
        // Each is missed by all of a thousand draws with a probability of 1e-28.
        let firsts: BTreeSet<String> = (0..1000).map(first).collect();
        assert_eq!(firsts.len(), 16);
    }

    #[test]
    fn candidates_are_picked_until_none_is_left_and_none_twice() {
        let mut candidates = sixteen();
        let picked = std::iter::from_fn(|| pick(&mut candidates, store::draw));
        let picked: BTreeSet<String> = picked.map(|candidate| candidate.id).collect();
        assert_eq!(picked.len(), 16);
        assert!(pick(&mut candidates, store::draw).is_none());
    }

    #[test]
    fn the_draw_decides_which_candidate_is_picked() {
        let mut candidates = sixteen();
        assert_eq!(pick(&mut candidates, |_| 5).unwrap().id, "5");
        assert_eq!(pick(&mut candidates, |left| left - 1).unwrap().id, "14");
    }
}
