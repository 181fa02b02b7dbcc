//! Data sets that share a server share its memory and its empty databases: each fits alone, and all together may not.

use std::collections::BTreeMap;

use plan::Result;
use plan::ids::DataSetName;
use plan::manifest::KeptDataSet;
use plan::ports::{Context, DataSet, Problem, Road, Severity, Share};

/// The road of a data set, and why where it is not the best one.
type Way = (Road, Option<Problem>);

/// What the data sets that were planned so far take.
#[derive(Default)]
pub(super) struct Together(BTreeMap<String, (u64, Vec<DataSetName>)>);

impl Together {
    /// The next data set: its road, in place where there is no room beside for it and the others, and what blocks it where that is no way either.
    pub(super) fn with(&mut self, store: &dyn DataSet, context: &Context, kept: &KeptDataSet, way: Way) -> Result<Way> {
        let (road, why) = way;
        let shares = store.shares(context, kept, road)?;
        let Some(text) = self.lacking(store.name(), &shares) else {
            self.take(store.name(), shares);
            return Ok((road, why));
        };
        if road == Road::SideCopy {
            let shares = store.shares(context, kept, Road::InPlace)?;
            let is_blocked = store.fits(context, kept, Road::InPlace)?.iter().any(|problem| problem.severity == Severity::Blocks);
            if !is_blocked && self.lacking(store.name(), &shares).is_none() {
                self.take(store.name(), shares);
                let text = format!("{text}, so it goes back in place, with the writers stopped");
                return Ok((Road::InPlace, Some(Problem::new(Severity::Degrades, text))));
            }
        }
        let way_out = "Make room there, or restore them one after the other: --only, then `settle`.";
        Ok((road, Some(Problem::new(Severity::Blocks, text).way_out(way_out))))
    }

    fn take(&mut self, name: DataSetName, shares: Vec<Share>) {
        for share in shares {
            let (taken, by) = self.0.entry(share.of).or_default();
            *taken = taken.saturating_add(share.takes);
            by.push(name);
        }
    }

    /// What all together need and is not there. That which a data set alone lacks is told by itself.
    fn lacking(&self, name: DataSetName, shares: &[Share]) -> Option<String> {
        shares.iter().filter(|share| share.takes <= share.free).find_map(|share| {
            let (taken, by) = self.0.get(&share.of)?;
            let sum = taken.saturating_add(share.takes);
            let others: Vec<_> = by.iter().map(|other| other.as_str()).collect();
            (sum > share.free)
                .then(|| format!("{name} and {} together need {sum} {}, {} are free", others.join(", "), share.called, share.free))
        })
    }
}
