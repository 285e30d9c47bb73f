//! The SQL providers, on SQL Server and Azure SQL, and on PostgreSQL.
//!
//! ```text
//! sitecore      Sitecore's provider over its stored procedures; scripts/ are ours of the same names
//! asynchronous  Microsoft's SqlSessionStateProviderAsync over its own
//! universal     Microsoft's Universal Providers, statements of Entity Framework
//! rows          what the last two share: row ids, purges
//! ─────────  all of them on
//! installed  what is in a database, ours or somebody else's, and who uses it
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
mod installed;
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
use self::installed::Installed;
use self::pool::Pool;
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

/// Brings a SQL provider in.
///
/// # Errors
/// See [`ConnectError`].
pub async fn connect(
    settings: &ProviderSettings,
    application: &str,
) -> Result<Rc<dyn Provider>, ConnectError> {
    let (sql, flavour) = sort_out(settings)?;
    let server = Server::bring_in(sql).await?;
    let mut connection = server.connect().await?;
    let info = server.info(&mut connection).await?;
    let schema = flavour.schema().into_owned();
    let installed = Installed::bring_in(schema, sql.schema, connection).await?;
    Ok(Rc::new(SqlProvider {
        flavour,
        application: application.to_owned(),
        admin: server.own_pool(),
        server,
        info,
        installed,
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
#[derive(Clone)]
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
    application: String,
    admin: Pool,
    server: Server,
    info: ServerInfo,
    installed: Rc<Installed>,
    work: Rc<RefCell<BackgroundWork>>,
}

impl SqlProvider {
    /// A name, with the run's beside it.
    fn of_this_run(&self, name: &str, separator: &str) -> String {
        let run = &self.application;
        let separator = if run.is_empty() { "" } else { separator };
        format!("{name}{separator}{run}")
    }
}

#[async_trait(?Send)]
impl Provider for SqlProvider {
    async fn open(&self, seat: &Seat) -> Result<Rc<dyn SessionStateStore>, StoreError> {
        self.installed.create(&self.server, seat.minute).await?;
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

    fn beside(&self, application: &str) -> Option<Rc<dyn Provider>> {
        let is_shared = self.installed.origin == SchemaOrigin::Create && !self.info.managed;
        is_shared.then(|| {
            let server = self.server.again();
            let beside: Rc<dyn Provider> = Rc::new(Self {
                flavour: self.flavour.clone(),
                application: application.to_owned(),
                admin: server.own_pool(),
                server,
                info: self.info.clone(),
                installed: self.installed.join(),
                work: Rc::default(),
            });
            beside
        })
    }

    fn server(&self) -> Option<&ServerInfo> {
        Some(&self.info)
    }

    async fn sample(&self) -> Result<StoreSample, StoreError> {
        if !self.installed.is_there() {
            return Ok(StoreSample::default());
        }
        let schema = &self.installed.schema;
        let request = RequestContext::default();
        // Sitecore's own tables are known by name alone.
        let items = match (&self.flavour, self.installed.origin) {
            (Flavour::Sitecore(..), SchemaOrigin::Existing) => &[],
            _ => schema.items,
        };
        let sample = self
            .admin
            .run(&request, async |connection| {
                sample::sample(connection, schema, items).await
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
        if self.installed.origin == SchemaOrigin::Existing {
            match &self.flavour {
                Flavour::Sitecore(_, guests) => guests.remove_all(&self.admin).await?,
                Flavour::Async(_, guests) | Flavour::Universal { guests, .. } => {
                    let table = self.installed.schema.session_table();
                    guests.remove_all(&self.admin, table).await?;
                }
            }
        }
        self.installed.leave(&self.server).await?;
        self.admin.clear();
        Ok(())
    }
}
