//! A page request against a store that refuses what it is told to refuse.

use super::*;
use crate::clock::run_virtual;
use crate::measure::{EndDesign, Recorder, Setup};
use crate::quantity::SiteTime;
use crate::session::module::{Constants, SessionStateModule};
use crate::session::observer::{Observer, ServerIndex, Verb};
use crate::session::settings::ModuleSettings;
use crate::session::value::TextPool;
use crate::session::{ExpireCallback, Found, GetItem, LockId, SessionStateStore, StoreError};
use crate::topology::LoadBalancer;
use crate::topology::settings::{Balancer, Role};
use crate::traffic::Traffic;
use crate::traffic::settings::{Data, Visits};
use async_trait::async_trait;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

/// Has every session, and notes what it is asked.
#[derive(Default)]
pub struct FakeStore {
    refuses: Option<Verb>,
    calls: RefCell<Vec<Verb>>,
    asked_for: RefCell<Vec<SessionId>>,
}

impl FakeStore {
    fn call(&self, verb: Verb) -> Result<(), StoreError> {
        self.calls.borrow_mut().push(verb);
        match self.refuses == Some(verb) {
            true => Err(StoreError::Refused("as told".to_owned())),
            false => Ok(()),
        }
    }

    fn found(&self, verb: Verb, lock: Option<LockId>) -> Result<GetItem, StoreError> {
        self.call(verb)?;
        Ok(GetItem::Found(Found {
            item: Item::new(Minutes(20)),
            lock,
            actions: crate::session::Actions::None,
        }))
    }
}

#[async_trait(?Send)]
impl SessionStateStore for FakeStore {
    fn set_item_expire_callback(&self, _: Rc<dyn ExpireCallback>) -> bool {
        false
    }

    async fn get_item(&self, _: &RequestContext, _: SessionId) -> Result<GetItem, StoreError> {
        self.found(Verb::GetItem, None)
    }

    async fn get_item_exclusive(
        &self,
        _: &RequestContext,
        id: SessionId,
    ) -> Result<GetItem, StoreError> {
        self.asked_for.borrow_mut().push(id);
        self.found(Verb::GetItemExclusive, Some(LockId::Cookie(1)))
    }

    async fn set_and_release_item_exclusive(
        &self,
        _: &RequestContext,
        _: SessionId,
        _: &Item,
        _: Option<&LockId>,
        _: bool,
    ) -> Result<(), StoreError> {
        self.call(Verb::SetAndReleaseItemExclusive)
    }

    async fn release_item_exclusive(
        &self,
        _: &RequestContext,
        _: SessionId,
        _: &LockId,
    ) -> Result<(), StoreError> {
        self.call(Verb::ReleaseItemExclusive)
    }

    async fn remove_item(
        &self,
        _: &RequestContext,
        _: SessionId,
        _: Option<&LockId>,
        _: &Item,
    ) -> Result<(), StoreError> {
        self.call(Verb::RemoveItem)
    }

    async fn reset_item_timeout(&self, _: &RequestContext, _: SessionId) -> Result<(), StoreError> {
        self.call(Verb::ResetItemTimeout)
    }

    async fn create_uninitialized_item(
        &self,
        _: &RequestContext,
        _: SessionId,
        _: Minutes,
    ) -> Result<(), StoreError> {
        self.call(Verb::CreateUninitializedItem)
    }

    async fn end_request(&self, _: &RequestContext) -> Result<(), StoreError> {
        self.call(Verb::EndRequest)
    }

    fn kept(&self, id: SessionId) -> Kept {
        self.asked_for.borrow_mut().push(id);
        Kept::default()
    }

    async fn dispose(&self) {}
}

/// A site of one server whose private and shared sessions are in two stores.
pub fn site(private: &Rc<FakeStore>, shared: &Rc<FakeStore>) -> Site {
    let recorder = Rc::new(Recorder::new(Setup {
        servers: vec![("web".to_owned(), 0)],
        started: Instant::START,
        measured_from: Instant::START,
        measured_until: Instant::START + Duration::from_secs(60),
        minute: Duration::from_secs(60),
        ends: [EndDesign { detection: None }; 2],
        shared_id,
        seed: 1,
    }));
    let module = |store: &Rc<FakeStore>, kind| {
        SessionStateModule::new(
            Rc::clone(store) as Rc<dyn SessionStateStore>,
            Rc::clone(&recorder) as Rc<dyn Observer>,
            ServerIndex(0),
            Constants::of(&ModuleSettings::default(), kind),
        )
    };
    let server = CdServer::new(
        ServerIndex(0),
        module(private, StoreKind::Private),
        Some(module(shared, StoreKind::Shared)),
    );
    Site {
        clusters: vec![Cluster {
            name: "web".to_owned(),
            role: Role::ContentDelivery,
            shared_access: SharedAccess::Exclusive,
            weight: 1.0,
            balancer: LoadBalancer::new(Balancer::Sticky, 1),
            servers: vec![server],
        }],
        traffic: Traffic {
            seed: 1,
            time: SiteTime::new(1.0),
            contacts: serde_yaml::from_str("devices: 1").unwrap(),
            visits: Visits::default(),
            data: Data::default(),
            timeout: Minutes(20),
        },
        recorder: Rc::clone(&recorder),
        text: Rc::new(TextPool::new(1, 0.0)),
        until: Cell::new(Instant::START + Duration::from_secs(60)),
        last_request: Cell::new(0),
    }
}

