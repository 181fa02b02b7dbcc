//! A dump of one small text: for tests that need a set in a repository, and no store.

use jiff::Timestamp;
use plan::Result;
use plan::evidence::Evidence;
use plan::ports::{Dump, Part, Verdict};

/// See the module.
pub struct OnePart(Option<String>);

impl OnePart {
    /// A dump whose only part, `part`, is this text.
    #[must_use]
    pub fn of(text: impl Into<String>) -> Self {
        Self(Some(text.into()))
    }
}

impl Dump for OnePart {
    fn next_part(&mut self) -> Result<Option<Part>> {
        Ok(self.0.take().map(|text| Part::bytes("part", text.into_bytes())))
    }

    fn finish(self: Box<Self>) -> Result<Verdict> {
        Ok(Verdict { evidence: Evidence::default(), consistent_at: Timestamp::now(), problems: Vec::new() })
    }
}
