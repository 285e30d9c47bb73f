//! What is examined: a provider, the CD servers that probes work with, and the sessions they hold.
//!
//! In: the settings of a provider. Out: sites, each with a `Provider` and an application name of its
//! own, so that the pollers of one take nothing of another's, even in one database. The surprising fact: two servers of an
//! in-process store share nothing, so that what needs two servers is probed on one there, and that
//! they share nothing is a behaviour of its own.

use super::ends::{Ends, Listener};
use super::probe::{Otherwise, deviates};
use crate::clock;
use crate::providers::{
    self, Capabilities, ConnectError, Deviation, Provider, ProviderSettings, Seat,
};
use crate::session::{
    Actions, GetItem, Item, LockId, Minutes, RequestContext, SessionId, SessionStateStore,
    StoreError, StoreKind,
};
use futures_util::future::LocalBoxFuture;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

/// Session timeout in a probe.
pub const TIMEOUT: Minutes = Minutes(6);
/// Real length of a minute in a probe, where the provider lets it be short. Stores keep timeouts in
/// whole seconds.
const MINUTE: Duration = Duration::from_secs(1);
/// `httpRuntime executionTimeout` in a probe: longer than any probe takes.
const EXECUTION_TIMEOUT: Duration = Duration::from_secs(110);

type Connecting = LocalBoxFuture<'static, Result<Rc<dyn Provider>, ConnectError>>;

/// A provider as the suite takes it.
pub struct Subject {
    /// What it says it can do.
    pub capabilities: &'static Capabilities,
    /// Where its table says that it departs from the contract.
    pub deviations: Vec<Deviation>,
    /// Its settings, without the server.
    pub settings: serde_json::Map<String, serde_json::Value>,
    /// Whether minutes must last 60 s.
    real_minutes: bool,
    /// Why sessions cannot be seen to live for seconds, if they cannot.
    pub no_short_lives: Option<String>,
    connect: Box<dyn Fn(String) -> Connecting>,
}

impl Subject {
    /// A provider with these settings.
    #[must_use]
    pub fn new(settings: &ProviderSettings) -> Self {
        let connecting = settings.clone();
        let real_minutes = settings.real_minutes();
        let no_short_lives =
            real_minutes.map(|why| format!("it would take minutes of 60 s: {why}"));
        let settings_shown = settings.without_server();
        Self {
            capabilities: settings.capabilities(),
            deviations: settings.deviations().copied().collect(),
            real_minutes: real_minutes.is_some(),
            no_short_lives: no_short_lives.or_else(|| polls_rarely(&settings_shown)),
            settings: settings_shown,
            connect: Box::new(move |application| {
                let settings = connecting.clone();
                Box::pin(async move { providers::connect(&settings, &application).await })
            }),
        }
    }

    /// A provider that no scenario can name, under the capabilities of one that it can.
    #[cfg(test)]
    pub fn stand_in(
        capabilities: &'static Capabilities,
        connect: impl Fn() -> Rc<dyn Provider> + 'static,
    ) -> Self {
        Self {
            capabilities,
            deviations: capabilities.deviations.to_vec(),
            settings: serde_json::Map::new(),
            real_minutes: false,
            no_short_lives: None,
            connect: Box::new(move |_| {
                let provider = connect();
                Box::pin(async move { Ok(provider) })
            }),
        }
    }
}

/// Why the ends of sessions that live for seconds come too late to tell anything, if they do.
fn polls_rarely(settings: &serde_json::Map<String, serde_json::Value>) -> Option<String> {
    const OFTEN_ENOUGH: u64 = 2;
    let seconds = settings.get("pollingInterval")?.as_u64()?;
    (seconds > OFTEN_ENOUGH).then(|| {
        format!("it polls every {seconds} s only; `pollingInterval` must be at most {OFTEN_ENOUGH}")
    })
}

/// One application in the store, and the ids of its sessions.
pub struct Site {
    /// The provider.
    pub provider: Rc<dyn Provider>,
    minute: Duration,
    servers: Cell<u32>,
    sessions: Cell<u64>,
}

impl Site {
    /// Brings the provider in for an application of this name: beside that of the first site, where
    /// they must share what is created in a store.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub async fn bring_in(
        subject: &Subject,
        first: Option<&dyn Provider>,
        name: &str,
    ) -> Result<Self, ConnectError> {
        let application = format!("conformance-{name}");
        let provider = match first.and_then(|first| first.beside(&application)) {
            Some(provider) => provider,
            None => (subject.connect)(application).await?,
        };
        Ok(Self {
            provider,
            minute: match subject.real_minutes {
                true => Duration::from_secs(60),
                false => MINUTE,
            },
            servers: Cell::new(0),
            // Sessions that an earlier suite left must not be taken for ours.
            sessions: Cell::new(clock::utc().ticks()),
        })
    }

    /// How long a session lives that nobody uses.
    pub fn life(&self) -> Duration {
        TIMEOUT.lasting(self.minute)
    }

    /// An id that no other session has.
    pub fn id(&self) -> SessionId {
        let number = self.sessions.get();
        self.sessions.set(number + 1);
        SessionId::private(number.into())
    }

    /// One more CD server.
    pub async fn open(&self) -> Result<Rc<Server>, StoreError> {
        self.open_with(EXECUTION_TIMEOUT).await
    }

    /// One more CD server, whose requests time out after a while of their own.
    pub async fn open_with(&self, execution_timeout: Duration) -> Result<Rc<Server>, StoreError> {
        let number = self.servers.get();
        self.servers.set(number + 1);
        let seat = Seat {
            server: number,
            kind: StoreKind::Private,
            timeout: TIMEOUT,
            minute: self.minute,
            execution_timeout,
        };
        let store = self.provider.open(&seat).await?;
        Ok(Rc::new(Server {
            number,
            store: RefCell::new(Some(store)),
        }))
    }
}

