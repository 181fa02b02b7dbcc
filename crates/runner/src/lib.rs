//! DOES: runs any plan. For each step: the journal's record `started` on stable storage, then the act, then `succeeded` or `failed`.
//!
//! Knows no kind of store and no platform: it calls ports. It never unwinds by itself: a failure stops the run, and the operator chooses
//! between `resume` and `undo`.

mod abandoning;
mod act;
mod copies;
mod draining;
mod files;
mod folder;
mod journal;
mod merging;
mod needs;
mod proofs;
mod repairing;
mod report;
mod rows;
mod running;
mod setting_right;
mod state;
mod stores;
mod taking_back;
mod views;

pub use abandoning::{abandon, close_dead_backup};
pub use act::{Examine, Hands, Looking, Make, Onlooker, Rewriter, Rewriting};
pub use copies::{Beside, JournalCopy, beside, copies, take_over, tidy_copies};
pub use files::FileFinder;
pub use folder::FolderShelf;
pub use journal::Journal;
pub use merging::given_ids;
pub use needs::tidy_needs;
pub use proofs::shown;
pub use repairing::{Give, Repairer, drop_kept_keys, keeps_keys};
pub use report::{Report, StepReport, report};
pub use rows::{GiveRow, RowWorker};
pub use running::{LANES, run};
pub use state::{Lock, State};
pub use stores::{check_stores, lost};
pub use taking_back::{settle, undo};

use plan::ids::{RunId, SetId};

/// A new run id; they sort by time.
#[must_use]
pub fn new_run_id() -> RunId {
    RunId(ulid::Ulid::generate().to_string().to_lowercase())
}

/// A new set id; they sort by time.
#[must_use]
pub fn new_set_id() -> SetId {
    SetId(ulid::Ulid::generate().to_string().to_lowercase())
}
