//! Both Redis providers: Microsoft's, and Sitecore's, which is made from it (facts §1.7, §9.4).
//!
//! In: attributes. Out: blocks. The surprising fact: a server is given in one of three ways, of
//! which code that makes the connection string comes first, and host, port and key by themselves
//! come last.

use super::{ANY, Block, literal};
use crate::import::ImportError;
use crate::import::attributes::Attributes;
use crate::import::connection::{self, Connection, Origin};
use crate::session::StoreKind;

/// Microsoft's provider.
///
/// # Errors
/// Attributes make no sense.
pub fn microsoft(attributes: &mut Attributes<'_>, kind: StoreKind) -> Result<Block, ImportError> {
    let mut block = Block::new("redis_microsoft");
    attributes.look_in_settings();
    if attributes.text("redisSerializerType").is_some() {
        block.set("version", Some("v2-v4"));
        block.remark(
            "Versions 2.2.2 to 4.0.1 have `redisSerializerType`. The serialiser itself has no \
             counterpart: values are in ASP.NET's own serialisation.",
        );
    } else {
        block.remark(
            "The configuration does not tell the provider's version. Add `version: v2-v4` for \
             2.0.0 to 4.0.1.",
        );
    }
    common(&mut block, attributes, kind)?;
    Ok(block)
}

/// Sitecore's provider.
///
/// # Errors
/// Attributes make no sense.
pub fn sitecore(attributes: &mut Attributes<'_>, kind: StoreKind) -> Result<Block, ImportError> {
    let mut block = Block::new("redis_sitecore");
    attributes.look_in_settings();
    common(&mut block, attributes, kind)?;
    block.set(
        "pollingInterval",
        attributes.number("pollingInterval", 1..=120)?,
    );
    block.set("pollingEnabled", attributes.truth("pollingEnabled")?);
    let only_after = "removeExpiredItemOnlyAfterSessionEndExecution";
    block.set(only_after, attributes.truth(only_after)?);
    block.set("compression", attributes.truth("compression")?);
    let threads = attributes.number("SessionExpirationThreadCount", 1..=256)?;
    let threads = threads
        .map(|threads| format!("{{ queued: {{ SessionExpirationThreadCount: {threads} }} }}"));
    block.set("processing", threads);
    block.set(
        "connections_per_server",
        attributes.number("connectionPoolSize", 1..=1024)?,
    );
    Ok(block)
}

/// What both Redis providers have (facts §1.7, §9.4).
fn common(
    block: &mut Block,
    attributes: &mut Attributes<'_>,
    kind: StoreKind,
) -> Result<(), ImportError> {
    server(block, attributes, kind)?;
    match attributes.text("applicationName") {
        Some(name)
            if name
                .value
                .chars()
                .any(|c| c.is_whitespace() || "*?[]{}\\^\"'".contains(c)) =>
        {
            block.remark("`applicationName` has characters that mean something in key patterns.");
        }
        name => block.text("applicationName", name),
    }
    block.set("databaseId", attributes.number("databaseId", 0..=15)?);
    for key in [
        "connectionTimeoutInMilliseconds",
        "operationTimeoutInMilliseconds",
        "retryTimeoutInMilliseconds",
    ] {
        block.set(key, attributes.number(key, ANY)?);
    }
    block.set("throwOnError", attributes.truth("throwOnError")?);
    Ok(())
}

fn server(
    block: &mut Block,
    attributes: &mut Attributes<'_>,
    kind: StoreKind,
) -> Result<(), ImportError> {
    let literal = literal(kind, attributes);
    if let Some(class) = attributes.text("settingsClassName") {
        let method = attributes.text("settingsMethodName");
        let method = method.map(|method| format!(".{}", method.value));
        let method = format!("{}{}", class.value, method.unwrap_or_default());
        let variable = class
            .origin(&literal)
            .variable("SERVER", "the connection string");
        block.server(Connection {
            text: format!("${{{}}}", variable.name),
            variables: vec![variable],
            remarks: vec![format!("`{method}` makes the connection string in code.")],
        });
        return Ok(());
    }
    if let Some(text) = attributes.connection("connectionString")? {
        let connection = connection::redis(&text.value, text.origin(&literal));
        let connection =
            connection.map_err(|fault| attributes.faulty("connectionString", fault))?;
        block.server(connection);
        return Ok(());
    }
    let mut string = match attributes.text("host") {
        Some(host) => {
            let name = host.name.is_none() && host.value != "localhost";
            if name && !host.value.contains(['.', ':']) {
                attributes.need_settings()?;
            }
            host.value
        }
        None => "127.0.0.1".to_owned(),
    };
    if let Some(port) = attributes
        .number("port", 0..=65535)?
        .filter(|port| *port > 0)
    {
        string = format!("{string}:{port}");
    }
    match attributes.truth("ssl")? {
        Some(true) => string.push_str(",ssl=true"),
        Some(false) => {}
        None => {
            string.push_str(",ssl=true");
            block.remark("`ssl` is not given. The provider's code then uses TLS, whatever its documentation says.");
        }
    }
    let key = attributes.text("accessKey");
    // The key itself is not looked at: a comma in it would cut the string in two.
    let origin = key.as_ref().map(|key| key.origin(&literal));
    if key.is_some() {
        string.push_str(",password=x");
    }
    let none = Origin {
        name: &literal,
        described: "",
    };
    let connection = connection::redis(&string, origin.unwrap_or(none));
    block.server(connection.map_err(|fault| attributes.faulty("host", fault))?);
    Ok(())
}
