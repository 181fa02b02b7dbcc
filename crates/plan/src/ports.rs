//! The ports: what the parts of the program are to each other. Implemented elsewhere, joined in the command line only.

mod data_set;
mod part;
mod repository;
mod watch;
mod writers;

pub use data_set::{Context, DataSet, Dump, Findings, Place, Problem, Road, Severity, Verdict};
pub use part::{Content, Meta, Part};
pub use repository::{Entry, EntryHandle, Keep, Kept, Repository, Snapshot};
pub use watch::{Event, Silent, StopFlag, Verb, Watch};
pub use writers::Writers;
