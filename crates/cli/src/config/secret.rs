//! What was given, fetched: secrets from their file or command, paths made absolute. Only when a command needs it.

use std::path::Path;
use std::process::Stdio;

use plan::{Error, Result};
use secrecy::SecretString;
use toml::{Table, Value};

use super::paths;
use super::table::{Form, Kind};
use super::values::{Given, Values};

/// A section as its reader wants it: every value under its key's own name, in the table that it belongs to.
pub(super) fn resolve(values: &Values, section: &str) -> Result<Table> {
    let mut resolved = Table::new();
    // Whether a section is there at all, and when it is used, is asked before its values are.
    for given in values.of(section).filter(|given| !["absent", "after-backup"].contains(&given.place.key.name)) {
        let value = fetch(given).map_err(|error| error.during(format!("{}: {}", given.origin, given.place)))?;
        let into = match given.place.table {
            None => &mut resolved,
            Some(table) => {
                let entry = resolved.entry(table.name).or_insert_with(|| Value::Table(Table::new()));
                entry.as_table_mut().ok_or_else(|| Error::failed("a bug: a table's name is a key too"))?
            }
        };
        into.insert(given.place.key.name.to_owned(), value);
    }
    Ok(resolved)
}

pub(super) fn fetch(given: &Given) -> Result<Value> {
    let Some(text) = given.value.as_str() else { return Ok(given.value.clone()) };
    let path = |text: &str| paths::absolute(&given.place.written(), text, &given.origin.base());
    Ok(match (given.place.form, given.place.key.kind) {
        (Form::File, _) => Value::String(from_file(&path(text)?)?),
        (Form::Command, _) => Value::String(from_command(text)?),
        (Form::Itself, Kind::Path) => Value::String(path(text)?.to_string_lossy().into_owned()),
        (Form::Itself, Kind::Number(..)) => text.parse().map(Value::Integer).map_err(|_| Error::refused("it is not a number"))?,
        (Form::Itself, _) => given.value.clone(),
    })
}

/// A secret that an option names: the content of a file, or what a command prints.
pub(crate) fn secret_of(file: Option<&Path>, command: Option<&str>) -> Result<SecretString> {
    let text = match (file, command) {
        (Some(file), _) => from_file(file)?,
        (None, Some(command)) => from_command(command)?,
        (None, None) => return Err(Error::refused("it is not said where it is")),
    };
    if text.is_empty() {
        return Err(Error::refused("it is empty"));
    }
    Ok(SecretString::from(text))
}

fn from_file(path: &Path) -> Result<String> {
    let text =
        std::fs::read_to_string(path).map_err(|error| Error::refused(format!("failed to read {}", path.display())).because(error))?;
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}

fn from_command(command: &str) -> Result<String> {
    let output = children::command("/bin/sh").arg("-c").arg(command).stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output = output.map_err(|error| Error::refused("failed to run the command").because(error))?;
    if !output.status.success() {
        return Err(Error::refused(format!("the command ended with {}", output.status)));
    }
    let text = String::from_utf8(output.stdout).map_err(|_| Error::refused("the command's output is not text"))?;
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}
