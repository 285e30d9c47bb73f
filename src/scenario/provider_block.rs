//! One provider block that stands in no file: put together from words, read as a scenario's would be.
//!
//! In: a provider's name, its settings as they would stand in YAML, and its server. Out: the
//! settings, or every problem with its place in the block. The surprising fact: problems are looked
//! for in a copy without the server, which may hold a secret and is thus in no text that is shown.

use super::load::decode;
use super::problem::{Problem, Problems};
use super::source::Document;
use super::variables::environment;
use super::{schema, structure};
use crate::providers::ProviderSettings;
use schemars::JsonSchema;
use serde::Deserialize;
use std::fmt::Write as _;

/// What the block stands in.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Block {
    /// A provider with its settings.
    provider: ProviderSettings,
}

/// Reads a provider block. A setting's value is YAML on one line.
///
/// # Errors
/// Every problem of the block, without the server.
pub fn provider(
    name: &str,
    settings: &[(String, String)],
    server: Option<&str>,
) -> Result<ProviderSettings, Problems> {
    let shown = written(name, settings, server.map(|_| "…"));
    let refuse = |problems| Err(Problems::new("the provider", &shown, problems));
    if let Some((key, _)) = settings
        .iter()
        .find(|(_, value)| value.contains(['\n', '\r']))
    {
        return refuse(vec![Problem::error(format!("`{key}` spans lines"))]);
    }
    let mut document = match Document::read(&shown, &environment) {
        Ok(document) => document,
        Err(problem) => return refuse(vec![problem]),
    };
    let mut problems = std::mem::take(&mut document.problems);
    problems.extend(structure::check(&document, &schema::of::<Block>()));
    if !problems.is_empty() {
        return refuse(problems);
    }
    let whole = Document::read(&written(name, settings, server), &environment);
    match whole.ok().and_then(|whole| decode::<Block>(&whole).ok()) {
        Some(block) => Ok(block.provider),
        None => refuse(vec![Problem::error("the server is no connection string")]),
    }
}

/// The block as YAML.
fn written(name: &str, settings: &[(String, String)], server: Option<&str>) -> String {
    // What is quoted as JSON is quoted as YAML.
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let mut text = format!("provider:\n  {}:", quoted(name));
    if settings.is_empty() && server.is_none() {
        text.push_str(" {}");
    }
    text.push('\n');
    for (key, value) in settings {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "    {}: {value}", quoted(key));
    }
    if let Some(server) = server {
        let _ = writeln!(text, "    server: {}", quoted(server));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::redis::settings::{RedisServer, RedisSitecore};

    fn setting(key: &str, value: &str) -> Vec<(String, String)> {
        vec![(key.to_owned(), value.to_owned())]
    }

    #[test]
    fn a_name_alone_is_a_provider_with_its_defaults() {
        let settings = provider("redis_sitecore", &[], None).unwrap();
        assert_eq!(
            settings,
            ProviderSettings::RedisSitecore(RedisSitecore::default())
        );
    }

    #[test]
    fn settings_and_server_are_read_as_in_a_scenario() {
        let settings = setting(
            "processing",
            "{ queued: { SessionExpirationThreadCount: 2 } }",
        );
        let server = "db.example:6379,password=\"a: b\"";
        let read = provider("redis_sitecore", &settings, Some(server)).unwrap();
        let ProviderSettings::RedisSitecore(read) = read else {
            panic!("{read:?}");
        };
        assert_eq!(
            read.redis.server,
            RedisServer::ConnectionString(server.to_owned())
        );
        assert_ne!(read.processing, RedisSitecore::default().processing);
    }

    #[test]
    fn a_misspelt_setting_is_told_with_the_nearest_one_and_without_the_server() {
        let settings = setting("pollingIntervall", "2");
        let problems = provider("redis_sitecore", &settings, Some("h:1,secret")).unwrap_err();
        let told = problems.to_string();
        assert!(told.contains("unknown key `pollingIntervall`"), "{told}");
        assert!(told.contains("`pollingInterval`"), "{told}");
        assert!(!told.contains("secret"), "{told}");
    }

    #[test]
    fn a_misspelt_provider_is_told_with_the_nearest_one() {
        let told = provider("redis_sitcore", &[], None)
            .unwrap_err()
            .to_string();
        assert!(told.contains("redis_sitecore"), "{told}");
    }

    #[test]
    fn a_value_cannot_smuggle_a_second_setting_in() {
        let settings = setting("compression", "true\n    databaseId: 3");
        assert!(provider("redis_sitecore", &settings, None).is_err());
    }

    #[test]
    fn a_store_in_process_has_no_server() {
        let told = provider("inproc", &[], Some("h:1"))
            .unwrap_err()
            .to_string();
        assert!(told.contains("unknown key `server`"), "{told}");
    }
}
