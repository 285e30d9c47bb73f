//! `redis_markers`: the design of TrueClarity's provider for Sitecore (facts §10.1).
//!
//! In: what Microsoft's provider gets. Out: the same, and session ends. Every session that is
//! written moves into the set of ids that are due in the same second; a sorted set, the log, names
//! those sets. A poller takes ids out of the first set whose time has come.
//!
//! ```text
//! {app}_log                         ZSET  name of a marker → ticks at which it is due
//! {app}_yyyy MM dd HH:mm:ss_Marker  SET   ids that are due in that second
//! {app_id}_Timeout                  text  the second in whose marker the id is
//! ```
//!
//! The surprising facts: an id is taken out before its end is raised, so a crash in between loses
//! it, and when it was the last one of its marker, the empty marker stays at the head of the log and
//! stops the ends of all others; shared sessions are not entered at all; and nothing removes an ended
//! session, whose data live ten timeouts long.
//!
//! Ours: the application's name in the keys of log and markers, which the genuine ones do without, so
//! that two applications in one database end each other's sessions; and that a read tells the
//! session's own timeout instead of ten times as much.

use super::application;
use super::microsoft::{Margin, MicrosoftStore};
use super::polled::{Record, ask};
use super::times;
use crate::clock::{self, Utc};
use crate::providers::BackgroundWork;
use crate::providers::poller::{Claimed, ExpiredSessions};
use crate::session::{
    LockId, Minutes, RequestContext, SessionId, SessionStateStore as _, StoreError, StoreKind,
};
use async_trait::async_trait;
use redis::cmd;
use std::cell::RefCell;
use std::rc::Rc;

/// By how much data outlive their session, so that a poller that comes late finds them.
pub const MARGIN: Margin = Margin {
    times: 10,
    more: Minutes(0),
};

/// The log and the markers of one application.
pub struct Markers {
    store: MicrosoftStore,
    work: Rc<RefCell<BackgroundWork>>,
}

impl Markers {
    /// Those of the application whose sessions a provider keeps.
    #[must_use]
    pub fn new(store: MicrosoftStore, work: Rc<RefCell<BackgroundWork>>) -> Self {
        Self { store, work }
    }

    fn log(&self) -> String {
        application::log(self.store.application())
    }

    fn marker(&self, second: &str) -> String {
        application::marker(self.store.application(), second)
    }

    /// Takes an id out of the marker that it is in, if any, and the marker out of the log when that
    /// was its last.
    async fn leave(
        &self,
        request: &RequestContext,
        id: &str,
        timeout_key: &str,
    ) -> Result<(), StoreError> {
        let get = cmd("GET").arg(timeout_key).take();
        let Some(second) = ask::<Option<String>>(&self.store, request, &get).await? else {
            return Ok(());
        };
        let marker = self.marker(&second);
        let remove = cmd("SREM").arg(&marker).arg(id).take();
        let _: u64 = ask(&self.store, request, &remove).await?;
        let count = cmd("SCARD").arg(&marker).take();
        if ask::<u64>(&self.store, request, &count).await? == 0 {
            let remove = cmd("ZREM").arg(self.log()).arg(&marker).take();
            let _: u64 = ask(&self.store, request, &remove).await?;
        }
        Ok(())
    }
}

impl Record for Markers {
    fn microsoft(&self) -> &MicrosoftStore {
        &self.store
    }

