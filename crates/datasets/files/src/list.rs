//! Lists the live files: names and sizes, nothing is opened.

use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use beneath::{Tree, stat_entry};
use plan::ports::{Context, FileReader};
use plan::{Error, Result};
use rustix::fs::FileType;

use crate::hook::Hook;
use crate::walk::Walk;

/// Tells a reader every file of a tree.
///
/// # Errors
/// When a folder cannot be listed; what the reader says.
pub(crate) fn each_file(tree: &Arc<Tree>, context: &Context, reader: &mut FileReader<'_>) -> Result<()> {
    for found in Walk::new(Arc::clone(tree), Hook::default()) {
        context.stop.check()?;
        let looked_at = found.map_err(|missed| (missed.path, missed.error)).and_then(|found| {
            stat_entry(&*found.folder, &found.name).map(|stat| (stat, found.path.clone())).map_err(|error| (found.path, error))
        });
        match looked_at {
            Ok((Some(stat), path)) if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile => {
                reader(path.as_os_str().as_bytes(), u64::try_from(stat.st_size).unwrap_or_default())?;
            }
            Ok(_) => {}
            // Gone since it was listed.
            Err((_, error)) if error.kind() == ErrorKind::NotFound => {}
            Err((path, error)) => {
                return Err(Error::failed(format!("cannot look at {}", tree.place_of(&path).display())).because(error));
            }
        }
    }
    Ok(())
}
