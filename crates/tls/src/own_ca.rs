//! What OpenSSL takes from a CA of one's own, and with it `psql`, `mysql` and `redis-cli`, and webpki does not: certificates of X.509 version 1 (`openssl x509 -req`
//! without extensions, as PostgreSQL's manual makes them), a certificate that is its own CA, one of a CA that says that it is a CA itself. Each must be issued by
//! a certificate of the CA file or be in it; longer chains are webpki's alone.

use std::time::Duration;

use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::{CertificateError, Error};
use rustls_pki_types::{CertificateDer, UnixTime};
use x509_cert::Certificate;
use x509_cert::certificate::Version;
use x509_cert::der::asn1::AnyRef;
use x509_cert::der::oid::AssociatedOid;
use x509_cert::der::{Decode, Encode, Reader, SliceReader};
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAltName};
use x509_cert::spki::{AlgorithmIdentifierOwned, ObjectIdentifier};

/// TLS server authentication (RFC 5280, 4.2.1.12), and any purpose.
const PURPOSES: [&str; 2] = ["1.3.6.1.5.5.7.3.1", "2.5.29.37.0"];

/// The certificates of a CA file.
#[derive(Debug)]
pub(crate) struct OwnCa {
    certificates: Vec<CertificateDer<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
}

/// A certificate that webpki would not look at.
pub(crate) fn parsed(certificate: &CertificateDer<'_>) -> Result<Certificate, Error> {
    Certificate::from_der(certificate).map_err(|_| invalid(CertificateError::BadEncoding))
}

/// Whether a certificate has no extensions, and is none to webpki.
pub(crate) fn is_old(certificate: &Certificate) -> bool {
    certificate.tbs_certificate.version != Version::V3
}

impl OwnCa {
    pub(crate) const fn new(certificates: Vec<CertificateDer<'static>>, algorithms: WebPkiSupportedAlgorithms) -> Self {
        Self { certificates, algorithms }
    }

    /// Whether a server's certificate is one of those that are verified here.
    pub(crate) fn is_for(&self, leaf: &CertificateDer<'_>) -> bool {
        parsed(leaf).is_ok_and(|leaf| is_old(&leaf) || says_ca(&leaf))
    }

    /// Verifies all but the name.
    pub(crate) fn verify(&self, leaf: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
        let server = parsed(leaf)?;
        is_valid_at(&server, now)?;
        knows_what_is_critical(&server)?;
        if let Ok(Some((_, purposes))) = server.tbs_certificate.get::<ExtendedKeyUsage>()
            && !purposes.0.iter().any(|purpose| PURPOSES.contains(&purpose.to_string().as_str()))
        {
            return Err(invalid(CertificateError::InvalidPurpose));
        }
        let own_issuer = server.tbs_certificate.issuer == server.tbs_certificate.subject;
        if own_issuer && self.certificates.iter().any(|certificate| certificate == leaf) {
            return Ok(());
        }
        let mut verdict = invalid(CertificateError::UnknownIssuer);
        for issuer in self.certificates.iter().filter_map(|certificate| parsed(certificate).ok()) {
            if issuer.tbs_certificate.subject != server.tbs_certificate.issuer || !may_issue(&issuer) {
                continue;
            }
            match is_valid_at(&issuer, now).and_then(|()| self.signed(leaf, &server, &issuer)) {
                Ok(()) => return Ok(()),
                Err(error) => verdict = error,
            }
        }
        Err(verdict)
    }

    fn signed(&self, leaf: &CertificateDer<'_>, server: &Certificate, issuer: &Certificate) -> Result<(), Error> {
        let bad = |_| invalid(CertificateError::BadEncoding);
        let message = signed_part(leaf).map_err(bad)?;
        let key = &issuer.tbs_certificate.subject_public_key_info;
        let (kind, way) = (content(&key.algorithm).map_err(bad)?, content(&server.signature_algorithm).map_err(bad)?);
        let (key, signature) = (key.subject_public_key.raw_bytes(), server.signature.raw_bytes());
        let fitting = self.algorithms.all.iter().filter(|one| *one.public_key_alg_id() == *kind && *one.signature_alg_id() == *way);
        let mut verdict = Err(invalid(CertificateError::BadSignature));
        for algorithm in fitting {
            verdict = verdict
                .or_else(|_| algorithm.verify_signature(key, message, signature).map_err(|_| invalid(CertificateError::BadSignature)));
        }
        verdict
    }
}

pub(crate) const fn invalid(why: CertificateError) -> Error {
    Error::InvalidCertificate(why)
}

/// The content of an algorithm's sequence, as verifiers name it.
pub(crate) fn content(algorithm: &AlgorithmIdentifierOwned) -> x509_cert::der::Result<Vec<u8>> {
    let der = algorithm.to_der()?;
    Ok(AnyRef::from_der(&der)?.value().to_vec())
}

/// The bytes that the issuer has signed, as they came.
fn signed_part<'a>(certificate: &'a CertificateDer<'_>) -> x509_cert::der::Result<&'a [u8]> {
    let outer = AnyRef::from_der(certificate)?;
    SliceReader::new(outer.value())?.tlv_bytes()
}

fn is_valid_at(certificate: &Certificate, now: UnixTime) -> Result<(), Error> {
    let (now, validity) = (Duration::from_secs(now.as_secs()), &certificate.tbs_certificate.validity);
    if now < validity.not_before.to_unix_duration() {
        return Err(invalid(CertificateError::NotValidYet));
    }
    if now > validity.not_after.to_unix_duration() { Err(invalid(CertificateError::Expired)) } else { Ok(()) }
}

fn says_ca(certificate: &Certificate) -> bool {
    matches!(certificate.tbs_certificate.get::<BasicConstraints>(), Ok(Some((_, constraints))) if constraints.ca)
}

/// A certificate of version 1 in a CA file is one by being there; a later one says so.
fn may_issue(certificate: &Certificate) -> bool {
    let keys = certificate.tbs_certificate.get::<KeyUsage>();
    let signs = matches!(keys, Ok(None)) || matches!(keys, Ok(Some((_, usage))) if usage.key_cert_sign());
    knows_what_is_critical(certificate).is_ok() && (is_old(certificate) || says_ca(certificate) && signs)
}

fn knows_what_is_critical(certificate: &Certificate) -> Result<(), Error> {
    let known: [ObjectIdentifier; 4] = [BasicConstraints::OID, KeyUsage::OID, SubjectAltName::OID, ExtendedKeyUsage::OID];
    let extensions = certificate.tbs_certificate.extensions.as_deref().unwrap_or_default();
    let unknown = extensions.iter().any(|extension| extension.critical && !known.contains(&extension.extn_id));
    if unknown { Err(invalid(CertificateError::UnhandledCriticalExtension)) } else { Ok(()) }
}
