//! The SQL providers, on SQL Server and Azure SQL, and on PostgreSQL.
//!
//! ```text
//! sitecore      Sitecore's provider over its stored procedures; scripts/ are ours of the same names
//! asynchronous  Microsoft's SqlSessionStateProviderAsync over its own
//! universal     Microsoft's Universal Providers, statements of Entity Framework
//! rows          what the last two share: row ids, purges
//! ─────────  all of them on
//! schema     tables and procedures: created, looked for (defects), dropped
//! sample     what lies in a table
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

pub mod asynchronous;
pub mod call;
pub mod connection_string;
pub mod error;
mod keywords;
pub mod pool;
pub mod postgres;
mod rows;
mod sample;
pub mod schema;
mod server;
pub mod settings;
pub mod sitecore;
pub mod sql_server;
mod stream;
pub mod survey;
mod tls;
pub mod universal;

use self::asynchronous::AsyncStore;
use self::asynchronous::repository::Repository;
use self::pool::{Connection, Pool};
use self::rows::{Purge, Rows};
use self::schema::{Schema, SchemaError};
use self::server::Server;
use self::settings::{SchemaOrigin, SqlAsync, SqlSettings, SqlSitecore};
use self::sitecore::SitecoreStore;
use self::universal::UniversalStore;
use super::{
    BackgroundWork, ConnectError, Provider, ProviderSettings, Seat, ServerInfo, StoreSample,
};
use crate::session::{RequestContext, SessionStateStore, StoreError};
use async_trait::async_trait;
use std::borrow::Cow;
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
    let (sql, flavour) = sort_out(settings)?;
    let schema = flavour.schema().into_owned();
    let server = Server::bring_in(sql).await?;
    let mut connection = server.connect().await?;
    let info = server.info(&mut connection).await?;
    schema.check_dialect(connection.dialect())?;
    match sql.schema {
        SchemaOrigin::Create => {
            Schema::occupy(&mut connection).await?;
            schema.check_vacant(&mut connection).await?;
        }
        SchemaOrigin::Existing => schema.check_existing(&mut connection).await?,
    }
    Ok(Rc::new(SqlProvider {
        flavour,
        sql: sql.clone(),
        application: application.to_owned(),
        schema,
        admin: server.own_pool(),
        server,
        info,
        own: RefCell::new(Some(connection)),
        created: OnceCell::new(),
        work: Rc::default(),
    }))
}

/// The tables and procedures of a SQL provider with these settings.
///
/// # Errors
/// The settings make no sense, or are another provider's.
pub fn schema_of(settings: &ProviderSettings) -> Result<Schema, ConnectError> {
    let (_, flavour) = sort_out(settings)?;
    Ok(flavour.schema().into_owned())
}

/// The database and the provider of these settings, checked where their types do not.
fn sort_out(settings: &ProviderSettings) -> Result<(&SqlSettings, Flavour), ConnectError> {
    let (Some(sql), Some(flavour)) = (settings.sql(), Flavour::of(settings)?) else {
        return Err(ConnectError::Settings("not a SQL provider".to_owned()));
    };
    let managed = matches!(sql.server, settings::DatabaseServer::Managed(_));
    if managed && sql.schema == SchemaOrigin::Existing {
        let why = "a managed database is empty: `schema: existing` needs one that is named";
        return Err(ConnectError::Settings(why.to_owned()));
    }
    Ok((sql, flavour))
}

/// Which of the providers it is, and what it left in a database that is not ours.
enum Flavour {
    Sitecore(SqlSitecore, Rc<sitecore::Guests>),
    Async(SqlAsync, Rc<rows::Guests>),
    Universal {
        application_id: String,
        guests: Rc<rows::Guests>,
    },
}

