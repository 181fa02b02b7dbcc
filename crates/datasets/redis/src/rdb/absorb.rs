//! Who is told what a value holds, whatever its encoding.

use plan::Result;

/// Is told the pieces of a value in canonical form.
pub(crate) trait Absorb {
    /// Whether it wants to know: when not, packed nodes are skipped unread.
    const WANTS: bool;

    /// A string of that many bytes follows by [`Absorb::bytes`].
    fn begin(&mut self, length: u64) -> Result<()>;

    /// Bytes of the string.
    fn bytes(&mut self, bytes: &[u8]);

    /// A whole string.
    fn piece(&mut self, bytes: &[u8]) -> Result<()> {
        self.begin(bytes.len() as u64)?;
        self.bytes(bytes);
        Ok(())
    }

    /// A number: the bits of a score, a counter, an id.
    fn number(&mut self, number: u64) {
        self.bytes(&number.to_le_bytes());
    }

    /// The score of the member before. Zero has no sign here: packed nodes do not keep it.
    fn score(&mut self, score: f64) {
        self.number(if score == 0.0 { 0 } else { score.to_bits() });
    }

    /// An element of an unordered collection ends here; `expires_ms` is the absolute expiry of a hash field.
    fn end_element(&mut self, expires_ms: Option<u64>) {
        let _unused = expires_ms;
    }

    /// The value is one of a module; `id` holds its type's name and the version of its encoding.
    fn module(&mut self, id: u64) {
        let _unused = id;
    }

    /// What follows are elements whose order means nothing.
    fn unordered(&mut self) {}
}

/// Wants nothing.
impl Absorb for () {
    const WANTS: bool = false;

    fn begin(&mut self, _length: u64) -> Result<()> {
        Ok(())
    }

    fn bytes(&mut self, _bytes: &[u8]) {}
}
