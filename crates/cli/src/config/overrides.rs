//! Environment variables over the file: `THREESCALE_BACKUP_<SECTION>_<KEY>`, e.g. `THREESCALE_BACKUP_SYSTEM_DATABASE_URL`.

use std::ffi::OsString;

use plan::{Error, Result};
use toml::{Table, Value};

use super::SECTIONS;

const PREFIX: &str = "THREESCALE_BACKUP_";

/// Lays the variables over the table. A secret in the environment replaces all forms that the file has for it.
pub(super) fn lay_over(table: &mut Table, variables: impl Iterator<Item = (OsString, OsString)>) -> Result<()> {
    for (name, value) in variables {
        let Some(rest) = name.to_str().and_then(|name| name.strip_prefix(PREFIX)) else { continue };
        let Some((section, key)) = split(rest) else { continue };
        let value = value.into_string().map_err(|_| Error::refused(format!("{PREFIX}{rest} is not text")))?;
        set(table, section, &key, &value)?;
    }
    // The repository's password has a short name of its own.
    if let Some(value) = std::env::var_os(format!("{PREFIX}PASSWORD")).and_then(|value| value.into_string().ok()) {
        set(table, "repository", "password", &value)?;
    }
    Ok(())
}

fn split(rest: &str) -> Option<(&'static str, String)> {
    SECTIONS.iter().find_map(|section| {
        let prefix = format!("{}_", section.replace('-', "_").to_uppercase());
        let key = rest.strip_prefix(&prefix)?;
        Some((*section, key.replace('_', "-").to_lowercase()))
    })
}

fn set(table: &mut Table, section: &str, key: &str, value: &str) -> Result<()> {
    let entry = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
    let Some(mut inner) = entry.as_table_mut() else {
        return Err(Error::refused(format!("{section} is not a section")).hint(format!("Write it as [{section}].")));
    };
    let mut key = key;
    for nested in ["s3", "tls"] {
        if let Some(rest) = key.strip_prefix(nested).and_then(|rest| rest.strip_prefix('-')) {
            let entry = inner.entry(nested).or_insert_with(|| Value::Table(Table::new()));
            let Some(deeper) = entry.as_table_mut() else {
                return Err(Error::refused(format!("[{section}] {nested} is not a section")));
            };
            (inner, key) = (deeper, rest);
            break;
        }
    }
    let base = key.strip_suffix("-file").or_else(|| key.strip_suffix("-command")).unwrap_or(key);
    for form in ["", "-file", "-command"] {
        inner.remove(&format!("{base}{form}"));
    }
    inner.insert(key.to_owned(), typed(value));
    Ok(())
}

/// Numbers and truth values are written bare in the file; everything else is a string.
fn typed(value: &str) -> Value {
    match value {
        "true" => Value::Boolean(true),
        "false" => Value::Boolean(false),
        _ => Value::String(value.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_variable_replaces_every_form_of_a_secret() {
        let mut table: Table = "[repository]\nurl = \"/a\"\npassword-file = \"/k\"".parse().unwrap();
        let variables = [("THREESCALE_BACKUP_REPOSITORY_PASSWORD_COMMAND", "cat /k2"), ("THREESCALE_BACKUP_REPOSITORY_S3_REGION", "eu-1")];
        lay_over(&mut table, variables.into_iter().map(|(name, value)| (name.into(), value.into()))).unwrap();
        let section = table["repository"].as_table().unwrap();
        assert!(!section.contains_key("password-file"));
        assert_eq!(section["password-command"].as_str(), Some("cat /k2"));
        assert_eq!(section["s3"]["region"].as_str(), Some("eu-1"));
    }
}
