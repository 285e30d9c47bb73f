//! The SQL providers, on SQL Server and Azure SQL, and on PostgreSQL.
//!
//! ```text
//! sitecore   Sitecore's provider over its stored procedures; scripts/ are ours of the same names
//! ─────────  all of them on
//! schema     tables and procedures: created, looked for, dropped
//! pool       connections as ADO.NET pools them; counting, limits
//! call       a procedure call in words that both databases share
//! postgres, sql_server   one connection each; stream counts, tls trusts
//! server     managed or named (connection_string); survey looks at it and leaves it as it is
//! ```
//!
//! In: settings and an application name. Out: a [`Provider`] that opens one instance per CD server
//! and store kind, each with a pool of its own. The surprising fact: the length of a minute is known
//! only when an instance opens, so the first one creates the tables.
//!
//! A further provider is a file beside `sitecore.rs` with its [`Schema`] and its store, and two
//! scripts.

pub mod call;
pub mod connection_string;
pub mod error;
mod keywords;
pub mod pool;
pub mod postgres;
pub mod schema;
mod server;
pub mod settings;
pub mod sitecore;
pub mod sql_server;
mod stream;
pub mod survey;
mod tls;

use self::pool::{Connection, Pool};
use self::schema::{Schema, SchemaError};
use self::server::Server;
use self::settings::{SchemaOrigin, SqlSettings, SqlSitecore};
use self::sitecore::{Guests, SitecoreStore};
use super::{
    BackgroundWork, ConnectError, Provider, ProviderSettings, Seat, ServerInfo, StoreSample,
};
use crate::session::{RequestContext, SessionStateStore, StoreError, StoreKind};
use async_trait::async_trait;
use std::cell::RefCell;
use std::rc::Rc;
use tokio::sync::OnceCell;

/// Brings a SQL provider in.
///
/// # Errors
/// See [`ConnectError`].
pub async fn connect(
    settings: &ProviderSettings,
    application: &str,
) -> Result<Rc<dyn Provider>, ConnectError> {
    let ProviderSettings::SqlSitecore(sitecore) = settings else {
        return Err(ConnectError::Settings("not a SQL provider".to_owned()));
    };
    check(sitecore)?;
    let schema = &sitecore::SCHEMA;
    let server = Server::bring_in(&sitecore.sql).await?;
    let mut connection = server.connect().await?;
    let info = server.info(&mut connection).await?;
    match sitecore.sql.schema {
        SchemaOrigin::Create => {
            Schema::occupy(&mut connection).await?;
            schema.check_vacant(&mut connection).await?;
        }
        SchemaOrigin::Existing => schema.check_existing(&mut connection).await?,
    }
    Ok(Rc::new(SqlProvider {
        settings: sitecore.clone(),
        application: application.to_owned(),
        schema,
        admin: server.own_pool(),
        server,
        info,
        own: RefCell::new(Some(connection)),
        created: OnceCell::new(),
        guests: Rc::default(),
        work: Rc::default(),
    }))
}

/// Checks what the types of the settings do not.
fn check(settings: &SqlSitecore) -> Result<(), ConnectError> {
    let refused = |why: &str| Err(ConnectError::Settings(why.to_owned()));
    if !(1..=120).contains(&settings.pollingInterval) {
        return refused("`pollingInterval` must be 1 to 120 seconds");
    }
    let managed = matches!(settings.sql.server, settings::DatabaseServer::Managed(_));
    if managed && settings.sql.schema == SchemaOrigin::Existing {
        return refused("a managed database is empty: `schema: existing` needs one that is named");
    }
    Ok(())
}

impl From<SchemaError> for ConnectError {
    fn from(error: SchemaError) -> Self {
        match error {
            SchemaError::Sql(error) => Self::Store(error.into()),
            error => Self::Settings(error.to_string()),
        }
    }
}

impl From<SchemaError> for StoreError {
    fn from(error: SchemaError) -> Self {
        match error {
            SchemaError::Sql(error) => error.into(),
            error => Self::Refused(error.to_string()),
        }
    }
}

/// A SQL provider at work in one cluster.
struct SqlProvider {
    settings: SqlSitecore,
    application: String,
    schema: &'static Schema,
    admin: Pool,
    server: Server,
    info: ServerInfo,
    /// The connection that occupies the database while our tables are in it.
    own: RefCell<Option<Connection>>,
    /// Whether our tables are there.
    created: OnceCell<()>,
    guests: Rc<Guests>,
    work: Rc<RefCell<BackgroundWork>>,
}

impl SqlProvider {
    const fn sql(&self) -> &SqlSettings {
        &self.settings.sql
    }

    /// The name under which the sessions of one kind are kept.
    fn application_of(&self, kind: StoreKind) -> String {
        let (name, run) = (&self.settings.sessionType, &self.application);
        let separator = if run.is_empty() { "" } else { "_" };
        format!("{name}_{kind}{separator}{run}")
    }

    /// Creates our tables once.
    async fn create(&self, seat: &Seat) -> Result<(), StoreError> {
        if self.sql().schema == SchemaOrigin::Existing {
            return Ok(());
        }
        let creating = async || -> Result<(), StoreError> {
            let mut connection = self.server.connect().await?;
            Ok(self.schema.create(&mut connection, seat.minute).await?)
        };
        self.created.get_or_try_init(creating).await.copied()
    }
}

#[async_trait(?Send)]
impl Provider for SqlProvider {
    async fn open(&self, seat: &Seat) -> Result<Rc<dyn SessionStateStore>, StoreError> {
        self.create(seat).await?;
        let store = SitecoreStore::open(
            self.server.pool(),
            &self.application_of(seat.kind),
            &self.settings,
            Rc::clone(&self.guests),
            Rc::clone(&self.work),
        )
        .await?;
        Ok(Rc::new(store))
    }

    fn server(&self) -> Option<&ServerInfo> {
        Some(&self.info)
    }

    async fn sample(&self) -> Result<StoreSample, StoreError> {
        if self.sql().schema == SchemaOrigin::Create && !self.created.initialized() {
            return Ok(StoreSample::default());
        }
        let request = RequestContext::default();
        let own = self.sql().schema == SchemaOrigin::Create;
        let sample = self
            .admin
            .run(&request, async |connection| {
                sitecore::sample(connection, own).await
            })
            .await?;
        Ok(sample)
    }

    fn background_work(&self) -> BackgroundWork {
        *self.work.borrow()
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.server.shut.close();
        // A server of our own takes its tables with it.
        if self.server.process.take().is_some() {
            return Ok(());
        }
        match self.sql().schema {
            SchemaOrigin::Existing => self.guests.remove_all(&self.admin).await?,
            SchemaOrigin::Create if self.created.initialized() => {
                let mut connection = self.server.connect().await?;
                self.schema.drop_all(&mut connection).await?;
            }
            SchemaOrigin::Create => {}
        }
        self.own.take();
        self.admin.clear();
        Ok(())
    }
}
