//! `local_infile` of the server: switched on for a load where that may be, and given back the value that it had.

use plan::Result;

use crate::place::Schemas;
use crate::privileges::Grants;
use crate::record::{Document, Record};
use crate::session::Session;

/// Whether a user may switch it on.
pub(crate) fn may_switch(grants: &Grants) -> bool {
    ["SUPER", "SYSTEM_VARIABLES_ADMIN"].iter().any(|privilege| grants.everywhere(privilege))
}

/// Whether the server takes local files; switches that on where it may, noting the old value first. Without a record (release 0.1.0, in place) it is not touched.
pub(crate) fn open(session: &mut Session, schemas: &Schemas, record: &Record) -> Result<bool> {
    if session.variable("GLOBAL.local_infile")?.as_deref() == Some("1") {
        return Ok(true);
    }
    if !schemas.keeps_previous() {
        return Ok(false);
    }
    record.write(session, Document::LocalInfile, &false)?;
    match session.attempt("let the server take local files", "SET GLOBAL local_infile = 1")? {
        Ok(_) => Ok(true),
        Err(_) => record.remove(session, Document::LocalInfile).map(|()| false),
    }
}

/// Gives `local_infile` the value that it had.
pub(crate) fn put_back(session: &mut Session, record: &Record) -> Result<()> {
    if record.read::<bool>(session, Document::LocalInfile)? == Some(false) {
        // Who was killed before it was switched on has nothing to put back, and may lack the right.
        if session.variable("GLOBAL.local_infile")?.as_deref() == Some("1") {
            session.run("put local_infile back", "SET GLOBAL local_infile = 0")?;
        }
        record.remove(session, Document::LocalInfile)?;
    }
    Ok(())
}
