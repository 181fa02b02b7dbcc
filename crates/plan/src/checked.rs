//! What checks of the repository found, kept in the repository itself, so that everybody sees when it was last looked at, and how far.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::needs::parse;
use crate::ports::Repository;
use crate::{Error, Result};

/// Kind of the records. Their names sort by time.
pub const CHECKED: &str = "checked";

/// Checks that are remembered: more than it takes to read everything, one hundredth after the other.
const REMEMBERED: usize = 120;

/// A part of a repository: the packs whose ids, as numbers, begin in these hundredths of all ids. It goes on at the beginning behind the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stretch {
    /// The first hundredth: 0 to 99.
    pub begin_percent: u8,
    /// How many hundredths: 0 to 100.
    pub percent: u8,
}

impl Stretch {
    /// Behind another one.
    #[must_use]
    pub const fn behind(other: Self, percent: u8) -> Self {
        Self { begin_percent: (other.begin_percent + other.percent) % 100, percent }
    }

    /// Whether a pack is in it, by its id in hexadecimal digits: a digest, so packs are spread evenly.
    #[must_use]
    pub fn has(self, id: &str) -> bool {
        let number = id.get(..8).and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or_default();
        let hundredth = (number * 100) >> 32;
        (hundredth + 100 - u64::from(self.begin_percent)) % 100 < u64::from(self.percent)
    }

    /// Its hundredths, each a bit.
    fn bits(self) -> u128 {
        (0..self.percent).fold(0, |bits, at| bits | 1 << ((self.begin_percent + at) % 100))
    }
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// The machine that did it.
    pub host: String,
    /// The version of the program.
    pub program_version: String,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Timestamp,
    /// Packs in the repository.
    pub packs: u64,
    /// Their bytes.
    pub pack_bytes: u64,
    /// Packs whose content was read and verified.
    pub packs_read: u64,
    /// Their bytes.
    pub read_bytes: u64,
    /// Which packs were read, when not all were; none when none was, or all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stretch: Option<Stretch>,
    /// Whether nothing was found.
    pub whole: bool,
}

impl Checked {
    /// Whether the content of every pack was read.
    #[must_use]
    pub const fn read_everything(&self) -> bool {
        self.stretch.is_none() && self.packs_read == self.packs
    }
}

/// Since when every pack that there was then has been read, by one check or by several together; `checks`: oldest first.
#[must_use]
pub fn everything_read_since(checks: &[Checked]) -> Option<Timestamp> {
    const ALL: u128 = (1 << 100) - 1;
    let mut read: u128 = 0;
    checks.iter().rev().find_map(|checked| {
        read |= if checked.read_everything() { ALL } else { checked.stretch.map_or(0, Stretch::bits) };
        (read == ALL).then_some(checked.started_at)
    })
}

/// Keeps what a check found, and forgets what is older than is remembered.
///
/// # Errors
/// When the repository cannot be read or written.
pub fn keep(repository: &dyn Repository, checked: &Checked) -> Result<()> {
    let bytes = serde_json::to_vec(checked).map_err(|error| Error::failed("failed to write what a check found").because(error))?;
    repository.put_record(CHECKED, &name_of(checked), &bytes)?;
    let all = checks(repository)?;
    let read_last = all.iter().rposition(Checked::read_everything);
    let older = all.len().saturating_sub(REMEMBERED);
    let forgotten = all.iter().take(older).enumerate().filter(|(at, _)| Some(*at) != read_last);
    forgotten.map(|(_, checked)| checked).try_for_each(|checked| repository.remove_record(CHECKED, &name_of(checked)))
}

/// The checks that are remembered, oldest first.
///
/// One that cannot be understood, of a newer version, says nothing, and hides no other.
///
/// # Errors
/// When the list cannot be had.
pub fn checks(repository: &dyn Repository) -> Result<Vec<Checked>> {
    let mut checks: Vec<Checked> = repository.records(CHECKED)?.iter().filter_map(|record| parse(record, CHECKED).ok()).collect();
    checks.sort_by_key(|checked| checked.finished_at);
    Ok(checks)
}

fn name_of(checked: &Checked) -> String {
    checked.finished_at.strftime("%Y%m%dT%H%M%S.%3f").to_string()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn checked(day: u32, stretch: Option<Stretch>, packs_read: u64) -> Checked {
        let at: Timestamp = format!("2026-11-{day:02}T00:00:00Z").parse().unwrap();
        let (host, program_version) = ("h".to_owned(), "0".to_owned());
        Checked {
            host,
            program_version,
            started_at: at,
            finished_at: at,
            packs: 10,
            pack_bytes: 10,
            packs_read,
            read_bytes: 1,
            stretch,
            whole: true,
        }
    }

    #[test]
    fn stretch_after_stretch_every_pack_is_read_once() {
        let ids: Vec<_> = (0..2000u32).map(|number| format!("{:08x}00", number.wrapping_mul(2_654_435_761))).collect();
        let mut stretch = Stretch { begin_percent: 93, percent: 7 };
        let mut counts = vec![0; ids.len()];
        let mut parts = Vec::new();
        for round in 0..15 {
            // The last one is shorter: together they are a hundred.
            let percent = if round == 14 { 2 } else { 7 };
            stretch = Stretch::behind(stretch, percent);
            ids.iter().zip(&mut counts).filter(|(id, _)| stretch.has(id)).for_each(|(_, count)| *count += 1);
            parts.push(checked(round + 1, Some(stretch), 1));
        }
        assert!(counts.iter().all(|count| *count == 1), "{counts:?}");
        assert_eq!(everything_read_since(&parts), Some(parts[0].started_at));
        assert_eq!(everything_read_since(&parts[1..]), None);
        // More of the same, and checks that read nothing, say nothing new; a whole one does.
        parts.push(checked(20, Some(stretch), 1));
        parts.push(checked(21, None, 0));
        assert_eq!(everything_read_since(&parts), Some(parts[0].started_at));
        parts.push(checked(22, None, 10));
        parts.push(checked(23, None, 0));
        assert_eq!(everything_read_since(&parts), Some(parts[parts.len() - 2].started_at));
    }
}
