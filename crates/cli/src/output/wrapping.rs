//! Prose for a terminal: broken between words, and never inside of what is copied (a command between backticks, a line of commands, an id).

/// How a line begins that is taken as it is: a command on a line of its own.
const COMMAND: &str = "    ";

/// The text in lines of that many columns, as far as its words allow it.
pub(super) fn wrapped(text: &str, columns: usize) -> String {
    let is_kept = |line: &str| line.chars().count() <= columns || line.starts_with(COMMAND);
    let lines = text.split('\n').map(|line| if is_kept(line) { line.to_owned() } else { broken(line, columns) });
    lines.collect::<Vec<_>>().join("\n")
}

fn broken(line: &str, columns: usize) -> String {
    let indent = indent(line);
    // Where that leaves no room, what follows stands at the edge.
    let indent = if indent * 2 > columns { 0 } else { indent };
    let (mut text, mut width) = (String::new(), 0);
    for piece in pieces(line) {
        let word = piece.trim_end_matches(' ');
        if width > indent && width + word.chars().count() > columns {
            text.truncate(text.trim_end_matches(' ').len());
            text.push('\n');
            text.push_str(&" ".repeat(indent));
            width = indent;
        }
        text.push_str(piece);
        width += piece.chars().count();
    }
    text.truncate(text.trim_end_matches(' ').len());
    text
}

/// Under the words of a line: behind its spaces and its number, if it has one.
fn indent(line: &str) -> usize {
    let rest = line.trim_start_matches(' ');
    let digits = rest.chars().take_while(char::is_ascii_digit).count();
    let number = if digits > 0 && rest[digits..].starts_with(". ") { digits + 2 } else { 0 };
    line.len() - rest.len() + number
}

/// The words, each with the spaces behind it; what stands between backticks is one.
fn pieces(line: &str) -> Vec<&str> {
    let (mut pieces, mut begin, mut is_command, mut was_space) = (Vec::new(), 0, false, true);
    let is_paired = line.matches('`').count().is_multiple_of(2);
    for (at, sign) in line.char_indices() {
        let is_space = sign == ' ' && !is_command;
        if !is_space && was_space && at > begin && !line[begin..at].trim_start_matches(' ').is_empty() {
            pieces.push(&line[begin..at]);
            begin = at;
        }
        is_command ^= is_paired && sign == '`';
        was_space = is_space;
    }
    pieces.push(&line[begin..]);
    pieces
}

#[cfg(test)]
mod tests {
    use super::wrapped;

    #[test]
    fn lines_break_between_words_and_nothing_is_lost() {
        let text = "what was replaced is kept: `threescale-backup settle 01m8rxnn3nhezsdwz0k3r5ctff` drops it\n  hint: write the key into a file, and name the file";
        for columns in [20, 40, 60, 80] {
            let told = wrapped(text, columns);
            let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            assert_eq!(words(&told), words(text), "{told}");
            assert!(told.contains("`threescale-backup settle 01m8rxnn3nhezsdwz0k3r5ctff`"), "{told}");
            let is_long = |line: &&str| line.chars().count() > columns && !line.contains('`');
            assert_eq!(told.lines().find(is_long), None, "{told}");
        }
        assert_eq!(wrapped("a line that fits", 16), "a line that fits");
        assert_eq!(wrapped("  hint: name the file", 16), "  hint: name the\n  file");
        assert_eq!(wrapped("  10. stage a store   from the set", 24), "  10. stage a store\n      from the set");
        assert_eq!(wrapped("ein Wörtchen für Überall", 13), "ein Wörtchen\nfür Überall");
    }

    #[test]
    fn what_is_copied_stays_in_one_line() {
        for line in ["    systemctl enable --now threescale-backup.timer", "/a/path/that/is/longer/than/the/line"] {
            assert_eq!(wrapped(line, 20), line);
        }
        assert_eq!(wrapped("an ` alone is no command at all", 12), "an ` alone\nis no\ncommand at\nall");
    }
}
