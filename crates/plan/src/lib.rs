//! DECIDES: the pure heart of threescale-backup.
//!
//! Ids, ports (traits), the manifest of a set, plans, steps, journal rules. Nothing in this crate reads a
//! clock, opens a file, talks to a network or starts a thread; what needs such a thing gets it through a port.

pub mod checked;
pub mod choice;
pub mod difference;
pub mod digest;
pub mod error;
pub mod evidence;
pub mod ids;
pub mod installation;
pub mod journal;
pub mod manifest;
pub mod needs;
pub mod next_ids;
pub mod ports;
pub mod proof;
pub mod release;
pub mod step;
pub mod tree_order;
pub mod words;

mod backup_plan;
mod merge_plan;
mod planned;
mod repair_plan;
mod restorable;
mod restore_plan;
mod run;
mod tenant_plan;
mod writers;

pub use backup_plan::{Wanted, plan_backup};
pub use error::{Class, Error, Result};
pub use installation::InstallationId;
pub use merge_plan::plan_merge;
pub use planned::{LargeValues, ObjectsPolicy, Plan, PlannedDataSet, Policies, Purpose, Queues};
pub use repair_plan::{Keys, LIVE, Repair, plan_repair};
pub use restorable::{Restorable, TAKEN_WITH_WARNINGS};
pub use restore_plan::{Around, Care, Hold, IdsAhead, Target, WritersAre, plan_rehearsal, plan_restore};
pub use tenant_plan::{BesideRows, FilesBeside, MergeBeside, plan_tenant};
