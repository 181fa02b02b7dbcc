//! The superuser of a server in a pod of 3scale's own: at hand over the server's socket there, as the manual procedure uses it (`psql` in the pod), with no password.
//!
//! It lends us a role of a few hours that may be it, so that the side database is made, loaded, swapped and dropped by the superuser, and the application's role needs no
//! right that it has not got. The role goes with the value. One that was left behind by a kill says in its comment whose it is, is listed among what a run left, and goes with
//! the next loan of the same run; after a day it can no longer log in, and any loan drops it.
//! Its password is drawn for each loan, is in no argument, and leaves this process only as the verifier that the server stores.

use std::io::{self, Read, Write};

use plan::ports::{Context, Event, Input, Process, Program, StopFlag};
use plan::{Error, InstallationId, Result};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use crate::address::Address;
use crate::beside::{FIND, RemotePrograms};
use crate::child::of_stream;
use crate::session::Session;
use crate::sql::{identifier, literal};

/// How long a role can log in, when nobody takes it back.
const HOURS_MAX: u32 = 24;
/// What an answer has to say, at most.
const ANSWER_MAX_BYTES: usize = 4096;
/// What follows the last answer, at most.
const REST_MAX_BYTES: u64 = 4096;
/// The end of an answer, in SQL. No line end: a way into a pod may keep that back until more follows.
const END: &str = "chr(3)";
const END_BYTE: [u8; 1] = [3];
/// What is being done.
const ASKING: &str = "ask the superuser in the pod";

/// Nothing of what the image sets for its clients but where the socket is. As the system user where that is a superuser, else as `postgres`.
const PSQL: &str = "unset PGUSER PGPASSWORD PGHOSTADDR PGOPTIONS PGDATABASE PGSERVICE PGSSLMODE; export PGPORT=\"$1\"; \
     set -- psql -X -q -A -t -w -v ON_ERROR_STOP=1 -d postgres; \
     is_super=$(\"$@\" -c 'SELECT rolsuper FROM pg_roles WHERE rolname = current_user' 2>/dev/null </dev/null); \
     [ \"$is_super\" = t ] || export PGUSER=postgres; exec \"$@\"";

/// What tells a running server from all others: a copy of a data folder has the same identifier, and not the same moment of its start.
const SERVER: &str = "SELECT system_identifier || to_char(pg_postmaster_start_time() AT TIME ZONE 'UTC', ' YYYY-MM-DD HH24:MI:SS.US') FROM pg_control_system()";

/// The name of a lent role, as a regular expression.
const NAMES: &str = "^threescale_backup_[0-9a-f]{16}$";

/// A superuser of the server's pod, for a plan.
pub(crate) enum AtHand {
    /// Of this name.
    Named(String),
    /// None is.
    Nobody,
    /// That could not be asked.
    Unknown(Error),
}

/// The comment of a lent role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Whose {
    run: String,
    installation: InstallationId,
    /// The live database that it was lent for.
    live: String,
}

/// A lent role that is there.
pub(crate) struct Lent {
    pub(crate) role: String,
    pub(crate) run: String,
    pub(crate) installation: InstallationId,
    /// Its comment, as it stands there.
    pub(crate) text: String,
    /// Until when it can log in, for people.
    pub(crate) until: String,
}

/// The roles that were lent for a database and are still there: to a run that goes on, or to one that was killed.
///
/// # Errors
/// The server's.
pub(crate) fn lent(session: &mut Session, live: &str) -> Result<Vec<Lent>> {
    let query = format!(
        "SELECT rolname::text, coalesce(shobj_description(oid, 'pg_authid'), ''), coalesce(to_char(rolvaliduntil AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI'), '?') \
         FROM pg_roles WHERE rolname ~ '{NAMES}' ORDER BY rolname"
    );
    let rows = session.rows(&query, "look for roles that were lent")?;
    let read = |row: &postgres::Row| {
        let (role, text, until): (String, String, String) = (row.get(0), row.get(1), row.get(2));
        let whose: Whose = serde_json::from_str(&text).ok()?;
        (whose.live == live).then_some(Lent { role, run: whose.run, installation: whose.installation, text, until })
    };
    Ok(rows.iter().filter_map(read).collect())
}

