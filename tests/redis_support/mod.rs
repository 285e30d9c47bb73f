//! A provider on a private redis-server, and a second connection that looks at what it stored.
#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

#[path = "../store_support/mod.rs"]
mod store_support;

pub use store_support::*;

use redis::{ConnectionLike, FromRedisValue};
use sessionbench::providers::redis::settings::{
    ManagedRedis, RedisMicrosoft, RedisServer, RedisSettings,
};
use sessionbench::providers::{Provider, ProviderSettings, Seat, connect};
use sessionbench::session::SessionStateStore;
use std::cell::RefCell;
use std::rc::Rc;

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

    /// Asks the server: words are separated by spaces.
    pub fn ask<T: FromRedisValue>(&self, command: &str) -> T {
        let words: Vec<&str> = command.split(' ').collect();
        let mut cmd = redis::cmd(words[0]);
        cmd.arg(&words[1..]);
        let value = self.raw.borrow_mut().req_command(&cmd).unwrap();
        redis::from_redis_value(value.extract_error().unwrap()).unwrap()
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

/// A connection of our own.
pub fn raw(address: &str) -> redis::Connection {
    redis::Client::open(format!("redis://{address}"))
        .unwrap()
        .get_connection()
        .unwrap()
}

/// A redis-server that the harness did not start.
pub struct Foreign {
    child: std::process::Child,
    pub port: u16,
}

impl Foreign {
    pub async fn start() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        Self::start_on(port).await
    }

    pub async fn start_on(port: u16) -> Self {
        let child = std::process::Command::new("redis-server")
            .args([
                "--port",
                &port.to_string(),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
            ])
            .stdout(std::process::Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        let foreign = Self { child, port };
        until("the server answers", || {
            redis::Client::open(("127.0.0.1", port))
                .unwrap()
                .get_connection()
                .is_ok()
        })
        .await;
        foreign
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Redis settings that point at a server that runs.
pub fn on(address: &str) -> RedisSettings {
    RedisSettings {
        server: RedisServer::ConnectionString(address.to_owned()),
        ..RedisSettings::default()
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
            other_volatile_keys: 0,
        }),
        ..RedisSettings::default()
    }
}
