//! Looks at a tree in a place, and says what stands in the way. Changes nothing.

use std::io::BufReader;

use plan::manifest::KeptDataSet;
use plan::ports::{Context, Findings, Problem, Road, Severity};
use plan::{Error, Result};

use super::place::{There, broken, program, read_record};
use super::runs;
use super::stage::{PATH_BYTES_MAX, WITH_THE_VOLUME};
use crate::Options;
use crate::mounts::chattr;
use crate::rights;
use crate::runs::half_loaded_by;
use crate::space::{Need, Volume};

const SCRIPT: &str = concat!(include_str!("rights.sh"), include_str!("look.sh"));
/// How many seconds a look may count files.
const LOOK_SECONDS: u32 = 5;
/// The first `tar` that can sort.
const TAR_VERSION: (u32, u32) = (1, 28);

/// What was seen.
#[derive(Default)]
struct Seen {
    words: Vec<(String, String)>,
    entries: u64,
    size_bytes: u64,
    allocated_bytes: u64,
    unreadable: u64,
    /// Exit status of the counting; 124 when its time was over.
    ended: Option<i32>,
}

impl Seen {
    fn word(&self, name: &str) -> &str {
        self.words.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str())
    }

    fn volume(&self) -> Volume {
        let free = |name: &str| -> Option<u64> { self.word(name).split_whitespace().nth(3)?.parse().ok() };
        let total_inodes: u64 = self.word("inodes").split_whitespace().nth(1).and_then(|text| text.parse().ok()).unwrap_or(0);
        Volume {
            free_bytes: free("blocks").unwrap_or(0).saturating_mul(1024),
            free_inodes: free("inodes").filter(|_| total_inodes > 0),
            name_bytes_max: self.word("names").parse().unwrap_or(255),
            read_only: false,
        }
    }

    fn line(&mut self, line: &str) {
        let mut words = line.split(' ');
        match (words.next(), words.next()) {
            (Some("u"), None) => self.unreadable += 1,
            (Some("end"), Some(status)) => self.ended = status.parse().ok(),
            (Some(kind), Some(size)) => {
                let mut number = || words.next().and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
                let blocks = number();
                self.entries += 1;
                self.allocated_bytes += blocks * 512;
                if kind == "f" {
                    self.size_bytes += size.parse().unwrap_or(0);
                }
            }
            _ => {}
        }
    }
}

fn see(there: &There, context: &Context, seconds: u32) -> Result<Seen> {
    let what = format!("look at {}", there.address());
    let mut process = there.remote.start(context, &program(SCRIPT, &[&there.root, &seconds.to_string()]))?;
    let output = process.output().ok_or_else(|| Error::failed(format!("{what}: no output")))?;
    let (mut seen, mut in_head, mut line) = (Seen::default(), true, Vec::new());
    let mut output = BufReader::new(output);
    while read_record(&mut output, b'\n', &mut line).map_err(|error| broken(&what, error))? {
        context.stop.check()?;
        let line = String::from_utf8_lossy(&line);
        if line.is_empty() {
            in_head = false;
        } else if in_head {
            let (name, value) = line.split_once(' ').unwrap_or((&line, ""));
            seen.words.push((name.to_owned(), value.trim().to_owned()));
        } else {
            seen.line(&line);
        }
    }
    drop(output);
    there.success(process.finish()?, &what)?;
    tools(there, &seen)?;
    Ok(seen)
}

/// The programs that all verbs need.
fn tools(there: &There, seen: &Seen) -> Result<()> {
    let lacks = |what: &str| {
        Error::refused(format!("{} lacks {what}", there.remote.place())).hint(
            "Files are reached there with GNU tar (1.28 or newer), GNU find and GNU coreutils, as the images of 3scale have them. Mount the volume \
             instead: run threescale-backup in the cluster, or give the path in [system-storage].",
        )
    };
    let tar = seen.word("tar");
    let version = tar.rsplit(' ').next().and_then(|text| {
        let (major, minor) = text.split_once('.')?;
        let minor: String = minor.chars().take_while(char::is_ascii_digit).collect();
        Some((major.parse::<u32>().ok()?, minor.parse::<u32>().ok()?))
    });
    if !tar.contains("GNU tar") || version.is_none_or(|version| version < TAR_VERSION) {
        return Err(lacks(&format!("GNU tar 1.28 or newer (it has {tar:?})")));
    }
    if !seen.word("find").contains("GNU findutils") {
        return Err(lacks(&format!("GNU find (it has {:?})", seen.word("find"))));
    }
    if !seen.word("mv").contains("coreutils") {
        return Err(lacks(&format!("GNU coreutils (its mv is {:?})", seen.word("mv"))));
    }
    Ok(())
}

