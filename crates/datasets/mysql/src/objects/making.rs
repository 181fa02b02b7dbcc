//! Makes views, triggers, routines and events. What cannot be made stops nothing else: it is told, with the server's words, and kept with its definition.

use plan::Result;
use serde::{Deserialize, Serialize};

use super::{default_collation, drop_all, existing, set_defaults, settings};
use crate::quote;
use crate::rights;
use crate::schema::{Object, ObjectKind, Objects};
use crate::server::Kind;
use crate::session::{SQL_MODE, Session, code};

/// How the server's own form of an event's definition says that it is on.
const EVENT_IS_ON: &str = " PRESERVE ENABLE";
const EVENT_IS_OFF: &str = " PRESERVE DISABLE";

/// An object that could not be made, and why: what a person needs to make it by hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Unmade {
    /// It, with the statement that makes it.
    pub(crate) object: Object,
    /// The server's words.
    pub(crate) why: String,
    /// Its error code, where there is one.
    code: Option<u16>,
}

impl Unmade {
    /// `trigger "t" cannot be made: …`.
    pub(crate) fn text(&self) -> String {
        format!("{} {:?} cannot be made: {}", self.object.kind.word(), self.object.name, self.why)
    }

    pub(super) fn new(object: &Object, why: impl Into<String>) -> Self {
        Self { object: object.clone(), why: why.into(), code: None }
    }

    fn of(object: &Object, refusal: Refusal) -> Self {
        Self { object: object.clone(), why: refusal.why, code: refusal.code }
    }
}

/// What the server has against an object.
struct Refusal {
    why: String,
    code: Option<u16>,
}

impl From<mysql::MySqlError> for Refusal {
    fn from(error: mysql::MySqlError) -> Self {
        let why = match error.code {
            code::NO_ROUTINE_CREATION => {
                format!("{error} (SET GLOBAL log_bin_trust_function_creators = 1 on the server, or give this user SUPER)")
            }
            _ => error.to_string(),
        };
        Self { why, code: Some(error.code) }
    }
}

/// Makes the objects that are not there yet, in a session that has the database as its default, and gives the database its default collation. Returns those that
/// the server refuses; all others are there.
///
/// # Errors
/// When the server cannot be asked or a lock is not had in time: the same call may work later. Never because of one object.
pub(crate) fn make_missing(
    session: &mut Session,
    tell: &mut dyn FnMut(&str),
    kind: Kind,
    database: &str,
    objects: &Objects,
) -> Result<Vec<Unmade>> {
    let there = existing(session, database)?;
    let mut waiting: Vec<&Object> = objects.all().filter(|object| !there.contains(&(object.kind, object.name.clone()))).collect();
    let mut collation = default_collation(session, database)?;
    let mut unmade = Vec::new();
    while !waiting.is_empty() {
        let (mut refused, mut refusals) = (Vec::new(), Vec::new());
        for object in &waiting {
            match make(session, tell, kind, database, object, &mut collation)?.map(|refusal| Unmade::of(object, refusal)) {
                None => {}
                // It may need another object that is not there yet.
                Some(why) if object.kind == ObjectKind::View => {
                    refused.push(*object);
                    refusals.push(why);
                }
                Some(why) => unmade.push(why),
            }
        }
        if refused.len() == waiting.len() {
            unmade.append(&mut refusals);
            break;
        }
        waiting = refused;
    }
    set_defaults(session, database, &objects.charset, &objects.collation)?;
    let there = existing(session, database)?;
    let is_told = |object: &&Object| unmade.iter().any(|told: &Unmade| told.object == **object);
    let vanished: Vec<Unmade> = objects
        .all()
        .filter(|object| !there.contains(&(object.kind, object.name.clone())) && !is_told(object))
        .map(|object| Unmade::new(object, "the server took it and does not keep it: an event whose time has passed ends at once"))
        .collect();
    unmade.extend(vanished);
    Ok(unmade)
}

/// Makes every object in a schema that has the tables, sees which the server refuses, and drops them again. Events are made switched off. What this user may make in
/// the live schema only is not tried.
///
/// # Errors
/// As [`make_missing`].
pub(crate) fn try_all(session: &mut Session, kind: Kind, schema: &str, objects: &Objects) -> Result<Vec<Unmade>> {
    let mut inert = objects.clone();
    inert.events.iter_mut().for_each(|event| event.create = switched_off(&event.create));
    // Where a view cannot be read, MariaDB shows its columns with the name of the database.
    let (own, tried) = [objects.database.as_str(), schema].map(|name| format!("{}.", quote::name(name))).into();
    inert.views.iter_mut().for_each(|view| view.create = view.create.replace(&own, &tried));
    // Whose they will be is told when they are made.
    let mut unmade = make_missing(session, &mut |_| (), kind, schema, &inert)?;
    drop_all(session, schema)?;
    unmade.retain(|tried| tried.code.is_none_or(|code| !code::is_denied(code)));
    let original = |tried: &Unmade| objects.all().find(|object| object.kind == tried.object.kind && object.name == tried.object.name);
    Ok(unmade
        .into_iter()
        .map(|tried| original(&tried).map_or_else(|| tried.clone(), |object| Unmade { object: object.clone(), ..tried.clone() }))
        .collect())
}

