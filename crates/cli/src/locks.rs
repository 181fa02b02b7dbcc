//! One change at a time for an installation, from wherever: the lock of this machine or of the cluster's namespace, and the one of the system database, which every
//! machine sees that reaches it.

use std::time::{Duration, Instant};

use plan::ids::DataSetName;
use plan::ports::{Context, DataSet, Held};
use plan::{Class, Error, Policies, Result};
use runner::{Lock, State};

use crate::app::App;
use crate::join::Installation;

/// How often what is waited for is tried again.
const TRY_EVERY: Duration = Duration::from_secs(1);

/// How long a lock in a store may outlive the run that held it: the server, or who forwards its port, notices some seconds later that a killed program is gone.
const DEAD_MAX: Duration = Duration::from_secs(10);

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
        match installation.data_set(system, Policies::default()).and_then(|store| lock_of_store(app, store.as_ref(), context)) {
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

/// Whoever holds it may be dead.
fn lock_of_store(app: &App, store: &dyn DataSet, context: &Context) -> Result<Option<Box<dyn Held>>> {
    let begin = Instant::now();
    loop {
        match store.lock(context) {
            Err(error) if error.class() == Class::Locked && begin.elapsed() < DEAD_MAX => app.pause(TRY_EVERY)?,
            other => return other,
        }
    }
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
