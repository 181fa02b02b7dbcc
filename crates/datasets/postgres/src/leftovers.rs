//! What runs left on the server beside the live database and in it, whoever began them; and its removal. Never touches live data.

use plan::ports::{Holds, Leftover, MarkRole};
use plan::{Class, Error, Result};
use serde::{Deserialize, Serialize};

use crate::address::Address;
use crate::aside::{self, Aside, What};
use crate::blockers;
use crate::mark::{self, InPlace, Tag};
use crate::place::{Role, role_of};
use crate::session::Session;
use crate::sql::literal;
use crate::superuser;

/// What a leftover's handle holds: what was found, to compare with what is there when it is removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Handle {
    /// A side database.
    Database(Found),
    /// The mark on a database that became live where there was none.
    Tag(Found),
    /// The mark of a load in place, as it stood there.
    InPlace(String),
    /// What a load in place moved aside, by its mark as it stood there.
    Aside(String),
    /// A role that the superuser of the server's pod lent, and its mark as it stood there.
    Role { name: String, text: String },
}

/// A database of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Found {
    name: String,
    oid: u32,
    comment: Option<String>,
}

/// All of them.
///
/// # Errors
/// The server's.
pub(crate) fn list(address: &Address) -> Result<Vec<Leftover>> {
    let live = &address.database;
    let mut found = Vec::new();
    let mut session = match Session::open_maintenance(address) {
        Err(error) if error.class() == Class::Refused => Session::open(address)?,
        opened => opened?,
    };
    for database in databases(&mut session)? {
        let tag = database.comment.as_deref().and_then(Tag::read);
        // Long names are cut: a database beside another one of the same beginning.
        if tag.as_ref().is_some_and(|tag| tag.live != *live) {
            continue;
        }
        let (holds, run, what) = match (&tag, role_of(live, &database.name)) {
            (Some(tag), _) if database.name == *live => {
                (Holds::Mark, tag.threescale_backup.run.to_string(), "the mark on the live database")
            }
            (Some(tag), _) => {
                let (holds, what) = match tag.threescale_backup.role {
                    MarkRole::Staged => (Holds::Staged, "a staged copy"),
                    MarkRole::Previous => (Holds::Previous, "what was live before a cut-over"),
                    MarkRole::InPlace => (Holds::Unknown, "its mark does not fit"),
                };
                (holds, tag.threescale_backup.run.to_string(), what)
            }
            // Without a mark: of release 0.1.0, or just made.
            (None, Some((Role::Stage, short))) => (Holds::Staged, short.to_owned(), "a staged copy, by its name"),
            (None, Some((Role::Before, short))) => (Holds::Previous, short.to_owned(), "what was live before a cut-over, by its name"),
            (None, None) => continue,
        };
        let bytes = if holds == Holds::Mark { None } else { size(&mut session, database.oid)? };
        let what = format!("database {}: {what}", database.name);
        let of = if holds == Holds::Mark { Handle::Tag(database) } else { Handle::Database(database) };
        found.push(Leftover {
            what,
            run,
            installation: tag.map(|tag| tag.threescale_backup.installation),
            holds,
            bytes,
            handle: handle(&of)?,
        });
    }
    for lent in superuser::lent(&mut session, live)? {
        found.push(Leftover {
            what: format!("role {}, which may be the superuser of the server's pod: it can log in until {} UTC", lent.role, lent.until),
            run: lent.run,
            installation: Some(lent.installation),
            holds: Holds::Mark,
            bytes: None,
            handle: handle(&Handle::Role { name: lent.role, text: lent.text })?,
        });
    }
    let (mark_in_place, moved_aside) = within(address)?;
    for Aside { what, text, tag } in moved_aside {
        let (holds, words) = match what {
            What::Before => (Holds::Previous, "what was live before a restore in place"),
            What::Stage => (Holds::Staged, "what a restore in place loaded, before it was undone"),
        };
        found.push(Leftover {
            what: format!("schemas aside in database {live}: {words}"),
            run: tag.threescale_backup.run.to_string(),
            installation: Some(tag.threescale_backup.installation),
            holds,
            bytes: None,
            handle: handle(&Handle::Aside(text))?,
        });
    }
    if let Some(in_place) = mark_in_place {
        found.push(Leftover {
            what: format!("schema {} in database {live}: the mark of a load in place that has not ended", mark::SCHEMA),
            run: in_place.run(),
            installation: in_place.mark.map(|mark| mark.installation),
            holds: Holds::Mark,
            bytes: None,
            handle: handle(&Handle::InPlace(in_place.text))?,
        });
    }
    Ok(found)
}

