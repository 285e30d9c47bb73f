//! TLS to a Redis server: private authorities, names, client certificates, and mismatches.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod redis_support;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use redis_support::*;
use sessionbench::clock::{now, run_real};
use sessionbench::providers::redis::settings::RedisSettings;
use sessionbench::providers::{ConnectError, ProviderSettings, connect};
use std::fs;
use std::time::Duration;
use tempfile::TempDir;

/// Below the five seconds of StackExchange's own limit for a connection, on a busy machine too.
const FAST: Duration = Duration::from_secs(4);

/// The files of a private authority, of a server and of a client that it signed.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        // Of the same name as those it signs, it would look as if they had signed themselves.
        let name = &mut params.distinguished_name;
        name.push(DnType::CommonName, "authority.test");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let write =
            |name: &str, text: String| fs::write(directory.path().join(name), text).unwrap();
        write("ca.pem", authority.pem());
        for name in ["sessions.test", "client.test"] {
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
            let certificate = params.signed_by(&key, &authority).unwrap();
            write(&format!("{name}.pem"), certificate.pem());
            write(&format!("{name}.key"), key.serialize_pem());
        }
        Self(directory)
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    /// A server that speaks TLS and nothing else.
    async fn server(&self, more: &[&str]) -> Foreign {
        let port = free_port();
        let tls_port = port.to_string();
        let certificate = self.path("sessions.test.pem");
        let key = self.path("sessions.test.key");
        let authority = self.path("ca.pem");
        let arguments = [
            &["--port", "0", "--tls-port", &tls_port][..],
            &["--tls-cert-file", &certificate, "--tls-key-file", &key],
            &["--tls-ca-cert-file", &authority],
            more,
        ];
        Foreign::start_with(port, &arguments.concat()).await
    }

    /// Settings for a server that trust the authority and expect its name.
    fn settings(&self, server: &Foreign) -> RedisSettings {
        RedisSettings {
            ca_file: Some(self.path("ca.pem")),
            ..on(&format!(
                "{},ssl=true,sslHost=sessions.test",
                server.address()
            ))
        }
    }
}

const ANY_CLIENT: [&str; 2] = ["--tls-auth-clients", "no"];

async fn works(settings: &ProviderSettings) {
    let provider = connect(settings, "").await.unwrap();
    let store = provider.open(&seat(0)).await.unwrap();
    store_new(&store, id(7), &"x".repeat(100_000)).await;
    let found = take(&store, &request(), id(7)).await;
    assert_eq!(text_of(&found.item).len(), 100_000);
    provider.close().await.unwrap();
}

/// Why a provider cannot be brought in, which must not take long.
async fn refusal(redis: RedisSettings) -> String {
    let started = now();
    let error = connect(&microsoft(redis), "").await.err().unwrap();
    assert!(now().since(started) < FAST, "{error}");
    error.to_string()
}

#[test]
fn a_private_authority_and_the_name_in_its_certificate_are_accepted() {
    run_real(async {
        let files = Files::new();
        let server = files.server(&ANY_CLIENT).await;
        works(&microsoft(files.settings(&server))).await;
    })
    .unwrap();
}

#[test]
fn notifications_come_through_tls() {
    run_real(async {
        let files = Files::new();
        let notifying = ["--notify-keyspace-events", "Kx", "--hz", "500"];
        let server = files.server(&[&ANY_CLIENT[..], &notifying].concat()).await;
        let settings = keyspace(files.settings(&server));
        let provider = connect(&settings, "").await.unwrap();
        let fast = fast_seat(0, Duration::from_millis(50));
        let (store, ends) = listen(&provider, &fast).await;
        store_new(&store, id(7), "hello").await;
        until("session end", || !ends.seen.borrow().is_empty()).await;
        store.dispose().await;
    })
    .unwrap();
}

#[test]
fn a_server_that_asks_for_a_certificate_gets_ours() {
    run_real(async {
        let files = Files::new();
        let server = files.server(&["--tls-auth-clients", "yes"]).await;
        let without = files.settings(&server);
        let with = RedisSettings {
            client_certificate_file: Some(files.path("client.test.pem")),
            client_key_file: Some(files.path("client.test.key")),
            ..without.clone()
        };
        let why = refusal(without).await;
        assert!(why.contains("`client_certificate_file`"), "{why}");
        works(&microsoft(with)).await;
    })
    .unwrap();
}

#[test]
fn an_authority_that_nobody_vouches_for_is_refused_with_the_remedy() {
    run_real(async {
        let files = Files::new();
        let server = files.server(&ANY_CLIENT).await;
        let why = refusal(RedisSettings {
            ca_file: None,
            ..files.settings(&server)
        })
        .await;
        assert!(why.contains("`ca_file` names a private authority"), "{why}");
    })
    .unwrap();
}

#[test]
fn a_certificate_for_another_name_is_refused_with_the_remedy() {
    run_real(async {
        let files = Files::new();
        let server = files.server(&ANY_CLIENT).await;
        let why = refusal(RedisSettings {
            ca_file: Some(files.path("ca.pem")),
            ..on(&format!("{},ssl=true", server.address()))
        })
        .await;
        assert!(why.contains("not valid for `127.0.0.1`"), "{why}");
        assert!(why.contains("`sslHost`"), "{why}");
    })
    .unwrap();
}

#[test]
fn tls_to_a_server_without_it_is_told_before_the_limit() {
    run_real(async {
        let files = Files::new();
        let server = Foreign::start().await;
        let why = refusal(files.settings(&server)).await;
        assert!(why.contains("speaks plain Redis, not TLS"), "{why}");
    })
    .unwrap();
}

#[test]
fn no_tls_to_a_server_with_it_is_told_before_the_limit() {
    run_real(async {
        let files = Files::new();
        let server = files.server(&ANY_CLIENT).await;
        let why = refusal(on(&server.address())).await;
        assert!(why.contains("`ssl=true`"), "{why}");
    })
    .unwrap();
}

#[test]
fn a_file_that_is_no_certificate_is_told_by_its_setting() {
    run_real(async {
        let files = Files::new();
        for file in ["nowhere.pem", "client.test.key"] {
            let redis = RedisSettings {
                ca_file: Some(files.path(file)),
                ..on("localhost,ssl=true")
            };
            let error = connect(&microsoft(redis), "").await.err();
            let Some(ConnectError::Settings(why)) = error else {
                panic!("{error:?}");
            };
            assert!(why.starts_with("`ca_file: "), "{why}");
        }
    })
    .unwrap();
}
