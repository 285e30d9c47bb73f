//! Rules about the servers behind providers: what a scenario may set, and which clusters may share.

use super::{Findings, at};
use crate::providers::ProviderSettings;
use crate::providers::mongo::settings::{self as mongo, MongoSitecore};
use crate::providers::redis::settings::RedisServer;
use crate::providers::sql::connection_string::{ConnectionString, Dialect};
use crate::providers::sql::settings::{
    DatabaseServer, RESERVED, SchemaOrigin, SqlAsync, SqlSettings, SqlSitecore,
};
use crate::providers::state_server::settings::{Address, AddressError, Server};
use crate::scenario::path::Path;
use crate::scenario::problem::{Label, Problem};
use crate::scenario::suggest;
use crate::topology::settings::Role;
use std::collections::BTreeMap;

/// Checks every state server, and which clusters share a store.
pub fn check(findings: &mut Findings<'_>) {
    let scenario = findings.scenario;
    for (name, settings) in &scenario.providers {
        let path = at(["providers", name, settings.capabilities().name]);
        if let ProviderSettings::SqlSitecore(sitecore) = settings {
            session_type(findings, &path, sitecore);
        }
        if let ProviderSettings::SqlAsync(settings) = settings {
            session_table(findings, &path, settings);
        }
        if let Some(sql) = settings.sql() {
            sql_database(findings, &path, sql);
        }
        state_server(findings, &path, name, settings);
        if let ProviderSettings::MongoSitecore(settings) = settings {
            mongo_server(findings, &path, settings);
        }
    }
    one_database_each(findings);
    one_connection_under_compare(findings);
}

/// Settings of a managed server that the harness decides.
pub fn not_ours_to_set<'a>(
    findings: &mut Findings<'_>,
    provider: &Path,
    keys: impl Iterator<Item = &'a String>,
    reserved: &[&str],
    kept: &str,
) {
    let path = provider.key("server").key("managed").key("config");
    for key in keys {
        let lower = key.to_lowercase();
        if !reserved.contains(&lower.as_str()) {
            continue;
        }
        let span = findings.document.locate_key(&path.key(key));
        findings.push(
            Problem::error(format!("`{key}` of a managed server is not yours to set"))
                .label(span, "set by the harness")
                .help(format!("the server is private: on loopback, {kept}")),
        );
    }
}

/// The database of a SQL provider, and whose tables it has.
fn sql_database(findings: &mut Findings<'_>, path: &Path, sql: &SqlSettings) {
    let server = path.key("server");
    match &sql.server {
        DatabaseServer::Managed(managed) => {
            let kept = "in a temporary directory, gone after the run";
            let keys = managed.config.keys();
            not_ours_to_set(findings, path, keys, &RESERVED, kept);
            if sql.schema == SchemaOrigin::Existing {
                findings
                    .error(
                        &path.key("schema"),
                        "a managed database has no tables yet",
                        "nothing exists there",
                    )
                    .advise("use `schema: create`, or name a session database under `server`");
            }
        }
        DatabaseServer::ConnectionString(text) => {
            if suggest::nearest(text, ["managed"]).is_some() {
                findings
                    .error(&server, format!("`{text}` is no server"), "not known")
                    .advise("did you mean `managed`?");
                return;
            }
            match text.parse::<ConnectionString>() {
                Ok(found) => {
                    for warning in found.warnings {
                        findings.warning(&server, warning, "in this connection string");
                    }
                }
                Err(error) => {
                    findings.error(&server, error.to_string(), "not a connection string");
                }
            }
        }
    }
    // The store adds a session's minutes to its clock itself.
    if sql.schema == SchemaOrigin::Existing && findings.scenario.time.scale != 1.0 {
        findings
            .error(
                &path.key("schema"),
                "procedures that exist already count in whole minutes, so `time.scale` must be 1",
                "not ours to scale",
            )
            .advise("leave `time.scale` out, or use `schema: create`");
    }
}

/// The application's name fits into its column with what the harness appends.
fn session_type(findings: &mut Findings<'_>, path: &Path, sitecore: &SqlSitecore) {
    let name = &sitecore.sessionType;
    if name.trim().is_empty() || name.chars().any(char::is_control) || name.chars().count() > 200 {
        findings
            .error(
                &path.key("sessionType"),
                "`sessionType` names the application",
                "empty, too long, or with control characters",
            )
            .advise("use up to 200 characters");
    }
}

