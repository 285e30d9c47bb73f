//! Judges PostgreSQL and SQL Server by what they say of themselves.
//!
//! In: a survey, and what the scenario demands. Out: findings. The surprising fact: a session
//! database is written at every page view and its rows live for minutes, so what makes other
//! databases safe (full recovery, a synchronous commit) is here what costs the most.

use super::demand::Demand;
use super::finding::{Finding, Severity};
use super::server;
use crate::providers::sql::connection_string::Dialect;
use crate::providers::sql::schema::SchemaError;
use crate::providers::sql::settings::SchemaOrigin;
use crate::providers::sql::survey::{Survey, survey};
use crate::providers::{ConnectError, ProviderSettings, ServerInfo};

/// Reaches the database of a provider and judges it.
///
/// # Errors
/// See [`ConnectError`].
pub async fn examine(
    settings: &ProviderSettings,
    demand: &Demand,
) -> Result<(Option<ServerInfo>, Vec<Finding>), ConnectError> {
    let survey = survey(settings).await?;
    let findings = judge(settings, demand, &survey);
    Ok((Some(survey.server), findings))
}

fn judge(settings: &ProviderSettings, demand: &Demand, survey: &Survey) -> Vec<Finding> {
    let version = Finding::new(
        Severity::Ok,
        "version",
        format!("{} {}", survey.server.product, survey.server.version),
        "What a database can do, and what it gets wrong, depends on it.",
    );
    let clock = server::clock(
        survey.pulse.clock,
        "Sessions expire and locks grow old by the database's clock; lateness is measured by ours.",
    );
    let mut findings = vec![version, server::round_trip(&survey.pulse, settings)];
    findings.extend(clock);
    findings.extend(procedures(survey.schema, survey));
    findings.extend(rights(survey.schema, survey));
    findings.extend(connections(demand, survey));
    findings.extend(match survey.dialect {
        Dialect::Postgres => postgres(survey),
        Dialect::SqlServer => sql_server(survey),
    });
    findings
}

/// A fact by its name.
fn fact<'a>(survey: &'a Survey, name: &str) -> Option<&'a str> {
    survey.facts.get(name).map(String::as_str)
}

/// A setting that is as it should be with one value.
fn expected(
    survey: &Survey,
    subject: &'static str,
    good: &str,
    otherwise: Severity,
    why: &str,
    remedy: &str,
) -> Option<Finding> {
    let value = fact(survey, subject)?;
    Some(match value.eq_ignore_ascii_case(good) {
        true => Finding::new(Severity::Ok, subject, value, why),
        false => Finding::new(otherwise, subject, value, why).remedy(remedy),
    })
}

fn procedures(origin: SchemaOrigin, survey: &Survey) -> Vec<Finding> {
    const SUBJECT: &str = "procedures";
    let why = "Every operation on a session is a procedure; the first request that needs one that \
               is missing fails.";
    if survey.defects.is_empty() {
        let what = match origin {
            SchemaOrigin::Existing => "all there, with their parameters, and may be called",
            SchemaOrigin::Create => "created for the run; their names are free",
        };
        return vec![Finding::new(Severity::Ok, SUBJECT, what, why)];
    }
    let defect = |defect: &SchemaError| {
        let remedy = match defect {
            SchemaError::Missing(_) | SchemaError::MissingTable(_) => {
                "Run what creates them: Sitecore's script, aspnet_regsql, Microsoft's provider itself, \
                 or what `sessionbench sql-schema` prints."
            }
            SchemaError::Denied(_) => match survey.dialect {
                Dialect::Postgres => "GRANT EXECUTE ON FUNCTION … TO the user of the connection.",
                Dialect::SqlServer => "GRANT EXECUTE ON SCHEMA::dbo TO the user of the connection.",
            },
            _ => "Name the database that the sessions are meant for.",
        };
        Finding::new(Severity::Problem, SUBJECT, defect.to_string(), why).remedy(remedy)
    };
    survey.defects.iter().map(defect).collect()
}

fn rights(origin: SchemaOrigin, survey: &Survey) -> Option<Finding> {
    const SUBJECT: &str = "rights";
    match origin {
        SchemaOrigin::Existing if survey.closed_tables.is_empty() => None,
        SchemaOrigin::Existing => Some(
            Finding::new(
                Severity::Problem,
                SUBJECT,
                format!(
                    "the user may not read and write {}",
                    survey.closed_tables.join(", ")
                ),
                "PostgreSQL runs a function with the rights of its caller.",
            )
            .remedy("GRANT SELECT, INSERT, UPDATE, DELETE on them, or make the functions SECURITY DEFINER."),
        ),
        SchemaOrigin::Create => {
            let why = "With `schema: create` tables and procedures are made for the run.";
            Some(match fact(survey, "may_create") {
                Some("true") => {
                    Finding::new(Severity::Ok, SUBJECT, "the user may create what is needed", why)
                }
                _ => Finding::new(
                    Severity::Problem,
                    SUBJECT,
                    "the user may not create tables and procedures here",
                    why,
                )
                .remedy("Make the user the owner of a database of its own, or use `schema: existing`."),
            })
        }
    }
}

