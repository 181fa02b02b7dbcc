//! A data set and its verbs: dump → keep → stage → prove → cut over → settle | undo.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    ChangesRows, Held, KeyChanges, KeyRepairs, Leftover, LiveFiles, LiveKeys, LiveRows, MergesKeys, Part, PutsFiles, Silent, Snapshot,
    Staged, StopFlag, StoreKind, Watch,
};
use crate::evidence::Evidence;
use crate::ids::{DataSetName, RunId};
use crate::manifest::KeptDataSet;
use crate::{Error, InstallationId, Result};

/// What every verb is given.
#[derive(Clone)]
pub struct Context {
    /// The run: part of every name that a verb makes in an installation, so that leftovers are recognised.
    pub run: RunId,
    /// The installation: in every mark and lock that a verb makes, so that nobody takes it for another's.
    pub installation: InstallationId,
    /// How many connections, readers or loaders a verb may use at the same time.
    pub workers: usize,
    /// Who watches.
    pub watch: Arc<dyn Watch>,
    /// Raised when the operator wants to stop: look at it often, and return [`crate::Error::interrupted`].
    pub stop: StopFlag,
}

impl Context {
    /// Of a run, for what belongs to no installation: one worker, nobody watches.
    pub fn new(run: impl Into<String>) -> Self {
        Self {
            run: RunId(run.into()),
            installation: InstallationId::default(),
            workers: 1,
            watch: Arc::new(Silent),
            stop: StopFlag::default(),
        }
    }
}

/// A dump in progress: parts, then a verdict. Dropping it early ends the dump and leaves nothing behind.
pub trait Dump: Send {
    /// The next part; `None` at the end. After an error nothing more comes.
    ///
    /// # Errors
    /// When the source fails. A broken stream is an error, never an end.
    fn next_part(&mut self) -> Result<Option<Part>>;

    /// The producer's own verdict, asked once, after the end.
    ///
    /// # Errors
    /// When the source says that what it gave is not whole (exit status, server error, a count that does not fit).
    fn finish(self: Box<Self>) -> Result<Verdict>;
}

/// What a dump may build on ([`DataSet::dump_since`]).
pub struct Earlier {
    /// The snapshot of the set before.
    pub snapshot: Arc<dyn Snapshot>,
    /// What the set before says of it.
    pub kept: KeptDataSet,
    /// All is read, also what seems to be unchanged; where that has another content than the set before, it is told.
    pub reads_all: bool,
}

/// What a producer says at the end of its dump.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What it counted while the data passed.
    pub evidence: Evidence,
    /// The instant of the consistent view; for files, when the walk ended.
    pub consistent_at: Timestamp,
    /// What of it will not go back, or not as it was, to such a server with such a user: [`Severity::Note`] for what is told only, [`Severity::Degrades`] for
    /// what is left out or changed, [`Severity::Blocks`] when the load would be refused as a whole.
    pub problems: Vec<Problem>,
}

/// Where the staged copy and, after the cut-over, the previous data are. Chosen once ([`DataSet::reserve`]), journaled, given to every later verb.
/// Only the data set that made it reads it. Never a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Place(pub serde_json::Value);

/// How a data set goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Road {
    /// Beside the live data, swapped when proven; the previous data is kept until `settle`.
    SideCopy,
    /// Over the live data, with the writers stopped, after a safety copy of the live data was taken into the repository.
    InPlace,
}

/// How much a [`Problem`] matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Good to know.
    Note,
    /// It works, but less well: say so.
    Degrades,
    /// It cannot work: refuse before anything is touched.
    Blocks,
}

/// Something that stands in the way, with the way out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// How much it matters.
    pub severity: Severity,
    /// What is wrong, with the evidence.
    pub text: String,
    /// What to do about it: the exact privilege, setting or version.
    pub way_out: Option<String>,
}

impl Problem {
    /// A problem without a way out.
    pub fn new(severity: Severity, text: impl Into<String>) -> Self {
        Self { severity, text: text.into(), way_out: None }
    }

    /// Says what to do about it.
    #[must_use]
    pub fn way_out(mut self, text: impl Into<String>) -> Self {
        self.way_out = Some(text.into());
        self
    }

    /// What is wrong and what to do about it, in one line.
    #[must_use]
    pub fn sentence(&self) -> String {
        let way_out = self.way_out.as_ref().map(|text| format!(" {text}")).unwrap_or_default();
        format!("{}.{way_out}", self.text.trim_end_matches('.'))
    }
}

