//! A few questions to the live database: what a restore sets right beside it, and `hold` counts.

use plan::ports::{Context, LiveRows, RowReader, RowSession};
use plan::{Error, Result};

use crate::cut_over::next_of;
use crate::place::Room;
use crate::quote;
use crate::reading::read_live;
use crate::session::{Answer, Session, Talk};
use crate::store::MysqlStore;

struct Rows<'a> {
    store: &'a MysqlStore,
    context: &'a Context,
    session: Session,
}

impl Rows<'_> {
    /// What a question finds; `None` when the server does not understand it.
    fn asked(&mut self, question: &str) -> Result<Option<Vec<Answer>>> {
        self.context.stop.check()?;
        self.session.rows_if_possible("ask the live database", question)
    }
}

impl LiveRows for MysqlStore {
    fn session<'a>(&'a self, context: &'a Context) -> Result<Box<dyn RowSession + 'a>> {
        context.stop.check()?;
        let session = self.session(Talk::Text, Some(&self.address.database))?;
        Ok(Box::new(Rows { store: self, context, session }))
    }

    fn read(&self, context: &Context, reader: &mut dyn RowReader) -> Result<()> {
        read_live(self, context, reader)
    }
}

impl RowSession for Rows<'_> {
    fn largest(&mut self, table: &str, column: &str) -> Result<Option<u64>> {
        self.count(&format!("SELECT MAX({}) FROM {}", quote::name(column), quote::name(table)))
    }

    fn those_of(&mut self, table: &str, ids: &[u64]) -> Result<Vec<u64>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        self.context.stop.check()?;
        let list = ids.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
        let rows = self.session.rows("ask which rows there are", &format!("SELECT id FROM {} WHERE id IN ({list})", quote::name(table)))?;
        Ok(rows.iter().map(|row| row.number(0)).collect())
    }

    fn count(&mut self, question: &str) -> Result<Option<u64>> {
        Ok(self.asked(question)?.map(|rows| rows.first().map(|row| row.number(0)).unwrap_or_default()))
    }

    fn raise_next_id(&mut self, table: &str, to: u64) -> Result<Option<u64>> {
        self.context.stop.check()?;
        self.session.set(&format!("SESSION lock_wait_timeout = {}", self.store.options.lock_wait_seconds))?;
        let found = next_of(&mut self.session, &Room::whole(&self.store.address.database), &[table.to_owned()])?;
        let to = i128::from(to);
        let Some(id) = found.first().filter(|id| id.next < to) else { return Ok(None) };
        if id.last < to {
            return Err(Error::refused(format!("the ids of {table} end at {}", id.last)));
        }
        self.session.run("let ids go on further", &format!("ALTER TABLE {} AUTO_INCREMENT = {to}", quote::name(table)))?;
        Ok(u64::try_from(id.next).ok())
    }

    fn texts(&mut self, question: &str) -> Result<Vec<String>> {
        self.asked(question)?.unwrap_or_default().iter().map(|row| row.text(0)).collect()
    }
}
