//! What the repository promises, against real storage, Debian's `restic`, and faults.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod append_only;
mod campaign;
mod copying;
mod damage;
mod forget;
mod init;
mod installations;
mod keep;
mod killed;
mod locks;
mod matrix;
mod object_lock;
mod passwords;
mod prune;
mod records;
mod restic;
mod s3;
mod s3_role;
mod s3_tls;
mod scene;
mod sets;
mod side_by_side;
