//! The second repository: which one is meant, opened, and what goes wrong there said with its name.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use plan::ids::SetId;
use plan::ports::Repository as _;
use plan::{Class, Error, Result};
use repository::{Location, RusticRepository};
use secrecy::SecretString;

use crate::app::App;
use crate::args;
use crate::config::{Config, secret_of};
use crate::join;

/// Which one is meant.
#[derive(Debug)]
pub(super) enum Place {
    /// The one of `[copies.NAME]`.
    Named(String),
    /// A folder, and where its password is.
    Folder(PathBuf, args::ToPassword),
}

impl Place {
    pub(super) fn name(&self) -> Option<String> {
        match self {
            Self::Named(name) => Some(name.clone()),
            Self::Folder(..) => None,
        }
    }
}

/// Those that are meant: the one that is named, or all that are configured.
pub(super) fn places(config: &Config, args: &args::Copy) -> Result<Vec<Place>> {
    let has_password = args.password.to_password_file.is_some() || args.password.to_password_command.is_some();
    let Some(to) = &args.to else {
        let names: Vec<_> = config.copies().into_iter().filter(|name| config.in_copy() != Some(*name)).collect();
        if names.is_empty() {
            return Err(Error::refused("it is not said where to").hint(
                "Write a section [copies.NAME] with url and password-file, as `threescale-backup config example` shows it; or say --to FOLDER and --to-password-file FILE.",
            ));
        }
        return Ok(names.into_iter().map(|name| Place::Named(name.to_owned())).collect());
    };
    if let Some(name) = config.copies().into_iter().find(|name| *name == to || config.copy_url(name) == Some(to.as_str())) {
        if has_password {
            return Err(Error::refused(format!("the password of {to} stands in [copies.{name}]"))
                .hint("Leave --to-password-file and --to-password-command out, or name a folder that no section is about."));
        }
        return Ok(vec![Place::Named(name.to_owned())]);
    }
    if to.split('/').next().is_some_and(|start| start.contains(':')) {
        return Err(Error::refused("no [copies.NAME] is at that address")
            .hint("Write its url, its password-file and its keys into a section [copies.NAME], and say --to NAME."));
    }
    if !to.contains('/') {
        // It says which there are.
        config.copy(to).map_err(|error| error.hint(format!("A folder is written ./{to}.")))?;
    }
    if !has_password {
        return Err(Error::refused(format!("the password of the repository at {to} is not known"))
            .hint("Say --to-password-file FILE or --to-password-command COMMAND; or write url and password-file into a section [copies.NAME], and say --to NAME."));
    }
    Ok(vec![Place::Folder(PathBuf::from(to), args.password.clone())])
}

/// An open second repository.
pub(super) struct Target {
    pub(super) name: Option<String>,
    pub(super) location: Location,
    pub(super) repository: RusticRepository,
}

/// What people call it: `offsite (s3://bucket/x)`, `/mnt/backups`.
impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name} ({})", self.location),
            None => self.location.fmt(f),
        }
    }
}

impl Target {
    pub(super) fn open(app: &App, config: &Config, place: &Place, init: bool) -> Result<Self> {
        let (location, password) = match place {
            Place::Named(name) => join::copy(config, name, app.stop())?,
            Place::Folder(path, given) => join::folder(&absolute(path)?, password(given)?)?,
        };
        let open = || RusticRepository::open(&location, &password);
        let opened = match open() {
            Err(error) if error.class() == Class::NoRepository && init => {
                RusticRepository::init(&location, &password)?;
                app.output.note(&format!("made the repository {location}; keep its password in a second place"));
                open()
            }
            other => other,
        };
        let name = place.name();
        match opened {
            Ok(repository) => Ok(Self { name, location, repository: app.patient(repository) }),
            Err(error) if error.class() == Class::NoRepository => {
                let make =
                    name.as_ref().map(|name| format!(" `threescale-backup init --repository {name}` makes it, too.")).unwrap_or_default();
                Err(Error::new(Class::NoRepository, error.to_string()).hint(format!("Say --init to create it there.{make}")))
            }
            Err(error) => {
                let called = name.map_or_else(|| location.to_string(), |name| format!("{name} ({location})"));
                Err(error.during(format!("the second repository {called} cannot be opened")))
            }
        }
    }

    /// The sets that are there, and of which nothing is known to be damaged.
    pub(super) fn whole_sets(&self) -> Result<BTreeSet<SetId>> {
        let damaged: BTreeSet<_> = self.repository.damaged()?.into_iter().filter_map(|damaged| damaged.set).collect();
        let sets = self.repository.manifests()?.into_iter().map(|manifest| manifest.set);
        Ok(sets.filter(|set| !damaged.contains(set)).collect())
    }

    /// What failed there is not told as if it were of the repository itself.
    pub(super) fn with_way_out(&self, error: Error) -> Error {
        let error = error.during(format!("the copy to {self} was broken off"));
        if error.class() == Class::Interrupted {
            return error;
        }
        let looked_at =
            self.name.as_ref().map(|name| format!(" Commands about that repository take --repository {name}.")).unwrap_or_default();
        error.hint(format!("Sets that were copied before are there; the next copy goes on with what was stored.{looked_at}"))
    }
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|error| Error::refused(format!("{} is no folder's name", path.display())).because(error))
}

fn password(given: &args::ToPassword) -> Result<SecretString> {
    secret_of(given.to_password_file.as_deref(), given.to_password_command.as_deref())
        .map_err(|error| error.during("the second repository's password"))
}
