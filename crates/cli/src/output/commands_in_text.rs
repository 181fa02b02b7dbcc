//! Commands that a text names are written so that they can be copied: `settle 01m8…` with the program's name before it.

use std::sync::OnceLock;

use crate::args::{called, described};

/// The words that begin a command.
fn commands() -> &'static [String] {
    static COMMANDS: OnceLock<Vec<String>> = OnceLock::new();
    COMMANDS.get_or_init(|| described().get_subcommands().map(|command| command.get_name().to_owned()).collect())
}

/// The text with every command that has a word behind its name as it is called. A name alone (`undo`) stays a name, as does all else between backticks.
pub(crate) fn with_program(text: &str) -> String {
    let mut written = String::with_capacity(text.len());
    for (index, piece) in text.split('`').enumerate() {
        if index > 0 {
            written.push('`');
        }
        let is_inside = index % 2 == 1;
        let is_command = piece.split_once(' ').is_some_and(|(word, rest)| !rest.is_empty() && commands().iter().any(|name| name == word));
        if is_inside && is_command {
            written.push_str(&called());
            written.push(' ');
        }
        written.push_str(piece);
    }
    written
}

/// The commands of this program that a text names, as they can be copied.
pub(crate) fn commands_in(text: &str) -> Vec<String> {
    let (text, program) = (with_program(text), format!("{} ", called()));
    let inside = text.split('`').enumerate().filter(|(index, _)| index % 2 == 1).map(|(_, piece)| piece);
    inside.filter(|piece| piece.starts_with(&program)).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::{commands_in, with_program};

    #[test]
    fn a_command_can_be_copied_and_a_name_stays_one() {
        let cases = [
            ("`settle 01m8` drops it, `undo` puts it back.", "`threescale-backup settle 01m8` drops it, `undo` puts it back."),
            ("`threescale-backup plan latest` shows it", "`threescale-backup plan latest` shows it"),
            ("no command", "no command"),
            ("`undo", "`undo"),
        ];
        for (text, wanted) in cases {
            assert_eq!(with_program(text), wanted);
        }
        let named =
            commands_in("`settle 01m8` drops it, `undo` puts it back, `threescale-backup plan latest` shows it; `cat -n` is another's.");
        assert_eq!(named, ["threescale-backup settle 01m8", "threescale-backup plan latest"]);
    }
}
