use super::super::sitecore::SCHEMA;
use super::super::sql_server::batches;
use super::super::{asynchronous, universal};
use super::*;
use sqlparser::ast::Statement;
use sqlparser::dialect::MsSqlDialect;
use sqlparser::parser::Parser;

/// Those of every provider.
const ALL: [&Schema; 3] = [&SCHEMA, &asynchronous::SCHEMA, &universal::SCHEMA];

fn parsed(batch: &str) -> Vec<Statement> {
    Parser::parse_sql(&MsSqlDialect {}, batch).unwrap_or_else(|error| panic!("{error}: {batch}"))
}

/// sqlparser knows no parameters without parentheses, so a procedure's head is left to the next test
/// and its body parsed alone.
fn body(batch: &str) -> Option<&str> {
    let (_, body) = batch.split_once("\nAS\nBEGIN\n")?;
    body.trim_end().strip_suffix("END")
}

#[test]
fn the_t_sql_script_parses_statement_by_statement() {
    let minutes = [MINUTE, Duration::from_secs(3)];
    for (schema, minute) in ALL
        .into_iter()
        .flat_map(|it| minutes.map(|minute| (it, minute)))
    {
        let script = schema.script(Dialect::SqlServer, minute);
        let batches = batches(&script);
        let bodies: Vec<&str> = batches.iter().filter_map(|batch| body(batch)).collect();
        assert_eq!(bodies.len(), schema.procedures.len());
        assert!(bodies.into_iter().all(|body| parsed(body).len() >= 2));
        let others = batches.iter().filter(|batch| body(batch).is_none());
        let others: Vec<Statement> = others.flat_map(|batch| parsed(batch)).collect();
        let marks = schema.tables.len() + schema.procedures.len();
        // Besides the marks: the tables and one index.
        assert_eq!(others.len(), schema.tables.len() + 1 + marks);
    }
}

#[test]
fn both_scripts_declare_the_genuine_parameters() {
    for (dialect, procedure, sign) in [
        (Dialect::SqlServer, "CREATE PROCEDURE [dbo].[", "@"),
        (Dialect::Postgres, "CREATE FUNCTION \"", "\""),
    ] {
        let procedures =
            |schema: &'static Schema| schema.procedures.iter().map(move |it| (schema, it));
        for (schema, (name, parameters)) in ALL.into_iter().flat_map(procedures) {
            let script = schema.script(dialect, MINUTE);
            let after = |close| script.split_once(&format!("{procedure}{name}{close}"));
            let (_, rest) = after("]").or_else(|| after("\"")).unwrap();
            let head = rest.split("AS").next().unwrap();
            for parameter in *parameters {
                assert!(
                    head.contains(&format!("{sign}{parameter}")),
                    "{name}: {parameter}"
                );
            }
        }
    }
}

#[test]
fn everything_that_a_script_creates_is_marked() {
    let dialects = [Dialect::SqlServer, Dialect::Postgres];
    for (schema, dialect) in ALL
        .into_iter()
        .flat_map(|it| dialects.map(|dialect| (it, dialect)))
    {
        let script = schema.script(dialect, MINUTE);
        let marks = script.matches(MARK).count();
        assert_eq!(marks, schema.tables.len() + schema.procedures.len());
    }
}

#[test]
fn a_shorter_minute_is_written_wherever_a_whole_one_stood() {
    let scaled = |dialect| SCHEMA.script(dialect, Duration::from_micros(8_571_428));
    let postgres = scaled(Dialect::Postgres);
    assert_eq!(postgres.matches("interval '8571 milliseconds'").count(), 7);
    assert!(!postgres.contains("minute'"));
    let sql_server = scaled(Dialect::SqlServer);
    assert_eq!(
        sql_server.matches("DATEADD(MILLISECOND, 8571 * ").count(),
        6
    );
    assert!(!sql_server.contains("MINUTE"));
}

#[test]
fn the_script_for_whole_minutes_is_the_file_itself() {
    assert_eq!(SCHEMA.script(Dialect::Postgres, MINUTE), SCHEMA.postgres);
    assert_eq!(SCHEMA.script(Dialect::SqlServer, MINUTE), SCHEMA.sql_server);
}
