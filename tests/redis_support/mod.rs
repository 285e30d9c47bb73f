//! A provider on a private redis-server, and a second connection that looks at what it stored.
#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

#[path = "../store_support/mod.rs"]
mod store_support;

pub use store_support::*;

use redis::{ConnectionLike, FromRedisValue};
use sessionbench::providers::redis::settings::{
    ManagedRedis, RedisKeyspace, RedisMicrosoft, RedisServer, RedisSettings,
};
use sessionbench::providers::{Provider, ProviderSettings, Seat, connect};
use sessionbench::session::SessionStateStore;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

/// A provider and a look behind it.
pub struct Bench {
    pub provider: Rc<dyn Provider>,
    pub raw: RefCell<redis::Connection>,
}

impl Bench {
    pub async fn new(settings: ProviderSettings) -> Self {
        let provider = connect(&settings, "").await.unwrap();
        let raw = RefCell::new(raw(&provider.server().unwrap().address));
        Self { provider, raw }
    }

    pub async fn microsoft() -> Self {
        Self::new(ProviderSettings::RedisMicrosoft(RedisMicrosoft::default())).await
    }

    pub async fn open(&self, seat: &Seat) -> Rc<dyn SessionStateStore> {
        self.provider.open(seat).await.unwrap()
    }

    /// Opens an instance that tells its session ends.
    pub async fn listen(&self, seat: &Seat) -> (Rc<dyn SessionStateStore>, Rc<Ends>) {
        listen(&self.provider, seat).await
    }

    /// Opens an instance that is at the end of session 7, whose handler takes this long.
    pub async fn ending(
        &self,
        seat: &Seat,
        handler: Duration,
    ) -> (Rc<dyn SessionStateStore>, Rc<Ends>) {
        let (store, ends) = self.listen(seat).await;
        ends.takes.set(handler);
        store_new(&store, id(7), "hello").await;
        until("the handler starts", || ends.at_work.get() == 1).await;
        (store, ends)
    }

    /// Asks the server: words are separated by spaces.
    pub fn ask<T: FromRedisValue>(&self, command: &str) -> T {
        ask(&mut self.raw.borrow_mut(), command)
    }

    /// A key's remaining life in seconds, rounded up to tens: a busy machine is a little late.
    pub fn ttl(&self, key: &str) -> u64 {
        self.ask::<u64>(&format!("TTL {key}")).next_multiple_of(10)
    }

    /// Stores bytes under a key.
    pub fn put(&self, key: &str, bytes: &[u8]) {
        let cmd = redis::cmd("SET").arg(key).arg(bytes).take();
        self.raw.borrow_mut().req_command(&cmd).unwrap();
    }

    /// Forgets the commands counted so far.
    pub fn reset_counts(&self) {
        let () = self.ask("CONFIG RESETSTAT");
    }

    /// How often clients sent scripts, by hash and by text, as the server counted.
    pub fn scripts_run(&self) -> (u64, u64) {
        (self.calls("evalsha"), self.calls("eval"))
    }

    pub fn calls(&self, command: &str) -> u64 {
        let stats: String = self.ask("INFO commandstats");
        let line = format!("cmdstat_{command}:calls=");
        stats
            .lines()
            .find_map(|found| found.strip_prefix(&line))
            .and_then(|rest| rest.split(',').next()?.parse().ok())
            .unwrap_or(0)
    }
}

/// Asks over a connection: words are separated by spaces.
pub fn ask<T: FromRedisValue>(raw: &mut redis::Connection, command: &str) -> T {
    let words: Vec<&str> = command.split(' ').collect();
    let mut cmd = redis::cmd(words[0]);
    cmd.arg(&words[1..]);
    let value = raw.req_command(&cmd).unwrap();
    redis::from_redis_value(value.extract_error().unwrap()).unwrap()
}

