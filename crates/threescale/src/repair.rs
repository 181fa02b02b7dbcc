//! What sets right the differences that [`crate::verify`] tells: the changes of [`crate::rewrite`], each with the difference for which it is made. One pass gives both, so that
//! nothing is changed that is not told, and what is told and not changed is known too.

mod because;

use std::collections::BTreeMap;

use plan::ports::KeyChange;
use plan::{Error, Result};

use crate::census::printable;
use crate::rewrite::should::{Should, What, Why};
use crate::rewrite::walk::Walk;
use crate::rewrite::{Changes, Counts, Made, Nature};
use crate::verify::atom::{Read, Topic, put, take};
use crate::verify::{Atoms, Backend, Judge, Kind, Known, Look, Merge, Only, Rank, Report, Room, Sorter, facts};
use because::{Because, record};

/// The set of services whose counters are to be erased.
const PENDING: &[u8] = b"set_with_services_marked_for_deletion";

/// What one look at both sides found, and what would set it right.
pub struct Repairs<'r> {
    look: Look<'r>,
    changes: Sorter<'r>,
    any: bool,
}

/// All changes of one key, in the order in which they are made.
pub struct KeyWork {
    /// The key. It may hold a credential.
    pub key: Vec<u8>,
    /// What may be shown of whom it is about.
    pub about: String,
    /// The changes.
    pub changes: Vec<KeyChange>,
}

/// Changes that are to be made, by key.
pub struct Agreed {
    sorted: Merge,
    next: Option<Change>,
    /// How many there are, by the difference for which they are made.
    pub counts: BTreeMap<Kind, Counts>,
}

/// Works out what would set right the differences of this rank and of worse ones. `atoms`, `known` and `backend` as they are said with [`crate::verify::Veil::none`]; what `room`
/// gives holds credentials: it must be sealed. `files`: as in [`crate::verify::compare`].
///
/// # Errors
/// When what was sorted cannot be read back, or there is no room.
pub fn repairs<'r>(
    atoms: Atoms<'_>,
    (known, backend): (&Known, &Backend<'_>),
    files: bool,
    rank: Rank,
    (room, held_max_bytes): (Room<'r>, usize),
) -> Result<Repairs<'r>> {
    let pending: Vec<&[u8]> = backend.pending().iter().map(Vec::as_slice).filter(|service| atoms.tells(service, b"")).collect();
    let only = atoms.narrowed().cloned();
    let mut judge = Judge::new(known, files, Look::by_fact(room, held_max_bytes).only(&atoms));
    let (mut walk, mut by_fact) = (Walk::new(known), Sorter::new(room, held_max_bytes));
    facts::each(atoms, &mut |fact, both| {
        judge.judge(fact, both)?;
        walk.fact(fact, both, &mut |should| match narrowed(only.as_ref(), fact, should) {
            Some(should) => by_fact.push(&record(fact, &should)),
            None => Ok(()),
        })
    })?;
    let mut look = judge.end(backend)?;
    let mut by_key = Sorter::new(room, held_max_bytes);
    let kinds = look.take_by_fact().ok_or_else(|| Error::failed("what was found is not known by what it is about"))?;
    let mut because = Because::of(kinds.sorted()?)?;
    let mut all = by_fact.sorted()?;
    while let Some(change) = all.next_record()? {
        by_key.push(&because.tell(&change)?.record())?;
    }
    let mut repairs = Repairs { look, changes: Sorter::new(room, held_max_bytes), any: false };
    let (mut changes, mut beside) = (Changes::of(by_key)?, Vec::new());
    while let Some(made) = changes.next_made()? {
        match Change::of(made) {
            Some(change) if change.is_beside() => beside.push(change),
            Some(change) => repairs.add(&change, rank)?,
            None => {}
        }
    }
    for service in pending {
        let change = KeyChange::Take { key: PENDING.to_vec(), member: service.to_vec() };
        let about = format!("service {}, mark for deletion", printable(service));
        repairs.add(&Change { change, nature: Nature::Removed, kind: Kind::MarkedForDeletion, about: about.into_bytes() }, rank)?;
    }
    // No difference by itself.
    if repairs.any {
        beside.iter().try_for_each(|change| repairs.add(change, rank))?;
    }
    Ok(repairs)
}

/// What becomes of a change where some things alone are set right. Whoever else has a user key that one of them gets is seen, and stays as he is.
fn narrowed(only: Option<&Only>, fact: &Read, should: Should) -> Option<Should> {
    if only.is_none_or(|only| fact.topic == Topic::InProviders || only.tells(&fact.service, &fact.application)) {
        return Some(should);
    }
    match should.what {
        What::Agrees => Some(should),
        What::Stays | What::Remove | What::Set if fact.topic == Topic::UserKey => Some(Should { what: What::Stays, ..should }),
        _ => None,
    }
}

impl Repairs<'_> {
    fn add(&mut self, change: &Change, rank: Rank) -> Result<()> {
        if change.kind.rank() > rank {
            return Ok(());
        }
        self.any = true;
        self.changes.push(&change.record())
    }

    /// Whether there is anything to look at again.
    #[must_use]
    pub const fn found_any(&self) -> bool {
        self.any || self.look.found_any()
    }

    /// How much would be changed, by the difference for which it is.
    ///
    /// # Errors
    /// When what was sorted cannot be read back.
    pub fn counted(self) -> Result<BTreeMap<Kind, Counts>> {
        let (mut changes, mut counts) = (Agreed::of(self.changes)?, BTreeMap::<Kind, Counts>::new());
        while let Some(change) = changes.take()? {
            counts.entry(change.kind).or_default().add(change.nature);
        }
        Ok(counts)
    }

    /// All differences that this look found. `limit`: so many of each kind are named.
    ///
    /// # Errors
    /// When what was sorted cannot be read back.
    pub fn report(self, limit: usize) -> Result<Report> {
        self.look.report(limit)
    }

    /// What a later look found as well: differences, and changes that are the same both times.
    ///
    /// # Errors
    /// When what was sorted cannot be read back, or there is no room.
    pub fn still_in(self, later: Self, limit: usize, (room, held_max_bytes): (Room<'_>, usize)) -> Result<(Report, Agreed)> {
        let agreed = Agreed::of(self.changes)?.still_in(later.changes, (room, held_max_bytes))?;
        Ok((self.look.still_in(later.look, limit)?, agreed))
    }
}

