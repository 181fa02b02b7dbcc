//! The other end of an exec stream: a script for the container's `sh` that frames what goes in, and says at the end of what comes out how long it was,
//! what its digest is and how the program ended.
//!
//! It needs `cat`, `head`, `tee`, `sha256sum`, `wc` and `/dev/fd`: no file is made. What `tee` opens under `/dev/fd` are pipes of the script itself; the
//! streams of the exec, which belong to somebody else and may be sockets, are inherited only.
//!
//! Why so much: API servers cut the end off output when a program ends ("exit status 0", kubernetes#124571), version 4 of the protocol cannot end a program's
//! input without losing its output, and when a connection breaks the program is told "end of input", which it takes for the whole.

use std::fmt::Write as _;

use bytes::Bytes;
use plan::ports::Program;
use plan::{Error, Result};
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};

/// Gives the wrapper a process group of its own, which it can end as a whole. Container runtimes do already, mostly.
const BOOT: &str = r#"
IFS= read -r s </proc/self/stat; p=${s%% *}; s=${s##*) }; s=${s#* }; s=${s#* }; g=${s%% *}
script=$1; shift
if [ -n "$g" ] && [ "$p" = "$g" ]; then eval "$script"; else exec setsid sh -c "$script" threescale-backup "$@"; fi
"#;

/// Runs the program. Its first lines of input are a mark, then environment variables, then `go`; then frames (`LENGTH\nBYTES`), `0`, the digest of
/// all bytes, and `bye` when the output has arrived. An end of input anywhere before that means that the connection broke: everything is killed, so that no
/// program takes a part for the whole. Output: the program's, then `\nMARK STATUS`, then ` DIGEST LENGTH\n` of all before.
const WRAPPER: &str = r#"
exec 4>&1
IFS= read -r mark || exit 97
go=
while IFS=' ' read -r word name length; do
    case $word in
        env) value=$(head -c "$length"; echo x); export "$name=${value%x}"; unset value ;;
        go) go=1; break ;;
        *) exit 97 ;;
    esac
done
[ "$go" ] || exit 97
frames() {
    while IFS= read -r n; do
        [ "$n" = 0 ] && return
        head -c "$n" || break
    done
    kill -9 0
}
feed() {
    exec 5>&1
    sum=$(frames | tee /dev/fd/5 | sha256sum)
    IFS= read -r want || kill -9 0
    if [ "$want" != over ] && [ "${sum%% *}" != "$want" ]; then
        echo "threescale-backup: the input arrived damaged" >&2
        kill -9 0
    fi
    exec 1>&- 5>&-
    IFS= read -r bye || kill -9 0
}
feed 4>&- | {
    "$@" 4>&-
    printf '\n%s %03d' "$mark" "$?"
    exec 1>&-
    cat >/dev/null
} | {
    set -- $(
        exec 3>&1
        { { tee /dev/fd/5 /dev/fd/6 >&4; } 5>&1 | sha256sum >&3; } 6>&1 | wc -c >&3
    )
    printf ' %s %020d\n' "$1" "$3" >&4
}
"#;

/// Bytes of a mark: 128 random bits, in hexadecimal.
const MARK_BYTES: usize = 32;
/// `\nMARK STATUS`, which the digest covers.
const STATUS_BYTES: usize = 1 + MARK_BYTES + 1 + 3;
/// With ` DIGEST LENGTH\n`.
pub(super) const TRAILER_BYTES: usize = STATUS_BYTES + 1 + 64 + 1 + 20 + 1;

/// What tells the end of a stream from data that looks like one.
#[derive(Debug, Clone)]
pub(super) struct Mark(String);

impl Mark {
    pub(super) fn new() -> Result<Self> {
        let mut bytes = [0; MARK_BYTES / 2];
        getrandom::fill(&mut bytes).map_err(|error| Error::failed(format!("no random numbers can be had: {error}")))?;
        Ok(Self(bytes.iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").ok();
            text
        })))
    }
}

/// The command line that the container runs. Holds nothing but the program and its arguments.
pub(super) fn command_line(program: &Program) -> Vec<String> {
    let head = ["sh", "-c", BOOT, "threescale-backup", WRAPPER];
    head.into_iter().map(str::to_owned).chain(program.command.iter().cloned()).collect()
}

