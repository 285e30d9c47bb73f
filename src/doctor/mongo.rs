//! Judges a MongoDB server by what it says of itself.
//!
//! In: a survey, and what the scenario demands. Out: findings. The surprising fact: a missing index
//! breaks nothing; every poll of every CD server just reads the whole collection, every 2 s.

use super::demand::Demand;
use super::finding::{Finding, Severity};
use super::server;
use crate::providers::mongo::settings::MongoSitecore;
use crate::providers::mongo::survey::{CollectionState, Rights, Survey, survey};
use crate::providers::{ConnectError, ProviderSettings, ServerInfo};

/// Reaches the server of a provider and judges it.
///
/// # Errors
/// See [`ConnectError`].
pub async fn examine(
    settings: &MongoSitecore,
    demand: &Demand,
) -> Result<(Option<ServerInfo>, Vec<Finding>), ConnectError> {
    let survey = survey(settings).await?;
    let findings = judge(settings, demand, &survey);
    Ok((Some(survey.server), findings))
}

fn judge(settings: &MongoSitecore, demand: &Demand, survey: &Survey) -> Vec<Finding> {
    let provider = ProviderSettings::MongoSitecore(settings.clone());
    let version = Finding::new(
        Severity::Ok,
        "version",
        format!("{} {}", survey.server.product, survey.server.version),
        "What a server can do, and what it gets wrong, depends on it.",
    );
    let clock = server::clock(
        survey.pulse.clock,
        "Deadlines are written and compared by the web servers' clocks, not by this one.",
    );
    let found = [
        Some(version),
        Some(server::round_trip(&survey.pulse, &provider)),
        clock,
        Some(deployment(survey)),
        writable(survey),
        Some(write_concern(survey)),
        Some(rights(&survey.rights)),
        connections(demand, survey),
    ];
    let mut findings: Vec<Finding> = found.into_iter().flatten().collect();
    findings.extend(indexes(settings, survey));
    findings
}

fn deployment(survey: &Survey) -> Finding {
    let deployment = survey.server.settings.get("deployment");
    let deployment = deployment.map_or("unknown", String::as_str);
    let severity = match deployment {
        "standalone" => Severity::Note,
        _ => Severity::Ok,
    };
    let why = "A standalone server has no successor: while it is down, nobody has a session.";
    Finding::new(severity, "deployment", deployment, why)
}

fn writable(survey: &Survey) -> Option<Finding> {
    (!survey.writable).then(|| {
        Finding::new(
            Severity::Problem,
            "primary",
            "the server that was reached is no primary",
            "Every page view writes its session, which only a primary can.",
        )
        .remedy("Name all members of the replica set and `replicaSet=…`.")
    })
}

fn write_concern(survey: &Survey) -> Finding {
    let mut what = match &survey.write_concern {
        Some(w) => format!("w: {w}, the server's default"),
        None => "the server does not tell its default".to_owned(),
    };
    if let Some(ignored) = &survey.write_concern_ignored {
        what.push_str(&format!(
            "; w: {ignored} of the connection string does not count"
        ));
    }
    let deployment = survey.server.settings.get("deployment");
    let replicated = deployment.is_some_and(|it| it.starts_with("replica set"));
    let at_risk = replicated && survey.write_concern.as_deref() == Some("1");
    let severity = match at_risk || survey.write_concern_ignored.is_some() {
        true => Severity::Note,
        false => Severity::Ok,
    };
    let why = match at_risk {
        true => {
            "A primary that dies takes the writes with it that no other member has yet: a lock may \
             be given twice, and an ended session come back."
        }
        false => "The provider has its writes acknowledged, and leaves it to the server by whom.",
    };
    let finding = Finding::new(severity, "write concern", what, why);
    match at_risk {
        true => {
            finding.remedy("A default of `majority` is safe, and costs a trip between members.")
        }
        false => finding,
    }
}

fn rights(rights: &Rights) -> Finding {
    const SUBJECT: &str = "rights";
    let why = "The provider reads, writes and indexes its collection.";
    match rights {
        Rights::Missing(missing) if missing.is_empty() => Finding::new(
            Severity::Ok,
            SUBJECT,
            "the user has what the provider needs",
            why,
        ),
        Rights::Missing(missing) => {
            let what = format!("the user may not {}", missing.join(", "));
            Finding::new(Severity::Problem, SUBJECT, what, why)
                .remedy("Grant it `readWrite` on the database.")
        }
        Rights::Open => Finding::new(
            Severity::Note,
            SUBJECT,
            "nobody needs to log in",
            "Whoever reaches the server can read and change every session.",
        )
        .remedy("Turn authorization on, unless the network keeps others away."),
        Rights::Denied => Finding::new(
            Severity::Problem,
            SUBJECT,
            "the user may not even read the collection",
            why,
        )
        .remedy("Grant it `readWrite` on the database."),
        Rights::LoginNeeded => Finding::new(
            Severity::Problem,
            SUBJECT,
            "the server wants a login, and the connection string names nobody",
            why,
        )
        .remedy(
            "Write `mongodb://user:password@host/…`, and `authSource=` where the user is kept.",
        ),
        Rights::Untold => {
            let what = "the server does not say what the user may do";
            Finding::new(Severity::Note, SUBJECT, what, why)
        }
    }
}

fn connections(demand: &Demand, survey: &Survey) -> Option<Finding> {
    let (used, free) = survey.connections?;
    // A request uses one at a time, and so does each poller.
    let needed = demand.in_progress.ceil() as u64 + u64::from(demand.instances);
    let limit = used + free;
    Some(server::connections(
        needed,
        used,
        limit,
        "maxIncomingConnections",
    ))
}

fn indexes(settings: &MongoSitecore, survey: &Survey) -> Vec<Finding> {
    const SUBJECT: &str = "index";
    let why = format!(
        "Every CD server asks for expired sessions every {} s; without an index that begins with \
         the deadline each of these polls reads every session.",
        settings.pollingInterval
    );
    let of = |severity, what: String| Finding::new(severity, SUBJECT, what, why.clone());
    let findings = survey.collections.iter().map(|collection| {
        let database = &collection.database;
        match collection.state {
            CollectionState::Indexed => of(Severity::Ok, format!("{database}: (e, …) is there")),
            CollectionState::Missing => of(
                Severity::Ok,
                format!("{database}: no collection yet; a run makes it with its index"),
            ),
            CollectionState::Untold => of(
                Severity::Note,
                format!("{database}: the server does not tell its indexes"),
            ),
            CollectionState::NotIndexed => of(
                Severity::Warning,
                format!("{database}: no index begins with e, the deadline"),
            )
            .remedy("db.sessions.createIndex({ e: 1, \"_id.s\": 1, \"_id.a\": 1 })"),
        }
    });
    findings.collect()
}

#[cfg(test)]
mod tests;
