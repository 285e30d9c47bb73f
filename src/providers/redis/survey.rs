//! What a Redis server says of itself to somebody who plans to keep sessions in it.
//!
//! In: a provider's settings. Out: for each master, plain data: round trips and clock, INFO, the
//! settings, the state of its cluster, and what the user may do. Only questions are asked; nothing
//! is stored, changed or deleted, and no key is looked at. The surprising fact: since Redis 7 the
//! rights of a user can be asked for (`ACL DRYRUN`), but only by one who has many; who may do little
//! is not told what.

use super::address::Address;
use super::admin::{Admin, Info};
use super::failure::Failure;
use super::layout::Layout;
use super::script::{self, Script};
use super::server::Server;
use super::{deadline, introduced, named, notifications, tell};
use crate::providers::pulse::Pulse;
use crate::providers::{ConnectError, ProviderSettings, ServerInfo};
use crate::session::StoreError;
use redis::cmd;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A server, or several, that were reached.
pub struct Surveyed {
    /// What they are together.
    pub server: ServerInfo,
    /// Whether they are a cluster.
    pub is_cluster: bool,
    /// Each master.
    pub masters: Vec<Survey>,
}

/// What one master says.
#[derive(Debug, Clone, PartialEq)]
pub struct Survey {
    /// Where it listens.
    pub at: Address,
    /// How quickly it answers, and its clock.
    pub pulse: Pulse,
    /// INFO.
    pub info: Info,
    /// Its settings; `None` where CONFIG is not allowed.
    pub config: Option<BTreeMap<String, String>>,
    /// CLUSTER INFO; `None` outside a cluster.
    pub cluster: Option<Info>,
    /// What the user may do.
    pub rights: Rights,
}

/// What the user may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rights {
    /// The server does not tell.
    Untold,
    /// These commands are refused to it, of those that the provider sends.
    Refused(Vec<String>),
}

/// Reaches the server of a provider, or starts a managed one, which is stopped when this is done.
///
/// # Errors
/// See [`ConnectError`].
pub async fn survey(settings: &ProviderSettings) -> Result<Surveyed, ConnectError> {
    let (redis, application) = named(settings, "")?;
    let mut server = Server::bring_in(redis, notifications(settings)).await?;
    // A refusal is an answer here.
    server.limits.retry = Duration::ZERO;
    let admin = Admin::new(server.own_connection(), application);
    if let Err(failure) = server.find(admin.connections().topology()).await {
        return Err(match failure {
            Failure::Unusable(why) => ConnectError::Settings(why),
            failure => failure.into_connect_error(server.limits.connect),
        });
    }
    let info = tell(&server, &admin).await?;
    let is_cluster = admin.connections().topology().is_cluster();
    let mut masters = Vec::new();
    for at in admin.masters().await? {
        masters.push(ask(&admin, settings, at, is_cluster).await?);
    }
    Ok(Surveyed {
        server: introduced(info, &server),
        is_cluster,
        masters,
    })
}

async fn ask(
    admin: &Admin,
    settings: &ProviderSettings,
    at: Address,
    is_cluster: bool,
) -> Result<Survey, StoreError> {
    let ping = async || admin.ask::<String>(&at, &cmd("PING")).await.map(drop);
    let time = async || match admin.ask::<(f64, f64)>(&at, &cmd("TIME")).await {
        Ok((seconds, micros)) => Ok(Some(seconds + micros / 1e6)),
        Err(StoreError::Refused(_)) => Ok(None),
        Err(error) => Err(error),
    };
    let pulse = Pulse::take(ping).await?.with_clock(time).await?;
    let info: String = admin.ask(&at, &cmd("INFO")).await?;
    let cluster = match is_cluster {
        true => admin
            .ask::<String>(&at, cmd("CLUSTER").arg("INFO"))
            .await
            .ok(),
        false => None,
    };
    Ok(Survey {
        pulse,
        info: Info::read(&info),
        config: admin.config(&at).await,
        cluster: cluster.as_deref().map(Info::read),
        rights: rights(admin, settings, &at).await,
        at,
    })
}

