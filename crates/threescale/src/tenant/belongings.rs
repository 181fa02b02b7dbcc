//! Tells the rows of one tenant, or of one product, from all others. What is held are ids of its own rows.
//!
//! Rows are read in rounds: in each, the tables whose rows refer to rows of the rounds before. So no table is read twice.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::path::{Extract, PATHS, Path, Rule};
use super::{Id, id, of_table};

/// The column that says whose a row is.
pub const TENANT_ID: &str = "tenant_id";

/// What was found of a table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Rows that belong.
    pub rows: u64,
    /// Of these: what they refer to does not belong (it is gone, or another's), and their `tenant_id` alone says so.
    pub by_tenant_id_alone: u64,
    /// Rows that refer to what belongs, and whose `tenant_id` names another tenant. They do not belong.
    pub of_another: u64,
}

/// Where in a row is what a rule asks about.
#[derive(Debug, Clone, Copy)]
enum Place {
    Is { cell: usize },
    Refers { cell: usize, table: &'static str, only_if: Option<(usize, &'static str)> },
}

/// A table that is being read.
#[derive(Debug)]
struct Reading {
    places: Vec<Place>,
    tenant_id: Option<usize>,
    /// Where the id of a row is, when others refer to it.
    id: Option<usize>,
}

/// See the module.
#[derive(Debug)]
pub struct Belongings {
    wanted: Id,
    product: bool,
    /// What `tenant_id` holds of rows that are no tenant's.
    master: Option<Id>,
    /// Tables that are extracted though they are not by themselves.
    with: BTreeSet<String>,
    /// For each table that others refer to: the ids that belong.
    ids: BTreeMap<&'static str, HashSet<Id>>,
    readings: BTreeMap<String, Reading>,
    tallies: BTreeMap<String, Tally>,
    left_out: BTreeSet<String>,
    unknown: BTreeSet<String>,
}

impl Belongings {
    /// What belongs to a tenant. `with`: tables that are extracted only when they are asked for.
    #[must_use]
    pub fn of_tenant(tenant: Id, master: Option<Id>, with: &[String]) -> Self {
        Self {
            wanted: tenant,
            product: false,
            master,
            with: with.iter().cloned().collect(),
            ids: BTreeMap::new(),
            readings: BTreeMap::new(),
            tallies: BTreeMap::new(),
            left_out: BTreeSet::new(),
            unknown: BTreeSet::new(),
        }
    }

    /// What belongs to a product alone: not the accounts that use it, and not the backends that other products may use too.
    #[must_use]
    pub fn of_product(service: Id, with: &[String]) -> Self {
        Self { wanted: service, product: true, ..Self::of_tenant(service, None, with) }
    }

