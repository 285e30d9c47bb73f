//! One page request: balancer → CD server → private session → shared session → work → and back.

use super::site::Site;
use crate::clock::{self, Instant};
use crate::fetch::Kept;
use crate::measure::{Failure, RequestDone};
use crate::session::module::{Access, Ending, Request, Session};
use crate::session::stamp::payload_length;
use crate::session::{Item, Minutes, RequestContext, SessionId, Stamp, StoreKind};
use crate::topology::settings::SharedAccess;
use crate::topology::{CdServer, Cluster, Route};
use crate::traffic::{ContactPlan, DeviceKey, RequestPlan, Way, shared_id};
use std::cell::Cell;
use std::num::NonZeroU32;

/// A device's browser: its cookies, and whom it belongs to. Small, since each visitor keeps one.
pub struct Browser {
    contact: ContactPlan,
    device: u32,
    cluster: u16,
    /// The balancer's affinity cookie.
    affinity: Cell<Option<u16>>,
    /// The session cookie: which of the ids that the browser was given, counted from one.
    cookie: Cell<Option<NonZeroU32>>,
    /// Session ids it was given so far.
    ids: Cell<u32>,
}

impl Browser {
    /// A contact's browser on one of its devices, without cookies.
    #[must_use]
    pub const fn new(contact: ContactPlan, device: u32, cluster: usize) -> Self {
        Self {
            contact,
            device,
            cluster: cluster as u16,
            affinity: Cell::new(None),
            cookie: Cell::new(None),
            ids: Cell::new(0),
        }
    }

    /// Whose and which device it is on.
    #[must_use]
    pub const fn key(&self) -> DeviceKey {
        DeviceKey {
            contact: self.contact.number,
            device: self.device,
        }
    }

    /// Whether Sitecore takes it for a robot.
    #[must_use]
    pub const fn robot(&self) -> bool {
        self.contact.robot
    }

    /// Whose shared session it uses.
    fn owner(&self, site: &Site) -> u64 {
        site.owner(&self.contact, self.device, self.cluster.into())
    }

    /// The number of the session id that a request sends or is given.
    fn id_number(&self) -> NonZeroU32 {
        self.cookie.get().unwrap_or_else(|| {
            let number = NonZeroU32::MIN.saturating_add(self.ids.get());
            self.ids.set(number.get());
            number
        })
    }
}

/// Plays one page request and records it.
#[allow(
    clippy::manual_async_fn,
    reason = "an async function keeps its arguments twice"
)]
pub fn page_request(
    site: &Site,
    browser: &Browser,
    plan: &RequestPlan,
    intended: Instant,
) -> impl Future<Output = ()> {
    async move {
        site.recorder.request_intended();
        let cluster = &site.clusters[browser.cluster as usize];
        let route = Route {
            affinity: browser.affinity.get().map(u32::from),
            drawn: plan.route,
        };
        let at = cluster.route(route);
        browser.affinity.set(Some(at as u16));
        let server = &cluster.servers[at as usize];
        let in_progress = server.begin();
        let sent = clock::now();
        let request = Request {
            number: site.next_request(),
            started: sent,
            context: RequestContext::default(),
        };
        site.recorder.request_sent(server.index, sent);
        let has_cookie = browser.cookie.get().is_some();
        let id_number = browser.id_number();
        let owner = browser.owner(site);
        let page = PageRequest {
            site,
            browser,
            plan,
            cluster,
            server,
            request: &request,
            has_cookie,
            id_number,
            private: site.traffic.private_id(browser.key(), id_number.get()),
            owner,
            shared: shared_id(site.traffic.seed, owner),
        };
        let failure = page.serve().await.err();
        drop(in_progress);
        site.recorder.request_done(&RequestDone {
            server: page.server.index,
            intended,
            sent: request.started,
            done: clock::now(),
            session: page.private,
            way: plan.way,
            failure,
            context: &request.context,
        });
        clock::will_use(page.kept());
    }
}

/// A page request on its CD server.
struct PageRequest<'a> {
    site: &'a Site,
    browser: &'a Browser,
    plan: &'a RequestPlan,
    cluster: &'a Cluster,
    server: &'a CdServer,
    request: &'a Request,
    has_cookie: bool,
    /// The session id that it sends or is given.
    id_number: NonZeroU32,
    private: SessionId,
    /// Whose shared session it uses.
    owner: u64,
    shared: SessionId,
}