/// The session table can be named in a statement, and its database has such tables.
fn session_table(findings: &mut Findings<'_>, path: &Path, settings: &SqlAsync) {
    if !settings.table_is_named_well() {
        findings
            .error(
                &path.key("sessionTableName"),
                "`sessionTableName` names a table",
                "empty, too long, or not plain",
            )
            .advise("use up to 100 letters, digits and underscores, without a schema");
    }
    let is_postgres = match &settings.sql.server {
        DatabaseServer::Managed(_) => true,
        DatabaseServer::ConnectionString(text) => text
            .parse::<ConnectionString>()
            .is_ok_and(|found| found.dialect == Dialect::Postgres),
    };
    if settings.is_in_memory() && is_postgres {
        findings
            .error(
                &path.key("repositoryType"),
                "PostgreSQL has no memory-optimised tables",
                "needs SQL Server",
            )
            .advise("name a SQL Server under `server`, or another `repositoryType`");
    }
}

/// A state server that is named counts real minutes.
fn state_server(findings: &mut Findings<'_>, path: &Path, name: &str, settings: &ProviderSettings) {
    let ProviderSettings::StateServer(settings) = settings else {
        return;
    };
    if settings.stateNetworkTimeout.duration().is_zero() {
        findings
            .error(
                &path.key("stateNetworkTimeout"),
                "a request that may take no time never succeeds",
                "no time at all",
            )
            .advise("the genuine default is 10s");
    }
    let plain = |c: char| !c.is_control();
    if settings.application_id.trim_matches('/').is_empty()
        || !settings.application_id.chars().all(plain)
    {
        findings
            .error(
                &path.key("application_id"),
                "an application needs an id, without control characters",
                "names no application",
            )
            .advise("IIS calls its first site `/LM/W3SVC/1/ROOT`");
    }
    let Server::ConnectionString(text) = &settings.server else {
        return;
    };
    let parsed: Result<Address, AddressError> = text.parse();
    if let Err(error) = parsed {
        findings
            .error(&path.key("server"), error.to_string(), "not understood")
            .advise("`server: managed` starts one for the run");
    } else if findings.scenario.time.scale != 1.0 {
        findings
            .error(
                &at(["time", "scale"]),
                format!("the state server of `{name}` counts real minutes, whatever the scale"),
                "its sessions would outlive the run's",
            )
            .advise("use `scale: 1`, or `server: managed`, whose minutes the harness sets");
    }
}

/// The server that several clusters would share, and what it is called in it; `None` where each
/// cluster has its own by itself.
fn database(name: &str, settings: &ProviderSettings) -> Option<String> {
    if let ProviderSettings::StateServer(settings) = settings {
        return Some(match &settings.server {
            Server::Managed => format!("provider {name}"),
            Server::ConnectionString(text) => format!("{text} as {}", settings.application_id),
        });
    }
    if let Some(sql) = settings.sql() {
        return Some(match &sql.server {
            DatabaseServer::Managed(_) => format!("provider {name}"),
            DatabaseServer::ConnectionString(text) => format!("the database {text}"),
        });
    }
    if let ProviderSettings::MongoSitecore(settings) = settings {
        return Some(format!("{} as {}", settings.server, settings.sessionType));
    }
    let redis = settings.redis()?;
    Some(match &redis.server {
        RedisServer::Managed(_) => format!("provider {name}"),
        RedisServer::ConnectionString(text) => {
            let (database, application) = (redis.databaseId, &redis.applicationName);
            format!("database {database} of {text} as {application}")
        }
    })
}

/// Whether a provider uses a server that runs already.
fn named_server(settings: &ProviderSettings) -> bool {
    match settings {
        ProviderSettings::StateServer(settings) => settings.server != Server::Managed,
        ProviderSettings::MongoSitecore(_) => true,
        _ => {
            let redis = settings.redis().map(|redis| &redis.server);
            let sql = settings.sql().map(|sql| &sql.server);
            matches!(redis, Some(RedisServer::ConnectionString(_)))
                || matches!(sql, Some(DatabaseServer::ConnectionString(_)))
        }
    }
}

/// There is no managed MongoDB server, and the connection string must be the driver's.
fn mongo_server(findings: &mut Findings<'_>, path: &Path, settings: &MongoSitecore) {
    if let Err(bad) = mongo::read(&settings.server) {
        findings
            .error(&path.key("server"), bad.message, "cannot be used")
            .advise(bad.help);
    }
    let plain = |c: char| !c.is_control() && c != '{' && c != '}';
    if settings.sessionType.is_empty() || !settings.sessionType.chars().all(plain) {
        findings
            .error(
                &path.key("sessionType"),
                format!("`{}` is no name of an application", settings.sessionType),
                "empty, or with braces or control characters",
            )
            .advise("use letters, digits, `-`, `_`, `.`, `:` and `/`");
    }
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
            let settings = scenario.providers.get(provider);
            let database = settings.and_then(|settings| database(provider, settings));
            let Some(database) = database else { continue };
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
            let settings = scenario.providers.get(**name);
            settings.is_some_and(named_server)
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
