//! A few questions to the live database: what a restore sets right beside it, and `hold` counts.

use plan::ports::{Context, LiveRows, RowReader};
use plan::{Error, Result};

use crate::cut_over::next_of;
use crate::place::Room;
use crate::quote;
use crate::reading::read_live;
use crate::session::Talk;
use crate::store::MysqlStore;

impl MysqlStore {
    /// The first cells of what a question finds; `None` when the server does not understand it.
    fn asked(&self, context: &Context, question: &str) -> Result<Option<Vec<u64>>> {
        context.stop.check()?;
        let mut session = self.session(Talk::Text, Some(&self.address.database))?;
        let rows = session.rows_if_possible("ask the live database", question)?;
        Ok(rows.map(|rows| rows.iter().map(|row| row.number(0)).collect()))
    }
}

impl LiveRows for MysqlStore {
    fn largest(&self, context: &Context, table: &str, column: &str) -> Result<Option<u64>> {
        self.count(context, &format!("SELECT MAX({}) FROM {}", quote::name(column), quote::name(table)))
    }

    fn those_of(&self, context: &Context, table: &str, ids: &[u64]) -> Result<Vec<u64>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let list = ids.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
        let mut session = self.session(Talk::Text, Some(&self.address.database))?;
        context.stop.check()?;
        let rows = session.rows("ask which rows there are", &format!("SELECT id FROM {} WHERE id IN ({list})", quote::name(table)))?;
        Ok(rows.iter().map(|row| row.number(0)).collect())
    }

    fn count(&self, context: &Context, question: &str) -> Result<Option<u64>> {
        Ok(self.asked(context, question)?.map(|found| found.first().copied().unwrap_or_default()))
    }

    fn raise_next_id(&self, context: &Context, table: &str, to: u64) -> Result<Option<u64>> {
        context.stop.check()?;
        let mut session = self.session(Talk::Text, Some(&self.address.database))?;
        session.set(&format!("SESSION lock_wait_timeout = {}", self.options.lock_wait_seconds))?;
        let found = next_of(&mut session, &Room::whole(&self.address.database), &[table.to_owned()])?;
        let to = i128::from(to);
        let Some(id) = found.first().filter(|id| id.next < to) else { return Ok(None) };
        if id.last < to {
            return Err(Error::refused(format!("the ids of {table} end at {}", id.last)));
        }
        session.run("let ids go on further", &format!("ALTER TABLE {} AUTO_INCREMENT = {to}", quote::name(table)))?;
        Ok(u64::try_from(id.next).ok())
    }

    fn texts(&self, context: &Context, question: &str) -> Result<Vec<String>> {
        context.stop.check()?;
        let mut session = self.session(Talk::Text, Some(&self.address.database))?;
        let rows = session.rows_if_possible("ask the live database", question)?.unwrap_or_default();
        rows.iter().map(|row| row.text(0)).collect()
    }

    fn read(&self, context: &Context, reader: &mut dyn RowReader) -> Result<()> {
        read_live(self, context, reader)
    }
}
