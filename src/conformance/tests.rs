//! Negative controls: a store with one deliberate fault, and the behaviours that must notice it.
//!
//! The stand-in is one in-process store that all servers share, on the virtual clock. Without a
//! fault it keeps everything but what the cache wheel and its rounding decide.

use super::*;
use crate::clock::run_virtual;
use crate::providers::capabilities::{ALL, INPROC};
use crate::providers::inproc::InprocProvider;
use crate::providers::redis::settings::RedisSitecore;
use crate::providers::{Capabilities, Provider, ProviderSettings, Seat, StoreSample};
use crate::session::{
    EndNotice, ExpireCallback, GetItem, Item, LockId, Minutes, RequestContext, SessionId,
    SessionStateStore, StoreError,
};
use async_trait::async_trait;
use std::collections::BTreeSet;
use std::future::pending;

/// What the stand-in does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// A held session is given to whoever asks.
    TwoHolders,
    /// Reads look past the lock.
    ReadsLockedSessions,
    /// Every update is acknowledged, and forgotten.
    LosesUpdates,
    /// An update needs no lock.
    WritesWithoutLock,
    /// Whoever releases, releases whatever lock there is.
    ReleasesForeignLocks,
    /// Whoever removes, removes whatever is there.
    RemovesForeignSessions,
    /// A new empty session takes the place of what was there.
    OverwritesWithUninitialized,
    /// A lock always looks as if it had just been taken.
    AgelessLocks,
    /// Values that are not text come back as nothing.
    LosesBytes,
    /// An empty session is not stored.
    LosesEmptySessions,
    /// A changed timeout is not stored.
    IgnoresTimeouts,
    /// Resetting the timeout does nothing.
    IgnoresReset,
    /// Session end is raised twice.
    EndsTwice,
    /// Session end comes without data.
    EndsWithoutData,
    /// Abandoning raises no end.
    AbandonsSilently,
    /// Two round trips for each get.
    WastesRoundTrips,
}

/// Capabilities of the stand-in: those of the in-process store, but shared by all servers.
const STAND_IN: Capabilities = Capabilities {
    out_of_process: true,
    deviations: &[
        INPROC.deviations[3],
        INPROC.deviations[4],
        INPROC.deviations[5],
    ],
    ..INPROC
};

struct StandIn {
    provider: InprocProvider,
    fault: Fault,
    store: RefCell<Option<Rc<dyn SessionStateStore>>>,
}

#[async_trait(?Send)]
impl Provider for StandIn {
    async fn open(&self, seat: &Seat) -> Result<Rc<dyn SessionStateStore>, StoreError> {
        let shared = self.store.borrow().clone();
        let inner = match shared {
            Some(inner) => inner,
            None => self.provider.open(seat).await?,
        };
        *self.store.borrow_mut() = Some(Rc::clone(&inner));
        let fault = self.fault;
        Ok(Rc::new(Faulty {
            inner,
            fault,
            first: seat.server == 0,
        }))
    }

    fn server(&self) -> Option<&ServerInfo> {
        None
    }

    async fn sample(&self) -> Result<StoreSample, StoreError> {
        Ok(StoreSample::default())
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.provider.close().await
    }
}

/// One server's view of the shared store.
struct Faulty {
    inner: Rc<dyn SessionStateStore>,
    fault: Fault,
    /// Only the first server tells the cache whom to call: there is one cache.
    first: bool,
}

/// Between the cache and the listener.
struct FaultyEnds {
    callback: Rc<dyn ExpireCallback>,
    fault: Fault,
}

#[async_trait(?Send)]
impl ExpireCallback for FaultyEnds {
    async fn session_end(
        &self,
        mut notice: EndNotice,
    ) -> Result<(), crate::session::contract::EndHandlerFailed> {
        if self.fault == Fault::EndsWithoutData {
            notice.item = None;
        }
        if self.fault == Fault::AbandonsSilently
            && notice.noticed == crate::session::Noticed::Abandoned
        {
            return Ok(());
        }
        if self.fault == Fault::EndsTwice {
            self.callback.session_end(notice.clone()).await?;
        }
        self.callback.session_end(notice).await
    }
}

