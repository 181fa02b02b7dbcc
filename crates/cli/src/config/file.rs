//! The file: found or named, trusted or not, read with the line of each value.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use plan::{Error, Result};
use toml::de::{DeTable, DeValue};
use toml::{Spanned, Table, Value};

use super::nearest::nearest;
use super::table::{COPIES, Place, Section, SubTable, places};
use super::validate::check_copy_name;
use super::values::{Given, Origin, Values};
use super::{DEFAULT_PATHS, keys};
use crate::output::file::folder_of;

/// Bits of a mode: its group, and everybody, may write.
const WRITABLE_BY_OTHERS: u32 = 0o022;
const WRITABLE_BY_ALL: u32 = 0o002;
const READABLE_BY_ALL: u32 = 0o004;
const STICKY: u32 = 0o1000;

/// A file that was read.
pub(super) struct Text {
    pub(super) path: PathBuf,
    text: String,
    /// Its mode, when it is a file and no pipe.
    mode: Option<u32>,
}

/// Reads the named file, or the one that is found; `None` when there is none.
pub(super) fn read(named: Option<&Path>) -> Result<Option<Text>> {
    let path = match named {
        Some(path) => path.to_owned(),
        None => match DEFAULT_PATHS.iter().map(Path::new).find(|path| path.is_file() || path.is_symlink()) {
            Some(path) => path.to_owned(),
            None => return Ok(None),
        },
    };
    let failed = |error: std::io::Error| Error::refused(format!("failed to read the configuration {}", path.display())).because(error);
    let mut file = File::open(&path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if named.is_none() {
        // What was opened is looked at, not what may have come to its name since.
        trust(&path, &metadata)?;
    }
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(failed)?;
    let mode = metadata.permissions().mode() & 0o7777;
    Ok(Some(Text { path, text, mode: metadata.is_file().then_some(mode) }))
}

/// The mode of a file that everybody may read, by its mode.
pub(super) fn mode_open_to_all(path: &Path) -> Option<u32> {
    let metadata = path.metadata().ok().filter(Metadata::is_file)?;
    let mode = metadata.permissions().mode() & 0o7777;
    (mode & READABLE_BY_ALL != 0).then_some(mode)
}

/// A configuration names commands that are run. One that nobody named is taken only from this user or root, and only where nobody else can change it.
fn trust(path: &Path, opened: &Metadata) -> Result<()> {
    let us = rustix::process::geteuid().as_raw();
    let is_ours = |owner: u32| owner == us || owner == 0;
    let shown = path.display();
    let name_it = format!("If you trust it, name it: `--config {}`.", named(path));
    let refused =
        |what: String| Err(Error::refused(format!("the configuration {shown} was found, not named, and {what}")).hint(name_it.clone()));
    let link = path.symlink_metadata().map_err(|error| Error::refused(format!("failed to look at {shown}")).because(error))?;
    if let Some(owner) = [opened.uid(), link.uid()].into_iter().find(|owner| !is_ours(*owner)) {
        return refused(format!("belongs to another user (uid {owner}; this is uid {us})"));
    }
    let mode = opened.permissions().mode() & 0o7777;
    if mode & WRITABLE_BY_OTHERS != 0 {
        let who = if mode & WRITABLE_BY_ALL != 0 { "everybody" } else { "its group" };
        return refused(format!("{who} may write to it (mode {mode:o})"))
            .map_err(|error: Error| error.hint(format!("Or close it: `chmod go-w {shown}`.")));
    }
    let folder = folder_of(path);
    let around = folder.metadata().map_err(|error| Error::refused(format!("failed to look at {}", folder.display())).because(error))?;
    let mode = around.permissions().mode() & 0o7777;
    if mode & WRITABLE_BY_ALL != 0 && mode & STICKY == 0 {
        return refused(format!("everybody may put another in its place (mode {mode:o} of its folder)"));
    }
    if !is_ours(around.uid()) {
        return refused(format!("its folder belongs to another user (uid {}; this is uid {us})", around.uid()));
    }
    Ok(())
}

/// As it is given to `--config`.
fn named(path: &Path) -> String {
    if path.is_absolute() { path.display().to_string() } else { format!("./{}", path.display()) }
}

impl Text {
    /// Its mode, when it lets everybody read it.
    pub(super) fn mode_open_to_all(&self) -> Option<u32> {
        self.mode.filter(|mode| mode & READABLE_BY_ALL != 0)
    }

    /// Its mode, when it lets everybody change it: only a file that was named comes so far.
    pub(super) fn mode_open_to_changes(&self) -> Option<u32> {
        self.mode.filter(|mode| mode & WRITABLE_BY_ALL != 0)
    }

    /// Takes the file apart. What is wrong is said with its line, never with its text.
    pub(super) fn values(&self) -> Result<(Values, Vec<Error>)> {
        let malformed = |error: toml::de::Error| {
            let place = error.span().map_or_else(String::new, |span| place_of(&self.text, span.start));
            Error::refused(format!("{}{place}: {}", self.path.display(), error.message().trim_end_matches('.')))
        };
        let table = self.text.parse::<Table>().map_err(malformed)?;
        let lines = lines(&self.text, DeTable::parse(&self.text).map_err(malformed)?.get_ref());
        let mut reader = Reader { path: Arc::from(self.path.as_path()), lines, values: Values::default(), errors: Vec::new() };
        reader.read(table);
        Ok((reader.values, reader.errors))
    }
}

/// The line of every key, down to the tables in sections of copies.
type Lines = BTreeMap<Vec<String>, usize>;

fn lines(text: &str, table: &DeTable<'_>) -> Lines {
    fn walk(text: &str, at: &[String], table: &DeTable<'_>, found: &mut Lines) {
        for (key, value) in table {
            let path = [at, &[key.get_ref().to_string()]].concat();
            found.insert(path.clone(), line_of(text, key.span().start));
            if let (DeValue::Table(inner), true) = (Spanned::get_ref(value), path.len() < 4) {
                walk(text, &path, inner, found);
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(text, &[], table, &mut found);
    found
}

struct Reader {
    path: Arc<Path>,
    lines: Lines,
    values: Values,
    errors: Vec<Error>,
}

impl Reader {
    fn origin(&self, at: &[&str]) -> Origin {
        let (section, below) = at.split_first().map_or(("", at), |(first, below)| (*first, below));
        // A copy's section is a table in a table.
        let at: Vec<_> = section.splitn(2, '.').chain(below.iter().copied()).map(ToOwned::to_owned).collect();
        Origin::File { path: Arc::clone(&self.path), line: self.lines.get(&at).copied().unwrap_or(1) }
    }

    fn read(&mut self, table: Table) {
        for (name, value) in table {
            let origin = self.origin(&[&name]);
            if name == COPIES {
                self.read_copies(&origin, value);
                continue;
            }
            match (Section::of(&name), value) {
                (Some(section), Value::Table(inner)) => {
                    self.values.see_section(section, origin);
                    self.read_section(section, inner);
                }
                (Some(_), _) => {
                    self.errors.push(Error::refused(format!("{origin}: {name} is not a section")).hint(format!("Write it as [{name}].")));
                }
                (None, value) => self.errors.push(unknown_section(&origin, &name, value.is_table())),
            }
        }
    }

    /// Every table in `[copies]` is a section of its own.
    fn read_copies(&mut self, origin: &Origin, copies: Value) {
        let way_out = format!("Write its keys in a section with its name: [{}].", keys::COPY_EXAMPLE);
        let Value::Table(copies) = copies else {
            self.errors.push(Error::refused(format!("{origin}: {COPIES} is not a section")).hint(way_out));
            return;
        };
        for (name, value) in copies {
            let origin = self.origin(&[COPIES, &name]);
            match (check_copy_name(&name), value) {
                (Ok(()), Value::Table(inner)) => {
                    let section = Section::of_copy(&name);
                    self.values.see_section(section, origin);
                    self.read_section(section, inner);
                }
                (Err(error), Value::Table(_)) => {
                    self.errors.push(Error::refused(format!("{origin}: {error}")).hint(error.hints().join(" ")));
                }
                (_, _) => self.errors.push(Error::refused(format!("{origin}: unknown key {name} in [{COPIES}]")).hint(way_out.clone())),
            }
        }
    }

    fn read_section(&mut self, section: &'static Section, inner: Table) {
        for (name, value) in inner {
            let origin = self.origin(&[section.name, &name]);
            match (section.table(&name), value) {
                (Some(table), Value::Table(deeper)) => {
                    for (written, value) in deeper {
                        let origin = self.origin(&[section.name, &name, &written]);
                        self.read_key(section, Some(table), &written, value, origin);
                    }
                }
                (Some(table), _) => self.errors.push(
                    Error::refused(format!("{origin}: {name} in [{}] is a table of keys", section.name))
                        .hint(format!("Write it as [{}.{}].", section.name, table.name)),
                ),
                (None, value) => self.read_key(section, None, &name, value, origin),
            }
        }
    }

    fn read_key(&mut self, section: &'static Section, table: Option<&'static SubTable>, written: &str, value: Value, origin: Origin) {
        match section.place(table, written) {
            Some(place) => self.values.add(Given { place, value, origin }),
            None => self.errors.push(unknown_key(&origin, section, table, written)),
        }
    }
}

fn unknown_section(origin: &Origin, name: &str, is_table: bool) -> Error {
    let what = if is_table { format!("unknown section [{name}]") } else { format!("unknown key {name} outside of every section") };
    let known: Vec<_> = keys::SECTIONS.iter().map(|section| section.name).collect();
    let error = Error::refused(format!("{origin}: {what}"));
    let error = match nearest(name, known.iter().copied()).filter(|_| is_table) {
        Some(meant) => error.hint(format!("Did you mean [{meant}]?")),
        None => error,
    };
    error.hint(format!("Sections are: {}.", known.join(", ")))
}

fn unknown_key(origin: &Origin, section: &'static Section, table: Option<&'static SubTable>, written: &str) -> Error {
    let header = table.map_or_else(|| section.name.to_owned(), |table| format!("{}.{}", section.name, table.name));
    let error = Error::refused(format!("{origin}: unknown key {written} in [{header}]"));
    let own: Vec<_> = section.places().filter(|place| place.header() == header).map(|place| place.written()).collect();
    let tables = section.tables.iter().map(|inner| inner.name).filter(|_| table.is_none());
    let known: Vec<_> = own.iter().map(String::as_str).chain(tables).collect();
    let elsewhere = || places().find(|place| place.written() == written).map(|place: Place| format!("{written} in [{}]", place.header()));
    let meant = nearest(written, known.iter().copied()).map(ToOwned::to_owned).or_else(elsewhere);
    let error = match meant {
        Some(meant) => error.hint(format!("Did you mean {meant}?")),
        None => error,
    };
    error.hint(format!("Keys of [{header}] are: {}.", known.join(", ")))
}

fn line_of(text: &str, byte: usize) -> usize {
    text.get(..byte.min(text.len())).unwrap_or(text).matches('\n').count() + 1
}

/// `:line:column` of a byte.
fn place_of(text: &str, byte: usize) -> String {
    let before = text.get(..byte.min(text.len())).unwrap_or(text);
    let column = before.rsplit('\n').next().map_or(0, |last| last.chars().count()) + 1;
    format!(":{}:{column}", line_of(text, byte))
}
