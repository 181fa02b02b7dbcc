//! The configuration: `threescale-backup.toml`, overridden by environment variables, overridden by flags.
//!
//! Reads no secret before it is needed, and never shows one: errors name the file, the line and the key, not the line's text.

mod overrides;
mod secret;
mod sections;

use std::path::{Path, PathBuf};

use plan::ids::DataSetName;
use plan::{Error, Result};
use toml::{Table, Value};

pub(crate) use sections::{DatabaseSection, OptionsSection, RedisSection, RepositorySection, S3Section, StorageSection, WritersSection};

/// Where the configuration is looked for when `--config` is not given.
pub(crate) const DEFAULT_PATHS: [&str; 2] = ["threescale-backup.toml", "/etc/threescale-backup.toml"];

/// Sections and what they are for, as in the README.
const SECTIONS: [&str; 11] = [
    "installation",
    "repository",
    "platform",
    "state",
    "writers",
    "options",
    "system-database",
    "system-storage",
    "zync-database",
    "backend-redis",
    "system-redis",
];

/// What an installation runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Platform {
    /// Kubernetes or OpenShift: what there is, is found there.
    Kubernetes,
    /// Anything: every address is configured.
    Direct,
}

/// The configuration, still as a table: a section is read, with its secrets, when it is needed.
#[derive(Clone)]
pub(crate) struct Config {
    /// Where it came from, for messages.
    origin: String,
    table: Table,
    /// What the installation is called by an option.
    called: Option<String>,
}

impl Config {
    /// Reads the file, and lays the environment over it.
    pub(crate) fn load(path: Option<&Path>) -> Result<Self> {
        let found = match path {
            Some(path) => Some(path.to_owned()),
            None => DEFAULT_PATHS.iter().map(PathBuf::from).find(|path| path.is_file()),
        };
        let (origin, mut table) = match &found {
            Some(path) => (path.display().to_string(), read(path)?),
            None => ("the environment".to_owned(), Table::new()),
        };
        overrides::lay_over(&mut table, std::env::vars_os())?;
        if table.is_empty() {
            return Err(Error::refused("there is no configuration").hint(format!(
                "Write {} (the README has one to start from), name another file with --config, or set THREESCALE_BACKUP_… variables.",
                DEFAULT_PATHS[0]
            )));
        }
        let config = Self { origin, table, called: None };
        config.check_sections()?;
        Ok(config)
    }

    fn check_sections(&self) -> Result<()> {
        for (name, value) in &self.table {
            if !SECTIONS.contains(&name.as_str()) {
                return Err(Error::refused(format!("{}: unknown section [{name}]", self.origin))
                    .hint(format!("Sections are: {}.", SECTIONS.join(", "))));
            }
            if !value.is_table() {
                return Err(Error::refused(format!("{}: {name} is not a section", self.origin)).hint(format!("Write it as [{name}].")));
            }
        }
        self.platform().map(drop)
    }

    /// What the installation runs on: what is said, else `direct` when there is an address, else `kubernetes`.
    pub(crate) fn platform(&self) -> Result<Platform> {
        match self.section("platform").and_then(|platform| platform.get("kind")) {
            None if self.has("writers") || !self.data_sets().is_empty() => Ok(Platform::Direct),
            None => Ok(Platform::Kubernetes),
            Some(Value::String(kind)) if kind == "direct" => Ok(Platform::Direct),
            Some(Value::String(kind)) if kind == "kubernetes" => Ok(Platform::Kubernetes),
            Some(other) => Err(Error::refused(format!("{}: [platform] kind = {other} is not known", self.origin))
                .hint("The platform is \"kubernetes\" or \"direct\".")),
        }
    }

