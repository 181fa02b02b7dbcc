//! One change as a record that sorts by its key.

use plan::ports::KeyChange;
use plan::{Error, Result};

use crate::verify::atom::{put, take};
use crate::verify::{Kind, Merge};

/// What becomes of a key. In this order it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// It is as System wants it, whoever else wants it otherwise.
    Agrees = 0,
    /// It has a value that is left there, if nobody wants another.
    Stays = 1,
    Remove = 2,
    Take = 3,
    Set = 4,
    Add = 5,
    /// The hash of a token.
    Token = 6,
}

const ALL: [What; 7] = [What::Agrees, What::Stays, What::Remove, What::Take, What::Set, What::Add, What::Token];

/// The difference for which a change is made. Only where one repairs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Why {
    pub(crate) kind: Kind,
    /// What may be shown of whom it is about.
    pub(crate) about: Vec<u8>,
}

/// A change that should be made.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Should {
    pub(crate) key: Vec<u8>,
    pub(crate) what: What,
    /// The value, or the member.
    pub(crate) value: Vec<u8>,
    /// Whether the key has another value.
    pub(crate) is_other: bool,
    pub(crate) why: Option<Why>,
}

impl Should {
    pub(crate) fn record(&self) -> Vec<u8> {
        let mut record = Vec::with_capacity(self.key.len() + self.value.len() + 8);
        put(&mut record, &self.key);
        record.push(self.what as u8);
        record.push(u8::from(self.is_other));
        put(&mut record, &self.value);
        if let Some(Why { kind, about }) = &self.why {
            record.push(*kind as u8);
            record.extend_from_slice(about);
        }
        record
    }

    pub(super) fn next(sorted: &mut Merge) -> Result<Option<Self>> {
        let Some(record) = sorted.next_record()? else { return Ok(None) };
        Self::of(&record).map(Some).ok_or_else(|| Error::failed("what was sorted cannot be read back"))
    }

    pub(crate) fn of(mut rest: &[u8]) -> Option<Self> {
        let key = take(&mut rest)?;
        let (head, mut rest) = rest.split_first_chunk::<2>()?;
        let value = take(&mut rest)?;
        let why = match rest.split_first() {
            Some((kind, about)) => Some(Why { kind: Kind::at(*kind)?, about: about.to_vec() }),
            None => None,
        };
        Some(Self { key, what: *ALL.get(usize::from(head[0]))?, value, is_other: head[1] == 1, why })
    }

    /// `None`: nothing is done by it.
    pub(super) fn change(&self) -> Option<KeyChange> {
        let (key, value) = (self.key.clone(), self.value.clone());
        match self.what {
            What::Agrees | What::Stays => None,
            What::Remove => Some(KeyChange::Remove { key }),
            What::Take => Some(KeyChange::Take { key, member: value }),
            What::Set => Some(KeyChange::Set { key, value }),
            What::Add => Some(KeyChange::Add { key, member: value }),
            What::Token => Some(KeyChange::SetField { key, field: b"permissions".to_vec(), value: Vec::new() }),
        }
    }
}
