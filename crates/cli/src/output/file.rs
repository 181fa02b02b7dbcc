//! Files that commands write: whole or not at all.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use plan::error::During;
use plan::{Error, Result};
use tempfile::NamedTempFile;

/// Puts a file of this content in the place of what is there. Everybody may read it.
pub(crate) fn replace(file: &Path, content: &str) -> Result<()> {
    let what = || format!("write {}", file.display());
    written(file, content)?.persist(file).map_err(|error| error.error).during(what)?;
    Ok(())
}

/// Makes a file of this content, where there is none. Everybody may read it.
pub(crate) fn create(file: &Path, content: &str) -> Result<()> {
    let what = || format!("write {}", file.display());
    match written(file, content)?.persist_noclobber(file) {
        Ok(_) => Ok(()),
        Err(error) if error.error.kind() == std::io::ErrorKind::AlreadyExists => {
            Err(Error::refused(format!("{} is there already", file.display())).hint("Name a file that is not there yet."))
        }
        Err(error) => Err(error.error).during(what),
    }
}

/// The folder that a file is in, or is to be.
pub(crate) fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

/// The content beside the file, on disk. What is no file (a pipe, a link, a device) is not put aside for one.
fn written(file: &Path, content: &str) -> Result<NamedTempFile> {
    let what = || format!("write {}", file.display());
    let folder = folder_of(file);
    let is_other = std::fs::symlink_metadata(file).is_ok_and(|found| !found.is_file());
    if is_other || file == Path::new("-") || !folder.is_dir() {
        let why = if folder.is_dir() { "it is not a file" } else { "there is no such folder" };
        return Err(Error::refused(format!("{} cannot be written: {why}", file.display())).hint("Name a file in a folder that is there."));
    }
    let mut written = tempfile::Builder::new().prefix(".threescale-backup-").tempfile_in(folder).during(what)?;
    written.write_all(content.as_bytes()).during(what)?;
    written.as_file().set_permissions(std::fs::Permissions::from_mode(0o644)).during(what)?;
    written.as_file().sync_all().during(what)?;
    Ok(written)
}
