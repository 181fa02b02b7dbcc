//! Verifies a server's certificate as far as the mode says.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature, verify_tls13_signature_with_raw_key};
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use x509_cert::der::Encode;
use x509_cert::spki::SubjectPublicKeyInfoOwned;

use crate::name;
use crate::own_ca::{self, OwnCa, invalid};

/// See the module.
#[derive(Debug)]
pub(crate) struct Verifier {
    /// `None` when nothing is verified.
    chain: Option<Arc<WebPkiServerVerifier>>,
    /// `None` when the public web's CAs are trusted, whose certificates are all of today.
    own_ca: Option<OwnCa>,
    name: bool,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    pub(crate) const fn new(
        chain: Option<Arc<WebPkiServerVerifier>>,
        own_ca: Option<OwnCa>,
        name: bool,
        provider: Arc<CryptoProvider>,
    ) -> Self {
        Self { chain, own_ca, name, provider }
    }

    /// As `verify_tls12_signature` for a certificate that webpki does not parse.
    fn verify_by_key(
        &self,
        message: &[u8],
        key: &SubjectPublicKeyInfoOwned,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let kind = own_ca::content(&key.algorithm).map_err(|_| invalid(CertificateError::BadEncoding))?;
        let schemes = self.provider.signature_verification_algorithms.mapping.iter();
        let algorithms = schemes.filter(|(scheme, _)| *scheme == signature.scheme).flat_map(|(_, algorithms)| algorithms.iter());
        let mut fitting = algorithms.filter(|algorithm| *algorithm.public_key_alg_id() == *kind);
        let bytes = key.subject_public_key.raw_bytes();
        if fitting.any(|algorithm| algorithm.verify_signature(bytes, message, signature.signature()).is_ok()) {
            Ok(HandshakeSignatureValid::assertion())
        } else {
            Err(invalid(CertificateError::BadSignature))
        }
    }

    /// Whoever shows any certificate is taken: that he holds its key would say nothing. Old certificates (X.509 version 1) could not even be parsed for it.
    const fn takes_all(&self) -> bool {
        self.chain.is_none()
    }
}

const fn other_name() -> Error {
    invalid(CertificateError::NotValidForName)
}

/// The key of a certificate of X.509 version 1.
fn key_of_old(certificate: &CertificateDer<'_>) -> Result<Option<SubjectPublicKeyInfoOwned>, Error> {
    let parsed = own_ca::parsed(certificate)?;
    Ok(own_ca::is_old(&parsed).then_some(parsed.tbs_certificate.subject_public_key_info))
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(chain) = &self.chain else { return Ok(ServerCertVerified::assertion()) };
        let verdict = match &self.own_ca {
            Some(own_ca) if own_ca.is_for(certificate) => own_ca.verify(certificate, now).and_then(|()| Err(other_name())),
            _ => chain.verify_server_cert(certificate, intermediates, name, ocsp, now).map(drop),
        };
        match verdict {
            // The name is looked at last: all else has been verified.
            Err(Error::InvalidCertificate(CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. })) => {
                match (self.name, &self.own_ca) {
                    (false, _) => {}
                    (true, Some(_)) => name::verify(certificate, name)?,
                    (true, None) => return verdict.map(|()| ServerCertVerified::assertion()),
                }
            }
            verdict => verdict?,
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if self.takes_all() {
            return Ok(HandshakeSignatureValid::assertion());
        }
        if let Some(key) = key_of_old(certificate)? {
            return self.verify_by_key(message, &key, signature);
        }
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if self.takes_all() {
            return Ok(HandshakeSignatureValid::assertion());
        }
        if let Some(key) = key_of_old(certificate)? {
            let key = SubjectPublicKeyInfoDer::from(key.to_der().map_err(|_| invalid(CertificateError::BadEncoding))?);
            return verify_tls13_signature_with_raw_key(message, &key, signature, &self.provider.signature_verification_algorithms);
        }
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