fn handle(handle: &Handle) -> Result<serde_json::Value> {
    serde_json::to_value(handle).map_err(|error| Error::failed("failed to write what was found").because(error))
}

fn databases(session: &mut Session) -> Result<Vec<Found>> {
    let query =
        "SELECT datname::text, oid, shobj_description(oid, 'pg_database') FROM pg_database WHERE NOT datistemplate ORDER BY datname";
    let rows = session.rows(query, "list the databases")?;
    Ok(rows.iter().map(|row| Found { name: row.get(0), oid: row.get(1), comment: row.get(2) }).collect())
}

fn size(session: &mut Session, oid: u32) -> Result<Option<u64>> {
    let query = format!("SELECT CASE WHEN has_database_privilege({oid}::oid, 'CONNECT') THEN pg_database_size({oid}::oid) END");
    let bytes: Option<i64> = session.row(&query, "ask for a database's size")?.get(0);
    Ok(bytes.and_then(|bytes| u64::try_from(bytes).ok()))
}

/// None also when the live database is not there or takes no sessions: then nothing can be seen in it.
fn within(address: &Address) -> Result<(Option<InPlace>, Vec<Aside>)> {
    match Session::open(address) {
        Ok(mut session) => Ok((InPlace::find(&mut session)?, aside::all(&mut session)?)),
        Err(error) if error.class() == Class::Transient => Err(error),
        Err(_) => Ok((None, Vec::new())),
    }
}

/// Removes one.
///
/// # Errors
/// [`Class::NeedsPerson`] when it is not what it was, nobody can say what it is, or it may be the only copy.
pub(crate) fn remove(address: &Address, leftover: &Leftover) -> Result<()> {
    let live = &address.database;
    let handle: Handle = serde_json::from_value(leftover.handle.clone())
        .map_err(|error| Error::refused(format!("{} is not a leftover of a PostgreSQL database", leftover.what)).because(error))?;
    let then = match handle {
        Handle::InPlace(text) => {
            let mut session = Session::open(address)?;
            return match InPlace::find(&mut session)? {
                None => Ok(()),
                Some(found) if found.text == text => mark::drop_schema(&mut session),
                Some(_) => Err(changed(leftover)),
            };
        }
        Handle::Aside(text) => {
            let mut session = Session::open(address)?;
            let all = aside::all(&mut session)?;
            return match all.into_iter().find(|aside| aside.text == text) {
                // Gone, or marked anew.
                None => Ok(()),
                Some(Aside { what, tag, .. }) => {
                    session.run(&format!("BEGIN; {} COMMIT", aside::drop(what, &tag.threescale_backup.run)), "drop what is aside")
                }
            };
        }
        Handle::Role { name, text } => {
            let mut session = Session::open_maintenance(address)?;
            let is_same = |lent: &superuser::Lent| lent.role == name && lent.text == text;
            // Gone, or another's: what is wanted.
            return match superuser::lent(&mut session, live)?.iter().find(|lent| is_same(lent)) {
                None => Ok(()),
                Some(lent) => superuser::take_back(&mut session, &lent.role),
            };
        }
        Handle::Database(found) | Handle::Tag(found) => found,
    };
    let mut session = Session::open_maintenance(address)?;
    let all = databases(&mut session)?;
    match all.iter().find(|now| now.name == then.name) {
        None => return Ok(()),
        Some(now) if *now == then => {}
        Some(_) => return Err(changed(leftover)),
    }
    if then.name == address.database {
        let own = mark::own_comment(then.comment);
        return session.run(&mark::comment_on(&then.name, own.as_deref()), "remove the mark on the live database");
    }
    if leftover.holds == Holds::Unknown {
        return Err(Error::needs_person(format!("nobody can say what is in {}: nothing was removed", leftover.what)));
    }
    if !all.iter().any(|now| now.name == address.database) {
        return Err(Error::needs_person(format!("{:?} is not there: {:?} may be the only copy", address.database, then.name))
            .hint(format!("Nothing was removed. ALTER DATABASE … RENAME TO {} makes it live.", literal(&address.database))));
    }
    blockers::drop_database(&mut session, &then.name)
}

fn changed(leftover: &Leftover) -> Error {
    Error::needs_person(format!("{} is not what it was when it was found: nothing was removed", leftover.what))
        .hint("Somebody works on it. Look again.")
}