/// What a restore takes of something that other data sets may take of too: memory, empty databases, the volume of one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// What tells it from all others.
    pub of: String,
    /// For people: `bytes of memory at 127.0.0.1:6379`.
    pub called: String,
    /// What this data set takes.
    pub takes: u64,
    /// What there is to take.
    pub free: u64,
}

/// A data set as found, without changing anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Findings {
    /// Kind and version of the store, e.g. `MySQL 9.7.0`, `Redis 7.0.15`, `folder`.
    pub store: String,
    /// Where it is, without secrets: `127.0.0.1:3306/system`.
    pub address: String,
    /// What tells the store from all others, whatever its address and passwords: `mysql SERVER-UUID/DATABASE`, `postgresql SYSTEM-IDENTIFIER/DATABASE`,
    /// `folder FILE-SYSTEM:INODE`. Stays over restarts and over a cut-over; absent where none can be had (Redis). Never a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// A run that replaces the live data in place, or is in the middle of a swap, as the store's own mark says: the data is neither the old nor the new.
    /// Such a store is not backed up, whoever began that run and wherever its journal is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub half_loaded_by: Option<String>,
    /// Whether there is no live data at all: the database was dropped. There is nothing to back up, and nothing that a restore could lose.
    #[serde(default)]
    pub is_gone: bool,
    /// Approximate size of the live data, as the store tells it.
    pub size_bytes: u64,
    /// Approximate number of elements (rows, keys, files), when cheap to know.
    pub count: Option<u64>,
    /// What matters for a backup.
    pub backup_problems: Vec<Problem>,
    /// What matters for a restore into this store, whatever the set.
    pub restore_problems: Vec<Problem>,
    /// The best road back that is open here.
    pub road: Road,
    /// Why the road is not [`Road::SideCopy`], or other facts for `doctor`: name and value.
    pub facts: Vec<(String, String)>,
}

/// A data set, reached at its live place. All verbs are blocking, may be called from any thread, and may be called again after a crash at any point: each
/// first looks at how far an earlier call came.
pub trait DataSet: Send + Sync {
    /// Its name.
    fn name(&self) -> DataSetName;

    /// The kind of store, as in [`KeptDataSet::kind`].
    ///
    /// # Errors
    /// When the store cannot be asked.
    fn kind(&self) -> Result<StoreKind>;

    /// What tells the store from all others, as in [`Findings::identity`]. Quick. `None` where none can be had.
    ///
    /// # Errors
    /// As [`DataSet::look`].
    fn identity(&self, _context: &Context) -> Result<Option<String>> {
        Ok(None)
    }

    /// What tells each part of the store from all others as long as it runs, whatever the address by which it is reached, and how it is called here. Two data
    /// sets that have one in common are the same data twice. Quick.
    ///
    /// # Errors
    /// As [`DataSet::look`].
    fn parts(&self, context: &Context) -> Result<BTreeMap<String, String>> {
        Ok(self.identity(context)?.into_iter().map(|identity| (identity.clone(), identity)).collect())
    }

    /// Another data set of the same installation: what that one names is live, also when it is empty, and never becomes a place of this one, where both share a
    /// store.
    fn spare(&self, _other: Arc<dyn DataSet>) {}

    /// Looks at the live store. Changes nothing.
    ///
    /// # Errors
    /// When it cannot be reached at all ([`crate::Class::Transient`]) or refuses the login ([`crate::Class::Refused`]).
    fn look(&self, context: &Context) -> Result<Findings>;

    /// Whether a kept data set can go into this store: versions, kinds, what the schema needs. Changes nothing. Empty when nothing is in the way.
    ///
    /// # Errors
    /// As [`DataSet::look`].
    fn fits(&self, context: &Context, kept: &KeptDataSet, road: Road) -> Result<Vec<Problem>>;

    /// The road on which a kept data set goes back, and why when it is another than the best one that is open for what is live now. Changes nothing.
    ///
    /// # Errors
    /// As [`DataSet::look`].
    fn road(&self, _context: &Context, findings: &Findings, _kept: &KeptDataSet) -> Result<(Road, Option<Problem>)> {
        Ok((findings.road, None))
    }

    /// What a restore on that road takes of what it may share with other data sets: each may fit alone, and all together not. Changes nothing.
    ///
    /// # Errors
    /// As [`DataSet::look`].
    fn shares(&self, _context: &Context, _kept: &KeptDataSet, _road: Road) -> Result<Vec<Share>> {
        Ok(Vec::new())
    }

    /// Begins a dump: opens one consistent view of the live data, and returns when it is open. Writers are not stopped beyond that moment.
    ///
    /// # Errors
    /// When the view cannot be had.
    fn dump(&self, context: &Context) -> Result<Box<dyn Dump>>;

