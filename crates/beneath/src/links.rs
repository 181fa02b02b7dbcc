//! Files with several names: which entry is a further name of which.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use plan::ports::Meta;
use plan::{Error, Result};

/// What the table may take in memory: some million first names whose further names are still to come.
const BYTES_MAX: usize = 256 << 20;
/// What a first name takes beside its path.
const EACH_BYTES: usize = 96;

/// The first name of every file with several, until all its names were met.
#[derive(Debug)]
pub struct Links {
    first: HashMap<(u64, u64), (PathBuf, u64)>,
    bytes: usize,
    limit_bytes: usize,
}

impl Default for Links {
    fn default() -> Self {
        Self::with_limit(BYTES_MAX)
    }
}

impl Links {
    pub(crate) fn with_limit(limit_bytes: usize) -> Self {
        Self { first: HashMap::new(), bytes: 0, limit_bytes }
    }

    /// The first name, when this is a further one.
    ///
    /// # Errors
    /// When there are more first names than any real tree has: somebody made the tree to fill the memory.
    pub fn first(&mut self, path: &Path, meta: &Meta) -> Result<Option<PathBuf>> {
        let Some(identity) = meta.identity.filter(|_| meta.links > 1) else { return Ok(None) };
        let Some((first, left)) = self.first.get_mut(&identity) else {
            self.bytes += path.as_os_str().len() + EACH_BYTES;
            if self.bytes > self.limit_bytes {
                return Err(Error::needs_person(format!(
                    "{:?} is one of {} files of the snapshot whose other names did not come",
                    path.display().to_string(),
                    self.first.len()
                )));
            }
            self.first.insert(identity, (path.to_owned(), meta.links - 1));
            return Ok(None);
        };
        *left = left.saturating_sub(1);
        if *left > 0 {
            return Ok(Some(first.clone()));
        }
        let last = self.first.remove(&identity).map(|(first, _)| first);
        self.bytes -= last.as_ref().map_or(0, |first| first.as_os_str().len() + EACH_BYTES);
        Ok(last)
    }
}
