//! `redis_index`: the design of Glass's provider for Sitecore (facts §10.2).
//!
//! In: what Microsoft's provider gets. Out: the same, and session ends. A sorted set has the instant
//! of each session's last write as a FILETIME; a poller takes the first one that is a timeout old and
//! at most an hour, moves it five minutes into the future, and takes a lock of its own on it.
//!
//! The surprising facts: what is older than an hour is never found, so that with a timeout of an
//! hour no session ends; the end removes the entry and leaves the data, so that a visitor who comes
//! back within two minutes goes on with the ended session; and the range is read apart from the
//! claim, so that only the lock's ten seconds keep two servers from the same end.
//!
//! Ours: the application's name in the index's key; that data live two minutes longer than the
//! session, where the genuine one adds two minutes to the timeout at each write; and that a read
//! tells the session's own timeout.

use super::application;
use super::microsoft::{Margin, MicrosoftStore, elements};
use super::polled::{Record, ask};
use super::script::Script;
use crate::clock::{self, Utc};
use crate::providers::BackgroundWork;
use crate::providers::poller::{Claimed, ExpiredSessions};
use crate::session::{Item, Minutes, RequestContext, SessionId, StoreError, Value};
use async_trait::async_trait;
use redis::{Value as Reply, cmd};
use std::borrow::Cow;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::LazyLock;
use std::time::Duration;

/// By how much data outlive their session.
pub const MARGIN: Margin = Margin {
    times: 1,
    more: Minutes(2),
};
/// A value that each write adds, so that something changes.
const FAKE: &str = "6247030A-D2EF-46C6-A62C-AD315F9D0E06";
/// Entries that are older are not looked for; real time.
const OLDEST: Duration = Duration::from_secs(60 * 60);
/// How far a claim moves an entry into the future; real time.
const RETRY: Duration = Duration::from_secs(5 * 60);
/// How long the poller's lock lasts.
const LOCK_SECONDS: &[u8] = b"10";
/// .NET ticks at the start of 1601, from which a FILETIME counts.
const TICKS_TO_1601: u64 = 504_911_232_000_000_000;

static CLAIM: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("scripts/index/claim.lua")));

/// The index of one application.
pub struct Index {
    store: MicrosoftStore,
    work: Rc<RefCell<BackgroundWork>>,
}

impl Index {
    /// That of the application whose sessions a provider keeps.
    #[must_use]
    pub fn new(store: MicrosoftStore, work: Rc<RefCell<BackgroundWork>>) -> Self {
        Self { store, work }
    }

    fn key(&self) -> String {
        application::expiry_index(self.store.application())
    }

    async fn add(
        &self,
        request: &RequestContext,
        id: &str,
        written: Duration,
    ) -> Result<(), StoreError> {
        let add = cmd("ZADD")
            .arg(self.key())
            .arg(file_time(written))
            .arg(id)
            .take();
        ask::<u64>(&self.store, request, &add).await.map(drop)
    }

    async fn drop_entry(&self, request: &RequestContext, id: &str) -> Result<(), StoreError> {
        let remove = cmd("ZREM").arg(self.key()).arg(id).take();
        ask::<u64>(&self.store, request, &remove).await.map(drop)
    }
}

impl Record for Index {
    fn microsoft(&self) -> &MicrosoftStore {
        &self.store
    }

    async fn enter(&self, request: &RequestContext, id: SessionId) -> Result<(), StoreError> {
        let now = clock::utc().since_epoch();
        self.add(request, &id.to_string(), now).await
    }

    fn written<'a>(&self, item: &'a Item) -> Cow<'a, Item> {
        let mut item = item.clone();
        item.set(FAKE, Value::Text("".into()));
        Cow::Owned(item)
    }
}

#[async_trait(?Send)]
impl ExpiredSessions for Index {
    type Signal = Utc;

    async fn claim(&self, signal: &mut Option<Utc>) -> Result<Option<Claimed>, StoreError> {
        let signal = *signal.get_or_insert_with(clock::utc);
        let request = RequestContext::default();
        let seat = self.store.seat();
        // The configured timeout, whatever the session's own is.
        let timeout = seat.timeout.lasting(seat.minute);
        loop {
            let now = clock::utc().since_epoch();
            let range = cmd("ZRANGEBYSCORE")
                .arg(self.key())
                .arg(file_time(now.saturating_sub(OLDEST)))
                .arg(file_time(signal.since_epoch().saturating_sub(timeout)))
                .take();
            let ids: Vec<String> = ask(&self.store, &request, &range).await?;
            let Some(text) = ids.into_iter().next() else {
                return Ok(None);
            };
            self.add(&request, &text, now + RETRY).await?;
            let Some(id) = SessionId::parse(&text) else {
                self.work.borrow_mut().undecodable += 1;
                continue;
            };
            let cookie: Rc<str> = clock::utc().ticks().to_string().into();
            let keys = self.store.keys(id);
            let claimed = self
                .store
                .connections()
                .eval(
                    &request,
                    &CLAIM,
                    &[&keys.poller_lock(), keys.data()],
                    &[cookie.as_bytes(), LOCK_SECONDS],
                )
                .await?;
            let [_, data, locked] = elements(claimed)?;
            if locked != Reply::Nil {
                self.work.borrow_mut().claimed_by_others += 1;
                continue;
            }
            match self.store.layout().decode(&data, seat.timeout) {
                Ok(Some(item)) => return Ok(Some(Claimed { id, item, cookie })),
                Ok(None) => {
                    self.work.borrow_mut().without_data += 1;
                    self.drop_entry(&request, &text).await?;
                }
                Err(error) => {
                    self.work.borrow_mut().undecodable += 1;
                    return Err(StoreError::Undecodable(error.to_string()));
                }
            }
        }
    }

    /// Removes the entry; the data run out by themselves.
    async fn remove(&self, claimed: &Claimed) -> Result<(), StoreError> {
        let request = RequestContext::default();
        self.drop_entry(&request, &claimed.id.to_string()).await
    }
}

/// A point in time as `ToFileTimeUtc` tells it.
fn file_time(since_epoch: Duration) -> u64 {
    Utc::from_nanos(since_epoch.as_nanos() as u64).ticks() - TICKS_TO_1601
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_time_counts_from_1601() {
        // DateTime(2024, 1, 1).ToFileTimeUtc() in .NET.
        let start_of_2024 = Duration::from_secs(1_704_067_200);
        assert_eq!(file_time(start_of_2024), 133_485_408_000_000_000);
    }
}
