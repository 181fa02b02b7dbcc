//! How many elements a value has, whatever its encoding.

use plan::Result;

use super::absorb::Absorb;
use super::value::Shape;

/// Counts them while the value passes.
#[derive(Debug)]
pub(crate) struct Elements {
    shape: Shape,
    pieces: u64,
    /// Elements of a collection without order.
    pub(crate) unordered: u64,
}

impl Elements {
    pub(crate) const fn of(shape: Shape) -> Self {
        Self { shape, pieces: 0, unordered: 0 }
    }

    /// Elements of a list, a set, a sorted set or a hash; 1 for anything else.
    pub(crate) const fn count(&self) -> u64 {
        match self.shape {
            Shape::List => self.pieces,
            Shape::Set | Shape::SortedSet | Shape::Hash => self.unordered,
            Shape::String | Shape::Stream | Shape::Module => 1,
        }
    }
}

impl Absorb for Elements {
    const WANTS: bool = true;

    fn begin(&mut self, _length: u64) -> Result<()> {
        self.pieces += 1;
        Ok(())
    }

    fn bytes(&mut self, _bytes: &[u8]) {}

    fn end_element(&mut self, _expires_ms: Option<u64>) {
        self.unordered += 1;
    }
}