    /// Whether a dump can name again what that earlier one of the same store left in the repository ([`DataSet::dump_since`]).
    fn reuses(&self, _earlier: &KeptDataSet) -> bool {
        false
    }

    /// As [`DataSet::dump`]; what has not changed since the earlier snapshot of this store is not read again, or read and compared.
    ///
    /// # Errors
    /// As [`DataSet::dump`].
    fn dump_since(&self, context: &Context, _earlier: Earlier) -> Result<Box<dyn Dump>> {
        self.dump(context)
    }

    /// Chooses where the staged copy will be. Where others could choose the same it is claimed at once, by a mark that names the run and the data set; nothing
    /// else is changed. Called again by the same run after a crash it finds what it claimed.
    ///
    /// # Errors
    /// When no place is free: nothing is claimed then.
    fn reserve(&self, context: &Context, kept: &KeptDataSet, road: Road) -> Result<Place>;

    /// Gives back what [`DataSet::reserve`] claimed for the run and nothing was loaded into: also when the place itself never came into the journal. Nothing
    /// there is fine.
    ///
    /// # Errors
    /// When a claim cannot be removed.
    fn release(&self, _context: &Context) -> Result<()> {
        Ok(())
    }

    /// Loads a snapshot into the place, after clearing what an earlier call left there. With [`Road::SideCopy`] the live data is not touched; with
    /// [`Road::InPlace`] it is replaced.
    ///
    /// # Errors
    /// When the load fails. What was loaded stays for the next call or [`DataSet::discard`].
    fn stage(&self, context: &Context, place: &Place, snapshot: Arc<dyn Snapshot>, kept: &KeptDataSet) -> Result<()>;

    /// What of a kept data set [`DataSet::stage`] leaves to [`DataSet::load_rest`], because the live store would suffer from it while it serves: for people, as the
    /// reason of a step. `None`: nothing. Asks no store.
    fn rest(&self, _kept: &KeptDataSet, _road: Road) -> Option<String> {
        None
    }

    /// Loads into the place what [`DataSet::stage`] left out, reads it back and compares it with the set. Called when nobody writes to the live store any more,
    /// and before [`DataSet::cut_over`], which refuses without it. The live data is not touched.
    ///
    /// # Errors
    /// As [`DataSet::stage`]; when what was read back is not what the set has.
    fn load_rest(&self, _context: &Context, _place: &Place, _snapshot: Arc<dyn Snapshot>, _kept: &KeptDataSet) -> Result<()> {
        Ok(())
    }

    /// Counts and digests what was staged, reading it back from the store. Changes nothing. The caller compares with
    /// [`Evidence::differences`]; elements that expired since are accounted for by the data set (Redis).
    ///
    /// # Errors
    /// When it cannot be read.
    fn prove(&self, context: &Context, place: &Place, kept: &KeptDataSet) -> Result<Evidence>;

    /// How somebody looks at the staged copy before it is swapped in; `None` where nobody can.
    ///
    /// # Errors
    /// When the place is not one of this data set.
    fn staged(&self, _place: &Place) -> Result<Option<Staged>> {
        Ok(None)
    }

    /// Answers a question about the staged copy, in the words of the store's own client program. One statement or command that reads, in a transaction in which no row can be written; what functions of a server do besides is not held back.
    ///
    /// # Errors
    /// [`crate::Class::Refused`] when the question does not only read; the store's own.
    fn ask_staged(&self, _context: &Context, _place: &Place, _words: &[String], _answer: &mut dyn Write) -> Result<()> {
        Err(Error::refused(format!("the staged copy of {} answers no questions", self.name())))
    }

    /// Swaps the staged copy and the live data, in seconds; the previous data is kept at the place. Called again after a crash it goes on; when it is
    /// already done it changes nothing. Nothing to do for a place of [`Road::InPlace`].
    ///
    /// # Errors
    /// When the swap cannot be had within the bounded wait: the blocker is named and nothing is changed.
    fn cut_over(&self, context: &Context, place: &Place) -> Result<()>;

    /// Takes a cut-over back, wholly or as far as it came: the previous data is live again, the restored data is at the place. Says what it found: that
    /// there is nothing of the run is no success.
    ///
    /// # Errors
    /// As [`DataSet::cut_over`].
    fn undo(&self, context: &Context, place: &Place) -> Result<Undone>;

    /// What [`DataSet::discard`] would refuse, asked of all data sets before the first drops anything: a run that is half settled cannot be undone any more. Changes
    /// nothing.
    ///
    /// # Errors
    /// As [`DataSet::discard`].
    fn check_discard(&self, context: &Context, place: &Place, what: Discard) -> Result<()>;

