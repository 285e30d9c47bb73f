//! Tables and procedures in a database, and the providers that use them.
//!
//! In: a schema and a connection. Out: what is there to be used: ours, created when the first store
//! opens and dropped when the last provider leaves, or somebody else's, which stay as they are.
//!
//! The surprising fact: the length of a minute is known only when a store opens, so that our tables
//! are created then, and the first one's minute counts for all.

use super::pool::Connection;
use super::schema::{Schema, SchemaError};
use super::server::Server;
use super::settings::SchemaOrigin;
use crate::session::StoreError;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::OnceCell;

/// Tables and procedures that providers use.
pub struct Installed {
    /// What they are.
    pub schema: Schema,
    /// Whose they are.
    pub origin: SchemaOrigin,
    /// The connection that occupies the database while our tables are in it.
    own: RefCell<Option<Connection>>,
    /// Whether our tables are there.
    created: OnceCell<()>,
    users: Cell<usize>,
}

impl Installed {
    /// Takes a database for tables of ours, or makes sure that those of somebody else are there; the
    /// first user has them.
    ///
    /// # Errors
    /// See [`SchemaError`].
    pub async fn bring_in(
        schema: Schema,
        origin: SchemaOrigin,
        mut connection: Connection,
    ) -> Result<Rc<Self>, SchemaError> {
        schema.check_dialect(connection.dialect())?;
        match origin {
            SchemaOrigin::Create => {
                Schema::occupy(&mut connection).await?;
                schema.check_vacant(&mut connection).await?;
            }
            SchemaOrigin::Existing => schema.check_existing(&mut connection).await?,
        }
        Ok(Rc::new(Self {
            schema,
            origin,
            own: RefCell::new(Some(connection)),
            created: OnceCell::new(),
            users: Cell::new(1),
        }))
    }

    /// One user more.
    pub fn join(self: &Rc<Self>) -> Rc<Self> {
        self.users.set(self.users.get() + 1);
        Rc::clone(self)
    }

    /// Whether the tables are there.
    pub fn is_there(&self) -> bool {
        self.origin == SchemaOrigin::Existing || self.created.initialized()
    }

    /// Creates our tables once, for minutes of this length.
    ///
    /// # Errors
    /// The database cannot be reached, or refuses.
    pub async fn create(&self, server: &Server, minute: Duration) -> Result<(), StoreError> {
        if self.origin == SchemaOrigin::Existing {
            return Ok(());
        }
        let creating = async || -> Result<(), StoreError> {
            let mut connection = server.connect().await?;
            Ok(self.schema.create(&mut connection, minute).await?)
        };
        self.created.get_or_try_init(creating).await.copied()
    }

    /// One user less; the last one takes our tables along.
    ///
    /// # Errors
    /// The database cannot be reached, or refuses.
    pub async fn leave(&self, server: &Server) -> Result<(), StoreError> {
        self.users.set(self.users.get().saturating_sub(1));
        if self.users.get() > 0 {
            return Ok(());
        }
        if self.origin == SchemaOrigin::Create && self.created.initialized() {
            let mut connection = server.connect().await?;
            self.schema.drop_all(&mut connection).await?;
        }
        self.own.take();
        Ok(())
    }
}
