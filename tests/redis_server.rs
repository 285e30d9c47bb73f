//! The managed redis-server, as a real process.

use sessionbench::clock::run_real;
use sessionbench::servers::ConfigValue;
use sessionbench::servers::{RedisServer, StartError};
use std::collections::BTreeMap;

fn config(name: &str, value: ConfigValue) -> BTreeMap<String, ConfigValue> {
    BTreeMap::from([(name.to_owned(), value)])
}

fn ask(port: u16, command: &[&str]) -> redis::RedisResult<Vec<String>> {
    let client = redis::Client::open(("127.0.0.1", port))?;
    let mut connection = client.get_connection()?;
    let mut cmd = redis::cmd(command[0]);
    cmd.arg(&command[1..]);
    cmd.query(&mut connection)
}

#[test]
fn a_managed_server_takes_settings_and_keeps_nothing_on_disk() {
    run_real(async {
        let server = RedisServer::start(&config("hz", ConfigValue::Number(100)))
            .await
            .unwrap();
        let get = |name| ask(server.port(), &["CONFIG", "GET", name]).unwrap()[1].clone();
        assert_eq!(get("hz"), "100");
        assert_eq!(get("save"), "");
        assert_eq!(get("appendonly"), "no");
        assert_eq!(get("bind"), "127.0.0.1");
    })
    .unwrap();
}

#[test]
fn a_dropped_server_is_gone_with_its_directory() {
    run_real(async {
        let server = RedisServer::start(&BTreeMap::new()).await.unwrap();
        let port = server.port();
        let directory = ask(port, &["CONFIG", "GET", "dir"]).unwrap()[1].clone();
        assert!(std::path::Path::new(&directory).exists());
        drop(server);
        assert!(ask(port, &["CONFIG", "GET", "dir"]).is_err());
        assert!(!std::path::Path::new(&directory).exists());
    })
    .unwrap();
}

#[test]
fn a_panic_stops_the_server() {
    let (sender, receiver) = std::sync::mpsc::channel();
    let run = std::thread::spawn(move || {
        let _ = run_real(async move {
            let server = RedisServer::start(&BTreeMap::new()).await.unwrap();
            sender.send(server.port()).unwrap();
            panic!("on purpose");
        });
    });
    let port = receiver.recv().unwrap();
    assert!(run.join().is_err());
    assert!(ask(port, &["PING"]).is_err());
}

#[test]
fn a_bad_value_is_told_in_redis_own_words() {
    run_real(async {
        let error = RedisServer::start(&config("hz", ConfigValue::Text("often".to_owned())))
            .await
            .unwrap_err();
        let StartError::Failed(why) = &error else {
            panic!("{error}");
        };
        assert!(why.contains("hz often"), "{why}");
        assert!(why.contains("argument couldn't be parsed"), "{why}");
    })
    .unwrap();
}

#[test]
fn two_servers_live_side_by_side() {
    run_real(async {
        let one = RedisServer::start(&BTreeMap::new()).await.unwrap();
        let other = RedisServer::start(&BTreeMap::new()).await.unwrap();
        assert_ne!(one.port(), other.port());
        assert_ne!(one.pid(), other.pid());
    })
    .unwrap();
}
