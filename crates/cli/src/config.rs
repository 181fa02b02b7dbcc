//! The configuration: `threescale-backup.toml`, overridden by environment variables, overridden by flags.
//!
//! All of it is checked when it is loaded, also what a command does not use. No secret is read before it is needed, and none is ever shown: errors name the file,
//! the line and the key, not the line's text.

mod example;
mod file;
mod keys;
mod nearest;
mod paths;
mod secret;
mod sections;
mod shown;
mod table;
mod validate;
mod values;
mod variables;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use plan::ids::DataSetName;
use plan::{Error, Result};
use secrecy::SecretString;
use toml::Value;

pub(crate) use example::{KeyDocument, document as example_document, example};
pub(crate) use keys::{JOBS_MAX, WORKERS_MAX};
pub(crate) use secret::secret_of;
pub(crate) use sections::{
    DatabaseSection, OptionsSection, RedisSection, RehearseSection, RepositorySection, S3Section, StorageSection, WritersSection,
};
pub(crate) use shown::{Shown, ShownOrigin};
pub(crate) use validate::check_name;

use table::{COPIES, Form, Kind};
use values::Values;

/// How long a value of `[notify]` is waited for that a command prints.
const NOTIFY_SECONDS_MAX: u64 = 10;

/// Where the configuration is looked for when `--config` is not given.
pub(crate) const DEFAULT_PATHS: [&str; 2] = ["threescale-backup.toml", "/etc/threescale-backup.toml"];

/// What an installation runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Platform {
    /// Kubernetes or OpenShift: what there is, is found there.
    Kubernetes,
    /// Anything: every address is configured.
    Direct,
}

/// What a configuration is made from.
#[derive(Debug, Default)]
pub(crate) struct Sources<'a> {
    /// `--config`.
    pub file: Option<&'a Path>,
    /// The environment.
    pub variables: Vec<(OsString, OsString)>,
    /// The variables of the command line's options.
    pub options: BTreeSet<String>,
    /// The options given that say which cluster, for people: `--namespace`.
    pub cluster: Vec<&'static str>,
}

/// The configuration: a section is read, with its secrets, when it is needed.
#[derive(Clone)]
pub(crate) struct Config {
    /// Where it came from, for messages.
    origin: String,
    file: Option<PathBuf>,
    values: Values,
    cluster: Vec<&'static str>,
    warnings: Vec<String>,
    /// What the installation is called by an option.
    called: Option<String>,
    /// The copy in the place of the repository.
    in_copy: Option<String>,
}

impl Config {
    /// Reads the file, lays the environment over it, and checks all of it.
    pub(crate) fn load(sources: &Sources<'_>) -> Result<Self> {
        let (config, mut errors) = Self::look(sources)?;
        if errors.is_empty() {
            return Ok(config);
        }
        let (first, more) = (errors.remove(0), errors.len());
        Err(if more == 0 { first } else { first.hint(format!("{more} more: `threescale-backup config check` tells all.")) })
    }

    /// The same, with all that is wrong.
    pub(crate) fn look(sources: &Sources<'_>) -> Result<(Self, Vec<Error>)> {
        let text = file::read(sources.file)?;
        let (mut values, mut errors) = match &text {
            Some(text) => text.values()?,
            None => (Values::default(), Vec::new()),
        };
        errors.extend(variables::lay_over(&mut values, &sources.variables, &sources.options));
        if values.is_empty() && errors.is_empty() {
            return Err(Error::refused("there is no configuration").hint(format!(
                "Write {} (`threescale-backup config example` prints one to start from), name another file with --config, or set THREESCALE_BACKUP_… variables.",
                DEFAULT_PATHS[0]
            )));
        }
        errors.extend(validate::errors(&values));
        let origin = text.as_ref().map_or_else(|| "the environment".to_owned(), |text| text.path.display().to_string());
        let warnings = warnings(text.as_ref(), &values);
        let file = text.map(|text| text.path);
        let config = Self { origin, file, values, cluster: sources.cluster.clone(), warnings, called: None, in_copy: None };
        errors.extend(config.platform().err().filter(|_| errors.is_empty()));
        Ok((config, errors))
    }