/// Plays one request of a browser that has a cookie, and returns what the private and the shared
/// store were asked.
fn play(way: Way, [private, shared]: [Option<Verb>; 2]) -> [Vec<Verb>; 2] {
    let store = |refuses| {
        Rc::new(FakeStore {
            refuses,
            ..FakeStore::default()
        })
    };
    let (private, shared) = (store(private), store(shared));
    let played = async move {
        let site = site(&private, &shared);
        let browser = Browser::new(site.traffic.contact(0), 0, 0);
        browser.cookie.set(Some(browser.id_number()));
        let plan = RequestPlan {
            way,
            work: Duration::from_millis(20),
            growth: 100,
            route: 0,
        };
        page_request(&site, &browser, &plan, clock::now()).await;
        [private.calls.take(), shared.calls.take()]
    };
    run_virtual(played).unwrap().0
}

const GET: Verb = Verb::GetItemExclusive;
const SET: Verb = Verb::SetAndReleaseItemExclusive;
const RELEASE: Verb = Verb::ReleaseItemExclusive;
const END: Verb = Verb::EndRequest;

#[test]
fn an_update_sets_both_sessions_and_ends_the_request_on_both() {
    let calls = play(Way::Update, [None, None]);
    assert_eq!(calls, [[GET, SET, END], [GET, SET, END]]);
}

#[test]
fn a_request_is_ended_although_its_private_session_was_refused() {
    let [private, shared] = play(Way::Update, [Some(GET), None]);
    assert_eq!((private, shared), (vec![GET, END], vec![END]));
}

#[test]
fn a_private_session_is_released_unchanged_when_the_contact_was_refused() {
    let [private, shared] = play(Way::Update, [None, Some(GET)]);
    assert_eq!((private, shared), (vec![GET, RELEASE, END], vec![GET, END]));
}

#[test]
fn a_request_is_ended_although_its_write_was_refused() {
    let [private, _] = play(Way::Update, [Some(SET), None]);
    assert_eq!(private, [GET, SET, END]);
}

#[test]
fn a_failing_request_releases_both_sessions_and_is_ended() {
    let [private, _] = play(Way::Failing, [None, None]);
    assert_eq!(private, [GET, RELEASE, END]);
}

#[test]
fn a_log_out_removes_the_private_session_and_is_ended() {
    let [private, _] = play(Way::Abandon, [None, None]);
    assert_eq!(private, [GET, Verb::RemoveItem, END]);
}

#[test]
fn a_request_without_session_resets_the_timeout_and_is_ended() {
    let [private, shared] = play(Way::Sessionless, [None, None]);
    let reset = Verb::ResetItemTimeout;
    assert_eq!((private, shared), (vec![reset, END], vec![END]));
}

#[test]
fn what_will_be_fetched_for_the_next_request_is_what_this_one_asked_for() {
    let stores = [Rc::<FakeStore>::default(), Rc::default()];
    let [private, shared] = stores.clone();
    run_virtual(async move {
        let site = site(&private, &shared);
        let contact = ContactPlan {
            number: 77,
            robot: false,
            identified: false,
            devices: 3,
        };
        let browser = Browser::new(contact, 2, 0);
        browser.cookie.set(Some(browser.id_number()));
        browser.affinity.set(Some(0));
        let plan = RequestPlan {
            way: Way::Update,
            work: Duration::ZERO,
            growth: 100,
            route: 0,
        };
        page_request(&site, &browser, &plan, clock::now()).await;
    })
    .unwrap();
    for store in stores {
        let asked_for = store.asked_for.take();
        let [asked, will_be_fetched] = asked_for[..] else {
            panic!("{asked_for:?}");
        };
        assert_eq!(will_be_fetched, asked);
    }
}
