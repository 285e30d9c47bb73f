//! A pool of connections as ADO.NET's and Npgsql's: made on demand, reused last in first out, never
//! more than `Max Pool Size`, and one command on each at a time.
//!
//! In: a command for a request. Out: its answer, with its round trip and bytes counted on the
//! request. The surprising fact: a request that finds the pool exhausted waits in a queue inside the
//! web server, and its time there looks like the database's.

use super::call::{Call, Reply, Value};
use super::connection_string::{ConnectionString, Dialect};
use super::error::SqlError;
use super::{postgres, sql_server};
use crate::clock;
use crate::session::RequestContext;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Shuts pools for good: whatever is asked from then on fails at once. Requests that are still
/// under way when a run is over would otherwise write behind the back of whoever cleans up.
#[derive(Debug, Clone, Default)]
pub struct Shut(Rc<Cell<bool>>);

impl Shut {
    /// Shuts them.
    pub fn close(&self) {
        self.0.set(true);
    }
}

/// How to reach a database.
#[derive(Clone)]
pub enum Target {
    /// PostgreSQL.
    Postgres(Rc<postgres::Target>),
    /// SQL Server.
    SqlServer(Rc<sql_server::Target>),
}

impl Target {
    /// What a connection string says.
    ///
    /// # Errors
    /// The certificates to trust cannot be read.
    pub fn new(found: &ConnectionString) -> Result<Self, String> {
        Ok(match found.dialect {
            Dialect::Postgres => Self::Postgres(Rc::new(postgres::Target::new(found)?)),
            Dialect::SqlServer => Self::SqlServer(Rc::new(sql_server::Target::new(found))),
        })
    }

    /// Makes a connection.
    ///
    /// # Errors
    /// The server cannot be reached, or refuses.
    pub async fn connect(&self) -> Result<Connection, SqlError> {
        Ok(match self {
            Self::Postgres(target) => Connection::Postgres(target.connect().await?),
            Self::SqlServer(target) => Connection::SqlServer(Box::new(target.connect().await?)),
        })
    }
}

/// A connection to a database.
pub enum Connection {
    /// To PostgreSQL.
    Postgres(postgres::PostgresConnection),
    /// To SQL Server.
    SqlServer(Box<sql_server::SqlServerConnection>),
}

impl Connection {
    /// Which database it leads to.
    #[must_use]
    pub const fn dialect(&self) -> Dialect {
        match self {
            Self::Postgres(_) => Dialect::Postgres,
            Self::SqlServer(_) => Dialect::SqlServer,
        }
    }

    fn bytes(&self) -> (u64, u64) {
        match self {
            Self::Postgres(connection) => connection.bytes(),
            Self::SqlServer(connection) => connection.bytes(),
        }
    }

    fn is_closed(&self) -> bool {
        match self {
            Self::Postgres(connection) => connection.is_closed(),
            Self::SqlServer(connection) => connection.is_closed(),
        }
    }

    /// Calls a procedure.
    ///
    /// # Errors
    /// See [`SqlError`].
    pub async fn call(&mut self, call: &Call) -> Result<Reply, SqlError> {
        match self {
            Self::Postgres(connection) => connection.call(call).await,
            Self::SqlServer(connection) => connection.call(call).await,
        }
    }

    /// Runs a query in the database's own dialect.
    ///
    /// # Errors
    /// See [`SqlError`].
    pub async fn query(
        &mut self,
        text: &str,
        parameters: &[Value],
    ) -> Result<Vec<Vec<Value>>, SqlError> {
        match self {
            Self::Postgres(connection) => connection.query(text, parameters).await,
            Self::SqlServer(connection) => connection.query(text, parameters).await,
        }
    }

    /// Runs a script of several statements.
    ///
    /// # Errors
    /// See [`SqlError`].
    pub async fn run_script(&mut self, text: &str) -> Result<(), SqlError> {
        match self {
            Self::Postgres(connection) => connection.run_script(text).await,
            Self::SqlServer(connection) => connection.run_script(text).await,
        }
    }

