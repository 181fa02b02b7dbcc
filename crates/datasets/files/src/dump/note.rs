//! What is kept beside a file in the set, so that the next dump can tell whether it is still the same: the digest of its content, and what of the system's
//! view of it nobody can put back.
//!
//! The time of change of the content can be set by anybody; that of the inode cannot, and grows with every change, of metadata too. It grows in steps, and what
//! is written through mapped memory is noticed late: so a file that was changed shortly before it was read has no note, and is read again.

use std::time::Duration;

use beneath::mtime_ns;
use jiff::Timestamp;
use rustix::fs::Stat;

/// How long a file must have been left alone before it was read: the system writes mapped memory back within 35 seconds, and clocks of servers of files differ.
pub(crate) const SETTLED: Duration = Duration::from_secs(60);

/// The first byte of a note of this form.
const FORM: u8 = 1;
const BYTES: usize = 1 + 8 + 4 + 8 + 8;
const BYTES_WITH_DIGEST: usize = BYTES + 16;

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Note {
    changed_seconds: i64,
    changed_nanoseconds: u32,
    device: u64,
    inode: u64,
    /// XXH3-128 of the content; of a large file it is not known yet when its entry is kept.
    pub(super) digest: Option<u128>,
}

impl Note {
    /// Of a file that is about to be read `now`, or was steady while it was; `None` when a change after this could go unseen.
    pub(super) fn of(stat: &Stat, now: Timestamp, settled: Duration, digest: Option<u128>) -> Option<Self> {
        let settled_ns = now.as_nanosecond() - i128::try_from(settled.as_nanos()).unwrap_or(i128::MAX);
        let note = Self::at(stat, digest)?;
        let changed_ns = i128::from(note.changed_seconds) * 1_000_000_000 + i128::from(note.changed_nanoseconds);
        (changed_ns <= settled_ns && mtime_ns(stat) <= settled_ns).then_some(note)
    }

    fn at(stat: &Stat, digest: Option<u128>) -> Option<Self> {
        let changed_nanoseconds = u32::try_from(stat.st_ctime_nsec).ok()?;
        Some(Self { changed_seconds: stat.st_ctime, changed_nanoseconds, device: stat.st_dev, inode: stat.st_ino, digest })
    }

    /// Whether it is the note of a file with this stat. Size and time of change of the content are in the entry itself.
    pub(super) fn is_of(self, stat: &Stat) -> bool {
        Self::at(stat, self.digest) == Some(self)
    }

    pub(super) const fn with_digest(self, digest: u128) -> Self {
        Self { digest: Some(digest), ..self }
    }

    pub(super) fn to_bytes(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(BYTES_WITH_DIGEST);
        bytes.push(FORM);
        bytes.extend(self.changed_seconds.to_be_bytes());
        bytes.extend(self.changed_nanoseconds.to_be_bytes());
        bytes.extend(self.device.to_be_bytes());
        bytes.extend(self.inode.to_be_bytes());
        bytes.extend(self.digest.iter().flat_map(|digest| digest.to_be_bytes()));
        bytes
    }

    /// `None`: there is none, or one of a form that is not known.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (form, bytes) = bytes.split_first()?;
        let (seconds, bytes) = bytes.split_first_chunk()?;
        let (nanoseconds, bytes) = bytes.split_first_chunk()?;
        let (device, bytes) = bytes.split_first_chunk()?;
        let (inode, bytes) = bytes.split_first_chunk()?;
        let digest = if bytes.is_empty() { None } else { Some(u128::from_be_bytes(bytes.try_into().ok()?)) };
        (*form == FORM).then_some(Self {
            changed_seconds: i64::from_be_bytes(*seconds),
            changed_nanoseconds: u32::from_be_bytes(*nanoseconds),
            device: u64::from_be_bytes(*device),
            inode: u64::from_be_bytes(*inode),
            digest,
        })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_note_is_read_as_it_was_written_and_nothing_else_is_one() {
        for digest in [None, Some(0), Some(u128::MAX - 5)] {
            let note = Note { changed_seconds: -7, changed_nanoseconds: 999_999_999, device: 3, inode: u64::MAX, digest };
            let bytes = note.to_bytes();
            assert_eq!(Note::from_bytes(&bytes), Some(note));
            for length in (0..bytes.len()).filter(|length| *length != BYTES) {
                assert_eq!(Note::from_bytes(bytes.get(..length).unwrap()), None, "{length}");
            }
            assert_eq!(Note::from_bytes(&[&[2], bytes.get(1..).unwrap()].concat()), None);
            assert_eq!(Note::from_bytes(&[&bytes[..], &[0]].concat()), None);
        }
    }
}
