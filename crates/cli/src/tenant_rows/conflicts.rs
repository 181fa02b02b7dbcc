//! What keeps the rows of a tenant from going back, asked of the live database before anything is touched: ids that are another's now, values that no two rows share, rows that a foreign
//! key wants.
//!
//! What the database finds may be a row that changes itself. So each finding is a need of that row, and is held against the changes in one more pass over records that are sorted
//! outside of memory.

use std::collections::{BTreeMap, BTreeSet};

use plan::ports::{Cell, FindsRows, Reference, RowChange, RowsOf, TableShape, read_cells, write_cells};
use plan::{Error, Result};
use threescale::tenant::{Id, WANTS, id};
use threescale::verify::{Room, Sorter};

/// Numbers of rows, by table.
pub(super) type Numbers = BTreeMap<String, BTreeSet<Id>>;

/// Rows that are asked about together.
const TOGETHER: usize = 200;
/// So many conflicts are named.
const NAMED_MAX: usize = 20;
/// What may be in memory.
const HELD_MAX_BYTES: usize = 4 << 20;

/// Values that no two rows share by porta's rules, which no index of the database holds (`app/models/cinstance.rs`): Backend finds an application by them.
const ONE_OF_A_PRODUCT: [[&str; 2]; 2] = [["service_id", "user_key"], ["service_id", "application_id"]];

const DELETED: u8 = 1;
const UPDATED: u8 = 2;
const INSERTED: u8 = 3;

/// What a row must become for the changes to be possible.
#[derive(Clone, Copy)]
enum Need {
    Change = 1,
    Insert = 2,
    Delete = 3,
    /// As `Insert`, where no foreign key wants it: what the set does not have either was lost before.
    InsertIfHad = 4,
}

/// Gathers conflicts.
pub(super) struct Conflicts<'a> {
    finder: Box<dyn FindsRows + 'a>,
    /// Whose the rows are, for people.
    owner: &'static str,
    shapes: &'a BTreeMap<String, TableShape>,
    tables: Vec<RowsOf>,
    /// Tables that are left out because nobody asked for them.
    left_out: &'a BTreeSet<String>,
    facts: Sorter<'a>,
    some: Vec<RowChange>,
    now: usize,
    count: u64,
    first: Vec<String>,
    /// What no foreign key wants, and why it is wanted.
    lacking: BTreeMap<(String, Id), String>,
}

impl<'a> Conflicts<'a> {
    pub(super) fn new(
        (finder, owner): (Box<dyn FindsRows + 'a>, &'static str),
        shapes: &'a BTreeMap<String, TableShape>,
        tables: Vec<RowsOf>,
        left_out: &'a BTreeSet<String>,
        room: Room<'a>,
    ) -> Self {
        let facts = Sorter::new(room, HELD_MAX_BYTES);
        Self {
            finder,
            owner,
            shapes,
            tables,
            left_out,
            facts,
            some: Vec::new(),
            now: 0,
            count: 0,
            first: Vec::new(),
            lacking: BTreeMap::new(),
        }
    }

    /// A change of a table, in the order of tables.
    pub(super) fn change(&mut self, table: usize, change: &RowChange) -> Result<()> {
        if table != self.now || self.some.len() >= TOGETHER {
            self.look()?;
            self.now = table;
        }
        let fact = match (&change.was, &change.becomes) {
            (None, _) => INSERTED,
            (_, None) => DELETED,
            _ => UPDATED,
        };
        let key = self.tables.get(table).map(|of| of.key_of(change.row())).unwrap_or_default();
        self.fact(table, &key, 0, fact, "")?;
        self.some.push(change.clone());
        Ok(())
    }

    fn fact(&mut self, table: usize, key: &[Cell], tag: u8, kind: u8, text: &str) -> Result<()> {
        let mut record = u32::try_from(table).unwrap_or(u32::MAX).to_be_bytes().to_vec();
        write_cells(key.iter().map(Option::as_deref), &mut record);
        record.extend_from_slice(&[tag, kind]);
        record.extend_from_slice(text.as_bytes());
        self.facts.push(&record)
    }

    fn conflict(&mut self, text: String) {
        self.count += 1;
        if self.first.len() < NAMED_MAX && !self.first.contains(&text) {
            self.first.push(text);
        }
    }

