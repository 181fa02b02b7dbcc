//! A few questions to the live database: what a restore sets right beside it, and `hold` counts. 3scale's tables are in the schema `public`.

use plan::Result;
use plan::ports::{Context, LiveRows};

use crate::failure::has_code;
use crate::session::Session;
use crate::sql;
use crate::store::PostgresStore;

/// No such table, no such column.
const NOT_THERE: [&str; 2] = ["42P01", "42703"];

impl PostgresStore {
    fn asked(&self, context: &Context, question: &str) -> Result<Vec<u64>> {
        context.stop.check()?;
        let mut session = Session::open(&self.address)?;
        session.run("SET search_path = pg_catalog, public", "look into the schema public")?;
        let rows = session.rows(&format!("SELECT COALESCE(x.n, 0)::text FROM ({question}) AS x (n)"), "ask the live database")?;
        Ok(rows.iter().filter_map(|row| row.get::<_, String>(0).parse().ok()).collect())
    }
}

impl LiveRows for PostgresStore {
    fn largest(&self, context: &Context, table: &str, column: &str) -> Result<Option<u64>> {
        self.count(context, &format!("SELECT MAX({}) FROM {}", sql::identifier(column), sql::identifier(table)))
    }

    fn those_of(&self, context: &Context, table: &str, ids: &[u64]) -> Result<Vec<u64>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let list = ids.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
        self.asked(context, &format!("SELECT id FROM {} WHERE id IN ({list})", sql::identifier(table)))
    }

    fn count(&self, context: &Context, question: &str) -> Result<Option<u64>> {
        match self.asked(context, question) {
            Ok(found) => Ok(Some(found.first().copied().unwrap_or_default())),
            Err(error) if NOT_THERE.iter().any(|code| has_code(&error, code)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
