//! What the repository promises, against real storage, Debian's `restic`, and faults.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod damage;
mod forget;
mod init;
mod keep;
mod killed;
mod matrix;
mod records;
mod restic;
mod s3;
mod scene;
mod sets;
