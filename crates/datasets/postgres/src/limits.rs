//! How many sessions, and how many locks, the server lets us have.

use plan::ports::{Problem, Severity};
use plan::{Error, Result};

use crate::session::Session;
use crate::sql::identifier;

/// Sessions that a backup has at once, at least: the snapshot's, the one of `pg_dump`, one that counts.
const OF_BACKUP: i64 = 3;

/// Limits of the role, of the database and of the server (a superuser has the last one only), and what is left of each.
const LEFT: &str = "SELECT CASE WHEN NOT r.rolsuper AND r.rolconnlimit >= 0 THEN r.rolconnlimit::bigint END, \
            CASE WHEN NOT r.rolsuper AND r.rolconnlimit >= 0 THEN r.rolconnlimit - (SELECT count(*) FROM pg_stat_activity WHERE usesysid = r.oid) END, \
            CASE WHEN NOT r.rolsuper AND d.datconnlimit >= 0 THEN d.datconnlimit::bigint END, \
            CASE WHEN NOT r.rolsuper AND d.datconnlimit >= 0 THEN d.datconnlimit - (SELECT count(*) FROM pg_stat_activity WHERE datid = d.oid AND usesysid IS NOT NULL) END, \
            current_setting('max_connections')::bigint - (SELECT count(*) FROM pg_stat_activity WHERE usesysid IS NOT NULL) \
              - CASE WHEN r.rolsuper THEN 0 ELSE current_setting('superuser_reserved_connections')::int + coalesce(current_setting('reserved_connections', true), '0')::int END, \
            r.rolname::text, d.datname::text \
     FROM pg_roles r, pg_database d WHERE r.rolname = session_user AND d.datname = current_database()";

/// How many more sessions this one's role can have in its database now.
///
/// # Errors
/// The server's.
fn sessions_left(session: &mut Session) -> Result<usize> {
    let row = session.row(LEFT, "ask how many sessions there can be")?;
    let left = [row.get::<_, Option<i64>>(1), row.get(3), Some(row.get(4))].into_iter().flatten().min().unwrap_or(0);
    Ok(usize::try_from(left).unwrap_or(0))
}

/// How many sessions can count: half of those that are left, the application needs its own.
///
/// # Errors
/// The server's.
pub(crate) fn counters(session: &mut Session) -> Result<usize> {
    Ok(sessions_left(session)?.div_ceil(2))
}

/// How many sessions can count, beside a `pg_dump`.
///
/// # Errors
/// [`plan::Class::Transient`] when there cannot be both.
pub(crate) fn counters_of_dump(session: &mut Session) -> Result<usize> {
    let left = sessions_left(session)?;
    left.checked_sub(1).filter(|counters| *counters > 0).map(|_| (left / 2).saturating_sub(1).max(1)).ok_or_else(|| {
        Error::transient(format!("a backup has {OF_BACKUP} sessions, and the server lets us have {} now", left + 1))
            .hint("See CONNECTION LIMIT of the role and of the database, and max_connections; `doctor` names the one that is reached.")
    })
}

/// What `doctor` says of them.
///
/// # Errors
/// The server's.
pub(crate) fn problems(session: &mut Session) -> Result<Vec<Problem>> {
    let row = session.row(LEFT, "ask how many sessions there can be")?;
    let (role, database): (String, String) = (row.get(5), row.get(6));
    let role_way = format!("ALTER ROLE {} CONNECTION LIMIT {}", identifier(&role), OF_BACKUP + 2);
    let database_way = format!("ALTER DATABASE {} CONNECTION LIMIT higher", identifier(&database));
    let limits = [
        (format!("role {role:?}"), row.get::<_, Option<i64>>(0), row.get::<_, Option<i64>>(1), role_way),
        (format!("database {database:?}"), row.get(2), row.get(3), database_way),
        ("the server".to_owned(), None, Some(row.get::<_, i64>(4)), "Raise max_connections, or stop clients".to_owned()),
    ];
    let mut problems = Vec::new();
    for (who, limit, left, way_out) in limits {
        // This session is one of them.
        let Some(left) = left.map(|left| left + 1).filter(|left| *left < OF_BACKUP) else { continue };
        let severity = if limit.is_some_and(|limit| limit < OF_BACKUP) { Severity::Blocks } else { Severity::Degrades };
        let of = limit.map_or_else(String::new, |limit| format!(" of {limit}"));
        problems.push(
            Problem::new(severity, format!("{who} can have {left}{of} sessions now, a backup and a restore have {OF_BACKUP} at once"))
                .way_out(way_out),
        );
    }
    problems.extend(locks(session)?);
    Ok(problems)
}

/// The snapshot's session and `pg_dump` lock each table, and a count its indexes with it.
fn locks(session: &mut Session) -> Result<Option<Problem>> {
    let row = session.row(
        "SELECT (SELECT count(*) FILTER (WHERE relkind IN ('r', 'p')) * 2 + count(*) FROM pg_class WHERE relkind IN ('r', 'p', 'i', 'S', 'v', 'm') AND relpersistence <> 't' \
                   AND relnamespace NOT IN (SELECT oid FROM pg_namespace WHERE nspname ~ '^pg_' OR nspname = 'information_schema')), \
                current_setting('max_locks_per_transaction')::bigint, current_setting('max_connections')::bigint + current_setting('max_prepared_transactions')::bigint",
        "ask how many locks there can be",
    )?;
    let (needed, each, sessions): (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
    if needed <= each * sessions {
        return Ok(None);
    }
    let text = format!("a backup takes up to {needed} locks, the server's table of locks is made for {}", each * sessions);
    let way_out = format!("ALTER SYSTEM SET max_locks_per_transaction = {}, and start the server anew", needed / sessions.max(1) + each);
    Ok(Some(Problem::new(Severity::Degrades, text).way_out(way_out)))
}
