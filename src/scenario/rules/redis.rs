//! Rules about Redis servers: what a scenario may set, and which connection strings make sense.

use super::stores::not_ours_to_set;
use super::{Findings, at};
use crate::providers::ProviderSettings;
use crate::providers::redis::connection_string::{ConnectionString, ConnectionStringError};
use crate::providers::redis::settings::{ManagedRedis, RedisServer, RedisSettings};
use crate::scenario::path::Path;
use crate::scenario::suggest;

/// Settings of redis.conf that the harness sets itself, so that a private server stays private.
const OURS: [&str; 11] = [
    "port",
    "bind",
    "save",
    "appendonly",
    "dir",
    "dbfilename",
    "daemonize",
    "pidfile",
    "unixsocket",
    "protected-mode",
    "include",
];

/// Checks every Redis provider.
pub fn check(findings: &mut Findings<'_>) {
    let scenario = findings.scenario;
    for (name, settings) in &scenario.providers {
        let Some(redis) = settings.redis() else {
            continue;
        };
        let path = at(["providers", name, settings.capabilities().name]);
        application_name(findings, &path, redis);
        match &redis.server {
            RedisServer::Managed(managed) => {
                redis_conf(findings, &path, managed);
                managed_cluster(findings, &path, settings, redis, managed);
                tls_files(findings, &path, redis, false);
            }
            RedisServer::ConnectionString(text) => {
                let ssl = connection_string(findings, &path.key("server"), text);
                tls_files(findings, &path, redis, ssl);
            }
        }
    }
}

/// Keys are matched by pattern (`{app}_*_Timeout`), so the name must not be one.
fn application_name(findings: &mut Findings<'_>, path: &Path, redis: &RedisSettings) {
    let name = &redis.applicationName;
    let plain = |c: char| !c.is_whitespace() && !c.is_control() && !"*?[]{}\\^\"'".contains(c);
    if name.is_empty() || !name.chars().all(plain) {
        findings
            .error(
                &path.key("applicationName"),
                format!("`{name}` cannot begin Redis keys"),
                "empty, or with a character that means something in key patterns",
            )
            .advise("use letters, digits, `-`, `_`, `.`, `:` and `/`");
    }
}

fn redis_conf(findings: &mut Findings<'_>, path: &Path, managed: &ManagedRedis) {
    let kept = "in memory, gone after the run";
    not_ours_to_set(findings, path, managed.config.keys(), &OURS, kept);
}

/// A cluster of ours: only for providers whose scripts stay within a session, and in database 0.
fn managed_cluster(
    findings: &mut Findings<'_>,
    path: &Path,
    settings: &ProviderSettings,
    redis: &RedisSettings,
    managed: &ManagedRedis,
) {
    let cluster = path.key("server").key("managed");
    if managed.cluster.is_none() {
        if managed.replicas > 0 {
            findings
                .error(
                    &cluster.key("replicas"),
                    "only a managed cluster has replicas",
                    "of no cluster",
                )
                .advise("say how many masters it has: `managed: { cluster: 3, replicas: 1 }`");
        }
        return;
    }
    if matches!(settings, ProviderSettings::RedisSitecore(_)) {
        findings
            .error(
                &cluster.key("cluster"),
                "redis_sitecore cannot run on a Redis Cluster",
                "each of its scripts changes a session and the one index of all sessions",
            )
            .advise("leave out `cluster`, or use another provider");
    }
    if redis.databaseId != 0 {
        findings
            .error(
                &path.key("databaseId"),
                "a Redis Cluster has no database but 0",
                "not there",
            )
            .advise("leave it out, and tell applications apart by `applicationName`");
    }
}

/// Whether the string asks for TLS, after looking at all of it.
fn connection_string(findings: &mut Findings<'_>, path: &Path, text: &str) -> bool {
    if suggest::nearest(text, ["managed"]).is_some() {
        findings
            .error(path, format!("`{text}` is no server"), "not known")
            .advise("did you mean `managed`?");
        return false;
    }
    const FORM: &str = "write it as StackExchange.Redis does: `localhost:6379,defaultDatabase=3`";
    if text.contains("://") {
        findings
            .error(
                path,
                "a connection string is no URL",
                "begins with a scheme",
            )
            .advise(FORM);
        return false;
    }
    match text.parse::<ConnectionString>() {
        Ok(found) => {
            for warning in found.warnings {
                // What looks like an option's name may be a piece of a variable's value.
                let warning = match findings.document.written(path) {
                    Some(_) => "an option of the connection string has no effect here".to_owned(),
                    None => warning,
                };
                findings
                    .warning(path, warning, "ignored")
                    .advise("leave it out; the run is played without it");
            }
            found.ssl
        }
        Err(error) => {
            let label = match error {
                ConnectionStringError::NoServer => "no host at its start",
                _ => "not readable",
            };
            findings.error(path, error.to_string(), label).advise(FORM);
            false
        }
    }
}

/// Files for TLS where there is no TLS, and half a pair of them.
fn tls_files(findings: &mut Findings<'_>, path: &Path, redis: &RedisSettings, ssl: bool) {
    let files = [
        ("ca_file", &redis.ca_file),
        ("client_certificate_file", &redis.client_certificate_file),
        ("client_key_file", &redis.client_key_file),
    ];
    for (key, file) in files {
        if file.is_some() && !ssl {
            findings
                .error(
                    &path.key(key),
                    format!("`{key}` has no effect without TLS"),
                    "not used",
                )
                .advise("add `ssl=true` to the connection string in `server`");
        }
    }
    let [_, (certificate, chain), (key, private)] = files;
    let (found, missing) = match (chain, private) {
        (Some(_), None) => (certificate, key),
        (None, Some(_)) => (key, certificate),
        _ => return,
    };
    findings
        .error(
            &path.key(found),
            format!("`{found}` needs `{missing}` beside it"),
            "half of a pair",
        )
        .advise("name both PEM files, or neither");
}
