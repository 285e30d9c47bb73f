//! A private Redis Cluster: several redis-servers on loopback that know each other.
//!
//! In: settings of redis.conf for all of them, and how many. Out: the processes, once every node says
//! that the cluster is whole. The surprising fact: nodes that meet without an epoch of their own may
//! end up with the same one and argue about it for a while, so each is given one before.

use super::{ConfigValue, RedisServer, StartError};
use crate::clock;
use redis::aio::MultiplexedConnection;
use redis::{Cmd, FromRedisValue, cmd};
use std::collections::BTreeMap;
use std::time::Duration;

/// Slots of every Redis Cluster.
const SLOTS: u32 = 16384;
/// How long the nodes may take to know each other.
const MEET_LIMIT: Duration = Duration::from_secs(30);
/// Wait between two looks at what they know.
const MEET_PROBE: Duration = Duration::from_millis(20);

/// A cluster of ours. Dropping it kills its servers.
#[derive(Debug)]
pub struct RedisCluster {
    /// The masters, then their replicas.
    nodes: Vec<RedisServer>,
}

impl RedisCluster {
    /// Starts so many masters, which share the slots evenly, each with so many replicas.
    ///
    /// # Errors
    /// See [`StartError`]; nothing is left running then.
    pub async fn start(
        config: &BTreeMap<String, ConfigValue>,
        masters: u32,
        replicas: u32,
    ) -> Result<Self, StartError> {
        let masters = masters.max(1);
        let mut nodes = Vec::new();
        for _ in 0..masters * (1 + replicas) {
            nodes.push(RedisServer::start_node(config).await?);
        }
        let cluster = Self { nodes };
        cluster.form(masters).await?;
        Ok(cluster)
    }

    /// The servers: the masters, then their replicas.
    #[must_use]
    pub fn nodes(&self) -> &[RedisServer] {
        &self.nodes
    }

    /// The servers alone.
    #[must_use]
    pub fn into_nodes(self) -> Vec<RedisServer> {
        self.nodes
    }

    async fn form(&self, masters: u32) -> Result<(), StartError> {
        let mut nodes = Vec::new();
        for server in &self.nodes {
            nodes.push(Node::reach(server.port()).await?);
        }
        let count = masters as usize;
        for (epoch, node) in (1u32..).zip(&mut nodes) {
            node.tell("SET-CONFIG-EPOCH", &[epoch.to_string()]).await?;
        }
        for (number, node) in (0..masters).zip(&mut nodes) {
            let slots = SLOTS * number / masters..SLOTS * (number + 1) / masters;
            let slots: Vec<_> = slots.map(|slot| slot.to_string()).collect();
            node.tell("ADDSLOTS", &slots).await?;
        }
        let first = self.nodes.first().map(RedisServer::port);
        for node in nodes.iter_mut().skip(1) {
            let place = [
                "127.0.0.1".to_owned(),
                first.unwrap_or_default().to_string(),
            ];
            node.tell("MEET", &place).await?;
        }
        let known = format!("cluster_known_nodes:{}\r\n", self.nodes.len());
        for node in &mut nodes {
            node.until(&[&known]).await?;
        }
        let mut ids = Vec::new();
        for node in &mut nodes[..count] {
            ids.push(node.ask::<String>(cmd("CLUSTER").arg("MYID")).await?);
        }
        for (number, node) in nodes.iter_mut().skip(count).enumerate() {
            let master = ids[number % count].clone();
            node.tell("REPLICATE", &[master]).await?;
        }
        for node in &mut nodes {
            let size = format!("cluster_size:{masters}\r\n");
            node.until(&["cluster_state:ok\r\n", &known, &size]).await?;
        }
        // A master votes for a replica only when it knows it as one of the master's that failed.
        let replicas = self.nodes.len() - count;
        for node in &mut nodes {
            let known =
                |told: &str| told.matches(" slave ").count() + told.matches(",slave ").count();
            node.until_in(cmd("CLUSTER").arg("NODES"), |told| known(told) == replicas)
                .await?;
        }
        self.replicas_follow(&mut nodes[count..]).await
    }

    /// Waits until every replica has its master's data, so that it can take over.
    async fn replicas_follow(&self, replicas: &mut [Node]) -> Result<(), StartError> {
        for replica in replicas {
            let mut info = cmd("INFO");
            info.arg("replication");
            replica
                .until_in(&info, |told| told.contains("master_link_status:up"))
                .await?;
        }
        Ok(())
    }
}

/// A connection to one node.
struct Node(MultiplexedConnection);

impl Node {
    async fn reach(port: u16) -> Result<Self, StartError> {
        let config = redis::AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None);
        let client = redis::Client::open(("127.0.0.1", port)).map_err(failed)?;
        let made = client.get_multiplexed_async_connection_with_config(&config);
        Ok(Self(made.await.map_err(failed)?))
    }

    async fn ask<T: FromRedisValue>(&mut self, command: &Cmd) -> Result<T, StartError> {
        command.query_async(&mut self.0).await.map_err(failed)
    }

    async fn tell(&mut self, what: &str, words: &[String]) -> Result<(), StartError> {
        self.ask(cmd("CLUSTER").arg(what).arg(words)).await
    }

    /// Waits until `CLUSTER INFO` says all of these.
    async fn until(&mut self, lines: &[&str]) -> Result<(), StartError> {
        let all = |told: &str| lines.iter().all(|line| told.contains(line));
        self.until_in(cmd("CLUSTER").arg("INFO"), all).await
    }

    /// Waits until the answer to a command says so.
    async fn until_in(
        &mut self,
        command: &Cmd,
        says: impl Fn(&str) -> bool,
    ) -> Result<(), StartError> {
        let deadline = clock::now() + MEET_LIMIT;
        loop {
            let told: String = self.ask(command).await?;
            if says(&told) {
                return Ok(());
            }
            if clock::now() >= deadline {
                return Err(StartError::Failed(format!(
                    "the nodes of the cluster did not find each other within {} s",
                    MEET_LIMIT.as_secs()
                )));
            }
            clock::sleep(MEET_PROBE).await;
        }
    }
}

fn failed(error: redis::RedisError) -> StartError {
    StartError::Failed(format!("the cluster: {error}"))
}
