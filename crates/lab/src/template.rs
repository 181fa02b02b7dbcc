//! Freshly initialised data folders, kept to be copied: initialising takes seconds, copying a moment.
//!
//! A template is made beside its place and renamed, under a lock, so that a half-made one is never used.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::process::Command;

use plan::error::During;
use plan::{Error, Result};

use crate::folder;

/// Copies the template of `recipe` (everything that its content depends on) to `to`, after making it with `make` when
/// it is not there yet.
pub(crate) fn copy(recipe: &str, to: &Path, make: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let folder = folder::shared("templates")?;
    let mut hasher = DefaultHasher::new();
    recipe.hash(&mut hasher);
    let template = folder.join(format!("{:016x}", hasher.finish()));
    let lock_path = template.with_extension("lock");
    let lock = File::create(&lock_path).during(|| format!("create {}", lock_path.display()))?;
    lock.lock().during(|| format!("lock {}", lock_path.display()))?;
    if !template.is_dir() {
        let unfinished = template.with_extension("new");
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished).during(|| format!("remove {}", unfinished.display()))?;
        }
        make(&unfinished)?;
        fs::rename(&unfinished, &template).during(|| format!("rename {}", unfinished.display()))?;
    }
    drop(lock);
    run(children::command("cp").args(["-a", "--sparse=always", "--reflink=auto", "--"]).arg(&template).arg(to))
}

/// Runs a short command to its end; what it said is in the error.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().during(|| format!("start {name}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    Err(Error::failed(format!("{name} failed: {}", output.status)).hint(format!("It said: {}", said.trim())))
}
