//! The ports: what the parts of the program are to each other. Implemented elsewhere, joined in the command line only.

mod advancing;
mod changes;
mod data_set;
mod kind;
mod leftover;
mod live;
mod mark;
mod merging;
mod objects;
mod part;
mod reading;
mod remote;
mod repository;
mod shelf;
mod synchronise;
mod watch;
mod whole_dump;
mod writers;

pub use advancing::Advancing;
pub use changes::{KeyChange, KeyChanges};
pub use data_set::{Context, DataSet, Discard, Dump, Findings, Place, Problem, Road, Severity, Share, Undone, Verdict};
pub use kind::StoreKind;
pub use leftover::{Held, Holds, Leftover};
pub use live::{LiveFiles, LiveKey, LiveKeys, LiveRows, Members};
pub use mark::{Mark, MarkRole};
pub use merging::{Counts, Foreseen, GivenIds, MergedClass, MergesKeys, Merging};
pub use objects::{ObjectKind, Objects};
pub use part::{Content, Meta, Part, Reused};
pub use reading::{FileReader, KeyReader, ReadKey, RowReader};
pub use remote::{Ended, Input, Process, Program, Remote};
pub use repository::{Damaged, Entry, EntryHandle, EntryKind, Keep, Kept, Record, Repository, Snapshot};
pub use shelf::{Append, Shelf};
pub use synchronise::{NothingToSynchronise, SyncTask, Synchronise};
pub use watch::{Event, Silent, StopFlag, Verb, Watch};
pub use whole_dump::WholeDump;
pub use writers::{Noted, WriterGroup, Writers};
