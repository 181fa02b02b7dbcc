//! Finds PostgreSQL's own client programs: on this machine, or beside the server where there are none that fit.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use plan::ports::Context;
use plan::{Error, Result};

use crate::address::Address;
use crate::beside::RemotePrograms;
use crate::child::{self, Call, Running};
use crate::session::Session;
use crate::settings;
use crate::superuser::{self, AtHand};

/// Folders in which packages put the programs of one major version each.
const VERSIONED: [(&str, &str); 3] = [("/usr/lib/postgresql", "bin"), ("/usr/libexec/postgresql", "bin"), ("/usr", "bin")];

/// Where programs are.
#[derive(Debug, Clone)]
enum At {
    Folder(PathBuf),
    Beside(RemotePrograms),
}

/// `pg_dump`, `pg_restore` and `psql` of one version, in one place.
#[derive(Debug, Clone)]
pub(crate) struct Clients {
    at: At,
    /// Major version of `pg_dump`: 13 to 18.
    pub(crate) major: u32,
    /// As `pg_dump --version` says it: `15.18`.
    pub(crate) version: String,
    /// Major version of the server that they will talk to.
    server_major: u32,
}

impl Clients {
    /// Starts one of them, to log in at an address.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn start(&self, context: &Context, address: &Address, call: &Call) -> Result<Box<dyn Running>> {
        let options = address.options().into_iter().chain([settings::of_programs(self.server_major)]).collect::<Vec<_>>().join(" ");
        match &self.at {
            At::Folder(folder) => child::start(folder, self.major, &options, address, call),
            At::Beside(programs) => programs.start(context, &options, address, call),
        }
    }

    /// Where they are, when not on this machine.
    pub(crate) fn elsewhere(&self) -> Option<String> {
        match &self.at {
            At::Folder(_) => None,
            At::Beside(programs) => Some(programs.remote.place()),
        }
    }

    /// Whether `pg_restore` may speak to the server itself: 17 and later says `SET transaction_timeout`, which servers before 17 do not know.
    pub(crate) const fn restores_directly(&self) -> bool {
        self.major < 17 || self.server_major >= 17
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
    let output = children::command(folder.join("pg_dump")).arg("--version").env("LC_ALL", "C").output().ok()?;
    // `pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`
    let version = String::from_utf8(output.stdout).ok()?.split_whitespace().nth(2)?.to_owned();
    let major = major_of(&version)?;
    Some(Clients { at: At::Folder(folder.to_owned()), major, version, server_major: major })
}

/// All programs that may be used: those of this machine, and those beside the server.
#[derive(Debug)]
pub(crate) struct Programs {
    own: Option<PathBuf>,
    beside: Option<RemotePrograms>,
    /// What is beside the server says its version once.
    asked: Mutex<Option<String>>,
}

impl Programs {
    /// `own` is a folder that the operator has named.
    pub(crate) const fn new(own: Option<PathBuf>, beside: Option<RemotePrograms>) -> Self {
        Self { own, beside, asked: Mutex::new(None) }
    }

    /// Those beside the server, when its superuser is at hand there.
    pub(crate) fn superuser(&self) -> Option<&RemotePrograms> {
        self.beside.as_ref().filter(|programs| programs.superuser)
    }

    /// To find some for a verb.
    pub(crate) const fn finder<'a>(&'a self, context: &'a Context) -> Finder<'a> {
        Finder { programs: self, context }
    }
}

/// Finds programs.
#[derive(Clone, Copy)]
pub(crate) struct Finder<'a> {
    programs: &'a Programs,
    context: &'a Context,
}

impl Finder<'_> {
    /// The superuser of the server's pod, when one is at hand there.
    ///
    /// # Errors
    /// When the operator wants to stop.
    pub(crate) fn superuser(self, address: &Address) -> Result<AtHand> {
        let Some(programs) = self.programs.superuser() else { return Ok(AtHand::Nobody) };
        let found = Session::open_maintenance(address).and_then(|mut session| superuser::find(self.context, programs, &mut session));
        self.context.stop.check()?;
        Ok(match found {
            Ok(Some(found)) => AtHand::Named(found.into_name()),
            Ok(None) => AtHand::Nobody,
            Err(error) => AtHand::Unknown(error),
        })
    }

    /// Programs of at least the major version `wanted`, for a server: those of this machine when they fit, else those beside the server.
    ///
    /// # Errors
    /// [`plan::Class::Refused`] when there are none, with what to install; that of the place when those beside the server cannot be asked.
    pub(crate) fn find(self, wanted: u32, server_major: u32) -> Result<Clients> {
        let serving = |clients| Clients { server_major, ..clients };
        let here = Clients::for_major(self.programs.own.as_deref(), wanted).map(serving);
        let Some(programs) = &self.programs.beside else { return here };
        if here.as_ref().is_ok_and(Clients::restores_directly) {
            return here;
        }
        let there = self.beside(programs).map(serving);
        match (here, there) {
            (_, Ok(there)) if there.major >= wanted && there.restores_directly() => Ok(there),
            (Ok(here), _) => Ok(here),
            (Err(error), Ok(there)) => Err(error.hint(format!("Those in {} are {}.", programs.remote.place(), there.version))),
            (Err(error), Err(other)) => {
                // What cannot be reached now may be reached later: that is not for ever.
                let class = if other.class() == plan::Class::Transient { other.class() } else { error.class() };
                let hint = format!("Those in {} cannot be used: {}.", programs.remote.place(), other.chain());
                Err(other.hints().iter().fold(error.hint(hint), |error, more| error.hint(more.clone())).in_class(class))
            }
        }
    }

    fn beside(self, programs: &RemotePrograms) -> Result<Clients> {
        let mut asked = self.programs.asked.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let version = match asked.take() {
            Some(version) => version,
            None => programs.version(self.context)?,
        };
        let major = major_of(&version).ok_or_else(|| Error::failed(format!("pg_dump has the version {version:?}, which is no version")))?;
        *asked = Some(version.clone());
        Ok(Clients { at: At::Beside(programs.clone()), major, version, server_major: major })
    }
}

fn major_of(version: &str) -> Option<u32> {
    version.split(|character: char| !character.is_ascii_digit()).next()?.parse().ok()
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