    /// Whether a section is there.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.table.contains_key(name)
    }

    /// The data sets that have a section.
    pub(crate) fn data_sets(&self) -> Vec<DataSetName> {
        let absent = self.absent();
        DataSetName::ALL.into_iter().filter(|name| self.has(name.as_str()) && !absent.contains(name)).collect()
    }

    fn section(&self, name: &str) -> Option<&Table> {
        self.table.get(name).and_then(Value::as_table)
    }

    /// Reads a section: secrets given as files or commands are fetched, unknown keys refused.
    fn read<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<T> {
        let Some(section) = self.section(name) else {
            return Err(Error::refused(format!("{}: section [{name}] is missing", self.origin)).hint("The README shows every section."));
        };
        let resolved = secret::resolve(&self.origin, name, section)?;
        T::deserialize(Value::Table(resolved)).map_err(|error| {
            // The error of a value could show the value: only what it says about keys and types is passed on.
            Error::refused(format!("{}: [{name}]: {}", self.origin, error.message()))
        })
    }

    /// The same, with the installation called so.
    #[must_use]
    pub(crate) fn called(self, name: Option<&str>) -> Self {
        Self { called: name.map(str::to_owned), ..self }
    }

    /// What the installation is called, when that is said.
    pub(crate) fn installation_name(&self) -> Option<String> {
        if self.called.is_some() {
            return self.called.clone();
        }
        let name = self.section("installation").and_then(|section| section.get("name")).and_then(Value::as_str);
        name.filter(|name| !name.is_empty()).map(str::to_owned)
    }

    /// The data sets that the installation is declared not to have.
    pub(crate) fn absent(&self) -> Vec<DataSetName> {
        let is_absent =
            |name: &DataSetName| self.section(name.as_str()).and_then(|section| section.get("absent")) == Some(&Value::Boolean(true));
        DataSetName::ALL.into_iter().filter(is_absent).collect()
    }

    pub(crate) fn repository(&self) -> Result<RepositorySection> {
        self.read("repository")
    }

    pub(crate) fn writers(&self) -> Result<Option<WritersSection>> {
        self.has("writers").then(|| self.read("writers")).transpose()
    }

    pub(crate) fn options(&self) -> Result<OptionsSection> {
        if self.has("options") { self.read("options") } else { Ok(OptionsSection::default()) }
    }

    pub(crate) fn state_folder(&self) -> Option<PathBuf> {
        self.section("state").and_then(|state| state.get("folder")).and_then(Value::as_str).map(PathBuf::from)
    }

    pub(crate) fn database(&self, name: DataSetName) -> Result<DatabaseSection> {
        self.read(name.as_str())
    }

    pub(crate) fn storage(&self) -> Result<StorageSection> {
        self.read(DataSetName::SystemStorage.as_str())
    }

    pub(crate) fn redis(&self, name: DataSetName) -> Result<RedisSection> {
        self.read(name.as_str())
    }
}

fn read(path: &Path) -> Result<Table> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Error::refused(format!("failed to read the configuration {}", path.display())).because(error))?;
    text.parse::<Table>().map_err(|error| {
        let place = error.span().map_or_else(String::new, |span| place_of(&text, span.start));
        Error::refused(format!("{}{place}: {}", path.display(), error.message().trim_end_matches('.')))
    })
}

/// `:line:column` of a byte.
fn place_of(text: &str, byte: usize) -> String {
    let before = text.get(..byte.min(text.len())).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |last| last.chars().count()) + 1;
    format!(":{line}:{column}")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn load(text: &str) -> Result<Config> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Config::load(Some(file.path()))
    }

    #[test]
    fn malformed_toml_is_named_with_its_place_and_without_its_text() {
        let error = load("[system-database]\nurl = \"mysql2://root:topsecret@h/system\nx = 1").err().unwrap();
        assert!(error.to_string().contains(":2:"), "{error}");
        assert!(!format!("{error:?}").contains("topsecret"));
    }

    #[test]
    fn unknown_sections_and_keys_are_refused() {
        assert!(load("[sytem-redis]\nurl = \"x\"").err().unwrap().to_string().contains("unknown section [sytem-redis]"));
        let error = load("[system-storage]\npaht = \"/x\"").unwrap().storage().err().unwrap();
        assert!(error.to_string().contains("paht"), "{error}");
    }

    #[test]
    fn a_secret_comes_from_a_file_or_a_command_but_not_both() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "from-file\n").unwrap();
        let path = file.path().display();
        let text = format!("[repository]\nurl = \"/r\"\npassword-file = \"{path}\"");
        assert!(load(&text).unwrap().repository().is_ok());
        let error = load(&format!("{text}\npassword-command = \"echo x\"")).unwrap().repository().err().unwrap();
        assert!(error.to_string().contains("password-file and password-command"), "{error}");
    }

    #[test]
    fn a_secret_that_is_not_text_is_refused_without_being_shown() {
        let error = load("[repository]\nurl = \"/r\"\npassword = 8675309").unwrap().repository().err().unwrap();
        assert!(error.to_string().contains("[repository] password is not text"), "{error}");
        assert!(!format!("{error:?}").contains("8675309"));
    }

    #[test]
    fn a_missing_section_is_named() {
        let error = load("[system-storage]\npath = \"/x\"").unwrap().repository().err().unwrap();
        assert!(error.to_string().contains("section [repository] is missing"), "{error}");
    }
}