    async fn enter(&self, request: &RequestContext, id: SessionId) -> Result<(), StoreError> {
        // The genuine one tells them apart by the length of their ids.
        if id.kind() == StoreKind::Shared {
            return Ok(());
        }
        let seat = self.store.seat();
        let timeout_key = self.store.keys(id).shadow();
        let id = id.to_string();
        self.leave(request, &id, &timeout_key).await?;
        // The configured timeout, whatever the session's own is.
        let due = clock::utc().since_epoch() + seat.timeout.lasting(seat.minute);
        let due = Utc::from_nanos(due.as_nanos() as u64);
        let second = second(due);
        let marker = self.marker(&second);
        let life = times::whole_seconds(seat.timeout.lasting(seat.minute) * MARGIN.times);
        let set = cmd("SET")
            .arg(&timeout_key)
            .arg(&second)
            .arg("EX")
            .arg(life)
            .take();
        let _: redis::Value = ask(&self.store, request, &set).await?;
        let add = cmd("SADD").arg(&marker).arg(&id).take();
        let _: u64 = ask(&self.store, request, &add).await?;
        let add = cmd("ZADD")
            .arg(self.log())
            .arg(due.ticks())
            .arg(&marker)
            .take();
        let _: u64 = ask(&self.store, request, &add).await?;
        Ok(())
    }
}

#[async_trait(?Send)]
impl ExpiredSessions for Markers {
    type Signal = Utc;

    async fn claim(&self, signal: &mut Option<Utc>) -> Result<Option<Claimed>, StoreError> {
        let signal = *signal.get_or_insert_with(clock::utc);
        let request = RequestContext::default();
        loop {
            // All of the log, for its first entry: so does the genuine one.
            let range = cmd("ZRANGEBYSCORE")
                .arg(self.log())
                .arg("-inf")
                .arg("+inf")
                .arg("WITHSCORES")
                .take();
            let log: Vec<(String, f64)> = ask(&self.store, &request, &range).await?;
            // A score has 53 bits, a count of ticks has 60: the marker's name is made of what is left.
            let due = log
                .first()
                .and_then(|(_, due)| Utc::from_ticks(*due as u64));
            let Some(due) = due.filter(|due| signal > *due) else {
                return Ok(None);
            };
            let marker = self.marker(&second(due));
            let pop = cmd("SPOP").arg(&marker).take();
            let Some(id) = ask::<Option<String>>(&self.store, &request, &pop).await? else {
                return Ok(None);
            };
            let Some(id) = SessionId::parse(&id) else {
                self.work.borrow_mut().undecodable += 1;
                continue;
            };
            let layout = self.store.layout();
            let read = layout.peek(&self.store.keys(id));
            let data = self.store.connections().command(&request, &read).await?;
            let count = cmd("SCARD").arg(&marker).take();
            if ask::<u64>(&self.store, &request, &count).await? == 0 {
                for (command, key) in [("ZREM", Some(self.log())), ("DEL", None)] {
                    let remove = cmd(command).arg(key).arg(&marker).take();
                    let _: u64 = ask(&self.store, &request, &remove).await?;
                }
            }
            match layout.decode(&data, self.store.seat().timeout) {
                Ok(Some(item)) => {
                    return Ok(Some(Claimed {
                        id,
                        item,
                        cookie: clock::utc().ticks().to_string().into(),
                    }));
                }
                // It was deleted; the next one may be there.
                Ok(None) => self.work.borrow_mut().without_data += 1,
                Err(error) => {
                    self.work.borrow_mut().undecodable += 1;
                    return Err(StoreError::Undecodable(error.to_string()));
                }
            }
        }
    }

    /// Asks Microsoft's provider to remove the session with a lock that it does not have: it removes
    /// nothing.
    async fn remove(&self, claimed: &Claimed) -> Result<(), StoreError> {
        let lock = LockId::Text(Rc::clone(&claimed.cookie));
        let request = RequestContext::default();
        self.store
            .remove_item(&request, claimed.id, Some(&lock), &claimed.item)
            .await
    }
}

/// A second as markers are named: `yyyy MM dd HH:mm:ss`.
fn second(at: Utc) -> String {
    let text = at.to_string().replace(['-', 'T'], " ");
    text.trim_end_matches('Z').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_is_named_after_its_second() {
        let at = Utc::from_nanos(1_704_067_199_900_000_000);
        assert_eq!(second(at), "2023 12 31 23:59:59");
    }
}
