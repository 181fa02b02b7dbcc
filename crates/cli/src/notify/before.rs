//! How the command ended the last time, of this installation and on this machine: the first success after a failure is worth telling.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use crate::app::App;
use crate::config::Config;
use crate::output::file;

/// A mark beside the journals while the last call of a command has failed. Where there is no folder for it (in a pod), nobody knows.
pub(super) struct Before(Option<PathBuf>);

impl Before {
    pub(super) fn of(app: &App, config: &Config, command: &str, installation: &str) -> Self {
        // A restore that failed is over when it was gone on with, or taken back.
        let work = if matches!(command, "resume" | "undo") { "restore" } else { command };
        let of = if installation.is_empty() { String::new() } else { format!("-{}", hex::encode(installation)) };
        Self(app.state_folder(config).ok().map(|folder| folder.join(format!("{work}-failed{of}"))))
    }

    pub(super) fn has_failed(&self) -> bool {
        self.0.as_ref().is_some_and(|mark| mark.exists())
    }

    /// For the next time.
    pub(super) fn keep(&self, has_failed: bool) {
        let Some(mark) = &self.0 else { return };
        // Nobody is told wrong things by its absence: a recovery is told as nothing, or as a success.
        if has_failed {
            let folder = mark.parent().unwrap_or(mark);
            drop(DirBuilder::new().recursive(true).mode(0o700).create(folder));
            drop(file::replace(mark, ""));
        } else {
            drop(std::fs::remove_file(mark));
        }
    }
}