    /// Asks about the changes that were gathered.
    fn look(&mut self) -> Result<()> {
        let some = std::mem::take(&mut self.some);
        let Some(of) = self.tables.get(self.now).cloned().filter(|_| !some.is_empty()) else { return Ok(()) };
        let Some(shape) = self.shapes.get(&of.table).cloned() else { return Ok(()) };
        if !shape.key.is_empty() {
            self.ids(&of, &shape, &some)?;
        }
        for unique in &shape.unique {
            self.unique(&of, unique, &some)?;
        }
        if of.table == "cinstances" {
            for unique in ONE_OF_A_PRODUCT {
                self.unique(&of, &unique.map(str::to_owned), &some)?;
            }
        }
        for reference in &shape.refers {
            self.wanted(&of, reference, &some, Need::Insert)?;
        }
        self.wanted_by_porta(&of, &shape, &some)?;
        let shapes = self.shapes;
        for (child, reference) in shapes.values().flat_map(|child| child.refers.iter().map(move |reference| (child, reference))) {
            if reference.table == of.table && child.name != of.table {
                self.children(&of, child, reference, &some)?;
            }
        }
        Ok(())
    }

    /// Ids that are another's now.
    fn ids(&mut self, of: &RowsOf, shape: &TableShape, some: &[RowChange]) -> Result<()> {
        let keys: Vec<_> = some.iter().filter(|change| change.was.is_none()).map(|change| of.key_of(change.row())).collect();
        for found in self.finder.find(of, &shape.key, &keys)? {
            let key = found.get(shape.key.len()..).unwrap_or_default();
            self.conflict(format!("{} is not the {}'s here", of.name(key), self.owner));
        }
        Ok(())
    }

    /// Values that no two rows share, and that a row has which stays.
    fn unique(&mut self, of: &RowsOf, unique: &[String], some: &[RowChange]) -> Result<()> {
        let Some(places) = places(of, unique) else { return Ok(()) };
        let is_new = |change: &&RowChange| match (&change.was, &change.becomes) {
            (Some(was), Some(becomes)) => pick(was, &places) != pick(becomes, &places),
            (_, becomes) => becomes.is_some(),
        };
        let values: Vec<_> =
            some.iter().filter(is_new).filter_map(|change| change.becomes.as_ref()).map(|row| pick(row, &places)).collect();
        for found in self.finder.find(of, unique, &values)? {
            let key = found.get(unique.len()..).unwrap_or_default();
            let text = format!("{} has the same {} as a row that goes back", of.name(key), unique.join(", "));
            self.fact(self.now, key, 1, Need::Change as u8, &text)?;
        }
        Ok(())
    }

    /// Rows that rows which go back refer to without a foreign key.
    fn wanted_by_porta(&mut self, of: &RowsOf, shape: &TableShape, some: &[RowChange]) -> Result<()> {
        for (_, column, table) in WANTS.iter().filter(|(table, ..)| *table == of.table) {
            let columns = vec![(*column).to_owned()];
            let has_key = self.shapes.get(*table).is_some_and(|other| other.key == ["id"]);
            if has_key && !shape.refers.iter().any(|reference| reference.columns == columns) {
                let reference = Reference { columns, table: (*table).to_owned(), referred: vec!["id".to_owned()] };
                self.wanted(of, &reference, some, Need::InsertIfHad)?;
            }
        }
        Ok(())
    }

    /// Rows that rows which go back refer to.
    fn wanted(&mut self, of: &RowsOf, reference: &Reference, some: &[RowChange], need: Need) -> Result<()> {
        let Some(places) = places(of, &reference.columns) else { return Ok(()) };
        let refers_anew = |change: &&RowChange| {
            let picked = |row: &Option<Vec<Cell>>| row.as_ref().map(|row| pick(row, &places));
            picked(&change.was) != picked(&change.becomes)
        };
        let changes = some.iter().filter(refers_anew);
        let mut values: Vec<_> = changes.filter_map(|change| change.becomes.as_ref()).map(|row| pick(row, &places)).collect();
        values.retain(|cells| cells.iter().all(Option::is_some));
        values.sort();
        values.dedup();
        let (number, parent) = self.of_table(&reference.table, &reference.referred);
        let found: BTreeSet<Vec<Cell>> = self
            .finder
            .find(&parent, &reference.referred, &values)?
            .into_iter()
            .map(|cells| cells.get(..reference.referred.len()).unwrap_or_default().to_vec())
            .collect();
        let is_key = self.shapes.get(&reference.table).is_some_and(|shape| shape.key == reference.referred);
        // Products do not own it, and tenants do.
        let is_of_tenant = number.is_none() && matches!(need, Need::InsertIfHad) && self.owner == "product";
        for key in values.into_iter().filter(|values| is_key && !found.contains(values)) {
            let whole = if is_of_tenant { "; it is the tenant's: without --service it comes back, too" } else { "" };
            let text = format!("rows of {} want {}, which is not there{whole}", of.table, parent.name(&key));
            match (number, need) {
                (Some(number), _) => self.fact(number, &key, 1, need as u8, &text)?,
                (None, Need::InsertIfHad) => self.lacks(&reference.table, &key, text),
                (None, _) => self.conflict(text),
            }
        }
        Ok(())
    }

    /// Something without which a row is worth nothing.
    fn lacks(&mut self, table: &str, key: &[Cell], text: String) {
        if let [cell] = key
            && let Some(number) = id(cell.as_deref())
        {
            self.lacking.entry((table.to_owned(), number)).or_insert(text);
        }
    }

