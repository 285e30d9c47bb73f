//! TLS to PostgreSQL: which certificates are trusted.
//!
//! In: what the connection string says of trust. Out: a connector for tokio-postgres. tiberius does
//! the same for SQL Server by itself. The surprising fact: tiberius would bring a second
//! implementation of cryptography to work unless the process has chosen one, so this room chooses
//! ring for both.

use super::connection_string::Trust;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::path::Path;
use std::sync::Arc;
use tokio_postgres_rustls::MakeRustlsConnect;

/// Has the whole process use ring.
pub fn choose_ring() {
    // An error means that it was chosen before, by an earlier connection.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// What makes TLS connections to PostgreSQL.
///
/// # Errors
/// The certificates cannot be read.
pub fn connector(trust: &Trust) -> Result<MakeRustlsConnect, String> {
    choose_ring();
    let config = ClientConfig::builder();
    let config = match trust {
        Trust::System => {
            return MakeRustlsConnect::with_native_certs()
                .map(|(connector, _skipped)| connector)
                .map_err(|_| "this system has no certificates to trust".to_owned());
        }
        Trust::File(file) => config.with_root_certificates(certificates(file)?),
        Trust::Anything => config
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(TrustAnything::new()?)),
    };
    Ok(MakeRustlsConnect::new(config.with_no_client_auth()))
}

/// The certificates of a PEM file.
fn certificates(file: &Path) -> Result<RootCertStore, String> {
    let unreadable = |why: String| format!("the certificates in {}: {why}", file.display());
    let mut roots = RootCertStore::empty();
    let found =
        CertificateDer::pem_file_iter(file).map_err(|error| unreadable(error.to_string()))?;
    for certificate in found {
        let certificate = certificate.map_err(|error| unreadable(error.to_string()))?;
        roots
            .add(certificate)
            .map_err(|error| unreadable(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(unreadable("there is none".to_owned()));
    }
    Ok(roots)
}

/// Takes any certificate, as `Trust Server Certificate=true` and `SSL Mode=Require` ask; that the
/// server holds its key is still checked.
#[derive(Debug)]
struct TrustAnything(Arc<CryptoProvider>);

impl TrustAnything {
    fn new() -> Result<Self, String> {
        CryptoProvider::get_default()
            .map(|provider| Self(Arc::clone(provider)))
            .ok_or_else(|| "no cryptography was chosen".to_owned())
    }
}

impl ServerCertVerifier for TrustAnything {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
