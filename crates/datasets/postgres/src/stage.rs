//! Stages a snapshot in a side database. It never names the live database but to read its properties.

use std::time::Duration;

use plan::ids::DataSetName;
use plan::manifest::KeptDataSet;
use plan::ports::{Context, Event, MarkRole};
use plan::{Class, Result};

use crate::address::Address;
use crate::blockers;
use crate::child::Call;
use crate::clients::Clients;
use crate::demands::{self, Demands};
use crate::facts;
use crate::mark::Tag;
use crate::place::Databases;
use crate::properties::Properties;
use crate::public::Public;
use crate::restore::{Archive, verdict};
use crate::rights::Rights;
use crate::rules::Omissions;
use crate::server::Server;
use crate::session::Session;
use crate::sql::{connection_string, identifier};
use crate::swap;
use crate::through_psql::Script;

/// What a restore works with.
pub(crate) struct Loading<'a> {
    /// The run.
    pub(crate) context: &'a Context,
    /// Of which data set.
    pub(crate) data_set: DataSetName,
    /// The live database's address.
    pub(crate) address: &'a Address,
    /// The application's role, where the address is a lent superuser's.
    pub(crate) own: Option<&'a Address>,
    /// Programs that can talk to the server and read the archive.
    pub(crate) clients: &'a Clients,
    /// The parts.
    pub(crate) archive: Archive,
    /// What the manifest says.
    pub(crate) kept: &'a KeptDataSet,
    /// In place: how long a lock is tried for.
    pub(crate) wait: Duration,
}

