//! Reads back what was staged: rows counted and digested by the same code as the dump, definitions as lines. Changes nothing.

use std::collections::BTreeSet;

use crossbeam_channel::bounded;
use plan::evidence::{Evidence, Tally};
use plan::manifest::KeptDataSet;
use plan::ports::{Context, Event, Road, Verb};
use plan::{Error, Result};

use crate::chunk::{self, Chunk};
use crate::limits;
use crate::objects::Unmade;
use crate::place::Schemas;
use crate::record::{Document, Record};
use crate::schema::{ForeignKey, Schema, lines, read};
use crate::server::Server;
use crate::session::{Session, Talk};
use crate::stage::foreign_keys::{self, NotAdded};
use crate::store::MysqlStore;

/// The evidence of what is at the place now.
pub(crate) fn prove(store: &MysqlStore, context: &Context, schemas: &Schemas, kept: &KeptDataSet) -> Result<Evidence> {
    let target = schemas.target();
    let mut session = store.session(Talk::Text, Some(target))?;
    let server = Server::ask(&mut session)?;
    let unmade = not_made(&mut session, schemas)?;
    let not_added = foreign_keys::not_added(&mut session, schemas)?;
    let (mut schema, wanted) = match schemas.road {
        Road::SideCopy => {
            let set: Schema = Record::at(schemas).need(&mut session, Document::Set)?;
            let mut staged = read::tables_only(&mut session, &server, target)?;
            // Made at the cut-over, from this record: what the record holds is what there will be.
            staged.objects = set.objects.clone();
            (staged, Some(set))
        }
        Road::InPlace => {
            let mut live = read::schema(&mut session, &server, target)?;
            let set: Option<Schema> = if schemas.keeps_previous() { Record::at(schemas).read(&mut session, Document::Set)? } else { None };
            // Told, and in the record: they are not there, and all else is.
            live.objects.add(unmade.iter().map(|one| &one.object));
            // What was raised after the load goes on further ahead than the set says.
            let of_set = set.iter().flat_map(|set| &set.sequences);
            of_set.for_each(|kept| live.sequences.iter_mut().for_each(|sequence| sequence.count_as(kept)));
            (live, set)
        }
    };
    for table in &mut schema.tables {
        // Fresh tables have no estimates yet; the set knows how many rows there should be.
        table.estimated_rows = kept.evidence.collections.get(&table.name).map_or(table.estimated_rows, |tally| tally.count);
        let before = wanted.as_ref().and_then(|set| set.tables.iter().find(|of_set| of_set.name == table.name));
        table.average_row_bytes = before.map_or(table.average_row_bytes, |of_set| of_set.average_row_bytes);
        // Told, and in the record: they are not there, and all else is.
        let is_told = |key: &&ForeignKey| not_added.iter().any(|one| (&one.table, &one.name) == (&table.name, &key.name));
        table.foreign_keys.extend(before.iter().flat_map(|of_set| &of_set.foreign_keys).filter(is_told).cloned());
    }
    let mut evidence = Evidence { objects: lines::counts(&schema), ..Evidence::default() };
    evidence.collections.insert(lines::COLLECTION.into(), lines::tally(&schema));
    if let Some(wanted) = &wanted {
        evidence.warnings = differences(context, wanted, &schema);
    }
    evidence.warnings.extend(unmade.iter().map(Unmade::text).chain(not_added.iter().map(NotAdded::text)));
    let workers = limits::workers(&mut session, context)?;
    let tallies = read_all(store, &Context { workers, ..context.clone() }, target, &schema)?;
    evidence.collections.extend(schema.tables.iter().map(|table| table.name.clone()).zip(tallies));
    evidence.facts.insert("version".into(), server.version.to_string());
    Ok(evidence)
}

/// The objects of the set that the server refuses, as the load found.
fn not_made(session: &mut Session, schemas: &Schemas) -> Result<Vec<Unmade>> {
    if !schemas.keeps_previous() {
        return Ok(Vec::new());
    }
    Ok(Record::at(schemas).read(session, Document::NotMade)?.unwrap_or_default())
}

/// Names the definitions that differ: a digest alone says only that they do.
fn differences(context: &Context, wanted: &Schema, found: &Schema) -> Vec<String> {
    let (wanted, found): (BTreeSet<_>, BTreeSet<_>) = (lines::all(wanted).into_iter().collect(), lines::all(found).into_iter().collect());
    let missing = wanted.difference(&found).map(|line| format!("the set has, and the staged copy has not: {line}"));
    let more = found.difference(&wanted).map(|line| format!("the staged copy has, and the set has not: {line}"));
    let differences: Vec<String> = missing.chain(more).take(10).collect();
    differences.iter().for_each(|text| context.watch.see(Event::Warning(text)));
    differences
}

/// Counts and digests every table, several chunks at a time.
fn read_all(store: &MysqlStore, context: &Context, target: &str, schema: &Schema) -> Result<Vec<Tally>> {
    let (jobs, taken) = bounded::<(usize, Chunk)>(context.workers);
    std::thread::scope(|scope| {
        let mut readers = Vec::new();
        for _ in 0..context.workers {
            let taken = taken.clone();
            readers.push(scope.spawn(move || -> Result<Vec<Tally>> {
                let mut tallies = vec![Tally::default(); schema.tables.len()];
                let mut session = store.session(Talk::Rows, Some(target))?;
                for (index, chunk) in taken {
                    context.stop.check()?;
                    let (Some(table), Some(tally)) = (schema.tables.get(index), tallies.get_mut(index)) else { continue };
                    let counted = chunk::read::tally(&mut session, target, table, &chunk, |part, rows| {
                        let bytes = part.len() as u64;
                        context.watch.see(Event::Advance { data_set: store.name, verb: Verb::Prove, bytes, items: rows });
                        context.stop.check()
                    })?;
                    tally.merge(counted);
                }
                Ok(tallies)
            }));
        }
        drop(taken);
        let planned = plan_chunks(store, target, schema, &jobs);
        drop(jobs);
        let mut sums = vec![Tally::default(); schema.tables.len()];
        let mut outcome = Ok(());
        for reader in readers {
            match reader.join().unwrap_or_else(|_| Err(Error::failed("a reader ended early"))) {
                Ok(tallies) => sums.iter_mut().zip(tallies).for_each(|(sum, tally)| sum.merge(tally)),
                Err(error) => outcome = outcome.and(Err(error)),
            }
        }
        outcome.and(planned).map(|()| sums)
    })
}

fn plan_chunks(store: &MysqlStore, target: &str, schema: &Schema, jobs: &crossbeam_channel::Sender<(usize, Chunk)>) -> Result<()> {
    let mut session: Session = store.session(Talk::Rows, Some(target))?;
    for (index, table) in schema.tables.iter().enumerate() {
        chunk::cut(&mut session, target, table, store.options.chunk_bytes, |chunk| {
            jobs.send((index, chunk)).map_err(|_| Error::interrupted())
        })?;
    }
    Ok(())
}
