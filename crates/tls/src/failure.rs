//! What a failed handshake means, and the way out.

use std::error::Error as StdError;
use std::io;

use plan::{Class, Error};
use rustls::{AlertDescription, CertificateError, Error as TlsError};

/// The error of a handshake or of a connection that speaks TLS, when TLS is why: refused, with a way out. `None` when the connection broke.
#[must_use]
pub fn of(error: &(dyn StdError + 'static), what: impl Into<String>) -> Option<Error> {
    let cause = find(error)?;
    Some(Error::new(Class::Refused, what).because(cause.clone()).hint(hint(cause)))
}

/// Whether the server's certificate was not taken.
#[must_use]
pub fn is_untrusted(error: &(dyn StdError + 'static)) -> bool {
    matches!(find(error), Some(TlsError::InvalidCertificate(_) | TlsError::NoCertificatesPresented))
}

/// The way out.
#[must_use]
pub fn hint(error: &TlsError) -> &'static str {
    match error {
        TlsError::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "The server's certificate comes from a CA that is not trusted: name the file with that CA (ca-file), in PEM form."
        }
        TlsError::InvalidCertificate(CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }) => {
            "The server's certificate is for another host name: use the name that it has, or mode = \"verify-ca\"."
        }
        TlsError::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            "The server's certificate has expired: renew it, or see whether this machine's clock is right."
        }
        TlsError::InvalidCertificate(CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. }) => {
            "The server's certificate is not valid yet: see whether this machine's clock is right."
        }
        TlsError::InvalidCertificate(_) => {
            "The server's certificate cannot be verified: see whether it comes from the CA in ca-file, as a server's certificate."
        }
        TlsError::AlertReceived(alert) if is_about_the_client(*alert) => {
            "The server wants a client certificate, or does not take the one given: see client-certificate-file and client-key-file."
        }
        _ => "See whether the server speaks TLS at this port, and whether the TLS mode, the CA file and the client certificate are right.",
    }
}

const fn is_about_the_client(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
    )
}

fn find<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a TlsError> {
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(found) = cause.downcast_ref::<TlsError>() {
            return Some(found);
        }
        next = match cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(wrapped) => Some(wrapped),
            None => cause.source(),
        };
    }
    None
}
