//! Objects that the server holds and would not take again: seen by reading alone, so that a backup and a plan can say it. Changes nothing.
//!
//! Rules for what can be known: triggers that name a column which their table lacks, views that cannot be read, events whose time has passed. What they miss is found
//! when the objects are tried beside the staged copy ([`super::try_all`]).

use std::collections::BTreeSet;

use plan::Result;
use plan::ports::{Problem, Severity};

use super::Unmade;
use crate::quote;
use crate::schema::literals::Writing;
use crate::schema::{Object, ObjectKind, Objects};
use crate::session::{Session, code};

/// Rows of a trigger, as its body names them.
const ROWS: [&str; 2] = ["NEW", "OLD"];

/// Those of a database.
///
/// # Errors
/// When the server cannot be asked.
pub(crate) fn list(session: &mut Session, database: &str, objects: &Objects) -> Result<Vec<Unmade>> {
    let mut broken = triggers(session, database, &objects.triggers)?;
    for view in &objects.views {
        // Prepared, never run: a view may call a function that writes, takes a sequence's next value, or sleeps (MySQL manual, 15.5.1).
        let select = format!("SELECT 1 FROM {}", quote::qualified(database, &view.name));
        session.set(&format!("@threescale_backup_look = {}", quote::text(&select)))?;
        let refusal = session
            .refused("look whether a view can be read", "PREPARE threescale_backup_look FROM @threescale_backup_look")?
            .filter(|refusal| !is_for_its_reader(view, refusal));
        broken.extend(refusal.map(|refusal| Unmade::new(view, refusal.to_string())));
    }
    if !objects.views.is_empty() {
        // Of the last one; there is none when that was refused.
        session.refused("forget a prepared statement", "DEALLOCATE PREPARE threescale_backup_look")?;
    }
    broken.extend(events(session, database, &objects.events)?);
    Ok(broken)
}

/// Whether a view can be made all the same: this user may not read it, or its own definer is gone.
fn is_for_its_reader(view: &Object, refusal: &mysql::MySqlError) -> bool {
    let (user, host) = view.definer.rsplit_once('@').unwrap_or((&view.definer, ""));
    let is_own = refusal.code == code::NO_SUCH_DEFINER && refusal.message.contains(&format!("'{user}'@'{host}'"));
    is_own || code::is_denied(refusal.code)
}

/// What a backup says of one: the set has it, and this server would not take it.
pub(crate) fn in_a_set(broken: &Unmade) -> Problem {
    Problem::new(Severity::Degrades, format!("{} (all else goes back)", broken.text()))
        .way_out(format!("Drop or mend the {}; its definition is in the set.", broken.object.kind.word()))
}

/// What a plan says of one that is live: a restore replaces it, and an undo could not put it back. Views come back by rename.
pub(crate) fn in_a_plan(broken: &Unmade) -> Option<Problem> {
    let text = format!("live {}: an undo could not put it back", broken.text());
    let is_view = broken.object.kind == ObjectKind::View;
    (!is_view).then(|| Problem::new(Severity::Degrades, text).way_out("Its definition would stay in the record of the run."))
}

fn triggers(session: &mut Session, database: &str, triggers: &[Object]) -> Result<Vec<Unmade>> {
    if triggers.is_empty() {
        return Ok(Vec::new());
    }
    let sql = format!(
        "SELECT t.TRIGGER_NAME, t.EVENT_OBJECT_TABLE, c.COLUMN_NAME FROM information_schema.TRIGGERS t JOIN information_schema.COLUMNS c \
         ON c.TABLE_SCHEMA = t.EVENT_OBJECT_SCHEMA AND c.TABLE_NAME = t.EVENT_OBJECT_TABLE \
         WHERE t.TRIGGER_SCHEMA = {0} AND c.TABLE_SCHEMA = {0}",
        quote::text(database)
    );
    let mut columns = BTreeSet::new();
    for record in session.rows("read the columns that triggers may name", &sql)? {
        columns.insert((record.text(0)?, record.text(2)?.to_lowercase()));
    }
    let is_there = |trigger: &Object, column: &str| columns.contains(&(trigger.name.clone(), column.to_lowercase()));
    let writing = |trigger: &Object| Writing::of(trigger.sql_mode.as_deref().unwrap_or_default());
    let missing = |trigger: &Object| named_columns(&trigger.create, writing(trigger)).into_iter().find(|column| !is_there(trigger, column));
    Ok(triggers
        .iter()
        .filter_map(|trigger| {
            missing(trigger).map(|column| Unmade::new(trigger, format!("it names column {column:?}, which its table lacks")))
        })
        .collect())
}

