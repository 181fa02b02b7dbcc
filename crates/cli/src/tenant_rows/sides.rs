//! The rows of a tenant on both sides: as a set has them, and as they are live.

use std::collections::{BTreeMap, BTreeSet};

use plan::Result;
use plan::ports::{RowReader, RowsOf, TableShape};
use threescale::tenant::{Belongings, Differing, Named, Side};

/// Why rows of a table cannot go back.
pub(super) type Unfit = BTreeMap<String, String>;

/// Reads a set, round by round.
pub(super) struct OfSet<'a, 'r> {
    pub(super) round: usize,
    pub(super) belongings: &'a mut Belongings,
    pub(super) differing: &'a mut Differing<'r>,
    pub(super) shapes: &'a BTreeMap<String, TableShape>,
    pub(super) named: &'a mut Named,
    /// What does not fit, of tables that have rows of the tenant.
    pub(super) unfit: &'a mut Unfit,
    /// The same, of all tables.
    pub(super) would_not_fit: &'a mut Unfit,
    pub(super) columns: &'a mut BTreeMap<String, Vec<String>>,
}

impl OfSet<'_, '_> {
    /// How rows of a table are given; what does not fit.
    fn layout(&self, table: &str, columns: &[&str]) -> std::result::Result<RowsOf, String> {
        let Some(shape) = self.shapes.get(table) else { return Err("there is no such table here".to_owned()) };
        let has = |name: &&&str| shape.columns.iter().any(|column| column == **name);
        let list = |names: Vec<&str>| names.join(", ");
        let lacking: Vec<&str> = columns.iter().filter(|name| !has(name)).copied().collect();
        if !lacking.is_empty() {
            return Err(format!("it has no {} here", list(lacking)));
        }
        let required: Vec<&str> = shape.required.iter().map(String::as_str).filter(|name| !columns.contains(name)).collect();
        if !required.is_empty() {
            return Err(format!("here it wants {}, which the set does not have", list(required)));
        }
        let place = |name: &String| columns.iter().position(|column| column == name);
        let key = match shape.key.as_slice() {
            [] => (0..columns.len()).collect(),
            names => names.iter().map(place).collect::<Option<Vec<_>>>().ok_or("the set does not have the columns of its key")?,
        };
        Ok(RowsOf { table: table.to_owned(), columns: columns.iter().map(|name| (*name).to_owned()).collect(), key })
    }
}

impl RowReader for OfSet<'_, '_> {
    fn wants_all(&mut self, table: &str, columns: &[&str]) -> bool {
        if !self.belongings.wants(self.round, table, columns) {
            return false;
        }
        self.columns.insert(table.to_owned(), columns.iter().map(|name| (*name).to_owned()).collect());
        match self.layout(table, columns) {
            Ok(of) => {
                self.differing.table(of);
            }
            Err(why) => {
                self.would_not_fit.insert(table.to_owned(), why);
            }
        }
        true
    }

    fn wants(&mut self, _table: &str) -> Option<&'static [&'static str]> {
        None
    }

    fn table(&mut self, _table: &str) {}

    fn next_id(&mut self, _table: &str, _next: u64) {}

    fn row(&mut self, table: &str, cells: &[Option<&[u8]>]) -> Result<()> {
        if !self.belongings.has(table, cells) {
            return Ok(());
        }
        if let Some(columns) = self.columns.get(table) {
            self.named.row(table, columns, cells);
        }
        match self.differing.number_of(table) {
            Some(number) => self.differing.row(number, Side::Set, cells),
            None => {
                self.unfit.extend(self.would_not_fit.get(table).map(|why| (table.to_owned(), why.clone())));
                Ok(())
            }
        }
    }
}

/// Reads what is live, in all rounds.
pub(super) struct OfLive<'a, 'r> {
    pub(super) belongings: &'a mut Belongings,
    pub(super) differing: &'a mut Differing<'r>,
    /// For each table: its number, and where the cells of a row are.
    pub(super) places: BTreeMap<String, (usize, Vec<usize>)>,
    pub(super) round: usize,
    /// Tables with rows of the tenant that the set does not have at all.
    pub(super) only_here: &'a mut BTreeSet<String>,
}

impl RowReader for OfLive<'_, '_> {
    fn rounds(&self) -> usize {
        self.belongings.rounds()
    }

    fn round(&mut self, round: usize) {
        self.round = round;
    }

    fn narrowed(&self, table: &str) -> Option<(&'static str, Vec<u64>)> {
        self.belongings.narrowed(table)
    }

    fn wants_all(&mut self, table: &str, columns: &[&str]) -> bool {
        if !self.belongings.wants(self.round, table, columns) {
            return false;
        }
        if let Some((number, of)) = self.differing.number_of(table).and_then(|number| Some((number, self.differing.tables().get(number)?)))
        {
            let place = |name: &String| columns.iter().position(|column| column == name);
            if let Some(places) = of.columns.iter().map(place).collect::<Option<Vec<_>>>() {
                self.places.insert(table.to_owned(), (number, places));
            }
        }
        true
    }

    fn wants(&mut self, _table: &str) -> Option<&'static [&'static str]> {
        None
    }

    fn table(&mut self, _table: &str) {}

    fn next_id(&mut self, _table: &str, _next: u64) {}

    fn row(&mut self, table: &str, cells: &[Option<&[u8]>]) -> Result<()> {
        if !self.belongings.has(table, cells) {
            return Ok(());
        }
        let Some((number, places)) = self.places.get(table) else {
            self.only_here.insert(table.to_owned());
            return Ok(());
        };
        let cells: Vec<Option<&[u8]>> = places.iter().map(|at| cells.get(*at).copied().flatten()).collect();
        self.differing.row(*number, Side::Live, &cells)
    }
}
