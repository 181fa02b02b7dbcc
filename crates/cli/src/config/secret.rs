//! Secrets of a section: given in the file, by a file (`…-file`) or by a command (`…-command`), wherever one may be given at all.

use std::process::Stdio;

use plan::{Error, Result};
use toml::{Table, Value};

/// Keys that may hold a secret, and so may be given as a file or a command.
const SECRET_KEYS: [&str; 9] = [
    "url",
    "storage-url",
    "queues-url",
    "password",
    "sentinel-password",
    "access-key-id",
    "secret-access-key",
    "storage-sentinel-password",
    "queues-sentinel-password",
];

/// The section with every `…-file` and `…-command` replaced by what it gives. Also in sub-sections.
pub(super) fn resolve(origin: &str, section: &str, table: &Table) -> Result<Table> {
    let mut resolved = Table::new();
    for (key, value) in table {
        let (name, fetched) = match (key, value) {
            (key, Value::Table(inner)) => (key.clone(), Value::Table(resolve(origin, &format!("{section}.{key}"), inner)?)),
            (key, Value::String(text)) => match secret_of(key) {
                Some((base, Form::File)) => (base.to_owned(), Value::String(from_file(origin, section, key, text)?)),
                Some((base, Form::Command)) => (base.to_owned(), Value::String(from_command(origin, section, key, text)?)),
                None => (key.clone(), value.clone()),
            },
            // Said here: the error of a typed reader would show the value.
            _ if SECRET_KEYS.contains(&key.as_str()) || secret_of(key).is_some() => {
                return Err(Error::refused(format!("{origin}: [{section}] {key} is not text")).hint("Write it in quotes."));
            }
            _ => (key.clone(), value.clone()),
        };
        refuse_both_forms(origin, section, table, &name)?;
        resolved.insert(name, fetched);
    }
    Ok(resolved)
}

#[derive(Clone, Copy)]
enum Form {
    File,
    Command,
}

fn secret_of(key: &str) -> Option<(&str, Form)> {
    let forms = [("-file", Form::File), ("-command", Form::Command)];
    forms.into_iter().find_map(|(suffix, form)| key.strip_suffix(suffix).filter(|base| SECRET_KEYS.contains(base)).map(|base| (base, form)))
}

fn refuse_both_forms(origin: &str, section: &str, table: &Table, base: &str) -> Result<()> {
    if !SECRET_KEYS.contains(&base) {
        return Ok(());
    }
    let given: Vec<_> =
        ["", "-file", "-command"].iter().map(|suffix| format!("{base}{suffix}")).filter(|key| table.contains_key(key)).collect();
    if given.len() < 2 {
        return Ok(());
    }
    Err(Error::refused(format!("{origin}: [{section}] has {}", given.join(" and "))).hint("Leave one of them."))
}

fn from_file(origin: &str, section: &str, key: &str, path: &str) -> Result<String> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Error::refused(format!("{origin}: [{section}] {key}: failed to read {path}")).because(error))?;
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}

fn from_command(origin: &str, section: &str, key: &str, command: &str) -> Result<String> {
    let what = || format!("{origin}: [{section}] {key}");
    let output = children::command("/bin/sh").arg("-c").arg(command).stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output = output.map_err(|error| Error::refused(format!("{}: failed to run it", what())).because(error))?;
    if !output.status.success() {
        return Err(Error::refused(format!("{}: the command ended with {}", what(), output.status)));
    }
    let text = String::from_utf8(output.stdout).map_err(|_| Error::refused(format!("{}: the command's output is not text", what())))?;
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}
