//! Takes the elements of a value as they pass, some at a time.

use plan::Result;

use crate::rdb::absorb::Absorb;

/// Elements that are given on together, and their bytes.
const ELEMENTS: usize = 500;
const BYTES: usize = 1 << 20;
/// Of an element no more than this is held; a longer one is told as such.
const ELEMENT_MAX_BYTES: usize = 1 << 20;

/// A string, an entry of a list, a member of a set.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Element {
    pub(super) text: Vec<u8>,
    /// Of a sorted set.
    pub(super) score: f64,
    /// The text is cut.
    pub(super) is_cut: bool,
}

/// See the module. Elements are given on when the next begins, and at the end by [`Gather::end`].
pub(super) struct Gather<'a> {
    some: Vec<Element>,
    bytes: usize,
    each: &'a mut dyn FnMut(Vec<Element>) -> Result<()>,
}

impl<'a> Gather<'a> {
    pub(super) fn new(each: &'a mut dyn FnMut(Vec<Element>) -> Result<()>) -> Self {
        Self { some: Vec::new(), bytes: 0, each }
    }

    pub(super) fn end(self) -> Result<()> {
        if self.some.is_empty() { Ok(()) } else { (self.each)(self.some) }
    }
}

impl Absorb for Gather<'_> {
    const WANTS: bool = true;

    fn begin(&mut self, length: u64) -> Result<()> {
        if self.some.len() >= ELEMENTS || self.bytes >= BYTES {
            self.bytes = 0;
            (self.each)(std::mem::take(&mut self.some))?;
        }
        self.some.push(Element { is_cut: length > ELEMENT_MAX_BYTES as u64, ..Element::default() });
        Ok(())
    }

    fn bytes(&mut self, bytes: &[u8]) {
        if let Some(element) = self.some.last_mut() {
            let room = ELEMENT_MAX_BYTES.saturating_sub(element.text.len());
            let bytes = bytes.get(..bytes.len().min(room)).unwrap_or_default();
            element.text.extend_from_slice(bytes);
            self.bytes += bytes.len();
        }
    }

    fn number(&mut self, number: u64) {
        if let Some(element) = self.some.last_mut() {
            element.score = f64::from_bits(number);
        }
    }
}
