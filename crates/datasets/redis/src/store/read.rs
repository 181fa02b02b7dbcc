//! Reads a live database key by key, for who compares: by `SCAN`, and `DUMP` of the values that are wanted; by replication where that is forbidden.
//!
//! The server never forks for it where `SCAN` is allowed. What it gives is not one point in time then: whoever compares looks again.

use plan::ports::{Context, KeyReader, Severity};
use plan::{Error, Result};

use super::{Named, RedisStore};
use crate::connection::{Connection, Reply};
use crate::dump::refuse_half_loaded;
use crate::pass::printable;
use crate::rdb::Format;
use crate::rdb::source::{NoTap, Source};
use crate::rdb::value::value;
use crate::rdb::walk::{Item, KeyHead, Walk};
use crate::reading::tell;
use crate::replication::{Asked, View, open_view};
use crate::rights::For;
use crate::scan::{Seen, dumped, dumped_format, page};
use crate::server::Server;

/// Values that are asked for at once.
const AHEAD: usize = 200;
/// Between two looks at the stop flag.
const GLANCE_BYTES: u64 = 4 << 20;

impl RedisStore {
    pub(super) fn read_database(&self, context: &Context, label: &str, reader: &mut dyn KeyReader) -> Result<()> {
        let (at, named) = self.of_label(label)?;
        let mut connection = self.connect(context, at)?;
        let server = Server::ask(&mut connection)?;
        refuse_half_loaded(&mut connection, at)?;
        let lacks = self.lacking(context, at, server.at_least(7, 0), &[For::All, For::Scan], &[])?;
        if lacks.is_nothing() {
            by_scan(context, &mut connection, &server, named, reader)?;
        } else {
            match open_view(&at.address, &self.limits(context))? {
                Asked::View(view) => by_replication(context, *view, named, reader)?,
                Asked::Forbidden => {
                    let problem = lacks.problem(Severity::Blocks, &format!("what is at {} cannot be read", at.address.endpoint()));
                    return Err(problem.way_out.into_iter().fold(Error::refused(problem.text), Error::hint));
                }
            }
        }
        refuse_half_loaded(&mut connection, at)
    }
}

fn by_scan(context: &Context, connection: &mut Connection, server: &Server, named: &Named, reader: &mut dyn KeyReader) -> Result<()> {
    let format = dumped_format(connection, &[named.database])?.unwrap_or_else(|| server.writes());
    connection.select(named.database)?;
    let (mut seen, mut cursor, mut buffer) = (Seen::default(), b"0".to_vec(), vec![0; 64 << 10]);
    loop {
        context.stop.check()?;
        let (next, mut keys) = page(connection, &cursor)?;
        keys.retain(|key| seen.is_new(key));
        let (wanted, others): (Vec<_>, Vec<_>) = keys.into_iter().partition(|key| reader.wants(key));
        others.iter().for_each(|key| reader.begin(key));
        for some in wanted.chunks(AHEAD) {
            some.iter().for_each(|key| connection.push(&[b"DUMP", key]));
            connection.flush()?;
            for key in some {
                by_dump(connection, format, key, &mut buffer, reader)?;
            }
        }
        if next == b"0" {
            return Ok(());
        }
        cursor = next;
    }
}

fn by_dump(connection: &mut Connection, format: Format, key: &[u8], buffer: &mut Vec<u8>, reader: &mut dyn KeyReader) -> Result<()> {
    let length = match connection.bulk_head()? {
        Ok(length) => length,
        // Deleted since it was listed.
        Err(Reply::Nil) => return Ok(()),
        Err(other) => return Err(other.ok().err().unwrap_or_else(|| Error::failed("DUMP gave no value"))),
    };
    let mut head = KeyHead { key: key.to_vec(), ..KeyHead::default() };
    dumped(connection, format, &printable(key), length, (NoTap, buffer), |source, kind| {
        head.kind = kind;
        tell(source, format, &head, reader)
    })?;
    connection.end_of_bulk()
}

fn by_replication(context: &Context, view: View, named: &Named, reader: &mut dyn KeyReader) -> Result<()> {
    let mut walk = Walk::begin(Source::new(view.connection, NoTap))?;
    let format = walk.format;
    let (mut is_here, mut told) = (false, 0);
    loop {
        match walk.next()? {
            Item::Database(number) => is_here = number == u64::from(named.database),
            Item::Key(head) if is_here => tell(&mut walk.source, format, &head, reader)?,
            Item::Key(head) => value(&mut walk.source, head.kind, format, &mut ())?,
            Item::End { .. } => return Ok(()),
            _ => {}
        }
        if walk.source.offset() - told > GLANCE_BYTES {
            told = walk.source.offset();
            context.stop.check()?;
        }
    }
}
