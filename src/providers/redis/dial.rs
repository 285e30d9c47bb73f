//! Makes connections: to a host or a socket, with or without TLS, with a user, a name and a database.
//!
//! In: an address. Out: a connection whose server has answered once, or a reason that says what to
//! change. The surprising facts: redis-rs has TCP_NODELAY off and a limit of 500 ms for answers on by
//! default, which would cut the tail that is measured; and a server behind TLS does not say so to a
//! client that speaks without, it hangs up.

use super::address::Address;
use super::connection_string::ConnectionString;
use super::failure::Failure;
use super::tls::Tls;
use crate::clock;
use crate::providers::Secret;
use redis::aio::{ConnectionLike as _, MultiplexedConnection, PubSub};
use redis::{
    AsyncConnectionConfig, ErrorKind, ProtocolVersion, RedisConnectionInfo, RedisError,
    ServerErrorKind, Value, cmd,
};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

/// Commands that may wait to be written to a connection. StackExchange's queue has no bound; this
/// one is deep enough that requests wait for the server and not here.
const WRITE_QUEUE: usize = 4096;

/// Makes connections to the servers of one connection string.
pub struct Dialer {
    user: Option<String>,
    password: Option<Secret>,
    database: u32,
    tls: Option<Tls>,
    name: Option<String>,
    keep_alive: Duration,
    limit: Duration,
}

/// What Redis's protocol runs on.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

impl Dialer {
    /// A dialer as a connection string describes it, with a limit for each connection.
    #[must_use]
    pub fn new(found: &ConnectionString, database: u32, tls: Option<Tls>, limit: Duration) -> Self {
        Self {
            user: found.user.clone(),
            password: found.password.clone(),
            database,
            tls,
            name: found.name.clone(),
            keep_alive: found.keep_alive,
            limit,
        }
    }

    /// The limit for making a connection.
    #[must_use]
    pub const fn limit(&self) -> Duration {
        self.limit
    }

    /// A connection for commands.
    ///
    /// # Errors
    /// The server cannot be reached, refuses, or does not answer within the limit.
    pub async fn commands(&self, at: &Address) -> Result<MultiplexedConnection, Failure> {
        self.open(at, self.login(true).set_db(self.database.into()))
            .await
    }

    /// A connection to a sentinel, which often has no password where its masters have one.
    ///
    /// # Errors
    /// As [`Self::commands`].
    pub async fn sentinel(&self, at: &Address) -> Result<MultiplexedConnection, Failure> {
        match self.open(at, self.login(false)).await {
            Err(Failure::Unusable(_)) if self.password.is_some() => {
                self.open(at, self.login(true)).await
            }
            other => other,
        }
    }

    /// A connection for subscriptions, set up by `subscribe`.
    ///
    /// # Errors
    /// As [`Self::commands`]; or `subscribe` fails.
    pub async fn subscription(
        &self,
        at: &Address,
        subscribe: impl AsyncFnOnce(&mut PubSub) -> Result<(), RedisError>,
    ) -> Result<PubSub, Failure> {
        self.within(async {
            let stream = self.stream(at).await?;
            let explained = |error| self.explained(at, error);
            let login = self.login(true);
            let mut made = PubSub::new(&login, stream).await.map_err(explained)?;
            subscribe(&mut made).await.map_err(explained)?;
            Ok(made)
        })
        .await
    }

    async fn open(
        &self,
        at: &Address,
        login: RedisConnectionInfo,
    ) -> Result<MultiplexedConnection, Failure> {
        self.within(async {
            let stream = self.stream(at).await?;
            let explained = |error| self.explained(at, error);
            let config = AsyncConnectionConfig::new()
                .set_response_timeout(None)
                .set_pipeline_buffer_size(WRITE_QUEUE);
            let (mut made, driver) = MultiplexedConnection::new_with_config(&login, stream, config)
                .await
                .map_err(explained)?;
            clock::spawn(driver).detach();
            let greeting = match &self.name {
                Some(name) => cmd("CLIENT").arg("SETNAME").arg(name).take(),
                None => cmd("PING"),
            };
            let answer = made.req_packed_command(&greeting).await;
            match answer.and_then(Value::extract_error) {
                // A user who may not even PING may do what is needed all the same.
                Err(error) if error.kind() != ErrorKind::Server(ServerErrorKind::NoPerm) => {
                    Err(explained(error))
                }
                _ => Ok(made),
            }
        })
        .await
    }

