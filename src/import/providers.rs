//! Session-state providers of a configuration as provider blocks of a scenario.
//!
//! In: the `<add>` of a provider, known by its class. Out: a [`Block`] with the settings that have a
//! counterpart and remarks on the others. The surprising fact: defaults are left out. Ours are the
//! genuine ones, so that a block says what the configuration says and no more; only where code and
//! documentation of a provider differ is a default spelt out.

mod redis;

use super::ImportError;
use super::attributes::{Attributes, Text};
use super::configuration::Configuration;
use super::connection::{self, Connection, Origin, Variable};
use super::text::{quoted, word};
use super::xml::Element;
use crate::session::StoreKind;
use std::ops::RangeInclusive;

/// A provider block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// The provider's name in scenarios.
    pub provider: &'static str,
    /// Its settings as YAML.
    pub settings: Vec<(&'static str, String)>,
    /// What a reader should know of it.
    pub remarks: Vec<String>,
    /// Variables of its secrets.
    pub variables: Vec<Variable>,
    /// Whether its server counts minutes by itself, so that time cannot be scaled.
    pub real_minutes: bool,
}

type Reader = fn(&mut Attributes<'_>, StoreKind) -> Result<Block, ImportError>;

/// Every class that is known, and how its attributes are read.
const CLASSES: [(&str, Reader); 7] = [
    ("System.Web.SessionState.InProcSessionStateStore", |_, _| {
        Ok(Block::new("inproc"))
    }),
    (
        "Microsoft.Web.Redis.RedisSessionStateProvider",
        redis::microsoft,
    ),
    (
        "Sitecore.SessionProvider.Redis.RedisSessionStateProvider",
        redis::sitecore,
    ),
    (
        "Sitecore.SessionProvider.Sql.SqlSessionStateProvider",
        sql_sitecore,
    ),
    (
        "Microsoft.AspNet.SessionState.SqlSessionStateProviderAsync",
        sql_async,
    ),
    (
        "System.Web.Providers.DefaultSessionStateProvider",
        sql_universal,
    ),
    (
        "Sitecore.SessionProvider.MongoDB.MongoSessionStateProvider",
        mongo_sitecore,
    ),
];

/// Attributes that every provider has and that decide nothing.
const EVERY_PROVIDER: [&str; 3] = ["name", "type", "description"];

/// The block of a provider.
///
/// # Errors
/// Its class is not known, or its attributes make no sense.
pub fn block(
    kind: StoreKind,
    element: &Element,
    configuration: &Configuration,
) -> Result<Block, ImportError> {
    let whole = element.attribute("type").unwrap_or_default();
    let class = whole.split(',').next().unwrap_or_default().trim();
    let mut attributes = Attributes::new(element, configuration);
    let Some((_, read)) = CLASSES.iter().find(|(known, _)| *known == class) else {
        let known: Vec<_> = CLASSES.iter().map(|(known, _)| *known).collect();
        return Err(ImportError::UnknownProvider {
            place: element.place.clone(),
            name: attributes.name().to_owned(),
            class: class.to_owned(),
            known: known.join(", "),
        });
    };
    let mut block = read(&mut attributes, kind)?;
    block.no_counterpart("the provider", &attributes.others(&EVERY_PROVIDER));
    Ok(block)
}

impl Block {
    /// A block without settings.
    #[must_use]
    pub const fn new(provider: &'static str) -> Self {
        Self {
            provider,
            settings: Vec::new(),
            remarks: Vec::new(),
            variables: Vec::new(),
            real_minutes: false,
        }
    }

    /// A block of a provider whose server counts minutes.
    #[must_use]
    pub const fn with_real_minutes(provider: &'static str) -> Self {
        let mut block = Self::new(provider);
        block.real_minutes = true;
        block
    }

    /// Whether it is the in-process store.
    #[must_use]
    pub fn in_process(&self) -> bool {
        self.provider == "inproc"
    }

    /// Adds a setting that is there.
    pub fn set(&mut self, key: &'static str, value: Option<impl ToString>) {
        if let Some(value) = value {
            self.settings.push((key, value.to_string()));
        }
    }

    /// Adds the server.
    pub fn server(&mut self, connection: Connection) {
        self.settings.push(("server", quoted(&connection.text)));
        self.variables.extend(connection.variables);
        self.remarks.extend(connection.remarks);
    }

    /// Adds a remark.
    pub fn remark(&mut self, remark: impl Into<String>) {
        self.remarks.push(remark.into());
    }

    /// Says which attributes have no counterpart.
    pub fn no_counterpart(&mut self, whose: &str, names: &[String]) {
        if !names.is_empty() {
            let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
            self.remark(format!(
                "Without counterpart, of {whose}: {}.",
                names.join(", ")
            ));
        }
    }

    fn text(&mut self, key: &'static str, text: Option<Text>) {
        self.set(key, text.map(|text| word(&connection::escape(&text.value))));
    }
}

/// What names the secrets of a provider that stand in no connection string.
fn literal(kind: StoreKind, attributes: &Attributes<'_>) -> String {
    format!("{} {}", kind.name(), attributes.name())
}

/// The longest limit of a request to a state server, in seconds: a day, far beyond sense.
const LONGEST_LIMIT: u32 = 86_400;
/// Numbers of which the genuine provider checks nothing.
const ANY: RangeInclusive<u32> = 0..=u32::MAX;

fn sql_server(
    block: &mut Block,
    attributes: &mut Attributes<'_>,
    kind: StoreKind,
) -> Result<(), ImportError> {
    let literal = literal(kind, attributes);
    let text = attributes.named_connection("connectionStringName")?;
    let connection = connection::sql(&text.value, text.origin(&literal), None);
    block.server(connection.map_err(|fault| attributes.faulty("connectionStringName", fault))?);
    Ok(())
}

fn sql_sitecore(attributes: &mut Attributes<'_>, kind: StoreKind) -> Result<Block, ImportError> {
    let mut block = Block::with_real_minutes("sql_sitecore");
    sql_server(&mut block, attributes, kind)?;
    block.set("schema", Some("existing"));
    block.text("sessionType", attributes.text("sessionType"));
    block.set(
        "pollingInterval",
        attributes.number("pollingInterval", 1..=120)?,
    );
    block.set("compression", attributes.truth("compression")?);
    Ok(block)
}

fn sql_async(attributes: &mut Attributes<'_>, kind: StoreKind) -> Result<Block, ImportError> {
    let mut block = Block::with_real_minutes("sql_async");
    sql_server(&mut block, attributes, kind)?;
    block.set("schema", Some("existing"));
    let repository = attributes.text("repositoryType");
    let in_memory = attributes.truth("useInMemoryTable")? == Some(true);
    if repository.is_none() && in_memory {
        block.set("repositoryType", Some("InMemory"));
    }
    block.text("repositoryType", repository);
    block.text("sessionTableName", attributes.text("sessionTableName"));
    block.set("maxRetryNumber", attributes.number("maxRetryNumber", ANY)?);
    block.set("retryInterval", attributes.number("retryInterval", ANY)?);
    let keep_alive = "skipKeepAliveWhenUnused";
    block.set(keep_alive, attributes.truth(keep_alive)?);
    Ok(block)
}

fn sql_universal(attributes: &mut Attributes<'_>, kind: StoreKind) -> Result<Block, ImportError> {
    let mut block = Block::with_real_minutes("sql_universal");
    sql_server(&mut block, attributes, kind)?;
    block.set("schema", Some("existing"));
    block.text("applicationName", attributes.text("applicationName"));
    Ok(block)
}

fn mongo_sitecore(attributes: &mut Attributes<'_>, kind: StoreKind) -> Result<Block, ImportError> {
    let mut block = Block::new("mongo_sitecore");
    let literal = literal(kind, attributes);
    let text = attributes.named_connection("connectionStringName")?;
    let connection = connection::mongo(&text.value, text.origin(&literal));
    block.server(connection.map_err(|fault| attributes.faulty("connectionStringName", fault))?);
    block.text("sessionType", attributes.text("sessionType"));
    block.set(
        "pollingInterval",
        attributes.number("pollingInterval", 1..=120)?,
    );
    block.set("compression", attributes.truth("compression")?);
    block.set("partitions", attributes.number("partitions", 0..=64)?);
    Ok(block)
}

/// The state server of `mode="StateServer"` (facts §2.4).
///
/// # Errors
/// Attributes make no sense.
pub fn state_server(attributes: &mut Attributes<'_>) -> Result<Block, ImportError> {
    let mut block = Block::with_real_minutes("state_server");
    let string = attributes.text("stateConnectionString");
    let string = string.map_or("tcpip=loopback:42424".to_owned(), |text| text.value);
    let connection = connection::state_server(&string);
    block.server(connection.map_err(|fault| attributes.faulty("stateConnectionString", fault))?);
    let limit = attributes.number("stateNetworkTimeout", 1..=LONGEST_LIMIT)?;
    block.set(
        "stateNetworkTimeout",
        limit.map(|seconds| format!("{seconds}s")),
    );
    block.set(
        "compressionEnabled",
        attributes.truth("compressionEnabled")?,
    );
    Ok(block)
}

/// The nearest that there is to `mode="SQLServer"` (facts §5.3, §7.3).
///
/// # Errors
/// Attributes make no sense.
pub fn sql_server_mode(attributes: &mut Attributes<'_>) -> Result<Block, ImportError> {
    let mut block = Block::with_real_minutes("sql_async");
    block.remark(
        "ASP.NET's own SQLServer mode has no twin here. This is the nearest: Microsoft's \
         asynchronous provider on the same tables, which it finds only in the database of the \
         connection: where aspnet_regsql put them into tempdb, as it does unless told otherwise, \
         install them with `-sstype p`. What differs: the genuine client ends its session ids with \
         small instead of capital digits, so that neither sees the other's sessions, and leaves \
         expired sessions to a job of SQL Server Agent, which runs every minute; this one deletes \
         them itself, every 30 s of traffic. Neither raises session end.",
    );
    let string = attributes.connection("sqlConnectionString")?;
    let string = string.unwrap_or_else(|| Text {
        value: "Data Source=localhost;Integrated Security=SSPI".to_owned(),
        name: None,
        described: String::new(),
    });
    let origin = Origin {
        described: match &string.name {
            Some(_) => &string.described,
            None => "`sqlConnectionString`",
        },
        ..string.origin("session")
    };
    let connection = connection::sql(&string.value, origin, Some("ASPState"));
    block.server(connection.map_err(|fault| attributes.faulty("sqlConnectionString", fault))?);
    block.set("schema", Some("existing"));
    match attributes.number("sqlConnectionRetryInterval", ANY)? {
        Some(1..) => block.remark(
            "`sqlConnectionRetryInterval` is given: the genuine client tries again after 5 s, then \
             every second; this one by its own `maxRetryNumber` and `retryInterval`.",
        ),
        _ => block.set("maxRetryNumber", Some(0)),
    }
    if attributes.truth("compressionEnabled")? == Some(true) {
        block.remark("`compressionEnabled` has no counterpart.");
    }
    attributes.text("allowCustomSqlDatabase");
    Ok(block)
}