impl Faulty {
    fn is(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    fn changed(&self, item: &Item) -> Item {
        if !self.is(Fault::LosesBytes) {
            return item.clone();
        }
        let values = item.values().map(|(name, value)| {
            let value = match value {
                crate::session::Value::Serialized(_) => crate::session::Value::Null,
                value => value,
            };
            (name, value)
        });
        Item::from_values(item.timeout(), values.collect())
    }

    /// The lock that is held now, if any.
    async fn holder(&self, request: &RequestContext, id: SessionId) -> Option<LockId> {
        match self.inner.get_item(request, id).await {
            Ok(GetItem::Locked { lock, .. }) => Some(lock),
            _ => None,
        }
    }
}

#[async_trait(?Send)]
impl SessionStateStore for Faulty {
    fn set_item_expire_callback(&self, callback: Rc<dyn ExpireCallback>) -> bool {
        let fault = self.fault;
        !self.first
            || (self.inner).set_item_expire_callback(Rc::new(FaultyEnds { callback, fault }))
    }

    async fn get_item(
        &self,
        request: &RequestContext,
        id: SessionId,
    ) -> Result<GetItem, StoreError> {
        if self.is(Fault::ReadsLockedSessions)
            && let Some(lock) = self.holder(request, id).await
        {
            self.inner
                .release_item_exclusive(request, id, &lock)
                .await?;
        }
        self.inner.get_item(request, id).await
    }

    async fn get_item_exclusive(
        &self,
        request: &RequestContext,
        id: SessionId,
    ) -> Result<GetItem, StoreError> {
        if self.is(Fault::WastesRoundTrips) {
            request.count_round_trip(1, 1);
        }
        let got = self.inner.get_item_exclusive(request, id).await?;
        match got {
            GetItem::Locked { lock, .. } if self.is(Fault::TwoHolders) => {
                self.inner
                    .release_item_exclusive(request, id, &lock)
                    .await?;
                self.inner.get_item_exclusive(request, id).await
            }
            GetItem::Locked { lock, .. } if self.is(Fault::AgelessLocks) => Ok(GetItem::Locked {
                age: Duration::ZERO,
                lock,
            }),
            got => Ok(got),
        }
    }

    async fn set_and_release_item_exclusive(
        &self,
        request: &RequestContext,
        id: SessionId,
        item: &Item,
        lock: Option<&LockId>,
        new_item: bool,
    ) -> Result<(), StoreError> {
        let mut item = self.changed(item);
        let mut lock = lock.cloned();
        match (self.fault, new_item, &lock) {
            (Fault::LosesUpdates, false, Some(lock)) => {
                return self.inner.release_item_exclusive(request, id, lock).await;
            }
            (Fault::WritesWithoutLock, false, _) => {
                lock = self.holder(request, id).await.or(lock);
            }
            (Fault::LosesEmptySessions, false, _) if item.is_empty() => {
                return self
                    .inner
                    .remove_item(request, id, lock.as_ref(), &item)
                    .await;
            }
            (Fault::IgnoresTimeouts, ..) => item.set_timeout(Minutes(6)),
            _ => {}
        }
        let write =
            self.inner
                .set_and_release_item_exclusive(request, id, &item, lock.as_ref(), new_item);
        write.await
    }

    async fn release_item_exclusive(
        &self,
        request: &RequestContext,
        id: SessionId,
        lock: &LockId,
    ) -> Result<(), StoreError> {
        let held = match self.is(Fault::ReleasesForeignLocks) {
            true => self.holder(request, id).await,
            false => None,
        };
        let lock = held.as_ref().unwrap_or(lock);
        self.inner.release_item_exclusive(request, id, lock).await
    }

    async fn remove_item(
        &self,
        request: &RequestContext,
        id: SessionId,
        lock: Option<&LockId>,
        item: &Item,
    ) -> Result<(), StoreError> {
        let held = match self.is(Fault::RemovesForeignSessions) {
            true => self.holder(request, id).await,
            false => None,
        };
        let lock = held.as_ref().or(lock);
        self.inner.remove_item(request, id, lock, item).await
    }

    async fn reset_item_timeout(
        &self,
        request: &RequestContext,
        id: SessionId,
    ) -> Result<(), StoreError> {
        if self.is(Fault::IgnoresReset) {
            return Ok(());
        }
        self.inner.reset_item_timeout(request, id).await
    }

