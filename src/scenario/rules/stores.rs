//! Rules about which clusters may share the server behind a provider.

use super::{Findings, at};
use crate::providers::redis::settings::RedisServer;
use crate::scenario::path::Path;
use crate::scenario::problem::Label;
use crate::topology::settings::Role;
use std::collections::BTreeMap;

/// Checks which clusters share a store.
pub fn check(findings: &mut Findings<'_>) {
    one_database_each(findings);
    one_connection_under_compare(findings);
}

/// Each cluster has a session database of its own (seeds 001, 003).
fn one_database_each(findings: &mut Findings<'_>) {
    let scenario = findings.scenario;
    // The database of a provider, and which cluster uses it first, at which path.
    let mut users: BTreeMap<String, (&str, Path)> = BTreeMap::new();
    let mut told = None;
    for (cluster_name, cluster) in &scenario.clusters {
        let stores = [("private", &cluster.private), ("shared", &cluster.shared)];
        for (kind, provider) in stores {
            let Some(provider) = provider else { continue };
            let redis = scenario
                .providers
                .get(provider)
                .and_then(|settings| settings.redis());
            let Some(redis) = redis else { continue };
            let database = match &redis.server {
                RedisServer::Managed(_) => format!("provider {provider}"),
                RedisServer::ConnectionString(text) => {
                    let (database, application) = (redis.databaseId, &redis.applicationName);
                    format!("database {database} of {text} as {application}")
                }
            };
            let path = at(["clusters", cluster_name, kind]);
            let Some((first, first_path)) = users.get(&database) else {
                users.insert(database, (cluster_name, path));
                continue;
            };
            let pair = (*first, cluster_name);
            if *first == cluster_name || told.replace(pair) == Some(pair) {
                continue;
            }
            let first_span = findings.document.locate(first_path);
            let message = format!(
                "the clusters `{first}` and `{cluster_name}` share one session store, `{provider}`"
            );
            let problem = findings.unsupported(&path, message, "a cluster has its own");
            problem.labels.push(Label {
                span: first_span,
                text: "used here too".to_owned(),
            });
            problem.advise(
                "support matrix: one session database per cluster; add a second provider block",
            );
        }
    }
}

/// Under `compare` every CD cluster uses the same provider block. A managed server is started for
/// each; a server that already runs is one.
fn one_connection_under_compare(findings: &mut Findings<'_>) {
    let scenario = findings.scenario;
    let visited = scenario.clusters.values();
    let visited = visited.filter(|cluster| cluster.role == Role::ContentDelivery);
    if visited.count() < 2 {
        return;
    }
    for (index, contender) in scenario.compare.iter().enumerate() {
        let providers = [contender.private(), contender.shared()];
        let shared_server = providers.iter().find(|name| {
            let redis = scenario
                .providers
                .get(**name)
                .and_then(|settings| settings.redis());
            redis.is_some_and(|redis| matches!(redis.server, RedisServer::ConnectionString(_)))
        });
        if let Some(name) = shared_server {
            let message =
                format!("`{name}` is one server, and every CD cluster would use it in this run");
            findings
                .error(
                    &at(["compare"]).index(index),
                    message,
                    "one server, several clusters",
                )
                .advise("support matrix: one session database per cluster; use `server: managed`");
        }
    }
}