/// A CD server.
pub struct Server {
    number: u32,
    /// `None` once it crashed.
    store: RefCell<Option<Rc<dyn SessionStateStore>>>,
}

/// A session that a request holds.
pub struct Held {
    /// Its id.
    pub id: SessionId,
    /// Its data.
    pub item: Item,
    /// Its lock.
    pub lock: LockId,
    /// What the request must still do.
    pub actions: Actions,
    request: RequestContext,
}

impl Server {
    /// The server's instance of the store.
    ///
    /// # Errors
    /// The server crashed.
    pub fn store(&self) -> Result<Rc<dyn SessionStateStore>, Otherwise> {
        let store = self.store.borrow().clone();
        store.ok_or_else(|| Otherwise::Deviates("the server is gone".to_owned()))
    }

    /// Has session ends told to a listener, where the provider raises any.
    pub fn listen(&self, ends: &Rc<Ends>) {
        let ends = Rc::clone(ends);
        let server = self.number;
        if let Some(store) = &*self.store.borrow() {
            store.set_item_expire_callback(Rc::new(Listener { server, ends }));
        }
    }

    /// Its number among the servers of the site.
    pub const fn number(&self) -> u32 {
        self.number
    }

    /// Ends it as a killed process would end: nothing is released, nothing is stopped in good order.
    pub fn crash(&self) {
        self.store.borrow_mut().take();
    }

    /// Ends it in good order.
    pub async fn dispose(&self) {
        let store = self.store.borrow_mut().take();
        if let Some(store) = store {
            store.dispose().await;
        }
    }

    /// Stores a session for a visitor without a cookie.
    pub async fn store_new(&self, id: SessionId, item: &Item) -> Result<(), Otherwise> {
        let request = RequestContext::default();
        let store = self.store()?;
        store
            .set_and_release_item_exclusive(&request, id, item, None, true)
            .await?;
        Ok(store.end_request(&request).await?)
    }

    /// Reads a session without its lock, as a read-only request does.
    pub async fn read(&self, id: SessionId) -> Result<GetItem, Otherwise> {
        let request = RequestContext::default();
        let store = self.store()?;
        let got = store.get_item(&request, id).await?;
        store.end_request(&request).await?;
        Ok(got)
    }

    /// Asks for a session and its lock. A lock that was got is kept.
    pub async fn ask(&self, id: SessionId) -> Result<GetItem, Otherwise> {
        let request = RequestContext::default();
        Ok(self.store()?.get_item_exclusive(&request, id).await?)
    }

    /// Takes the lock of a session that must be there and free.
    pub async fn take(&self, id: SessionId) -> Result<Held, Otherwise> {
        let request = RequestContext::default();
        match self.store()?.get_item_exclusive(&request, id).await? {
            GetItem::Found(found) => match found.lock {
                Some(lock) => Ok(Held {
                    id,
                    item: found.item,
                    lock,
                    actions: found.actions,
                    request,
                }),
                None => deviates("a get-exclusive brought the session without a lock"),
            },
            other => deviates(format!(
                "a free session could not be taken: {}",
                said(&other)
            )),
        }
    }

    /// Writes a session that a request holds, and ends the request.
    pub async fn write(&self, held: &Held) -> Result<(), Otherwise> {
        self.write_only(held).await?;
        Ok(self.store()?.end_request(&held.request).await?)
    }

    /// Writes it, and leaves the request open.
    pub async fn write_only(&self, held: &Held) -> Result<(), Otherwise> {
        let Held {
            id,
            item,
            lock,
            request,
            ..
        } = held;
        let store = self.store()?;
        Ok(store
            .set_and_release_item_exclusive(request, *id, item, Some(lock), false)
            .await?)
    }

    /// Releases a session that a request holds, and ends the request.
    pub async fn release(&self, held: &Held) -> Result<(), Otherwise> {
        let store = self.store()?;
        store
            .release_item_exclusive(&held.request, held.id, &held.lock)
            .await?;
        Ok(store.end_request(&held.request).await?)
    }

    /// Releases a lock by force, with the id that a refusal told.
    pub async fn release_by_force(&self, id: SessionId, lock: &LockId) -> Result<(), Otherwise> {
        let request = RequestContext::default();
        let store = self.store()?;
        Ok(store.release_item_exclusive(&request, id, lock).await?)
    }

    /// Abandons a session that a request holds, and ends the request.
    pub async fn abandon(&self, held: &Held) -> Result<(), Otherwise> {
        let Held {
            id,
            item,
            lock,
            request,
            ..
        } = held;
        let store = self.store()?;
        store.remove_item(request, *id, Some(lock), item).await?;
        Ok(store.end_request(request).await?)
    }

    /// Keeps a session alive, as a request does that does not need it.
    pub async fn reset(&self, id: SessionId) -> Result<(), Otherwise> {
        let request = RequestContext::default();
        let store = self.store()?;
        store.reset_item_timeout(&request, id).await?;
        Ok(store.end_request(&request).await?)
    }

    /// Stores an uninitialised session.
    pub async fn create_uninitialized(&self, id: SessionId) -> Result<(), Otherwise> {
        let request = RequestContext::default();
        let store = self.store()?;
        Ok(store
            .create_uninitialized_item(&request, id, TIMEOUT)
            .await?)
    }
}

/// What a get answered, in a word.
pub const fn said(got: &GetItem) -> &'static str {
    match got {
        GetItem::Missing => "missing",
        GetItem::Locked { .. } => "locked",
        GetItem::Found(_) => "found",
    }
}
