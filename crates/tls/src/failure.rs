//! What a failed handshake means, and the way out.

use std::error::Error as StdError;
use std::{fmt, io};

use plan::{Class, Error};
use rustls::{AlertDescription, CertificateError, Error as TlsError};

/// The error of a handshake or of a connection that speaks TLS, when TLS is why: refused, with a way out. `None` when the connection broke.
#[must_use]
pub fn of(error: &(dyn StdError + 'static), what: impl Into<String>) -> Option<Error> {
    let cause = find(error)?;
    Some(Error::new(Class::Refused, what).because(Said(words(cause))).hint(hint(cause)))
}

/// An error with its causes on one line, as [`plan::error::causes`]; what TLS has to say of it is in words of our own.
#[must_use]
pub fn causes(error: &(dyn StdError + 'static)) -> String {
    let text = plan::error::causes(error);
    match find(error) {
        None => text,
        Some(cause) => text.replace(&cause.to_string(), &words(cause)),
    }
}

/// What failed, as people say it.
#[derive(Debug)]
struct Said(String);

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl StdError for Said {}

/// What it means; the library's words where they are the plainest.
fn words(error: &TlsError) -> String {
    let known = match error {
        TlsError::InvalidCertificate(why) => match why {
            CertificateError::UnknownIssuer => "the server's certificate comes from a CA that is not trusted here",
            CertificateError::NotValidForNameContext { presented, .. } => {
                let names: Vec<_> = presented.iter().map(|name| name.split('"').nth(1).unwrap_or(name)).collect();
                return format!("the server's certificate is for another host name ({})", names.join(", "));
            }
            CertificateError::NotValidForName => "the server's certificate is for another host name",
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => "the server's certificate has expired",
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => "the server's certificate is not valid yet",
            // The words of the library below are names of its code.
            CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
                "the server shows a CA's own certificate, and not one of a server"
            }
            CertificateError::Other(other) => return format!("the server's certificate cannot be verified ({other})"),
            why => return format!("the server's certificate cannot be verified: {why}"),
        },
        TlsError::AlertReceived(alert) if is_about_the_client(*alert) => {
            "the server wants a client certificate, or does not take the one given"
        }
        TlsError::InvalidMessage(_) => "what the server sends is no TLS",
        other => return other.to_string(),
    };
    known.to_owned()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn wrapped(error: TlsError) -> io::Error {
        io::Error::other(io::Error::new(io::ErrorKind::InvalidData, error))
    }

    #[test]
    fn a_handshake_that_failed_is_told_in_words_of_our_own() {
        for (error, words) in [
            (TlsError::InvalidCertificate(CertificateError::UnknownIssuer), "comes from a CA that is not trusted here"),
            (TlsError::InvalidCertificate(CertificateError::Expired), "has expired"),
            (TlsError::InvalidCertificate(CertificateError::NotValidYet), "is not valid yet"),
            (TlsError::InvalidCertificate(CertificateError::NotValidForName), "is for another host name"),
            (TlsError::AlertReceived(AlertDescription::UnknownCA), "wants a client certificate"),
            (TlsError::InvalidMessage(rustls::InvalidMessage::InvalidContentType), "is no TLS"),
        ] {
            let library = error.to_string();
            let (line, told) = (causes(&wrapped(error.clone())), of(&wrapped(error), "no connection"));
            for text in [line, told.map_or_else(String::new, |told| told.chain())] {
                assert!(text.contains(words) && !text.contains(&library), "{text}");
            }
        }
        let broken = io::Error::new(io::ErrorKind::ConnectionReset, "reset");
        assert_eq!((causes(&broken), of(&broken, "x").is_none()), ("reset".to_owned(), true));
    }
}
