//! What becomes of the keys, counted by class.

use std::collections::BTreeMap;

use plan::ports::MergedClass;
use threescale::census::printable;
use threescale::keys::Class;

/// Why a key, or a part of it, does not go.
pub(super) const EXPIRED: &str = "expired since";
pub(super) const OTHER_TYPE: &str = "of another type than 3scale's";
pub(super) const NO_NUMBER: &str = "that are no numbers";
pub(super) const NO_ID: &str = "that are no ids that anything has come to";
pub(super) const TOO_LONG: &str = "too long to be merged";
pub(super) const NEVER: &str = "of a kind that does not go back alone";
pub(super) const STAYS: &str = "whose live one stays";
pub(super) const BUSY: &str = "written to all the time: the same restore again may reach them";
pub(super) const NO_ROOM: &str = "entries for which the live list has no room";
pub(super) const TAKEN: &str = "events that System has taken, or that another has the id of";
pub(super) const NOT_KNOWN_WHICH: &str = "events of which nobody here can say whether System has taken them";

/// What becomes of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    New,
    Changed,
    Equal,
    Left(&'static str),
}

/// The counts of one logical database.
pub(super) struct Told {
    database: String,
    classes: BTreeMap<Class, MergedClass>,
    /// Bytes of memory that the change is reckoned to take, records included.
    pub(super) grows: u64,
}

/// What a key takes in memory beside its name and its value, twice: it is live, and on record.
const OVERHEAD_BYTES: u64 = 2 * 100;

impl Told {
    pub(super) fn of(database: &str) -> Self {
        Self { database: database.to_owned(), classes: BTreeMap::new(), grows: 0 }
    }

    fn class(&mut self, class: Class) -> &mut MergedClass {
        let begin = || MergedClass { class: class.as_str().to_owned(), database: self.database.clone(), ..MergedClass::default() };
        self.classes.entry(class).or_insert_with(begin)
    }

    /// A key that was asked for, with its bytes as the set has them.
    pub(super) fn key(&mut self, class: Class, key: &[u8], bytes: u64) {
        let told = self.class(class);
        told.keys += 1;
        told.bytes += bytes;
        if told.largest.as_ref().is_none_or(|(_, largest)| bytes > *largest) {
            told.largest = Some((printable(key), bytes));
        }
    }

    /// What becomes of one; `bytes` of its key and of what is added.
    pub(super) fn fate(&mut self, class: Class, fate: Fate, bytes: usize) {
        if matches!(fate, Fate::New | Fate::Changed) {
            self.grows += 2 * bytes as u64 + OVERHEAD_BYTES;
        }
        let told = self.class(class);
        match fate {
            Fate::New => told.new += 1,
            Fate::Changed => told.changed += 1,
            Fate::Equal => told.equal += 1,
            Fate::Left(why) => self.left(class, why, 1),
        }
    }

    /// Keys, members or entries that do not go.
    pub(super) fn left(&mut self, class: Class, why: &str, number: u64) {
        if number > 0 {
            *self.class(class).left.entry(why.to_owned()).or_default() += number;
        }
    }

    pub(super) fn into_classes(self) -> impl Iterator<Item = MergedClass> {
        self.classes.into_values()
    }
}