/// What lies under every key of a server.
pub fn everything(address: &str) -> std::collections::BTreeMap<Vec<u8>, Vec<u8>> {
    let mut raw = raw(address);
    let keys: Vec<Vec<u8>> = ask(&mut raw, "KEYS *");
    let dump = |key: Vec<u8>| {
        let value = redis::cmd("DUMP").arg(&key).query(&mut raw).unwrap();
        (key, value)
    };
    keys.into_iter().map(dump).collect()
}

/// A connection of our own.
pub fn raw(address: &str) -> redis::Connection {
    redis::Client::open(format!("redis://{address}"))
        .unwrap()
        .get_connection()
        .unwrap()
}

pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// A redis-server that the harness did not start.
pub struct Foreign {
    child: std::process::Child,
    pub port: u16,
    /// Where it keeps what it must: a replica writes down what its master sends.
    _directory: tempfile::TempDir,
}

impl Foreign {
    pub async fn start() -> Self {
        Self::start_on(free_port()).await
    }

    pub async fn start_on(port: u16) -> Self {
        Self::start_with(port, &["--port", &port.to_string()]).await
    }

    /// Starts a server with these arguments, which make it listen on this port.
    pub async fn start_with(port: u16, arguments: &[&str]) -> Self {
        let common = ["--bind", "127.0.0.1", "--save", ""];
        Self::launch(port, &[arguments, &common].concat()).await
    }

    /// Starts a sentinel, which keeps its configuration in this file.
    pub async fn start_sentinel(port: u16, file: &std::path::Path) -> Self {
        let file = file.to_str().unwrap();
        Self::launch(port, &[file, "--sentinel"]).await
    }

    async fn launch(port: u16, arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let child = std::process::Command::new("redis-server")
            .args(arguments)
            .current_dir(directory.path())
            .stdout(std::process::Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        let foreign = Self {
            child,
            port,
            _directory: directory,
        };
        until("the server listens", || {
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        })
        .await;
        foreign
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Stops its process where it is, as a machine that hangs.
    pub fn freeze(&self) {
        let process = self.child.id().to_string();
        let stopped = std::process::Command::new("kill")
            .args(["-STOP", &process])
            .status();
        assert!(stopped.unwrap().success());
    }

    /// Kills it.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Redis settings that point at a server that runs.
pub fn on(address: &str) -> RedisSettings {
    RedisSettings {
        server: RedisServer::ConnectionString(address.to_owned()),
        ..RedisSettings::default()
    }
}

/// The same with little patience for a server that does not answer.
pub fn impatient(address: &str) -> RedisSettings {
    RedisSettings {
        operationTimeoutInMilliseconds: 500,
        retryTimeoutInMilliseconds: 50,
        ..on(address)
    }
}

pub fn managed(config: &[(&str, i64)]) -> RedisSettings {
    use sessionbench::providers::redis::settings::ConfigValue;
    let config = config
        .iter()
        .map(|(name, value)| ((*name).to_owned(), ConfigValue::Number(*value)))
        .collect();
    RedisSettings {
        server: RedisServer::Managed(ManagedRedis {
            config,
            ..ManagedRedis::default()
        }),
        ..RedisSettings::default()
    }
}

/// `redis_microsoft` with these settings.
pub fn microsoft(redis: RedisSettings) -> ProviderSettings {
    ProviderSettings::RedisMicrosoft(RedisMicrosoft {
        redis,
        ..RedisMicrosoft::default()
    })
}

/// `redis_keyspace` with these settings.
pub fn keyspace(redis: RedisSettings) -> ProviderSettings {
    ProviderSettings::RedisKeyspace(RedisKeyspace {
        redis,
        ..RedisKeyspace::default()
    })
}

/// Opens an instance that tells its session ends.
pub async fn listen(
    provider: &Rc<dyn Provider>,
    seat: &Seat,
) -> (Rc<dyn SessionStateStore>, Rc<Ends>) {
    let store = provider.open(seat).await.unwrap();
    let ends = Rc::new(Ends::default());
    assert!(store.set_item_expire_callback(Rc::clone(&ends) as Rc<_>));
    (store, ends)
}
