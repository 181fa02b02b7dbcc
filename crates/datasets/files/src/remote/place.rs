//! The place where the programs run, and the errors that come from there.

use std::io::{self, BufRead, BufWriter, Read, Write};
use std::sync::Arc;

use plan::ports::{Context, Ended, Input, Process, Program, Remote};
use plan::{Class, Error, Result};

/// What an answer that is held in memory may have.
const ANSWER_BYTES_MAX: u64 = 16 << 20;
/// What a record of a list may have: a path of a tree of ten thousand levels, and more.
const RECORD_BYTES_MAX: u64 = 8 << 20;
/// Bytes that are written at a time.
const WRITE_BYTES: usize = 128 << 10;
/// Of what a program says, as much as an error shows.
const SHOWN_CHARS: usize = 600;

/// Runs a script that comes as input: a whole one, or none.
const READ_AND_RUN: &str = r#"script=$(cat) && eval "$script""#;

/// The exit statuses of this crate's scripts. Those of `tar`, `find` and a shell are below.
pub(super) const NO_ROOT: i32 = 71;

/// A script of this crate as a program: without comments and indentation, because a platform may send the command as a part of an address, and what
/// stands between it and the place may limit that (8 KiB here and there).
pub(super) fn program(script: &str, arguments: &[&str]) -> Program {
    let lines: Vec<&str> = script.lines().map(str::trim_start).filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    Program::script(&lines.join("\n"), arguments)
}

/// A folder in a place.
#[derive(Clone)]
pub(super) struct There {
    pub(super) remote: Arc<dyn Remote>,
    pub(super) root: String,
}

impl There {
    /// Where a folder is, for people.
    pub(super) fn address(&self) -> String {
        format!("{}:{}", self.remote.place(), self.root)
    }

    /// Runs a script to its end and gives what it wrote; an exit status other than 0 is an error.
    pub(super) fn ask(&self, context: &Context, what: &str, script: &str, arguments: &[&str]) -> Result<Vec<u8>> {
        let (bytes, ended) = self.try_ask(context, what, script, arguments)?;
        self.success(ended, what)?;
        Ok(bytes)
    }

    /// The same, for a script whose exit status says something.
    pub(super) fn try_ask(&self, context: &Context, what: &str, script: &str, arguments: &[&str]) -> Result<(Vec<u8>, Ended)> {
        let mut process = self.remote.start(context, &program(script, arguments))?;
        let bytes = answer(&mut *process, what)?;
        Ok((bytes, process.finish()?))
    }

    /// As [`There::try_ask`], for a script that is too long for a command: it goes there as input.
    pub(super) fn try_ask_long(&self, context: &Context, what: &str, script: &str, arguments: &[&str]) -> Result<(Vec<u8>, Ended)> {
        let lines = program(script, &[]).command.into_iter().nth(2).unwrap_or_default();
        self.try_feed(context, what, READ_AND_RUN, arguments, |to| to.write_all(lines.as_bytes()).map_err(|error| broken(what, error)))
    }

    /// Runs a script that reads what `write` writes; gives what it wrote.
    pub(super) fn feed(
        &self,
        context: &Context,
        what: &str,
        script: &str,
        arguments: &[&str],
        write: impl FnOnce(&mut dyn Write) -> Result<()>,
    ) -> Result<Vec<u8>> {
        let (bytes, ended) = self.try_feed(context, what, script, arguments, write)?;
        self.success(ended, what)?;
        Ok(bytes)
    }

