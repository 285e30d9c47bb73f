//! Looks at the stores of a scenario as an operator would, before anything is played on them.
//!
//! In: a scenario. Out: an [`Examination`] for each provider block: what was found, why it matters
//! for sessions, and what to do. `providers` asks the servers (their `survey`); this room judges the
//! answers by what the scenario will demand, so that every judgement is a function from plain data
//! to findings. The surprising fact: nothing is stored to find out whether it could be; rights are
//! asked for, and where they cannot be, that is said.

pub mod demand;
pub mod finding;
mod inproc;
mod mongo;
mod redis;
mod server;
mod sql;
mod state_server;

pub use demand::Demand;
pub use finding::{Examination, Finding, Severity};

use crate::providers::{ConnectError, ProviderSettings, ServerInfo};
use crate::scenario::Scenario;
use serde::Serialize;

/// Version of the JSON output.
pub const SCHEMA_VERSION: u32 = 1;

/// What was found on all stores of a scenario.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Examinations {
    /// Version of this format.
    pub schema_version: u32,
    /// The scenario's name.
    pub scenario: String,
    /// Each provider block that the scenario uses.
    pub examinations: Vec<Examination>,
}

/// Examines every store that the scenario uses, one after the other.
///
/// # Errors
/// A provider's settings make no sense, or its server is not installed.
pub async fn examine(scenario: &Scenario) -> Result<Examinations, ConnectError> {
    let mut examinations = Vec::new();
    for (name, settings) in &scenario.providers {
        let demand = Demand::of(scenario, name);
        if demand.cd_servers == 0 {
            continue;
        }
        examinations.push(examine_one(name, settings, &demand).await?);
    }
    Ok(Examinations {
        schema_version: SCHEMA_VERSION,
        scenario: scenario.name.clone(),
        examinations,
    })
}

async fn examine_one(
    name: &str,
    settings: &ProviderSettings,
    demand: &Demand,
) -> Result<Examination, ConnectError> {
    let (server, reached, mut findings) = match look(settings, demand).await {
        Ok((server, findings)) => (server, true, findings),
        Err(ConnectError::Store(error)) => (None, false, vec![server::unreachable(&error)]),
        Err(error) => return Err(error),
    };
    // Stable: findings of one kind stay in the order in which they were looked for.
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    Ok(Examination {
        name: name.to_owned(),
        provider: settings.capabilities().name,
        server,
        reached,
        findings,
    })
}

/// Reaches a store and judges it.
async fn look(
    settings: &ProviderSettings,
    demand: &Demand,
) -> Result<(Option<ServerInfo>, Vec<Finding>), ConnectError> {
    match settings {
        ProviderSettings::RedisMicrosoft(_)
        | ProviderSettings::RedisKeyspace(_)
        | ProviderSettings::RedisSitecore(_)
        | ProviderSettings::RedisMarkers(_)
        | ProviderSettings::RedisIndex(_)
        | ProviderSettings::RedisDeadline(_) => redis::examine(settings, demand).await,
        ProviderSettings::SqlSitecore(_)
        | ProviderSettings::SqlAsync(_)
        | ProviderSettings::SqlUniversal(_) => sql::examine(settings, demand).await,
        ProviderSettings::MongoSitecore(settings) => mongo::examine(settings, demand).await,
        ProviderSettings::StateServer(settings) => state_server::examine(settings, demand).await,
        ProviderSettings::Inproc(_) => Ok((None, inproc::judge(demand))),
    }
}