    fn rules<'p>(&self, path: &'p Path) -> &'p [Rule] {
        if self.product { &path.product } else { &path.tenant }
    }

    /// In which round a table is read.
    fn round(&self, table: &str) -> usize {
        let Some(path) = of_table(table) else { return 0 };
        let before = self.rules(path).iter().filter_map(|rule| match rule {
            Rule::Refers { table: other, .. } if *other != table => Some(self.round(other) + 1),
            _ => None,
        });
        before.max().unwrap_or(0)
    }

    /// How often the rows are read.
    #[must_use]
    pub fn rounds(&self) -> usize {
        1 + PATHS.iter().map(|path| self.round(path.table)).max().unwrap_or(0)
    }

    /// A table is there, with these columns. Whether its rows are wanted in this round.
    pub fn wants(&mut self, round: usize, table: &str, columns: &[&str]) -> bool {
        let place = |name: &str| columns.iter().position(|column| *column == name);
        let tenant_id = place(TENANT_ID).filter(|_| !self.product);
        let mut reading = Reading { places: Vec::new(), tenant_id, id: None };
        match of_table(table) {
            None if self.product => return false,
            None => {
                self.unknown.insert(table.to_owned());
                if tenant_id.is_none() || round != 0 {
                    return false;
                }
            }
            Some(path) => {
                let rules = self.rules(path);
                if path.extract == Extract::Nobody || rules.is_empty() {
                    return false;
                }
                if path.extract == Extract::Asked && !self.with.contains(table) {
                    self.left_out.insert(table.to_owned());
                    return false;
                }
                if self.round(table) != round {
                    return false;
                }
                let of_rule = |rule: &Rule| match *rule {
                    Rule::Is { column } => place(column).map(|cell| Place::Is { cell }),
                    Rule::Refers { column, table, only_if } => {
                        let cell = place(column)?;
                        let only_if = match only_if {
                            Some((column, kind)) => Some((place(column)?, kind)),
                            None => None,
                        };
                        Some(Place::Refers { cell, table, only_if })
                    }
                };
                reading.places = rules.iter().filter_map(of_rule).collect();
                reading.id = place("id");
            }
        }
        self.tallies.entry(table.to_owned()).or_default();
        self.readings.insert(table.to_owned(), reading);
        true
    }

    /// Whether a row belongs: its cells, in the order of the columns that [`Belongings::wants`] was told.
    pub fn has(&mut self, table: &str, cells: &[Option<&[u8]>]) -> bool {
        let Some(reading) = self.readings.get(table) else { return false };
        let refers = self.refers(reading, cells);
        let owner = reading.tenant_id.and_then(|at| id(cells.get(at).copied().flatten())).filter(|owner| Some(*owner) != self.master);
        let belongs = owner.map_or(refers, |owner| owner == self.wanted);
        let tally = self.tallies.entry(table.to_owned()).or_default();
        tally.rows += u64::from(belongs);
        tally.by_tenant_id_alone += u64::from(belongs && !refers);
        tally.of_another += u64::from(refers && !belongs);
        if belongs {
            self.take(table, cells);
        }
        belongs
    }

    /// A row is taken as one that belongs, though it does not by itself: rows that refer to it do then.
    pub fn take(&mut self, table: &str, cells: &[Option<&[u8]>]) {
        let at = self.readings.get(table).and_then(|reading| reading.id);
        let number = at.and_then(|at| id(cells.get(at).copied().flatten()));
        if let (Some(number), Some(path)) = (number, of_table(table).filter(|path| is_referred_to(path.table))) {
            self.ids.entry(path.table).or_default().insert(number);
        }
    }

    /// Whether what a row refers to belongs: the first rule decides whose column is not NULL.
    fn refers(&self, reading: &Reading, cells: &[Option<&[u8]>]) -> bool {
        let cell = |at: usize| cells.get(at).copied().flatten();
        for place in &reading.places {
            match *place {
                Place::Is { cell: at } => {
                    if id(cell(at)) == Some(self.wanted) {
                        return true;
                    }
                }
                Place::Refers { cell: at, table, only_if } => {
                    let is_meant = only_if.is_none_or(|(at, kind)| cell(at) == Some(kind.as_bytes()));
                    if let Some(other) = id(cell(at)).filter(|_| is_meant) {
                        return self.ids.get(table).is_some_and(|ids| ids.contains(&other));
                    }
                }
            }
        }
        false
    }

    /// A column of a table that is being read, and numbers: rows that have another number there do not belong.
    #[must_use]
    pub fn narrowed(&self, table: &str) -> Option<(&'static str, Vec<Id>)> {
        self.readings.get(table)?.tenant_id?;
        Some((TENANT_ID, std::iter::once(self.wanted).chain(self.master).collect()))
    }

    /// The ids that belong, of a table that others refer to.
    #[must_use]
    pub fn ids(&self, table: &str) -> Option<&HashSet<Id>> {
        self.ids.get(table)
    }

    /// What was found, by table.
    #[must_use]
    pub const fn tallies(&self) -> &BTreeMap<String, Tally> {
        &self.tallies
    }

    /// Tables that are there and were not asked for.
    #[must_use]
    pub const fn left_out(&self) -> &BTreeSet<String> {
        &self.left_out
    }

    /// Tables that are there and that nobody knows: their rows belong by `tenant_id` alone, where they have it.
    #[must_use]
    pub const fn unknown(&self) -> &BTreeSet<String> {
        &self.unknown
    }
}

fn is_referred_to(table: &str) -> bool {
    let refers = |rule: &Rule| matches!(rule, Rule::Refers { table: other, .. } if *other == table);
    PATHS.iter().any(|path| path.tenant.iter().chain(&path.product).any(refers))
}
