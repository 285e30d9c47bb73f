//! `sessionbench import`: real-looking configurations and the scenarios that they become.
//!
//! `tests/imports/*/scenario.yaml` are the scenarios of the configurations beside them. After a
//! change on purpose, write them anew with `UPDATE_GOLDEN=1 cargo test --test imports`, and read the
//! difference.

#![allow(clippy::unwrap_used, reason = "a test that fails is to panic")]

use proptest::prelude::*;
use sessionbench::import::{self, Files};
use sessionbench::providers::ProviderSettings;
use sessionbench::scenario::{self, Loaded, Problems};
use sessionbench::session::Minutes;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

fn folder(case: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/imports")
        .join(case)
}

fn cases() -> Vec<String> {
    let entries = fs::read_dir(folder("")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    assert!(names.len() >= 9, "the configurations are gone");
    names
}

/// The files of a case: Sitecore's own file before those that change it.
fn files(folder: &Path) -> Files {
    let there = |name: &str| Some(folder.join(name)).filter(|file| file.exists());
    let own = there("Sitecore.Analytics.Tracking.config");
    let changes = ["Redis", "Sql", "Mongo"].map(|name| there(&format!("Shared.{name}.config")));
    Files {
        web_config: folder.join("Web.config"),
        connection_strings: there("ConnectionStrings.config"),
        sitecore: [own].into_iter().chain(changes).flatten().collect(),
        ..Files::default()
    }
}

fn imported(case: &str) -> String {
    import::import(&files(&folder(case)), case).unwrap_or_else(|error| panic!("{case}: {error}"))
}

/// The loader's judgement, with something in place of each secret.
fn judged(text: &str) -> Result<Loaded, Problems> {
    scenario::parse_with("imported.yaml", text, &|_| Some("not-a-secret".to_owned()))
}

fn loaded(case: &str) -> Loaded {
    judged(&imported(case)).unwrap_or_else(|problems| panic!("{problems}"))
}

#[test]
fn every_configuration_becomes_its_golden_scenario() {
    for case in cases() {
        let golden = folder(&case).join("scenario.yaml");
        let text = imported(&case);
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&golden, &text).unwrap();
        }
        assert_eq!(
            text,
            fs::read_to_string(&golden).unwrap_or_default(),
            "{case}"
        );
    }
}

/// Cases that cannot be played yet, and why.
const NOT_YET: [(&str, &str); 1] = [("sql_async", "Integrated Security")];

#[test]
fn every_scenario_can_be_played_but_for_those_that_cannot_yet() {
    for case in cases() {
        let not_yet = NOT_YET.iter().find(|(name, _)| *name == case);
        match (not_yet, judged(&imported(&case))) {
            (None, Ok(_)) => {}
            (None, Err(problems)) => panic!("{case}: {problems}"),
            (Some(_), Ok(_)) => panic!("{case} can be played now; strike it off the list"),
            (Some((_, why)), Err(problems)) => {
                let problems = problems.list();
                assert!(
                    problems.iter().all(|it| it.message.contains(why)),
                    "{case}: {problems:?}"
                );
            }
        }
    }
}

#[test]
fn the_settings_of_both_redis_providers_go_over() {
    let scenario = loaded("sitecore_redis").scenario;
    let settings = |name: &str| match &scenario.providers[name] {
        ProviderSettings::RedisSitecore(settings) => settings,
        other => panic!("{other:?}"),
    };
    let (private, shared) = (settings("private"), settings("shared"));
    assert_eq!(private.redis.applicationName, "private");
    assert_eq!(private.redis.connectionTimeoutInMilliseconds, 10_000);
    assert!(private.compression && !private.removeExpiredItemOnlyAfterSessionEndExecution);
    // From the include file, where `patch:attribute` overrides an attribute of the same element.
    assert_eq!(shared.pollingInterval, 5);
    assert!(shared.removeExpiredItemOnlyAfterSessionEndExecution);
    let server = format!("{:?}", shared.redis.server);
    assert!(server.contains("redis.example.com:6379,password=not-a-secret,defaultDatabase=1"));
}

