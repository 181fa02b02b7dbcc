//! A few questions to the live database: what a restore sets right beside it, and `hold` counts. 3scale's tables are in the schema `public`.

use plan::Result;
use plan::ports::{Context, LiveRows, RowReader, RowSession};

use crate::failure::has_code;
use crate::reading::read_live;
use crate::session::Session;
use crate::sql;
use crate::store::PostgresStore;

/// No such table, no such column.
const NOT_THERE: [&str; 2] = ["42P01", "42703"];

struct Rows<'a> {
    context: &'a Context,
    session: Session,
}

impl Rows<'_> {
    /// The cells of a question of one column, as text.
    fn cells(&mut self, question: &str) -> Result<Vec<String>> {
        self.context.stop.check()?;
        let rows = self.session.rows(&format!("SELECT COALESCE(x.n::text, '') FROM ({question}) AS x (n)"), "ask the live database")?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    /// The same; `None` where tables or columns are not as it wants them.
    fn cells_if_possible(&mut self, question: &str) -> Result<Option<Vec<String>>> {
        match self.cells(question) {
            Err(error) if NOT_THERE.iter().any(|code| has_code(&error, code)) => Ok(None),
            cells => cells.map(Some),
        }
    }
}

fn numbers(cells: &[String]) -> Vec<u64> {
    cells.iter().filter_map(|cell| cell.parse().ok()).collect()
}

impl LiveRows for PostgresStore {
    fn session<'a>(&'a self, context: &'a Context) -> Result<Box<dyn RowSession + 'a>> {
        context.stop.check()?;
        let mut session = Session::open(&self.address)?;
        session.run("SET search_path = pg_catalog, public", "look into the schema public")?;
        Ok(Box::new(Rows { context, session }))
    }

    fn read(&self, context: &Context, reader: &mut dyn RowReader) -> Result<()> {
        read_live(&self.address, context, reader)
    }
}

impl RowSession for Rows<'_> {
    fn largest(&mut self, table: &str, column: &str) -> Result<Option<u64>> {
        self.count(&format!("SELECT MAX({}) FROM {}", sql::identifier(column), sql::identifier(table)))
    }

    fn those_of(&mut self, table: &str, ids: &[u64]) -> Result<Vec<u64>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let list = ids.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
        Ok(numbers(&self.cells(&format!("SELECT id FROM {} WHERE id IN ({list})", sql::identifier(table)))?))
    }

    fn count(&mut self, question: &str) -> Result<Option<u64>> {
        Ok(self.cells_if_possible(question)?.map(|cells| numbers(&cells).first().copied().unwrap_or_default()))
    }

    fn raise_next_id(&mut self, table: &str, to: u64) -> Result<Option<u64>> {
        let of = format!("pg_get_serial_sequence({}, 'id')", sql::literal(&sql::identifier(table)));
        let Some(sequence) = self.cells_if_possible(&format!("SELECT {of}"))?.and_then(|cells| cells.into_iter().next()) else {
            return Ok(None);
        };
        if sequence.is_empty() {
            return Ok(None);
        }
        let next = self.cells(&format!("SELECT CASE WHEN is_called THEN last_value + 1 ELSE last_value END FROM {sequence}"))?;
        let next = numbers(&next).first().copied().unwrap_or_default();
        if next >= to {
            return Ok(None);
        }
        self.cells(&format!("SELECT setval({}, {to}, false)", sql::literal(&sequence)))?;
        Ok(Some(next))
    }

    fn texts(&mut self, question: &str) -> Result<Vec<String>> {
        Ok(self.cells_if_possible(question)?.unwrap_or_default())
    }
}
