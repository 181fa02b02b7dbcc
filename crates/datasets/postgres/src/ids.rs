//! No id is given twice: restored sequences go on where those that they replace do.
//!
//! Beside, that is done in the staged database before the swap; in place, when the set is loaded. What the restored ones went on at stands in the mark of the previous
//! data, so that an undo carries back what was counted on since; what nobody counted on is again exactly as it was.

use std::collections::BTreeMap;

use plan::ids::{DataSetName, RunId};
use plan::next_ids::{self, NextId, Raise, Raises};
use plan::ports::{Context, Event};
use plan::{Class, Error, Result};

use crate::session::Session;
use crate::sql::{identifier, literal, of_the_user};

/// Which sequences of a database.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Of<'a> {
    /// Those that are live there.
    Live,
    /// Those that a run moved aside, by the names that they had.
    Before(&'a RunId),
}

/// A sequence, and what it is called in statements.
#[derive(Debug, Clone)]
pub(crate) struct Standing {
    id: NextId,
    at: String,
}

/// Where sequences go on; not those that begin anew by themselves, nor those of extensions. Those that our role may not read are named to `unread`.
///
/// # Errors
/// The server's.
pub(crate) fn standing(session: &mut Session, of: Of<'_>, unread: &mut dyn FnMut(&str)) -> Result<Vec<Standing>> {
    let (schema, is_meant) = match of {
        Of::Live => ("n.nspname::text", "@user_schemas@".to_owned()),
        Of::Before(run) => (
            "coalesce(obj_description(n.oid, 'pg_namespace')::jsonb ->> 'live', '')",
            format!("n.nspname ~ '__before_{}_[0-9]+$' AND n.nspname !~ '^kept__'", run.short()),
        ),
    };
    let query = of_the_user(&format!(
        "SELECT {schema}, n.nspname::text, c.relname::text, s.seqincrement, CASE WHEN s.seqincrement < 0 THEN s.seqmin ELSE s.seqmax END, \
           has_schema_privilege(n.oid, 'USAGE') AND has_sequence_privilege(c.oid, 'SELECT') \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_sequence s ON s.seqrelid = c.oid \
         WHERE c.relpersistence <> 't' AND NOT s.seqcycle AND {is_meant} \
           AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e') \
         ORDER BY 1, 3"
    ));
    let mut found = Vec::new();
    for row in session.rows(&query, "list the sequences")? {
        let (was, is, name, step, last): (String, String, String, i64, i64) = (row.get(0), row.get(1), row.get(2), row.get(3), row.get(4));
        let last = i128::from(last);
        if !row.get::<_, bool>(5) {
            unread(&format!("{was}.{name}"));
            continue;
        }
        let at = format!("{}.{}", identifier(&is), identifier(&name));
        let row = session.row(&format!("SELECT last_value, is_called FROM {at}"), &format!("read the sequence {was}.{name}"))?;
        let (value, called): (i64, bool) = (row.get(0), row.get(1));
        let next = i128::from(value) + if called { i128::from(step) } else { 0 };
        found.push(Standing { id: NextId { name: format!("{was}.{name}"), next, last, falls: step < 0 }, at });
    }
    Ok(found)
}

fn ids(of: &[Standing]) -> Vec<NextId> {
    of.iter().map(|one| one.id.clone()).collect()
}

/// What is raised, and how it is told.
pub(crate) struct Keeping<'a> {
    pub(crate) context: &'a Context,
    pub(crate) data_set: DataSetName,
}

impl Keeping<'_> {
    /// Where sequences go on. One that cannot be read is told.
    ///
    /// # Errors
    /// The server's.
    pub(crate) fn standing(&self, session: &mut Session, of: Of<'_>) -> Result<Vec<Standing>> {
        let mut unread = Vec::new();
        let found = standing(session, of, &mut |name| unread.push(name.to_owned()))?;
        if !unread.is_empty() {
            let text =
                format!("ids may be given again: our role may not read where {} go on (GRANT SELECT ON SEQUENCE)", unread.join(", "));
            self.see(&text, true);
        }
        Ok(found)
    }

    /// Lets restored sequences give none of the ids that those of `live` have given. Gives where they go on then.
    ///
    /// # Errors
    /// The server's.
    pub(crate) fn ahead(&self, session: &mut Session, live: &[Standing]) -> Result<BTreeMap<String, i128>> {
        let mut these = self.standing(session, Of::Live)?;
        let raises = self.raise(session, &these, &ids(live), "the live ones")?;
        raises.warnings("the live one").iter().for_each(|text| self.see(text, true));
        for raise in &raises.raises {
            these.iter_mut().filter(|one| one.id.name == raise.name).for_each(|one| one.id.next = raise.to);
        }
        Ok(next_ids::by_name(&ids(&these)))
    }

    /// Lets the previous sequences, which an undo makes live again, give none of the ids that the restored ones gave since they were noted.
    ///
    /// # Errors
    /// The server's.
    pub(crate) fn carry_back(&self, session: &mut Session, of: Of<'_>, restored: &[Standing], then: &BTreeMap<String, i128>) -> Result<()> {
        let counted_on = next_ids::counted_on(ids(restored), then);
        // Releases before 0.2.0 noted nothing.
        if counted_on.is_empty() || then.is_empty() {
            return Ok(());
        }
        let previous = self.standing(session, of)?;
        self.raise(session, &previous, &counted_on, "the restored ones").map(drop)
    }

    /// Tells that ids which were given since the cut-over may be given again.
    pub(crate) fn not_carried_back(&self, error: &Error) {
        self.see(&format!("ids that were given since the cut-over may be given again: {}", error.chain()), true);
    }

    fn raise(&self, session: &mut Session, these: &[Standing], others: &[NextId], what: &str) -> Result<Raises> {
        let mut raises = Raises::between(&ids(these), others);
        let mut done = Vec::new();
        for raise in std::mem::take(&mut raises.raises) {
            let Some(one) = these.iter().find(|one| one.id.name == raise.name) else { continue };
            // One that is used up: the last was given.
            let (value, called) = (raise.used_up.unwrap_or(raise.to), raise.used_up.is_some());
            let statement = format!("SELECT setval({}::regclass, {value}, {called})", literal(&one.at));
            match session.run(&statement, "let a sequence go on where it was") {
                Ok(()) => done.push(raise),
                Err(error) if matches!(error.class(), Class::Transient | Class::Interrupted) => return Err(error),
                Err(error) => {
                    let Raise { name, from, to, .. } = &raise;
                    self.see(&format!("{name} goes on at {from}, and not at {to}: {}. Do it by hand: {statement};", error.chain()), true);
                }
            }
        }
        raises.raises = done;
        if let Some(text) = raises.told(what) {
            self.see(&text, false);
        }
        Ok(raises)
    }

    fn see(&self, text: &str, is_warning: bool) {
        let text = format!("{}: {text}", self.data_set);
        self.context.watch.see(if is_warning { Event::Warning(&text) } else { Event::Note(&text) });
    }
}
