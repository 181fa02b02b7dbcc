//! Questions at the terminal. What was typed before a question is no answer to it, and a signal ends it at once.

use std::io::{self, IsTerminal, Write};

use plan::ports::StopFlag;
use plan::words::printable;
use plan::{Error, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::termios::{LocalModes, OptionalActions, QueueSelector, Termios, tcflush, tcgetattr, tcsetattr};
use secrecy::SecretString;

/// How often the flag of the signals is looked at: a signal may be taken by another thread, and then wakes nobody here.
const LOOK_EVERY: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
/// No answer is longer.
const ANSWER_BYTES_MAX: usize = 4096;

/// Asks a question that wants `yes`. `None` when nobody can be asked; the end of the input is a no.
pub(super) fn ask(question: &str, stop: &StopFlag) -> Result<Option<bool>> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Ok(None);
    }
    // Typed before the question stood there: it was meant for something else. Where it cannot be dropped nobody can be asked.
    if tcflush(io::stdin(), QueueSelector::IFlush).is_err() {
        return Ok(None);
    }
    drop(write!(io::stderr().lock(), "{} [yes/no] ", printable(question)));
    let answer = read_line(stop).inspect_err(|_| drop(writeln!(io::stderr().lock())))?;
    Ok(Some(answer.trim().eq_ignore_ascii_case("yes")))
}

/// Asks for a secret, which the terminal does not show. `None` when nobody can be asked; the end of the input is an empty one.
pub(super) fn ask_secret(question: &str, stop: &StopFlag) -> Result<Option<SecretString>> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Ok(None);
    }
    let Ok(hidden) = Hidden::begin() else { return Ok(None) };
    if tcflush(io::stdin(), QueueSelector::IFlush).is_err() {
        return Ok(None);
    }
    drop(write!(io::stderr().lock(), "{} ", printable(question)));
    let answer = read_line(stop);
    drop(hidden);
    // The end of the line was not shown either.
    drop(writeln!(io::stderr().lock()));
    Ok(Some(SecretString::from(answer?.trim_end_matches(['\n', '\r']))))
}

/// The terminal shows nothing of what is typed, until it is dropped.
struct Hidden(Termios);

impl Hidden {
    fn begin() -> rustix::io::Result<Self> {
        let shown = tcgetattr(io::stdin())?;
        let mut hidden = shown.clone();
        hidden.local_modes.remove(LocalModes::ECHO | LocalModes::ECHONL);
        tcsetattr(io::stdin(), OptionalActions::Now, &hidden)?;
        Ok(Self(shown))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // A terminal that is gone shows nothing either way.
        tcsetattr(io::stdin(), OptionalActions::Now, &self.0).ok();
    }
}

/// A line, or what there is of it when the input ends. Read from the terminal itself: nothing may wait in a buffer for the next question.
fn read_line(stop: &StopFlag) -> Result<String> {
    let failed = |error: Errno| Error::failed("failed to read the answer").because(error);
    let stdin = io::stdin();
    let mut line = Vec::new();
    while !line.ends_with(b"\n") && line.len() < ANSWER_BYTES_MAX {
        stop.check()?;
        match poll(&mut [PollFd::new(&stdin, PollFlags::IN)], Some(&LOOK_EVERY)) {
            Ok(0) | Err(Errno::INTR) => continue,
            Ok(_) => {}
            Err(error) => return Err(failed(error)),
        }
        let mut buffer = [0; ANSWER_BYTES_MAX];
        match rustix::io::read(&stdin, &mut buffer) {
            // The end of the input, or the terminal is gone.
            Ok(0) | Err(Errno::IO) => {
                line.clear();
                break;
            }
            Ok(length) => line.extend(buffer.iter().take(length)),
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(error) => return Err(failed(error)),
        }
    }
    stop.check()?;
    Ok(String::from_utf8_lossy(&line).into_owned())
}
