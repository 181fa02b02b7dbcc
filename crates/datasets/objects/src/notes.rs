//! What a run notes in the namespace: the staged objects, what was there before, what it left after. In Secrets, as it holds their contents.
//!
//! A sheet is a stream of bytes in chunks, `threescale-backup-<run>-<sheet>-<n>`; number 0 is its head and is written last and removed first, so a sheet is whole
//! when it has a head. Annotations of each Secret say whose it is: run, data set, installation (version 0.1.0 wrote the run alone), and what it holds.
//!
//! | heads that are there | means |
//! |---|---|
//! | none | there is nothing of the run |
//! | staged | the set waits |
//! | before, not after | the cut-over, or its undo, is half-way: the namespace is neither the old nor the new |
//! | before and after | the cut-over is done: before is the only record of what was there |
//! | after, not before | that is being dropped (settle) |

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use plan::ids::{DataSetName, RunId};
use plan::ports::{Objects, StopFlag};
use plan::{Error, InstallationId, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::kinds::secrets;
use crate::object::{OWN_ANNOTATIONS, name_of, text_at};

/// On every Secret of this program.
pub(crate) const OWN_LABEL: (&str, &str) = ("app.kubernetes.io/name", "threescale-backup");
/// A Secret holds 1 MiB at most, its request 1.5 MiB with everything in base64.
const CHUNK_BYTES: usize = 640 << 10;

/// What is noted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sheet {
    /// The objects of the set.
    Staged,
    /// What was there before the cut-over, for each object that it changes. Written before the first is changed.
    Before,
    /// What the cut-over left. Written after the last is changed: with it the cut-over is done.
    After,
}

impl Sheet {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Staged => "staged",
            Self::Before => "before",
            Self::After => "after",
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Head {
    chunks: usize,
    sha256: String,
    key: String,
    /// Of [`Sheet::Before`]: counts up with each cut-over in the namespace.
    #[serde(default)]
    order: u64,
}

/// A sheet as it was read: its key, and its lines.
pub(crate) struct Written {
    pub key: String,
    pub lines: Vec<Value>,
}

/// The notes of one run.
pub(crate) struct Notes<'a> {
    pub objects: &'a dyn Objects,
    pub run: &'a RunId,
    pub data_set: DataSetName,
    pub installation: &'a InstallationId,
}

/// Which sheets of a run are there, by their heads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Heads {
    pub staged: bool,
    pub before: bool,
    pub after: bool,
}

impl Heads {
    pub(crate) const fn is_half(self) -> bool {
        self.before && !self.after
    }

    pub(crate) fn add(&mut self, secret: &str) {
        self.staged |= secret.ends_with("-staged-0");
        self.before |= secret.ends_with("-before-0");
        self.after |= secret.ends_with("-after-0");
    }
}

