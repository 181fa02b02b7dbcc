//! What of runs a person has to know, for `doctor`.

use std::collections::BTreeMap;

use plan::ids::DataSetName;
use plan::ports::Findings;
use plan::{Error, Result};

use super::{Telling, look};
use crate::app::App;
use crate::config::Config;
use crate::in_the_way;
use crate::join::Installation;

/// See the module.
pub(crate) struct Standing {
    /// A line each.
    pub(crate) lines: Vec<String>,
    /// Why no set can be made now.
    pub(crate) in_the_way: Option<Error>,
}

/// Looks at them, and at what they left; the data sets have been looked at.
pub(crate) fn standing(app: &App, config: &Config, installation: &dyn Installation, found: &BTreeMap<DataSetName, Findings>) -> Standing {
    let told = || -> Result<Standing> {
        let state = app.state_to_look_at(config, Some(installation))?;
        let seen = look(app, config, Some(installation), &state)?;
        let mut telling = Telling::new();
        seen.known.iter().for_each(|known| telling.tell(&state, known, seen.hands.as_ref()));
        telling.traces(&seen.known, &seen.left, &installation.id());
        let at_writers: Vec<_> = seen.left.iter().filter(|(place, _)| place.is_none()).map(|(_, leftover)| leftover.clone()).collect();
        Ok(Standing { lines: telling.reminders, in_the_way: in_the_way::mixture(&seen.known, found, &at_writers).err() })
    };
    told().unwrap_or_else(|error| Standing { lines: vec![format!("cannot be looked at: {}", error.chain())], in_the_way: None })
}
