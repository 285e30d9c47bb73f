//! A connection to SQL Server over TDS.
//!
//! In: calls of stored procedures, sent as remote procedure calls with output parameters, as
//! ADO.NET does. Out: what they return. Every call is one round trip.
//!
//! The surprising fact: ADO.NET resets a pooled connection by a flag in the next request's header,
//! which costs no round trip. tiberius cannot set it, so nothing is reset here; the procedures leave
//! nothing behind that would need it.

use super::call::{Call, Direction, Kind, Reply, Value};
use super::connection_string::{ConnectionString, Encryption, Trust};
use super::error::SqlError;
use super::stream::{Counted, Meter};
use super::tls;
use crate::clock::Utc;
use futures_util::TryStreamExt as _;
use std::borrow::Cow;
use std::net::TcpStream as Probe;
use tiberius::error::Error;
use tiberius::time::DateTime;
use tiberius::{
    AuthMethod, Client, ColumnData, Command, CommandItem, Config, EncryptionLevel, IntoSql, Query,
};
use tokio::net::TcpStream;
use tokio_util::compat::{Compat, TokioAsyncWriteCompatExt as _};

/// Servers that may send us on to the next one, as Azure SQL's gateways do.
const REDIRECTIONS: usize = 4;

/// How to reach a SQL Server.
pub struct Target {
    host: String,
    port: u16,
    config: Config,
}

impl Target {
    /// What a connection string says.
    #[must_use]
    pub fn new(found: &ConnectionString) -> Self {
        tls::choose_ring();
        let mut config = Config::new();
        config.host(&found.host);
        config.port(found.port);
        config.application_name("sessionbench");
        if let Some(database) = &found.database {
            config.database(database);
        }
        let user = found.user.as_deref().unwrap_or_default();
        let password = found
            .password
            .as_ref()
            .map_or("", |password| password.reveal());
        config.authentication(AuthMethod::sql_server(user, password));
        config.encryption(match found.encryption {
            Encryption::Required => EncryptionLevel::Required,
            _ => EncryptionLevel::Off,
        });
        match &found.trust {
            Trust::System => {}
            Trust::File(file) => config.trust_cert_ca(file.display()),
            Trust::Anything => config.trust_cert(),
        }
        // Limits are ours and on our clock.
        config.command_timeout(None);
        config.handshake_timeout(None);
        Self {
            host: found.host.clone(),
            port: found.port,
            config,
        }
    }

    /// Makes a connection.
    ///
    /// # Errors
    /// The server cannot be reached, or refuses.
    pub async fn connect(&self) -> Result<SqlServerConnection, SqlError> {
        let (mut host, mut port) = (self.host.clone(), self.port);
        for _ in 0..REDIRECTIONS {
            let (socket, probe) = socket(&host, port).await.map_err(unreachable)?;
            let (counted, meter) = Counted::new(socket);
            let mut config = self.config.clone();
            config.host(&host);
            config.port(port);
            match Client::connect(config, counted.compat_write()).await {
                Ok(client) => {
                    return Ok(SqlServerConnection {
                        client,
                        meter,
                        probe,
                    });
                }
                Err(Error::Routing {
                    host: next,
                    port: at,
                }) => (host, port) = (next, at),
                Err(error) => return Err(error.into()),
            }
        }
        Err(SqlError::Connection(
            "the server sends on to others without end".to_owned(),
        ))
    }
}

/// A socket, and a second handle by which to see whether the server closed it.
async fn socket(host: &str, port: u16) -> std::io::Result<(TcpStream, Probe)> {
    let socket = TcpStream::connect((host, port)).await?;
    // Without it, Nagle's algorithm holds small commands back.
    socket.set_nodelay(true)?;
    let socket = socket.into_std()?;
    let probe = socket.try_clone()?;
    Ok((TcpStream::from_std(socket)?, probe))
}

fn unreachable(error: std::io::Error) -> SqlError {
    SqlError::Connection(error.to_string())
}

/// A connection to SQL Server. Dropping it closes the socket, and the server gives up what it was
/// doing for it.
pub struct SqlServerConnection {
    client: Client<Compat<Counted>>,
    meter: Meter,
    probe: Probe,
}

impl SqlServerConnection {
    /// Bytes sent and received so far.
    pub fn bytes(&self) -> (u64, u64) {
        self.meter.read()
    }

    /// Whether the server closed it: then a read would tell the end at once. SqlClient looks in the
    /// same way before it takes a connection from its pool.
    pub fn is_closed(&self) -> bool {
        match self.probe.peek(&mut [0]) {
            Ok(waiting) => waiting == 0,
            Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
        }
    }

