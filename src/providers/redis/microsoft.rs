//! Microsoft.Web.RedisSessionStateProvider (facts §1.3–§1.6): the flow around the scripts.
//!
//! In: operations of the contract. Out: scripts on the server and their replies as items. The
//! Sitecore and keyspace providers are built on it, as the genuine ones are.
//!
//! The surprising fact: what the provider remembers for the end of the request is forgotten by a
//! release but not by an update, so that every dirty request pays a third, redundant round trip.
//!
//! Not modelled: the guards of layouts 2 to 4 that skip calls after an earlier error of the same
//! request (`LastException`).

use super::application;
use super::connection::Connections;
use super::layout::{self, Keys, Layout};
use super::script::Script;
use super::times;
use crate::clock;
use crate::providers::Seat;
use crate::session::{
    Actions, ExpireCallback, Found, GetItem, Item, LockId, Minutes, RequestContext, SessionId,
    SessionStateStore, StoreError, StoreKind,
};
use async_trait::async_trait;
use futures_util::TryFutureExt as _;
use redis::Value as Reply;
use std::cell::Cell;
use std::rc::Rc;

/// By how much data outlive their session in Redis, for pollers that come late.
#[derive(Debug, Clone, Copy)]
pub struct Margin {
    /// So many timeouts,
    pub times: u32,
    /// and so much more.
    pub more: Minutes,
}

impl Margin {
    /// Microsoft's own.
    const NONE: Self = Self {
        times: 1,
        more: Minutes(0),
    };

    const fn with(self, timeout: Minutes) -> Minutes {
        Minutes(
            timeout
                .0
                .saturating_mul(self.times)
                .saturating_add(self.more.0),
        )
    }

    const fn without(self, stored: Minutes) -> Minutes {
        Minutes(stored.0.saturating_sub(self.more.0) / self.times)
    }
}

/// One instance of Microsoft's provider.
pub struct MicrosoftStore {
    connections: Connections,
    layout: Layout,
    application: String,
    seat: Seat,
    throw_on_error: bool,
    margin: Margin,
}

impl MicrosoftStore {
    /// An instance for one CD server and store kind; `application` as it stands in keys.
    #[must_use]
    pub fn new(
        connections: Connections,
        layout: Layout,
        application: String,
        seat: Seat,
        throw_on_error: bool,
    ) -> Self {
        Self {
            connections,
            layout,
            application,
            seat,
            throw_on_error,
            margin: Margin::NONE,
        }
    }

    /// The same with data that outlive their session.
    #[must_use]
    pub fn with_margin(self, margin: Margin) -> Self {
        Self { margin, ..self }
    }

    /// The connections, for what is built on this provider.
    #[must_use]
    pub fn connections(&self) -> &Connections {
        &self.connections
    }

    /// The layout.
    #[must_use]
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// The application's name as it stands in keys.
    #[must_use]
    pub fn application(&self) -> &str {
        &self.application
    }

    /// Where the instance works.
    #[must_use]
    pub fn seat(&self) -> &Seat {
        &self.seat
    }

    /// The keys of a session.
    #[must_use]
    pub fn keys(&self, id: SessionId) -> Keys {
        self.layout.keys(&self.application, id)
    }

    /// A timeout as it stands on the wire.
    fn seconds(&self, timeout: Minutes) -> u64 {
        times::seconds(self.margin.with(timeout), self.seat.minute)
    }

    /// A timeout from the wire; the configured one where none is stored.
    fn minutes(&self, reply: &Reply) -> Minutes {
        let seconds = match reply {
            Reply::BulkString(bytes) => str::from_utf8(bytes).ok().and_then(|it| it.parse().ok()),
            _ => None,
        };
        match seconds {
            Some(seconds) => {
                let configured = self.margin.with(self.seat.timeout);
                let stored = times::minutes(seconds, configured, self.seat.minute);
                self.margin.without(stored)
            }
            None => self.seat.timeout,
        }
    }