impl Notes<'_> {
    /// The names of all Secrets of a run begin with this.
    pub(crate) fn prefix(run: &RunId) -> String {
        format!("threescale-backup-{}-", run.short())
    }

    fn name(&self, sheet: Sheet, number: usize) -> String {
        format!("{}{}-{number}", Self::prefix(self.run), sheet.as_str())
    }

    /// Writes a sheet anew. `key` goes with it: what its digests are keyed with.
    pub(crate) fn write(&self, stop: &StopFlag, sheet: Sheet, key: &str, lines: &[Value]) -> Result<()> {
        self.write_in_order(stop, sheet, key, lines, 0)
    }

    /// The same with its place in the order of cut-overs.
    pub(crate) fn write_in_order(&self, stop: &StopFlag, sheet: Sheet, key: &str, lines: &[Value], order: u64) -> Result<()> {
        self.remove(stop, Some(sheet))?;
        let mut body = Vec::new();
        for line in lines {
            body.extend_from_slice(line.to_string().as_bytes());
            body.push(b'\n');
        }
        let mut chunks = 0;
        for chunk in body.chunks(CHUNK_BYTES) {
            stop.check()?;
            chunks += 1;
            self.put(sheet, chunks, chunk)?;
        }
        let head = Head { chunks, sha256: hex::encode(Sha256::digest(&body)), key: key.to_owned(), order };
        self.put(sheet, 0, json!(head).to_string().as_bytes())
    }

    /// Reads a sheet; `None` when it is not there or not whole.
    pub(crate) fn read(&self, sheet: Sheet) -> Result<Option<Written>> {
        let Some(head) = self.get(&self.name(sheet, 0))? else { return Ok(None) };
        let damaged = |what: &str| Error::needs_person(format!("what the run noted in Secret {} is damaged: {what}", self.name(sheet, 0)));
        let head: Head = serde_json::from_slice(&head).map_err(|_| damaged("its head cannot be read"))?;
        let mut body = Vec::new();
        for number in 1..=head.chunks {
            let name = self.name(sheet, number);
            body.extend(self.get(&name)?.ok_or_else(|| damaged(&format!("Secret {name} is missing")))?);
        }
        if hex::encode(Sha256::digest(&body)) != head.sha256 {
            return Err(damaged("its digest does not fit"));
        }
        let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let lines = lines.map(|line| serde_json::from_slice(line).map_err(|_| damaged("it is not JSON"))).collect::<Result<_>>()?;
        Ok(Some(Written { key: head.key, lines }))
    }

    /// Whether a sheet is there and whole.
    pub(crate) fn has(&self, sheet: Sheet) -> Result<bool> {
        Ok(self.get(&self.name(sheet, 0))?.is_some())
    }

    /// Removes a sheet, or all of the run; its head first. Nothing there is fine.
    pub(crate) fn remove(&self, stop: &StopFlag, sheet: Option<Sheet>) -> Result<()> {
        let prefix = sheet.map_or_else(|| Self::prefix(self.run), |sheet| format!("{}{}-", Self::prefix(self.run), sheet.as_str()));
        let found = self.own()?.into_iter().filter(|(name, _)| name.starts_with(&prefix)).collect();
        remove_all(self.objects, stop, found)
    }

    /// Which sheets are there.
    pub(crate) fn heads(&self) -> Result<Heads> {
        let mut heads = Heads::default();
        self.own()?.iter().for_each(|(name, _)| heads.add(name));
        Ok(heads)
    }

    /// Bytes of all that the run noted.
    pub(crate) fn bytes(&self) -> Result<u64> {
        let own = self.own()?;
        let encoded = own.iter().filter_map(|(_, secret)| text_at(secret, "/data/chunk")).map(str::len);
        Ok(encoded.map(|length| length as u64 / 4 * 3).sum())
    }

    /// The Secrets of this run, and no other.
    fn own(&self) -> Result<Vec<(String, Value)>> {
        let listed = self.objects.list(&secrets())?;
        Ok(listed
            .into_iter()
            .filter(|secret| self.is_own(secret))
            .filter_map(|secret| Some((name_of(&secret)?.to_owned(), secret)))
            .collect())
    }

    fn is_own(&self, secret: &Value) -> bool {
        is_note(secret) && told(secret, "run") == Some(self.run.as_str())
    }

    fn get(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let Some(secret) = self.objects.get(&secrets(), name)? else { return Ok(None) };
        if !self.is_own(&secret) {
            return Err(self.taken(name));
        }
        let chunk = text_at(&secret, "/data/chunk").and_then(|text| STANDARD.decode(text).ok());
        chunk.map(Some).ok_or_else(|| Error::needs_person(format!("Secret {name} does not hold what the run noted there")))
    }

    fn put(&self, sheet: Sheet, number: usize, bytes: &[u8]) -> Result<()> {
        let name = &self.name(sheet, number);
        if self.objects.get(&secrets(), name)?.is_some_and(|secret| !self.is_own(&secret)) {
            return Err(self.taken(name));
        }
        let mut annotations = serde_json::Map::new();
        let mut say = |name: &str, value: &str| annotations.insert(format!("{OWN_ANNOTATIONS}{name}"), value.into());
        say("run", self.run.as_str());
        say("data-set", self.data_set.as_str());
        say("installation", &self.installation.name);
        self.installation.identity.as_deref().map(|identity| say("installation-identity", identity));
        say("role", sheet.as_str());
        let secret = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": name,
                "labels": { OWN_LABEL.0: OWN_LABEL.1 },
                "annotations": annotations,
            },
            "type": "Opaque",
            "data": { "chunk": STANDARD.encode(bytes) },
        });
        self.objects.apply(&secrets(), name, &secret, false).map(drop)
    }

    fn taken(&self, name: &str) -> Error {
        Error::failed(format!("Secret {name} in namespace {} is not of run {}", self.objects.namespace(), self.run))
            .hint("Rename or delete it: this program notes what it restores under that name.")
    }
}

/// Whether a Secret is a note of any run. The chart has Secrets with the label too.
pub(crate) fn is_note(secret: &Value) -> bool {
    let label = secret.get("metadata").and_then(|metadata| metadata.get("labels")?.get(OWN_LABEL.0)?.as_str());
    label == Some(OWN_LABEL.1)
        && told(secret, "run").is_some()
        && name_of(secret).is_some_and(|name| name.starts_with("threescale-backup-"))
}

/// What a Secret says of itself.
pub(crate) fn told<'a>(secret: &'a Value, what: &str) -> Option<&'a str> {
    secret.get("metadata")?.get("annotations")?.get(format!("{OWN_ANNOTATIONS}{what}"))?.as_str()
}

/// The place in the order of cut-overs that a head says.
pub(crate) fn order_of(head: &Value) -> Option<u64> {
    let bytes = text_at(head, "/data/chunk").and_then(|text| STANDARD.decode(text).ok())?;
    serde_json::from_slice::<Head>(&bytes).ok().map(|head| head.order)
}

/// Removes Secrets of a run: heads first, that of what was there before all others, so that what is half removed is not taken for a half cut-over.
pub(crate) fn remove_all(objects: &dyn Objects, stop: &StopFlag, mut found: Vec<(String, Value)>) -> Result<()> {
    found.sort_by_key(|(name, _)| (!name.ends_with("-before-0"), !name.ends_with("-0"), name.clone()));
    for (name, secret) in found {
        stop.check()?;
        let uid = text_at(&secret, "/metadata/uid").unwrap_or_default();
        objects.delete(&secrets(), &name, uid)?;
    }
    Ok(())
}
