//! A proof through a pod reads what its owner may not read: it is opened by the owner's right to change that, and closed at the end. A crash in between leaves it
//! open and noted in the run's folder, where the next proof finds it.

use std::collections::HashMap;

use plan::ports::Context;
use plan::{Error, Result};

use super::place::There;
use super::swap::folder;
use crate::run_folder::Spot;

const SCRIPT: &str = concat!(include_str!("enter.sh"), include_str!("lend.sh"));

/// The modes that a set has, by path, of what was opened.
pub(super) type Modes = HashMap<Vec<u8>, u32>;

/// What is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    /// Files and folders.
    All,
    /// Folders only. A file that was opened looks changed: the time of its inode's change is that of the opening.
    Folders,
}

impl Of {
    const fn word(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Folders => "folders",
        }
    }
}

/// Does something while all of a folder (relative to the root) can be read by its owner.
pub(super) fn while_lent<T>(
    there: &There,
    context: &Context,
    spot: &Spot,
    (target, what_of): (&str, Of),
    work: impl FnOnce(Modes) -> Result<T>,
) -> Result<T> {
    let what = format!("open what its owner may not read in {}", there.address());
    let ask = |what: &str, verb: &str| there.ask(context, what, SCRIPT, &[&there.root, target, &folder(spot), verb]);
    let modes =
        parse(&ask(&what, what_of.word())?, target).ok_or_else(|| Error::failed(format!("{what}: the list is not what find writes")))?;
    let is_lent = !modes.is_empty();
    let done = work(modes);
    if is_lent {
        ask(&format!("close again what its owner may not read in {}", there.address()), "close")?;
    }
    done
}

/// Records of depth, mode and path, each ended by NUL.
fn parse(bytes: &[u8], target: &str) -> Option<Modes> {
    let mut modes = Modes::new();
    for record in bytes.split(|byte| *byte == 0).filter(|record| !record.is_empty()) {
        let mut fields = record.splitn(3, |byte| *byte == b' ').skip(1);
        let mode = u32::from_str_radix(std::str::from_utf8(fields.next()?).ok()?, 8).ok()?;
        modes.insert(fields.next()?.strip_prefix(target.as_bytes())?.strip_prefix(b"/")?.to_vec(), mode);
    }
    Some(modes)
}
