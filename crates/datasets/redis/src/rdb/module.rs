//! Values of modules (`rdbLoadCheckModuleValue` in `src/rdb.c`): opaque, kept as they are.
//!
//! Most modules write the same bytes for the same value. A vector set does not: its elements and the links of its graph come in another order after
//! every load. So it is read as what it is (`modules/vector-sets/vset.c`): dimension, options, and elements without an order; links are left out.

use std::io::Read;

use plan::Result;

use super::absorb::Absorb;
use super::source::{Source, Tap};

/// Letters of a type's name, six bits each (`moduleTypeNameByID` in `src/module.c`).
const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const END: u64 = 0;
const UNSIGNED: u64 = 2;
const STRING: u64 = 5;

/// The name of a type.
pub(crate) fn type_name(id: u64) -> String {
    let letter =
        |at: u32| LETTERS.get(usize::try_from(id >> (10 + 6 * at) & 63).unwrap_or_default()).map_or('?', |letter| char::from(*letter));
    (0..9).rev().map(letter).collect()
}

/// The version of the encoding.
const fn encoding(id: u64) -> u64 {
    id & 1023
}

pub(super) fn value<R: Read, T: Tap, A: Absorb>(source: &mut Source<R, T>, absorb: &mut A) -> Result<()> {
    let id = source.length()?;
    absorb.module(id);
    absorb.number(id);
    if A::WANTS && type_name(id) == "vectorset" && encoding(id) == 0 {
        return vector_set(source, absorb);
    }
    data(source, absorb)
}

/// What a module wrote, up to its end mark.
pub(super) fn data<R: Read, T: Tap, A: Absorb>(source: &mut Source<R, T>, absorb: &mut A) -> Result<()> {
    loop {
        let opcode = source.length()?;
        absorb.number(opcode);
        match opcode {
            END => return Ok(()),
            1 | UNSIGNED => absorb.number(source.length()?),
            3 => absorb.bytes(&source.exact::<4>()?),
            4 => absorb.bytes(&source.exact::<8>()?),
            STRING => source.string(absorb)?,
            _ => return Err(source.damaged("an unknown opcode of a module")),
        }
    }
}

fn opcode<R: Read, T: Tap>(source: &mut Source<R, T>, wanted: u64) -> Result<()> {
    if source.length()? == wanted { Ok(()) } else { Err(source.damaged("a vector set of another form")) }
}

fn unsigned<R: Read, T: Tap>(source: &mut Source<R, T>) -> Result<u64> {
    opcode(source, UNSIGNED)?;
    source.length()
}

fn string<R: Read, T: Tap, A: Absorb>(source: &mut Source<R, T>, absorb: &mut A) -> Result<()> {
    opcode(source, STRING)?;
    source.string(absorb)
}

/// `VectorSetRdbSave`.
fn vector_set<R: Read, T: Tap, A: Absorb>(source: &mut Source<R, T>, absorb: &mut A) -> Result<()> {
    let (dimension, count) = (unsigned(source)?, unsigned(source)?);
    let (options, flags) = (unsigned(source)?, unsigned(source)?);
    [dimension, count, options, flags].into_iter().for_each(|number| absorb.number(number));
    if flags & 1 != 0 {
        // The matrix by which vectors were projected.
        absorb.number(unsigned(source)?);
        string(source, absorb)?;
    }
    absorb.unordered();
    for _ in 0..count {
        string(source, absorb)?;
        if flags & 2 != 0 {
            string(source, absorb)?;
        }
        string(source, absorb)?;
        // Number, level and links of the node; the last is what the vector was scaled by.
        let numbers = unsigned(source)?;
        let last = (0..numbers).try_fold(0, |_, _| unsigned(source))?;
        absorb.number(last);
        absorb.end_element(None);
    }
    opcode(source, END)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_has_its_name() {
        // "ReJSON-RL" and version 3, as in the payloads of that module.
        let id = b"ReJSON-RL".iter().fold(0, |id, letter| id << 6 | LETTERS.iter().position(|other| other == letter).unwrap_or(0) as u64);
        assert_eq!((type_name(id << 10 | 3).as_str(), encoding(id << 10 | 3)), ("ReJSON-RL", 3));
    }
}