    /// What is not wrong, and should be otherwise.
    pub(crate) fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The file that was read.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// What the installation runs on: what is said; else `kubernetes` when options name a cluster; else `direct` when there is an address; else `kubernetes`.
    pub(crate) fn platform(&self) -> Result<Platform> {
        let has_addresses = self.has("writers") || !self.data_sets().is_empty();
        match (self.values.get("platform", "kind"), self.cluster.first()) {
            (Some(given), option) if given.value.as_str() == Some("direct") => match option {
                None => Ok(Platform::Direct),
                Some(option) => Err(Error::refused(format!("{option} is given, and [platform] kind is \"direct\" ({})", given.origin))
                    .hint("Leave the option out, and unset its variable (`--help` names it): every address stands in the configuration.")
                    .hint("Or set [platform] kind = \"kubernetes\": a section with an address then goes before what is found.")),
            },
            (None, None) if has_addresses => Ok(Platform::Direct),
            _ => Ok(Platform::Kubernetes),
        }
    }

    /// Whether a section is there.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.values.has(name)
    }

    /// Whether a command is run for a value of a section.
    pub(crate) fn asks_a_command(&self, section: &str) -> bool {
        self.values.of(section).any(|given| given.place.form == Form::Command)
    }

    /// The data sets that have an address here.
    pub(crate) fn data_sets(&self) -> Vec<DataSetName> {
        DataSetName::ALL.into_iter().filter(|name| self.is_configured(*name)).collect()
    }

    /// Whether a data set has an address here.
    pub(crate) fn is_configured(&self, name: DataSetName) -> bool {
        let section = name.as_str();
        self.has(section) && !self.values.is_true(section, "absent") && self.values.of(section).any(|given| given.place.key.is_required)
    }

    /// The data sets that the installation is said not to have: they are not looked at.
    pub(crate) fn absent(&self) -> Vec<DataSetName> {
        DataSetName::ALL.into_iter().filter(|name| self.values.is_true(name.as_str(), "absent")).collect()
    }

    /// The installation's name, when it is given one.
    pub(crate) fn installation_name(&self) -> Option<String> {
        self.called.clone().or_else(|| self.values.text("installation", "name").map(ToOwned::to_owned))
    }

    /// The release of 3scale that the installation is said to be.
    pub(crate) fn installation_release(&self) -> Option<String> {
        self.values.text("installation", "release").map(ToOwned::to_owned)
    }

    /// Reads a section: secrets given as files or commands are fetched.
    fn read<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<T> {
        if !self.has(name) {
            return Err(Error::refused(format!("{}: section [{name}] is missing", self.origin))
                .hint("`threescale-backup config example` shows every section."));
        }
        let resolved = secret::resolve(&self.values, name)?;
        T::deserialize(Value::Table(resolved)).map_err(|error| {
            // Kinds were checked: what is left is a key that is missing.
            Error::refused(format!("{}: [{name}]: {}", self.origin, error.message()))
        })
    }

    /// The same, with the installation called so.
    #[must_use]
    pub(crate) fn called(self, name: Option<&str>) -> Self {
        Self { called: name.map(str::to_owned), ..self }
    }

    /// The same, with a copy in the place of the repository.
    #[must_use]
    pub(crate) fn in_repository(self, copy: Option<&str>) -> Self {
        Self { in_copy: copy.map(str::to_owned), ..self }
    }

    /// The copy that is used in the place of the repository.
    pub(crate) fn in_copy(&self) -> Option<&str> {
        self.in_copy.as_deref()
    }

    /// The repository, and what its section is called.
    pub(crate) fn repository(&self) -> Result<(RepositorySection, String)> {
        match &self.in_copy {
            Some(copy) => self.copy(copy),
            None => {
                let section: RepositorySection = self.read("repository")?;
                Ok((RepositorySection { url: self.place("repository", "url", section.url)?, ..section }, "repository".to_owned()))
            }
        }
    }

    /// The names of the copies.
    pub(crate) fn copies(&self) -> Vec<&'static str> {
        self.values.copies()
    }

    /// The names of those that each backup brings up to date.
    pub(crate) fn copies_after_backup(&self) -> Vec<&'static str> {
        self.copies().into_iter().filter(|name| self.values.is_true(&format!("{COPIES}.{name}"), "after-backup")).collect()
    }

    /// Where a copy is, as it is written; no secret is fetched.
    pub(crate) fn copy_url(&self, copy: &str) -> Option<&str> {
        self.values.text(&format!("{COPIES}.{copy}"), "url")
    }

    /// A copy, and what its section is called.
    pub(crate) fn copy(&self, copy: &str) -> Result<(RepositorySection, String)> {
        let name = format!("{COPIES}.{copy}");
        if !self.has(&name) {
            let known = self.copies();
            let error = Error::refused(format!("{}: there is no [{name}]", self.origin));
            let error = match nearest::nearest(copy, known.iter().copied()) {
                Some(meant) => error.hint(format!("Did you mean {meant}?")),
                None => error,
            };
            return Err(match known.is_empty() {
                true => error.hint(format!("Write url and password-file of the second repository into a section [{name}].")),
                false => error.hint(format!("There is {}.", known.join(", "))),
            });
        }
        let section: RepositorySection = self.read(&name)?;
        Ok((RepositorySection { url: self.place(&name, "url", section.url)?, ..section }, name))
    }

    /// A folder or an address; a folder is made absolute where it was given.
    fn place(&self, section: &str, key: &str, url: String) -> Result<String> {
        // An address of any kind: it is for whoever uses it to say whether he knows it.
        if url.split('/').next().is_some_and(|start| start.contains(':')) {
            return Ok(url);
        }
        let given = self.values.of(section).find(|given| given.place.table.is_none() && given.place.key.name == key);
        let base = given.map(|given| given.origin.base()).unwrap_or_default();
        paths::absolute(&format!("[{section}] {key}"), &url, &base).map(|path| path.to_string_lossy().into_owned())
    }

    pub(crate) fn writers(&self) -> Result<Option<WritersSection>> {
        self.has("writers").then(|| self.read("writers")).transpose()
    }

    /// A key of `[notify]` or `[notify.email]` as it was written.
    pub(crate) fn notify_text(&self, header: &str, key: &str) -> Option<&str> {
        self.values.text(header, key)
    }

    /// Whether anything of `[notify.email]` was given.
    pub(crate) fn names_email(&self) -> bool {
        self.values.of("notify").any(|given| given.place.table.is_some())
    }

    /// A key of `[notify]` or `[notify.email]`, from its file or command; each by itself, and within some seconds: it is in nobody's way that somebody cannot be
    /// told.
    pub(crate) fn notify_value(&self, header: &str, key: &str) -> Option<Result<SecretString>> {
        let given = self.values.of("notify").find(|given| given.place.header() == header && given.place.key.name == key)?.clone();
        let place = format!("{}: {}", given.origin, given.place);
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::spawn(move || drop(sender.send(secret::fetch(&given))));
        let fetched = receiver.recv_timeout(Duration::from_secs(NOTIFY_SECONDS_MAX));
        let fetched = fetched.unwrap_or_else(|_| Err(Error::failed(format!("it was not there within {NOTIFY_SECONDS_MAX} s"))));
        Some(fetched.map(|value| SecretString::from(value.as_str().unwrap_or_default())).map_err(|error| error.during(place)))
    }

    pub(crate) fn options(&self) -> Result<OptionsSection> {
        if self.has("options") { self.read("options") } else { Ok(OptionsSection::default()) }
    }

    pub(crate) fn rehearse(&self) -> Result<RehearseSection> {
        if self.has("rehearse") { self.read("rehearse") } else { Ok(RehearseSection::default()) }
    }

    pub(crate) fn state_folder(&self) -> Result<Option<PathBuf>> {
        let Some(given) = self.values.get("state", "folder") else { return Ok(None) };
        let text = given.value.as_str().unwrap_or_default();
        paths::absolute(&format!("{}: [state] folder", given.origin), text, &given.origin.base()).map(Some)
    }

    pub(crate) fn database(&self, name: DataSetName) -> Result<DatabaseSection> {
        self.read(name.as_str())
    }

    pub(crate) fn storage(&self) -> Result<StorageSection> {
        let name = DataSetName::SystemStorage.as_str();
        let section: StorageSection = self.read(name)?;
        Ok(StorageSection { path: self.place(name, "path", section.path)?, ..section })
    }

    /// `[system-storage.s3] ca-file`, which also goes with a bucket that the installation itself names.
    pub(crate) fn bucket_ca_file(&self) -> Result<Option<PathBuf>> {
        let Some(given) = self.values.get("system-storage.s3", "ca-file") else { return Ok(None) };
        let text = given.value.as_str().unwrap_or_default();
        paths::absolute(&format!("{}: [system-storage.s3] ca-file", given.origin), text, &given.origin.base()).map(Some)
    }

    /// Host and port of the search index, where they are given.
    pub(crate) fn search_index(&self) -> Result<Option<(String, u16)>> {
        let Some(given) = self.values.get("search-index", "address") else { return Ok(None) };
        let address = given.value.as_str().and_then(|text| text.rsplit_once(':'));
        let read = address.and_then(|(host, port)| Some((host.trim_matches(['[', ']']), port.parse::<u16>().ok()?)));
        match read.filter(|(host, port)| !host.is_empty() && *port > 0) {
            Some((host, port)) => Ok(Some((host.to_owned(), port))),
            None => Err(Error::refused(format!("{}: [search-index] address is not a host and a port", given.origin))
                .hint("Write `address = \"127.0.0.1:9306\"`.")),
        }
    }

    pub(crate) fn redis(&self, name: DataSetName) -> Result<RedisSection> {
        self.read(name.as_str())
    }
}