/// Drops one that is still what it was. One that is gone is what is wanted.
///
/// # Errors
/// The server's.
pub(crate) fn take_back(session: &mut Session, role: &str) -> Result<()> {
    session.run(&format!("DROP ROLE IF EXISTS {}", identifier(role)), "drop a role that was lent")
}

/// An address whose sessions act as the superuser.
pub(crate) struct Loan {
    /// Where to log in, and as whom.
    pub(crate) address: Address,
    role: String,
    programs: RemotePrograms,
    /// The `psql` that lent it, and takes it back: each start of a program in a pod takes a good part of a second, and writers wait for a cut-over.
    talk: Option<Talk>,
    context: Context,
}

/// A superuser that is at hand.
pub(crate) struct Found {
    name: String,
    talk: Talk,
}

impl Found {
    /// Its name, where nothing more is wanted of it.
    pub(crate) fn into_name(self) -> String {
        // It was asked, and changed nothing: how it ends is no matter.
        drop(self.talk.end(""));
        self.name
    }
}

/// The superuser of the server that a session of ours is on; `None` when it is not at hand.
///
/// # Errors
/// When that cannot be asked: the pod cannot be reached, or lets nobody in without a password.
pub(crate) fn find(context: &Context, programs: &RemotePrograms, session: &mut Session) -> Result<Option<Found>> {
    if !programs.superuser {
        return Ok(None);
    }
    let ask = format!("SELECT ({SERVER}) || '|' || current_user FROM pg_roles WHERE rolname = current_user AND rolsuper");
    let ask = format!("SELECT coalesce(({ask}), '') || {END};\n");
    let (said, talk) = Talk::start(context, programs).and_then(|talk| talk.ask(&ask))?;
    let Some((server, name)) = said.split_once('|') else {
        drop(talk.end(""));
        return Ok(None);
    };
    let found = Found { name: name.to_owned(), talk };
    // The pod may be another server's: several behind one name.
    if session.row(SERVER, "ask for the cluster's identifier")?.get::<_, &str>(0) == server {
        return Ok(Some(found));
    }
    drop(found.into_name());
    Ok(None)
}

impl Loan {
    /// Lends the role; `None` where no superuser is at hand. `session` is one of ours on that server.
    ///
    /// # Errors
    /// When the pod cannot be reached, or the server refuses.
    pub(crate) fn take(context: &Context, programs: &RemotePrograms, address: &Address, session: &mut Session) -> Result<Option<Self>> {
        let Some(Found { name: superuser, talk }) = find(context, programs, session)? else { return Ok(None) };
        let (role, password) = (format!("threescale_backup_{}", drawn(8)?), SecretString::from(drawn(24)?));
        let verifier = postgres_protocol::password::scram_sha_256(password.expose_secret().as_bytes());
        let live = address.database.clone();
        let whose = Whose { run: context.run.to_string(), installation: context.installation.clone(), live };
        let whose = serde_json::to_string(&whose).map_err(|error| Error::failed("failed to write whose a role is").because(error))?;
        // A run is one process, and a database's verbs come one after the other: another role of the same run and database is of a call that was killed.
        let statements = format!(
            "SET log_statement = 'none'; SET log_min_duration_statement = -1; SET password_encryption = 'scram-sha-256';\n\
             SELECT format('DROP ROLE %I', rolname) FROM pg_roles WHERE rolname ~ '{NAMES}' \
               AND (rolvaliduntil < now() OR shobj_description(oid, 'pg_authid') = {whose}) \\gexec\n\
             BEGIN;\n\
             SELECT format('CREATE ROLE %I LOGIN NOINHERIT PASSWORD %L VALID UNTIL %L IN ROLE %I', {role}, {verifier}, now() + interval '{HOURS_MAX} hours', {superuser}) \\gexec\n\
             SELECT format('COMMENT ON ROLE %I IS %L', {role}, {whose}) \\gexec\n\
             COMMIT;\n\
             SELECT {END};\n",
            whose = literal(&whose),
            role = literal(&role),
            verifier = literal(&verifier),
            superuser = literal(&superuser),
        );
        let (_, talk) = talk.ask(&statements).map_err(|error| error.during("the superuser in the pod lends no role"))?;
        let address = Address { user: role.clone(), password: Some(password), acts_as: Some(superuser), ..address.clone() };
        Ok(Some(Self { address, role, programs: programs.clone(), talk: Some(talk), context: context.clone() }))
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        let statement = format!("DROP ROLE IF EXISTS {};\n", identifier(&self.role));
        if self.talk.take().is_some_and(|talk| talk.end(&statement).is_ok()) {
            return;
        }
        // A signal ended it, or its way was cut meanwhile. What cannot be dropped now can log in for some hours, and is dropped by the next loan.
        let context = Context { stop: StopFlag::default(), ..self.context.clone() };
        if let Err(error) = Talk::start(&context, &self.programs).and_then(|talk| talk.end(&statement)) {
            let text =
                format!("the role {} could not be dropped: {}; it can log in for {HOURS_MAX} hours at most", self.role, error.chain());
            context.watch.see(Event::Warning(&text));
        }
    }
}

