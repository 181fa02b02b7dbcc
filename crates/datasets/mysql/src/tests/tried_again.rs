//! What the server ended for another session's sake is tried again, within bounds.

use mysql::prelude::Queryable;
use plan::ports::Road;
use plan::{Class, Error};

use super::kit::{KINDS, context, root, run, server, store};
use crate::place::Schemas;
use crate::session::{Session, Talk};

/// A procedure plays the server that ends a statement for another's sake: twice, and then no more.
#[test]
fn what_was_ended_for_anothers_sake_is_tried_again() {
    for kind in KINDS {
        let server = server(kind, &[]);
        let mut conn = root(&server, None);
        run(
            &mut conn,
            "CREATE DATABASE `system`;;\nUSE `system`;;\nCREATE TABLE tries (id INT) ENGINE = MyISAM;;\n\
             CREATE PROCEDURE p() BEGIN INSERT INTO tries VALUES (1); IF (SELECT COUNT(*) FROM tries) % 3 > 0 THEN \
             SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213, MESSAGE_TEXT = 'Deadlock found'; END IF; END",
        );
        let mut counter = root(&server, Some("system"));
        let mut tries = || counter.query_first::<u64, _>("SELECT COUNT(*) FROM tries").unwrap().unwrap();
        let schemas = Schemas::of("system", &context("1").run, Road::SideCopy, true);
        let mut session = store(&server, "system").restoring(Talk::Text, &schemas, Some("system")).unwrap();
        session.run("lose", "CALL p()").unwrap();
        assert_eq!(tries(), 3, "{kind:?}");
        // With a statement its transaction is gone: all of that is done again.
        let mut begun = 0;
        let work = |session: &mut Session| {
            begun += 1;
            session.run("lose", "CALL p()").map(drop)
        };
        session.in_transaction("lose", || Ok(()), work).unwrap();
        assert_eq!((begun, tries()), (3, 6), "{kind:?}");
        // Not for ever, and not when nobody wants it any more.
        run(
            &mut conn,
            "DROP PROCEDURE p;;\nCREATE PROCEDURE p() SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213, MESSAGE_TEXT = 'Deadlock found'",
        );
        assert_eq!(session.run("lose", "CALL p()").unwrap_err().class(), Class::Transient, "{kind:?}");
        let error =
            session.in_transaction("lose", || Err(Error::interrupted()), |session| session.run("lose", "CALL p()").map(drop)).unwrap_err();
        assert_eq!(error.class(), Class::Interrupted, "{kind:?}");
    }
}