#[test]
fn timeouts_and_limits_go_over() {
    let scenario = loaded("sitecore_redis").scenario;
    assert_eq!(scenario.module.execution_timeout.to_string(), "2min");
    assert_eq!(scenario.module.queue_limit, 100);
    assert_eq!(scenario.module.shared_lock_max_age.to_string(), "8s");
    let private = sessionbench::session::StoreKind::Private;
    assert_eq!(scenario.timeout(private), Minutes(20));
}

#[test]
fn no_secret_of_a_configuration_is_in_its_scenario() {
    for case in cases() {
        assert!(!imported(&case).contains("not-a-secret"), "{case}");
    }
}

/// A configuration of one Web.config.
struct Configuration(TempDir);

impl Configuration {
    fn new(inside: &str) -> Self {
        let directory = TempDir::new().unwrap();
        let text = format!("<configuration>\n{inside}\n</configuration>");
        fs::write(directory.path().join("Web.config"), text).unwrap();
        Self(directory)
    }

    fn import(&self) -> Result<String, String> {
        let imported = import::import(&files(self.0.path()), "x");
        imported.map_err(|error| {
            let folder = format!("{}/", self.0.path().display());
            error.to_string().replace(&folder, "")
        })
    }
}

/// What a Web.config's `<sessionState>` becomes.
fn of(session_state: &str) -> Result<String, String> {
    Configuration::new(&format!("<system.web>{session_state}</system.web>")).import()
}

/// A section with one custom provider.
fn custom(class: &str, attributes: &str) -> String {
    format!(
        "<sessionState mode='Custom' customProvider='p'><providers>\
         <add name='p' type='{class}' {attributes}/></providers></sessionState>"
    )
}

const MICROSOFT: &str = "Microsoft.Web.Redis.RedisSessionStateProvider";

#[test]
fn a_configuration_without_session_state_is_in_process() {
    let text = Configuration::new("").import().unwrap();
    assert!(text.contains("ASP.NET's default is in process"), "{text}");
    let loaded = judged(&text).unwrap_or_else(|problems| panic!("{problems}"));
    assert!(matches!(
        loaded.scenario.providers["sessions"],
        ProviderSettings::Inproc(_)
    ));
}

#[test]
fn what_cannot_be_imported_says_where_and_what_to_do() {
    let section = "<system.web><sessionState configSource='s.config'/></system.web>";
    let encrypted = "<system.web><sessionState configProtectionProvider='P'>\
                     <EncryptedData/></sessionState></system.web>";
    for (inside, told) in [
        ("<a></b>", "Web.config:2: this is not well-formed XML"),
        (
            section,
            "Web.config:2: <sessionState> stands in a file of its own; name it with `--session-state <file>`",
        ),
        (encrypted, "<sessionState> is encrypted"),
    ] {
        let error = Configuration::new(inside).import().unwrap_err();
        assert!(error.contains(told), "{error}");
    }
    for (section, told) in [
        ("<sessionState mode='Of'/>", "`mode` should be InProc"),
        ("<sessionState mode='Off'/>", "switched off"),
        (
            "<sessionState timeout='long'/>",
            "`timeout` should be a whole number from 1 to 525600",
        ),
        (
            "<sessionState mode='Custom' customProvider='q'/>",
            "there is no provider `q`",
        ),
        (
            &custom("Shop.Sessions, Shop", ""),
            "`Shop.Sessions`, which sessionbench does not play",
        ),
        (
            &custom(MICROSOFT, "connectionString='redis'"),
            "`--connection-strings <file>`",
        ),
        (
            &custom(MICROSOFT, "host='a b'"),
            "`host` names a server that is no `host:port`",
        ),
        (
            &custom(MICROSOFT, "databaseId='16'"),
            "`databaseId` should be a whole number from 0 to 15",
        ),
    ] {
        let error = of(section).unwrap_err();
        assert!(error.starts_with("Web.config:2: "), "{error}");
        assert!(error.contains(told), "{error}");
    }
}