fn connections(demand: &Demand, survey: &Survey) -> Option<Finding> {
    let number = |name| fact(survey, name)?.parse::<u64>().ok();
    let (limit, used) = (number("connection_limit")?, number("connections")?);
    // A request uses one at a time, and so does the poller of each instance.
    let instances = u64::from(demand.instances);
    let needed = demand.in_progress.ceil() as u64 + instances;
    let mut finding = server::connections(needed, used, limit, "the limit of connections");
    let pools = instances * u64::from(survey.max_pool_size);
    if pools > limit.saturating_sub(used) && finding.severity < Severity::Warning {
        finding.severity = Severity::Note;
        finding.what = format!(
            "{}; {instances} pools of {} may grow to {pools}",
            finding.what, survey.max_pool_size
        );
        finding.why =
            "When the database slows down, pools grow to their limit, and the connections \
                       that are refused then make it worse."
                .to_owned();
        finding.remedy = Some("Set `Max Pool Size` so that all pools together fit.".to_owned());
    }
    Some(finding)
}

fn postgres(survey: &Survey) -> Vec<Finding> {
    let read_only = ["in_recovery", "default_transaction_read_only"]
        .into_iter()
        .any(|name| matches!(fact(survey, name), Some("true" | "on")));
    let read_only = read_only.then(|| {
        let what = "the database accepts no writes: a standby, or read-only by default";
        Finding::new(
            Severity::Problem,
            "read-only",
            what,
            "Every page view writes its session.",
        )
        .remedy("Name the primary.")
    });
    [
        read_only,
        expected(
            survey,
            "default_transaction_isolation",
            "read committed",
            Severity::Warning,
            "With a stricter isolation, requests that want one lock fail instead of waiting.",
            "ALTER ROLE … SET default_transaction_isolation = 'read committed'.",
        ),
        expected(
            survey,
            "fsync",
            "on",
            Severity::Note,
            "Without it a crash of the machine may leave a database that does not start.",
            "Set it on, unless sessions alone are in this server.",
        ),
        synchronous_commit(survey),
        expected(
            survey,
            "autovacuum",
            "on",
            Severity::Warning,
            "Each write of a session leaves its old version behind; without autovacuum the table \
             only grows, and each poll reads all of it.",
            "Set it on.",
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn synchronous_commit(survey: &Survey) -> Option<Finding> {
    const SUBJECT: &str = "synchronous_commit";
    let value = fact(survey, SUBJECT)?;
    let (severity, why) = match value {
        "off" => (
            Severity::Note,
            "A crash of the server loses the sessions of its last moments; in return no request \
             waits for the disk.",
        ),
        "remote_apply" | "on" => (
            Severity::Ok,
            "Every write of a session waits for the disk, and for standbys that are synchronous.",
        ),
        _ => (Severity::Ok, "Every write of a session waits for the disk."),
    };
    Some(Finding::new(severity, SUBJECT, value, why))
}

fn sql_server(survey: &Survey) -> Vec<Finding> {
    let switch = |subject, wanted: bool, severity, why: &str, remedy: &str| {
        let value = fact(survey, subject)?;
        let on = matches!(value, "1" | "true");
        let what = if on { "on" } else { "off" };
        Some(match on == wanted {
            true => Finding::new(Severity::Ok, subject, what, why),
            false => Finding::new(severity, subject, what, why).remedy(remedy),
        })
    };
    [
        switch(
            "read_only",
            false,
            Severity::Problem,
            "Every page view writes its session.",
            "ALTER DATABASE … SET READ_WRITE.",
        ),
        switch(
            "read_committed_snapshot",
            true,
            Severity::Note,
            "Without it, reads wait for writes of the same rows: pollers that look for expired \
             sessions and requests stand in each other's way.",
            "ALTER DATABASE … SET READ_COMMITTED_SNAPSHOT ON, as Azure SQL has it by default.",
        ),
        switch(
            "auto_close",
            false,
            Severity::Warning,
            "A database that closes when nobody uses it makes the next visitor wait until it is open.",
            "ALTER DATABASE … SET AUTO_CLOSE OFF.",
        ),
        fact(survey, "snapshot_isolation").map(|value| {
            let why = "Nothing here asks for SNAPSHOT; what counts is read_committed_snapshot.";
            Finding::new(Severity::Ok, "snapshot_isolation", value, why)
        }),
        expected(
            survey,
            "recovery_model",
            "SIMPLE",
            Severity::Note,
            "Every write of a session stays in the log until a log backup; sessions are not worth \
             one.",
            "ALTER DATABASE … SET RECOVERY SIMPLE, where sessions alone are in the database.",
        ),
        fact(survey, "delayed_durability").map(|value| {
            let why = "FORCED or ALLOWED lets a write end before it is on disk: faster, and lost in \
                       a crash.";
            Finding::new(Severity::Ok, "delayed_durability", value, why)
        }),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[cfg(test)]
mod tests;
