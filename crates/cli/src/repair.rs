//! What sets live stores right that disagree: works out the changes, twice, and keeps to those that were shown.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use plan::ids::DataSetName;
use plan::ports::{Context, DataSet, KeyRepair, SyncTask};
use plan::step::WantedRepairs;
use plan::{Error, Result};
use runner::{Give, Hands, Repairer};
use threescale::repair::{Agreed, KeyWork, Repairs, repairs};
use threescale::rewrite::{known_releases, knows};
use threescale::verify::{Only, Rank, Room, Veil};

use crate::agreement::{Side, Sides, gather};
use crate::sealed::room;

/// What may be in memory of each thing that is sorted.
const HELD_MAX_BYTES: usize = 16 << 20;
/// What is sorted outside of memory holds credentials: it is sealed.
pub(crate) const ROOM: (Room<'static>, usize) = (&room, HELD_MAX_BYTES);
/// Between two looks, where nobody was shown anything before.
const PAUSE: Duration = Duration::from_secs(5);

/// Looks at live stores once, and works out what would set them right.
pub(crate) fn look(sides: &Sides<'_>, context: &Context, rank: Rank) -> Result<Repairs<'static>> {
    gather(sides, context, Veil::none(), ROOM, None, |atoms, known, backend| {
        repairs(atoms, (known, backend), sides.files.is_some(), rank, ROOM)
    })
}

/// Works out what a run changes: of what was shown that which one more look wants as well; where a run goes on that was interrupted, what two looks want.
pub(crate) fn repairer(shown: Option<Agreed>) -> Repairer {
    let shown = Mutex::new(shown);
    Arc::new(move |hands, WantedRepairs { rank, products, prefixes, applications }, give| {
        let rank = Rank::ALL.into_iter().find(|known| known.as_str() == rank);
        let rank =
            rank.ok_or_else(|| Error::failed("the journal names a rank that is not known").hint("Use the version that began the run."))?;
        let shown = shown.lock().unwrap_or_else(PoisonError::into_inner).take();
        let only = products.as_ref().map(|products| Only::new(products, prefixes, applications));
        repair(hands, (rank, only), shown, give)
    })
}

fn repair(hands: &Hands, (rank, only): (Rank, Option<Only>), shown: Option<Agreed>, give: Give<'_>) -> Result<()> {
    let context = &hands.context;
    let live = |name: DataSetName| -> Result<Side<'_>> {
        let store =
            hands.data_sets.get(&name).ok_or_else(|| Error::refused(format!("{name} is in the plan and not in the configuration")))?;
        Ok(Side::Live(Arc::clone(store)))
    };
    let sides = Sides { only, ..Sides::of(live(DataSetName::SystemDatabase)?, live(DataSetName::BackendRedis)?) };
    // 3scale may have been upgraded since the plan was shown.
    if let Side::Live(system) = &sides.rows {
        refuse_unknown_schema(system.as_ref(), context)?;
    }
    let mut agreed = match shown {
        Some(shown) => shown.and(look(&sides, context, rank)?, ROOM)?,
        None => {
            let first = look(&sides, context, rank)?;
            if first.found_any() {
                wait(context, PAUSE)?;
            }
            first.still_in(look(&sides, context, rank)?, 0, ROOM)?.1
        }
    };
    while let Some(KeyWork { key, about, changes }) = agreed.next_key()? {
        give(KeyRepair { key, about, changes, was: None })?;
    }
    Ok(())
}

/// Nothing is set right by rules of another release.
///
/// # Errors
/// [`plan::Class::Refused`] when the schema is not one whose rules are known.
pub(crate) fn refuse_unknown_schema(system: &dyn DataSet, context: &Context) -> Result<()> {
    let facts = system.look(context)?.facts;
    let newest = facts.iter().find(|(name, _)| name == plan::release::SCHEMA).map(|(_, newest)| newest.as_str());
    let why = match newest {
        Some(newest) if knows(newest) => return Ok(()),
        Some(newest) => format!("the newest migration of the system database is {newest}"),
        None => "which release the system database is of is not known".to_owned(),
    };
    Err(Error::refused(format!("nothing is set right: {why}; this program knows the rules of {}", known_releases()))
        .hint(format!("3scale's own task writes what is missing in Backend: {}", SyncTask::BackendConfiguration.by_hand())))
}

fn wait(context: &Context, time: Duration) -> Result<()> {
    let until = Instant::now() + time;
    while Instant::now() < until {
        context.stop.check()?;
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}
