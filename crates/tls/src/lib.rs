//! SECURES: TLS towards a server, the same for every kind of store and for the repository. Options, files, verification and the client's configuration are
//! here once, so that no store answers differently. Opens no connection.
//!
//! | mode | the certificate must |
//! |---|---|
//! | `disable` | – (no TLS; certificate files with it are refused) |
//! | `require` | come from the CA when there is a `ca-file` (as libpq does), else nothing |
//! | `verify-ca` | come from the CA, be valid today |
//! | `verify-full` | come from the CA, be valid today, name the host |
//!
//! The CA is the `ca-file` alone when there is one, else the public web's. With a `ca-file`, what OpenSSL's clients take is taken (`own_ca.rs`, `name.rs`).

mod client;
mod failure;
mod files;
mod name;
mod options;
mod own_ca;
mod verifier;

pub use client::{check_files, client_config, server_name};
pub use failure::{causes, hint, is_untrusted, of};
pub use files::certificates;
pub use options::{Tls, TlsMode, refuse_unknown};
