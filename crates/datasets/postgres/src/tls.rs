//! TLS towards PostgreSQL: for our own sessions through rustls, for the child processes through libpq's environment variables.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use plan::error::During;
use plan::tls::{Tls, TlsMode};
use plan::{Error, Result};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_postgres_rustls::MakeRustlsConnect;

/// Files in which distributions keep the public web's CAs, for libpq older than 16.
const SYSTEM_CA_FILES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem"];

/// The connector of our own sessions.
///
/// # Errors
/// [`plan::Class::Refused`] when a file cannot be read or does not fit.
pub(crate) fn connector(tls: Option<&Tls>) -> Result<MakeRustlsConnect> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let fallback = Tls { mode: TlsMode::Require, ..Tls::default() };
    let tls = tls.unwrap_or(&fallback);
    let verifier = Verifier { mode: tls.mode, inner: web_pki(tls, &provider)?, provider: Arc::clone(&provider) };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .during(|| "choose the TLS versions".to_owned())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let config = match (&tls.client_certificate_file, &tls.client_key_file) {
        (None, None) => builder.with_no_client_auth(),
        (Some(chain), Some(key)) => {
            let key = PrivateKeyDer::from_pem_file(key).map_err(|error| unreadable(key, "a PEM private key").because(error))?;
            builder
                .with_client_auth_cert(certificates(chain)?, key)
                .map_err(|error| unreadable(chain, "a certificate that fits its key").because(error))?
        }
        _ => return Err(Error::refused("the client's certificate and key must be given together")),
    };
    Ok(MakeRustlsConnect::new(config))
}

/// libpq's environment variables for the same options.
///
/// # Errors
/// [`plan::Class::Refused`] when the public web's CAs are wanted and this machine has none that the client could read.
pub(crate) fn environment(tls: Option<&Tls>, client_major: u32) -> Result<Vec<(&'static str, PathBuf)>> {
    let Some(tls) = tls else { return Ok(vec![("PGSSLMODE", "prefer".into())]) };
    let mode = match tls.mode {
        TlsMode::Disable => "disable",
        TlsMode::Require => "require",
        TlsMode::VerifyCa => "verify-ca",
        TlsMode::VerifyFull => "verify-full",
    };
    let mut variables: Vec<(&str, PathBuf)> = vec![("PGSSLMODE", mode.into())];
    if let Some(file) = &tls.ca_file {
        variables.push(("PGSSLROOTCERT", file.clone()));
    } else if matches!(tls.mode, TlsMode::VerifyCa | TlsMode::VerifyFull) {
        let system = SYSTEM_CA_FILES.iter().map(PathBuf::from).find(|file| file.exists());
        let file = system.or_else(|| (client_major >= 16).then(|| "system".into())).ok_or_else(|| {
            Error::refused("no file with the public web's CAs on this machine")
                .hint("Give the CA file of the server (sslrootcert, ca-file).")
        })?;
        variables.push(("PGSSLROOTCERT", file));
    }
    variables.extend(tls.client_certificate_file.iter().map(|file| ("PGSSLCERT", file.clone())));
    variables.extend(tls.client_key_file.iter().map(|file| ("PGSSLKEY", file.clone())));
    Ok(variables)
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let list: Vec<_> = read.map_err(|error| unreadable(file, "PEM certificates").because(error))?;
    if list.is_empty() { Err(unreadable(file, "PEM certificates")) } else { Ok(list) }
}

fn unreadable(file: &Path, what: &str) -> Error {
    Error::refused(format!("{} does not hold {what}", file.display()))
}

/// `None` when nothing is verified.
fn web_pki(tls: &Tls, provider: &Arc<CryptoProvider>) -> Result<Option<Arc<WebPkiServerVerifier>>> {
    if matches!(tls.mode, TlsMode::Disable | TlsMode::Require) {
        return Ok(None);
    }
    let mut roots = RootCertStore::empty();
    match &tls.ca_file {
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(file) => {
            for certificate in certificates(file)? {
                roots.add(certificate).map_err(|error| unreadable(file, "usable CA certificates").because(error))?;
            }
        }
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build();
    Ok(Some(verifier.map_err(|error| Error::refused("the CA certificates cannot be used").because(error))?))
}

/// Verifies as far as the mode says.
#[derive(Debug)]
struct Verifier {
    mode: TlsMode,
    inner: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(inner) = &self.inner else { return Ok(ServerCertVerified::assertion()) };
        match inner.verify_server_cert(certificate, intermediates, name, ocsp, now) {
            Err(rustls::Error::InvalidCertificate(CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }))
                if self.mode == TlsMode::VerifyCa =>
            {
                Ok(ServerCertVerified::assertion())
            }
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