    fn eval<'a>(
        &'a self,
        request: &'a RequestContext,
        id: SessionId,
        script: &'a Script,
        keys: &[&str],
        arguments: &[&[u8]],
    ) -> impl Future<Output = Result<Reply, StoreError>> + use<'a> {
        match self.layout {
            Layout::V5 | Layout::V2To4 | Layout::V1(_) => {
                self.connections.eval(request, script, keys, arguments)
            }
            // Sitecore's scripts keep the index of deadlines: one more key, and the index's member.
            Layout::Sitecore { .. } => {
                let index = application::index(&self.application);
                let member = id.to_string();
                let keys = [keys, &[index.as_str()]].concat();
                let arguments = [arguments, &[member.as_bytes()]].concat();
                self.connections.eval(request, script, &keys, &arguments)
            }
        }
    }

    fn release<'a>(
        &'a self,
        request: &'a RequestContext,
        id: SessionId,
        lock: &LockId,
    ) -> impl Future<Output = Result<(), StoreError>> + use<'a> {
        let keys = self.keys(id);
        let lock = lock.as_text();
        let seconds = self.seconds(self.seat.timeout).to_string();
        self.eval(
            request,
            id,
            &self.layout.scripts().release,
            &[keys.lock(), keys.data(), keys.timeout()],
            &[lock.as_bytes(), seconds.as_bytes()],
        )
        .map_ok(drop)
    }

    async fn set(
        &self,
        request: &RequestContext,
        id: SessionId,
        item: &Item,
    ) -> Result<(), StoreError> {
        let seconds = self.seconds(item.timeout());
        let Some(arguments) = self.layout.set_arguments(item, seconds) else {
            return Ok(());
        };
        let keys = self.keys(id);
        let arguments: Vec<&[u8]> = arguments.iter().map(AsRef::as_ref).collect();
        let script = &self.layout.scripts().set;
        self.eval(
            request,
            id,
            script,
            &[keys.data(), keys.timeout()],
            &arguments,
        )
        .await
        .map(drop)
    }

    async fn try_get_item(
        &self,
        request: &RequestContext,
        id: SessionId,
    ) -> Result<GetItem, StoreError> {
        let reading = {
            let keys = self.keys(id);
            self.eval(
                request,
                id,
                &self.layout.scripts().read,
                &[keys.lock(), keys.data(), keys.timeout()],
                &[],
            )
        };
        let reply = reading.await?;
        let [holder, data, timeout] = elements(reply)?;
        let holder = text(holder);
        if !holder.is_empty() {
            return Ok(locked(&holder));
        }
        Ok(match self.decode(request, &data, &timeout)? {
            Some(item) => found(item, None),
            None => GetItem::Missing,
        })
    }

    async fn try_get_item_exclusive(
        &self,
        request: &RequestContext,
        id: SessionId,
    ) -> Result<GetItem, StoreError> {
        let ticks = clock::utc().ticks().to_string();
        let taking = {
            let keys = self.keys(id);
            let lifetime = times::whole_seconds(self.seat.execution_timeout).to_string();
            self.eval(
                request,
                id,
                &self.layout.scripts().take_lock,
                &[keys.lock(), keys.data(), keys.timeout()],
                &[ticks.as_bytes(), lifetime.as_bytes()],
            )
        };
        let lock = LockId::Text(ticks.into());
        let reply = taking.await?;
        if let Some(answer) = self.taken(request, id, &lock, reply)? {
            return Ok(answer);
        }
        self.release(request, id, &lock).await?;
        Ok(GetItem::Missing)
    }

    /// What the reply to "take the lock" means; `None` when the lock was taken and there is no
    /// session.
    fn taken(
        &self,
        request: &RequestContext,
        id: SessionId,
        lock: &LockId,
        reply: Reply,
    ) -> Result<Option<GetItem>, StoreError> {
        let (holder, data, timeout, taken) = if self.layout.tells_locked() {
            let [holder, data, timeout, taken] = elements(reply)?;
            (text(holder), data, timeout, taken != Reply::Nil)
        } else {
            let [holder, data, timeout] = elements(reply)?;
            let holder = text(holder);
            let taken = holder != lock.as_text();
            (holder, data, timeout, taken)
        };
        if taken {
            return Ok(Some(locked(&holder)));
        }
        let item = self.decode(request, &data, &timeout);
        if let Ok(None) = item {
            return Ok(None);
        }
        // Even if the session cannot be decoded: then the lock stays until the request ends.
        request.forget(id);
        request.remember(id, lock.clone());
        Ok(item?.map(|item| found(item, Some(lock.clone()))))
    }

    /// The item in a reply. Layout 5 (as 5.0.0 and 5.0.4 do) takes what it cannot decode for a lost
    /// session; the others throw.
    fn decode(
        &self,
        request: &RequestContext,
        data: &Reply,
        timeout: &Reply,
    ) -> Result<Option<Item>, StoreError> {
        match self.layout.decode(data, self.minutes(timeout)) {
            Ok(item) => Ok(item),
            Err(error) => {
                add_one(&request.undecodable);
                match self.layout {
                    Layout::V5 => Ok(None),
                    _ => Err(StoreError::Undecodable(error.to_string())),
                }
            }
        }
    }

    /// Reads a session that is not there.
    ///
    /// # Errors
    /// The store cannot be asked or refuses.
    pub async fn try_out(&self) -> Result<(), StoreError> {
        let nobody = match self.seat.kind {
            StoreKind::Private => SessionId::private(0),
            StoreKind::Shared => SessionId::shared(0),
        };
        let request = RequestContext::default();
        self.try_get_item(&request, nobody).await.map(drop)
    }

    /// See [`tolerate`].
    ///
    /// # Errors
    /// The error, with `throwOnError: true`.
    pub fn tolerate<T>(
        &self,
        request: &RequestContext,
        result: Result<T, StoreError>,
        empty: T,
    ) -> Result<T, StoreError> {
        tolerate(self.throw_on_error, request, result, empty)
    }
}

/// With `throwOnError: false` an error stays here and the session looks empty.
///
/// # Errors
/// The error, with `throwOnError: true`.
pub fn tolerate<T>(
    throw_on_error: bool,
    request: &RequestContext,
    result: Result<T, StoreError>,
    empty: T,
) -> Result<T, StoreError> {
    match result {
        Err(_) if !throw_on_error => {
            add_one(&request.swallowed);
            Ok(empty)
        }
        other => other,
    }
}