#[test]
fn a_section_in_a_file_of_its_own_is_asked_for_only_when_something_refers_to_it() {
    let elsewhere = "<connectionStrings configSource='c.config'/>";
    let with = |section: &str| {
        let inside = format!("{elsewhere}<system.web>{section}</system.web>");
        Configuration::new(&inside).import()
    };
    assert!(with("<sessionState/>").is_ok());
    assert!(
        with(&custom(
            MICROSOFT,
            "connectionString='redis.example.com:6379'"
        ))
        .is_ok()
    );
    let error = with(&custom(MICROSOFT, "connectionString='redis'")).unwrap_err();
    assert!(
        error.contains("<connectionStrings> stands in a file of its own"),
        "{error}"
    );
}

#[test]
fn an_application_setting_that_cannot_be_looked_up_is_asked_for() {
    let with = |attributes: &str| {
        let section = custom(MICROSOFT, attributes);
        let inside =
            format!("<appSettings configSource='a.config'/><system.web>{section}</system.web>");
        Configuration::new(&inside).import()
    };
    for attributes in ["host='MyHost'", "connectionString='MyRedis'"] {
        let error = with(attributes).unwrap_err();
        assert!(
            error.contains("name it with `--app-settings <file>`"),
            "{error}"
        );
    }
    let text = with("host='redis.example.com'").unwrap();
    assert!(
        text.contains("What application settings say is missing"),
        "{text}"
    );
}

#[test]
fn sections_in_files_of_their_own_are_read_from_there() {
    let configuration = Configuration::new(
        "<appSettings file='a.config'><add key='Port' value='1'/><add key='Host' value='a'/></appSettings>\
         <system.web><sessionState configSource='s.config'/></system.web>",
    );
    let folder = configuration.0.path();
    let write = |name: &str, text: &str| {
        fs::write(folder.join(name), text).unwrap();
        Some(folder.join(name))
    };
    let section = custom(MICROSOFT, "host='Host' port='Port' ssl='false'");
    let files = Files {
        session_state: write("s.config", &section),
        app_settings: write(
            "a.config",
            "<appSettings><add key='Port' value='7000'/></appSettings>",
        ),
        ..files(folder)
    };
    let text = import::import(&files, "x").unwrap();
    assert!(text.contains("server: \"a:7000\""), "{text}");
}

#[test]
fn tls_is_what_the_code_of_the_redis_provider_takes_without_ssl() {
    let text = of(&custom(MICROSOFT, "host='redis.example.com'")).unwrap();
    assert!(
        text.contains("server: \"redis.example.com,ssl=true\""),
        "{text}"
    );
    assert!(text.contains("`ssl` is not given"), "{text}");
}

#[test]
fn a_connection_string_that_code_makes_becomes_a_variable() {
    let attributes = "settingsClassName='Shop.Redis' settingsMethodName='Connection'";
    let text = of(&custom(MICROSOFT, attributes)).unwrap();
    assert!(text.contains("server: \"${PRIVATE_P_SERVER}\""), "{text}");
    assert!(text.contains("`Shop.Redis.Connection` makes"), "{text}");
}

#[test]
fn text_that_looks_like_a_variable_is_none() {
    let attributes = "host='localhost' ssl='false' applicationName='a-$${b}'";
    let escaped = of(&custom(
        "Sitecore.SessionProvider.Redis.RedisSessionStateProvider",
        attributes,
    ));
    // The key pattern's own braces are refused; the remark says so.
    assert!(
        escaped
            .unwrap()
            .contains("`applicationName` has characters")
    );
    let universal =
        "<connectionStrings><add name='c' connectionString='Server=s'/></connectionStrings>";
    let section = custom(
        "System.Web.Providers.DefaultSessionStateProvider",
        "connectionStringName='c' applicationName='${b}'",
    );
    let text = Configuration::new(&format!("{universal}<system.web>{section}</system.web>"));
    let text = text.import().unwrap();
    assert!(text.contains("applicationName: \"$${b}\""), "{text}");
}

