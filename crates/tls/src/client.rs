//! The client's configuration that follows from the options.

use std::sync::Arc;

use plan::{Error, Result};
use rustls::client::WebPkiServerVerifier;
use rustls::crypto::{CryptoProvider, ring};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::ServerName;

use crate::files;
use crate::options::Tls;
use crate::own_ca::OwnCa;
use crate::verifier::Verifier;

/// The client's configuration. Options without a mode mean: encrypted, not verified.
///
/// # Errors
/// [`plan::Class::Refused`] when a file cannot be read, does not hold what it should, or its other half is missing.
pub fn client_config(tls: &Tls) -> Result<Arc<ClientConfig>> {
    let identity = tls.check_identity()?;
    let provider = Arc::new(ring::default_provider());
    let chain = if tls.verifies_chain() { Some(web_pki(tls, &provider)?) } else { None };
    let own_ca = match tls.ca_file.as_deref().filter(|_| tls.verifies_chain()) {
        Some(file) => Some(OwnCa::new(files::certificates("CA file", file)?, provider.signature_verification_algorithms)),
        None => None,
    };
    let verifier = Verifier::new(chain, own_ca, tls.verifies_name(), Arc::clone(&provider));
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::failed("failed to choose the versions of TLS").because(error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let (chain, secret) = (files::certificates("client certificate", certificate)?, files::key("client key", key)?);
            builder.with_client_auth_cert(chain, secret).map_err(|error| {
                let (certificate, key) = (certificate.display(), key.display());
                if matches!(error, rustls::Error::InconsistentKeys(_)) {
                    return Error::refused(format!("the client certificate {certificate} and the key {key} do not go together")).because(error);
                }
                let of_version_1 = format!("{error:?}").contains("UnsupportedCertVersion");
                let refused = Error::refused(format!("the client certificate {certificate} with the key {key} cannot be used")).because(error);
                match of_version_1 {
                    true => refused.hint(
                        "It is of X.509 version 1. Have it made anew with an extension, for example: printf extendedKeyUsage=clientAuth > ext; openssl x509 -req -extfile ext …",
                    ),
                    false => refused,
                }
            })?
        }
    };
    Ok(Arc::new(config))
}

/// Reads the files that the options name, as a connection would: for those who look before there is one.
///
/// # Errors
/// As [`client_config`].
pub fn check_files(tls: &Tls) -> Result<()> {
    if tls.is_on() && tls.names_files() { client_config(tls).map(drop) } else { Ok(()) }
}

/// The name that a certificate must have.
///
/// # Errors
/// [`plan::Class::Refused`] when it is neither a host name nor an IP address.
pub fn server_name(host: &str) -> Result<ServerName<'static>> {
    let name = ServerName::try_from(host.to_owned());
    name.map_err(|error| Error::refused(format!("{host:?} is neither a host name nor an address")).because(error))
}

fn web_pki(tls: &Tls, provider: &Arc<CryptoProvider>) -> Result<Arc<WebPkiServerVerifier>> {
    let mut roots = RootCertStore::empty();
    match &tls.ca_file {
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(file) => {
            for certificate in files::certificates("CA file", file)? {
                let added = roots.add(certificate);
                added.map_err(|error| {
                    Error::refused(format!("the CA file {} holds a certificate that is none", file.display())).because(error)
                })?;
            }
        }
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build();
    verifier.map_err(|error| Error::refused("the CA certificates cannot be used").because(error))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::path::PathBuf;

    use super::*;
    use crate::TlsMode;

    #[test]
    fn files_that_cannot_be_used_are_named_whichever_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let absent = folder.path().join("absent");
        let bad = [
            absent,
            file("empty", b""),
            file("text", b"not a certificate\n"),
            file("binary", &[0xff, 0x00, 0x30, 0x82]),
            file("cut", b"-----BEGIN CERTIFICATE-----\nMIIB\n"),
            file("garbled", b"-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n"),
            file("no-der", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
        ];
        let refused = |tls: &Tls, named: &PathBuf| {
            let error = client_config(tls).unwrap_err();
            assert_eq!(error.class(), plan::Class::Refused, "{error:?}");
            assert!(error.to_string().contains(&named.display().to_string()), "{error:?}");
        };
        for path in &bad {
            for mode in [TlsMode::Require, TlsMode::VerifyCa, TlsMode::VerifyFull] {
                refused(&Tls { ca_file: Some(path.clone()), ..Tls::of_mode(mode) }, path);
                let other = Some(bad.first().unwrap().clone());
                let identity = Tls { client_certificate_file: Some(path.clone()), client_key_file: other, ..Tls::of_mode(mode) };
                assert_eq!(client_config(&identity).unwrap_err().class(), plan::Class::Refused);
            }
        }
    }
}
