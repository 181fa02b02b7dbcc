//! What runs left beside the live database and in it, whoever began them; and its removal. Never touches live data.

use plan::ports::{Holds, Leftover};
use plan::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::beside::{self, Beside};
use crate::cut_over::{drop_within, uncover};
use crate::discard;
use crate::local_infile;
use crate::mark;
use crate::objects::Unmade;
use crate::place::{self, Room, Side};
use crate::quote;
use crate::record::{Document, Record, State, TABLE, drop_schema};
use crate::schema::read;
use crate::session::{Session, Talk};
use crate::store::MysqlStore;

/// What a leftover's handle holds: what was found, to compare with what is there when it is removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Handle {
    /// A run's schemas.
    Schemas(Box<Beside>),
    /// The mark of a load in place, as it stood there.
    Mark(String),
}

/// All of them.
pub(crate) fn list(store: &MysqlStore) -> Result<Vec<Leftover>> {
    let live = &store.address.database;
    let mut session = store.session(Talk::Text, None)?;
    let mut found = Vec::new();
    for run in beside::list(&mut session, live)? {
        let schemas: Vec<&str> = [&run.stage, &run.before].into_iter().flatten().map(String::as_str).collect();
        let holds = holds(&mut session, live, &run)?;
        let note = match holds {
            Holds::Staged => "a staged copy",
            Holds::Previous => "what was live before a cut-over",
            Holds::Mark if keeps_definitions(&mut session, live, &run)? => "definitions of objects that an undo could not put back",
            Holds::Mark | Holds::Nothing => "a record without data",
            Holds::Unknown if run.is_half_way() => "a swap that is half done",
            Holds::Unknown => "no readable record says what it is",
        };
        found.push(Leftover {
            what: format!("{}: {note}", places(live, &run)),
            run: run.run(),
            installation: run.mark.as_ref().map(|mark| mark.installation.clone()),
            holds,
            bytes: Some(discard::bytes(&mut session, &schemas, live, &run.short)?),
            handle: handle(&Handle::Schemas(Box::new(run)))?,
        });
    }
    if let Some(mark) = mark::find(&mut session, live)? {
        found.push(Leftover {
            what: format!("table {live}.{}: the mark of a load in place that has not ended", mark::TABLE),
            run: mark.mark.as_ref().map_or_else(|| "unknown".to_owned(), |mark| mark.run.to_string()),
            installation: mark.mark.map(|mark| mark.installation),
            holds: Holds::Mark,
            bytes: None,
            handle: handle(&Handle::Mark(mark.text))?,
        });
    }
    Ok(found)
}

fn handle(handle: &Handle) -> Result<serde_json::Value> {
    serde_json::to_value(handle).map_err(|error| Error::failed("failed to write what was found").because(error))
}

/// `schema system__before_… and 3 tables and views of database system`.
fn places(live: &str, run: &Beside) -> String {
    let schemas: Vec<&str> = [&run.stage, &run.before].into_iter().flatten().map(String::as_str).collect();
    let schemas = (!schemas.is_empty()).then(|| format!("schema {}", schemas.join(" and ")));
    let within = run.within.first().map(|first| format!("{first} and the like in database {live} ({})", run.within.len()));
    [schemas, within].into_iter().flatten().collect::<Vec<_>>().join(" and ")
}

fn keeps_definitions(session: &mut Session, live: &str, run: &Beside) -> Result<bool> {
    let Some(record) = run.record(live).filter(|_| run.state.is_some()) else { return Ok(false) };
    Ok(record.read::<Vec<Unmade>>(session, Document::NotPutBack)?.is_some_and(|all| !all.is_empty()))
}

fn holds(session: &mut Session, live: &str, run: &Beside) -> Result<Holds> {
    Ok(match run.state {
        Some(State::Done) => Holds::Previous,
        Some(State::Saved | State::Swapped | State::Undoing) => Holds::Unknown,
        Some(State::Staging | State::Staged | State::Undone) if run.has_staged(live) => Holds::Staged,
        Some(State::Staging | State::Staged | State::Undone) => Holds::Mark,
        None if is_empty(session, run)? => Holds::Mark,
        None => Holds::Unknown,
    })
}

/// Whether what has no record holds nothing: it was just made, or is all but dropped.
fn is_empty(session: &mut Session, run: &Beside) -> Result<bool> {
    for schema in [&run.stage, &run.before].into_iter().flatten() {
        if read::table_names(session, schema)?.iter().any(|name| name != TABLE) {
            return Ok(false);
        }
    }
    Ok(run.within.iter().all(|name| *name == place::record_within(&run.short)))
}

/// Removes one.
///
/// # Errors
/// [`plan::Class::NeedsPerson`] when it is not what it was, or nobody can say what it is.
pub(crate) fn remove(store: &MysqlStore, leftover: &Leftover) -> Result<()> {
    let handle: Handle = serde_json::from_value(leftover.handle.clone())
        .map_err(|error| Error::refused(format!("{} is not a leftover of a MySQL database", leftover.what)).because(error))?;
    let live = &store.address.database;
    let mut session = store.session(Talk::Text, None)?;
    session.set(&format!("SESSION lock_wait_timeout = {0}, innodb_lock_wait_timeout = {0}", store.options.lock_wait_seconds))?;
    session.set("SESSION foreign_key_checks = 0")?;
    match handle {
        Handle::Mark(text) => match mark::find(&mut session, live)? {
            None => Ok(()),
            Some(found) if found.text == text => mark::drop_table(&mut session, live),
            Some(_) => Err(changed(leftover)),
        },
        Handle::Schemas(then) => match beside::list(&mut session, live)?.into_iter().find(|now| now.short == then.short) {
            None => Ok(()),
            Some(now) if now == *then => remove_schemas(&mut session, live, &now, leftover),
            Some(_) => Err(changed(leftover)),
        },
    }
}

fn changed(leftover: &Leftover) -> Error {
    Error::needs_person(format!("{} is not what it was when it was found: nothing was removed", leftover.what))
        .hint("Somebody works on it. Look again.")
}

fn remove_schemas(session: &mut Session, live: &str, run: &Beside, leftover: &Leftover) -> Result<()> {
    match holds(session, live, run)? {
        Holds::Unknown if run.is_half_way() => {
            return Err(Error::needs_person(format!("{} may hold what the live database lacks: nothing was removed", leftover.what))
                .hint(format!("`resume {0}` or `undo {0}` with the run's journal ends the swap.", run.run())));
        }
        Holds::Unknown => {
            let drops: Vec<String> =
                [&run.stage, &run.before].into_iter().flatten().map(|name| format!("DROP DATABASE {};", quote::name(name))).collect();
            return Err(Error::needs_person(format!("nobody can say what is in {}: nothing was removed", places(live, run)))
                .hint(format!("Look into it. When it is not needed: {}", drops.join(" "))));
        }
        Holds::Staged | Holds::Previous | Holds::Mark | Holds::Nothing => {}
    }
    if let (Some(record), Some(state)) = (run.record(live), run.state) {
        local_infile::put_back(session, &record)?;
        if let (Some(mark), true) = (&run.mark, state != State::Done) {
            uncover(session, live, &record, &mark.run)?;
        }
    }
    for side in [Side::Stage, Side::Before] {
        drop_within(session, &Room::within(live, side, &run.short))?;
    }
    // The record goes last, so that a crash leaves it with what is left.
    [&run.stage, &run.before].into_iter().flatten().try_for_each(|name| drop_schema(session, name))?;
    Record::within(live, &run.short).drop_with_schema(session)
}
