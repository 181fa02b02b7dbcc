//! The rows of a tenant on both sides: as a set has them, and as they are live.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use plan::Result;
use plan::ports::{RowReader, RowsOf, TableShape};
use plan::step::RowsOwner;
use threescale::tenant::{Belongings, Differing, Id, Named, Side, TENANT_ID, id};

use super::conflicts::Numbers;

/// Why rows of a table cannot go back.
pub(super) type Unfit = BTreeMap<String, String>;

/// What is asked of a row besides: whom it names, and whether the set has it.
///
/// What the row refers to may be gone or, where one product goes back, another product's here. Then the set's row of its number tells that it is one that goes back, if it names nobody and refers
/// to what goes back of the set; of a product also if it names the product's tenant.
pub(super) struct Besides {
    is_of_a_product: bool,
    tenant: Id,
    master: Option<Id>,
    /// Where rows of a table name a tenant.
    names: BTreeMap<String, Option<usize>>,
    /// Numbers of the rows in the set; of a whole tenant those that name nobody.
    numbers: BTreeMap<String, HashSet<Id>>,
}

impl Besides {
    pub(super) fn new(whose: &RowsOwner) -> Self {
        Self {
            is_of_a_product: whose.product.is_some(),
            tenant: whose.tenant,
            master: whose.master,
            names: BTreeMap::new(),
            numbers: BTreeMap::new(),
        }
    }

    fn table(&mut self, table: &str, columns: &[&str]) {
        self.names.insert(table.to_owned(), columns.iter().position(|column| *column == TENANT_ID));
    }

    /// The tenant that a row names.
    fn named(&self, table: &str, cells: &[Option<&[u8]>]) -> Option<Id> {
        let at = self.names.get(table).copied().flatten()?;
        id(cells.get(at).copied().flatten()).filter(|tenant| Some(*tenant) != self.master)
    }

    /// Whether it is kept from a product by whom it names.
    fn is_anothers(&self, table: &str, cells: &[Option<&[u8]>]) -> bool {
        self.is_of_a_product && self.named(table, cells).is_some_and(|tenant| tenant != self.tenant)
    }

    /// A row of the set, and its key.
    fn of_set(&mut self, table: &str, cells: &[Option<&[u8]>], key: &[Option<&[u8]>]) {
        let counts = self.is_of_a_product || self.named(table, cells).is_none();
        if let Some(number) = number(key).filter(|_| counts) {
            self.numbers.entry(table.to_owned()).or_default().insert(number);
        }
    }

    fn is_in_the_set(&self, table: &str, key: &[Option<&[u8]>]) -> bool {
        number(key).is_some_and(|number| self.numbers.get(table).is_some_and(|numbers| numbers.contains(&number)))
    }
}

fn number(key: &[Option<&[u8]>]) -> Option<Id> {
    match key {
        [cell] => id(*cell),
        _ => None,
    }
}

/// The tenant's own applications in the master's products, by their ids: they are its rows, and Backend has them under products that are not.
#[derive(Default)]
pub(super) struct Own {
    tenant: Id,
    /// Where a row says who uses it, and its id.
    places: Option<(usize, usize)>,
    pub(super) applications: BTreeSet<String>,
}

impl Own {
    const TABLE: &str = "cinstances";

    pub(super) fn of(tenant: Id) -> Self {
        Self { tenant, ..Self::default() }
    }

    fn table(&mut self, table: &str, columns: &[&str]) {
        let place = |name: &str| columns.iter().position(|column| *column == name);
        if table == Self::TABLE {
            self.places = place("user_account_id").zip(place("application_id"));
        }
    }