    async fn within<T>(
        &self,
        making: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        clock::timeout(self.limit, making)
            .await
            .unwrap_or(Err(Failure::TimedOut))
    }

    fn login(&self, with_password: bool) -> RedisConnectionInfo {
        let mut login = RedisConnectionInfo::default()
            .set_protocol(ProtocolVersion::RESP2)
            .set_skip_set_lib_name();
        if with_password && let Some(password) = &self.password {
            login = login.set_password(password.reveal());
            if let Some(user) = &self.user {
                login = login.set_username(user);
            }
        }
        login
    }

    async fn stream(&self, at: &Address) -> Result<Box<dyn Stream>, Failure> {
        let broken = |error: std::io::Error| Failure::Broken(format!("{at}: {error}"));
        match at {
            Address::Unix(path) => {
                let stream = UnixStream::connect(path).await.map_err(broken)?;
                Ok(Box::new(stream))
            }
            Address::Tcp { host, port } => {
                let stream = TcpStream::connect((&**host, *port)).await.map_err(broken)?;
                // Without it, Nagle's algorithm holds small commands back.
                stream.set_nodelay(true).map_err(broken)?;
                keep_alive(&stream, self.keep_alive).map_err(broken)?;
                match &self.tls {
                    Some(tls) => Ok(Box::new(tls.handshake(at, stream).await?)),
                    None => Ok(Box::new(stream)),
                }
            }
        }
    }

    /// Why a server did not let us in, with what would help.
    fn explained(&self, at: &Address, error: RedisError) -> Failure {
        let kind = error.kind();
        let detail = error.detail().unwrap_or_default();
        if detail.contains("not allowed in cluster mode") {
            return Failure::Unusable(format!(
                "a Redis Cluster has no database but 0, and {} is asked for",
                self.database
            ));
        }
        if detail.contains("DB index is out of range") {
            return Failure::Unusable(format!("{at} has no database {}", self.database));
        }
        if kind == ErrorKind::AuthenticationFailed {
            return Failure::Unusable(format!("{at} refuses the user or the password"));
        }
        if error.code() == Some("NOAUTH") {
            return Failure::Unusable(format!(
                "{at} asks for a password: add `password=…` to the connection string"
            ));
        }
        match Failure::from(error) {
            // In TLS 1.3 a server looks at our certificate only after our half of the handshake.
            Failure::Broken(why) if why.contains("received fatal alert") => {
                Failure::Unusable(format!(
                    "{at} refuses TLS ({why}); `client_certificate_file` and `client_key_file` name \
                     a certificate for a server that asks for one"
                ))
            }
            Failure::Broken(why) if self.tls.is_none() && kind == ErrorKind::Parse => {
                Failure::Unusable(format!(
                    "{at} does not speak plain Redis ({why}): TLS is `ssl=true`"
                ))
            }
            Failure::Broken(why) if self.tls.is_none() => Failure::Broken(format!(
                "{at} hung up before it answered ({why}); if it expects TLS, add `ssl=true`"
            )),
            Failure::Broken(why) => Failure::Broken(format!("{at}: {why}")),
            other => other,
        }
    }
}

/// Has the system test a silent connection: firewalls and Azure's gateway forget one without a word.
fn keep_alive(stream: &TcpStream, idle: Duration) -> std::io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::net::sockopt;
        sockopt::set_socket_keepalive(stream, true)?;
        sockopt::set_tcp_keepidle(stream, idle)?;
        sockopt::set_tcp_keepintvl(stream, Duration::from_secs(1).max(idle / 10))?;
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (stream, idle);
    Ok(())
}
