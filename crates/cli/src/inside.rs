//! What this program keeps of its own and needs for the way back must not lie in the folder of the files that it backs up: a restore replaces that folder with all that is in
//! it, and a backup would store the repository in itself.
//!
//! Recognised by device and inode of each folder above it, so by whatever path, and through links.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use plan::ids::DataSetName;
use plan::ports::{Problem, Severity};
use plan::words::shell_word;
use repository::Location;

use crate::app::App;
use crate::config::Config;
use crate::join::Installation;

/// What is to be done with the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Backup,
    Restore,
}

/// What lies where it must not, when the files are among these data sets.
pub(crate) fn problems(app: &App, config: &Config, installation: &dyn Installation, names: &[DataSetName], verb: Verb) -> Vec<Problem> {
    if !names.contains(&DataSetName::SystemStorage) || !config.data_sets().contains(&DataSetName::SystemStorage) {
        return Vec::new();
    }
    let Some(files) = config.storage().ok().filter(|section| section.bucket().is_none()).map(|section| PathBuf::from(section.path)) else {
        return Vec::new();
    };
    let repository = config.repository().ok().and_then(|(section, _)| Location::parse(&section.url, None).ok());
    let of_repository = match repository {
        Some(Location::Folder(folder)) => of_repository(&folder, &files),
        Some(Location::S3(_)) | None => None,
    };
    let journals = app.journals_folder(config, installation);
    of_repository.into_iter().chain(journals.and_then(|folder| of_journals(&folder, &files, verb))).collect()
}

fn of_repository(repository: &Path, files: &Path) -> Option<Problem> {
    let (here, there) = (repository.display(), files.display());
    let harm = "a backup would store the repository in itself, and a restore replaces the folder with all that is in it";
    Some(match lies(repository, files)? {
        Lies::Inside => Problem::new(Severity::Blocks, format!("the repository {here} is inside the folder of system-storage, {there}: {harm}"))
            .way_out(format!("Move it out, and name its new place in [repository] url: mv -- {} FOLDER", shell_word(repository))),
        Lies::Same => Problem::new(Severity::Blocks, format!("the repository {here} is the folder of system-storage, {there}: {harm}"))
            .way_out("Name another folder in [repository] url; what `init` made in this one belongs there: config, data, index, keys, locks, snapshots."),
    })
}

/// A backup is none the worse for them.
fn of_journals(journals: &Path, files: &Path, verb: Verb) -> Option<Problem> {
    lies(journals, files)?;
    let severity = if verb == Verb::Restore { Severity::Blocks } else { Severity::Degrades };
    let text = format!(
        "the journals in {} are inside the folder of system-storage, {}, which a restore replaces with all that is in it: no restore of it is begun",
        journals.display(),
        files.display()
    );
    let way_out =
        format!("Move them out, and name their new place by --state-folder or [state] folder: mv -- {} FOLDER", shell_word(journals));
    Some(Problem::new(severity, text).way_out(way_out))
}

#[derive(Debug, PartialEq, Eq)]
enum Lies {
    Inside,
    Same,
}

/// `None`: outside, or nobody can say because the folder is not there.
fn lies(path: &Path, folder: &Path) -> Option<Lies> {
    let folder = id(folder)?;
    if id(path) == Some(folder) {
        return Some(Lies::Same);
    }
    // It may still have to be made. A path of one name is one in the working folder.
    let there = path.ancestors().map(|above| if above.as_os_str().is_empty() { Path::new(".") } else { above });
    let there = there.into_iter().find_map(|above| fs::canonicalize(above).ok())?;
    there.ancestors().any(|above| id(above) == Some(folder)).then_some(Lies::Inside)
}

fn id(path: &Path) -> Option<(u64, u64)> {
    let found = fs::metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_folder_lies_inside_by_whatever_path_and_one_beside_does_not() {
        let home = tempfile::tempdir().unwrap();
        let at = |name: &str| home.path().join(name);
        fs::create_dir_all(at("files/a/b")).unwrap();
        fs::create_dir_all(at("files-of-another")).unwrap();
        symlink(at("files/a"), at("link")).unwrap();
        symlink(at("files"), at("files-by-link")).unwrap();
        symlink(at("files-of-another"), at("files/out")).unwrap();
        for (path, folder, expected) in [
            ("files/a/b", "files", Some(Lies::Inside)),
            ("files/a/b/still/to/be/made", "files", Some(Lies::Inside)),
            ("link/b", "files", Some(Lies::Inside)),
            ("link", "files-by-link", Some(Lies::Inside)),
            ("files/a/../a", "files-by-link", Some(Lies::Inside)),
            ("files-by-link", "files", Some(Lies::Same)),
            ("files/.", "files", Some(Lies::Same)),
            ("files-of-another", "files", None),
            ("files/out", "files", None),
            ("files/out/still/to/be/made", "files", None),
            ("files", "files/a", None),
            ("files", "not-there", None),
        ] {
            assert_eq!(lies(&at(path), &at(folder)), expected, "{path} in {folder}");
        }
    }
}
