//! TLS and passwords to a real PostgreSQL: whom a connection string trusts, and what is told when it
//! does not work.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod sql_support;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use sessionbench::clock::{run_real, sleep};
use sessionbench::providers::sql::call::Value as Cell;
use sessionbench::providers::sql::pool::Connection;
use sessionbench::providers::{ConnectError, ProviderSettings, connect};
use sessionbench::servers::PostgresServer;
use sessionbench::servers::postgres::{DATABASE, USER};
use sql_support::*;
use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;
use tempfile::TempDir;

const PASSWORD: &str = "not-a-secret";

/// A server whose user `visitor` needs a password and TLS, where it has a certificate.
struct Guarded {
    server: PostgresServer,
    /// The authority that signed its certificate, and one that did not.
    files: TempDir,
}

/// A private authority.
fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Has the server itself write a file beside its data, which nobody else may read.
async fn write(administrator: &mut Connection, directory: &str, name: &str, text: &str) {
    let lines: Vec<String> = text.lines().map(|line| format!("'{line}'")).collect();
    let statement = format!(
        "COPY (SELECT unnest(ARRAY[{}])) TO PROGRAM 'umask 077; cat > {directory}/{name}'",
        lines.join(", ")
    );
    administrator.run_script(&statement).await.unwrap();
}

impl Guarded {
    async fn start(has_certificate: bool) -> Self {
        let server = PostgresServer::start(&BTreeMap::new()).await.unwrap();
        let files = tempfile::tempdir().unwrap();
        let (ours, other) = (authority("authority.test"), authority("other.test"));
        fs::write(files.path().join("ca.pem"), ours.pem()).unwrap();
        fs::write(files.path().join("other.pem"), other.pem()).unwrap();
        let this = Self { server, files };
        let mut administrator = raw(&this.address(USER, "SSL Mode=Disable")).await;
        let directory = administrator.query("SHOW data_directory", &[]).await;
        let Cell::Text(directory) = directory.unwrap()[0][0].clone() else {
            panic!("no data directory");
        };
        if has_certificate {
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
            let certificate = params.signed_by(&key, &ours).unwrap().pem();
            write(&mut administrator, &directory, "server.crt", &certificate).await;
            write(
                &mut administrator,
                &directory,
                "server.key",
                &key.serialize_pem(),
            )
            .await;
            administrator
                .run_script("ALTER SYSTEM SET ssl = on")
                .await
                .unwrap();
        }
        let rules = format!(
            "host all {USER} all trust\n{} all visitor all scram-sha-256",
            if has_certificate { "hostssl" } else { "host" }
        );
        write(&mut administrator, &directory, "pg_hba.conf", &rules).await;
        let visitor = format!(
            "CREATE ROLE visitor LOGIN PASSWORD '{PASSWORD}'; GRANT CREATE ON SCHEMA public TO visitor"
        );
        administrator.run_script(&visitor).await.unwrap();
        // The session reads its files anew after the server has.
        let loaded = "SELECT pg_conf_load_time()";
        let before = administrator.query(loaded, &[]).await.unwrap();
        let reload = administrator.query("SELECT pg_reload_conf()", &[]).await;
        reload.unwrap();
        while administrator.query(loaded, &[]).await.unwrap() == before {
            sleep(Duration::from_millis(10)).await;
        }
        this
    }

    fn address(&self, user: &str, more: &str) -> String {
        let port = self.server.port();
        format!("Host=localhost;Port={port};Database={DATABASE};Username={user};{more}")
    }

    fn file(&self, name: &str) -> String {
        self.files.path().join(name).to_str().unwrap().to_owned()
    }

    /// Settings of the visitor, with the right password.
    fn settings(&self, more: &str) -> ProviderSettings {
        at(self.address("visitor", &format!("Password={PASSWORD};{more}")))
    }

    /// Those that trust an authority and want the server's name in its certificate.
    fn trusting(&self, authority: &str) -> ProviderSettings {
        let file = self.file(authority);
        self.settings(&format!("SSL Mode=VerifyFull;Root Certificate={file}"))
    }
}

async fn works(settings: &ProviderSettings) {
    let provider = connect(settings, "").await.unwrap();
    let store = provider.open(&seat(0)).await.unwrap();
    store_new(&store, id(7), &"x".repeat(100_000)).await;
    let found = take(&store, &request(), id(7)).await;
    assert_eq!(text_of(&found.item).len(), 100_000);
    provider.close().await.unwrap();
}

/// Why a provider cannot be brought in; no password is in it.
async fn refusal(settings: &ProviderSettings) -> String {
    let error = connect(settings, "").await.err().unwrap();
    assert!(matches!(error, ConnectError::Store(_)), "{error:?}");
    let told = format!("{error} {error:?}");
    assert!(!told.contains(PASSWORD), "{told}");
    error.to_string()
}

#[test]
fn a_private_authority_that_is_named_is_trusted() {
    run_real(async {
        let guarded = Guarded::start(true).await;
        works(&guarded.trusting("ca.pem")).await;
    })
    .unwrap();
}

#[test]
fn tls_without_a_certificate_to_trust_is_taken_on_faith_as_npgsql_does() {
    run_real(async {
        let guarded = Guarded::start(true).await;
        works(&guarded.settings("SSL Mode=Require")).await;
    })
    .unwrap();
}

#[test]
fn an_authority_that_signed_nothing_is_told() {
    run_real(async {
        let guarded = Guarded::start(true).await;
        let error = refusal(&guarded.trusting("other.pem")).await;
        assert!(error.contains("UnknownIssuer"), "{error}");
    })
    .unwrap();
}

#[test]
fn a_name_that_is_not_in_the_certificate_is_told() {
    run_real(async {
        let guarded = Guarded::start(true).await;
        let file = guarded.file("ca.pem");
        let error = refusal(&guarded.settings(&format!(
            "SSL Mode=VerifyFull;Root Certificate={file};Host=127.0.0.1"
        )))
        .await;
        assert!(error.to_lowercase().contains("not valid for"), "{error}");
    })
    .unwrap();
}

#[test]
fn a_server_without_tls_is_refused_where_it_is_required() {
    run_real(async {
        let guarded = Guarded::start(false).await;
        let error = refusal(&guarded.settings("SSL Mode=Require")).await;
        assert!(error.contains("server does not support TLS"), "{error}");
        works(&guarded.settings("SSL Mode=Prefer")).await;
    })
    .unwrap();
}

#[test]
fn a_server_that_wants_tls_is_told_where_it_is_off() {
    run_real(async {
        let guarded = Guarded::start(true).await;
        let error = refusal(&guarded.settings("SSL Mode=Disable")).await;
        assert!(error.contains("no encryption"), "{error}");
    })
    .unwrap();
}

#[test]
fn a_wrong_password_is_told_without_the_password() {
    run_real(async {
        let guarded = Guarded::start(true).await;
        for password in ["Password=not-a-secret-either;", ""] {
            let address = guarded.address("visitor", &format!("{password}SSL Mode=Require"));
            let error = refusal(&at(address)).await;
            assert!(error.contains("password"), "{error}");
        }
    })
    .unwrap();
}
