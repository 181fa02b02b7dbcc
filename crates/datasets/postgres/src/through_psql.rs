//! Loads an archive by statements: `pg_restore` only converts, `psql` has the session. For what has to happen in a transaction of ours, and for a `pg_restore` that
//! is newer than the server: it would say what that does not know.

use std::io::{BufRead, BufReader, Read, Write};

use plan::{Error, Result};

use crate::address::Address;
use crate::child::{Call, of_stream};
use crate::restore::verdict;
use crate::rules::Omissions;
use crate::sql::connection_string;
use crate::stage::Loading;

/// What `pg_restore` says at its beginning since version 17, whatever the server (`_doSetFixedOutputState` in `pg_backup_archiver.c`).
const UNKNOWN_BEFORE_17: &[u8] = b"SET transaction_timeout = 0;\n";

/// How what is to be loaded begins, and ends.
pub(crate) struct Script<'a> {
    /// Statements before those of the archive.
    pub(crate) first: &'a str,
    /// Whether `pg_restore` writes BEGIN and COMMIT.
    pub(crate) in_one_transaction: bool,
    /// What is being done.
    pub(crate) what: &'a str,
}

impl Loading<'_> {
    /// Loads into the database of an address.
    ///
    /// # Errors
    /// When anything fails: then the last COMMIT was not sent.
    pub(crate) fn through_psql(&self, address: &Address, omissions: &mut Omissions<'_>, script: &Script<'_>) -> Result<()> {
        let what = script.what;
        let call = Call::new("psql", ["--no-psqlrc", "--quiet", "--no-password", "--set=ON_ERROR_STOP=1", "--file=-"])
            .and(["--dbname".to_owned(), connection_string(&address.database)])
            .fed();
        let mut psql = self.clients.start(self.context, address, &call)?;
        let call = Call::new("pg_restore", ["--format=custom", "--exit-on-error", "--file=-"])
            .and(script.in_one_transaction.then_some("--single-transaction"))
            .fed()
            .read()
            .offline();
        let mut pg_restore = self.clients.start(self.context, address, &call)?;
        let (archive_in, statements) = (pg_restore.stdin()?, pg_restore.stdout()?);
        let mut into = psql.stdin()?;
        let (poured, written) = std::thread::scope(|scope| {
            let pouring = scope.spawn(|| self.archive.pour(self.context, self.data_set, omissions, archive_in));
            let written = copy(script.first, statements, &mut into, self.clients.restores_directly());
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

/// Sends the first statements, then all that comes. Errors are those of the pipe to `psql`; a broken pipe from `pg_restore` shows in its exit status.
fn copy(first: &str, statements: impl Read, into: &mut impl Write, knows_all: bool) -> std::io::Result<()> {
    into.write_all(first.as_bytes())?;
    let mut statements = BufReader::with_capacity(64 << 10, statements);
    let mut line = Vec::new();
    // At its beginning there are comments and settings only.
    while !knows_all && statements.read_until(b'\n', &mut line)? > 0 {
        let is_setting = line == b"\n"
            || [&b"--"[..], b"\\restrict", b"SET ", b"SELECT pg_catalog.set_config", b"BEGIN"].iter().any(|word| line.starts_with(word));
        if line != UNKNOWN_BEFORE_17 {
            into.write_all(&line)?;
        }
        line.clear();
        if !is_setting {
            break;
        }
    }
    std::io::copy(&mut statements, into)?;
    into.flush()
}
