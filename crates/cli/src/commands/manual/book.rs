//! The reference as pages of the book: `reference.md` from the command line, `configuration.md` from the table that parses the file.

use clap::{Arg, Command};

use super::{configuration, page};
use crate::args::{EXIT_CODES, examples};
use crate::config::{KeyDocument, example_document};

const MADE: &str = "Made from the program by `threescale-backup man --book docs`. Change the program, not this page.";

/// Pages by the names of their files.
pub(super) fn pages(command: &Command) -> [(&'static str, String); 2] {
    [("reference.md", reference(command)), ("configuration.md", configuration())]
}

fn reference(command: &Command) -> String {
    let mut text = format!("# Commands, options and variables\n\n{MADE}\n\n");
    text.push_str("Every option is a variable too; an option goes before its variable. An empty variable says nothing.\n\n## Options of every command\n\n");
    text.push_str(&table_of(command.get_arguments().filter(|arg| arg.is_global_set())));
    for inner in command.get_subcommands() {
        of_command(inner, 2, &mut text);
    }
    text.push_str("## Variables that are no options\n\n| variable | what it is |\n| --- | --- |\n");
    rows(&mut text, page::VARIABLES.iter().map(|(name, help)| (format!("`{name}`"), (*help).to_owned())));
    text.push_str("\n## Files\n\n| file | what it is |\n| --- | --- |\n");
    rows(&mut text, page::FILES.iter().map(|(name, help)| (format!("`{name}`"), (*help).to_owned())));
    text.push_str("\n## Exit codes\n\n| code | meaning |\n| --- | --- |\n");
    rows(&mut text, EXIT_CODES.iter().map(|(code, meaning)| (code.to_string(), (*meaning).to_owned())));
    text.push_str("\nWhat to do then: [exit codes](exit-codes.md).\n");
    text
}

/// A command, and those beneath it.
fn of_command(command: &Command, depth: usize, text: &mut String) {
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name()).split_once(' ').map_or("", |(_, words)| words);
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ");
    text.push_str(&format!("{} `{name}`\n\n{}.\n\n    {usage}\n\n", "#".repeat(depth), in_text(&about).trim_end_matches('.')));
    let own: Vec<_> = command.get_arguments().filter(|arg| !arg.is_global_set()).collect();
    let table = table_of(own.into_iter());
    text.push_str(&table);
    if !command.has_subcommands() {
        for (line, what) in examples(name) {
            text.push_str(&format!("{}\n\n    threescale-backup {line}\n\n", in_text(what)));
        }
    }
    for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
        of_command(inner, depth + 1, text);
    }
}

/// Arguments and options, but for `--help` and `--version`. Nothing when there are none.
fn table_of<'a>(args: impl Iterator<Item = &'a Arg>) -> String {
    let shown: Vec<_> = args.filter(|arg| !arg.is_hide_set() && !["help", "version"].contains(&arg.get_id().as_str())).collect();
    if shown.is_empty() {
        return String::new();
    }
    let mut text = "| option | what it does | variable |\n| --- | --- | --- |\n".to_owned();
    for arg in shown {
        let variable = arg.get_env().map(|name| format!("`{}`", name.to_string_lossy())).unwrap_or_default();
        text.push_str(&format!("| `{}` | {} | {variable} |\n", in_code(&written(arg)), in_cell(&told(arg))));
    }
    text.push('\n');
    text
}

/// `-y, --yes`, `--to <FOLDER>`, `<SET>`.
fn written(arg: &Arg) -> String {
    let short = arg.get_short().map(|short| format!("-{short}, ")).unwrap_or_default();
    format!("{short}{arg}")
}

/// What it does, the values that it takes, and what holds without it.
fn told(arg: &Arg) -> String {
    let mut told = arg.get_help().map(ToString::to_string).unwrap_or_default();
    if !arg.get_action().takes_values() {
        return told;
    }
    let values: Vec<_> = arg
        .get_possible_values()
        .iter()
        .filter(|value| !value.is_hide_set())
        .map(|value| match value.get_help() {
            Some(help) => format!("`{}` ({help})", value.get_name()),
            None => format!("`{}`", value.get_name()),
        })
        .collect();
    if !values.is_empty() {
        told.push_str(&format!(". Values: {}", values.join(", ")));
    }
    let default: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    if !default.is_empty() {
        told.push_str(&format!(" [default: {}]", default.join(",")));
    }
    told
}

fn configuration() -> String {
    let mut text = format!("# Every key of the configuration\n\n{MADE}\n\n");
    for paragraph in configuration::DESCRIPTION {
        text.push_str(&format!("{}\n\n", in_text(paragraph)));
    }
    text.push_str("More about addresses, secrets and TLS: [the configuration](configuring.md).\n\n");
    for section in example_document().sections {
        text.push_str(&format!("## `[{}]`\n\n{}\n\n", section.section, in_text(section.help)));
        text.push_str("| key | what it is | variable |\n| --- | --- | --- |\n");
        for key in &section.keys {
            let variables: Vec<_> = key.variables.iter().map(|name| format!("`{name}`")).collect();
            text.push_str(&format!("| `{} = {}` | {} | {} |\n", key.key, in_code(key.example), in_cell(&about(key)), variables.join(" ")));
        }
        text.push('\n');
    }
    format!("{}\n", text.trim_end())
}

/// What a key is, in one cell.
fn about(key: &KeyDocument) -> String {
    let kind = key.accepts.as_ref().map_or_else(|| key.kind.to_owned(), |accepts| format!("{}: {accepts}", key.kind));
    let needed = if key.required { ", needed" } else { "" };
    let forms = if key.secret { format!(" Or `{0}-file`, `{0}-command`.", key.key) } else { String::new() };
    let default = key.default.map(|default| format!(" [default: {default}]")).unwrap_or_default();
    format!("{} ({kind}{needed}).{forms}{default}", key.help.trim_end_matches('.'))
}

fn rows(text: &mut String, rows: impl Iterator<Item = (String, String)>) {
    for (term, help) in rows {
        text.push_str(&format!("| {} | {} |\n", in_code(&term), in_cell(&help)));
    }
}

/// A bar parts cells, even in code.
fn in_code(text: &str) -> String {
    text.replace('|', "\\|")
}

/// One line, in which nothing is taken for HTML or for the end of the cell.
fn in_cell(text: &str) -> String {
    in_code(&in_text(text))
}

fn in_text(text: &str) -> String {
    text.replace('\n', " ").replace('<', "&lt;")
}