/// Refuses a place that lacks the programs.
pub(super) fn check_tools(there: &There, context: &Context) -> Result<()> {
    see(there, context, 0).map(drop)
}

/// Refuses when the volume cannot hold a copy beside the live data.
pub(super) fn check_space(there: &There, context: &Context, kept: &KeptDataSet) -> Result<()> {
    let volume = see(there, context, 0)?.volume();
    Need::of(kept).check(&volume, std::path::Path::new(&there.address()))
}

/// Looks at the live tree.
pub(super) fn look(there: &There, context: &Context, options: &Options) -> Result<Findings> {
    let skip_unreadable = options.skip_unreadable;
    let half_loaded_by = half_loaded_by(&runs::list(there, context)?);
    let seen = see(there, context, LOOK_SECONDS)?;
    let (volume, address) = (seen.volume(), there.address());
    let whole = seen.ended == Some(0) || seen.ended == Some(1);
    let mut backup_problems = Vec::new();
    let mut restore_problems = Vec::new();
    if seen.entries == 0 {
        let empty = Problem::new(Severity::Note, format!("{address} is empty"));
        backup_problems.push(empty.way_out("Check that the volume is mounted in the pod."));
    }
    if seen.unreadable > 0 || seen.ended == Some(1) {
        let severity = if skip_unreadable { Severity::Degrades } else { Severity::Blocks };
        let text = match seen.unreadable {
            0 => format!("folders of {address} cannot be listed by the pod's user"),
            count => format!("{count} files of {address} cannot be read by the pod's user"),
        };
        backup_problems.push(Problem::new(severity, text).way_out("Let the pod's user read them, or move them away."));
    }
    restore_problems.extend(closed(&seen, &address));
    if seen.word("uid") != "0" {
        let text = "the pod's user is not root: owners that differ from it cannot be set, a warning will name how many";
        restore_problems.push(Problem::new(Severity::Note, text));
    }
    if !seen.word("mount").is_empty() {
        let text = format!(
            "another volume is mounted in the folder, at {}, and through a pod it can be neither swapped nor replaced",
            seen.word("mount")
        );
        restore_problems.push(Problem::new(Severity::Blocks, text).way_out(
            "Unmount it (take it out of the pod's volume mounts), or restore with the volume mounted: run threescale-backup in the cluster.",
        ));
    }
    if !seen.word("fixed").is_empty() {
        let text = format!("{} in {address} can be neither replaced nor removed", seen.word("fixed"));
        restore_problems.push(Problem::new(Severity::Blocks, text).way_out(chattr(seen.word("fixed").as_ref())));
    }
    if let Some((path, bond)) = rights::parse(seen.word("unmovable")) {
        let place = format!("{address}/{path}");
        let text = format!("{place} belongs to another user, and the pod's may not move it");
        restore_problems.push(Problem::new(Severity::Blocks, text).way_out(bond.way_out(place.as_ref())));
    } else if let Some((path, bond)) = rights::parse(seen.word("bound")) {
        let place = format!("{address}/{path}");
        let text = format!(
            "some entries belong to other users, and the pod's may not remove them, one of them {place}: after a restore beside, `settle` refuses until it can"
        );
        restore_problems.push(Problem::new(Severity::Degrades, text).way_out(bond.way_out(place.as_ref())));
    }
    let mut facts: Vec<(String, String)> = ["file-system", "tar"]
        .into_iter()
        .filter(|name| !seen.word(name).is_empty())
        .map(|name| (name.to_owned(), seen.word(name).to_owned()))
        .collect();
    facts.push(("user".to_owned(), seen.word("uid").to_owned()));
    facts.push(("free-bytes".to_owned(), volume.free_bytes.to_string()));
    facts.push(("mount-point".to_owned(), (seen.word("device") != seen.word("above")).to_string()));
    facts.extend(volume.free_inodes.map(|free| ("free-inodes".to_owned(), free.to_string())));
    if !whole {
        let text = format!("at least {} entries and {} bytes, within {LOOK_SECONDS} s", seen.entries, seen.size_bytes);
        facts.push(("counted".to_owned(), text));
    }
    let mut road = Road::SideCopy;
    if volume.free_bytes < seen.allocated_bytes {
        facts.push(("in-place-because".to_owned(), "there is no space for a second copy".to_owned()));
        road = Road::InPlace;
    }
    Ok(Findings {
        store: "folder in a pod".to_owned(),
        address,
        identity: options.identity.clone(),
        half_loaded_by,
        is_gone: false,
        size_bytes: seen.size_bytes,
        count: whole.then_some(seen.entries),
        backup_problems,
        restore_problems,
        road,
        facts,
    })
}

