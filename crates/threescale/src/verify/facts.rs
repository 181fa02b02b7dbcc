//! The facts of both sides in one order, what each side says of one thing together.

use plan::{Error, Result};

use super::Atoms;
use super::atom::{Read, Side};

/// As many files may have one name; of any other thing a side says a few values at most.
const VALUES_MAX: usize = 1000;

/// What both sides say of one thing.
#[derive(Default)]
pub(crate) struct Both {
    pub(crate) system: Vec<Vec<u8>>,
    pub(crate) backend: Vec<Vec<u8>>,
}

impl Both {
    fn take(&mut self, side: Side, value: Vec<u8>) {
        let values = if side == Side::System { &mut self.system } else { &mut self.backend };
        if values.len() < VALUES_MAX {
            values.push(value);
        }
    }

    /// What System says, where it says one thing.
    pub(crate) fn should(&self) -> Option<&[u8]> {
        self.system.first().map(Vec::as_slice)
    }

    /// Whether Backend has something else than System says.
    pub(crate) fn differs(&self) -> bool {
        self.system.first().is_some_and(|value| !self.backend.is_empty() && !self.backend.contains(value))
    }
}

/// Gives each thing with what both sides say of it; its own side and value mean nothing.
pub(crate) fn each(atoms: Atoms<'_>, give: &mut dyn FnMut(&Read, &Both) -> Result<()>) -> Result<()> {
    let mut records = atoms.sorted()?;
    let mut next = || records.next_record()?.map(|record| read(&record)).transpose();
    let mut ahead = next()?;
    while let Some(mut fact) = ahead.take() {
        let mut both = Both::default();
        both.take(fact.side, std::mem::take(&mut fact.value));
        loop {
            ahead = next()?;
            let Some(more) = &mut ahead else { break };
            if (&more.service, &more.application, more.topic, &more.item) != (&fact.service, &fact.application, fact.topic, &fact.item) {
                break;
            }
            both.take(more.side, std::mem::take(&mut more.value));
        }
        give(&fact, &both)?;
    }
    Ok(())
}

fn read(record: &[u8]) -> Result<Read> {
    Read::of(record).ok_or_else(|| Error::failed("what was sorted cannot be read back"))
}
