//! What a state server says of itself. A genuine one says hardly anything: that it is there, and its
//! version.

use super::connections::{Connections, Line, Shut};
use super::settings::{AddressError, Server, StateServerSettings};
use super::{GENUINE_MINUTE, ask_statistics, introduced};
use crate::providers::pulse::Pulse;
use crate::providers::{ConnectError, ServerInfo};
use crate::servers::StateServer;
use crate::servers::state_server::Statistics;

/// What a state server says.
pub struct Survey {
    /// What it is.
    pub server: ServerInfo,
    /// How quickly it answers; it does not tell its time.
    pub pulse: Pulse,
    /// What only a server of ours tells.
    pub statistics: Option<Statistics>,
}

/// Reaches the server of a provider, or starts a managed one, which is stopped when this is done.
///
/// # Errors
/// See [`ConnectError`].
pub async fn survey(settings: &StateServerSettings) -> Result<Survey, ConnectError> {
    let (process, text) = match &settings.server {
        Server::Managed => {
            let process = StateServer::start(GENUINE_MINUTE).await?;
            let text = format!("tcpip={}", process.address());
            (Some(process), text)
        }
        Server::ConnectionString(text) => (None, text.clone()),
    };
    let line = Line {
        address: text
            .parse()
            .map_err(|error: AddressError| ConnectError::Settings(error.to_string()))?,
        limit: settings.stateNetworkTimeout.duration(),
        dialect: settings.dialect.into(),
    };
    let connections = Connections::new(line.clone(), Shut::default());
    let answer = ask_statistics(&connections).await?;
    let pulse = Pulse::take(async || ask_statistics(&connections).await.map(drop)).await?;
    let statistics = Statistics::decode(&answer.content);
    let managed = process.is_some();
    Ok(Survey {
        server: introduced(&line, managed, statistics.as_ref(), answer.version),
        pulse,
        statistics,
    })
}
