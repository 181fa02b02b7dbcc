//! What will be refused again at every other try, and the way out.

use std::error::Error as StdError;

use crate::credentials::Credentials;
use crate::service::Service;

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Clocks are too far apart for a signature.
    ClocksDiffer,
    /// There is no such bucket.
    NoBucket,
    /// The bucket is in another region.
    OtherRegion,
    /// The service does not take the keys.
    Keys,
    /// The service's certificate is not trusted.
    Untrusted,
    /// There is no TLS.
    NoTls,
    /// There is no host of that name.
    NoHost,
}

/// Codes of answers (API reference, "Error responses"), and words of `object_store` about them.
const CODES: [(&str, Refusal); 11] = [
    ("RequestTimeTooSkewed", Refusal::ClocksDiffer),
    ("NoSuchBucket", Refusal::NoBucket),
    ("AuthorizationHeaderMalformed", Refusal::OtherRegion),
    ("PermanentRedirect", Refusal::OtherRegion),
    ("IllegalLocationConstraint", Refusal::OtherRegion),
    ("incorrectly configured region", Refusal::OtherRegion),
    ("InvalidAccessKeyId", Refusal::Keys),
    ("SignatureDoesNotMatch", Refusal::Keys),
    ("InvalidToken", Refusal::Keys),
    (EXPIRED, Refusal::Keys),
    ("TokenRefreshRequired", Refusal::Keys),
];
/// The keys have ended: newer ones of the same role are good.
const EXPIRED: &str = "ExpiredToken";

impl Refusal {
    /// What a code means, also in the middle of other words.
    #[must_use]
    pub fn of_answer(text: &str) -> Option<Self> {
        CODES.iter().find(|(code, _)| text.contains(code)).map(|(_, refusal)| *refusal)
    }

    /// What it means that there is no connection.
    #[must_use]
    pub fn of_connection(error: &(dyn StdError + 'static)) -> Option<Self> {
        let text = plan::error::causes(error);
        let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
        if tls::is_untrusted(error) || has(&["invalid peer certificate"]) {
            return Some(Self::Untrusted);
        }
        if tls::of(error, "").is_some() || has(&["corrupt message", "InvalidContentType"]) {
            return Some(Self::NoTls);
        }
        // Of names that never exist (RFC 6761) some resolvers only say that they do not know now.
        let names_nothing = is_not_looked_up(&text) && has(&[".invalid:", ".invalid/"]);
        let is_known_to_be_none = has(&["Name or service not known", "No address associated with hostname", "nodename nor servname"]);
        (names_nothing || is_known_to_be_none).then_some(Self::NoHost)
    }

    /// Whether an answer says that keys have ended.
    #[must_use]
    pub fn is_expired(text: &str) -> bool {
        text.contains(EXPIRED)
    }

    /// The way out.
    #[must_use]
    pub fn hint(self, service: &Service) -> String {
        let origin = &service.origin;
        match self {
            Self::ClocksDiffer => "The clocks of this machine and of the service differ: set this machine's clock.".to_owned(),
            Self::NoBucket => {
                format!("There is no such bucket: make it, or check its name, and {}.", origin.host())
            }
            Self::OtherRegion => format!("The bucket is in another region, or at another endpoint: set {}.", origin.region()),
            Self::Keys => match &service.credentials {
                Credentials::Keys { .. } => format!("The service does not take the keys: check {}.", origin.keys()),
                Credentials::Role { .. } | Credentials::Agent { .. } => {
                    "The service does not take the keys that were given for the role: it must be of the same provider as the service that gave them."
                        .to_owned()
                }
            },
            Self::Untrusted => format!(
                "The service's certificate is not trusted: name the PEM file of the CA that it comes from with {}; the host must be the one that the certificate names.",
                origin.ca_file()
            ),
            Self::NoTls => format!(
                "There is no TLS at this endpoint: see whether it is http:// rather than https://, and whether the port is right ({}).",
                origin.endpoint()
            ),
            Self::NoHost => format!("There is no host of that name: check {}.", origin.host()),
        }
    }
}

/// Whether the name of a host could not be looked up, now or ever.
#[must_use]
pub fn is_not_looked_up(text: &str) -> bool {
    text.contains("failed to lookup address") || text.contains("dns error")
}

/// An error with its causes, on one line.
#[must_use]
pub fn one_line(error: &(dyn StdError + 'static)) -> String {
    tls::causes(error).split_whitespace().collect::<Vec<_>>().join(" ")
}
