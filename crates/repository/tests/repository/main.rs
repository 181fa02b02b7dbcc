//! What the repository promises, against real storage, Debian's `restic`, and faults.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod damage;
mod forget;
mod keep;
mod killed;
mod records;
mod restic;
mod s3;
mod s3_tls;
mod scene;
mod sets;
