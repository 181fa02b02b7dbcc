//! The proof: reads the staged tree back with the code of the dump. What the target cannot hold, as staging found out, is taken from the set and said.

use std::io::{self, Read};
use std::sync::Arc;

use beneath::Tree;
use plan::evidence::Evidence;
use plan::manifest::KeptDataSet;
use plan::ports::{Content, Context, Dump};
use plan::{Error, Result};

use crate::dump::{FilesDump, Reading};
use crate::from_bucket;
use crate::hook::Hook;
use crate::stage::Staged;

/// Reads everything of a tree.
pub(crate) fn read_back(context: &Context, tree: Arc<Tree>, hook: Hook) -> Result<Evidence> {
    let mut dump = FilesDump::start(context, Arc::clone(&tree), Reading::Proof, hook)?;
    let mut buffer = vec![0; 1 << 20];
    while let Some(part) = dump.next_part()? {
        if let Content::Stream { mut reader, .. } = part.content {
            loop {
                context.stop.check()?;
                match reader.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => {
                        return Err(Error::failed(format!("failed to read back {}", tree.place_of(&part.path).display())).because(error));
                    }
                }
            }
        }
    }
    Ok(dump.verdict()?.evidence)
}

/// Accounts for what staging could not set.
pub(crate) fn account(found: &mut Evidence, staged: &Staged, kept: &KeptDataSet) {
    for (name, tally) in staged.left_out.iter().filter(|(_, tally)| tally.count > 0) {
        found.collections.entry(name.clone()).or_default().merge(*tally);
    }
    let mut take = |collection: &str, warning: String| {
        if let Some(tally) = kept.evidence.collections.get(collection) {
            found.collections.insert(collection.to_owned(), *tally);
            found.warnings.push(warning);
        }
    };
    if staged.owners_unset > 0 {
        take("owners", format!("the owners of {} entries could not be set: owners are not proven", staged.owners_unset));
    }
    if !staged.holds_modes {
        take("modes", "this file system has modes of its own: modes are not proven".to_owned());
    }
    if staged.modes_unset > 0 {
        take("modes", format!("the modes of {} entries could not be set: modes are not proven", staged.modes_unset));
    }
    if !staged.holds_times {
        take("times", "this file system keeps coarser times: times are not proven".to_owned());
    }
    if staged.times_unset > 0 {
        take("times", format!("the times of {} entries could not be set: times are not proven", staged.times_unset));
    }
    if staged.with_other_xattrs > 0 {
        let text = format!("the extended attributes of {} entries could not be set: they are not proven", staged.with_other_xattrs);
        take("extended-attributes", text);
    } else if staged.xattrs_unset.count > 0 {
        found.collections.entry("extended-attributes".to_owned()).or_default().merge(staged.xattrs_unset);
        found.warnings.push(format!("{} extended attributes could not be set", staged.xattrs_unset.count));
    }
    found.warnings.extend(staged.warnings.iter().cloned());
    from_bucket::account(found, kept);
}
