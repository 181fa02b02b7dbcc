//! One change as a record that sorts by its key.

use plan::ports::KeyChange;
use plan::{Error, Result};

use crate::verify::Merge;
use crate::verify::atom::{put, take};

/// What becomes of a key. In this order it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
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

/// A change that should be made.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Should {
    pub(super) key: Vec<u8>,
    pub(super) what: What,
    /// The value, or the member.
    pub(super) value: Vec<u8>,
    /// Whether the key has another value.
    pub(super) is_other: bool,
}

impl Should {
    pub(super) fn record(&self) -> Vec<u8> {
        let mut record = Vec::with_capacity(self.key.len() + self.value.len() + 4);
        put(&mut record, &self.key);
        record.push(self.what as u8);
        record.push(u8::from(self.is_other));
        record.extend_from_slice(&self.value);
        record
    }

    pub(super) fn next(sorted: &mut Merge) -> Result<Option<Self>> {
        let Some(record) = sorted.next_record()? else { return Ok(None) };
        Self::of(&record).map(Some).ok_or_else(|| Error::failed("what was sorted cannot be read back"))
    }

    fn of(mut rest: &[u8]) -> Option<Self> {
        let key = take(&mut rest)?;
        let (head, value) = rest.split_first_chunk::<2>()?;
        Some(Self { key, what: *ALL.get(usize::from(head[0]))?, value: value.to_vec(), is_other: head[1] == 1 })
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
