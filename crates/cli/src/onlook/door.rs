//! The other end: what the programs on the command's `PATH` are. Called as `threescale-backup __look-at SOCKET DATA-SET WORD…` by nobody else.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use super::talk::{FAILED, PIECE, WHOLE, receive, send};

/// The first word by which this program is a door.
pub(super) const WORD: &str = "__look-at";

/// When this process is a door: asks, writes the answer, and gives the exit code.
pub(crate) fn asked() -> Option<ExitCode> {
    let mut words = std::env::args_os().skip(1);
    if words.next()? != WORD {
        return None;
    }
    let socket = words.next()?;
    Some(match ask(&socket, words) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            drop(writeln!(io::stderr(), "error: the restore does not answer: {error}"));
            ExitCode::FAILURE
        }
    })
}

fn ask(socket: &OsStr, words: impl Iterator<Item = OsString>) -> io::Result<bool> {
    let words: Vec<_> = words.map(|word| word.to_string_lossy().into_owned()).collect();
    let mut stream = UnixStream::connect(socket)?;
    send(&mut stream, PIECE, &serde_json::to_vec(&words).map_err(io::Error::other)?)?;
    let mut out = io::stdout().lock();
    loop {
        match receive(&mut stream)? {
            Some((PIECE, piece)) => out.write_all(&piece)?,
            Some((WHOLE, _)) => return out.flush().map(|()| true),
            Some((FAILED, why)) => {
                out.flush()?;
                writeln!(io::stderr(), "error: {}", String::from_utf8_lossy(&why))?;
                return Ok(false);
            }
            _ => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}
