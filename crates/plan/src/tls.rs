//! TLS options of a server's address, the same for every kind of store.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// How far the server's certificate is verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TlsMode {
    /// No TLS.
    #[default]
    Disable,
    /// TLS, the certificate is not verified.
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
    /// How far the server is verified.
    pub mode: TlsMode,
    /// PEM file with the CAs; the public web's CAs when absent.
    pub ca_file: Option<PathBuf>,
    /// PEM file with the client's certificate chain.
    pub client_certificate_file: Option<PathBuf>,
    /// PEM file with the client's key.
    pub client_key_file: Option<PathBuf>,
}
