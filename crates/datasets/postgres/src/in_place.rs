//! Replaces what is in the live database, in one transaction: it ends equal to the set, or stays as it was. For a role without CREATEDB.
//!
//! `pg_restore` turns the archive into statements for one `psql` session that has begun the transaction and emptied the database; `pg_restore`
//! writes the COMMIT last. Whatever fails before it, `psql` goes without one and the server rolls back.
//!
//! Meanwhile the database bears a mark. It goes with everything else, in the same transaction; after a kill it stays, and says that nobody ended the run.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use plan::{Error, Result};

use crate::blockers;
use crate::child::{Call, of_stream};
use crate::mark;
use crate::restore::{Omissions, verdict};
use crate::server::Server;
use crate::session::Session;
use crate::sql::connection_string;
use crate::stage::Loading;

/// How long sessions of others may take to go.
const CLEARING_WAIT: Duration = Duration::from_secs(10);

/// Empties the database of everything that `pg_dump` would take, in the transaction that the restore goes on in. Schemas go whole, but `public`, which may
/// belong to somebody else, is emptied; extensions stay, and what goes with its owner by itself (the sequence of an identity column). What our role may not drop fails, and all is as it was.
const EMPTY: &str = r"
\set ON_ERROR_STOP on
SET statement_timeout = 0; SET lock_timeout = '60s'; SET client_min_messages = warning;
BEGIN;
DO $empty$
DECLARE item record; home oid := (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = 'public');
BEGIN
  SET LOCAL search_path = pg_catalog;
  FOR item IN SELECT nspname FROM pg_namespace n WHERE nspname !~ '^pg_' AND nspname NOT IN ('information_schema', 'public')
      AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_namespace'::regclass AND d.objid = n.oid AND d.deptype = 'e') LOOP
    EXECUTE format('DROP SCHEMA %I CASCADE', item.nspname);
  END LOOP;
  FOR item IN SELECT oid, relname, relkind FROM pg_class c WHERE relnamespace = home AND relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
      AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
        AND (d.deptype = 'e' OR d.deptype = 'i' AND c.relkind = 'S')) LOOP
    IF EXISTS (SELECT 1 FROM pg_class WHERE oid = item.oid) THEN
      EXECUTE format('DROP %s public.%I CASCADE', CASE item.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW'
        WHEN 'f' THEN 'FOREIGN TABLE' WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, item.relname);
    END IF;
  END LOOP;
  FOR item IN SELECT oid, oid::regprocedure::text AS name FROM pg_proc c WHERE pronamespace = home
      AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = c.oid AND d.deptype IN ('e', 'i')) LOOP
    IF EXISTS (SELECT 1 FROM pg_proc WHERE oid = item.oid) THEN EXECUTE 'DROP ROUTINE ' || item.name || ' CASCADE'; END IF;
  END LOOP;
  FOR item IN SELECT oid, oid::regoperator::text AS name FROM pg_operator c WHERE oprnamespace = home
      AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_operator'::regclass AND d.objid = c.oid AND d.deptype IN ('e', 'i')) LOOP
    IF EXISTS (SELECT 1 FROM pg_operator WHERE oid = item.oid) THEN EXECUTE 'DROP OPERATOR ' || item.name || ' CASCADE'; END IF;
  END LOOP;
  FOR item IN SELECT oid, typname FROM pg_type c WHERE typnamespace = home AND typtype IN ('e', 'd', 'r', 'c') AND (typrelid = 0
      OR EXISTS (SELECT 1 FROM pg_class k WHERE k.oid = c.typrelid AND k.relkind = 'c'))
      AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_type'::regclass AND d.objid = c.oid AND d.deptype IN ('e', 'i')) LOOP
    IF EXISTS (SELECT 1 FROM pg_type WHERE oid = item.oid) THEN EXECUTE format('DROP TYPE public.%I CASCADE', item.typname); END IF;
  END LOOP;
  FOR item IN SELECT collname FROM pg_collation WHERE collnamespace = home LOOP
    EXECUTE format('DROP COLLATION public.%I CASCADE', item.collname);
  END LOOP;
  FOR item IN SELECT cfgname FROM pg_ts_config c WHERE cfgnamespace = home
      AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_ts_config'::regclass AND d.objid = c.oid AND d.deptype IN ('e', 'i')) LOOP
    EXECUTE format('DROP TEXT SEARCH CONFIGURATION public.%I CASCADE', item.cfgname);
  END LOOP;
  PERFORM lo_unlink(oid) FROM pg_largeobject_metadata;
  -- Back to what a new database has: nothing in a schema; of the global ones, all to the owner, functions and types to everybody.
  FOR item IN SELECT DISTINCT d.defaclrole::regrole AS role, CASE WHEN n.oid IS NULL THEN '' ELSE format('IN SCHEMA %I', n.nspname) END AS place,
        n.oid IS NULL AS everywhere, d.defaclobjtype AS kind,
        CASE d.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'FUNCTIONS' WHEN 'T' THEN 'TYPES' WHEN 'L' THEN 'LARGE OBJECTS' ELSE 'SCHEMAS' END AS things,
        CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END AS grantee
      FROM pg_default_acl d LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace CROSS JOIN LATERAL aclexplode(d.defaclacl) a
      WHERE pg_has_role(d.defaclrole, 'MEMBER') LOOP
    EXECUTE format('ALTER DEFAULT PRIVILEGES FOR ROLE %s %s REVOKE ALL ON %s FROM %s', item.role, item.place, item.things, item.grantee);
    IF item.everywhere THEN
      EXECUTE format('ALTER DEFAULT PRIVILEGES FOR ROLE %s GRANT ALL ON %s TO %s', item.role, item.things, item.role);
      IF item.kind IN ('f', 'T') THEN
        EXECUTE format('ALTER DEFAULT PRIVILEGES FOR ROLE %s GRANT ALL ON %s TO PUBLIC', item.role, item.things);
      END IF;
    END IF;
  END LOOP;
