//! Positions of sequences. They are outside of every snapshot: `nextval` is seen at once, so that `pg_dump` reads a position that lies between what was
//! seen before it began and what was seen after it ended. A proof holds the staged position against that range; when nobody wrote, it is one value.

use std::collections::BTreeMap;

use plan::evidence::{Evidence, Tally};
use plan::{Error, Result};

use crate::session::Session;
use crate::sql::{identifier, of_the_user};

/// The fact of the evidence in which the ranges are.
const FACT: &str = "sequences";

/// The next value that a sequence would give, by the collection's name.
pub(crate) type Positions = BTreeMap<String, i64>;

/// Reads where every sequence stands.
///
/// `unseen` stands for that of an unlogged one on a standby, where it cannot be read (of a table of its kind, which is kept empty): it may stand anywhere.
///
/// # Errors
/// The server's.
pub(crate) fn positions(session: &mut Session, unseen: i64) -> Result<Positions> {
    let query = of_the_user(
        "SELECT n.nspname::text, c.relname::text, s.seqincrement, c.relpersistence = 'u' AND pg_is_in_recovery() FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         JOIN pg_sequence s ON s.seqrelid = c.oid \
         WHERE c.relpersistence <> 't' AND @user_schemas@ \
           AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e') \
         ORDER BY 1, 2",
    );
    let list = session.rows(&query, "list the sequences")?;
    let mut positions = Positions::new();
    for sequence in list {
        let (schema, name, increment): (String, String, i64) = (sequence.get(0), sequence.get(1), sequence.get(2));
        if sequence.get(3) {
            positions.insert(format!("sequence {schema}.{name}"), unseen);
            continue;
        }
        let query = format!("SELECT last_value, is_called FROM {}.{}", identifier(&schema), identifier(&name));
        let row = session.row(&query, &format!("read the sequence {schema}.{name}"))?;
        let (last, called): (i64, bool) = (row.get(0), row.get(1));
        // What counts is what comes next; "3, not called" and "2, called" are the same to every reader of the sequence.
        positions.insert(format!("sequence {schema}.{name}"), if called { last.saturating_add(increment) } else { last });
    }
    Ok(positions)
}

/// Writes ranges and one collection for each sequence into the evidence of a dump.
///
/// # Errors
/// Never in practice: when the ranges cannot be written as JSON.
pub(crate) fn record(evidence: &mut Evidence, before: &Positions, after: &Positions) -> Result<()> {
    let ranges: BTreeMap<&String, (i64, i64)> =
        before.iter().map(|(name, first)| (name, (*first, *after.get(name).unwrap_or(first)))).collect();
    for name in ranges.keys() {
        evidence.collections.insert((*name).clone(), expected(name));
    }
    let text = serde_json::to_string(&ranges).map_err(|error| Error::failed("failed to write the sequences' positions").because(error))?;
    evidence.facts.insert(FACT.to_owned(), text);
    Ok(())
}

/// Adds what a proof found: the expected tally for each sequence within its range, another one and a warning for each that is not. `raised` are those that go on
/// further ahead than the set has it, so that no id is given twice, and where: they have the tally of the set, too.
///
/// # Errors
/// [`plan::Class::NeedsPerson`] when the set's ranges cannot be read.
pub(crate) fn compare(kept: &Evidence, found: &Positions, raised: &Positions, evidence: &mut Evidence) -> Result<()> {
    let text = kept.facts.get(FACT).map_or("{}", String::as_str);
    let ranges: BTreeMap<String, (i64, i64)> = serde_json::from_str(text)
        .map_err(|error| Error::needs_person("the set's positions of sequences are unreadable").because(error))?;
    for (name, position) in found {
        let range = ranges.get(name).map(|(one, other)| (*one.min(other), *one.max(other)));
        let tally = match range {
            Some((low, high)) if (low..=high).contains(position) || raised.get(name) == Some(position) => expected(name),
            _ => {
                evidence.warnings.push(match range {
                    Some((low, high)) => format!("{name} stands at {position}, the set has {low} to {high}"),
                    None => format!("{name} is not in the set"),
                });
                let mut tally = Tally::default();
                tally.add(format!("{name} {position}").as_bytes());
                tally
            }
        };
        evidence.collections.insert(name.clone(), tally);
    }
    Ok(())
}

fn expected(name: &str) -> Tally {
    let mut tally = Tally::default();
    tally.add(name.as_bytes());
    tally
}