#[async_trait(?Send)]
impl SessionStateStore for MicrosoftStore {
    fn set_item_expire_callback(&self, _callback: Rc<dyn ExpireCallback>) -> bool {
        false
    }

    async fn get_item(
        &self,
        request: &RequestContext,
        id: SessionId,
    ) -> Result<GetItem, StoreError> {
        let result = self.try_get_item(request, id).await;
        self.tolerate(request, result, GetItem::Missing)
    }

    async fn get_item_exclusive(
        &self,
        request: &RequestContext,
        id: SessionId,
    ) -> Result<GetItem, StoreError> {
        let result = self.try_get_item_exclusive(request, id).await;
        self.tolerate(request, result, GetItem::Missing)
    }

    async fn set_and_release_item_exclusive(
        &self,
        request: &RequestContext,
        id: SessionId,
        item: &Item,
        lock: Option<&LockId>,
        new_item: bool,
    ) -> Result<(), StoreError> {
        let item = layout::initialized(item);
        if new_item {
            let result = Box::pin(self.set(request, id, &item)).await;
            return self.tolerate(request, result, ());
        }
        let updating = {
            let keys = self.keys(id);
            let lock = lock.map(LockId::as_text).unwrap_or_default();
            let seconds = self.seconds(item.timeout());
            let arguments = self.layout.update_arguments(&lock, &item, seconds);
            let arguments: Vec<&[u8]> = arguments.iter().map(AsRef::as_ref).collect();
            self.eval(
                request,
                id,
                &self.layout.scripts().update,
                &[keys.lock(), keys.data(), keys.timeout()],
                &arguments,
            )
        };
        let result = updating.await;
        self.tolerate(request, result.map(drop), ())
    }

    async fn release_item_exclusive(
        &self,
        request: &RequestContext,
        id: SessionId,
        lock: &LockId,
    ) -> Result<(), StoreError> {
        let result = self.release(request, id, lock).await;
        request.forget(id);
        self.tolerate(request, result, ())
    }

    async fn remove_item(
        &self,
        request: &RequestContext,
        id: SessionId,
        lock: Option<&LockId>,
        _item: &Item,
    ) -> Result<(), StoreError> {
        let keys = self.keys(id);
        let lock = lock.map(LockId::as_text).unwrap_or_default();
        let result = self
            .eval(
                request,
                id,
                &self.layout.scripts().remove,
                &[keys.lock(), keys.data(), keys.timeout()],
                &[lock.as_bytes()],
            )
            .await;
        self.tolerate(request, result.map(drop), ())
    }

    async fn reset_item_timeout(
        &self,
        request: &RequestContext,
        id: SessionId,
    ) -> Result<(), StoreError> {
        let keys = self.keys(id);
        let seconds = self.seconds(self.seat.timeout).to_string();
        let result = self
            .eval(
                request,
                id,
                &self.layout.scripts().reset,
                &[keys.data(), keys.timeout()],
                &[seconds.as_bytes()],
            )
            .await;
        self.tolerate(request, result.map(drop), ())
    }

    /// Overwrites what is stored: the genuine script does not look either.
    async fn create_uninitialized_item(
        &self,
        request: &RequestContext,
        id: SessionId,
        timeout: Minutes,
    ) -> Result<(), StoreError> {
        let result = self.set(request, id, &layout::uninitialized(timeout)).await;
        self.tolerate(request, result, ())
    }

    async fn end_request(&self, request: &RequestContext) -> Result<(), StoreError> {
        while let Some((id, lock)) = request.take_held(self.seat.kind) {
            let result = self.release(request, id, &lock).await;
            self.tolerate(request, result, ())?;
        }
        Ok(())
    }

    fn has_to_end(&self, request: &RequestContext) -> bool {
        !request.held.borrow().is_empty()
    }

    async fn dispose(&self) {}
}

fn found(item: Item, lock: Option<LockId>) -> GetItem {
    let actions = if layout::is_uninitialized(&item) {
        Actions::InitializeItem
    } else {
        Actions::None
    };
    GetItem::Found(Found {
        item,
        lock,
        actions,
    })
}

fn locked(holder: &str) -> GetItem {
    GetItem::Locked {
        age: times::lock_age(holder, clock::utc()),
        lock: LockId::Text(holder.into()),
    }
}

fn text(reply: Reply) -> String {
    match reply {
        Reply::BulkString(bytes) => String::from_utf8(bytes)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()),
        _ => String::new(),
    }
}

/// The elements of a script's reply.
///
/// # Errors
/// The reply has another shape.
pub fn elements<const N: usize>(reply: Reply) -> Result<[Reply; N], StoreError> {
    match reply {
        Reply::Array(elements) => elements.try_into().ok(),
        _ => None,
    }
    .ok_or_else(|| StoreError::Refused("a script's reply has another shape".to_owned()))
}

/// Counts one.
pub fn add_one(counter: &Cell<u32>) {
    counter.set(counter.get() + 1);
}
