//! Whether the stores in the place are those that a run was made for.

use plan::journal::Run;
use plan::{Error, Result};

use crate::act::Hands;

/// Compares what tells each store from others with what it was when the run was planned. A store that cannot be told apart (Redis) is known by the run's own
/// mark in it, which its verbs check.
///
/// # Errors
/// [`plan::Class::Refused`] when a store is another one; when one cannot be asked.
pub fn check_stores(hands: &Hands, run: &Run) -> Result<()> {
    for (name, planned) in &run.plan.data_sets {
        let Some(then) = &planned.findings.identity else { continue };
        let store = hands.data_set(*name)?;
        let now = store.identity(&hands.context).map_err(|error| error.during(format!("failed to look which store {name} is")))?;
        if now.as_ref().is_some_and(|now| now != then) {
            let id = &run.plan.run;
            return Err(Error::refused(format!(
                "run {id} is of another store: its {name} was {then}, here is {}",
                now.unwrap_or_default()
            ))
            .hint(format!(
                "It was at {}. Use the configuration of the installation that the run is of; nothing was touched.",
                planned.findings.address
            ))
            .hint(format!("If that store is gone for good, `abandon {id}` ends the run.")));
        }
    }
    Ok(())
}
