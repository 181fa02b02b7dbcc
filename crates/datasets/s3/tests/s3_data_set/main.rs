//! A bucket as a data set, on the lab's S3 service, with a repository in a folder. What is compared is read from the service's own memory.
#![expect(clippy::unwrap_used, reason = "tests")]

mod crossing;
mod dumping;
mod keys;
mod killed;
mod refusals;
mod restoring;
mod role;
mod scene;
mod services;
mod some;
mod speed;