    /// Calls a stored procedure.
    ///
    /// # Errors
    /// The server refuses, or the connection broke.
    pub async fn call(&mut self, call: &Call) -> Result<Reply, SqlError> {
        let mut command = Command::new(&*call.procedure);
        for parameter in &call.parameters {
            let name = format!("@{}", parameter.name);
            match (parameter.direction, &parameter.value) {
                (Direction::In, value) => command.bind_param(name, Bound(bind(value))),
                (_, Value::Null(kind)) => command.bind_out_param(name, Bound(place_for(*kind))),
                (_, value) => command.bind_out_param(name, Bound(bind(value))),
            }
        }
        let mut answer = command.exec(&mut self.client).await?;
        let mut reply = Reply::default();
        let mut row_seen = false;
        while let Some(item) = answer.try_next().await? {
            match item {
                CommandItem::Row(row) if !row_seen => {
                    row_seen = true;
                    for (column, value) in row.cells() {
                        reply.values.push((column.name().to_owned(), read(value)));
                    }
                }
                CommandItem::ReturnStatus(status) => reply.returned = status.into(),
                CommandItem::ReturnValue(value) => {
                    let read = read(value.data());
                    reply.values.push((value.name().to_owned(), read));
                }
                _ => {}
            }
        }
        Ok(reply)
    }

    /// Runs a query with parameters `@P1`, `@P2`, ….
    ///
    /// # Errors
    /// As [`Self::call`].
    pub async fn query(
        &mut self,
        text: &str,
        parameters: &[Value],
    ) -> Result<Vec<Vec<Value>>, SqlError> {
        let mut query = Query::new(text);
        for parameter in parameters {
            query.bind(Bound(bind(parameter)));
        }
        let answer = query.query(&mut self.client).await?;
        let rows = answer.into_first_result().await?;
        let values = rows
            .iter()
            .map(|row| row.cells().map(|(_, value)| read(value)).collect());
        Ok(values.collect())
    }

    /// Runs a script, batch by batch.
    ///
    /// # Errors
    /// As [`Self::call`]; the batches before the failed one have been run.
    pub async fn run_script(&mut self, text: &str) -> Result<(), SqlError> {
        for batch in batches(text) {
            let answer = self.client.simple_query(batch).await?;
            answer.into_results().await?;
        }
        Ok(())
    }
}

/// The batches of a script: a line with nothing but `GO` ends one.
pub fn batches(script: &str) -> Vec<&str> {
    let mut batches = Vec::new();
    let (mut start, mut at) = (0, 0);
    for line in script.split_inclusive('\n') {
        if line.trim().eq_ignore_ascii_case("GO") {
            batches.push(&script[start..at]);
            start = at + line.len();
        }
        at += line.len();
    }
    batches.push(&script[start..]);
    batches.retain(|batch| !batch.trim().is_empty());
    batches
}

/// A value that is bound already.
struct Bound<'a>(ColumnData<'a>);

impl<'a> IntoSql<'a> for Bound<'a> {
    fn into_sql(self) -> ColumnData<'a> {
        self.0
    }
}

/// A value as tiberius sends it.
fn bind(value: &Value) -> ColumnData<'_> {
    match value {
        Value::Null(Kind::Bit) => ColumnData::Bit(None),
        Value::Null(Kind::Int) => ColumnData::I32(None),
        Value::Null(Kind::Guid) => ColumnData::Guid(None),
        // tiberius writes these without a type, which no parameter may be. A number's NULL becomes
        // theirs by itself.
        Value::Null(Kind::Text | Kind::Bytes | Kind::Time) => ColumnData::I32(None),
        Value::Bit(bit) => ColumnData::Bit(Some(*bit)),
        // Numbers on the way in are minutes and flags.
        Value::Int(number) => ColumnData::I32(Some(i32::try_from(*number).unwrap_or(i32::MAX))),
        Value::Text(text) => ColumnData::String(Some(Cow::Borrowed(&**text))),
        Value::Guid(guid) => ColumnData::Guid(Some(*guid)),
        Value::Bytes(bytes) => ColumnData::Binary(Some(Cow::Borrowed(bytes.as_slice()))),
        Value::Time(time) => ColumnData::DateTime(Some(datetime(*time))),
    }
}

/// What stands for an output until there is one: it says the type, and does not count itself.
fn place_for(kind: Kind) -> ColumnData<'static> {
    match kind {
        Kind::Bit => ColumnData::Bit(None),
        Kind::Int => ColumnData::I32(None),
        Kind::Guid => ColumnData::Guid(None),
        Kind::Text => ColumnData::String(Some(Cow::Borrowed(""))),
        Kind::Bytes => ColumnData::Binary(Some(Cow::Borrowed(&[]))),
        Kind::Time => ColumnData::DateTime(Some(DateTime::new(0, 0))),
    }
}