impl Flavour {
    /// That of these settings, checked where their types do not; `None` of another provider's.
    fn of(settings: &ProviderSettings) -> Result<Option<Self>, ConnectError> {
        let refused = |why: &str| Err(ConnectError::Settings(why.to_owned()));
        Ok(Some(match settings {
            ProviderSettings::SqlSitecore(settings) => {
                if !(1..=120).contains(&settings.pollingInterval) {
                    return refused("`pollingInterval` must be 1 to 120 seconds");
                }
                Self::Sitecore(settings.clone(), Rc::default())
            }
            ProviderSettings::SqlAsync(settings) => {
                if !settings.table_is_named_well() {
                    return refused("`sessionTableName` must be letters, digits and underscores");
                }
                Self::Async(settings.clone(), Rc::default())
            }
            ProviderSettings::SqlUniversal(settings) => Self::Universal {
                application_id: settings.application_id.clone(),
                guests: Rc::default(),
            },
            _ => return Ok(None),
        }))
    }

    fn schema(&self) -> Cow<'static, Schema> {
        match self {
            Self::Sitecore(..) => Cow::Borrowed(&sitecore::SCHEMA),
            Self::Async(settings, _) => Cow::Owned(Repository::of(settings).schema().clone()),
            Self::Universal { .. } => Cow::Borrowed(&universal::SCHEMA),
        }
    }
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
    flavour: Flavour,
    sql: SqlSettings,
    application: String,
    schema: Schema,
    admin: Pool,
    server: Server,
    info: ServerInfo,
    /// The connection that occupies the database while our tables are in it.
    own: RefCell<Option<Connection>>,
    /// Whether our tables are there.
    created: OnceCell<()>,
    work: Rc<RefCell<BackgroundWork>>,
}

impl SqlProvider {
    /// A name, with the run's beside it.
    fn of_this_run(&self, name: &str, separator: &str) -> String {
        let run = &self.application;
        let separator = if run.is_empty() { "" } else { separator };
        format!("{name}{separator}{run}")
    }

    /// Creates our tables once.
    async fn create(&self, seat: &Seat) -> Result<(), StoreError> {
        if self.sql.schema == SchemaOrigin::Existing {
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
        let pool = self.server.pool();
        let work = Rc::clone(&self.work);
        Ok(match &self.flavour {
            Flavour::Sitecore(settings, guests) => {
                // By this name the sessions of one kind are kept.
                let name = format!("{}_{}", settings.sessionType, seat.kind);
                let name = self.of_this_run(&name, "_");
                let guests = Rc::clone(guests);
                Rc::new(SitecoreStore::open(pool, &name, settings, guests, work).await?)
            }
            Flavour::Async(settings, guests) => {
                let application = self.of_this_run(&settings.application_id, "/");
                let rows = Rows::new(&application, Rc::clone(guests));
                Rc::new(AsyncStore::new(pool, rows, settings, Purge::new(work)))
            }
            Flavour::Universal {
                application_id,
                guests,
            } => {
                let application = self.of_this_run(application_id, "/");
                let rows = Rows::new(&application, Rc::clone(guests));
                let purge = Purge::new(work);
                Rc::new(UniversalStore::new(pool, rows, seat.minute, purge))
            }
        })
    }

    fn server(&self) -> Option<&ServerInfo> {
        Some(&self.info)
    }

    async fn sample(&self) -> Result<StoreSample, StoreError> {
        if self.sql.schema == SchemaOrigin::Create && !self.created.initialized() {
            return Ok(StoreSample::default());
        }
        let request = RequestContext::default();
        // Sitecore's own tables are known by name alone.
        let items = match (&self.flavour, self.sql.schema) {
            (Flavour::Sitecore(..), SchemaOrigin::Existing) => &[],
            _ => self.schema.items,
        };
        let sample = self
            .admin
            .run(&request, async |connection| {
                sample::sample(connection, &self.schema, items).await
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
        match self.sql.schema {
            SchemaOrigin::Existing => match &self.flavour {
                Flavour::Sitecore(_, guests) => guests.remove_all(&self.admin).await?,
                Flavour::Async(_, guests) | Flavour::Universal { guests, .. } => {
                    let table = self.schema.session_table();
                    guests.remove_all(&self.admin, table).await?;
                }
            },
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
