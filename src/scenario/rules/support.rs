//! Rules about providers in their places: what exists, and what the product documentation supports.
//!
//! Sources: seeds 000, 001 and 003; facts §9.5. Each refusal names the row of the support matrix,
//! which is [`Capabilities`].

use super::{Findings, at};
use crate::providers::Capabilities;
use crate::scenario::path::Path;
use crate::scenario::suggest;
use crate::session::StoreKind;
use crate::topology::settings::{Balancer, Role};
use std::collections::HashSet;

/// Checks every use of a provider.
pub fn check(findings: &mut Findings<'_>) {
    // A contender that is one word names private and shared state at once: say it once.
    let mut told = HashSet::new();
    let scenario = findings.scenario;
    for place in places(findings) {
        let Some(name) = &place.provider else {
            continue;
        };
        if let Some(settings) = scenario.providers.get(name) {
            supported(findings, &place, name, settings.capabilities());
        } else if told.insert(name.clone()) {
            let known: Vec<_> = scenario.providers.keys().map(String::as_str).collect();
            let message = format!("there is no provider `{name}`");
            findings
                .error(&place.path, message, "not among `providers`")
                .advise(suggest::help(name, &known, "providers"));
        }
    }
    presence(findings);
}

/// One store kind of one cluster in one run, and where the file names its provider.
struct Place {
    path: Path,
    /// Whether `compare` names it, not the cluster.
    compared: bool,
    cluster: String,
    role: Role,
    balancer: Balancer,
    servers: u32,
    kind: StoreKind,
    provider: Option<String>,
}

fn places(findings: &Findings<'_>) -> Vec<Place> {
    let scenario = findings.scenario;
    let mut places = Vec::new();
    for (name, cluster) in &scenario.clusters {
        for kind in StoreKind::ALL {
            let provider = match kind {
                StoreKind::Private => &cluster.private,
                StoreKind::Shared => &cluster.shared,
            };
            places.push(Place {
                path: at(["clusters", name, kind.name()]),
                compared: false,
                cluster: name.clone(),
                role: cluster.role,
                balancer: cluster.balancer,
                servers: cluster.servers,
                kind,
                provider: provider.clone(),
            });
        }
        if cluster.role == Role::ContentManagement {
            continue;
        }
        for (index, contender) in scenario.compare.iter().enumerate() {
            for kind in StoreKind::ALL {
                let provider = match kind {
                    StoreKind::Private => contender.private(),
                    StoreKind::Shared => contender.shared(),
                };
                places.push(Place {
                    path: at(["compare"]).index(index).key(kind.name()),
                    compared: true,
                    cluster: name.clone(),
                    role: cluster.role,
                    balancer: cluster.balancer,
                    servers: contender.servers().unwrap_or(cluster.servers),
                    kind,
                    provider: Some(provider.to_owned()),
                });
            }
        }
    }
    places
}

/// A provider in a place where the product documentation supports it.
fn supported(findings: &mut Findings<'_>, place: &Place, name: &str, capabilities: &Capabilities) {
    let row = matrix_row(capabilities, findings.scenario.allow_unsupported);
    match (place.role, place.kind) {
        (Role::ContentManagement, StoreKind::Shared) => findings
            .unsupported(
                &place.path,
                format!(
                    "`{}` is a CM cluster: it has no shared state",
                    place.cluster
                ),
                "content management keeps no contacts",
            )
            .advise("support matrix: shared state is for CD servers only; leave it out"),
        (Role::ContentManagement, StoreKind::Private) => {
            if capabilities.out_of_process {
                findings
                    .unsupported(
                        &place.path,
                        format!(
                            "`{}` is a CM cluster: its session state is in process only",
                            place.cluster
                        ),
                        "out of process",
                    )
                    .advise(row);
            }
        }
        (Role::ContentDelivery, StoreKind::Private) => {
            let spread = place.servers > 1 && place.balancer != Balancer::Sticky;
            if !capabilities.out_of_process && spread {
                findings
                    .unsupported(
                        &place.path,
                        format!(
                            "in-process private state behind a balancer that is not sticky: `{}` \
                             has {} servers, and each keeps sessions of its own",
                            place.cluster, place.servers
                        ),
                        "a visitor would lose the session with the server",
                    )
                    .advise(row);
            }
        }
        (Role::ContentDelivery, StoreKind::Shared) => {
            if capabilities.supports_shared(place.servers) {
                return;
            }
            let (message, label) = if capabilities.raises_ends(StoreKind::Shared) {
                let message = format!(
                    "shared state in process cannot be shared: `{}` has {} servers",
                    place.cluster, place.servers
                );
                (message, "in process, so per server".to_owned())
            } else {
                let raises = format!("raises {}", capabilities.ends());
                let message = format!(
                    "`{name}` cannot hold shared state: it {raises}, so contacts would never be \
                     released"
                );
                (message, raises)
            };
            findings
                .unsupported(&place.path, message, &label)
                .advise(row);
        }
    }
}

/// CD clusters name both providers, or leave both to `compare`; CM clusters name a private one.
fn presence(findings: &mut Findings<'_>) {
    let compared = !findings.scenario.compare.is_empty();
    let in_clusters = places(findings).into_iter().filter(|it| !it.compared);
    for place in in_clusters {
        let kind = place.kind.name();
        let needed = match place.role {
            Role::ContentDelivery => !compared,
            Role::ContentManagement => place.kind == StoreKind::Private,
        };
        match (&place.provider, needed) {
            (None, true) => {
                let message = format!(
                    "the cluster `{}` names no provider of {kind} state",
                    place.cluster
                );
                findings
                    .error(&place.path, message, "incomplete")
                    .advise(format!(
                        "add `{kind}: <provider>`, or list providers under `compare`"
                    ));
            }
            (Some(name), false) if place.role == Role::ContentDelivery => {
                let message = format!(
                    "`compare` names the providers of every CD cluster; `{}` names `{name}` too",
                    place.cluster
                );
                findings
                    .error(&place.path, message, "beside `compare`")
                    .advise("leave it out here, or leave `compare` out");
            }
            _ => {}
        }
    }
}

/// What the support matrix says of a provider.
fn matrix_row(capabilities: &Capabilities, allowed: bool) -> String {
    let shared = if capabilities.supports_shared(2) {
        "shared state on any number of CD servers"
    } else if capabilities.supports_shared(1) {
        "shared state on one CD server only"
    } else {
        "no shared state"
    };
    let place = if capabilities.out_of_process {
        "out of process"
    } else {
        "in process"
    };
    let ends = capabilities.ends();
    let way_out = if allowed {
        ""
    } else {
        "; `allow_unsupported: true` runs it all the same"
    };
    let name = capabilities.name;
    format!("support matrix, row `{name}`: {place}, raises {ends}, {shared}{way_out}")
}
