//! Acts out [`crate::swap::steps`] over there, by one script for each verb. The files on the volume are those of the local swap, so that a run that began here can
//! be undone with the volume mounted.

use std::path::Path;

use plan::ids::DataSetName;
use plan::ports::{Context, Event, Road};
use plan::{Error, Result};

use super::lend::{Of, while_lent};
use super::place::There;
use super::runs;
use super::stream::root_meta;
use crate::mounts;
use crate::rights;
use crate::root::{RootMeta, told_left};
use crate::run_folder::Spot;
use crate::runs::Found;
use crate::stage::{STAGED, Staged};
use crate::swap::steps::{
    Hands, LATE, Leaves, SWAP, Seen, Step, not_all_there, not_apart, nothing_removed, told_bound, told_late, told_not_intact, told_since,
    told_stays, told_whole,
};

const SCRIPT: &str = concat!(include_str!("rights.sh"), include_str!("swap.sh"));
const STATUS: &str = include_str!("status.sh");
/// The script's exit statuses.
const BUSY: i32 = 20;
const MOUNTED: i32 = 21;
const AT_WORK: i32 = 22;
const FIXED: i32 = 23;
const NOT_APART: i32 = 24;
const NOT_MOVABLE: i32 = 25;
const NOT_ALL_THERE: i32 = 26;
const NOT_REMOVABLE: i32 = 27;
const NOT_REPLACEABLE: i32 = 28;
/// How many of what was changed since are named.
const NAMED: usize = 5;

/// What a run's folder says beside [`Found`].
pub(super) struct Status {
    pub(super) user: u32,
    pub(super) staged: Option<Staged>,
}

impl Status {
    pub(super) fn ask(there: &There, context: &Context, spot: &Spot) -> Result<Self> {
        let what = format!("look at the run's folder in {}", there.address());
        let bytes = there.ask(context, &what, STATUS, &[&there.root, &folder(spot)])?;
        let fields: Vec<&[u8]> = bytes.split(|byte| *byte == 0).collect();
        let &[user, staged, []] = fields.as_slice() else {
            return Err(Error::failed(format!("{what}: the answer is not whole")));
        };
        let damaged = |error| Error::needs_person(format!("{}/{}/{STAGED} is damaged", there.address(), folder(spot))).because(error);
        Ok(Self {
            user: std::str::from_utf8(user).ok().and_then(|text| text.parse().ok()).unwrap_or(u32::MAX),
            staged: if staged.is_empty() { None } else { Some(serde_json::from_slice(staged).map_err(damaged)?) },
        })
    }
}

/// The run's folder, relative to the root. Its id was checked.
pub(super) fn folder(spot: &Spot) -> String {
    format!("{}/{}", crate::walk::OWN_FOLDER, spot.run.as_str())
}

/// See the module.
pub(super) struct Swapping<'a> {
    pub(super) there: &'a There,
    pub(super) context: &'a Context,
    pub(super) data_set: DataSetName,
    pub(super) spot: &'a Spot,
}

impl Hands for Swapping<'_> {
    fn see(&self) -> Result<Seen> {
        let (there, context, spot) = (self.there, self.context, self.spot);
        let (found, all) = runs::of(there, context, spot)?;
        // A root that was not swapped yet is noted as it is.
        let is_first = |found: &Found| found.swap.is_none() && spot.road == Road::SideCopy;
        let root = if found.as_ref().is_some_and(is_first) { root_meta(there, context)? } else { RootMeta::default() };
        Ok(Seen {
            data_set: self.data_set,
            spot: spot.clone(),
            place: format!("{}/{}", there.address(), folder(spot)),
            all,
            staged: if found.is_some() { Status::ask(there, context, spot)?.staged } else { None },
            root,
        })
    }

    fn act(&self, what: &str, steps: &[Step]) -> Result<Result<()>> {
        if steps.is_empty() {
            return Ok(Ok(()));
        }
        self.context.stop.check()?;
        let run = |steps: &[Step]| steps.iter().try_fold(Words::new(self.there, self.spot), Words::step)?.try_run(self.context, what);
        // What was changed is looked for in all folders, also those that their owner may not enter.
        let looked_at = steps.iter().position(|step| matches!(step, Step::Since(_))).map_or(0, |at| at + 1);
        let (looks, rest) = steps.split_at(looked_at);
        if !looks.is_empty() {
            let done = while_lent(self.there, self.context, self.spot, (".", Of::Folders), |_| run(looks))?;
            if done.is_err() {
                return Ok(done);
            }
        }
        run(rest)
    }
}

