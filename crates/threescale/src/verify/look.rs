//! What one look at both sides found, and what of it is still so when they are looked at again.

use plan::{Error, Result};

use super::atom::{put, take};
use super::finding::{Finding, Kind, Report};
use super::sort::{Merge, Room, Sorter};
use super::zync::ZyncCounts;
use super::{Atoms, Only};
use crate::census::printable;

/// The differences that a look found, sorted outside of memory: there may be as many as there are keys.
pub struct Look<'a> {
    found: Sorter<'a>,
    /// The kinds of what was found, by what it is about.
    by_fact: Option<Sorter<'a>>,
    /// Of these alone what is found is told.
    only: Option<Only>,
    differences: u64,
    pub(super) services: u64,
    pub(super) applications: u64,
    pub(super) credentials: u64,
    pub(super) files: u64,
    pub(super) zync: Option<ZyncCounts>,
    pub(super) addresses: Option<u64>,
    pub(super) indices: Option<u64>,
}

/// One difference: what tells it from others, and what is shown of it.
pub(super) struct Difference<'a> {
    pub(super) kind: Kind,
    pub(super) service: &'a [u8],
    pub(super) application: &'a [u8],
    /// What of it; may be a digest.
    pub(super) item: &'a [u8],
    pub(super) detail: &'a [u8],
}

impl<'a> Look<'a> {
    /// Nothing was found yet. `room` and `held_max_bytes` as in [`Sorter::new`].
    pub fn new(room: Room<'a>, held_max_bytes: usize) -> Self {
        Self {
            found: Sorter::new(room, held_max_bytes),
            by_fact: None,
            only: None,
            differences: 0,
            services: 0,
            applications: 0,
            credentials: 0,
            files: 0,
            zync: None,
            addresses: None,
            indices: None,
        }
    }

    /// The same, where the kinds are wanted by what they are about ([`Self::take_by_fact`]).
    pub(crate) fn by_fact(room: Room<'a>, held_max_bytes: usize) -> Self {
        Self { by_fact: Some(Sorter::new(room, held_max_bytes)), ..Self::new(room, held_max_bytes) }
    }

    /// What is told is of what is looked at.
    pub(crate) fn only(self, atoms: &Atoms<'_>) -> Self {
        Self { only: atoms.narrowed().cloned(), ..self }
    }

    /// Records of service, application, topic with item, and the kind.
    pub(crate) const fn take_by_fact(&mut self) -> Option<Sorter<'a>> {
        self.by_fact.take()
    }

    pub(super) fn add(&mut self, difference: &Difference<'_>) -> Result<()> {
        if self.only.as_ref().is_some_and(|only| !only.tells(difference.service, difference.application)) {
            return Ok(());
        }
        self.differences += 1;
        let mut record = vec![difference.kind as u8];
        [difference.service, difference.application, difference.item].iter().for_each(|part| put(&mut record, part));
        record.extend_from_slice(difference.detail);
        self.found.push(&record)?;
        let Some(by_fact) = &mut self.by_fact else { return Ok(()) };
        let mut record = of_fact(difference.service, difference.application, difference.item);
        record.push(difference.kind as u8);
        by_fact.push(&record)
    }

    /// Whether there is anything to look at again.
    #[must_use]
    pub const fn found_any(&self) -> bool {
        self.differences > 0
    }

    /// All that was found. `limit`: so many of each kind are named.
    ///
    /// # Errors
    /// When what was sorted cannot be read back.
    pub fn report(self, limit: usize) -> Result<Report> {
        let mut report = self.counted();
        let mut found = self.found.sorted()?;
        while let Some(found) = next(&mut found)? {
            report.add(limit, found.kind, || found.finding());
        }
        Ok(report)
    }

    /// What a later look found as well: the same difference in the same thing, told as it is then.
    ///
    /// # Errors
    /// As [`Self::report`].
    pub fn still_in(self, later: Self, limit: usize) -> Result<Report> {
        let mut report = later.counted();
        let (mut before, mut now) = (self.found.sorted()?, later.found.sorted()?);
        let (mut one, mut other) = (next(&mut before)?, next(&mut now)?);
        while let (Some(was), Some(is)) = (&one, &other) {
            match was.key().cmp(&is.key()) {
                std::cmp::Ordering::Less => one = next(&mut before)?,
                std::cmp::Ordering::Greater => other = next(&mut now)?,
                std::cmp::Ordering::Equal => {
                    report.add(limit, is.kind, || is.finding());
                    (one, other) = (next(&mut before)?, next(&mut now)?);
                }
            }
        }
        Ok(report)
    }

    fn counted(&self) -> Report {
        let Self { services, applications, credentials, files, zync, addresses, indices, .. } = *self;
        Report { services, applications, credentials, files, zync, addresses, indices, ..Report::default() }
    }
}

