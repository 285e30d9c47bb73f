//! TLS to a Redis server: which certificates count, and under which name.
//!
//! In: settings and the name of `sslHost`. Out: a stream that is encrypted and verified. The
//! surprising fact: a Redis server without TLS takes the beginning of a handshake for a command that
//! has not ended, and waits for the rest. So a handshake that gets no answer is checked from a
//! second connection, instead of letting it run into its limit.

use super::address::Address;
use super::failure::Failure;
use super::settings::RedisSettings;
use crate::clock;
use crate::providers::ConnectError;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// How long a handshake may go unanswered before the server is asked whether it speaks TLS at all.
const PLAIN_CHECK: Duration = Duration::from_millis(500);

/// What is needed for TLS.
pub struct Tls {
    connector: TlsConnector,
    /// Name in the server's certificate, if it is not the host's.
    name: Option<String>,
}

impl Tls {
    /// Reads certificates and keys. Without `ca_file` the machine's own authorities are trusted.
    ///
    /// # Errors
    /// A file cannot be read or holds no certificate or key.
    pub fn new(settings: &RedisSettings, name: Option<String>) -> Result<Self, ConnectError> {
        let wrong = |error: rustls::Error| ConnectError::Settings(format!("TLS: {error}"));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(wrong)?
            .with_root_certificates(authorities(settings.ca_file.as_deref())?);
        let files = (&settings.client_certificate_file, &settings.client_key_file);
        let config = match files {
            (Some(certificate), Some(key)) => {
                let chain = certificates("client_certificate_file", certificate)?;
                let key = PrivateKeyDer::from_pem_file(key)
                    .map_err(unreadable("client_key_file", key))?;
                builder.with_client_auth_cert(chain, key).map_err(wrong)?
            }
            (None, None) => builder.with_no_client_auth(),
            _ => {
                return Err(ConnectError::Settings(
                    "`client_certificate_file` and `client_key_file` belong together".to_owned(),
                ));
            }
        };
        let connector = TlsConnector::from(Arc::new(config));
        Ok(Self { connector, name })
    }

    /// Makes a stream to a server a TLS stream.
    ///
    /// # Errors
    /// The server speaks no TLS, or its certificate is not valid for the name.
    pub async fn handshake(
        &self,
        at: &Address,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, Failure> {
        let name = self.name.as_deref().or(at.host()).unwrap_or_default();
        let server = ServerName::try_from(name.to_owned())
            .map_err(|_| Failure::Unusable(format!("`{name}` is no name for a certificate")))?;
        tokio::select! {
            biased;
            done = self.connector.connect(server, stream) => {
                done.map_err(|error| explained(&error, at, name))
            }
            () = speaks_plain_redis(at) => Err(no_tls(at)),
        }
    }
}

fn no_tls(at: &Address) -> Failure {
    Failure::Unusable(format!(
        "{at} speaks plain Redis, not TLS: leave out `ssl=true` or name its TLS port"
    ))
}

/// Why a handshake failed, with what would help.
fn explained(error: &std::io::Error, at: &Address, name: &str) -> Failure {
    let tls = error.get_ref().and_then(|error| error.downcast_ref());
    match tls {
        Some(rustls::Error::InvalidMessage(_)) => no_tls(at),
        Some(rustls::Error::InvalidCertificate(why)) => Failure::Unusable(format!(
            "the certificate of {at} is not valid for `{name}`: {why}; `ca_file` names a private \
             authority, `sslHost` the name in the certificate"
        )),
        Some(other) => Failure::Unusable(format!("{at} refuses TLS: {other}")),
        None => Failure::Broken(format!("{at}: {error}")),
    }
}

/// Returns once the server is known to answer without TLS; otherwise never.
async fn speaks_plain_redis(at: &Address) {
    clock::sleep(PLAIN_CHECK).await;
    if !matches!(plain_answer(at).await, Ok(b'+' | b'-')) {
        std::future::pending().await
    }
}

/// First byte that a server answers to a PING without TLS.
async fn plain_answer(at: &Address) -> std::io::Result<u8> {
    let Address::Tcp { host, port } = at else {
        return Err(std::io::ErrorKind::Unsupported.into());
    };
    let mut stream = TcpStream::connect((&**host, *port)).await?;
    stream.write_all(b"PING\r\n").await?;
    stream.read_u8().await
}

/// The authorities in a file, or those that the machine trusts.
fn authorities(file: Option<&str>) -> Result<RootCertStore, ConnectError> {
    let mut roots = RootCertStore::empty();
    match file {
        Some(file) => {
            for certificate in certificates("ca_file", file)? {
                roots
                    .add(certificate)
                    .map_err(unreadable("ca_file", file))?;
            }
        }
        // One that cannot be read is missed only when a server's certificate needs it.
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    Ok(roots)
}

fn certificates(
    setting: &'static str,
    file: &str,
) -> Result<Vec<CertificateDer<'static>>, ConnectError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(file)
        .map_err(unreadable(setting, file))?
        .collect();
    let found = found.map_err(unreadable(setting, file))?;
    match found.is_empty() {
        true => Err(unreadable(setting, file)("it holds no PEM certificate")),
        false => Ok(found),
    }
}

fn unreadable<E: Display>(setting: &'static str, file: &str) -> impl Fn(E) -> ConnectError {
    move |error| ConnectError::Settings(format!("`{setting}: {file}`: {error}"))
}
