//! TLS towards a server, after the options of [`plan::tls::Tls`].

use std::sync::Arc;

use plan::tls::{Tls, TlsMode};
use plan::{Error, Result};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

/// The client's configuration.
///
/// # Errors
/// [`plan::Class::Refused`] when a file cannot be read or does not hold what it should.
pub(crate) fn client_config(tls: &Tls) -> Result<Arc<ClientConfig>> {
    let provider = Arc::new(ring::default_provider());
    let refused = |what: &str| Error::refused(what.to_owned());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| refused("set up TLS").because(error))?;
    let builder = match tls.mode {
        TlsMode::VerifyFull => builder.with_root_certificates(roots(tls)?),
        mode => {
            let chain = if mode == TlsMode::VerifyCa {
                let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots(tls)?), Arc::clone(&provider)).build();
                Some(verifier.map_err(|error| refused("use the CA file").because(error))?)
            } else {
                None
            };
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Lenient { chain, provider }))
        }
    };
    let config = match (&tls.client_certificate_file, &tls.client_key_file) {
        (None, None) => builder.with_no_client_auth(),
        (Some(certificates), Some(key)) => {
            let chain = CertificateDer::pem_file_iter(certificates).and_then(Iterator::collect::<Result<Vec<_>, _>>);
            let chain =
                chain.map_err(|error| refused(&format!("read the client certificate {}", certificates.display())).because(error))?;
            let key = PrivateKeyDer::from_pem_file(key)
                .map_err(|error| refused(&format!("read the client key {}", key.display())).because(error))?;
            builder.with_client_auth_cert(chain, key).map_err(|error| refused("use the client certificate").because(error))?
        }
        _ => return Err(refused("a client certificate needs its key, and a key its certificate").hint("Give both files.")),
    };
    Ok(Arc::new(config))
}

fn roots(tls: &Tls) -> Result<RootCertStore> {
    let mut store = RootCertStore::empty();
    let Some(path) = &tls.ca_file else {
        store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        return Ok(store);
    };
    let refused =
        |error: Box<dyn std::error::Error + Send + Sync>| Error::refused(format!("read the CA file {}", path.display())).because(error);
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| refused(error.into()))? {
        let certificate = certificate.map_err(|error| refused(error.into()))?;
        store.add(certificate).map_err(|error| refused(error.into()))?;
    }
    if store.is_empty() {
        return Err(Error::refused(format!("the CA file {} holds no certificate", path.display())));
    }
    Ok(store)
}

/// Verifies less than the name of the host: the chain only (`verify-ca`), or nothing but that the peer holds the key (`require`).
#[derive(Debug)]
struct Lenient {
    chain: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(chain) = &self.chain else { return Ok(ServerCertVerified::assertion()) };
        match chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(rustls::Error::InvalidCertificate(CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. })) => {
                Ok(ServerCertVerified::assertion())
            }
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