    /// The same, for a script whose exit status says something.
    fn try_feed(
        &self,
        context: &Context,
        what: &str,
        script: &str,
        arguments: &[&str],
        write: impl FnOnce(&mut dyn Write) -> Result<()>,
    ) -> Result<(Vec<u8>, Ended)> {
        let mut process = self.remote.start(context, &program(script, arguments).with_input())?;
        let input = process.input().ok_or_else(|| Error::failed(format!("{what}: there is no way in")))?;
        let mut feed = Feed { to: BufWriter::with_capacity(WRITE_BYTES, input), broke: false };
        let fed = write(&mut feed).and_then(|()| feed.flush().map_err(|error| broken(what, error)));
        let Feed { to, broke } = feed;
        // Not dropped as a whole: that would write what is left, and it must not look like all.
        let (input, _) = to.into_parts();
        let arrived = match fed {
            Ok(()) => input.end(),
            Err(error) if broke => {
                drop(input);
                Err(error)
            }
            Err(error) => return Err(error),
        };
        match (arrived, answer(&mut *process, what)) {
            (Ok(()), Ok(bytes)) => Ok((bytes, process.finish()?)),
            (Err(error), Ok(_)) if error.class() != Class::Transient => {
                // A program that gave up says why; its silence leaves what was seen here. After a broken connection its complaint is a consequence.
                let said = process.finish().ok().and_then(|ended| self.success(ended, what).err());
                Err(said.unwrap_or(error))
            }
            (Err(error), _) | (Ok(()), Err(error)) => Err(error),
        }
    }

    /// Makes an exit status an error, with the way out of the usual causes.
    pub(super) fn success(&self, ended: Ended, what: &str) -> Result<()> {
        if ended.status == 0 {
            return Ok(());
        }
        let said: String = ended.said.trim().chars().take(SHOWN_CHARS).collect();
        if ended.status == NO_ROOT {
            return Err(Error::refused(format!("failed to open the folder {}", self.address()))
                .hint(format!("It said: {said}"))
                .hint("The pod must mount the volume there: look at its volume mounts."));
        }
        let error = Error::failed(format!("{what} (exit status {})", ended.status));
        let error = if said.is_empty() { error } else { error.hint(format!("It said: {said}")) };
        Err(match way_out(&said) {
            Some(hint) => error.hint(hint),
            None => error,
        })
    }
}

fn way_out(said: &str) -> Option<&'static str> {
    let ways = [
        ("No space left", "Free space or inodes on the volume (or enlarge it). `runs` says how to go on."),
        ("Disk quota", "Free space or inodes on the volume (or enlarge it). `runs` says how to go on."),
        ("Read-only file system", "The volume is mounted read-only: mount it for writing."),
        ("Permission denied", "The pod's user has no right to it: let it run as the owner of the files."),
        (
            "Operation not permitted",
            "The pod's user has no right to it: let it run as the owner of the files. Where it is, or root: lsattr shows files that chattr -i -a must free.",
        ),
        ("File name too long", "Restore with the volume mounted: the pod's tar cannot make paths that long."),
    ];
    ways.iter().find(|(text, _)| said.contains(text)).map(|(_, way)| *way)
}

/// Reads all that a program writes: little.
fn answer(process: &mut dyn Process, what: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let output = process.output().ok_or_else(|| Error::failed(format!("{what}: there is no way out")))?;
    output.take(ANSWER_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| broken(what, error))?;
    if bytes.len() as u64 > ANSWER_BYTES_MAX {
        return Err(Error::failed(format!("{what}: the answer has more than {ANSWER_BYTES_MAX} bytes")));
    }
    Ok(bytes)
}

/// Reads up to a byte that ends a record, without it; false at the end of the stream. A record that has no end is damage, and not kept in memory.
pub(super) fn read_record(from: &mut impl BufRead, end: u8, record: &mut Vec<u8>) -> io::Result<bool> {
    record.clear();
    from.take(RECORD_BYTES_MAX).read_until(end, record)?;
    if record.last() == Some(&end) {
        record.pop();
        return Ok(true);
    }
    match record.len() as u64 {
        0 => Ok(false),
        RECORD_BYTES_MAX => Err(io::Error::new(io::ErrorKind::InvalidData, format!("a record of more than {RECORD_BYTES_MAX} bytes"))),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// An error of a stream: the one that the platform put into it, or the stream's own.
pub(super) fn broken(what: &str, error: io::Error) -> Error {
    match error.downcast::<Error>() {
        Ok(error) => error.during(what.to_owned()),
        Err(error) => Error::failed(what.to_owned()).because(error),
    }
}

/// Collects small writes (each may be a frame of its own on its way), and knows whether one failed.
struct Feed {
    to: BufWriter<Box<dyn Input>>,
    broke: bool,
}

impl Write for Feed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.to.write(bytes).inspect_err(|_| self.broke = true)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush().inspect_err(|_| self.broke = true)
    }
}