/// What is sent first.
pub(super) fn greeting(mark: &Mark, program: &Program) -> Result<Vec<u8>> {
    let mut text = format!("{}\n", mark.0).into_bytes();
    for (name, value) in &program.environment {
        let is_name = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
            && name.chars().all(|other| other.is_ascii_alphanumeric() || other == '_');
        let value = value.expose_secret().as_bytes();
        if !is_name || value.contains(&0) {
            return Err(Error::failed(format!("{name:?} cannot be an environment variable")));
        }
        text.extend_from_slice(format!("env {name} {}\n", value.len()).as_bytes());
        text.extend_from_slice(value);
    }
    text.extend_from_slice(b"go\n");
    Ok(text)
}

/// The head of a frame of input.
pub(super) fn frame_head(length: usize) -> String {
    format!("{length}\n")
}

/// What is sent when the input is whole.
pub(super) fn end_of_input(digest: &str) -> String {
    format!("0\n{digest}\n")
}

/// The digest of no input at all.
pub(super) fn no_input() -> String {
    end_of_input(&hex_digest(Sha256::new()))
}

/// What is sent instead when the program ended before it read its input.
pub(super) const OVER: &str = "0\nover\n";
/// What is sent when the output has arrived.
pub(super) const BYE: &str = "bye\n";

pub(super) fn hex_digest(digest: Sha256) -> String {
    digest.finalize().iter().fold(String::with_capacity(64), |mut text, byte| {
        write!(text, "{byte:02x}").ok();
        text
    })
}

/// Takes a stream apart into data and the trailer at its end, and compares.
pub(super) struct Trailer {
    mark: Mark,
    digest: Sha256,
    length: u64,
    /// The last bytes that came, when they may be the trailer or its beginning.
    held: Vec<u8>,
}

impl Trailer {
    pub(super) fn new(mark: Mark) -> Self {
        Self { mark, digest: Sha256::new(), length: 0, held: Vec::new() }
    }

    /// Takes what came, and gives what is data for certain: all but what may be the beginning of the trailer. So a line is not held back until the next.
    pub(super) fn take(&mut self, bytes: Bytes) -> Bytes {
        let mut all = if self.held.is_empty() { bytes } else { [self.held.as_slice(), &bytes].concat().into() };
        let from = all.len().saturating_sub(TRAILER_BYTES);
        let begin = (from..all.len()).find(|begin| all.get(*begin..).is_some_and(|rest| self.may_begin(rest))).unwrap_or(all.len());
        let data = all.split_to(begin);
        self.held = all.to_vec();
        self.digest.update(&data);
        self.length += data.len() as u64;
        data
    }

    fn may_begin(&self, rest: &[u8]) -> bool {
        let Some((b'\n', rest)) = rest.split_first() else { return false };
        let compared = rest.len().min(MARK_BYTES);
        rest.get(..compared) == self.mark.0.as_bytes().get(..compared)
    }

    /// How many bytes of data came so far.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// The program's exit status, when the trailer is there; an error when it tells of other bytes than came.
    pub(super) fn status(&self) -> Option<Result<i32, String>> {
        if self.held.len() < TRAILER_BYTES || self.held.last() != Some(&b'\n') {
            return None;
        }
        let text = std::str::from_utf8(&self.held).ok()?;
        let rest = text.strip_prefix('\n')?.strip_prefix(&self.mark.0)?.strip_prefix(' ')?;
        let mut fields = rest.split_whitespace();
        let (status, digest, length) = (fields.next()?.parse().ok()?, fields.next()?, fields.next()?.parse::<u64>().ok()?);
        let mut own = self.digest.clone();
        own.update(self.held.get(..STATUS_BYTES)?);
        let came = self.length + STATUS_BYTES as u64;
        Some(if length != came {
            Err(format!("the source sent {} bytes, {} came", length.saturating_sub(STATUS_BYTES as u64), self.length))
        } else if hex_digest(own) != digest {
            Err(format!("the {} bytes that came are not those that the source sent", self.length))
        } else {
            Ok(status)
        })
    }
}

#[cfg(test)]
mod tests;
