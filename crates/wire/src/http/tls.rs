//! TLS settings, and the only place that names the crypto provider.
//!
//! The provider is given to each configuration in code and never made the process default, so that no other crate's
//! features can change it.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject as _;

use super::SetupError;

/// Whom we believe to be who they say (spec/marathon.md section 9: own CAs and self-signed certificates are common).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Trust {
    /// The system's certificates (`SSL_CERT_FILE` and `SSL_CERT_DIR` are honoured).
    #[default]
    System,
    /// The certificates in this PEM file, and no others.
    CaFile(PathBuf),
    /// The certificates in this PEM text, and no others.
    CaPem(Arc<str>),
    /// Anybody. Whoever sits in between can read and change everything: only when the operator asks for it.
    Anybody,
}

/// The configuration for `trust`, HTTP/1.1 only.
pub(super) fn client_config(trust: &Trust) -> Result<ClientConfig, SetupError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| SetupError::Client { reason: error.to_string() })?;
    let builder = match trust {
        Trust::System => builder.with_root_certificates(system_roots()?),
        Trust::CaFile(path) => {
            let pem =
                std::fs::read(path).map_err(|source| SetupError::CaFile { path: path.clone(), source })?;
            builder.with_root_certificates(pem_roots(&pem, &path.display().to_string())?)
        }
        Trust::CaPem(pem) => builder.with_root_certificates(pem_roots(pem.as_bytes(), "the given text")?),
        Trust::Anybody => {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(AcceptAnybody(provider)))
        }
    };
    let mut config = builder.with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// Some files of a system's store are unusable on many machines; that is no reason to refuse the others. A machine
/// without any must still be able to speak plain HTTP, so an empty store is only an error if reading it failed.
fn system_roots() -> Result<RootCertStore, SetupError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    match found.errors.first() {
        Some(error) if added == 0 => Err(SetupError::NoSystemRoots { reason: error.to_string() }),
        _ => Ok(roots),
    }
}

/// Unlike the system's store, each certificate that an operator names must be usable.
fn pem_roots(pem: &[u8], place: &str) -> Result<RootCertStore, SetupError> {
    let broken = |reason: String| SetupError::Certificates { place: place.to_owned(), reason };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| broken(error.to_string()))?;
        roots.add(certificate).map_err(|error| broken(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(broken("there is no PEM block \"CERTIFICATE\"".to_owned()));
    }
    Ok(roots)
}

/// Takes any certificate, but still checks that the other side holds its key.
#[derive(Debug)]
struct AcceptAnybody(Arc<CryptoProvider>);

impl ServerCertVerifier for AcceptAnybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_of_an_operator_must_be_usable() {
        let error = client_config(&Trust::CaPem("nothing".into())).unwrap_err();
        assert!(error.to_string().contains("no PEM block"), "{error}");
        let error = client_config(&Trust::CaFile("/does/not/exist.pem".into())).unwrap_err();
        assert!(error.to_string().contains("/does/not/exist.pem"), "{error}");
        assert!(client_config(&Trust::System).is_ok() && client_config(&Trust::Anybody).is_ok());
    }
}
