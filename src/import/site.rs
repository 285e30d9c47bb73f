//! What a configuration says of a site's session state.
//!
//! In: the sections of a configuration. Out: a [`Site`]: the providers of private and shared state,
//! timeouts, and the module's constants. The surprising fact: a section that is missing is an
//! answer too. Without `<sessionState>` ASP.NET keeps sessions in process, and so does Sitecore with
//! shared sessions.

use super::ImportError;
use super::attributes::Attributes;
use super::configuration::Configuration;
use super::providers::{self, Block};
use super::xml::Element;
use crate::session::StoreKind;

/// A site's session state.
#[derive(Debug)]
pub struct Site {
    /// Provider of private state.
    pub private: Block,
    /// Provider of shared state; `None` on a site without Sitecore.
    pub shared: Option<Block>,
    /// `<sessionState timeout>` in minutes.
    pub timeout: u32,
    /// Constants of the module that the configuration gives, as YAML.
    pub module: Vec<(&'static str, String)>,
    /// What a reader should know.
    pub remarks: Vec<String>,
}

/// ASP.NET's default, in minutes (facts §2.1).
const TIMEOUT: u32 = 20;
/// The longest timeout, in minutes: a year (facts §2.1).
const LONGEST_TIMEOUT: u32 = 525_600;
/// The longest execution timeout that a scenario can hold, in seconds: 31 years. Some sites write
/// the largest number that there is, to have none.
const LONGEST_EXECUTION: u32 = 1_000_000_000;
/// What ASP.NET takes for no limit of the queue.
const UNLIMITED: u32 = i32::MAX as u32;

impl Site {
    /// Reads a configuration.
    ///
    /// # Errors
    /// See [`ImportError`].
    pub fn new(configuration: &Configuration) -> Result<Self, ImportError> {
        let mut remarks = configuration.remarks.clone();
        let mut timeout = None;
        let private = match &configuration.session_state {
            Some(section) => {
                let mut attributes = Attributes::new(section, configuration);
                timeout = attributes.number("timeout", 1..=LONGEST_TIMEOUT)?;
                private(section, attributes, configuration)?
            }
            None => {
                let mut block = Block::new("inproc");
                block.remark("Web.config has no <sessionState>: ASP.NET's default is in process.");
                block
            }
        };
        let sitecore = configuration.sitecore || private.provider.ends_with("_sitecore");
        let shared = match &configuration.shared {
            Some(section) => Some(shared(section, configuration)?),
            None if sitecore => {
                let mut block = Block::new("inproc");
                block.remark(
                    "No file that was given has `sharedSessionState`: Sitecore's default is in \
                     process. It stands in Sitecore.Analytics.Tracking.config; give that, and every \
                     include file that changes it, by `--sitecore`.",
                );
                Some(block)
            }
            None => None,
        };
        let mut module = Vec::new();
        if let Some(runtime) = &configuration.http_runtime {
            let mut attributes = Attributes::new(runtime, configuration);
            if let Some(seconds) = attributes.number("executionTimeout", 1..=u32::MAX)? {
                let seconds = seconds.min(LONGEST_EXECUTION);
                module.push(("execution_timeout", format!("{seconds}s")));
            }
        }
        if let Some(limit) = queue_limit(configuration, &mut remarks) {
            module.push(("queue_limit", limit.to_string()));
        }
        if let Some(age) = max_lock_age(configuration, &mut remarks)? {
            module.push(("shared_lock_max_age", format!("{age}ms")));
        }
        let concurrent = "aspnet:AllowConcurrentRequestsPerSession";
        let concurrent = configuration.app_setting(concurrent);
        if concurrent.is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            remarks.push(
                "`aspnet:AllowConcurrentRequestsPerSession` has no counterpart: here requests of one \
                 session wait for each other, and on this site they do not."
                    .to_owned(),
            );
        }
        Ok(Self {
            private,
            shared,
            timeout: timeout.unwrap_or(TIMEOUT),
            module,
            remarks,
        })
    }
}

