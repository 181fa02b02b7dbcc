//! Standard error: a line is a line, and where journald reads it, it begins with its level.

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::OnceLock;

use plan::words::printable;
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// How much a line matters, as `syslog(3)` numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weight {
    Error = 3,
    Warning = 4,
    Note = 6,
    Detail = 7,
}

impl Weight {
    /// What a text of ours is: warnings begin so.
    pub(crate) fn of(text: &str) -> Self {
        if text.starts_with("warning: ") { Self::Warning } else { Self::Note }
    }
}

/// Tells a text there. When standard error is gone there is nobody to tell.
pub(super) fn tell(weight: Weight, text: &str) {
    tell_in_one_line(weight, &super::in_terminal(&printable(text), terminal_columns()));
}

/// The same for what is read by a program too.
pub(super) fn tell_in_one_line(weight: Weight, text: &str) {
    let text = printable(text);
    let marked = marked(weight, &text, is_journal());
    drop(writeln!(io::stderr().lock(), "{marked}"));
}

/// How wide the terminal is that standard error is.
pub(super) fn terminal_columns() -> Option<usize> {
    rustix::termios::tcgetwinsize(io::stderr()).ok().map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

/// `sd-daemon(3)`: each line may begin with `<N>`.
fn marked(weight: Weight, text: &str, is_journal: bool) -> String {
    if !is_journal {
        return text.to_owned();
    }
    let mark = format!("<{}>", weight as u8);
    text.lines().map(|line| format!("{mark}{line}")).collect::<Vec<_>>().join("\n")
}

/// Whether standard error is the stream that systemd named: its device and inode (`systemd.exec(5)`, `JOURNAL_STREAM`).
fn is_journal() -> bool {
    static IS_JOURNAL: OnceLock<bool> = OnceLock::new();
    *IS_JOURNAL.get_or_init(|| {
        let named = std::env::var("JOURNAL_STREAM").unwrap_or_default();
        let found = rustix::fs::fstat(io::stderr().as_fd()).map(|found| format!("{}:{}", found.st_dev, found.st_ino));
        found.is_ok_and(|found| found == named)
    })
}

/// Where the log's lines go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogLines;

impl<'a> MakeWriter<'a> for LogLines {
    type Writer = LogLine;

    fn make_writer(&'a self) -> LogLine {
        LogLine(Weight::Note)
    }

    fn make_writer_for(&'a self, of: &Metadata<'_>) -> LogLine {
        LogLine(match *of.level() {
            Level::ERROR => Weight::Error,
            Level::WARN => Weight::Warning,
            Level::INFO => Weight::Note,
            _ => Weight::Detail,
        })
    }
}

/// One line of the log; it comes in one piece.
#[derive(Debug)]
pub(crate) struct LogLine(Weight);

impl Write for LogLine {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        if is_journal() {
            io::stderr().lock().write_all(format!("{}\n", marked(self.0, text.trim_end(), true)).as_bytes())?;
        } else {
            io::stderr().lock().write_all(bytes)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_has_its_level_for_journald_and_none_for_people() {
        assert_eq!(marked(Weight::Error, "error: a\n  because: b", true), "<3>error: a\n<3>  because: b");
        assert_eq!(marked(Weight::of("warning: c"), "warning: c", true), "<4>warning: c");
        assert_eq!(marked(Weight::of("c"), "c", true), "<6>c");
        assert_eq!(marked(Weight::Note, "c", false), "c");
    }
}