    /// Removes what this run left at the place. Never touches live data, and never removes the other of the two: when `what` is the staged copy and the
    /// previous data is found at the place, it is the only one of its kind, and stays. Nothing there is fine.
    ///
    /// # Errors
    /// When it cannot be removed; [`crate::Class::NeedsPerson`] when what is there is not what was to be removed.
    fn discard(&self, context: &Context, place: &Place, what: Discard) -> Result<()>;

    /// Removes what only the run itself needed, when it has come to its end over the live data ([`Road::InPlace`]): its last step, an undo, or `settle`.
    /// The live data is not touched. Nothing there is fine.
    ///
    /// # Errors
    /// When it cannot be removed.
    fn tidy(&self, _context: &Context, _place: &Place) -> Result<()> {
        Ok(())
    }

    /// Whether the previous data of a place of [`Road::InPlace`] is kept in the store itself, so that [`DataSet::undo`] puts it back. When not, it is only in the
    /// safety copy.
    fn keeps_previous(&self, _place: &Place) -> bool {
        false
    }

    /// Approximate bytes kept at the place.
    ///
    /// # Errors
    /// When the store cannot be asked.
    fn kept_bytes(&self, context: &Context, place: &Place) -> Result<u64>;

    /// Takes the store's own lock of the installation: seen from every machine, let go with the connection, however it ends. `None`: the store has none.
    ///
    /// # Errors
    /// [`crate::Class::Locked`] when another run holds it.
    fn lock(&self, _context: &Context) -> Result<Option<Box<dyn Held>>> {
        Ok(None)
    }

    /// Makes changes in a database of the place that is whole: the staged copy, or the live data where it was replaced in place. Each may be made again after a crash.
    ///
    /// # Errors
    /// When what is at the place is not whole, or is not the run's; what `changes` says.
    fn change_keys(&self, _context: &Context, _place: &Place, _database: &str, _changes: &mut dyn KeyChanges) -> Result<()> {
        Err(crate::Error::failed(format!("{} has no keys", self.name())))
    }

    /// What the user lacks for [`DataSet::change_keys`]. Changes nothing.
    ///
    /// # Errors
    /// When the store cannot be asked.
    fn changes_lack(&self, _context: &Context) -> Result<Option<Problem>> {
        Ok(None)
    }

    /// Its keys that can go back alone, when it is a key-value store.
    fn merges_keys(&self) -> Option<&dyn MergesKeys> {
        None
    }

    /// Its live keys by name, when it has keys.
    fn live_keys(&self) -> Option<&dyn LiveKeys> {
        None
    }

    /// Sets its live keys right and puts them back, when it has keys.
    fn key_repairs(&self) -> Option<&dyn KeyRepairs> {
        None
    }

    /// Its live rows, when it has rows.
    fn live_rows(&self) -> Option<&dyn LiveRows> {
        None
    }

    /// Changes its live rows and puts them back, when it has rows.
    fn changes_rows(&self) -> Option<&dyn ChangesRows> {
        None
    }

    /// Its live files, when it has files.
    fn live_files(&self) -> Option<&dyn LiveFiles> {
        None
    }

    /// Puts some files of a set into the live ones, when it has files.
    fn puts_files(&self) -> Option<&dyn PutsFiles> {
        None
    }

    /// What runs left in the store, whoever began them and wherever their journals are: side copies, previous data, marks. Changes nothing.
    ///
    /// # Errors
    /// When the store cannot be asked.
    fn leftovers(&self, _context: &Context) -> Result<Vec<Leftover>> {
        Ok(Vec::new())
    }

    /// Removes what [`DataSet::leftovers`] found. Never touches live data.
    ///
    /// # Errors
    /// When it cannot be removed, or is not what it was.
    fn remove_leftover(&self, _context: &Context, leftover: &Leftover) -> Result<()> {
        Err(crate::Error::refused(format!("{} cannot be removed by this program", leftover.what)))
    }
}

/// What [`DataSet::undo`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undone {
    /// The previous data is live: it was put back now, or by an earlier call, or the cut-over had not begun and the staged copy is still at the place.
    PreviousIsLive,
    /// There is nothing of the run at the place: nobody knows what is live.
    NothingThere,
}

/// What [`DataSet::discard`] removes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Discard {
    /// The staged copy, before a cut-over or after its undo.
    Staged,
    /// The previous data, after a cut-over (`settle`), and whatever else the run left.
    Previous,
}
