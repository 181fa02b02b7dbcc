//! What was given, place by place, and where: the file, the environment. Nothing of it is fetched or made absolute yet.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::Value;

use super::table::{COPIES, Place, Section};

/// Where a value was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    File { path: Arc<Path>, line: usize },
    Variable(String),
}

impl Origin {
    /// The folder in which a relative path begins: that of the file; for a variable the current one.
    pub(super) fn base(&self) -> PathBuf {
        let of_file = match self {
            // Of a pipe (`--config <(…)`) the folder means nothing.
            Self::File { path, .. } if path.is_file() => path.parent().unwrap_or(Path::new("")).to_owned(),
            Self::File { .. } | Self::Variable(_) => PathBuf::new(),
        };
        std::path::absolute(of_file.join(".")).unwrap_or(of_file)
    }
}

/// `/etc/threescale-backup.toml:3`, `THREESCALE_BACKUP_PASSWORD`.
impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) => f.write_str(name),
        }
    }
}

/// A value, where it belongs, and where it was given.
#[derive(Debug, Clone)]
pub(crate) struct Given {
    pub place: Place,
    pub value: Value,
    pub origin: Origin,
}

/// All that was given.
#[derive(Debug, Clone, Default)]
pub(crate) struct Values {
    all: Vec<Given>,
    /// Sections of the file, also those with nothing in them.
    sections: Vec<(&'static str, Origin)>,
}

impl Values {
    pub(super) fn see_section(&mut self, section: &'static Section, origin: Origin) {
        self.sections.push((section.name, origin));
    }

    pub(super) fn add(&mut self, given: Given) {
        self.all.push(given);
    }

    /// A variable goes before the file: it replaces every form of its key.
    pub(super) fn replace(&mut self, given: Given) {
        self.all.retain(|other| other.place.header() != given.place.header() || other.place.key.name != given.place.key.name);
        self.all.push(given);
    }

    pub(crate) fn all(&self) -> &[Given] {
        &self.all
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty() && self.sections.is_empty()
    }

    /// What was given of a section, with its tables.
    pub(crate) fn of<'a>(&'a self, section: &'a str) -> impl Iterator<Item = &'a Given> {
        self.all.iter().filter(move |given| given.place.section.name == section)
    }

    /// Whether a section is there.
    pub(crate) fn has(&self, section: &str) -> bool {
        self.sections.iter().any(|(name, _)| *name == section) || self.of(section).next().is_some()
    }

    /// The names of the copies, in the order in which they were given.
    pub(crate) fn copies(&self) -> Vec<&'static str> {
        let sections = self.sections.iter().filter_map(|(name, _)| name.strip_prefix(COPIES)?.strip_prefix('.'));
        let mut names = Vec::new();
        for name in sections.chain(self.all.iter().filter_map(|given| given.place.section.copy())) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// Where a section begins, or where its first value was given.
    pub(super) fn origin_of(&self, section: &str) -> Option<&Origin> {
        let header = self.sections.iter().find(|(name, _)| *name == section).map(|(_, origin)| origin);
        let value = self.all.iter().find(|given| given.place.section.name == section).map(|given| &given.origin);
        header.or(value)
    }

    /// The value of a key itself.
    pub(crate) fn get(&self, header: &str, key: &str) -> Option<&Given> {
        self.all.iter().find(|given| given.place.header() == header && given.place.written() == key)
    }

    /// The text of a key itself.
    pub(crate) fn text(&self, header: &str, key: &str) -> Option<&str> {
        self.get(header, key).and_then(|given| given.value.as_str())
    }

    /// Whether a key is `true`.
    pub(crate) fn is_true(&self, header: &str, key: &str) -> bool {
        self.get(header, key).and_then(|given| given.value.as_bool()) == Some(true)
    }
}