/// A record that begins with what it is about.
pub(crate) fn of_fact(service: &[u8], application: &[u8], item: &[u8]) -> Vec<u8> {
    let mut record = Vec::with_capacity(service.len() + application.len() + item.len() + 8);
    [service, application, item].iter().for_each(|part| put(&mut record, part));
    record
}

/// A difference that was read back.
struct Found {
    kind: Kind,
    service: Vec<u8>,
    application: Vec<u8>,
    item: Vec<u8>,
    detail: Vec<u8>,
}

impl Found {
    fn of(record: &[u8]) -> Option<Self> {
        let (kind, mut rest) = record.split_first()?;
        let (service, application, item) = (take(&mut rest)?, take(&mut rest)?, take(&mut rest)?);
        Some(Self { kind: Kind::at(*kind)?, service, application, item, detail: rest.to_vec() })
    }

    /// In the order of the records.
    fn key(&self) -> (Kind, &[u8], &[u8], &[u8]) {
        (self.kind, &self.service, &self.application, &self.item)
    }

    fn finding(&self) -> Finding {
        let Self { service, application, detail, .. } = self;
        Finding { service: printable(service), application: printable(application), detail: printable(detail) }
    }
}

fn next(found: &mut Merge) -> Result<Option<Found>> {
    let unread = || Error::failed("what was sorted cannot be read back");
    found.next_record()?.map(|record| Found::of(&record).ok_or_else(unread)).transpose()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::io::{self, Cursor};

    use proptest::prelude::*;

    use super::super::sort::Spill;
    use super::*;

    /// What tells differences apart, and what is shown of each.
    type Told = Vec<((u8, u8, u8), u8)>;

    fn look<'a>(room: Room<'a>, told: &Told) -> Look<'a> {
        let mut look = Look::new(room, 200);
        for ((kind, service, item), detail) in told {
            let difference = Difference {
                kind: Kind::at(*kind).unwrap(),
                service: &[*service],
                application: b"",
                item: &[*item],
                detail: &[b'a' + detail],
            };
            look.add(&difference).unwrap();
        }
        look
    }

    fn shown(report: &Report) -> Vec<(Kind, String, String)> {
        let kinds = report.kinds.iter();
        let all = kinds.flat_map(|(kind, found)| found.examples.iter().map(|one| (*kind, one.service.clone(), one.detail.clone())));
        let mut all: Vec<_> = all.collect();
        all.sort();
        all
    }

    proptest! {
        #[test]
        fn what_two_looks_found_is_told_as_the_later_one_saw_it(
            before in prop::collection::btree_map((0..5_u8, b'0'..=b'9', 0..9_u8), 0..20_u8, 0..120),
            now in prop::collection::btree_map((0..5_u8, b'0'..=b'9', 0..9_u8), 0..20_u8, 0..120),
        ) {
            let room = || Ok(Box::new(Cursor::new(Vec::new())) as Box<dyn Spill>) as io::Result<_>;
            let told = |map: &std::collections::BTreeMap<_, _>| map.iter().map(|(key, detail)| (*key, *detail)).collect::<Told>();
            let report = look(&room, &told(&before)).still_in(look(&room, &told(&now)), usize::MAX).unwrap();
            let mut both = now.clone();
            both.retain(|key, _| before.contains_key(key));
            let wanted = look(&room, &told(&both)).report(usize::MAX).unwrap();
            prop_assert_eq!(shown(&report), shown(&wanted));
            prop_assert_eq!(shown(&wanted).len(), both.len());
        }
    }
}