END
$empty$;
";

impl Loading<'_> {
    /// Replaces the contents of the live database.
    ///
    /// # Errors
    /// When anything fails: then the live database is as it was.
    pub(crate) fn in_place(&self) -> Result<()> {
        let mut session = Session::open(self.address)?;
        let server = Server::read(&mut session)?;
        let omissions = Omissions::find(&mut session, &server, &self.kept.evidence)?;
        omissions.tell(self.context, self.data_set);
        let cleared = blockers::end_sessions(&mut session, &[&self.address.database], Instant::now() + CLEARING_WAIT, &self.context.stop);
        // A session that stays does harm only when it holds a lock; the wait for locks is bounded, too.
        if let Err(error) = cleared {
            self.context.stop.check()?;
            self.warn(&format!("{}; {}", error.chain(), error.hints().join(" ")));
        }
        if !mark::put(&mut session, self.context, self.data_set, &self.address.database)? {
            self.warn(
                "a role that may not make schemas leaves no mark: a backup from elsewhere does not see that the data is being replaced",
            );
        }
        drop(session);
        let replaced = self.replace(&omissions);
        let mut session = match Session::open(self.address) {
            Ok(session) => session,
            Err(error) => return replaced.and(Err(error)),
        };
        if replaced.is_err() {
            // It is as it was. What cannot be removed now is removed by the next call.
            drop(mark::remove(&mut session, self.context));
        }
        replaced?;
        session.cancellable(&[&self.context.stop], |session| session.run("ANALYZE", "gather the planner's statistics"))
    }

    fn replace(&self, omissions: &Omissions) -> Result<()> {
        let what = "replace the contents of the live database (it is as it was)";
        let call = Call::new("psql", ["--no-psqlrc", "--quiet", "--no-password", "--set=ON_ERROR_STOP=1", "--file=-"])
            .and(["--dbname".to_owned(), connection_string(&self.address.database)])
            .fed();
        let mut psql = self.clients.start(self.context, self.address, &call)?;
        let call = Call::new("pg_restore", ["--format=custom", "--exit-on-error", "--single-transaction", "--file=-"])
            .and(omissions.arguments.iter().copied())
            .fed()
            .read()
            .offline();
        let mut pg_restore = self.clients.start(self.context, self.address, &call)?;
        let (archive_in, mut statements) = (pg_restore.stdin()?, pg_restore.stdout()?);
        let mut into = psql.stdin()?;
        let (poured, written) = std::thread::scope(|scope| {
            let pouring = scope.spawn(|| self.archive.pour(self.context, self.data_set, archive_in));
            let written = copy(&mut statements, &mut into);
            drop(statements);
            if written.is_err() {
                // Nobody reads any more: with pg_restore the pouring ends, too.
                pg_restore.stop();
            }
            (pouring.join(), written)
        });
        let poured = poured.map_err(|_| Error::failed("the thread that reads the repository panicked"))??;
        let converted = verdict(poured, pg_restore.wait(), "read the archive");
        if written.is_ok() {
            converted?;
        }
        // Without its end psql goes without a COMMIT, as long as it has not got one.
        let written = match written {
            Ok(()) => into.end(),
            Err(error) => {
                drop(into);
                Err(of_stream(error, what))
            }
        };
        verdict(written, psql.wait(), what)?;
        Ok(())
    }
}

/// Sends the emptying statements, then all that comes. Errors are those of the pipe to `psql`; a broken pipe from `pg_restore` shows in its exit status.
fn copy(statements: &mut impl Read, into: &mut impl Write) -> std::io::Result<()> {
    into.write_all(EMPTY.as_bytes())?;
    std::io::copy(statements, into)?;
    into.flush()
}

/// What `undo` says of a place that was restored in place.
pub(crate) fn no_way_back() -> Error {
    Error::needs_person("the data was replaced in place: there is no previous copy on the server")
        .hint("Restore the safety copy that was taken into the repository before: `restore` of the set marked as the run's safety copy.")
}