/// Why nothing can be made in the folder.
fn closed(seen: &Seen, address: &str) -> Option<Problem> {
    let text = format!("the pod's user may not write into {address}, or it is mounted read-only");
    let problem = || Problem::new(Severity::Blocks, text).way_out("Mount it for writing, and let the pod's user own it.");
    (seen.word("writable") != "yes").then(problem)
}

fn too_long_a_path(need: &Need) -> Option<Problem> {
    let longest = need.longest_path_bytes;
    let text = format!("a path in the set has {longest} bytes: the tar over there makes none of more than {PATH_BYTES_MAX}");
    (longest > PATH_BYTES_MAX as u64).then(|| Problem::new(Severity::Blocks, text).way_out(WITH_THE_VOLUME))
}

/// What keeps some files of a set from going in beside the live ones.
pub(super) fn some_fit(there: &There, context: &Context, kept: &KeptDataSet) -> Result<Vec<Problem>> {
    let seen = see(there, context, 0)?;
    let (volume, need, address) = (seen.volume(), Need::of(kept), there.address());
    let all = [closed(&seen, &address), need.too_long_a_name(&volume), too_long_a_path(&need), need.too_small(&volume, &address)];
    Ok(all.into_iter().flatten().collect())
}

/// What keeps a set from going into the tree.
pub(super) fn fits(there: &There, context: &Context, kept: &KeptDataSet, road: Road) -> Result<Vec<Problem>> {
    let seen = see(there, context, if road == Road::InPlace { LOOK_SECONDS } else { 0 })?;
    let (volume, need, address) = (seen.volume(), Need::of(kept), there.address());
    let mut problems = Vec::new();
    if !kept.kind.is_files() {
        problems.push(Problem::new(Severity::Blocks, format!("the set holds {}, not files", kept.kind)));
    }
    problems.extend(need.too_long_a_name(&volume));
    problems.extend(too_long_a_path(&need));
    if let Some(sockets) = kept.evidence.collections.get("sockets").filter(|sockets| sockets.count > 0) {
        let text = format!("{} sockets of the set cannot be made through a pod; their programs make them anew", sockets.count);
        problems.push(Problem::new(Severity::Note, text));
    }
    match road {
        Road::SideCopy => {
            if let Some(lacking) = need.lacking(&volume) {
                let text = format!("the volume of {address} is too small for a second copy: {lacking}");
                problems.push(Problem::new(Severity::Blocks, text).way_out("Free space, enlarge the volume, or restore with --in-place."));
            }
        }
        Road::InPlace => {
            if let Some((path, bond)) = rights::parse(seen.word("bound")) {
                let place = format!("{address}/{path}");
                let text = format!("some entries belong to other users, and the pod's may not replace them, one of them {place}");
                problems.push(Problem::new(Severity::Blocks, text).way_out(bond.way_out(place.as_ref())));
            }
            let inodes = volume.free_inodes.map_or(u64::MAX, |free| free.saturating_add(seen.entries));
            if need.inodes > inodes && seen.ended == Some(0) {
                let text = format!("{} inodes are needed, {inodes} are free or taken by the live files", need.inodes);
                problems.push(Problem::new(Severity::Blocks, text).way_out("Enlarge the volume."));
            }
            problems.extend(volume.no_room_for_a_run());
            let total = volume.free_bytes.saturating_add(seen.allocated_bytes);
            if need.bytes > total {
                let severity = if seen.ended == Some(0) { Severity::Blocks } else { Severity::Degrades };
                let text = format!("{} bytes are needed, {total} are free or taken by the live files", need.bytes);
                problems.push(Problem::new(severity, text).way_out("Enlarge the volume."));
            }
        }
    }
    Ok(problems)
}
