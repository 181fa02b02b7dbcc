//! What the folders of runs in a pod's tree say: read by one script, judged by the rules of [`crate::runs`].

use plan::ids::RunId;
use plan::ports::{Context, Road};
use plan::{Error, Result};

use super::place::There;
use crate::run_folder::Spot;
use crate::runs::Found;
use crate::times::{nanoseconds, seconds};

const SCRIPT: &str = include_str!("runs.sh");

/// All folders of runs.
pub(super) fn list(there: &There, context: &Context) -> Result<Vec<Found>> {
    Ok(ask(there, context, "")?.into_iter().map(|(found, _)| found).collect())
}

/// The same with their bytes.
pub(super) fn with_bytes(there: &There, context: &Context) -> Result<Vec<(Found, Option<u64>)>> {
    ask(there, context, "sizes")
}

/// The folder of a run, if it is there; and all.
pub(super) fn of(there: &There, context: &Context, spot: &Spot) -> Result<(Option<Found>, Vec<Found>)> {
    let all = list(there, context)?;
    Ok((all.iter().find(|found| found.run == spot.run.as_str()).cloned(), all))
}

fn ask(there: &There, context: &Context, sizes: &str) -> Result<Vec<(Found, Option<u64>)>> {
    let what = format!("look for folders of runs in {}", there.address());
    let bytes = there.ask(context, &what, SCRIPT, &[&there.root, sizes])?;
    let fields: Vec<&[u8]> = bytes.split(|byte| *byte == 0).collect();
    let mut runs = Vec::new();
    let mut fields = fields.as_slice();
    while let [name, mark, swap, live_at, there, kilobytes, replaced_by, rest @ ..] = fields {
        fields = rest;
        let Ok(name) = std::str::from_utf8(name) else { continue };
        if Spot::new(RunId(name.to_owned()), Road::SideCopy).check().is_err() {
            continue;
        }
        let there = String::from_utf8_lossy(there);
        let there: Vec<&str> = there.split_whitespace().collect();
        let kilobytes: Option<u64> = std::str::from_utf8(kilobytes).ok().and_then(|text| text.trim().parse().ok());
        // One nanosecond before: all that came later is newer.
        let live_at = std::str::from_utf8(live_at).ok().and_then(|text| nanoseconds(text.trim())).map(|time_ns| seconds(time_ns - 1));
        runs.push((
            Found::new(name, mark, swap, live_at, &there)?.replaced_by(replaced_by),
            kilobytes.map(|kilobytes| kilobytes.saturating_mul(1024)),
        ));
    }
    if fields == [b"".as_slice()] { Ok(runs) } else { Err(Error::failed(format!("{what}: the answer is not whole"))) }
}
