//! Makes connections: to a host or a socket, with or without TLS, with a user, a name and a database.
//!
//! In: an address. Out: a connection whose server has answered once, or a reason that says what to
//! change. The surprising facts: redis-rs has TCP_NODELAY off and a limit of 500 ms for answers on by
//! default, which would cut the tail that is measured; and a server behind TLS does not say so to a
//! client that speaks without, it hangs up.

use super::address::Address;
use super::connection_string::ConnectionString;
use super::failure::Failure;
use super::pipe::{Broken, Pipe, Stream};
use super::tls::Tls;
use crate::clock;
use crate::providers::Secret;
use redis::aio::PubSub;
use redis::{
    Cmd, ErrorKind, ProtocolVersion, RedisConnectionInfo, RedisError, ServerErrorKind, Value, cmd,
};
use std::time::Duration;
use tokio::net::{TcpStream, UnixStream};

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
    pub async fn commands(&self, at: &Address) -> Result<Pipe, Failure> {
        self.open(at, true, self.database).await
    }

    /// A connection to a sentinel, which often has no password where its masters have one.
    ///
    /// # Errors
    /// As [`Self::commands`].
    pub async fn sentinel(&self, at: &Address) -> Result<Pipe, Failure> {
        match self.open(at, false, 0).await {
            Err(Failure::Unusable(_)) if self.password.is_some() => self.open(at, true, 0).await,
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
        self.subscribed(at, self.login(true), subscribe).await
    }

    /// A connection that is subscribed to a channel of a sentinel.
    ///
    /// # Errors
    /// As [`Self::commands`].
    pub async fn sentinel_subscription(
        &self,
        at: &Address,
        channel: &str,
    ) -> Result<PubSub, Failure> {
        let subscribe = async |made: &mut PubSub| made.subscribe(channel).await;
        match self.subscribed(at, self.login(false), subscribe).await {
            Err(Failure::Unusable(_)) if self.password.is_some() => {
                self.subscribed(at, self.login(true), subscribe).await
            }
            other => other,
        }
    }

    async fn subscribed(
        &self,
        at: &Address,
        login: RedisConnectionInfo,
        subscribe: impl AsyncFnOnce(&mut PubSub) -> Result<(), RedisError>,
    ) -> Result<PubSub, Failure> {
        self.within(async {
            let stream = self.stream(at).await?;
            let explained = |error| self.explained(at, error);
            let mut made = PubSub::new(&login, stream).await.map_err(explained)?;
            subscribe(&mut made).await.map_err(explained)?;
            Ok(made)
        })
        .await
    }

    async fn open(
        &self,
        at: &Address,
        with_password: bool,
        database: u32,
    ) -> Result<Pipe, Failure> {
        self.within(async {
            let pipe = Pipe::new(self.stream(at).await?);
            if with_password && let Some(password) = &self.password {
                let login = cmd("AUTH").arg(&self.user).arg(password.reveal()).take();
                self.require(at, &pipe, &login).await?;
            }
            if database != 0 {
                self.require(at, &pipe, cmd("SELECT").arg(database)).await?;
            }
            let greeting = match &self.name {
                Some(name) => cmd("CLIENT").arg("SETNAME").arg(name).take(),
                None => cmd("PING"),
            };
            match self.ask(at, &pipe, &greeting).await?.extract_error() {
                // A user who may not even PING may do what is needed all the same.
                Err(error) if error.kind() != ErrorKind::Server(ServerErrorKind::NoPerm) => {
                    Err(self.explained(at, error))
                }
                _ => Ok(pipe),
            }
        })
        .await
    }

    /// Sends a command without which the connection is of no use.
    async fn require(&self, at: &Address, pipe: &Pipe, command: &Cmd) -> Result<(), Failure> {
        let answer = self.ask(at, pipe, command).await?.extract_error();
        answer.map(drop).map_err(|error| self.explained(at, error))
    }

    /// The answer to one of the commands that a connection begins with; it may be an error.
    async fn ask(&self, at: &Address, pipe: &Pipe, command: &Cmd) -> Result<Value, Failure> {
        let answer = async { pipe.send(&command.into())?.reply().await };
        let answered = answer.await.map_err(|broken| {
            let garbled = matches!(broken, Broken::Malformed(_));
            self.broken(at, &broken.to_string(), garbled)
        });
        answered.map(|(value, _)| value)
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
        let password = ["AUTH", "invalid password"]
            .iter()
            .any(|word| detail.contains(word));
        if kind == ErrorKind::AuthenticationFailed || error.code() == Some("WRONGPASS") || password
        {
            return Failure::Unusable(format!("{at} refuses the user or the password"));
        }
        if error.code() == Some("NOAUTH") {
            return Failure::Unusable(format!(
                "{at} asks for a password: add `password=…` to the connection string"
            ));
        }
        match Failure::from(error) {
            Failure::Broken(why) => self.broken(at, &why, kind == ErrorKind::Parse),
            other => other,
        }
    }

    /// Why a connection broke before a server let us in; `garbled` where it did not speak Redis.
    fn broken(&self, at: &Address, why: &str, garbled: bool) -> Failure {
        // In TLS 1.3 a server looks at our certificate only after our half of the handshake.
        if why.contains("received fatal alert") {
            return Failure::Unusable(format!(
                "{at} refuses TLS ({why}); `client_certificate_file` and `client_key_file` name a \
                 certificate for a server that asks for one"
            ));
        }
        match (&self.tls, garbled) {
            (Some(_), _) => Failure::Broken(format!("{at}: {why}")),
            (None, true) => Failure::Unusable(format!(
                "{at} does not speak plain Redis ({why}): TLS is `ssl=true`"
            )),
            (None, false) => Failure::Broken(format!(
                "{at} hung up before it answered ({why}); if it expects TLS, add `ssl=true`"
            )),
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