/// A `psql` of the superuser's in the pod, logged in over the socket, that is asked one thing after the other.
struct Talk {
    input: Box<dyn Input>,
    output: Box<dyn Read + Send>,
    process: Box<dyn Process>,
}

impl Talk {
    fn start(context: &Context, programs: &RemotePrograms) -> Result<Self> {
        let port = programs.port.to_string();
        let program = Program::script(&format!("{FIND}{PSQL}"), &[&port]).with_input();
        let mut process = programs.remote.start(context, &program)?;
        let lacks = |what: &str| Error::failed(format!("{ASKING}: psql has no standard {what}"));
        let input = process.input().ok_or_else(|| lacks("input"))?;
        let output = process.output().ok_or_else(|| lacks("output"))?;
        Ok(Self { input, output, process })
    }

    /// What it says to statements whose last one says [`END`].
    ///
    /// # Errors
    /// When it ended before, or never began, with its own words.
    fn ask(mut self, statements: &str) -> Result<(String, Self)> {
        let written = self.input.write_all(statements.as_bytes()).and_then(|()| self.input.flush());
        let (mut said, mut byte) = (Vec::new(), [0]);
        loop {
            match self.output.read(&mut byte) {
                Ok(0) => {
                    self.end("")?;
                    written.map_err(|error| of_stream(error, ASKING))?;
                    return Err(Error::failed(format!("{ASKING}: psql ended before it answered")));
                }
                Ok(_) if byte == END_BYTE => break,
                Ok(_) if said.len() >= ANSWER_MAX_BYTES => return Err(Error::failed(format!("{ASKING}: its answer has no end"))),
                Ok(_) => said.extend(byte),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(of_stream(error, ASKING)),
            }
        }
        Ok((String::from_utf8_lossy(&said).trim().to_owned(), self))
    }

    /// The last statements.
    ///
    /// # Errors
    /// When it did not do them, as far as is known.
    fn end(self, statements: &str) -> Result<()> {
        let Self { mut input, output, process } = self;
        let written = input.write_all(statements.as_bytes()).map_err(|error| of_stream(error, ASKING)).and_then(|()| input.end());
        io::copy(&mut output.take(REST_MAX_BYTES), &mut io::sink()).map_err(|error| of_stream(error, ASKING))?;
        process.finish()?.success(ASKING)?;
        written
    }
}

fn drawn(bytes: usize) -> Result<String> {
    let mut drawn = vec![0_u8; bytes];
    getrandom::fill(&mut drawn).map_err(|error| Error::failed("failed to draw a password").because(error))?;
    Ok(drawn.iter().map(|byte| format!("{byte:02x}")).collect())
}