    /// A row of the tenant.
    fn row(&mut self, table: &str, cells: &[Option<&[u8]>]) {
        let Some((user, own)) = self.places.filter(|_| table == Self::TABLE) else { return };
        let cell = |at: usize| cells.get(at).copied().flatten();
        if id(cell(user)) == Some(self.tenant)
            && let Some(own) = cell(own).and_then(|own| std::str::from_utf8(own).ok()).filter(|own| !own.is_empty())
        {
            self.applications.insert(own.to_owned());
        }
    }
}

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
    pub(super) besides: &'a mut Besides,
    pub(super) own: &'a mut Own,
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
        self.own.table(table, columns);
        self.columns.insert(table.to_owned(), columns.iter().map(|name| (*name).to_owned()).collect());
        self.besides.table(table, columns);
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

    fn row(&mut self, table: &str, cells: &[Option<&[u8]>]) -> Result<()> {
        if self.besides.is_anothers(table, cells) || !self.belongings.has(table, cells) {
            return Ok(());
        }
        self.own.row(table, cells);
        if let Some(columns) = self.columns.get(table) {
            self.named.row(table, columns, cells);
        }
        match self.differing.number_of(table) {
            Some(number) => {
                if let Some(of) = self.differing.tables().get(number) {
                    self.besides.of_set(table, cells, &of.key.iter().map(|at| cells.get(*at).copied().flatten()).collect::<Vec<_>>());
                }
                self.differing.row(number, Side::Set, cells)
            }
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
    /// Files that its rows here name.
    pub(super) named: &'a mut Named,
    pub(super) columns: BTreeMap<String, Vec<String>>,
    /// Tables with rows of the tenant that the set does not have at all.
    pub(super) only_here: &'a mut BTreeSet<String>,
    pub(super) own: &'a mut Own,
    /// With what belongs in the set.
    pub(super) besides: (&'a mut Besides, &'a mut Belongings),
}

impl OfLive<'_, '_> {
    fn is_ours(&mut self, table: &str, cells: &[Option<&[u8]>]) -> bool {
        let (besides, of_set) = &mut self.besides;
        if besides.is_anothers(table, cells) {
            return false;
        }
        if self.belongings.has(table, cells) {
            return true;
        }
        let Some((number, places)) = self.places.get(table) else { return false };
        let Some(of) = self.differing.tables().get(*number) else { return false };
        let cell = |at: &usize| places.get(*at).and_then(|at| cells.get(*at).copied().flatten());
        let is_in_the_set = besides.is_in_the_set(table, &of.key.iter().map(cell).collect::<Vec<_>>());
        let is_ours = is_in_the_set
            && match besides.named(table, cells) {
                Some(_) => besides.is_of_a_product,
                None => of_set.has(table, cells),
            };
        if is_ours {
            self.belongings.take(table, cells);
        }
        is_ours
    }
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
        self.own.table(table, columns);
        self.columns.insert(table.to_owned(), columns.iter().map(|name| (*name).to_owned()).collect());
        let (besides, of_set) = &mut self.besides;
        besides.table(table, columns);
        of_set.wants(self.round, table, columns);
        if let Some((number, of)) = self.differing.number_of(table).and_then(|number| Some((number, self.differing.tables().get(number)?)))
        {
            let place = |name: &String| columns.iter().position(|column| column == name);
            if let Some(places) = of.columns.iter().map(place).collect::<Option<Vec<_>>>() {
                self.places.insert(table.to_owned(), (number, places));
            }
        }
        true
    }

    fn row(&mut self, table: &str, cells: &[Option<&[u8]>]) -> Result<()> {
        if !self.is_ours(table, cells) {
            return Ok(());
        }
        self.own.row(table, cells);
        if let Some(columns) = self.columns.get(table) {
            self.named.row(table, columns, cells);
        }
        let Some((number, places)) = self.places.get(table) else {
            self.only_here.insert(table.to_owned());
            return Ok(());
        };
        let cells: Vec<Option<&[u8]>> = places.iter().map(|at| cells.get(*at).copied().flatten()).collect();
        self.differing.row(*number, Side::Live, &cells)
    }
}

/// Looks which rows a set has.
pub(super) struct Had {
    pub(super) wanted: Numbers,
    pub(super) found: Numbers,
}

impl RowReader for Had {
    fn wants(&mut self, table: &str) -> Option<&'static [&'static str]> {
        self.wanted.contains_key(table).then_some(&["id"])
    }

    fn row(&mut self, table: &str, cells: &[Option<&[u8]>]) -> Result<()> {
        let number = id(cells.first().copied().flatten());
        if let (Some(number), Some(wanted)) = (number, self.wanted.get(table))
            && wanted.contains(&number)
        {
            self.found.entry(table.to_owned()).or_default().insert(number);
        }
        Ok(())
    }
}
