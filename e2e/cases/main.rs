//! The cases, one file each; run by `make e2e`, one after the other in the order of their names. Without a cluster they are not run.

mod eras;
