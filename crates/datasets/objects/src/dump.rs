//! A dump: every object is one small part, `objects/<group or core>/<Kind>/<name>.json`, then `proof-key`.

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use plan::evidence::Evidence;
use plan::ids::DataSetName;
use plan::ports::{Context, Dump, Event, Objects, Part, Snapshot, Verb, Verdict};
use plan::{Error, Result};

use crate::collect::{Collected, collect};
use crate::digest::SecretKey;
use crate::object::Object;
use crate::survive;

/// The part that holds the key of the evidence. After `objects` in the order of bytes.
const PROOF_KEY: &str = "proof-key";

/// A dump in progress. What there is was read before it began: objects are small.
pub(crate) struct ObjectsDump {
    context: Context,
    data_set: DataSetName,
    rest: std::vec::IntoIter<Object>,
    proof_key: Option<String>,
    verdict: Verdict,
}

impl ObjectsDump {
    pub(crate) fn start(context: &Context, data_set: DataSetName, objects: &Arc<dyn Objects>) -> Result<Self> {
        let collected = collect(context, &**objects)?;
        let consistent_at = Timestamp::now();
        if collected.objects.is_empty() {
            return Err(Error::refused(format!("namespace {} has no object of a 3scale installation", objects.namespace()))
                .hint("Name the namespace of the installation with --namespace, or leave the objects out with --objects none."));
        }
        let key = SecretKey::random()?;
        let mut evidence = tally(&key, &collected.objects);
        survive::write_facts(&mut evidence, objects.namespace(), &collected)?;
        warn(&mut evidence, &collected);
        Ok(Self {
            context: context.clone(),
            data_set,
            rest: collected.objects.into_iter(),
            proof_key: Some(key.to_text()),
            verdict: Verdict { evidence, consistent_at, problems: Vec::new() },
        })
    }
}

impl Dump for ObjectsDump {
    fn next_part(&mut self) -> Result<Option<Part>> {
        self.context.stop.check()?;
        let part = match self.rest.next() {
            Some(object) => Part::bytes(object.path(), object.canonical()),
            None => match self.proof_key.take() {
                Some(key) => return Ok(Some(Part::bytes(PROOF_KEY, key.into_bytes()))),
                None => return Ok(None),
            },
        };
        if let plan::ports::Content::Bytes(bytes) = &part.content {
            self.context.watch.see(Event::Advance { data_set: self.data_set, verb: Verb::Dump, bytes: bytes.len() as u64, items: 1 });
        }
        Ok(Some(part))
    }

    fn finish(self: Box<Self>) -> Result<Verdict> {
        if self.rest.len() > 0 || self.proof_key.is_some() {
            return Err(Error::failed("the dump of the objects was not read to its end"));
        }
        Ok(self.verdict)
    }
}

/// One collection for each kind.
pub(crate) fn tally(key: &SecretKey, objects: &[Object]) -> Evidence {
    let mut evidence = Evidence::default();
    for object in objects {
        evidence.collections.entry(object.key.collection()).or_default().add(&key.element(&object.canonical()));
    }
    evidence
}

/// All objects of a snapshot, and the key of its evidence.
pub(crate) fn read(context: &Context, snapshot: &dyn Snapshot) -> Result<(SecretKey, Vec<Object>)> {
    let mut objects = Vec::new();
    for entry in snapshot.entries()? {
        context.stop.check()?;
        let entry = entry?;
        if entry.is_file()
            && entry.path != Path::new(PROOF_KEY)
            && let Some(object) = Object::from_snapshot(&entry.path, &snapshot.read_all(&entry)?)?
        {
            objects.push(object);
        }
    }
    let key = snapshot.read_all(&snapshot.find(Path::new(PROOF_KEY))?)?;
    Ok((SecretKey::from_text(&String::from_utf8_lossy(&key))?, objects))
}

fn warn(evidence: &mut Evidence, collected: &Collected) {
    if !collected.has_operator {
        evidence
            .warnings
            .push("the cluster knows no custom resources of 3scale: only Secrets, ConfigMaps and Routes are in the set".to_owned());
    } else if collected.apimanagers().next().is_none() {
        evidence.warnings.push("there is no APIManager in the namespace".to_owned());
    }
    if !collected.elsewhere.is_empty() {
        evidence.warnings.push(format!(
            "custom resources refer to objects of other namespaces, which are not in the set: {}",
            collected.elsewhere.join(", ")
        ));
    }
}
