//! One change at a time for an installation, from wherever: the lock of this machine or of the cluster's namespace, and the one of the system database, which every
//! machine sees that reaches it.

use std::time::Duration;

use plan::ids::DataSetName;
use plan::ports::{Context, Held};
use plan::{Class, Error, Policies, Result};
use runner::{Lock, State};

use crate::app::App;
use crate::join::Installation;

/// How often what is waited for is tried again.
const TRY_EVERY: Duration = Duration::from_secs(1);

/// Held while a command changes an installation.
pub(crate) struct Locks {
    _journals: Lock,
    _store: Option<Box<dyn Held>>,
}

/// Takes the locks, waiting when that is wished.
pub(crate) fn take(app: &App, state: &State, installation: &dyn Installation, context: &Context) -> Result<Locks> {
    waiting(app, || try_to_take(app, state, installation, context))
}

fn try_to_take(app: &App, state: &State, installation: &dyn Installation, context: &Context) -> Result<Locks> {
    let journals = state.lock(&context.installation)?;
    let system = DataSetName::SystemDatabase;
    let store = if installation.names().contains(&system) {
        match installation.data_set(system, Policies::default()).and_then(|store| store.lock(context)) {
            Ok(held) => held,
            Err(error) if error.class() == Class::Locked => return Err(error),
            // The verbs that need it say it better; others may go on without it.
            Err(error) => {
                app.output
                    .note(&format!("warning: the lock in {system} cannot be had, so other machines are not held off: {}", error.chain()));
                None
            }
        }
    } else {
        None
    };
    Ok(Locks { _journals: journals, _store: store })
}

/// Tries until it is not locked any more, when `--wait` says so.
pub(crate) fn waiting<T>(app: &App, mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    let mut is_told = false;
    loop {
        match attempt() {
            Err(error) if error.class() == Class::Locked && app.waits() => {
                if !std::mem::replace(&mut is_told, true) {
                    app.output.note(&format!("waiting: {}", error.chain()));
                }
                app.pause(TRY_EVERY)?;
            }
            Err(error) if error.class() == Class::Locked => return Err(with_wait(error)),
            other => return other,
        }
    }
}

fn with_wait(error: Error) -> Error {
    let says_so = error.hints().iter().any(|hint| hint.contains("--wait"));
    if says_so { error } else { error.hint("--wait waits until it is over.") }
}
