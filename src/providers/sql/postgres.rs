//! A connection to PostgreSQL.
//!
//! In: calls of functions. Out: their one row as a [`Reply`]. Every call is one round trip: like
//! Npgsql it sends parse, bind and execute together and prepares nothing for later.
//!
//! The surprising fact: a client that goes away does not stop what it asked for. A command that
//! ran into its limit is cancelled over a connection of its own, as Npgsql does.

use super::call::{Call, Direction, Kind, RETURN_VALUE, Reply, Value};
use super::connection_string::{ConnectionString, Encryption};
use super::error::SqlError;
use super::stream::{Counted, Meter};
use super::tls;
use crate::clock::{self, Task, Utc};
use std::fmt::Write as _;
use std::rc::Rc;
use std::time::{Duration, UNIX_EPOCH};
use tokio::net::TcpStream;
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Config, Row};
use tokio_postgres_rustls::MakeRustlsConnect;
use uuid::Uuid;

/// How to reach a PostgreSQL.
pub struct Target {
    host: String,
    port: u16,
    config: Config,
    tls: MakeRustlsConnect,
}

impl Target {
    /// What a connection string says.
    ///
    /// # Errors
    /// The certificates to trust cannot be read.
    pub fn new(found: &ConnectionString) -> Result<Self, String> {
        let mut config = Config::new();
        config.application_name("sessionbench");
        if let Some(user) = &found.user {
            config.user(user);
        }
        if let Some(password) = &found.password {
            config.password(password.reveal());
        }
        if let Some(database) = &found.database {
            config.dbname(database);
        }
        config.ssl_mode(match found.encryption {
            Encryption::Off => SslMode::Disable,
            Encryption::Preferred => SslMode::Prefer,
            Encryption::Login | Encryption::Required => SslMode::Require,
        });
        Ok(Self {
            host: found.host.clone(),
            port: found.port,
            config,
            tls: tls::connector(&found.trust)?,
        })
    }

    fn tls(&self) -> <MakeRustlsConnect as MakeTlsConnect<Counted>>::TlsConnect {
        let made = MakeTlsConnect::<Counted>::make_tls_connect(&mut self.tls.clone(), &self.host);
        match made {
            Ok(connector) => connector,
            Err(never) => match never {},
        }
    }

    async fn socket(&self) -> Result<(Counted, Meter), SqlError> {
        let socket = TcpStream::connect((self.host.as_str(), self.port)).await;
        let socket = socket.map_err(|error| SqlError::Connection(error.to_string()))?;
        // Without it, Nagle's algorithm holds small commands back.
        let _ = socket.set_nodelay(true);
        Ok(Counted::new(socket))
    }

    /// Makes a connection.
    ///
    /// # Errors
    /// The server cannot be reached, or refuses.
    pub async fn connect(self: &Rc<Self>) -> Result<PostgresConnection, SqlError> {
        let (socket, meter) = self.socket().await?;
        let (client, connection) = self.config.connect_raw(socket, self.tls()).await?;
        Ok(PostgresConnection {
            target: Rc::clone(self),
            client,
            meter,
            // What ends it is told by the command that was under way.
            _driver: clock::spawn(async move {
                let _ = connection.await;
            }),
        })
    }
}

/// A connection to PostgreSQL. Dropping it closes the socket.
pub struct PostgresConnection {
    target: Rc<Target>,
    client: Client,
    meter: Meter,
    _driver: Task<()>,
}

impl PostgresConnection {
    /// Bytes sent and received so far.
    pub fn bytes(&self) -> (u64, u64) {
        self.meter.read()
    }

    /// Whether the server closed it.
    pub fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Calls a function.
    ///
    /// # Errors
    /// The server refuses, or the connection broke.
    pub async fn call(&self, call: &Call) -> Result<Reply, SqlError> {
        let (text, inputs) = written(call);
        let rows = self.run(&text, &inputs).await?;
        let mut reply = Reply::default();
        let Some(row) = rows.first() else {
            return Ok(reply);
        };
        for (at, column) in row.columns().iter().enumerate() {
            if *column.type_() == Type::VOID {
                continue;
            }
            match read(row, at)? {
                Value::Int(returned) if column.name() == RETURN_VALUE => reply.returned = returned,
                value => reply.values.push((column.name().to_owned(), value)),
            }
        }
        Ok(reply)
    }

    /// Runs a query with parameters `$1`, `$2`, ….
    ///
    /// # Errors
    /// As [`Self::call`].
    pub async fn query(
        &self,
        text: &str,
        parameters: &[Value],
    ) -> Result<Vec<Vec<Value>>, SqlError> {
        let parameters: Vec<&Value> = parameters.iter().collect();
        let rows = self.run(text, &parameters).await?;
        rows.iter()
            .map(|row| (0..row.len()).map(|at| read(row, at)).collect())
            .collect()
    }

