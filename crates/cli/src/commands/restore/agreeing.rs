//! Whether the stores will agree, and whether they do: told before the question where only some of them go back, and when all is done. Never an error of a restore.

use std::time::Duration;

use plan::ids::DataSetName;
use plan::journal::{Compared, Record, RunState};
use plan::manifest::Manifest;
use plan::ports::{Context, Problem, Repository, Severity};
use plan::{Class, Result};
use runner::Journal;
use threescale::verify::Only;

use crate::agreement::{self, Agreement, Side, Sides};
use crate::app::App;
use crate::config::Config;
use crate::join::Installation;

/// So many differences are named.
const NAMED: usize = 3;
/// Before live stores that differ are read again.
const PAUSE: Duration = Duration::from_secs(2);

/// Where some of what belongs together goes back and the rest stays as it is: how they differ. A set that goes back whole was compared when it was taken.
pub(super) fn before(
    app: &App,
    installation: &dyn Installation,
    context: &Context,
    (manifest, repository): (&Manifest, &dyn Repository),
    names: &[DataSetName],
) -> Result<Option<Problem>> {
    let of_set = |name| manifest.data_sets.get(&name).filter(|_| names.contains(&name)).map(|kept| Side::Set(kept, repository));
    let mixed = || Ok(agreement::sides(installation, &of_set)?.filter(Sides::are_mixed));
    let agreement = match mixed().and_then(|sides| sides.map(|sides| compared(app, &sides, context)).transpose()) {
        Ok(Some(agreement)) => agreement,
        Ok(None) => return Ok(None),
        Err(error) if error.class() == Class::Interrupted => return Err(error),
        Err(error) => {
            let text = format!("whether what goes back agrees with what stays as it is, is not known: {}", error.chain());
            return Ok(Some(Problem::new(Severity::Note, text)));
        }
    };
    let way_out = "Restore system-database, backend-redis and system-storage of one set together; or call `verify` after the restore, which names what is left and each way out.";
    let problem = |text| {
        Problem::new(Severity::Degrades, format!("what goes back and what stays as it is give stores that differ: {text}")).way_out(way_out)
    };
    Ok(agreement::differences(&agreement.report, NAMED).map(problem))
}

/// Says how the live stores agree when all is done, and notes it in the run's journal. `journal`: opened when that is known, under the locks of whoever writes to it.
/// `only`: about these products and applications.
pub(crate) fn after(
    app: &App,
    config: &Config,
    context: &Context,
    only: Option<&Only>,
    journal: impl FnOnce() -> Result<Journal>,
) -> Result<()> {
    let live = || {
        let installation = app.installation(config)?;
        let sides = match only {
            Some(only) => agreement::sides_of(installation.as_ref(), only.clone())?,
            None => agreement::sides(installation.as_ref(), &|_| None)?,
        };
        sides.map(|sides| compared(app, &sides, context)).transpose()
    };
    let agreement = match live() {
        Ok(Some(agreement)) => agreement,
        Ok(None) => return Ok(()),
        Err(error) if error.class() == Class::Interrupted => return Err(error),
        Err(error) => {
            app.output.note(&format!("whether the live stores agree is not known: {}; `verify` looks again", error.chain()));
            return Ok(());
        }
    };
    let about = if only.is_some() { " about it" } else { "" };
    app.output.note(&match agreement::differences(&agreement.report, NAMED) {
        Some(text) => format!("the live stores differ{about}: {text}; `verify` names all, and each way out"),
        None => format!("the live stores agree{about} (`verify` looks again at any time)"),
    });
    agreement.unseen.iter().filter(|unseen| unseen.is_trouble()).for_each(|unseen| app.output.note(&unseen.to_string()));
    let compared = Compared { agreement: agreement::counted(&agreement.report), first: agreement::first(&agreement.report, NAMED) };
    let noted = journal().and_then(|journal| match journal.run().state {
        RunState::Finished => journal.write(Record::Compared { compared }),
        // Somebody went on with it meanwhile.
        _ => Ok(()),
    });
    if let Err(error) = noted {
        app.output.note(&format!("how the stores agree was not noted in the run's journal: {}", error.chain()));
    }
    Ok(())
}

/// Compares live stores that go on meanwhile.
pub(super) fn compared(app: &App, sides: &Sides<'_>, context: &Context) -> Result<Agreement> {
    agreement::of_sides(sides, context, NAMED, Some(&|| app.pause(PAUSE)))
}
