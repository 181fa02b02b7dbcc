//! The dump: one exported snapshot, read by `pg_dump` for the data and by our own sessions for the counts, at the same time.
//!
//! `pg_dump`'s output is cut into parts; a part leaves only when more bytes follow it or `pg_dump` has ended well, so that a broken stream
//! never looks like a finished one.

use std::io::Read;

use jiff::Timestamp;
use plan::error::During;
use plan::evidence::{Evidence, Tally};
use plan::ids::DataSetName;
use plan::ports::{Context, Dump, Event, Part, Verb, Verdict};
use plan::{Error, Result};

use crate::address::Address;
use crate::census::Functions;
use crate::child::{Call, Running, of_stream};
use crate::clients::Finder;
use crate::contents::Contents;
use crate::counting::{Counting, Order};
use crate::demands::Survey;
use crate::digest;
use crate::facts;
use crate::fits::AtBackup;
use crate::guard::Guard;
use crate::limits;
use crate::properties::Properties;
use crate::public::Public;
use crate::sequences::{self, Positions};
use crate::server::Server;
use crate::session::Session;
use crate::view::View;
use crate::{aside, census, place};

/// Size of a part: bounds the memory, and is what the repository's engine reads at once.
const PART_BYTES: usize = 8 << 20;

/// A dump of one database.
pub(crate) struct PostgresDump {
    context: Context,
    data_set: DataSetName,
    /// Holds the snapshot and the locks on all tables.
    guard: Guard,
    pg_dump: Box<dyn Running>,
    stdout: Box<dyn Read + Send>,
    counting: Counting,
    evidence: Evidence,
    /// What the archive's table of contents says, as it passes.
    contents: Contents,
    survey: Survey,
    /// What a plan would say on the server that is backed up.
    at_backup: AtBackup,
    /// Who owns the database.
    owner: String,
    before: Positions,
    consistent_at: Timestamp,
    /// What comes before the stream.
    properties: Option<Part>,
    folder: String,
    number: u64,
    ended: bool,
}

impl PostgresDump {
    /// Opens the view and starts reading it.
    ///
    /// # Errors
    /// When the view cannot be had, or `pg_dump` is not here.
    pub(crate) fn start(context: &Context, data_set: DataSetName, address: &Address, finder: Finder<'_>) -> Result<Self> {
        let mut exporter = Session::open(address)?;
        let server = Server::read(&mut exporter)?;
        let clients = finder.find(server.major, server.major)?;
        let mut at_backup = AtBackup::ask(&mut exporter, &server, address, finder)?;
        let sessions_max = limits::counters_of_dump(&mut exporter)?;
        let View { tables, snapshot, consistent_at } = View::open(&mut exporter, &context.stop)?;
        let properties = Properties::read(&mut exporter, &address.database, server.major)?;
        let properties = properties.ok_or_else(|| Error::failed("the database vanished"))?;
        let public = Public::read(&mut exporter)?;
        let mut evidence = Evidence { objects: census::take(&mut exporter, Functions::OfPeople)?, ..Evidence::default() };
        evidence.facts = facts::collect(&mut exporter, &server, &clients, &properties, &address.database)?;
        at_backup.hold_against(&mut exporter, &evidence)?;
        let before = sequences::positions(&mut exporter, i64::MIN)?;
        let call = Call::new("pg_dump", ["--format=custom", "--compress=0", "--no-password", "--lock-wait-timeout=60000"])
            .and(aside::patterns(&mut exporter)?.into_iter().map(|pattern| format!("--exclude-schema={pattern}")))
            .and([format!("--snapshot={snapshot}"), "--dbname".to_owned(), crate::sql::connection_string(&address.database)])
            .read();
        let guard = Guard::over(exporter);
        let order = Order { address: address.clone(), snapshot: Some(snapshot), tables, sessions_max, data_set, verb: Verb::Dump };
        let counting = guard.explain(Counting::start(context, order))?;
        let mut pg_dump = clients.start(context, address, &call)?;
        let stdout = pg_dump.stdout()?;
        let json = serde_json::to_vec_pretty(&properties).during(|| "write the database's properties".to_owned())?;
        let name = place::file_name(&address.database);
        Ok(Self {
            context: context.clone(),
            data_set,
            guard,
            pg_dump,
            stdout,
            counting,
            evidence,
            contents: Contents::new(),
            survey: Survey::of(public),
            at_backup,
            owner: properties.owner.clone(),
            before,
            consistent_at,
            properties: Some(Part::bytes(format!("{name}.database.json"), json)),
            folder: format!("{name}.dump"),
            number: 0,
            ended: false,
        })
    }

    /// The process id of `pg_dump`.
    #[cfg(test)]
    pub(crate) fn pg_dump_id(&self) -> u32 {
        self.pg_dump.id().unwrap_or_default()
    }

    fn read_part(&mut self) -> Result<Option<Part>> {
        let mut bytes = Vec::with_capacity(PART_BYTES);
        let limit = u64::try_from(PART_BYTES).unwrap_or(u64::MAX);
        let read = self.stdout.by_ref().take(limit).read_to_end(&mut bytes).map_err(|error| of_stream(error, "read from pg_dump"))?;
        if read < PART_BYTES {
            self.end()?;
        }
        if self.number == 0 && !bytes.starts_with(b"PGDMP") {
            return Err(Error::failed("pg_dump did not write an archive"));
        }
        if bytes.is_empty() {
            return Ok(None);
        }
        let survey = &mut self.survey;
        self.contents.pass(&bytes, |entry| {
            survey.see(entry);
            Ok(())
        })?;
        self.number += 1;
        self.context.watch.see(Event::Advance { data_set: self.data_set, verb: Verb::Dump, bytes: read as u64, items: 0 });
        Ok(Some(Part::bytes(format!("{}/{:08}.part", self.folder, self.number), bytes)))
    }

    /// The stream is over: only the exit status says whether it is whole.
    fn end(&mut self) -> Result<()> {
        let said = self.pg_dump.wait()?;
        self.ended = true;
        self.evidence.warnings.extend(said.lines().map(|line| format!("pg_dump says: {}", line.trim_start_matches("pg_dump: "))));
        Ok(())
    }
}

impl Dump for PostgresDump {
    fn next_part(&mut self) -> Result<Option<Part>> {
        self.context.stop.check()?;
        if let Some(part) = self.properties.take() {
            return Ok(Some(part));
        }
        if self.ended {
            return Ok(None);
        }
        let part = self.read_part();
        self.guard.explain(part)
    }

    fn finish(self: Box<Self>) -> Result<Verdict> {
        let Self { guard, counting, mut evidence, contents, survey, at_backup, owner, before, consistent_at, ended, .. } = *self;
        if !ended {
            return Err(Error::failed("the dump was asked for its verdict before its end"));
        }
        if !contents.is_read() {
            return Err(Error::failed("the archive of pg_dump ends within its table of contents"));
        }
        let demands = survey.end();
        demands.put_into(&mut evidence)?;
        let problems = at_backup.problems(&demands, &owner);
        evidence.collections = guard.explain(counting.finish())?;
        let mut exporter = guard.end()?;
        for table in digest::unlogged_on_a_standby(&mut exporter)? {
            evidence.warnings.push(format!("{} is unlogged: it has no rows on a standby, and is kept empty", table.collection()));
            evidence.collections.insert(table.collection(), Tally::default());
        }
        let after = sequences::positions(&mut exporter, i64::MAX)?;
        sequences::record(&mut evidence, &before, &after)?;
        Ok(Verdict { evidence, consistent_at, problems })
    }
}
