//! Judges a state server, which says little of itself; most of what there is to know is its design.

use super::demand::Demand;
use super::finding::{Finding, Severity};
use super::server;
use crate::providers::state_server::settings::StateServerSettings;
use crate::providers::state_server::survey::survey;
use crate::providers::{ConnectError, ProviderSettings, ServerInfo};

/// Reaches the server of a provider and judges it.
///
/// # Errors
/// See [`ConnectError`].
pub async fn examine(
    settings: &StateServerSettings,
    demand: &Demand,
) -> Result<(Option<ServerInfo>, Vec<Finding>), ConnectError> {
    let survey = survey(settings).await?;
    let provider = ProviderSettings::StateServer(settings.clone());
    let sessions = match &survey.statistics {
        Some(told) => format!("{} sessions are there already; ", told.sessions),
        None => String::new(),
    };
    let memory = Finding::new(
        Severity::Note,
        "memory",
        format!(
            "{sessions}about {} more for {}",
            server::memory(demand.bytes),
            demand.sessions_in_words()
        ),
        "The server has no limit of its own and evicts nothing; it tells nobody when memory runs out.",
    )
    .remedy("Compare with the machine's memory.");
    let persistence = Finding::new(
        Severity::Note,
        "persistence",
        "none, and no replica: this is how it is made",
        "A restart of the service or its machine loses every session.",
    );
    let ends = Finding::new(
        Severity::Note,
        "session end",
        "never raised: this is how it is made",
        "Whatever a site does in Session_End, such as committing a visit, does not happen.",
    )
    .remedy("Use a provider that raises session end where the site needs it.");
    let findings = vec![
        server::round_trip(&survey.pulse, &provider),
        memory,
        persistence,
        ends,
    ];
    Ok((Some(survey.server), findings))
}
