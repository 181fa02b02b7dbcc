//! The reference of commands and keys in `docs/`, from the same tables as the manual; a test says whether it is current.

use std::fmt::Write as _;

use clap::{Arg, Command};

use crate::args::{described, examples};
use crate::config::example_document;

/// All commands with their options.
pub(super) fn commands() -> String {
    let mut command = described().disable_help_subcommand(true).disable_help_flag(true).disable_version_flag(true);
    command.build();
    let mut text = String::from(
        "# Commands\n\nMade from the program's own description; a test holds it current. Every option is a variable too, which goes behind it.\n\n## For every command\n\n",
    );
    let globals: Vec<_> = command.get_arguments().filter(|arg| arg.is_global_set()).map(|arg| arg.get_id().to_string()).collect();
    options(&mut text, command.get_arguments());
    of(&mut text, &command, &globals);
    format!("{}\n", text.trim_end())
}

fn of(text: &mut String, command: &Command, globals: &[String]) {
    for inner in command.get_subcommands() {
        let words: Vec<_> = inner.get_bin_name().unwrap_or_default().split(' ').skip(1).collect();
        let words = words.join(" ");
        let about = inner.get_about().map(ToString::to_string).unwrap_or_default();
        drop(write!(text, "\n## `{words}`\n\n{about}.\n\n"));
        options(text, inner.get_arguments().filter(|arg| !globals.contains(&arg.get_id().to_string())));
        for (line, what) in examples(&words) {
            drop(write!(text, "\n    threescale-backup {line}    # {what}\n"));
        }
        of(text, inner, globals);
    }
}

fn options<'a>(text: &mut String, arguments: impl Iterator<Item = &'a Arg>) {
    for arg in arguments {
        let value = arg.get_value_names().map(|names| names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
        let takes = arg.get_action().takes_values();
        let name = match (arg.get_long(), value.filter(|_| takes)) {
            (Some(long), Some(value)) => format!("--{long} {value}"),
            (Some(long), None) => format!("--{long}"),
            (None, value) => value.unwrap_or_else(|| arg.get_id().to_string()),
        };
        let variable = arg.get_env().map(|name| format!(" `{}`", name.to_string_lossy())).unwrap_or_default();
        let help = arg.get_help().map(|help| help.to_string().replace('<', "&lt;")).unwrap_or_default();
        drop(writeln!(text, "* `{name}`: {help}.{variable}"));
    }
}

/// All sections and keys.
pub(super) fn keys() -> String {
    let mut text =
        String::from("# Keys of the configuration\n\nMade from the table that reads `threescale-backup.toml`; a test holds it current.\n");
    for section in example_document().sections {
        drop(write!(text, "\n## `[{}]`\n\n{}\n\n", section.section, section.help));
        for key in section.keys {
            let needed = if key.required { ", needed" } else { "" };
            let forms = if key.secret { format!(", or `{0}-file`, `{0}-command`", key.key) } else { String::new() };
            let default = key.default.map(|default| format!(" Without it: {default}.")).unwrap_or_default();
            let variables: Vec<_> = key.variables.iter().map(|name| format!("`{name}`")).collect();
            drop(writeln!(
                text,
                "* `{} = {}` ({}{needed}{forms}): {}{default} {}",
                key.key,
                key.example,
                key.kind,
                key.help,
                variables.join(", ")
            ));
        }
    }
    text
}
