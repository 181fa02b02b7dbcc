//! The pages of the manual, as people read them.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};

use super::{book, built, configuration, pages};
use crate::args::described;
use crate::config::example_document;

/// A page as people read it, by the program that `man` uses, on lines that are long enough for every word; it must not complain.
fn read(page: &[u8]) -> String {
    let mut groff = Command::new("groff")
        .args(["-man", "-Kutf8", "-Tascii", "-P-c", "-P-b", "-P-u", "-P-o", "-ww", "-rLL=1000n", "-rIN=2n"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    groff.stdin.take().unwrap().write_all(page).unwrap();
    let output = groff.wait_with_output().unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && !complaints.contains("warning: macro") && !complaints.contains("error"), "{complaints}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn every_command_has_a_page_with_all_its_options_and_sections() {
    let read: BTreeMap<_, _> =
        pages().unwrap().into_iter().map(|page| (format!("{}({})", page.name, page.section), read(&page.text))).collect();
    fn check(command: &clap::Command, read: &BTreeMap<String, String>) -> usize {
        let name = format!("{}(1)", command.get_display_name().unwrap_or_else(|| command.get_name()));
        let page = read.get(&name).unwrap_or_else(|| panic!("{name} is missing"));
        for heading in ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "ENVIRONMENT", "FILES", "EXIT STATUS", "EXAMPLES", "SEE ALSO"] {
            assert!(page.lines().any(|line| line == heading), "{name} has no {heading}");
        }
        for arg in command.get_arguments() {
            let option = arg.get_long().map(|long| format!("--{long}")).unwrap_or_default();
            let variable = arg.get_env().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            assert!(page.contains(&option) && page.contains(&variable), "{name} does not name {option} {variable}");
        }
        for wanted in ["130", "threescale-backup.toml(5)", "threescale-backup "] {
            assert!(page.contains(wanted), "{name} lacks {wanted:?}");
        }
        // A page that another one names is there.
        for named in page
            .split(|sign: char| sign.is_whitespace() || sign == ',')
            .filter(|word| word.starts_with("threescale-backup") && word.ends_with(')'))
        {
            assert!(read.contains_key(named), "{name} names {named}");
        }
        1 + command.get_subcommands().map(|inner| check(inner, read)).sum::<usize>()
    }
    let mut command = described().disable_help_subcommand(true);
    command.build();
    assert_eq!(check(&command, &read), read.len() - 1, "a page for each command, and that of the configuration");
}

#[test]
fn the_page_of_the_configuration_has_every_section_key_and_variable() {
    let page = read(&configuration::page().unwrap());
    let sections = example_document().sections;
    assert!(sections.len() > 8);
    for section in sections {
        assert!(page.contains(&format!("[{}]", section.section)), "{}", section.section);
        for key in section.keys {
            let is_told = page.lines().any(|line| line.trim_start().starts_with(&format!("{} (", key.key)));
            assert!(is_told && key.variables.iter().all(|name| page.contains(name)), "[{}] {}", section.section, key.key);
        }
    }
}

#[test]
fn the_reference_in_the_book_is_what_the_program_makes() {
    let docs = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let made = book::pages(&built());
    let [reference, keys] = &made;
    for (name, text) in &made {
        let there = std::fs::read_to_string(docs.join(name)).unwrap_or_default();
        assert!(
            there == *text,
            "docs/{name} is not what the program makes. Make it anew: cargo run -p threescale-backup -- man --book docs"
        );
    }
    // And that has all of it.
    fn check(command: &clap::Command, page: &str) {
        for arg in command.get_arguments() {
            let option = arg.get_long().map(|long| format!("--{long}")).unwrap_or_default();
            let variable = arg.get_env().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let is_of_clap = ["help", "version"].contains(&arg.get_id().as_str());
            assert!(is_of_clap || page.contains(&option) && page.contains(&variable), "{option} {variable}");
        }
        command.get_subcommands().for_each(|inner| check(inner, page));
    }
    check(&built(), &reference.1);
    for section in example_document().sections {
        assert!(keys.1.contains(&format!("## `[{}]`", section.section)), "{}", section.section);
        for key in section.keys {
            let row = keys.1.lines().find(|line| line.starts_with(&format!("| `{} = ", key.key)) && line.contains(&key.variables[0]));
            assert!(row.is_some(), "[{}] {}", section.section, key.key);
        }
    }
}