/// Steps for the script, in their order.
pub(super) struct Words<'a> {
    there: &'a There,
    spot: &'a Spot,
    words: Vec<String>,
}

impl<'a> Words<'a> {
    pub(super) const fn new(there: &'a There, spot: &'a Spot) -> Self {
        Self { there, spot, words: Vec::new() }
    }

    pub(super) fn then(mut self, words: &[&str]) -> Self {
        self.words.extend(words.iter().map(|word| (*word).to_owned()));
        self
    }

    fn step(self, step: &Step) -> Result<Self> {
        Ok(match step {
            Step::Movable => self.then(&["movable"]),
            Step::Enter(swap) => self.write(SWAP, swap)?,
            Step::Unfixed => self.then(&["unfixed"]),
            Step::Take(to) => self.then(&["take", to]),
            Step::TakeOwn(to) => self.then(&["take-own", to]),
            Step::Exchange => self.then(&["exchange", "forth"]),
            Step::ExchangeBack => self.then(&["exchange", "back"]),
            Step::Count => self.then(&["count"]),
            Step::Counted => self.then(&["counted"]),
            Step::Put(from) => self.then(&["put", from]),
            Step::Root(wanted) => self.root(Some(wanted)),
            Step::Replaced(runs) => runs.iter().fold(self, |words, run| words.then(&["replaced", run])),
            Step::NotReplaced(runs) => runs.iter().fold(self, |words, run| words.then(&["not-replaced", run])),
            Step::Tick => self.then(&["tick"]),
            Step::Since(time) => {
                let otherwise = if self.spot.road == Road::InPlace { "fail" } else { "stage" };
                self.then(&["since", time, otherwise])
            }
            Step::Intact(time) => self.then(&["intact", time]),
            Step::Removable => self.then(&["removable"]),
            Step::Remove(leaves) => {
                let which = match (leaves, self.spot.road) {
                    (Leaves::Nothing, _) => "all",
                    (Leaves::Bound, _) => "bound",
                    (Leaves::Kept, Road::SideCopy) => "keeps",
                    (Leaves::Kept, Road::InPlace) => "live",
                };
                self.then(&["remove", which])
            }
        })
    }

    /// Writes a file of the run.
    pub(super) fn write<T: serde::Serialize>(self, name: &str, value: &T) -> Result<Self> {
        let text = serde_json::to_string(value).map_err(|error| Error::failed(format!("failed to write down {name}")).because(error))?;
        Ok(self.then(&["write", name, &text]))
    }

    pub(super) fn root(self, wanted: Option<&RootMeta>) -> Self {
        let Some(wanted) = wanted else { return self };
        let [mode, uid, gid, time] = wanted.words();
        self.then(&["root", &mode, &uid, &gid, &time])
    }

    /// Runs them, and tells what the script reports.
    pub(super) fn run(self, context: &Context, what: &str) -> Result<()> {
        self.try_run(context, what)?
    }

