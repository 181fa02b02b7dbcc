//! Whether a certificate of one's own CA names a host. As OpenSSL's clients have it: the common name counts where the certificate has no alternative name of
//! the host's kind.

use rustls::client::verify_server_name;
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, Error};
use rustls_pki_types::{CertificateDer, ServerName};
use x509_cert::Certificate;
use x509_cert::der::asn1::{PrintableStringRef, TeletexStringRef, Utf8StringRef};
use x509_cert::der::oid::db::rfc4519::CN;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use crate::own_ca::{invalid, is_old, parsed};

/// Fails when the certificate is another host's.
pub(crate) fn verify(leaf: &CertificateDer<'_>, host: &ServerName<'_>) -> Result<(), Error> {
    let certificate = parsed(leaf)?;
    let by_alternative = if is_old(&certificate) {
        Err(other_host())
    } else {
        ParsedCertificate::try_from(leaf).and_then(|leaf| verify_server_name(&leaf, host))
    };
    by_alternative
        .or_else(|error| if has_alternative(&certificate, host) || !is_common_name(&certificate, host) { Err(error) } else { Ok(()) })
}

const fn other_host() -> Error {
    invalid(CertificateError::NotValidForName)
}

fn has_alternative(certificate: &Certificate, host: &ServerName<'_>) -> bool {
    let is_dns = matches!(host, ServerName::DnsName(_));
    match certificate.tbs_certificate.get::<SubjectAltName>() {
        Ok(names) => names.is_some_and(|(_, names)| {
            names.0.iter().any(|name| match name {
                GeneralName::DnsName(_) => is_dns,
                GeneralName::IpAddress(_) => !is_dns,
                _ => false,
            })
        }),
        Err(_) => true,
    }
}

fn is_common_name(certificate: &Certificate, host: &ServerName<'_>) -> bool {
    let names = certificate.tbs_certificate.subject.0.iter().flat_map(|part| part.0.iter()).filter(|part| part.oid == CN);
    let Some(value) = names.map(|part| &part.value).next() else { return false };
    let text = value.decode_as::<Utf8StringRef<'_>>().map(|text| text.as_str().to_owned());
    let text = text.or_else(|_| value.decode_as::<PrintableStringRef<'_>>().map(|text| text.as_str().to_owned()));
    let text = text.or_else(|_| value.decode_as::<TeletexStringRef<'_>>().map(|text| text.as_str().to_owned()));
    text.is_ok_and(|name| is_host(&name, &host.to_str()))
}

/// `*.` stands for one label.
fn is_host(name: &str, host: &str) -> bool {
    if name.eq_ignore_ascii_case(host) {
        return true;
    }
    let Some(domain) = name.strip_prefix("*.") else { return false };
    let is_address = host.parse::<std::net::IpAddr>().is_ok();
    host.split_once('.').is_some_and(|(label, rest)| !is_address && !label.is_empty() && rest.eq_ignore_ascii_case(domain))
}

#[cfg(test)]
mod tests {
    use super::is_host;

    #[test]
    fn a_star_is_one_label_of_a_name() {
        for (name, host, fits) in [
            ("db.example", "DB.example", true),
            ("*.example", "db.example", true),
            ("*.example", "a.db.example", false),
            ("*.example", ".example", false),
            ("*", "db", false),
            ("127.0.0.1", "127.0.0.1", true),
            ("*.0.0.1", "127.0.0.1", false),
            ("", "db", false),
        ] {
            assert_eq!(is_host(name, host), fits, "{name} {host}");
        }
    }
}