    async fn create_uninitialized_item(
        &self,
        request: &RequestContext,
        id: SessionId,
        timeout: Minutes,
    ) -> Result<(), StoreError> {
        if self.is(Fault::OverwritesWithUninitialized) {
            let empty = Item::new(timeout);
            let write =
                (self.inner).set_and_release_item_exclusive(request, id, &empty, None, true);
            return write.await;
        }
        (self.inner)
            .create_uninitialized_item(request, id, timeout)
            .await
    }

    async fn end_request(&self, request: &RequestContext) -> Result<(), StoreError> {
        self.inner.end_request(request).await
    }

    async fn dispose(&self) {
        if self.first {
            self.inner.dispose().await;
        }
    }
}

/// A stand-in under these capabilities.
fn stand_in(capabilities: &'static Capabilities, fault: Fault) -> Subject {
    Subject::stand_in(capabilities, move || {
        Rc::new(StandIn {
            provider: InprocProvider::default(),
            fault,
            store: RefCell::default(),
        })
    })
}

fn examine_with(fault: Fault) -> Report {
    let examined = async move { examine(&stand_in(&STAND_IN, fault), pending()).await };
    run_virtual(examined).unwrap().0.unwrap()
}

/// Behaviours that a report finds fault with.
fn noticed(report: &Report) -> Vec<&'static str> {
    let wrong = [Verdict::DeviatesUnexpectedly, Verdict::DeviationNotSeen];
    let findings = report.behaviours.iter();
    let found = findings.filter(|finding| wrong.contains(&finding.verdict));
    found.map(|finding| finding.behaviour).collect()
}

#[test]
fn the_stand_in_without_a_fault_is_as_documented() {
    let report = examine_with(Fault::None);
    assert_eq!(noticed(&report), Vec::<&str>::new());
    assert!(report.as_documented());
}

#[test]
fn each_fault_is_noticed_by_the_behaviours_that_it_breaks() {
    for (fault, must) in [
        (
            Fault::TwoHolders,
            &["refuse", "concurrent_take_one_winner", "updates_add_up"][..],
        ),
        (Fault::ReadsLockedSessions, &["read_waits"]),
        (
            Fault::LosesUpdates,
            &["update_releases", "updates_add_up", "wait"],
        ),
        (Fault::WritesWithoutLock, &["foreign_lock_id_write"]),
        (Fault::ReleasesForeignLocks, &["foreign_lock_id_release"]),
        (Fault::RemovesForeignSessions, &["remove_foreign_lock"]),
        (
            Fault::OverwritesWithUninitialized,
            &["uninitialized_marks", "uninitialized_never_overwrites"],
        ),
        (Fault::AgelessLocks, &["lock_age_grows"]),
        (Fault::LosesBytes, &["binary_values_round_trip"]),
        (Fault::LosesEmptySessions, &["empty_session_survives"]),
        (
            Fault::IgnoresTimeouts,
            &["timeout_change", "timeout_change_prolongs"],
        ),
        (Fault::IgnoresReset, &["slide_reset"]),
        (Fault::EndsTwice, &["end_once_two_servers", "abandon_end"]),
        (Fault::EndsWithoutData, &["end_has_data"]),
        (Fault::AbandonsSilently, &["abandon_end"]),
    ] {
        let report = examine_with(fault);
        let noticed = noticed(&report);
        for behaviour in must {
            assert!(noticed.contains(behaviour), "{fault:?}: {noticed:?}");
        }
        assert!(!report.as_documented());
    }
}

#[test]
fn a_wasted_round_trip_is_noticed_on_the_paths_that_waste_it() {
    let report = examine_with(Fault::WastesRoundTrips);
    assert_eq!(noticed(&report), Vec::<&str>::new());
    let wrong = report.round_trips.iter().filter(|path| !path.as_designed());
    let wrong: Vec<_> = wrong.map(|path| path.path).collect();
    assert!(wrong.contains(&"session written"), "{wrong:?}");
    assert!(!wrong.contains(&"read only"), "{wrong:?}");
    assert!(!report.as_documented());
}

