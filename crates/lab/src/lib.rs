//! STAGES: throw-away servers (MySQL, MariaDB, PostgreSQL, Redis, Sentinel, memcached, Prometheus, SMTP) on loopback, and 3scale-like data for them.
//!
//! For `demo`, `rehearse`, tests and benchmarks. Every server lives in a temporary folder of its own, on a port of
//! its own, with a password of its own, and ends with the value that stands for it, or with the process, however that ends. Must never touch a
//! server that it did not start, nor a standard port.

mod data;
mod folder;
mod front;
mod installation;
mod link;
mod memcached;
mod mysql;
mod one_part;
mod pgbouncer;
mod port;
pub mod porta;
mod postgres;
mod process;
mod programs;
mod prometheus;
mod proxy;
mod redis;
mod s3;
mod sentinel;
mod server;
mod smtp;
mod template;
mod tls;
mod traffic;

pub use data::Shape;
pub use folder::{Folder, fits_sockets, remove_left};
pub use front::TlsFront;
pub use installation::{Fingerprint, Installation, InstallationOptions, SYSTEM_DATABASE, ZYNC_DATABASE, differences};
pub use memcached::Memcached;
pub use mysql::{Mysql, MysqlKind};
pub use one_part::OnePart;
pub use pgbouncer::PgBouncer;
pub use postgres::{Postgres, PostgresVersion};
pub use programs::find as find_program;
pub use prometheus::Prometheus;
pub use proxy::{Proxy, Trouble};
pub use redis::{Redis, RedisKind};
pub use s3::{S3, S3Fault, S3Lock, S3Object, S3Version};
pub use sentinel::{Sentinel, SentinelLogin, SentinelOptions};
pub use server::Server;
pub use smtp::{Smtp, SmtpMail, SmtpMode, SmtpWants};
pub use tls::{CASES, Case, Shown, Tls};
pub use traffic::{Control, Writers, Written};