    /// Rows that refer to rows which go.
    fn children(&mut self, of: &RowsOf, child: &TableShape, reference: &Reference, some: &[RowChange]) -> Result<()> {
        let Some(places) = places(of, &reference.referred) else { return Ok(()) };
        let gone = some.iter().filter(|change| change.becomes.is_none()).filter_map(|change| change.was.as_ref());
        let values: Vec<_> = gone.map(|row| pick(row, &places)).collect();
        let (number, rows) = self.of_table(&child.name, &child.key);
        for found in self.finder.find(&rows, &reference.columns, &values)? {
            let key = found.get(reference.columns.len()..).unwrap_or_default();
            let way_out =
                if self.left_out.contains(&child.name) { format!("; --with {} takes them too", child.name) } else { String::new() };
            let text = format!("{} refers to a row of {} that is to go{way_out}", rows.name(key), of.table);
            match number {
                Some(number) => self.fact(number, key, 1, Need::Delete as u8, &text)?,
                None => self.conflict(text),
            }
        }
        Ok(())
    }

    /// How rows of a table are given: as those that are compared, else by these columns.
    fn of_table(&self, table: &str, columns: &[String]) -> (Option<usize>, RowsOf) {
        let number = self.tables.iter().position(|of| of.table == table);
        let alone = || RowsOf { table: table.to_owned(), columns: columns.to_vec(), key: (0..columns.len()).collect() };
        (number, number.and_then(|number| self.tables.get(number)).cloned().unwrap_or_else(alone))
    }

    /// The conflicts: how many, and the first. `had`: which of these rows the set has.
    pub(super) fn end(mut self, had: impl FnOnce(Numbers) -> Result<Numbers>) -> Result<(u64, Vec<String>)> {
        self.look()?;
        let mut sorted = std::mem::replace(&mut self.facts, Sorter::new(&crate::sealed::room, HELD_MAX_BYTES)).sorted()?;
        let (mut of, mut fact) = (Vec::new(), 0);
        while let Some(record) = sorted.next_record()? {
            let mut rest = record.get(4..).unwrap_or_default();
            if read_cells(&mut rest).is_none() {
                return Err(Error::failed("what was sorted cannot be read back"));
            }
            let (row, told) = record.split_at(record.len() - rest.len());
            let (Some([tag, kind]), Some(text)) = (told.first_chunk::<2>(), told.get(2..)) else { continue };
            if row != of {
                (of, fact) = (row.to_vec(), 0);
            }
            let is_met = match *kind {
                _ if *tag == 0 => {
                    fact = *kind;
                    true
                }
                kind if kind == Need::Insert as u8 || kind == Need::InsertIfHad as u8 => fact == INSERTED,
                kind if kind == Need::Delete as u8 => fact == DELETED,
                _ => fact == DELETED || fact == UPDATED,
            };
            let text = String::from_utf8_lossy(text).into_owned();
            match *kind {
                _ if is_met => {}
                kind if kind == Need::InsertIfHad as u8 => {
                    let (table, key) = self.named(row).ok_or_else(|| Error::failed("what was sorted cannot be read back"))?;
                    self.lacks(&table, &key, text);
                }
                _ => self.conflict(text),
            }
        }
        self.told_of_those(had)?;
        Ok((self.count, self.first))
    }

    /// The table of a row of the facts, and its key.
    fn named(&self, row: &[u8]) -> Option<(String, Vec<Cell>)> {
        let (table, mut key) = row.split_first_chunk::<4>()?;
        let of = self.tables.get(usize::try_from(u32::from_be_bytes(*table)).ok()?)?;
        Some((of.table.clone(), read_cells(&mut key)?))
    }

    fn told_of_those(&mut self, had: impl FnOnce(Numbers) -> Result<Numbers>) -> Result<()> {
        let lacking = std::mem::take(&mut self.lacking);
        if lacking.is_empty() {
            return Ok(());
        }
        let mut numbers = Numbers::new();
        for (table, number) in lacking.keys() {
            numbers.entry(table.clone()).or_default().insert(*number);
        }
        let had = had(numbers)?;
        let is_had = |table: &String, number: &Id| had.get(table).is_some_and(|numbers| numbers.contains(number));
        lacking.into_iter().filter(|((table, number), _)| is_had(table, number)).for_each(|(_, text)| self.conflict(text));
        Ok(())
    }
}

fn places(of: &RowsOf, names: &[String]) -> Option<Vec<usize>> {
    names.iter().map(|name| of.columns.iter().position(|column| column == name)).collect()
}

fn pick(row: &[Cell], places: &[usize]) -> Vec<Cell> {
    places.iter().map(|at| row.get(*at).cloned().flatten()).collect()
}
