//! Sitecore's MongoDB provider, as Sitecore 7.5 to 10.0 had it (facts §9.3).
//!
//! ```text
//! store      the operations        expired    candidates and claims, for the poller
//! ─────────  both on
//! document   a session as a document; the commands, field by field
//! connection pools of connections, limits, counting
//! failure    what went wrong, in words
//! partition  which database a session lies in
//! made       what we take away again, where several providers share a database
//! admin      what is asked beside the sessions: samples, the index, clean-up
//! survey     what a server says of itself, left as it is
//! ```
//!
//! In: settings and an application name. Out: a [`Provider`] that opens one instance per CD server
//! and store kind; the instances of a CD server share its pool of connections, as those of a
//! process do. The surprising fact: the genuine provider spreads sessions over databases, not over
//! shards or collections, so that a partition has a write lock of its own: that of MongoDB 2.

pub mod admin;
pub mod connection;
pub mod document;
pub mod expired;
mod failure;
mod made;
pub mod partition;
pub mod settings;
pub mod store;
pub mod survey;

use self::admin::Admin;
use self::connection::Pools;
use self::settings::MongoSitecore;
use self::store::{MongoStore, Sessions};
use super::poller::Polling;
use super::poller::Processing;
use super::redis::application::Application;
use super::{BackgroundWork, ConnectError, Provider, Seat, ServerInfo, StoreSample};
use crate::session::{RequestContext, SessionStateStore, StoreError, StoreKind};
use async_trait::async_trait;
use mongodb::bson::rawdoc;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

/// Brings the provider in.
///
/// # Errors
/// See [`ConnectError`].
pub async fn connect(
    settings: &MongoSitecore,
    run: &str,
) -> Result<Rc<dyn Provider>, ConnectError> {
    let application = Application::new(&settings.sessionType, run).map_err(|_| {
        let what = "`sessionType` must not be empty, nor hold braces or control characters";
        ConnectError::Settings(what.to_owned())
    })?;
    check(settings)?;
    let target = settings::read(&settings.server)
        .map_err(|bad| ConnectError::Settings(format!("{bad}: {}", bad.help)))?;
    let databases = settings.databases(&target.database);
    let pools = Pools::new(target).await?;
    let applications = StoreKind::ALL.map(|kind| application.of(kind));
    let address = pools.address();
    let admin = Admin::new(pools.own()?, &address, &databases, applications.into()).await?;
    let mut info = admin.server(address).await?;
    info.settings
        .insert("databases".to_owned(), databases.join(", "));
    Ok(Rc::new(MongoProvider {
        settings: settings.clone(),
        application,
        databases,
        pools,
        admin,
        info,
        work: Rc::default(),
    }))
}

/// Checks what the types of the settings do not.
fn check(settings: &MongoSitecore) -> Result<(), ConnectError> {
    let refused = |what: &str| Err(ConnectError::Settings(what.to_owned()));
    if !(1..=120).contains(&settings.pollingInterval) {
        return refused("`pollingInterval` must be 1 to 120 seconds");
    }
    if settings.partitions > 64 {
        return refused("`partitions` must be 0 to 64");
    }
    Ok(())
}

/// The provider at work in one cluster.
struct MongoProvider {
    settings: MongoSitecore,
    application: Application,
    databases: Vec<String>,
    pools: Pools,
    admin: Admin,
    info: ServerInfo,
    work: Rc<RefCell<BackgroundWork>>,
}

#[async_trait(?Send)]
impl Provider for MongoProvider {
    async fn open(&self, seat: &Seat) -> Result<Rc<dyn SessionStateStore>, StoreError> {
        let connection = self.pools.of(seat.server)?;
        let databases = self.databases.iter();
        let databases: Vec<_> = databases.map(|name| connection.database(name)).collect();
        // The first request finds a connection that is made already.
        if let Some(database) = databases.first() {
            let request = RequestContext::default();
            let ping = rawdoc! { "ping": 1 };
            connection.run(&request, database, ping).await?;
        }
        let sessions = Sessions {
            connection,
            databases,
            application: self.application.of(seat.kind),
            compressed: self.settings.compressed(),
            seat: seat.clone(),
        };
        let polling = Polling {
            period: Duration::from_secs(self.settings.pollingInterval.into()),
            processing: Processing::Serial,
            remove_after_end: true,
        };
        let work = Rc::clone(&self.work);
        Ok(Rc::new(MongoStore::new(sessions, polling, work)))
    }

    fn server(&self) -> Option<&ServerInfo> {
        Some(&self.info)
    }

    async fn sample(&self) -> Result<StoreSample, StoreError> {
        self.admin.sample().await
    }

    fn background_work(&self) -> BackgroundWork {
        *self.work.borrow()
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.pools.shut().await;
        self.admin.clean_up().await
    }
}
