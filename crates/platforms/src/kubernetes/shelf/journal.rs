//! One journal: the text of a ConfigMap, replaced with a longer one by each append.

use std::sync::Weak;
use std::time::{SystemTime, UNIX_EPOCH};

use plan::ports::Append;
use plan::{Error, Result};
use serde_json::{Value, json};

use super::super::client::Cluster;
use super::super::error::ApiError;
use super::super::writers::workload::{MANAGER, annotation, text};
use super::lease::Lease;

/// The key of the text.
pub(super) const KEY: &str = "journal";
/// Who made the journal: tells a repeated request of our own from somebody else's journal.
const MADE_BY: &str = "threescale-backup/made-by";
/// A ConfigMap holds 1 MiB with its names; what does not fit is refused while there is still room for the record that says so.
const BYTES_MAX: usize = 900 * 1024;

/// The text of a journal's ConfigMap.
pub(super) fn content(object: &Value) -> &str {
    text(object, &format!("/data/{KEY}"))
}

/// A journal open for appending.
pub(super) struct Journal {
    cluster: Cluster,
    path: String,
    /// The version that the next write must find.
    version: String,
    content: String,
    lease: Weak<Lease>,
    /// After a failed append nobody knows what stands there.
    is_broken: bool,
}

impl Journal {
    /// Makes a journal that must not be there.
    pub(super) fn make(cluster: &Cluster, path: String, blank: &Value, lease: Weak<Lease>) -> Result<Self> {
        let mut blank = blank.clone();
        let own = nonce();
        blank["metadata"]["annotations"] = json!({MADE_BY: own});
        let all = path.rsplit_once('/').map_or(path.as_str(), |(all, _)| all).to_owned();
        let object = match cluster.post(&all, &blank) {
            Ok(object) => object,
            // Another's, or ours when the first answer was lost on its way.
            Err(error) => match cluster.get_if_there(&path)? {
                Some(object) if annotation(&object, MADE_BY) == Some(own.as_str()) => object,
                Some(_) => return Err(Error::failed("a journal of that name is there already").because(Error::from(error))),
                None => return Err(Error::from(error).during("failed to make the journal")),
            },
        };
        Ok(Self::over(cluster, path, &object, lease))
    }

    /// Opens a journal behind its first `whole_bytes` bytes and cuts off the rest.
    pub(super) fn take_up(cluster: &Cluster, path: String, whole_bytes: u64, lease: Weak<Lease>) -> Result<Self> {
        let object = cluster.get_if_there(&path)?.ok_or_else(|| Error::needs_person("the journal is gone"))?;
        let mut journal = Self::over(cluster, path, &object, lease);
        let whole = usize::try_from(whole_bytes).ok().and_then(|whole| journal.content.get(..whole).map(str::to_owned));
        let whole = whole
            .ok_or_else(|| Error::needs_person(format!("the journal is shorter than the {whole_bytes} bytes that were read of it")))?;
        if whole.len() < journal.content.len() {
            journal.write(whole)?;
        }
        Ok(journal)
    }

    fn over(cluster: &Cluster, path: String, object: &Value, lease: Weak<Lease>) -> Self {
        let version = text(object, "/metadata/resourceVersion").to_owned();
        Self { cluster: cluster.clone(), path, version, content: content(object).to_owned(), lease, is_broken: false }
    }

    /// Puts the whole text there, if nobody else wrote since.
    fn write(&mut self, whole: String) -> Result<()> {
        self.is_broken = true;
        let patch = json!({"metadata": {"resourceVersion": self.version}, "data": {KEY: whole}});
        let path = format!("{}?fieldManager={MANAGER}", self.path);
        let object = match self.cluster.merge_patch(&path, &patch) {
            Ok(object) => object,
            Err(error) => self.resolve(error, &whole)?,
        };
        text(&object, "/metadata/resourceVersion").clone_into(&mut self.version);
        self.content = whole;
        self.is_broken = false;
        Ok(())
    }

    /// After a conflict or a lost answer: what stands there says whether the write was done. It never is done again here.
    fn resolve(&self, error: ApiError, whole: &str) -> Result<Value> {
        let is_conflict = error.is_conflict();
        if !is_conflict && error.status().is_some_and(|status| status < 500) {
            return Err(Error::from(error).during("failed to write the journal; nothing more is done"));
        }
        match self.cluster.get(&self.path) {
            Ok(object) if content(&object) == whole => Ok(object),
            Ok(_) if is_conflict => Err(Error::needs_person("somebody else wrote to the journal of this run; nothing more is done")
                .hint("Two programs must never carry out the same run. See that only one is there, then `resume`.")),
            _ => Err(Error::from(error).during("failed to write the journal; nothing more is done")),
        }
    }
}

impl Append for Journal {
    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        if self.is_broken {
            return Err(Error::failed("an earlier record of this journal may not be on stable storage; nothing more is done")
                .hint("`resume` reads what is there."));
        }
        if let Some(lease) = self.lease.upgrade() {
            lease.confirm()?;
        }
        let line = std::str::from_utf8(bytes).map_err(|error| Error::failed("a journal in a ConfigMap is text").because(error))?;
        if self.content.len() + line.len() > BYTES_MAX {
            return Err(Error::failed(format!("the journal would pass {} KiB, which is all that a ConfigMap holds", BYTES_MAX / 1024))
                .hint("Nothing more was done. `undo` writes fewer records than `resume`; or keep journals in a folder, on a volume."));
        }
        let whole = [self.content.as_str(), line].concat();
        self.write(whole)
    }
}

/// Different each time: the pod's or machine's name, the process, the time.
pub(super) fn nonce() -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    format!("{host}/{}/{now}", std::process::id())
}