/// A value of an answer.
fn read(value: &ColumnData<'static>) -> Value {
    let int = |number: Option<i64>| number.map_or(Value::Null(Kind::Int), Value::Int);
    let time = |nanos: Option<i128>| {
        let nanos = nanos.map(|nanos| u64::try_from(nanos).unwrap_or(0));
        nanos.map_or(Value::Null(Kind::Time), |nanos| {
            Value::Time(Utc::from_nanos(nanos))
        })
    };
    match value {
        ColumnData::Bit(bit) => bit.map_or(Value::Null(Kind::Bit), Value::Bit),
        ColumnData::U8(number) => int(number.map(i64::from)),
        ColumnData::I16(number) => int(number.map(i64::from)),
        ColumnData::I32(number) => int(number.map(i64::from)),
        ColumnData::I64(number) => int(*number),
        ColumnData::String(text) => text.as_ref().map_or(Value::Null(Kind::Text), |text| {
            Value::Text((&**text).into())
        }),
        ColumnData::Guid(guid) => guid.map_or(Value::Null(Kind::Guid), Value::Guid),
        ColumnData::Binary(bytes) => bytes.as_ref().map_or(Value::Null(Kind::Bytes), |bytes| {
            Value::Bytes(bytes.to_vec())
        }),
        ColumnData::DateTime(datetime) => time(datetime.map(|datetime| {
            let fragments = i128::from(datetime.seconds_fragments());
            since_1970(datetime.days(), DAYS_1900_TO_1970) + fragments * SECOND / FRAGMENTS
        })),
        ColumnData::DateTime2(datetime) => time(datetime.map(|datetime| {
            let part = datetime.time();
            let unit = 10_i128.pow(9 - u32::from(part.scale().min(9)));
            since_1970(datetime.date().days() as i32, DAYS_1_TO_1970)
                + i128::from(part.increments()) * unit
        })),
        // No procedure of a session store answers with another.
        _ => Value::Null(Kind::Bytes),
    }
}

const SECOND: i128 = 1_000_000_000;
const DAY: i128 = 86_400 * SECOND;
/// Parts of a second that `datetime` knows.
const FRAGMENTS: i128 = 300;
const DAYS_1900_TO_1970: i32 = 25_567;
const DAYS_1_TO_1970: i32 = 719_162;

fn since_1970(days: i32, days_to_1970: i32) -> i128 {
    i128::from(days - days_to_1970) * DAY
}

/// A point in time as `datetime`, to the nearest 300th of a second, as SqlClient rounds: what was
/// read goes back as it was.
fn datetime(time: Utc) -> DateTime {
    const FRAGMENTS_OF_DAY: i128 = DAY / SECOND * FRAGMENTS;
    let nanos = time.since_epoch().as_nanos() as i128;
    let fragments = (nanos * FRAGMENTS + SECOND / 2) / SECOND;
    let days = (fragments / FRAGMENTS_OF_DAY) as i32;
    DateTime::new(
        days + DAYS_1900_TO_1970,
        (fragments % FRAGMENTS_OF_DAY) as u32,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use tiberius::time::{Date, DateTime2, Time};

    /// 1 January 2024, 12:34:56.5.
    const NOON: Utc = Utc::from_nanos(1_704_112_496_500_000_000);

    #[test]
    fn a_datetime_comes_back_as_it_was() {
        // 45290 days from 1900 to 2024.
        assert_eq!(datetime(NOON), DateTime::new(45_290, 45_296 * 300 + 150));
        let read = read(&ColumnData::DateTime(Some(datetime(NOON))));
        assert_eq!(read, Value::Time(NOON));
    }

    #[test]
    fn every_fragment_of_a_second_comes_back_as_it_was() {
        for fragment in 0..300 {
            let stored = DateTime::new(45_290, fragment);
            let Value::Time(time) = read(&ColumnData::DateTime(Some(stored))) else {
                panic!("no time");
            };
            assert_eq!(datetime(time), stored);
        }
    }

    #[test]
    fn a_datetime2_is_the_same_point() {
        // 738885 days from year 1 to 2024; seven decimals.
        let time = Time::new(452_965_000_000, 7);
        let value = DateTime2::new(Date::new(738_885), time);
        assert_eq!(read(&ColumnData::DateTime2(Some(value))), Value::Time(NOON));
    }

    #[test]
    fn nothing_goes_out_without_a_type() {
        let kinds = [
            Kind::Bit,
            Kind::Int,
            Kind::Text,
            Kind::Guid,
            Kind::Bytes,
            Kind::Time,
        ];
        let untyped = |data: &ColumnData<'_>| {
            matches!(
                data,
                ColumnData::String(None) | ColumnData::Binary(None) | ColumnData::DateTime(None)
            )
        };
        for kind in kinds {
            assert!(!untyped(&bind(&Value::Null(kind))), "{kind:?}");
            assert!(!untyped(&place_for(kind)), "{kind:?}");
        }
    }

    #[test]
    fn a_line_with_go_ends_a_batch() {
        let script = "SELECT 1\nGO\r\nSELECT 'GO'\n  go  \n\nGO\n";
        assert_eq!(batches(script), ["SELECT 1\n", "SELECT 'GO'\n"]);
    }
}