/// Asks which of the provider's commands the user may not send.
async fn rights(admin: &Admin, settings: &ProviderSettings, at: &Address) -> Rights {
    let asked = admin.ask::<String>(at, cmd("ACL").arg("WHOAMI")).await;
    let Ok(user) = asked else {
        return Rights::Untold;
    };
    let mut refused = Vec::new();
    for command in commands(settings) {
        match may_send(admin, at, &user, &command).await {
            None => return Rights::Untold,
            Some(true) => {}
            Some(false) => refused.push(command),
        }
    }
    Rights::Refused(refused)
}

/// Whether a user may send a command about a key of ours. How many arguments a command takes is
/// found by trying; nothing is carried out.
async fn may_send(admin: &Admin, at: &Address, user: &str, command: &str) -> Option<bool> {
    let key = admin.application().example();
    let key = key.as_str();
    let attempts: Vec<Vec<&str>> = match command {
        "EVAL" => vec![vec!["return 1", "1", key]],
        "EVALSHA" => vec![vec!["0000000000000000000000000000000000000000", "1", key]],
        "MEMORY" => vec![vec!["USAGE", key]],
        "SCAN" => vec![vec!["0"]],
        "PSUBSCRIBE" | "SUBSCRIBE" => vec![vec!["__keyspace@0__:*"]],
        // Whatever is taken for a key must be one of ours.
        _ => (0..=4).map(|count| vec![key; count]).collect(),
    };
    for arguments in attempts {
        let mut question = cmd("ACL");
        question.arg("DRYRUN").arg(user).arg(command).arg(arguments);
        match admin.ask::<String>(at, &question).await {
            Ok(answer) => return Some(answer == "OK"),
            Err(StoreError::Refused(why)) if why.contains("number of arg") => {}
            Err(_) => return None,
        }
    }
    None
}

/// Every command that a provider sends, in scripts or alone.
fn commands(settings: &ProviderSettings) -> BTreeSet<String> {
    let of_layout = |layout: Layout| layout.scripts().all().to_vec();
    let (scripts, more): (Vec<&Script>, &[&str]) = match settings {
        ProviderSettings::RedisMicrosoft(settings) => (of_layout(settings.version.into()), &[]),
        ProviderSettings::RedisKeyspace(_) => (
            of_layout(Layout::V5),
            &["SET", "GET", "DEL", "PSUBSCRIBE", "SUBSCRIBE"],
        ),
        ProviderSettings::RedisSitecore(settings) => {
            let compressed = settings.compression;
            let mut scripts = of_layout(Layout::Sitecore { compressed });
            scripts.extend([&*script::CLAIM_EXPIRED, &*script::UNCLAIM]);
            (scripts, &[])
        }
        ProviderSettings::RedisDeadline(_) => (deadline::scripts::all().to_vec(), &["SUBSCRIBE"]),
        _ => (Vec::new(), &[]),
    };
    // What samples and clean-up send.
    let always = [
        "EVAL", "EVALSHA", "INFO", "DBSIZE", "SCAN", "MEMORY", "UNLINK",
    ];
    let in_scripts = scripts.into_iter().flat_map(Script::commands);
    let all = in_scripts.chain(always).chain(more.iter().copied());
    all.map(str::to_ascii_uppercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::redis::settings::{RedisDeadline, RedisMicrosoft, RedisSitecore};

    #[test]
    fn the_commands_of_a_provider_are_those_of_its_scripts() {
        let microsoft = commands(&ProviderSettings::RedisMicrosoft(RedisMicrosoft::default()));
        for command in ["EVALSHA", "SETNX", "GET", "SET", "DEL", "EXPIRE", "EXISTS"] {
            assert!(microsoft.contains(command), "{command}: {microsoft:?}");
        }
        let sitecore = commands(&ProviderSettings::RedisSitecore(RedisSitecore::default()));
        assert!(sitecore.contains("ZADD") && !microsoft.contains("ZADD"));
        let deadline = commands(&ProviderSettings::RedisDeadline(RedisDeadline::default()));
        assert!(
            deadline.contains("HSET") && deadline.contains("TIME"),
            "{deadline:?}"
        );
    }
}
