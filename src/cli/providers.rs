//! `sessionbench providers`: what each provider can do.

use super::Outcome;
use crate::providers::capabilities::{ALL, Capabilities};
use clap::Args;

/// Arguments of `providers`.
#[derive(Debug, Args)]
pub struct ProvidersArguments {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Lists the providers.
///
/// # Errors
/// The table cannot be written as JSON: a defect.
pub fn providers(arguments: &ProvidersArguments) -> anyhow::Result<Outcome> {
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&ALL)?);
        return Ok(Outcome::Good);
    }
    for provider in ALL {
        println!("{}", describe(provider));
    }
    Ok(Outcome::Good)
}

fn describe(provider: &Capabilities) -> String {
    let yes = |truth| if truth { "yes" } else { "no" };
    let trips = provider.round_trips;
    let session_end = match provider.detection {
        None => "never raised".to_owned(),
        Some(detection) if provider.shared_ends => detection.title().to_owned(),
        Some(detection) => format!("{}; private sessions only", detection.title()),
    };
    let shared = match (provider.supports_shared(2), provider.supports_shared(1)) {
        (true, _) => "yes",
        (false, true) => "on a single CD server",
        (false, false) => "no",
    };
    let no_managed_server = match provider.out_of_process {
        true => "none: name a server of your own",
        false => "none needed",
    };
    let rows = [
        ("session end", session_end),
        ("lateness by design", provider.expected_lateness.to_owned()),
        ("shared state", shared.to_owned()),
        (
            "non-sticky balancer",
            yes(provider.out_of_process).to_owned(),
        ),
        ("lock", provider.lock.to_owned()),
        ("waiting", provider.wait.to_owned()),
        ("steal", provider.steal.to_owned()),
        ("sliding", provider.sliding.to_owned()),
        (
            "round trips",
            format!("{} dirty, {} clean", trips.dirty, trips.clean),
        ),
        (
            "managed server",
            provider
                .managed_server
                .unwrap_or(no_managed_server)
                .to_owned(),
        ),
        ("virtual time", yes(provider.virtual_time).to_owned()),
    ];
    let mut text = format!("{} — {}\n", provider.name, provider.title);
    for (name, value) in rows {
        text.push_str(&format!("  {name:<20} {value}\n"));
    }
    for note in provider.notes {
        text.push_str(&format!("  note: {note}\n"));
    }
    text
}
