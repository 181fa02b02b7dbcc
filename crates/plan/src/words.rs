//! Words for people: counts, and text of others that must not act on a terminal.

use std::borrow::Cow;
use std::path::Path;

/// `1 set`, `3 sets`.
#[must_use]
pub fn counted(count: usize, one: &str, several: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { several })
}

const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];

/// `12.3 MB` (decimal units).
#[must_use]
pub fn bytes(bytes: u64) -> String {
    let (mut value, mut unit) = (bytes as f64, 0);
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        (value, unit) = (value / 1000.0, unit + 1);
    }
    let digits = usize::from(unit > 0 && value < 100.0);
    format!("{value:.digits$} {}", UNITS[unit])
}

/// The text with everything that acts on a terminal written out, such as `\u{1b}`: names and notes in a repository that is shared, words of servers and of other
/// programs. Line feeds and tabs stay.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    written_out(text, |c| !matches!(c, '\n' | '\t') && acts(c))
}

/// The same, and in one line: a name or a note cannot look like a line of ours.
#[must_use]
pub fn in_one_line(text: &str) -> Cow<'_, str> {
    written_out(text, acts)
}

/// A path as a shell takes it.
#[must_use]
pub fn shell_word(place: &Path) -> String {
    format!("'{}'", place.display().to_string().replace('\'', r"'\''"))
}

/// Control characters (C0, DEL, C1), and those that turn the direction of what follows (Unicode, UAX #9, section 2) or break a line.
fn acts(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn written_out(text: &str, is_written_out: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&is_written_out) {
        return Cow::Borrowed(text);
    }
    let mut written = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_written_out(c) { written.extend(c.escape_default()) } else { written.push(c) }
    }
    Cow::Owned(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_on_a_terminal_is_written_out_and_all_else_stays() {
        for text in ["", "prod", "Überall 漢字 😀 e\u{301}", "'\\\"", "two\nlines"] {
            assert_eq!(printable(text), text);
        }
        assert_eq!(printable("a\u{1b}[31mb\rc\u{9b}0m\u{7f}\u{202e}d\n"), "a\\u{1b}[31mb\\rc\\u{9b}0m\\u{7f}\\u{202e}d\n");
        assert_eq!(in_one_line("x\ny\u{2028}z"), "x\\ny\\u{2028}z");
    }

    #[test]
    fn one_is_not_several() {
        assert_eq!([counted(0, "set", "sets"), counted(1, "set", "sets"), counted(2, "set", "sets")], ["0 sets", "1 set", "2 sets"]);
    }
}
