//! What a bucket has.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest as _, Sha256};

use super::signature::hexadecimal;
use super::versions::Versions;

/// An object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Object {
    /// Its content.
    pub bytes: Arc<Vec<u8>>,
    /// Its ETag, without quotes.
    pub e_tag: String,
    /// When it was put; whole seconds.
    pub modified: Timestamp,
    /// Type and metadata, by names in lower case.
    pub headers: BTreeMap<String, String>,
}

/// An upload in parts.
pub(super) struct Upload {
    pub(super) key: String,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) parts: BTreeMap<u64, Arc<Vec<u8>>>,
}

/// See the module.
pub(super) struct Bucket {
    pub(super) objects: BTreeMap<String, S3Object>,
    pub(super) uploads: BTreeMap<String, Upload>,
    pub(super) page: usize,
    pub(super) largest_bytes: usize,
    pub(super) goes_round: bool,
    pub(super) says_versions: bool,
    pub(super) says_locks: bool,
    pub(super) locks_what_is_written: bool,
    pub(super) begun: u64,
    pub(super) clock: Clock,
    /// Where the bucket has object lock.
    pub(super) versions: Option<Versions>,
}

/// The service's clock.
#[derive(Default)]
pub(super) struct Clock {
    ahead: SignedDuration,
    stands_at: Option<Timestamp>,
}

impl Clock {
    /// What it shows: whole seconds.
    pub(super) fn now(&self) -> Timestamp {
        let now = self.stands_at.unwrap_or_else(Timestamp::now) + self.ahead;
        Timestamp::from_second(now.as_second()).unwrap_or_default()
    }

    pub(super) fn pass(&mut self, seconds: u32) {
        self.ahead += SignedDuration::from_secs(seconds.into());
    }

    pub(super) fn set(&mut self, at: Timestamp) {
        *self = Self { ahead: SignedDuration::ZERO, stands_at: Some(at) };
    }

    pub(super) fn stop(&mut self) {
        self.stands_at = Some(Timestamp::now());
    }
}

/// A time as HTTP has it.
pub(super) fn http_date(time: Timestamp) -> String {
    time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

impl Default for Bucket {
    fn default() -> Self {
        let (objects, uploads) = (BTreeMap::new(), BTreeMap::new());
        let largest_bytes = 5 << 30;
        Self {
            objects,
            uploads,
            page: 1000,
            largest_bytes,
            goes_round: false,
            says_versions: false,
            says_locks: false,
            locks_what_is_written: false,
            begun: 0,
            clock: Clock::default(),
            versions: None,
        }
    }
}

impl Bucket {
    /// Puts an object; gives its ETag.
    pub(super) fn put(&mut self, key: &str, bytes: Arc<Vec<u8>>, headers: BTreeMap<String, String>) -> String {
        let e_tag = e_tag(&bytes);
        self.put_as(key, bytes, headers, e_tag)
    }

    /// The same with another ETag.
    pub(super) fn put_as(&mut self, key: &str, bytes: Arc<Vec<u8>>, mut headers: BTreeMap<String, String>, e_tag: String) -> String {
        headers.entry("content-type".to_owned()).or_insert_with(|| "binary/octet-stream".to_owned());
        let modified = self.clock.now();
        let object = S3Object { bytes, e_tag: e_tag.clone(), modified, headers };
        if let Some(versions) = &mut self.versions {
            versions.add(key, Some(object.clone()));
        }
        self.objects.insert(key.to_owned(), object);
        e_tag
    }

    /// Removes an object; where versions are kept, hides it behind a mark.
    pub(super) fn remove(&mut self, key: &str) {
        if let Some(versions) = &mut self.versions {
            versions.add(key, None);
        }
        self.objects.remove(key);
    }
}

/// The ETag of some bytes: as long as Amazon's, and of another digest, which is nobody's business.
pub(super) fn e_tag(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes)).get(..32).unwrap_or_default().to_owned()
}