fn private(
    section: &Element,
    mut attributes: Attributes<'_>,
    configuration: &Configuration,
) -> Result<Block, ImportError> {
    let mode = attributes.text("mode").map(|text| text.value);
    let mode = mode.unwrap_or_else(|| "InProc".to_owned());
    // What belongs to another mode decides nothing; Web.config often has all of it.
    let (mut block, idle): (Block, &[&str]) = match mode.to_ascii_lowercase().as_str() {
        "inproc" => (
            Block::new("inproc"),
            &["state", "sql", "custom", "compression"],
        ),
        "stateserver" => (
            providers::state_server(&mut attributes)?,
            &["sql", "allowCustom", "custom"],
        ),
        "sqlserver" => (
            providers::sql_server_mode(&mut attributes)?,
            &["state", "custom"],
        ),
        "custom" => {
            let provider = attributes.text("customProvider").map(|text| text.value);
            let provider = provider.unwrap_or_default();
            let element = find(section, &provider).ok_or_else(|| ImportError::NoSuchProvider {
                place: section.place.clone(),
                name: provider,
                help: "",
            })?;
            let block = providers::block(StoreKind::Private, element, configuration)?;
            (block, &["state", "sql", "allowCustom", "compression"])
        }
        "off" => {
            return Err(ImportError::Off {
                place: section.place.clone(),
            });
        }
        _ => {
            let modes = "InProc, StateServer, SQLServer, Custom or Off";
            return Err(attributes.wrong("mode", modes.to_owned()));
        }
    };
    let mut others = attributes.others(&[]);
    let with_cookies = section.attribute("cookieless").unwrap_or_default();
    let with_cookies = ["false", "UseCookies"].contains(&with_cookies);
    others.retain(|name| {
        // The harness has cookies too.
        let same = with_cookies && name.eq_ignore_ascii_case("cookieless");
        !same && !idle.iter().any(|start| starts_with(name, start))
    });
    block.no_counterpart("<sessionState>", &others);
    Ok(block)
}

fn starts_with(name: &str, start: &str) -> bool {
    let beginning = name.get(..start.len());
    beginning.is_some_and(|beginning| beginning.eq_ignore_ascii_case(start))
}

/// A provider of a section by its name.
fn find<'a>(section: &'a Element, name: &str) -> Option<&'a Element> {
    let providers = section.child("providers")?.collection("name");
    let mut named = providers.into_iter().filter(|it| {
        let own = it.attribute("name");
        own.is_some_and(|own| own.eq_ignore_ascii_case(name))
    });
    named.next()
}

fn shared(section: &Element, configuration: &Configuration) -> Result<Block, ImportError> {
    let name = section.attribute("defaultProvider").unwrap_or("inProc");
    match find(section, name) {
        Some(element) => providers::block(StoreKind::Shared, element, configuration),
        // Sitecore's own file has it, and an include file need not repeat it.
        None if name.eq_ignore_ascii_case("inProc") => Ok(Block::new("inproc")),
        None => Err(ImportError::NoSuchProvider {
            place: section.place.clone(),
            name: name.to_owned(),
            help: "; give every file that has a part of `sharedSessionState` by `--sitecore`, in \
                   Sitecore's order",
        }),
    }
}

/// `aspnet:RequestQueueLimitPerSession`, or no limit on an old target framework (facts §2.1).
fn queue_limit(configuration: &Configuration, remarks: &mut Vec<String>) -> Option<u32> {
    let key = "aspnet:RequestQueueLimitPerSession";
    if let Some(value) = configuration.app_setting(key) {
        let limit = value.trim().parse().ok().filter(|limit| *limit > 0);
        if limit.is_none() {
            remarks.push(format!(
                "`{key}` is no whole number above zero, and was left out."
            ));
        }
        return limit;
    }
    let runtime = configuration.http_runtime.as_ref()?;
    let target = runtime.attribute("targetFramework")?;
    let numbers: Vec<u32> = target
        .split('.')
        .map_while(|part| part.parse().ok())
        .collect();
    if configuration.async_module || numbers.as_slice() >= [4, 6, 3].as_slice() {
        return None;
    }
    remarks.push(
        "`targetFramework` is below 4.6.3, where ASP.NET limits no queue of a session.".to_owned(),
    );
    Some(UNLIMITED)
}

/// `maxLockAge` of Sitecore's `SharedSessionStateConfig`, in milliseconds (facts §9.5).
fn max_lock_age(
    configuration: &Configuration,
    remarks: &mut Vec<String>,
) -> Result<Option<u32>, ImportError> {
    let shared = configuration.shared.as_ref();
    let config = shared.and_then(|it| it.child("config"));
    let mut found = None;
    for parameter in config.iter().flat_map(|config| &config.children) {
        let name = parameter.attribute("desc").unwrap_or(&parameter.name);
        if name != "maxLockAge" {
            remarks.push(format!("Without counterpart, of shared state: `{name}`."));
            continue;
        }
        let age = parameter.text.parse().ok().filter(|age| *age > 0);
        found = Some(age.ok_or_else(|| ImportError::Value {
            place: parameter.place.clone(),
            attribute: name.to_owned(),
            expected: "a whole number of milliseconds above zero".to_owned(),
        })?);
    }
    Ok(found)
}