#[test]
fn a_documented_deviation_that_is_not_there_is_noticed() {
    /// Says that reads do not wait, and they do.
    const OUTDATED: Capabilities = Capabilities {
        deviations: &[Deviation {
            behaviour: "read_waits",
            why: "it was so once",
            when: None,
        }],
        ..STAND_IN
    };
    let examined = async {
        let subject = stand_in(&OUTDATED, Fault::None);
        examine(&subject, pending()).await
    };
    let report = run_virtual(examined).unwrap().0.unwrap();
    let reads = report.behaviours.iter();
    let reads = reads.filter(|finding| finding.behaviour == "read_waits");
    let verdicts: Vec<_> = reads.map(|finding| finding.verdict).collect();
    assert_eq!(verdicts, [Verdict::DeviationNotSeen]);
}

#[test]
fn where_no_session_lives_for_seconds_nothing_waits_for_one() {
    let examined = async {
        let mut subject = stand_in(&STAND_IN, Fault::None);
        subject.no_short_lives = Some("its procedures reckon with minutes".to_owned());
        let report = examine(&subject, pending()).await;
        (report, clock::now())
    };
    let ((report, took), _) = run_virtual(examined).unwrap();
    assert!(took.since(clock::Instant::START) < Duration::from_secs(60));
    for finding in report.unwrap().behaviours {
        let short = all().any(|(_, behaviour)| {
            behaviour.name == finding.behaviour && behaviour.needs != Needs::Servers
        });
        assert_eq!(finding.verdict == Verdict::NotProbed, short, "{finding:?}");
    }
}

#[test]
fn an_interrupted_examination_closes_what_it_opened() {
    let examined = async {
        let provider: Rc<StandIn> = Rc::new(StandIn {
            provider: InprocProvider::default(),
            fault: Fault::None,
            store: RefCell::default(),
        });
        let subject = Subject::stand_in(&STAND_IN, {
            let provider = Rc::clone(&provider);
            move || Rc::clone(&provider) as Rc<dyn Provider>
        });
        let result = examine(&subject, clock::sleep(Duration::from_secs(3))).await;
        let sessions = provider.provider.sample().await.unwrap().keys;
        (result, sessions)
    };
    let ((result, sessions), _) = run_virtual(examined).unwrap();
    assert!(matches!(result, Err(ConformanceError::Interrupted)));
    assert_eq!(sessions, Some(0));
}

#[test]
fn behaviours_have_names_of_their_own_and_sentences() {
    let names: BTreeSet<_> = all().map(|(_, behaviour)| behaviour.name).collect();
    assert_eq!(names.len(), all().count());
    for (_, behaviour) in all() {
        assert!(behaviour.states.ends_with('.'), "{}", behaviour.name);
    }
}

#[test]
fn every_documented_deviation_is_of_a_known_behaviour_and_under_a_setting_that_exists() {
    for capabilities in ALL {
        let settings = defaults(capabilities.name);
        for deviation in capabilities.deviations {
            let known = all().any(|(_, behaviour)| behaviour.name == deviation.behaviour);
            assert!(known, "{}: {}", capabilities.name, deviation.behaviour);
            let setting = deviation.when.map(|when| when.setting);
            let exists = setting.is_none_or(|setting| settings.contains_key(setting));
            assert!(exists, "{}: {setting:?}", capabilities.name);
        }
    }
}

/// A provider's settings by default.
fn defaults(name: &str) -> serde_json::Map<String, serde_json::Value> {
    // There is no managed MongoDB server, so its block must name one.
    let block = match name {
        "mongo_sitecore" => serde_json::json!({ name: { "server": "mongodb://h" } }),
        _ => serde_json::json!({ name: {} }),
    };
    let settings: ProviderSettings = serde_json::from_value(block).unwrap();
    settings.without_server()
}

#[test]
fn a_poller_that_comes_rarely_is_asked_to_come_more_often() {
    let mut settings = RedisSitecore::default();
    let subject =
        |settings: &RedisSitecore| Subject::new(&ProviderSettings::RedisSitecore(settings.clone()));
    assert_eq!(subject(&settings).no_short_lives, None);
    settings.pollingInterval = 60;
    let why = subject(&settings).no_short_lives.unwrap();
    assert!(why.contains("every 60 s"), "{why}");
}
