//! Private store servers for scenarios that say `managed`: started for a run, gone after it.
//!
//! In: settings of the server. Out: its address, for as long as the value lives; dropping the value
//! stops it ([`process`]), on every way out on which Rust drops values. The state server is ours:
//! `state_server` has the server itself too.

pub mod postgres;
pub mod process;
pub mod redis;
pub mod redis_cluster;
pub mod state_server;

pub use postgres::PostgresServer;
pub use redis::RedisServer;
pub use redis_cluster::RedisCluster;
pub use state_server::StateServer;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A value of a server's setting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ConfigValue {
    /// A number.
    Number(i64),
    /// A word or several.
    Text(String),
}

/// Why a managed server is not there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// The program is not installed.
    #[error("{program} is not installed; {remedy}")]
    NotInstalled {
        /// The program.
        program: &'static str,
        /// The command that would bring it in.
        remedy: String,
    },
    /// A setting that the harness decides itself, or that cannot stand in a configuration file.
    #[error("`{name}` cannot be set for a managed server: {why}")]
    Setting {
        /// Name of the setting.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The program started and did not come up.
    #[error("{0}")]
    Failed(String),
}