impl Agreed {
    fn of(changes: Sorter<'_>) -> Result<Self> {
        let mut agreed = Self { sorted: changes.sorted()?, next: None, counts: BTreeMap::new() };
        agreed.next = agreed.read()?;
        Ok(agreed)
    }

    fn read(&mut self) -> Result<Option<Change>> {
        let Some(record) = self.sorted.next_record()? else { return Ok(None) };
        Change::read(&record).map(Some).ok_or_else(|| Error::failed("what was sorted cannot be read back"))
    }

    fn take(&mut self) -> Result<Option<Change>> {
        let next = self.read()?;
        Ok(std::mem::replace(&mut self.next, next))
    }

    /// Those that a later look wants as well.
    ///
    /// # Errors
    /// As [`Repairs::still_in`].
    pub fn and(self, later: Repairs<'_>, (room, held_max_bytes): (Room<'_>, usize)) -> Result<Self> {
        self.still_in(later.changes, (room, held_max_bytes))
    }

    fn still_in(mut self, later: Sorter<'_>, (room, held_max_bytes): (Room<'_>, usize)) -> Result<Self> {
        let (mut later, mut both) = (Self::of(later)?, Sorter::new(room, held_max_bytes));
        let mut counts: BTreeMap<Kind, Counts> = BTreeMap::new();
        let (mut one, mut other) = (self.take()?, later.take()?);
        while let (Some(was), Some(is)) = (&one, &other) {
            match was.head().cmp(&is.head()) {
                std::cmp::Ordering::Less => one = self.take()?,
                std::cmp::Ordering::Greater => other = later.take()?,
                std::cmp::Ordering::Equal => {
                    counts.entry(is.kind).or_default().add(is.nature);
                    both.push(&is.record())?;
                    (one, other) = (self.take()?, later.take()?);
                }
            }
        }
        Ok(Self { counts, ..Self::of(both)? })
    }

    /// The next key with all its changes. They are as many as the members of one set at most.
    ///
    /// # Errors
    /// When what was sorted cannot be read back.
    pub fn next_key(&mut self) -> Result<Option<KeyWork>> {
        let Some(first) = self.take()? else { return Ok(None) };
        let key = first.change.key().to_vec();
        let mut work = KeyWork { about: printable(&first.about), changes: vec![first.change], key };
        while self.next.as_ref().is_some_and(|next| next.change.key() == work.key) {
            work.changes.extend(self.take()?.map(|more| more.change));
        }
        Ok(Some(work))
    }
}

/// A change with the difference for which it is made.
struct Change {
    change: KeyChange,
    nature: Nature,
    kind: Kind,
    about: Vec<u8>,
}

impl Change {
    fn of(Made { change, nature, why }: Made) -> Option<Self> {
        why.map(|Why { kind, about }| Self { change, nature, kind, about })
    }

    /// Whether it is made only beside others: that a provider's key is in the list of all is compared by nobody.
    fn is_beside(&self) -> bool {
        self.change.key() == b"provider_keys_set"
    }

    /// What is equal in two looks that want the same.
    fn head(&self) -> Vec<u8> {
        let mut record = Vec::new();
        put(&mut record, self.change.key());
        // What goes before what comes.
        let (what, one, other): (u8, &[u8], &[u8]) = match &self.change {
            KeyChange::Remove { .. } => (0, b"", b""),
            KeyChange::Take { member, .. } => (1, member, b""),
            KeyChange::Set { value, .. } => (2, value, b""),
            KeyChange::Add { member, .. } => (3, member, b""),
            KeyChange::SetField { field, value, .. } => (4, field, value),
        };
        record.push(what);
        put(&mut record, one);
        put(&mut record, other);
        record
    }

    fn record(&self) -> Vec<u8> {
        let mut record = self.head();
        record.push(self.nature as u8);
        record.push(self.kind as u8);
        record.extend_from_slice(&self.about);
        record
    }

    fn read(mut rest: &[u8]) -> Option<Self> {
        let key = take(&mut rest)?;
        let (what, mut rest) = rest.split_first()?;
        let (one, other) = (take(&mut rest)?, take(&mut rest)?);
        let ([nature, kind], about) = rest.split_first_chunk::<2>()?;
        let change = match what {
            0 => KeyChange::Remove { key },
            1 => KeyChange::Take { key, member: one },
            2 => KeyChange::Set { key, value: one },
            3 => KeyChange::Add { key, member: one },
            _ => KeyChange::SetField { key, field: one, value: other },
        };
        let nature = *[Nature::Written, Nature::Changed, Nature::Removed].get(usize::from(*nature))?;
        Some(Self { change, nature, kind: Kind::at(*kind)?, about: about.to_vec() })
    }
}

/// What may be shown of whom a change is about: never a key or a token.
fn about(service: &[u8], application: &[u8], topic: Topic) -> Vec<u8> {
    let named = |what: &[u8], name: &[u8]| if name.is_empty() { Vec::new() } else { [what, name, b", "].concat() };
    [named(b"service ", service), named(b"application ", application), crate::verify::topic_name(topic).to_vec()].concat()
}
