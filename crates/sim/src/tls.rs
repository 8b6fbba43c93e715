//! HTTPS: the certificate that the simulated nodes show. The crypto provider is named here and nowhere else, and never
//! made the process default.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

/// How nodes prove who they are.
#[derive(Clone)]
pub enum TlsOptions {
    /// By a certificate for `localhost`, the loopback addresses and the address that is listened on, from an
    /// authority that is made up at the start: [`crate::Sim::ca_pem`].
    Generated,
    /// By one's own.
    Pem {
        /// The chain as PEM, the node's own certificate first.
        certificates: String,
        /// Its private key as PEM.
        key: String,
    },
}

impl fmt::Debug for TlsOptions {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TlsOptions::Generated => "Generated",
            TlsOptions::Pem { .. } => "Pem",
        })
    }
}

/// What connections are greeted with, and the authority's certificate as PEM if it was made up.
pub(crate) fn server_config(
    options: &TlsOptions,
    ip: IpAddr,
) -> Result<(Arc<ServerConfig>, Option<String>), String> {
    let (certificates, key, ca) = match options {
        TlsOptions::Generated => {
            let (certificate, key, ca) = generate(ip).map_err(|error| error.to_string())?;
            (certificate, key, Some(ca))
        }
        TlsOptions::Pem { certificates, key } => (certificates.clone(), key.clone(), None),
    };
    let chain = CertificateDer::pem_slice_iter(certificates.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| format!("the certificates cannot be read: {error}"))?;
    if chain.is_empty() {
        return Err("there is no PEM block \"CERTIFICATE\"".to_owned());
    }
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
        .map_err(|error| format!("the private key cannot be read: {error}"))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| error.to_string())?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok((Arc::new(config), ca))
}

/// A node's certificate, its key, and the certificate of who signed it.
fn generate(ip: IpAddr) -> Result<(String, String, String), rcgen::Error> {
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.distinguished_name.push(DnType::CommonName, "mconn sim");
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    if !ip.is_unspecified() && !names.contains(&ip.to_string()) {
        names.push(ip.to_string());
    }
    let mut node = CertificateParams::new(names)?;
    node.distinguished_name.push(DnType::CommonName, "simulated Marathon");
    let key = KeyPair::generate()?;
    let certificate = node.signed_by(&key, &authority)?;
    Ok((certificate.pem(), key.serialize_pem(), authority.pem()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOPBACK: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn what_cannot_be_used_is_told() {
        let pem = |certificates: &str, key: &str| TlsOptions::Pem {
            certificates: certificates.to_owned(),
            key: key.to_owned(),
        };
        let (certificate, key, _) = generate(LOOPBACK).expect("generates");
        let (_, other, _) = generate(LOOPBACK).expect("generates");
        let told = |options: &TlsOptions| server_config(options, LOOPBACK).err().unwrap_or_default();
        assert_eq!(told(&pem(&certificate, &key)), "");
        assert!(told(&pem("", &key)).contains("CERTIFICATE"));
        assert!(told(&pem(&certificate, "")).contains("private key"));
        assert_ne!(told(&pem(&certificate, &other)), "");
        assert!(!format!("{:?}", pem(&certificate, &key)).contains("PRIVATE"));
    }
}
