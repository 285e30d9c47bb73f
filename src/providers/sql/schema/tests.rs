use super::super::asynchronous::repository::Repository;
use super::super::settings::{RepositoryType, SqlAsync};
use super::super::sitecore::SCHEMA;
use super::super::sql_server::batches;
use super::super::universal;
use super::*;
use sqlparser::ast::Statement;
use sqlparser::dialect::MsSqlDialect;
use sqlparser::parser::Parser;

/// Those of every provider.
fn all() -> Vec<Schema> {
    let repositories = [
        RepositoryType::FrameworkCompat,
        RepositoryType::SqlServer,
        RepositoryType::InMemory,
        RepositoryType::InMemoryDurable,
    ];
    let named = [None, Some("mine")];
    let settings = repositories.into_iter().flat_map(|repository| {
        named.map(|table| SqlAsync {
            repositoryType: repository,
            sessionTableName: table.map(str::to_owned),
            ..SqlAsync::default()
        })
    });
    let asynchronous = settings.map(|settings| Repository::of(&settings).schema().clone());
    [SCHEMA, universal::SCHEMA]
        .into_iter()
        .chain(asynchronous)
        .collect()
}

fn script(schema: &Schema, dialect: Dialect, minute: Duration) -> String {
    schema.script(dialect, minute).unwrap()
}

/// Every script of every provider.
fn scripts() -> Vec<(Schema, Dialect, String)> {
    let dialects = [Dialect::SqlServer, Dialect::Postgres];
    let each = all()
        .into_iter()
        .flat_map(|schema| dialects.map(|dialect| (schema.clone(), dialect)));
    let there = each.filter(|(schema, dialect)| schema.check_dialect(*dialect).is_ok());
    there
        .map(|(schema, dialect)| {
            let script = script(&schema, dialect, MINUTE);
            (schema, dialect, script)
        })
        .collect()
}

fn parsed(batch: &str) -> Vec<Statement> {
    // sqlparser does not know where a table in memory says so, nor how errors are caught.
    let unknown = [
        ("BEGIN TRY", "BEGIN"),
        ("END TRY", "END;"),
        ("BEGIN CATCH", "BEGIN"),
        ("END CATCH", "END;"),
        (
            "\n        PRIMARY KEY NONCLUSTERED HASH WITH (BUCKET_COUNT = 33554432)",
            " PRIMARY KEY",
        ),
        (" INDEX [Index_Expires] NONCLUSTERED", ""),
        (
            " WITH (MEMORY_OPTIMIZED = ON, DURABILITY = SCHEMA_ONLY)",
            "",
        ),
        (
            " WITH (MEMORY_OPTIMIZED = ON, DURABILITY = SCHEMA_AND_DATA)",
            "",
        ),
    ];
    let batch = unknown
        .iter()
        .fold(batch.to_owned(), |batch, (what, plain)| {
            batch.replace(what, plain)
        });
    Parser::parse_sql(&MsSqlDialect {}, &batch).unwrap_or_else(|error| panic!("{error}: {batch}"))
}

/// sqlparser knows no parameters without parentheses, so a procedure's head is left to the next test
/// and its body parsed alone.
fn body(batch: &str) -> Option<&str> {
    let (_, body) = batch.split_once("\nAS\nBEGIN")?;
    let (_, body) = body.split_once('\n')?;
    body.trim_end().strip_suffix("END")
}

#[test]
fn the_t_sql_script_parses_statement_by_statement() {
    let minutes = [MINUTE, Duration::from_secs(3)];
    let all = all();
    for (schema, minute) in all
        .iter()
        .flat_map(|schema| minutes.map(|minute| (schema, minute)))
    {
        let script = script(schema, Dialect::SqlServer, minute);
        let batches = batches(&script);
        let bodies: Vec<&str> = batches.iter().filter_map(|batch| body(batch)).collect();
        assert_eq!(bodies.len(), schema.procedures.len());
        assert!(bodies.into_iter().all(|body| !parsed(body).is_empty()));
        let others = batches.iter().filter(|batch| body(batch).is_none());
        let others: Vec<Statement> = others.flat_map(|batch| parsed(batch)).collect();
        let marks = schema.tables.len() + schema.procedures.len();
        // Besides the marks: the tables and, of those on disk, one index.
        let indexes = usize::from(!schema.is_in_memory());
        assert_eq!(others.len(), schema.tables.len() + indexes + marks);
    }
}

#[test]
fn every_script_declares_the_genuine_parameters() {
    for (schema, dialect, script) in scripts() {
        let (open, close, sign) = match dialect {
            Dialect::SqlServer => ("create procedure [dbo].[", "]", "@"),
            Dialect::Postgres => ("create function \"", "\"", "\""),
        };
        // T-SQL's names know no case.
        let script = script.to_lowercase();
        for (name, parameters) in schema.procedures() {
            let name = name.to_lowercase();
            let (_, rest) = script.split_once(&format!("{open}{name}{close}")).unwrap();
            let head = rest.split("\nas").next().unwrap();
            for parameter in parameters {
                let declared = head.contains(&format!("{sign}{}", parameter.to_lowercase()));
                assert!(declared, "{name}: {parameter}");
            }
        }
    }
}

#[test]
fn everything_that_a_script_creates_is_marked() {
    for (schema, _, script) in scripts() {
        let marks = script.matches(MARK).count();
        assert_eq!(marks, schema.tables.len() + schema.procedures.len());
    }
}

#[test]
fn a_table_of_another_name_leaves_none_of_the_written_one() {
    for (schema, _, script) in scripts() {
        if schema.session_table() == "mine" {
            assert!(!script.contains(&format!("[{}]", schema.tables[0])));
            assert!(!script.contains(&format!("\"{}\"", schema.tables[0])));
            assert!(!script.contains(&format!("'{}'", schema.tables[0])));
        }
    }
}

#[test]
fn postgresql_is_refused_where_it_has_no_such_tables_or_cuts_their_names() {
    let of = |repository, table: Option<&str>| {
        let settings = SqlAsync {
            repositoryType: repository,
            sessionTableName: table.map(str::to_owned),
            ..SqlAsync::default()
        };
        let repository = Repository::of(&settings);
        repository.schema().check_dialect(Dialect::Postgres)
    };
    assert_eq!(
        of(RepositoryType::InMemory, None),
        Err(SchemaError::NotInPostgres)
    );
    let long = "t".repeat(40);
    let cut = SchemaError::LongName(format!("{long}_DeleteExpiredSessionState"));
    assert_eq!(of(RepositoryType::SqlServer, Some(&long)), Err(cut));
    assert_eq!(of(RepositoryType::FrameworkCompat, Some(&long)), Ok(()));
}

#[test]
fn a_shorter_minute_is_written_wherever_a_whole_one_stood() {
    let scaled = |dialect| script(&SCHEMA, dialect, Duration::from_micros(8_571_428));
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
    let written = SCHEMA.postgres.unwrap();
    assert_eq!(script(&SCHEMA, Dialect::Postgres, MINUTE), written);
    assert_eq!(
        script(&SCHEMA, Dialect::SqlServer, MINUTE),
        SCHEMA.sql_server
    );
}
