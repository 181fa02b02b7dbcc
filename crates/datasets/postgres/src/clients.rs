//! Finds PostgreSQL's own client programs on this machine.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use plan::{Error, Result};

/// Folders in which packages put the programs of one major version each.
const VERSIONED: [(&str, &str); 3] = [("/usr/lib/postgresql", "bin"), ("/usr/libexec/postgresql", "bin"), ("/usr", "bin")];

/// `pg_dump`, `pg_restore` and `psql` of one version, in one folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Clients {
    folder: PathBuf,
    /// Major version of `pg_dump`: 13 to 18.
    pub(crate) major: u32,
    /// As `pg_dump --version` says it: `15.18`.
    pub(crate) version: String,
}

impl Clients {
    /// The path of one of the programs.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The programs to use for a server: of its own major version, else of the next newer one that is here. Older ones cannot read its catalogue; much
    /// newer ones write what an older `pg_restore`, or an older server, does not take.
    ///
    /// # Errors
    /// [`plan::Class::Refused`] when there are none, with what to install.
    pub(crate) fn for_major(own: Option<&Path>, major: u32) -> Result<Self> {
        let found = find(own);
        let newest = found.keys().max().copied();
        found.into_iter().find(|(have, _)| *have >= major).map(|(_, clients)| clients).ok_or_else(|| {
            let text = match newest {
                None => format!("pg_dump and pg_restore are not on this machine, the server is PostgreSQL {major}"),
                Some(newest) => format!("the newest pg_dump on this machine is {newest}, the server is PostgreSQL {major}"),
            };
            Error::refused(text).hint(format!(
                "Install the package postgresql-client-{major} or newer, or name the folder of its programs in the configuration."
            ))
        })
    }
}

/// By major version; a folder that was named comes before packages, packages before `PATH` (where Debian has a wrapper).
fn find(own: Option<&Path>) -> BTreeMap<u32, Clients> {
    if let Some(folder) = own {
        return in_folder(folder).into_iter().map(|clients| (clients.major, clients)).collect();
    }
    let packaged = VERSIONED.iter().flat_map(|(parent, below)| {
        let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
        let versioned = entries.filter(|entry| *parent != "/usr" || entry.file_name().to_string_lossy().starts_with("pgsql-"));
        versioned.map(|entry| entry.path().join(below)).collect::<Vec<_>>()
    });
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut found = BTreeMap::new();
    for clients in packaged.chain(std::env::split_paths(&path)).filter_map(|folder| in_folder(&folder)) {
        found.entry(clients.major).or_insert(clients);
    }
    found
}

/// The programs in a folder, when all three are there and run.
fn in_folder(folder: &Path) -> Option<Clients> {
    if !["pg_dump", "pg_restore", "psql"].iter().all(|name| folder.join(name).is_file()) {
        return None;
    }
    let output = Command::new(folder.join("pg_dump")).arg("--version").env("LC_ALL", "C").output().ok()?;
    // `pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`
    let version = String::from_utf8(output.stdout).ok()?.split_whitespace().nth(2)?.to_owned();
    let major = version.split(|character: char| !character.is_ascii_digit()).next()?.parse().ok()?;
    Some(Clients { folder: folder.to_owned(), major, version })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn folder_with(version: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in ["pg_dump", "pg_restore", "psql"] {
            let file = folder.path().join(name);
            std::fs::write(&file, format!("#!/bin/sh\necho '{name} (PostgreSQL) {version}'\n")).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        folder
    }

    #[test]
    fn a_client_older_than_the_server_is_refused_with_the_package_to_install() {
        let folder = folder_with("15.18 (Debian 15.18-0+deb12u1)");
        assert_eq!(Clients::for_major(Some(folder.path()), 15).unwrap().version, "15.18");
        assert_eq!(Clients::for_major(Some(folder.path()), 13).unwrap().major, 15);
        let error = Clients::for_major(Some(folder.path()), 16).unwrap_err();
        assert_eq!(error.class(), plan::Class::Refused);
        assert!(error.hints()[0].contains("postgresql-client-16"), "{error:?}");
    }

    #[test]
    fn beta_versions_have_a_major_version_too() {
        let folder = folder_with("18beta1");
        assert_eq!(Clients::for_major(Some(folder.path()), 18).unwrap().major, 18);
    }
}
