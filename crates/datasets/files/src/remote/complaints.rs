//! What `tar` said while it read a tree: files that changed, shrank or vanished, as the local walk reports them.

use std::collections::HashSet;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use xxhash_rust::xxh3::xxh3_64;

use crate::notices::Notices;

/// What a platform keeps of a program's words, at most; when it is that much, there may have been more.
const SAID_BYTES: usize = 64 << 10;
/// Folders whose paths are remembered, as digests.
const FOLDERS: usize = 1 << 20;

/// Folders that passed. `tar` says of them too that they changed, when an entry was made or removed in them; that is no damage to any file.
#[derive(Default)]
pub(super) struct Folders(HashSet<u64>);

impl Folders {
    pub(super) fn add(&mut self, path: &[u8]) {
        if self.0.len() < FOLDERS {
            self.0.insert(xxh3_64(path));
        }
    }

    fn has(&self, path: &[u8]) -> bool {
        path.is_empty() || self.0.contains(&xxh3_64(path))
    }
}

/// Reports what was said. `status` is 0 or 1: all else is an error of its own.
pub(super) fn report(said: &str, status: i32, folders: &Folders, notices: &mut Notices) {
    let mut understood = false;
    for line in said.lines() {
        let Some(line) = line.strip_prefix("tar: ").map(str::trim).filter(|line| !line.is_empty()) else { continue };
        let Some((kind, name, text)) = meaning(line) else {
            if !line.starts_with("Exiting with") {
                notices.say("said", || format!("tar said: {line}"));
                understood = true;
            }
            continue;
        };
        understood = true;
        let path = unescape(name);
        if !(kind == "changed-while-read" && folders.has(&path)) {
            notices.about(kind, &PathBuf::from(OsString::from_vec(path)), text);
        }
    }
    if said.len() + 512 > SAID_BYTES {
        notices.say("said", || "tar said more than is kept: more files than these changed or vanished while they were read".to_owned());
    } else if status != 0 && !understood {
        notices.say("said", || "tar said that something changed while it was read, but not what".to_owned());
    }
}

/// The kind of notice, the name, and what happened.
fn meaning(line: &str) -> Option<(&'static str, &str, &'static str)> {
    if let Some(name) = line.strip_suffix(": file changed as we read it") {
        return Some(("changed-while-read", name, "changed while it was read; may hold parts of both contents"));
    }
    if let Some(name) = line.strip_suffix(": File removed before we read it") {
        return Some(("vanished", name, "vanished before it was read; left out"));
    }
    if let Some(name) = line.strip_suffix(": socket ignored") {
        return Some(("sockets", name, "a socket; tar leaves it out"));
    }
    if line.ends_with("padding with zeros")
        && let Some((name, _)) = line.rsplit_once(": File shrank by ")
    {
        return Some(("changed-while-read", name, "became shorter while it was read; the rest is filled with zeros"));
    }
    let unreadable = ["Cannot open: ", "Cannot read: ", "Cannot stat: ", "Read error at byte "];
    let (name, _) = unreadable
        .iter()
        .find_map(|verb| line.rsplit_once(&format!(": Warning: {verb}")).or_else(|| line.rsplit_once(&format!(": {verb}"))))?;
    Some(("unreadable", name, "could not be read; left out"))
}

/// Takes the escapes of `--quoting-style=escape` back, and the `./` of every path.
fn unescape(name: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        let Some((second, after)) = after.split_first().filter(|_| *first == b'\\') else {
            bytes.push(*first);
            continue;
        };
        let octal = rest.get(..3).and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        rest = after;
        bytes.push(match second {
            b'a' => 7,
            b'b' => 8,
            b't' => b'\t',
            b'n' => b'\n',
            b'v' => 11,
            b'f' => 12,
            b'r' => b'\r',
            b'0'..=b'7' => {
                rest = rest.get(2..).unwrap_or_default();
                octal.unwrap_or(b'?')
            }
            other => *other,
        });
    }
    if bytes == b"." { Vec::new() } else { bytes.strip_prefix(b"./").map(<[u8]>::to_vec).unwrap_or(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tar_says_is_reported_as_the_walk_does() {
        let said = "tar: ./a\\n\\\\\\303\\244: file changed as we read it\ntar: ./d: file changed as we read it\n\
            tar: ./b: File shrank by 5 bytes; padding with zeros\ntar: ./c c: File removed before we read it\n\
            tar: .: file changed as we read it\ntar: something new\n";
        let (mut folders, mut notices) = (Folders::default(), Notices::default());
        folders.add(b"d");
        report(said, 1, &folders, &mut notices);
        let counts: Vec<_> = notices.counts().collect();
        assert_eq!(counts, [("changed-while-read", 2), ("said", 1), ("vanished", 1)]);
        assert!(notices.lines().first().is_some_and(|line| line.contains("a\\n\\\\ä")), "{:?}", notices.lines());
    }

    #[test]
    fn a_status_that_nobody_explains_is_reported() {
        let mut notices = Notices::default();
        report("", 1, &Folders::default(), &mut notices);
        assert_eq!(notices.counts().count(), 1);
    }
}