    /// The same; the outer error is that of a call whose end is not known: it may be at work still.
    fn try_run(self, context: &Context, what: &str) -> Result<Result<()>> {
        let folder = folder(self.spot);
        let mut arguments = vec![self.there.root.as_str(), folder.as_str()];
        arguments.extend(self.words.iter().map(String::as_str));
        let place = self.there.address();
        let what = format!("{what} {place}");
        let (told, ended) = self.there.try_ask_long(context, &what, SCRIPT, &arguments)?;
        self.tell(context, &told, &format!("{place}/{folder}"));
        let said: String = ended.said.trim().chars().take(600).collect();
        Ok(match ended.status {
            BUSY => Err(Error::failed(format!("somebody keeps making files in {place}: {}", said.replace('\n', ", ")))
                .hint("Stop the writers, then resume or undo.")),
            MOUNTED => Err(Error::refused(format!("another volume is mounted at {place}/{}", said.lines().next().unwrap_or_default())).hint(
                "Through a pod it can be neither swapped nor replaced. Take it out of the pod's volume mounts, or restore with the volume mounted: run \
                 threescale-backup in the cluster.",
            )),
            AT_WORK => Err(Error::transient(format!("{what}: {said}")).hint("Wait for it, then resume or undo.")),
            FIXED => Err(Error::refused(format!("{said} in {place} cannot be moved")).hint(mounts::chattr(said.as_ref()))),
            NOT_MOVABLE if let Some((path, bond)) = rights::parse(&said) => Err(bond.refuses_move(&Path::new(&place).join(path))),
            NOT_REPLACEABLE if let Some((path, bond)) = rights::parse(&said) => {
                Err(bond.refuses_removal(&Path::new(&place).join(path), "nothing was touched"))
            }
            NOT_REMOVABLE if let Some((path, bond)) = rights::parse(&said) => {
                let outcome = nothing_removed(self.spot.run.as_str());
                Err(bond.refuses_removal(&Path::new(&place).join(&folder).join(path), &outcome))
            }
            NOT_ALL_THERE => Err(not_all_there(&format!("{place}/{folder}"), self.spot.run.as_str())),
            NOT_APART => Err(not_apart(&format!("{said:?} in {place}"))),
            _ => self.there.success(ended, &what),
        })
    }

    fn tell(&self, context: &Context, told: &[u8], run: &str) {
        let (mut files, mut folders, mut named, mut left) = (0, 0, Vec::new(), Vec::new());
        for line in told.split(|byte| *byte == 0).filter(|line| !line.is_empty()) {
            let line = String::from_utf8_lossy(line);
            if let Some(name) = line.strip_prefix("late ") {
                context.watch.see(Event::Warning(&told_late(&format!("{:?} in {}", name, self.there.address()), &format!("{run}/{LATE}"))));
            } else if let Some((count, name)) = line.strip_prefix("since ").and_then(|rest| rest.split_once(" /")) {
                files += count.parse::<u64>().unwrap_or(1);
                if named.len() < NAMED {
                    named.push(name.to_owned());
                }
            } else if let Some(name) = line.strip_prefix("whole ") {
                let why = format!("{name:?} in {} could not be kept apart", self.there.address());
                context.watch.see(Event::Warning(&told_whole(&why, run, self.spot.run.as_str())));
            } else if let Some((count, first)) = line.strip_prefix("changed ").and_then(|rest| rest.split_once(' ')) {
                let text = told_not_intact(count.parse().unwrap_or(1), first, run, self.spot.run.as_str());
                context.watch.see(Event::Warning(&text));
            } else if let Some(name) = line.strip_prefix("stays ") {
                context.watch.see(Event::Warning(&told_stays(&format!("{name:?} in {}", self.there.address()))));
            } else if line == "folder" {
                folders += 1;
            } else if let Some(name) = line.strip_prefix("bound ") {
                context.watch.see(Event::Warning(&told_bound(&format!("{run}/{name}"), run, self.spot.run.as_str())));
            } else if let Some(what) = line.strip_prefix("root ") {
                left.push(what.to_owned());
            }
        }
        if !left.is_empty() {
            context.watch.see(Event::Warning(&told_left(&self.there.address(), &left.join(", "))));
        }
        if files + folders > 0 {
            context.watch.see(Event::Warning(&told_since(files, folders, &named, run, self.spot.run.as_str())));
        }
    }
}

pub(super) fn nothing_staged(there: &There, spot: &Spot) -> Error {
    Error::failed(format!("no staged files at {}/{}", there.address(), folder(spot))).hint("Stage the set again: run restore.")
}