/// Makes one; the server's words when it refuses. Takes back the session's own settings afterwards.
fn make(
    session: &mut Session,
    tell: &mut dyn FnMut(&str),
    kind: Kind,
    database: &str,
    object: &Object,
    collation: &mut Option<String>,
) -> Result<Option<Refusal>> {
    // Parameters and variables of routines and triggers take the database's collation when they have none of their own.
    if let Some(wanted) = &object.database_collation
        && collation.as_ref() != Some(wanted)
    {
        let sql = format!("ALTER DATABASE {} COLLATE {wanted}", quote::name(database));
        if let Some(why) = session.refusal("set the database's default collation", &sql)? {
            return Ok(Some(why.into()));
        }
        *collation = Some(wanted.clone());
    }
    if !session.set_if_possible(&format!("SESSION {}", settings(object, kind)))? {
        let why = "the server does not take the settings that it was made under".to_owned();
        return Ok(Some(Refusal { why, code: None }));
    }
    let what = format!("make {} {:?}", object.kind.word(), object.name);
    let why = match session.refusal(&what, &object.create)? {
        Some(error) if matches!(error.code, code::SPECIFIC_ACCESS_DENIED | code::NO_SUCH_DEFINER) => {
            without_definer(session, tell, kind, object, &what)?
        }
        why => why,
    };
    session.set("NAMES utf8mb4")?;
    session.set(&format!("SESSION sql_mode = '{SQL_MODE}', time_zone = '+00:00'"))?;
    Ok(why.map(Refusal::from))
}

/// Makes it for the current user, where the privilege to name another is missing.
fn without_definer(
    session: &mut Session,
    tell: &mut dyn FnMut(&str),
    kind: Kind,
    object: &Object,
    what: &str,
) -> Result<Option<mysql::MySqlError>> {
    let refused = session.refusal(what, &strip_definer(&object.create))?;
    if refused.is_none() {
        tell(&format!(
            "{} {:?} now belongs to the user of this program instead of {}: it lacks the privilege to keep definers ({})",
            object.kind.word(),
            object.name,
            object.definer,
            rights::keeping_definers(kind)
        ));
    }
    Ok(refused)
}

/// An event's definition, switched off: it must not fire while it is only tried. Its name, schedule and definer are in quotes, its body comes later.
fn switched_off(create: &str) -> String {
    let mut quote = None;
    for (at, character) in create.char_indices() {
        match quote {
            Some(open) if character == open => quote = None,
            None if matches!(character, '`' | '\'' | '"') => quote = Some(character),
            None if create.get(at..).is_some_and(|rest| rest.starts_with(EVENT_IS_ON)) => {
                let (before, after) = create.split_at(at);
                return format!("{before}{EVENT_IS_OFF}{}", after.strip_prefix(EVENT_IS_ON).unwrap_or_default());
            }
            _ => {}
        }
    }
    create.to_owned()
}

/// A statement without its `DEFINER=…`.
fn strip_definer(create: &str) -> String {
    let Some((before, after)) = create.split_once("DEFINER=") else { return create.to_owned() };
    let mut quoted = false;
    // The definer ends at the first space that is not inside of backticks.
    let end = after.find(|character| {
        quoted ^= character == '`';
        character == ' ' && !quoted
    });
    format!("{before}{}", end.and_then(|end| after.get(end + 1..)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_switched_off_by_its_own_word_only() {
        let on = "CREATE DEFINER=`a PRESERVE ENABLE`@`%` EVENT `e` ON SCHEDULE EVERY 1 DAY ON COMPLETION NOT PRESERVE ENABLE COMMENT ' PRESERVE ENABLE' DO SELECT ' PRESERVE ENABLE'";
        assert_eq!(switched_off(on), on.replacen("NOT PRESERVE ENABLE", "NOT PRESERVE DISABLE", 1));
        let off = "CREATE EVENT `e` ON SCHEDULE EVERY 1 DAY ON COMPLETION PRESERVE DISABLE DO SELECT 1";
        assert_eq!(switched_off(off), off);
    }

    #[test]
    fn the_definer_is_cut_out_and_nothing_else() {
        assert_eq!(
            strip_definer("CREATE ALGORITHM=MERGE DEFINER=`a b`@`%` SQL SECURITY DEFINER VIEW `v` AS select 'DEFINER=`x`@`y` z'"),
            "CREATE ALGORITHM=MERGE SQL SECURITY DEFINER VIEW `v` AS select 'DEFINER=`x`@`y` z'"
        );
    }
}