impl PageRequest<'_> {
    /// Where its sessions are kept: the visitor's next request will use them.
    fn kept(&self) -> [Kept; 4] {
        let [private, of_private] = self.server.private.kept(self.private);
        let [shared, of_shared] = match &self.server.shared {
            Some(module) => module.kept(self.shared),
            None => Default::default(),
        };
        [private, of_private, shared, of_shared]
    }

    async fn serve(&self) -> Result<(), Failure> {
        let served = match self.plan.way {
            Way::Sessionless => self.without_session().await,
            _ => self.with_session().await,
        };
        // Always called, whatever went wrong before: this is where a provider releases what it
        // still holds. Its errors reach nobody, since the response is out.
        let private = &self.server.private;
        let _ = private.end_request(self.request, self.private).await;
        if let Some(module) = &self.server.shared {
            let _ = module.end_request(self.request, self.shared).await;
        }
        served
    }

    async fn without_session(&self) -> Result<(), Failure> {
        if self.has_cookie {
            let timeout = self.timeout(StoreKind::Private);
            let kept = self
                .server
                .private
                .keep_alive(self.request, self.private, timeout)
                .await;
            kept.map_err(|error| Failure::from(&error))?;
        }
        clock::sleep(self.plan.work).await;
        Ok(())
    }

    async fn with_session(&self) -> Result<(), Failure> {
        let access = match self.plan.way {
            Way::ReadOnly => Access::ReadOnly,
            _ => Access::Exclusive,
        };
        let timeout = self.timeout(StoreKind::Private);
        let mut private = if self.has_cookie {
            let acquired = self
                .server
                .private
                .acquire(self.request, self.private, access, timeout)
                .await;
            acquired.map_err(|error| Failure::from(&error))?
        } else {
            Session::without_cookie(self.private, timeout)
        };
        let shared = self.with_contact(access).await;
        let ending = match (&shared, self.plan.way) {
            (Err(_), _) | (_, Way::Failing) => Ending::Error,
            (_, Way::Abandon) => Ending::Abandon,
            _ => Ending::Success,
        };
        self.change(&mut private, ending);
        let released = self
            .server
            .private
            .release(self.request, &private, ending)
            .await;
        shared?;
        if released.map_err(|error| Failure::from(&error))? {
            self.browser.cookie.set(Some(self.id_number));
        }
        Ok(())
    }

    /// Loads the contact, works, and gives the contact back (facts §9.5): the shared session is
    /// taken after the private one and released before it.
    async fn with_contact(&self, access: Access) -> Result<(), Failure> {
        let Some(module) = &self.server.shared else {
            clock::sleep(self.plan.work).await;
            return Ok(());
        };
        let access = match self.cluster.shared_access {
            SharedAccess::Exclusive => access,
            SharedAccess::ReadOnly => Access::ReadOnly,
        };
        let timeout = self.timeout(StoreKind::Shared);
        let acquired = module
            .acquire(self.request, self.shared, access, timeout)
            .await;
        let mut session = acquired.map_err(|error| Failure::from(&error))?;
        clock::sleep(self.plan.work).await;
        // A contact that nobody has loaded yet is stored; one that is held may be changed.
        let changes = access == Access::Exclusive && self.plan.way == Way::Update;
        let ending = match self.plan.way {
            Way::Failing => Ending::Error,
            _ => Ending::Success,
        };
        if Stamp::read(&session.item).is_none() || changes {
            let data = &self.site.traffic.data.shared;
            let devices = u64::from(self.browser.contact.devices);
            let size = data.facets.bytes() + devices * data.per_device.bytes();
            self.write(&mut session.item, 0, size as u32);
        }
        let released = module.release(self.request, &session, ending).await;
        released.map(|_| ()).map_err(|error| Failure::from(&error))
    }

    /// What the request puts into the private session: one more page view and its data.
    fn change(&self, session: &mut Session, ending: Ending) {
        if ending != Ending::Success || self.plan.way != Way::Update {
            return;
        }
        let held = match Stamp::read(&session.item) {
            None => self.site.traffic.data.private.initial.bytes() as u32,
            Some(_) => payload_length(&session.item),
        };
        self.write(&mut session.item, 1, held + self.plan.growth);
        session.item.set_timeout(self.timeout(StoreKind::Private));
    }

    fn write(&self, item: &mut Item, page_views: u32, payload: u32) {
        let number = self.request.number.0;
        let first = Stamp::begin(self.owner, number);
        let stamp = Stamp::read(item).unwrap_or(first);
        let stamp = stamp.updated(number, page_views);
        stamp.write(item, &self.site.text, payload);
    }

    fn timeout(&self, kind: StoreKind) -> Minutes {
        self.site.traffic.timeout(self.browser.robot(), kind)
    }
}

#[cfg(test)]
pub mod tests;
