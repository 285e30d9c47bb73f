//! The managed PostgreSQL, as a real process.

use sessionbench::clock::run_real;
use sessionbench::servers::postgres::{DATABASE, USER};
use sessionbench::servers::{ConfigValue, PostgresServer, StartError};
use std::collections::BTreeMap;

fn config(name: &str, value: &str) -> BTreeMap<String, ConfigValue> {
    BTreeMap::from([(name.to_owned(), ConfigValue::Text(value.to_owned()))])
}

async fn ask(port: u16, query: &str) -> Option<String> {
    let address = format!("host=127.0.0.1 port={port} user={USER} dbname={DATABASE}");
    let connecting = tokio_postgres::connect(&address, tokio_postgres::NoTls);
    let (client, connection) = connecting.await.ok()?;
    let connection = sessionbench::clock::spawn(connection);
    let row = client.query_one(query, &[]).await.ok()?;
    connection.cancel().await;
    Some(row.get(0))
}

#[test]
fn durability_is_on_unless_a_scenario_turns_it_off() {
    run_real(async {
        let durable = PostgresServer::start(&BTreeMap::new()).await.unwrap();
        for name in ["fsync", "full_page_writes", "synchronous_commit"] {
            let value = ask(durable.port(), &format!("SHOW {name}")).await;
            assert_eq!(value.as_deref(), Some("on"), "{name}");
        }
        let fast = PostgresServer::start(&config("fsync", "off"))
            .await
            .unwrap();
        assert_eq!(ask(fast.port(), "SHOW fsync").await.as_deref(), Some("off"));
        assert_ne!(durable.pid(), fast.pid());
    })
    .unwrap();
}

#[test]
fn a_dropped_server_is_gone_with_its_directory() {
    run_real(async {
        let server = PostgresServer::start(&BTreeMap::new()).await.unwrap();
        let port = server.port();
        let data = ask(port, "SHOW data_directory").await.unwrap();
        assert!(std::path::Path::new(&data).exists());
        assert_eq!(
            ask(port, "SHOW listen_addresses").await.as_deref(),
            Some("127.0.0.1")
        );
        drop(server);
        assert_eq!(ask(port, "SHOW port").await, None);
        assert!(!std::path::Path::new(&data).exists());
    })
    .unwrap();
}

#[test]
fn a_panic_stops_the_server() {
    let (sender, receiver) = std::sync::mpsc::channel();
    let run = std::thread::spawn(move || {
        let _ = run_real(async move {
            let server = PostgresServer::start(&BTreeMap::new()).await.unwrap();
            sender.send(server.port()).unwrap();
            panic!("on purpose");
        });
    });
    let port = receiver.recv().unwrap();
    assert!(run.join().is_err());
    run_real(async move {
        assert_eq!(ask(port, "SHOW port").await, None);
    })
    .unwrap();
}

#[test]
fn a_bad_value_is_told_in_postgresqls_own_words() {
    run_real(async {
        let error = PostgresServer::start(&config("work_mem", "plenty"))
            .await
            .unwrap_err();
        let StartError::Failed(why) = &error else {
            panic!("{error}");
        };
        assert!(why.contains("work_mem"), "{why}");
        assert!(why.contains("plenty"), "{why}");
    })
    .unwrap();
}
