//! `config example`: every section and key, commented, from the table that parses them.

use serde::Serialize;

use super::keys::SECTIONS;
use super::table::{Form, Key, Section, SubTable};

const HEAD: &str = "\
## Configuration of threescale-backup: every section and key, with an example. Remove the # before what you need.
## It is looked for at --config, then threescale-backup.toml, then /etc/threescale-backup.toml. Each key is a variable too: the environment goes before this file.
## A secret may be given as itself, as a file (KEY-file) or as a command that prints it (KEY-command). A relative path begins where this file is; ~/ is the home folder.
";

/// The table, for programs.
#[derive(Debug, Serialize)]
pub(crate) struct ExampleDocument {
    pub sections: Vec<SectionDocument>,
}

#[derive(Debug, Serialize)]
pub(crate) struct SectionDocument {
    pub section: String,
    pub help: &'static str,
    pub keys: Vec<KeyDocument>,
}

#[derive(Debug, Serialize)]
pub(crate) struct KeyDocument {
    pub key: &'static str,
    pub kind: &'static str,
    /// Which values it takes, where that is not all of its kind.
    pub accepts: Option<String>,
    pub secret: bool,
    pub required: bool,
    pub default: Option<&'static str>,
    pub example: &'static str,
    pub help: &'static str,
    pub variables: Vec<String>,
}

/// The file.
pub(crate) fn example() -> String {
    let mut lines = vec![HEAD.to_owned()];
    for (header, help, section, table) in tables() {
        lines.push(format!("## {help}\n# [{header}]"));
        for key in keys_of(section, table) {
            lines.push(example_of(section, table, key));
        }
        lines.push(String::new());
    }
    lines.join("\n").trim_end().to_owned()
}

/// The same, for programs.
pub(crate) fn document() -> ExampleDocument {
    let sections = tables().map(|(section_name, help, section, table)| SectionDocument {
        section: section_name,
        help,
        keys: keys_of(section, table)
            .iter()
            .map(|key| KeyDocument {
                key: key.name,
                kind: key.kind.name(),
                accepts: key.kind.accepts(),
                secret: key.kind.is_secret(),
                required: key.is_required,
                default: key.default,
                example: key.example,
                help: key.help,
                variables: variables(section, table, key),
            })
            .collect(),
    });
    ExampleDocument { sections: sections.collect() }
}

type Tables = (String, &'static str, &'static Section, Option<&'static SubTable>);

/// Sections, each followed by the tables in it.
fn tables() -> impl Iterator<Item = Tables> {
    SECTIONS.iter().flat_map(|section| {
        let deeper = section.tables.iter().map(move |table| (format!("{}.{}", section.name, table.name), table.help, section, Some(table)));
        std::iter::once((section.name.to_owned(), section.help, section, None)).chain(deeper)
    })
}

fn keys_of(section: &'static Section, table: Option<&'static SubTable>) -> &'static [Key] {
    table.map_or(section.keys, |table| table.keys)
}

fn variables(section: &'static Section, table: Option<&'static SubTable>, key: &Key) -> Vec<String> {
    section.place(table, key.name).map(|place| place.variables()).unwrap_or_default()
}

fn example_of(section: &'static Section, table: Option<&'static SubTable>, key: &Key) -> String {
    let mut about = vec![key.help.to_owned()];
    if key.kind.is_secret() {
        about.push(format!("Or {0}{1}, {0}{2}.", key.name, Form::File.suffix(), Form::Command.suffix()));
    }
    if let Some(default) = key.default {
        about.push(format!("Default: {default}."));
    }
    about.push(variables(section, table, key).join(", "));
    format!("## {}\n# {} = {}", about.join(" "), key.name, key.example)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::super::table::places;
    use super::super::{Config, Sources};
    use super::*;

    fn uncommented() -> String {
        example().lines().map(|line| line.strip_prefix("# ").unwrap_or(line)).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_example_is_whole_and_parses_when_it_is_uncommented() {
        let commented = example();
        assert!(commented.lines().all(|line| line.is_empty() || line.starts_with('#')), "all of it is commented");
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), uncommented()).unwrap();
        let config = Config::load(&Sources { file: Some(file.path()), ..Sources::default() }).unwrap();
        for place in places().filter(|place| place.form == Form::Itself) {
            assert!(config.values.get(&place.header(), place.key.name).is_some(), "{place} is not in the example");
            assert!(place.variables().iter().all(|name| commented.contains(name.as_str())), "{place} lacks a variable");
        }
        assert!(config.database(plan::ids::DataSetName::SystemDatabase).is_ok());
        assert!(config.redis(plan::ids::DataSetName::BackendRedis).is_ok());
        assert!(config.repository().is_ok() && config.copy("offsite").is_ok() && config.writers().is_ok() && config.storage().is_ok());
        assert_eq!(config.installation_name().as_deref(), Some("prod"));
    }

    #[test]
    fn an_uncommented_example_needs_no_network_to_be_read() {
        let table: toml::Table = uncommented().parse().unwrap();
        assert_eq!(table.len(), SECTIONS.len());
    }
}