#[test]
fn the_command_prints_a_scenario_that_check_accepts() {
    let case = folder("sitecore_redis");
    let sessionbench = || Command::new(env!("CARGO_BIN_EXE_sessionbench"));
    let imported = sessionbench()
        .arg("import")
        .arg(case.join("Web.config"))
        .arg("--connection-strings")
        .arg(case.join("ConnectionStrings.config"))
        .arg("--sitecore")
        .arg(case.join("Sitecore.Analytics.Tracking.config"))
        .arg(case.join("Shared.Redis.config"))
        .args(["--name", "my_site"])
        .output()
        .unwrap();
    assert!(imported.status.success(), "{imported:?}");
    let directory = TempDir::new().unwrap();
    let scenario = directory.path().join("scenario.yaml");
    fs::write(&scenario, imported.stdout).unwrap();
    let check = |secret: Option<&str>| {
        let mut command = sessionbench();
        for name in ["SESSION_PASSWORD", "SHARED_SESSION_PASSWORD"] {
            command.env_remove(name);
            secret.map(|secret| command.env(name, secret));
        }
        command.arg("check").arg(&scenario).output().unwrap()
    };
    let without = check(None);
    assert_eq!(without.status.code(), Some(2));
    let told = String::from_utf8(without.stderr).unwrap();
    assert!(
        told.contains("the environment variable `SESSION_PASSWORD` is not set"),
        "{told}"
    );
    let with = check(Some("hunter2"));
    let told = String::from_utf8([with.stdout, with.stderr].concat()).unwrap();
    assert!(
        with.status.success() && told.contains("my_site: 1 run"),
        "{told}"
    );
    assert!(!told.contains("hunter2"), "{told}");
}

#[test]
fn a_file_that_is_not_there_exits_with_2_and_is_named() {
    let output = Command::new(env!("CARGO_BIN_EXE_sessionbench"))
        .args(["import", "nowhere.config"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(
        told.starts_with("error: cannot read nowhere.config: "),
        "{told}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn wherever_a_secret_stands_it_is_told_nowhere(
        inner in "[a-zA-Z0-9!#$%&*+/:;<>?@^_{|}~. '\"=-]{0,20}",
        class in 0..6usize,
        more in "[a-zA-Z0-9=;:/?@ -]{0,12}",
    ) {
        // Letters that stand nowhere else, at both ends of what a reader could stop at.
        let secret = format!("Q7Q{inner}Q7Q");
        let quoted = secret.replace('\'', "''");
        let redis = format!("h:1,password={secret},{more}");
        let (class, string, attributes) = match class {
            0 => (MICROSOFT, redis, "connectionString='c'"),
            1 => ("Sitecore.SessionProvider.Redis.RedisSessionStateProvider", redis, "connectionString='c'"),
            2 => ("Sitecore.SessionProvider.Sql.SqlSessionStateProvider", format!("Server=h;pwd='{quoted}';{more}"), "connectionStringName='c'"),
            3 => ("System.Web.Providers.DefaultSessionStateProvider", format!("{more};Password='{quoted}';Server=h"), "connectionStringName='c'"),
            4 => ("Sitecore.SessionProvider.MongoDB.MongoSessionStateProvider", format!("mongodb://u:{secret}@h/d?{more}"), "connectionStringName='c'"),
            _ => (MICROSOFT, secret.clone(), "host='h' accessKey='c'"),
        };
        let escaped = string.replace('&', "&amp;").replace('<', "&lt;").replace('\'', "&apos;");
        let inside = format!(
            "<connectionStrings><add name='c' connectionString='{escaped}'/></connectionStrings>\
             <appSettings><add key='k' value='{escaped}'/></appSettings>"
        );
        // The access key itself, by a setting, and without the escapes that XML needs.
        for (inside, attributes) in [
            (inside.clone(), attributes.to_owned()),
            (inside.clone(), attributes.replace("'c'", "'k'")),
            (inside.clone(), attributes.replace("'c'", &format!("'{escaped}'"))),
            (inside.replace("&amp;", "&"), attributes.to_owned()),
        ] {
            let section = custom(class, &attributes);
            let configuration = Configuration::new(&format!("{inside}<system.web>{section}</system.web>"));
            let told = format!("{:?}", configuration.import());
            prop_assert!(!told.contains("Q7Q"), "{}", told);
        }
    }

    #[test]
    fn any_text_is_imported_or_refused(text in "(<|>|/|=|'|&|;|add |name|sessionState |mode|\\PC){0,60}") {
        let _ = Configuration::new(&text).import();
        let _ = of(&format!("<sessionState {text}/>"));
    }
}
