//! Sentences about what went wrong at the stores, under requests and in the background.

use crate::report::format::{count, counted};
use crate::result::{Background, Detection, Run, StoreSample};

/// What pollers and subscriptions met, what requests met, and what was left behind.
pub(super) fn troubles(run: &Run, says: &mut Vec<String>) {
    for background in &run.background {
        in_the_background(run, background, says);
    }
    servers(run, says);
    under_requests(run, says);
    for warning in &run.warnings {
        says.push(format!("Warning: {warning}."));
    }
}

fn servers(run: &Run, says: &mut Vec<String>) {
    for server in &run.servers {
        let whose = format!("{} in cluster {}", server.provider, server.cluster);
        if server.before.commands.is_some() && server.after.commands.is_none() {
            says.push(format!(
                "The server of {whose} did not answer when the run was over."
            ));
        }
        let evicted = |sample: &StoreSample| sample.evicted_keys.unwrap_or(0);
        let evicted = evicted(&server.peak).saturating_sub(evicted(&server.before));
        if evicted > 0 {
            says.push(format!(
                "The server of {whose} ran out of memory and evicted {}: sessions are lost without \
                 an error.",
                counted(evicted, "key", "keys")
            ));
        }
    }
}

fn in_the_background(run: &Run, background: &Background, says: &mut Vec<String>) {
    let Background {
        cluster,
        provider,
        work,
    } = background;
    let whose = format!("{provider} in cluster {cluster}");
    let polls = detection(run, background) == Some(Detection::Poll);
    if work.undecodable > 0 && polls {
        says.push(format!(
            "A session that cannot be decoded stopped the poller of {whose} {}: each tick meets it \
             first and ends nothing behind it.",
            counted(work.undecodable, "time", "times")
        ));
    } else if work.undecodable > 0 {
        says.push(format!(
            "Could not be decoded when they expired, so nothing of them is committed: {} of {whose}.",
            counted(work.undecodable, "session", "sessions")
        ));
    }
    // A tick that meets what it cannot decode fails too, and was told already.
    let failed = work.failed_ticks.saturating_sub(work.undecodable);
    if failed > 0 {
        says.push(format!(
            "The poller of {whose} failed in {} of {}: the store did not answer, and ends came \
             later.",
            count(failed),
            counted(work.ticks, "tick", "ticks")
        ));
    }
    if work.resubscriptions > 0 {
        let lost = match detection(run, background) {
            Some(Detection::Deadline) => "waiting requests polled until it was made anew",
            _ => "what expired until it was made anew was never heard of",
        };
        says.push(format!(
            "The subscription of {whose} broke {}: {lost}.",
            counted(work.resubscriptions, "time", "times")
        ));
    }
    if work.claimed_again > 0 {
        says.push(format!(
            "Claimed again because nobody acknowledged their end in time, so that it may have been \
             raised before: {} of {whose}.",
            counted(work.claimed_again, "session", "sessions")
        ));
    }
    if work.failed_removals > 0 {
        says.push(format!(
            "Ended and could not be removed from the store, so that they may end again: {} of \
             {whose}.",
            counted(work.failed_removals, "session", "sessions")
        ));
    }
}

fn under_requests(run: &Run, says: &mut Vec<String>) {
    let requests = &run.requests;
    let faults = [
        (
            requests.timeouts,
            "Ran into their time limit",
            ("store operation", "store operations"),
        ),
        (
            requests.retries,
            "Tried again after an error",
            ("store operation", "store operations"),
        ),
        (
            requests.swallowed,
            "Kept secret by the provider (throwOnError), so that the session looked empty",
            ("error", "errors"),
        ),
        (
            requests.undecodable,
            "Could not decode the session that they found",
            ("request", "requests"),
        ),
        (
            requests.refused_writes,
            "Refused by the store because their lock was lost, with no error to the visitor",
            ("write", "writes"),
        ),
    ];
    for (number, what, (one, many)) in faults {
        if number > 0 {
            says.push(format!("{what}: {}.", counted(number, one, many)));
        }
    }
}

fn detection(run: &Run, background: &Background) -> Option<Detection> {
    let cluster = run
        .clusters
        .iter()
        .find(|cluster| cluster.name == background.cluster)?;
    let providers = std::iter::once(&cluster.private).chain(&cluster.shared);
    let mut of_this_name = providers.filter(|provider| provider.name == background.provider);
    of_this_name.next()?.detection
}
