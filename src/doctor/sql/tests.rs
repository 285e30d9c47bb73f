use super::*;
use crate::providers::pulse::Pulse;
use crate::providers::sql::settings::SqlSitecore;

fn survey(dialect: Dialect, facts: &[(&str, &str)]) -> Survey {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Survey {
        server: ServerInfo::default(),
        dialect,
        pulse: Pulse {
            median_seconds: 0.000_5,
            p99_seconds: 0.001,
            clock: None,
        },
        facts: facts.iter().map(owned).collect(),
        schema: SchemaOrigin::Create,
        defects: Vec::new(),
        closed_tables: Vec::new(),
        max_pool_size: 100,
    }
}

fn found(schema: SchemaOrigin, survey: &Survey) -> Vec<(&'static str, Severity)> {
    let settings = ProviderSettings::SqlSitecore(SqlSitecore::default());
    let survey = &Survey {
        schema,
        ..survey.clone()
    };
    let demand = Demand {
        cd_servers: 2,
        instances: 4,
        in_progress: 20.0,
        ..Demand::default()
    };
    let findings = judge(&settings, &demand, survey).into_iter();
    findings.map(|it| (it.subject, it.severity)).collect()
}

const SQL_SERVER: [(&str, &str); 9] = [
    ("connections", "10"),
    ("connection_limit", "32767"),
    ("read_committed_snapshot", "1"),
    ("snapshot_isolation", "OFF"),
    ("auto_close", "0"),
    ("read_only", "0"),
    ("recovery_model", "SIMPLE"),
    ("delayed_durability", "DISABLED"),
    ("may_create", "true"),
];

#[test]
fn nothing_is_wrong_with_a_healthy_sql_server() {
    for found in found(
        SchemaOrigin::Create,
        &survey(Dialect::SqlServer, &SQL_SERVER),
    ) {
        assert_eq!(found.1, Severity::Ok, "{found:?}");
    }
}

#[test]
fn what_is_set_otherwise_in_sql_server_is_told() {
    for (subject, value, severity) in [
        ("read_committed_snapshot", "0", Severity::Note),
        ("auto_close", "1", Severity::Warning),
        ("read_only", "1", Severity::Problem),
        ("recovery_model", "FULL", Severity::Note),
    ] {
        let mut facts = SQL_SERVER;
        let fact = facts.iter_mut().find(|fact| fact.0 == subject).unwrap();
        fact.1 = value;
        let found = found(SchemaOrigin::Create, &survey(Dialect::SqlServer, &facts));
        assert!(found.contains(&(subject, severity)), "{found:?}");
    }
}

#[test]
fn a_standby_of_postgresql_takes_no_sessions() {
    let standby = survey(Dialect::Postgres, &[("in_recovery", "true")]);
    let found = found(SchemaOrigin::Existing, &standby);
    assert!(
        found.contains(&("read-only", Severity::Problem)),
        "{found:?}"
    );
}

#[test]
fn every_defect_of_the_procedures_is_a_finding() {
    let mut broken = survey(Dialect::SqlServer, &SQL_SERVER);
    broken.defects = vec![
        SchemaError::Denied("GetItem".to_owned()),
        SchemaError::Missing(vec!["ReleaseItem".to_owned()]),
    ];
    let found = found(SchemaOrigin::Existing, &broken);
    let problems = found
        .iter()
        .filter(|it| **it == ("procedures", Severity::Problem));
    assert_eq!(problems.count(), 2, "{found:?}");
}

#[test]
fn pools_that_could_outgrow_the_database_are_worth_a_note() {
    let facts = [("connections", "0"), ("connection_limit", "100")];
    let found = found(SchemaOrigin::Existing, &survey(Dialect::Postgres, &facts));
    assert!(
        found.contains(&("connections", Severity::Note)),
        "{found:?}"
    );
}
