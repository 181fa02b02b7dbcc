//! ADMITS: where an S3 service is, over which connection, by whose right a bucket is used, and what a refusal means. Once for the repository and for the files of System.
//! Sends no request but those for keys.

mod credentials;
mod keys;
mod origin;
mod refusal;
mod service;

pub use credentials::{Credentials, Token, TokenFile, Tokens};
pub use keys::Keys;
pub use origin::Origin;
pub use refusal::{Refusal, is_not_looked_up, one_line};
pub use service::Service;
