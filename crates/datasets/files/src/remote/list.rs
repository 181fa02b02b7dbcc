//! Lists the files of a tree in a place: names and sizes, nothing is opened.

use std::io::BufReader;

use plan::ports::{Context, FileReader};
use plan::{Error, Result};

use super::place::{There, broken, program, read_record};

const LIST: &str = include_str!("list.sh");

/// Tells a reader every file.
///
/// # Errors
/// When some cannot be listed; what the reader says.
pub(super) fn each_file(there: &There, context: &Context, reader: &mut FileReader<'_>) -> Result<()> {
    let what = format!("list the files of {}", there.address());
    let mut process = there.remote.start(context, &program(LIST, &[&there.root]))?;
    let mut stream = BufReader::new(process.output().ok_or_else(|| Error::failed(format!("{what}: no output")))?);
    let mut record = Vec::new();
    while read_record(&mut stream, 0, &mut record).map_err(|error| broken(&what, error))? {
        context.stop.check()?;
        let at = record.iter().position(|byte| *byte == b' ').unwrap_or_default();
        let size = record.get(..at).and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
        let size = size.ok_or_else(|| Error::failed(format!("{what}: the list is not what find writes")))?;
        reader(record.get(at + 1..).unwrap_or_default(), size)?;
    }
    drop(stream);
    let ended = process.finish()?;
    // What went away meanwhile is no fault of the listing.
    let only_gone = ended.said.lines().all(|line| line.ends_with("No such file or directory"));
    if ended.status == 1 && !ended.said.is_empty() && only_gone { Ok(()) } else { there.success(ended, &what) }
}