/// Secrets that everybody on this machine may read, by the modes of their files. In a pod nobody else is there.
fn warnings(text: Option<&file::Text>, values: &Values) -> Vec<String> {
    if std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() {
        return Vec::new();
    }
    let mut warnings = Vec::new();
    if let Some((path, mode)) = text.and_then(|text| Some((&text.path, text.mode_open_to_changes()?))) {
        let shown = path.display();
        warnings.push(format!(
            "the mode {mode:o} of {shown} lets everybody change it, and it names commands that are run: `chmod o-w {shown}`."
        ));
    }
    let is_in_clear = |given: &&values::Given| matches!(given.origin, values::Origin::File { .. }) && shown::holds_secret(given);
    if let Some((path, mode)) = text.and_then(|text| Some((&text.path, text.mode_open_to_all()?)))
        && let Some(given) = values.all().iter().find(is_in_clear)
    {
        let shown = path.display();
        warnings
            .push(format!("{shown} holds a secret ({}), and its mode {mode:o} lets everybody read it: `chmod o-r {shown}`.", given.place));
    }
    for given in values.all() {
        let is_secret_file =
            given.place.form == Form::File || given.place.key.kind == Kind::Path && given.place.key.name == "client-key-file";
        let Some(text) = given.value.as_str().filter(|_| is_secret_file) else { continue };
        let Ok(path) = paths::absolute("", text, &given.origin.base()) else { continue };
        if let Some(mode) = file::mode_open_to_all(&path) {
            let shown = path.display();
            warnings.push(format!(
                "{shown} ({}) holds a secret, and its mode {mode:o} lets everybody read it: `chmod o-r {shown}`.",
                given.place
            ));
        }
    }
    warnings
}

#[cfg(test)]
mod tests;