/// The columns that a trigger's body names as `NEW.column` and `OLD.column`, outside of texts and comments.
fn named_columns(create: &str, writing: Writing) -> Vec<String> {
    let mut columns = Vec::new();
    let mut rest = create;
    let mut before = ' ';
    while let Some(character) = rest.chars().next() {
        let step = match character {
            '`' => end_of_name(rest, character),
            '"' if writing.names_in_double_quotes => end_of_name(rest, character),
            '\'' | '"' => end_of_text(rest, character, writing.plain_backslash),
            '#' => rest.find('\n').unwrap_or(rest.len()),
            '-' if rest.starts_with("-- ") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") && !rest.starts_with("/*!") => rest.find("*/").map_or(rest.len(), |at| at + 2),
            _ if !is_of_word(before) => {
                columns.extend(column_of_row(rest, writing));
                character.len_utf8()
            }
            _ => character.len_utf8(),
        };
        before = character;
        rest = rest.get(step..).unwrap_or_default();
    }
    columns
}

/// `NEW.column` or `` NEW.`column` `` at the beginning of a text.
fn column_of_row(text: &str, writing: Writing) -> Option<String> {
    let (row, rest) = text.split_at_checked(3)?;
    if !ROWS.iter().any(|word| row.eq_ignore_ascii_case(word)) {
        return None;
    }
    let name = rest.trim_start().strip_prefix('.')?.trim_start();
    let quote = name.chars().next().filter(|first| *first == '`' || (*first == '"' && writing.names_in_double_quotes));
    if let Some(quote) = quote {
        let quoted = name.get(..end_of_name(name, quote))?;
        return Some(quoted.get(1..quoted.len().checked_sub(1)?)?.replace(&format!("{quote}{quote}"), &quote.to_string()));
    }
    let end = name.find(|character| !is_of_word(character)).unwrap_or(name.len());
    name.get(..end).filter(|name| !name.is_empty()).map(str::to_owned)
}

fn is_of_word(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '_' | '$' | '@' | '.' | '`')
}

/// Where a text in quotes ends.
fn end_of_text(text: &str, quote: char, plain_backslash: bool) -> usize {
    let mut characters = text.char_indices().skip(1);
    while let Some((at, character)) = characters.next() {
        if character == '\\' && !plain_backslash {
            characters.next();
        } else if character == quote {
            return at + 1;
        }
    }
    text.len()
}

/// Where a name in quotes ends; a doubled one begins the next piece at once, which is part of it.
fn end_of_name(text: &str, quote: char) -> usize {
    let mut end = text.len();
    let mut characters = text.char_indices().skip(1).peekable();
    while let Some((at, character)) = characters.next() {
        if character == quote {
            if characters.peek().is_some_and(|(_, next)| *next == quote) {
                characters.next();
                continue;
            }
            end = at + 1;
            break;
        }
    }
    end
}

/// Events that the server drops as soon as they are made: their last moment has passed, and they are not to be preserved.
fn events(session: &mut Session, database: &str, events: &[Object]) -> Result<Vec<Unmade>> {
    if events.is_empty() {
        return Ok(Vec::new());
    }
    // Times of an event are in its own time zone.
    let sql = format!(
        "SELECT EVENT_NAME, COALESCE(ENDS, EXECUTE_AT) FROM information_schema.EVENTS WHERE EVENT_SCHEMA = {} AND ON_COMPLETION = 'NOT PRESERVE' \
         AND COALESCE(ENDS, EXECUTE_AT) < COALESCE(CONVERT_TZ(UTC_TIMESTAMP(), '+00:00', TIME_ZONE), UTC_TIMESTAMP())",
        quote::text(database)
    );
    let mut ended = Vec::new();
    for record in session.rows("look for events that have ended", &sql)? {
        let (name, end) = (record.text(0)?, record.text(1)?);
        let event = events.iter().find(|event| event.name == name);
        ended.extend(
            event.map(|event| Unmade::new(event, format!("its last moment was {end}; the server drops such an event when it is made"))),
        );
    }
    Ok(ended)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mode_says_what_a_quote_is() {
        let body = "SET NEW.a = 'it''s NEW.no \\', NEW.\"b\"\"c\" = 'NEW.no'";
        assert_eq!(named_columns(body, Writing::of("ANSI_QUOTES,NO_BACKSLASH_ESCAPES")), ["a", "b\"c"]);
    }

    #[test]
    fn columns_of_rows_are_found_and_nothing_in_texts_and_comments() {
        let body = "CREATE TRIGGER `NEW.x` BEFORE INSERT ON t FOR EACH ROW BEGIN\n-- NEW.no\n# NEW.no\n/* OLD.no */ SET NEW.a = OLD . `b``c`, new.d=1, \
                    @x = 'NEW.no', @y = \"it\\\"s NEW.no\"; SET RENEW.no = 1, t.NEW.no = 2; END";
        assert_eq!(named_columns(body, Writing::default()), ["a", "b`c", "d"]);
        assert!(named_columns("CREATE TRIGGER t BEFORE INSERT ON t FOR EACH ROW SET @a = 'é', @b = NEW", Writing::default()).is_empty());
    }
}
