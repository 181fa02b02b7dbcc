//! The options as people write them, and which of them contradict each other.

use std::path::{Path, PathBuf};

use plan::{Error, Result};
use serde::{Deserialize, Serialize};

/// How far the server's certificate is verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TlsMode {
    /// No TLS.
    Disable,
    /// TLS; the certificate is verified against the CA file when there is one.
    Require,
    /// TLS, the certificate must come from the CA.
    VerifyCa,
    /// TLS, the certificate must come from the CA and name the host.
    VerifyFull,
}

/// TLS towards one server.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Tls {
    /// How far the server is verified; absent: as the server's address says, else no TLS.
    pub mode: Option<TlsMode>,
    /// PEM file with the CAs; the public web's CAs when absent.
    pub ca_file: Option<PathBuf>,
    /// PEM file with the client's certificate chain.
    pub client_certificate_file: Option<PathBuf>,
    /// PEM file with the client's key.
    pub client_key_file: Option<PathBuf>,
}

impl Tls {
    /// A mode without files.
    #[must_use]
    pub fn of_mode(mode: TlsMode) -> Self {
        Self { mode: Some(mode), ..Self::default() }
    }

    /// These options before those of an address: each that is given here wins.
    #[must_use]
    pub fn over(self, address: Self) -> Self {
        Self {
            mode: self.mode.or(address.mode),
            ca_file: self.ca_file.or(address.ca_file),
            client_certificate_file: self.client_certificate_file.or(address.client_certificate_file),
            client_key_file: self.client_key_file.or(address.client_key_file),
        }
    }

    /// Whether TLS is spoken at all.
    #[must_use]
    pub fn is_on(&self) -> bool {
        !matches!(self.mode, None | Some(TlsMode::Disable))
    }

    /// Whether the certificate must come from the CA.
    #[must_use]
    pub fn verifies_chain(&self) -> bool {
        match self.mode {
            None | Some(TlsMode::Disable) => false,
            // libpq: a CA file given with `require` means that the certificate must come from it.
            Some(TlsMode::Require) => self.ca_file.is_some(),
            Some(TlsMode::VerifyCa | TlsMode::VerifyFull) => true,
        }
    }

    /// Whether the certificate must name the host.
    #[must_use]
    pub fn verifies_name(&self) -> bool {
        self.mode == Some(TlsMode::VerifyFull)
    }

    /// Whether a file is named.
    #[must_use]
    pub const fn names_files(&self) -> bool {
        self.ca_file.is_some() || self.client_certificate_file.is_some() || self.client_key_file.is_some()
    }

    /// Refuses what contradicts itself. Reads no file.
    ///
    /// # Errors
    /// [`plan::Class::Refused`], with what to write instead.
    pub fn check(&self) -> Result<()> {
        self.check_identity()?;
        if self.is_on() || !self.names_files() {
            return Ok(());
        }
        let what = match self.mode {
            Some(_) => "TLS is disabled, and certificate files are given",
            None => "certificate files are given, and no TLS mode",
        };
        Err(Error::refused(what).hint("Set mode = \"verify-full\" (or verify-ca, require), or leave the files out."))
    }

    /// Certificate and key of the client: both or neither.
    pub(crate) fn check_identity(&self) -> Result<Option<(&Path, &Path)>> {
        let shown = |path: &Path| path.display().to_string();
        match (self.client_certificate_file.as_deref(), self.client_key_file.as_deref()) {
            (None, None) => Ok(None),
            (Some(certificate), Some(key)) => Ok(Some((certificate, key))),
            (Some(certificate), None) => {
                Err(Error::refused(format!("the client certificate {} is given without its key", shown(certificate)))
                    .hint("Give client-key-file too."))
            }
            (None, Some(key)) => Err(Error::refused(format!("the client key {} is given without its certificate", shown(key)))
                .hint("Give client-certificate-file too.")),
        }
    }
}

/// Refuses a parameter of an address that is about TLS in the words of any client (`sslmode`, `useSSL`, `tls_version`), for who does not understand it: to drop it would
/// be to speak in clear.
///
/// # Errors
/// [`plan::Class::Refused`], with its name where that cannot be part of a password.
pub fn refuse_unknown(parameter: &str) -> Result<()> {
    let lower = parameter.to_ascii_lowercase();
    if !lower.contains("ssl") && !lower.contains("tls") {
        return Ok(());
    }
    let is_word = lower.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    let shown = if is_word { format!("the parameter {parameter:?}") } else { "a parameter".to_owned() };
    Err(Error::refused(format!("{shown} of the address is about TLS, and is not known")))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn with_files(mode: Option<TlsMode>, ca: bool, certificate: bool, key: bool) -> Tls {
        let file = |there: bool, name: &str| there.then(|| PathBuf::from(name));
        Tls {
            mode,
            ca_file: file(ca, "ca.pem"),
            client_certificate_file: file(certificate, "client.pem"),
            client_key_file: file(key, "client.key"),
        }
    }

    #[test]
    fn half_an_identity_is_refused_in_every_mode() {
        let modes = [None, Some(TlsMode::Disable), Some(TlsMode::Require), Some(TlsMode::VerifyCa), Some(TlsMode::VerifyFull)];
        for mode in modes {
            let error = with_files(mode, false, true, false).check().unwrap_err();
            assert!(error.to_string().contains("client.pem") && error.class() == plan::Class::Refused, "{error:?}");
            let error = with_files(mode, true, false, true).check().unwrap_err();
            assert!(error.to_string().contains("client.key"), "{error:?}");
        }
    }

    #[test]
    fn files_without_tls_are_a_contradiction() {
        for mode in [None, Some(TlsMode::Disable)] {
            with_files(mode, false, false, false).check().unwrap();
            with_files(mode, true, false, false).check().unwrap_err();
            with_files(mode, false, true, true).check().unwrap_err();
        }
        with_files(Some(TlsMode::Require), true, true, true).check().unwrap();
    }

    #[test]
    fn require_verifies_the_chain_when_there_is_a_ca() {
        assert!(with_files(Some(TlsMode::Require), true, false, false).verifies_chain());
        assert!(!with_files(Some(TlsMode::Require), false, false, false).verifies_chain());
        assert!(!with_files(Some(TlsMode::Require), true, false, false).verifies_name());
        assert!(with_files(Some(TlsMode::VerifyCa), false, false, false).verifies_chain());
    }

    #[test]
    fn options_win_one_by_one_over_those_of_an_address() {
        let address = Tls { mode: Some(TlsMode::VerifyFull), ca_file: Some("url.pem".into()), ..Tls::default() };
        let both = Tls { ca_file: Some("own.pem".into()), ..Tls::default() }.over(address);
        assert_eq!((both.mode, both.ca_file), (Some(TlsMode::VerifyFull), Some("own.pem".into())));
    }
}