    /// Runs several statements in one transaction.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub async fn run_script(&self, text: &str) -> Result<(), SqlError> {
        Ok(self.client.batch_execute(text).await?)
    }

    /// Has the server give up what this connection asked for.
    pub fn cancel(self, limit: Duration) {
        let token = self.client.cancel_token();
        let target = Rc::clone(&self.target);
        clock::spawn_detached(async move {
            let cancelling = async {
                if let Ok((socket, _)) = target.socket().await {
                    let _ = token.cancel_query_raw(socket, target.tls()).await;
                }
            };
            let _ = clock::timeout(limit, cancelling).await;
            drop(self);
        });
    }

    async fn run(&self, text: &str, values: &[&Value]) -> Result<Vec<Row>, SqlError> {
        let bound: Vec<(Box<dyn ToSql + Sync>, Type)> = values.iter().map(|v| bind(v)).collect();
        let parameters: Vec<(&(dyn ToSql + Sync), Type)> = bound
            .iter()
            .map(|(value, kind)| (&**value, kind.clone()))
            .collect();
        Ok(self.client.query_typed(text, &parameters).await?)
    }
}

/// A call as SQL, and the values that go with it. Names are quoted, so that they keep their case.
fn written(call: &Call) -> (String, Vec<&Value>) {
    let mut text = format!("SELECT * FROM \"{}\"(", call.procedure);
    let mut inputs = Vec::new();
    for parameter in &call.parameters {
        if parameter.direction == Direction::Out {
            continue;
        }
        inputs.push(&parameter.value);
        let separator = if inputs.len() == 1 { "" } else { ", " };
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "{separator}\"{}\" => ${}",
            parameter.name,
            inputs.len()
        );
    }
    text.push(')');
    (text, inputs)
}

/// A value as tokio-postgres sends it.
fn bind(value: &Value) -> (Box<dyn ToSql + Sync + '_>, Type) {
    let kind = match value.kind() {
        Kind::Bit => Type::BOOL,
        Kind::Int => Type::INT4,
        Kind::Text => Type::TEXT,
        Kind::Guid => Type::UUID,
        Kind::Bytes => Type::BYTEA,
        Kind::Time => Type::TIMESTAMPTZ,
    };
    let value: Box<dyn ToSql + Sync + '_> = match value {
        Value::Null(_) => Box::new(None::<&str>),
        Value::Bit(bit) => Box::new(*bit),
        // Numbers on the way in are minutes and flags.
        Value::Int(number) => Box::new(i32::try_from(*number).unwrap_or(i32::MAX)),
        Value::Text(text) => Box::new(&**text),
        Value::Guid(guid) => Box::new(*guid),
        Value::Bytes(bytes) => Box::new(bytes.as_slice()),
        Value::Time(time) => Box::new(UNIX_EPOCH + time.since_epoch()),
    };
    (value, kind)
}

/// A value of a row.
fn read(row: &Row, at: usize) -> Result<Value, SqlError> {
    let kind = row.columns()[at].type_();
    let or_null = |kind, value: Option<Value>| value.unwrap_or(Value::Null(kind));
    Ok(match *kind {
        Type::BOOL => or_null(
            Kind::Bit,
            row.try_get::<_, Option<bool>>(at)?.map(Value::Bit),
        ),
        Type::INT4 => or_null(
            Kind::Int,
            row.try_get::<_, Option<i32>>(at)?
                .map(|number| Value::Int(number.into())),
        ),
        Type::INT8 => or_null(
            Kind::Int,
            row.try_get::<_, Option<i64>>(at)?.map(Value::Int),
        ),
        Type::TEXT | Type::VARCHAR | Type::NAME | Type::BPCHAR => or_null(
            Kind::Text,
            row.try_get::<_, Option<&str>>(at)?
                .map(|text| Value::Text(text.into())),
        ),
        Type::UUID => or_null(
            Kind::Guid,
            row.try_get::<_, Option<Uuid>>(at)?.map(Value::Guid),
        ),
        Type::BYTEA => or_null(
            Kind::Bytes,
            row.try_get::<_, Option<Vec<u8>>>(at)?.map(Value::Bytes),
        ),
        Type::TIMESTAMPTZ | Type::TIMESTAMP => or_null(
            Kind::Time,
            row.try_get::<_, Option<std::time::SystemTime>>(at)?
                .map(|time| {
                    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
                    Value::Time(Utc::from_nanos(since.as_nanos() as u64))
                }),
        ),
        _ => {
            return Err(SqlError::Answer(format!(
                "`{}` is of type {kind}",
                row.columns()[at].name()
            )));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_names_its_inputs_and_leaves_its_outputs_out() {
        let call = Call::new("GetItemExclusive")
            .input("id", Value::Text("a".into()))
            .output("locked", Kind::Bit)
            .in_out("lockCookie", Value::Text("b".into()));
        let (text, inputs) = written(&call);
        assert_eq!(
            text,
            "SELECT * FROM \"GetItemExclusive\"(\"id\" => $1, \"lockCookie\" => $2)"
        );
        assert_eq!(inputs.len(), 2);
    }
}