impl Loading<'_> {
    /// Makes the side database anew and loads it.
    ///
    /// # Errors
    /// When something is missing on the server or `pg_restore` fails; what was made stays for the next call.
    pub(crate) fn beside(&self, databases: &Databases) -> Result<()> {
        let mut session = Session::open_maintenance(self.address)?;
        let server = Server::read(&mut session)?;
        let stage = databases.stage.as_str();
        swap::refuse_others(&mut session, self.context, databases)?;
        blockers::drop_database(&mut session, stage)?;
        let live = Properties::read(&mut session, &databases.live, server.major)?;
        let roles = Rights::read(&mut session, &server)?;
        let (properties, differing) = Properties::staged(live, self.archive.properties()?, |owner| roles.may_be(owner));
        if !differing.is_empty() {
            self.warn(&format!("the database gets these of the set, in place of the live one's: {}", differing.join(", ")));
        }
        self.create(&mut session, &server, &properties, stage)?;
        let tag = Tag::of(self.context, self.data_set, MarkRole::Staged, &databases.live, properties.comment.clone());
        session.run(&tag.put_on(stage)?, "mark the side database")?;
        let side = self.address.with_database(stage);
        let mut loaded = Session::open(&side)?;
        if !facts::list(&self.kept.evidence, facts::SCHEMAS)?.contains("public") {
            loaded.run("DROP SCHEMA public", "drop the schema that the set does not have")?;
        }
        let (loader, rights) = self.loader(&side, &mut loaded, &server)?;
        let is_public_ours = rights.is_superuser || rights.owns_public;
        if is_public_ours && rights.public.is_some() && facts::major(&self.kept.evidence, facts::CLIENT_MAJOR)? >= 15 {
            // Not everybody's, takes pg_dump for granted since version 15; and grants it where it was.
            loaded.run("REVOKE CREATE ON SCHEMA public FROM PUBLIC", "make the schema public what the archive builds on")?;
        }
        let mut omissions = Omissions::of(&rights);
        self.load(&loader, &mut omissions)?;
        omissions.tell(self.context, self.data_set);
        self.tell_public(&mut loaded, &rights)?;
        session.run(&Tag { tolerance: omissions.tolerance, ..tag }.put_on(stage)?, "mark the side database")?;
        // pg_restore brings no statistics before version 18: without them the first minutes after the cut-over would be slow ones.
        loaded.cancellable(&[&self.context.stop], |session| session.run("ANALYZE", "gather the planner's statistics"))?;
        self.finish(&mut session, &properties, stage)
    }

    fn create(&self, session: &mut Session, server: &Server, properties: &Properties, stage: &str) -> Result<()> {
        let what = "create the side database";
        let statement = properties.create(stage, server.major, true)?;
        let created = session.cancellable(&[&self.context.stop], |session| session.run(&statement, what));
        match created {
            // The owner does not exist here, or our role cannot give to it.
            Err(error) if properties.owner != server.role && matches!(error.class(), Class::Refused | Class::Failed) => {
                let retried = session.run(&properties.create(stage, server.major, false)?, what);
                retried.map_err(|_| error)?;
                self.warn(&format!("the database is owned by {:?} instead of {:?}", server.role, properties.owner));
                Ok(())
            }
            created => created,
        }
    }

    /// As whom the set is loaded, and what he may make: the statements of a set run as a superuser only where they need one.
    fn loader(&self, side: &Address, loaded: &mut Session, server: &Server) -> Result<(Address, Rights)> {
        if let (Some(own), Some(demands)) = (self.own, Demands::of(&self.kept.evidence)?) {
            let own = own.with_database(&side.database);
            let mut session = Session::open(&own)?;
            let as_own = Server::read(&mut session)?;
            let rights = Rights::read(&mut session, &as_own)?;
            if demands.problems(&rights).is_empty() {
                return Ok((own, rights));
            }
        }
        Ok((side.clone(), self.rights(loaded, server)?))
    }

    /// What our role may make in the side database: an extension is tried, for the superusers of hosted servers are none by name.
    fn rights(&self, loaded: &mut Session, server: &Server) -> Result<Rights> {
        let mut rights = Rights::read(loaded, server)?;
        for name in facts::list(&self.kept.evidence, facts::EXTENSIONS)?
            .into_iter()
            .filter(|name| !rights.may_make_extension(name))
            .collect::<Vec<_>>()
        {
            // The one that is refused rolls back with its transaction, and so does the other.
            let tried = loaded.run(&format!("BEGIN; CREATE EXTENSION {} CASCADE", identifier(&name)), "try to make an extension");
            loaded.run("ROLLBACK", "take back the extension that was tried")?;
            if tried.is_ok() {
                rights.allow_extension(&name);
            }
        }
        Ok(rights)
    }

    fn load(&self, side: &Address, omissions: &mut Omissions<'_>) -> Result<()> {
        let what = "load the dump into the side database";
        if !self.clients.restores_directly() {
            return self.through_psql(side, omissions, &Script { first: "", in_one_transaction: false, what });
        }
        let call = Call::new("pg_restore", ["--format=custom", "--exit-on-error", "--no-password"])
            .and(["--dbname".to_owned(), connection_string(&side.database)])
            .fed();
        let mut pg_restore = self.clients.start(self.context, side, &call)?;
        let stdin = pg_restore.stdin()?;
        let poured = self.archive.pour(self.context, self.data_set, omissions, stdin)?;
        let said = verdict(poured, pg_restore.wait(), what)?;
        said.lines().for_each(|line| self.warn(&format!("pg_restore says: {line}")));
        Ok(())
    }

    /// Settings, grants and the like: what cannot be given is told, for the data is right without it.
    fn finish(&self, session: &mut Session, properties: &Properties, stage: &str) -> Result<()> {
        for statement in properties.finishing(stage) {
            match session.run(&statement, "give the side database its properties") {
                Ok(()) => {}
                Err(error) if error.class() == Class::Transient => return Err(error),
                // The value is not shown: it may be a secret.
                Err(error) => {
                    let shown = statement.split(" TO ").next().unwrap_or_default().replace(&identifier(stage), "…");
                    self.warn(&format!("left out: {shown}: {}", error.chain()));
                }
            }
        }
        self.context.stop.check()
    }

    /// Tells what of the schema `public` did not come back.
    pub(crate) fn tell_public(&self, session: &mut Session, rights: &Rights) -> Result<()> {
        let found = Public::read(session)?;
        let known = Demands::of(&self.kept.evidence)?.and_then(|demands| demands.public);
        let problem = match known {
            Some(public) => found.and_then(|found| public.problem_in(&found, rights)),
            None => demands::unknown_public(&self.kept.evidence, rights)?,
        };
        if let Some(problem) = problem {
            self.warn(&format!("{}. {}", problem.text, problem.way_out.unwrap_or_default()));
        }
        Ok(())
    }

    /// Tells the operator.
    pub(crate) fn warn(&self, text: &str) {
        self.context.watch.see(Event::Warning(&format!("{}: {text}", self.data_set)));
    }
}
