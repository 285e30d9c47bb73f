//! The doctor on a MongoDB server.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod mongo_support;

use mongo_support::{Bench, Reader, as_user, on_database, with_option, without_user};
use mongodb::bson::{Document, doc};
use mongodb::{Client, Database};
use sessionbench::clock::run_real;
use sessionbench::doctor::{self, Examination, Finding, Severity};
use sessionbench::providers::ProviderSettings;
use sessionbench::providers::mongo::settings::MongoSitecore;

/// Examines a server as the store of a small site.
async fn examine(server: &str) -> Examination {
    let text = "name: x\ntime: {duration: 1h}\ncontacts: {arrivals: {constant: {rate: 1/s}}}\n\
                clusters: {web: {private: a, shared: a}}\nproviders: {a: {inproc: {}}}\n";
    let loaded = sessionbench::scenario::parse("test.yaml", text);
    let mut scenario = loaded
        .unwrap_or_else(|problems| panic!("{problems}"))
        .scenario;
    let settings = ProviderSettings::MongoSitecore(MongoSitecore::on(server));
    scenario.providers.insert("a".to_owned(), settings);
    let told = doctor::examine(&scenario).await.unwrap();
    told.examinations.into_iter().next().unwrap()
}

fn about<'a>(examination: &'a Examination, subject: &str) -> &'a Finding {
    let found = examination.findings.iter().find(|it| it.subject == subject);
    found.unwrap_or_else(|| panic!("nothing about {subject}: {examination:?}"))
}

/// An empty database and its connection string.
async fn empty(name: &str) -> (Database, String) {
    let name = format!("sessionbench_test_doctor_{name}");
    let server = on_database(&name);
    let client = Client::with_uri_str(&server).await.unwrap();
    let database = client.database(&name);
    // What a test left that failed.
    database.drop().await.unwrap();
    (database, server)
}

#[test]
#[ignore = "needs SESSIONBENCH_TEST_MONGODB"]
fn a_server_is_examined_in_every_respect_that_it_tells() {
    run_real(async {
        let (_, server) = empty("respects").await;
        let examination = examine(&server).await;
        assert!(examination.reached);
        for subject in [
            "version",
            "round trip",
            "clock",
            "deployment",
            "write concern",
            "rights",
            "index",
        ] {
            let finding = about(&examination, subject);
            assert!(!finding.what.is_empty(), "{finding:?}");
        }
        let version = &about(&examination, "version").what;
        assert!(version.contains("MongoDB"), "{version}");
        let server = examination.server.as_ref().unwrap();
        assert!(version.ends_with(&server.version), "{version}");
        assert!(!server.address.contains('@'), "{}", server.address);
    })
    .unwrap();
}

#[test]
#[ignore = "needs SESSIONBENCH_TEST_MONGODB"]
fn a_server_on_this_machine_has_our_clock() {
    run_real(async {
        let (_, server) = empty("clock").await;
        let examination = examine(&server).await;
        assert_eq!(about(&examination, "clock").severity, Severity::Ok);
    })
    .unwrap();
}

#[test]
#[ignore = "needs SESSIONBENCH_TEST_MONGODB"]
fn an_empty_database_stays_empty() {
    run_real(async {
        let (database, server) = empty("empty").await;
        let examination = examine(&server).await;
        assert_eq!(about(&examination, "index").severity, Severity::Ok);
        let none = database.list_collection_names().await.unwrap();
        assert!(none.is_empty(), "{none:?}");
    })
    .unwrap();
}

#[test]
#[ignore = "needs SESSIONBENCH_TEST_MONGODB"]
fn a_collection_without_the_index_is_told_and_left_so() {
    run_real(async {
        let (database, server) = empty("no_index").await;
        let sessions = database.collection::<Document>("sessions");
        sessions.insert_one(doc! { "_id": 1 }).await.unwrap();
        let examination = examine(&server).await;
        assert_eq!(about(&examination, "index").severity, Severity::Warning);
        assert_eq!(sessions.list_index_names().await.unwrap(), ["_id_"]);
        database.drop().await.unwrap();
    })
    .unwrap();
}

#[test]
#[ignore = "needs SESSIONBENCH_TEST_MONGODB"]
fn the_index_that_a_run_makes_is_recognised() {
    run_real(async {
        let bench = Bench::new("doctor_index").await;
        let examination = examine(&on_database(&bench.databases[0])).await;
        let index = about(&examination, "index");
        assert_eq!(index.severity, Severity::Ok);
        assert!(index.what.ends_with("(e, …) is there"), "{}", index.what);
        bench.close().await;
    })
    .unwrap();
}

#[test]
#[ignore = "needs SESSIONBENCH_TEST_MONGODB"]
fn a_write_concern_of_the_connection_string_is_said_not_to_count() {
    run_real(async {
        let (_, server) = empty("write_concern").await;
        let examination = examine(&with_option(&server, "w=0")).await;
        let finding = about(&examination, "write concern");
        assert_eq!(finding.severity, Severity::Note);
        assert!(finding.what.contains("w: 0 of the connection string"));
    })
    .unwrap();
}

#[test]
#[ignore = "needs SESSIONBENCH_TEST_MONGODB"]
fn who_does_not_log_in_where_users_must_is_told_so() {
    run_real(async {
        let (_, server) = empty("login").await;
        let examination = examine(&without_user(&server)).await;
        let rights = about(&examination, "rights");
        assert_eq!(rights.severity, Severity::Problem);
        assert!(rights.what.contains("wants a login"), "{}", rights.what);
    })
    .unwrap();
}

#[test]
#[ignore = "needs SESSIONBENCH_TEST_MONGODB"]
fn a_user_who_may_only_read_is_examined_and_not_called_fit() {
    run_real(async {
        let reader = Reader::new("doctor").await;
        let examination = examine(&reader.server).await;
        assert!(examination.reached);
        assert_ne!(about(&examination, "rights").severity, Severity::Ok);
        reader.remove().await;
    })
    .unwrap();
}

#[test]
#[ignore = "needs SESSIONBENCH_TEST_MONGODB"]
fn a_wrong_password_leaves_the_server_unexamined_and_is_not_shown() {
    run_real(async {
        let (_, server) = empty("password").await;
        let examination = examine(&as_user(&server, "nobody", "made-up-word")).await;
        assert!(!examination.reached);
        let told = format!("{:?}", about(&examination, "reachability"));
        assert!(told.contains("authentication failed"), "{told}");
        assert!(!told.contains("made-up-word"), "{told}");
    })
    .unwrap();
}