    /// Gives a command up that ran into its limit. SQL Server does so by itself when the connection
    /// closes.
    fn give_up(self, limit: Duration) {
        if let Self::Postgres(connection) = self {
            connection.cancel(limit);
        }
    }
}

/// The pool of one provider instance.
pub struct Pool {
    target: Target,
    connect_timeout: Duration,
    command_timeout: Duration,
    permits: Semaphore,
    idle: RefCell<Vec<Connection>>,
    shut: Shut,
}

impl Pool {
    /// An empty pool.
    #[must_use]
    pub fn new(target: Target, found: &ConnectionString, shut: Shut) -> Self {
        Self {
            target,
            connect_timeout: found.connect_timeout,
            command_timeout: found.command_timeout,
            permits: Semaphore::new(found.max_pool_size as usize),
            idle: RefCell::default(),
            shut,
        }
    }

    /// Calls a procedure for a request.
    ///
    /// # Errors
    /// See [`SqlError`].
    pub async fn call(&self, request: &RequestContext, call: &Call) -> Result<Reply, SqlError> {
        self.run(request, async |connection| connection.call(call).await)
            .await
    }

    /// Has a connection do something for a request.
    ///
    /// # Errors
    /// See [`SqlError`].
    pub async fn run<T>(
        &self,
        request: &RequestContext,
        work: impl AsyncFnOnce(&mut Connection) -> Result<T, SqlError>,
    ) -> Result<T, SqlError> {
        if self.is_shut() {
            return Err(SqlError::Connection("the provider is closed".to_owned()));
        }
        let result = self.attempt(request, work).await;
        if let Err(SqlError::CommandTimeout(_) | SqlError::ConnectTimeout { .. }) = result {
            request.timeouts.set(request.timeouts.get() + 1);
        }
        result
    }

    async fn attempt<T>(
        &self,
        request: &RequestContext,
        work: impl AsyncFnOnce(&mut Connection) -> Result<T, SqlError>,
    ) -> Result<T, SqlError> {
        let limit = self.connect_timeout;
        let _permit = clock::timeout(limit, self.permits.acquire())
            .await
            .map_err(|_| SqlError::ConnectTimeout {
                limit,
                why: "every connection of the pool is in use",
            })?
            // The semaphore is never closed.
            .map_err(|_| SqlError::Connection("the pool is closed".to_owned()))?;
        let mut connection = match self.take_idle() {
            Some(connection) => connection,
            None => clock::timeout(limit, self.target.connect())
                .await
                .unwrap_or(Err(SqlError::ConnectTimeout {
                    limit,
                    why: "the server does not answer",
                }))?,
        };
        let before = connection.bytes();
        let result = clock::timeout(self.command_timeout, work(&mut connection)).await;
        let after = connection.bytes();
        request.count_round_trip((after.0 - before.0) as usize, (after.1 - before.1) as usize);
        let Ok(result) = result else {
            connection.give_up(limit);
            return Err(SqlError::CommandTimeout(self.command_timeout));
        };
        let reusable = result
            .as_ref()
            .err()
            .is_none_or(SqlError::spares_connection);
        if reusable && !self.is_shut() {
            self.idle.borrow_mut().push(connection);
        }
        result
    }

    /// The connection that was used last, if the server did not close it meanwhile.
    fn take_idle(&self) -> Option<Connection> {
        let mut idle = self.idle.borrow_mut();
        while let Some(connection) = idle.pop() {
            if !connection.is_closed() {
                return Some(connection);
            }
        }
        None
    }

    /// Whether it was shut for good.
    #[must_use]
    pub fn is_shut(&self) -> bool {
        self.shut.0.get()
    }

    /// Closes the connections that are not in use.
    pub fn clear(&self) {
        self.idle.borrow_mut().clear();
    }
}
