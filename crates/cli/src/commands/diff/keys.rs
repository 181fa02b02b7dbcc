//! Keys of Redis by their class. They are counted and not named: credentials are parts of the names of some.

use plan::Result;
use plan::ids::DataSetName;
use plan::manifest::KeptDataSet;
use threescale::keys::{Keys, Store};

use super::deep::{Group, Sets};
use super::records::Side;

/// What nobody knows.
const UNKNOWN: &str = "unknown";

pub(super) fn compared(sets: &Sets<'_>, name: DataSetName, from: &KeptDataSet, to: &KeptDataSet) -> Result<Vec<Group>> {
    let read = |kept: &KeptDataSet| -> Result<_> {
        let (mut side, snapshot) = (Side::new(), sets.snapshot(kept)?);
        for label in redis_data_set::labels_of(&kept.evidence) {
            let keys = Store::of(name, label).map(|store| Keys::of(store, redis_data_set::namespace_of(&kept.evidence)));
            redis_data_set::read_digests(snapshot.clone(), kept, label, &sets.context.stop, &mut |key, digest| {
                let class = keys.as_ref().and_then(|keys| keys.know(key)).map_or(UNKNOWN, |known| known.kind.class.as_str());
                side.push(format!("{label}/{class}").as_bytes(), key, &digest.to_be_bytes())
            })?;
        }
        Ok(side)
    };
    sets.groups((read(from)?, read(to)?), "keys", &|_, _| None, &mut |_, _, _, _| Ok(true))
}
