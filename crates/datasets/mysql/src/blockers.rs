//! Names the connections that a lock waits for.

use plan::Error;

use crate::session::Session;

/// Connections that hold metadata locks, are in a long transaction or run a long statement, each with its number, user and age. What may not be seen is left
/// out; statements are not shown, they may hold data.
pub(crate) fn list(session: &mut Session) -> Vec<String> {
    let own = session.id();
    let sql = format!(
        "SELECT p.ID, p.USER, p.HOST, p.TIME, p.COMMAND, TIMESTAMPDIFF(SECOND, t.trx_started, NOW()) FROM information_schema.PROCESSLIST p \
         LEFT JOIN information_schema.INNODB_TRX t ON t.trx_mysql_thread_id = p.ID \
         WHERE p.ID <> {own} AND (t.trx_started IS NOT NULL OR (p.COMMAND = 'Query' AND p.TIME >= 1)) \
         ORDER BY COALESCE(TIMESTAMPDIFF(SECOND, t.trx_started, NOW()), p.TIME) DESC LIMIT 10"
    );
    let without_transactions = format!(
        "SELECT ID, USER, HOST, TIME, COMMAND, NULL FROM information_schema.PROCESSLIST WHERE ID <> {own} AND COMMAND NOT IN ('Daemon', 'Binlog Dump') \
         ORDER BY TIME DESC LIMIT 10"
    );
    let found = [sql, without_transactions].iter().find_map(|sql| session.rows_if_possible("look for blockers", sql).ok().flatten());
    let describe = |record: &crate::session::Answer| {
        let text = |index| record.text(index).unwrap_or_default();
        let transaction = record.maybe(5).ok().flatten().map_or_else(String::new, |age| format!(", transaction open for {age} s"));
        format!("connection {} of {}@{} ({} for {} s{transaction})", text(0), text(1), text(2), text(4).to_lowercase(), text(3))
    };
    found.unwrap_or_default().iter().map(describe).collect()
}

/// The error for a lock that was not had in time, naming who may hold it.
pub(crate) fn busy(session: &mut Session, what: &str) -> Error {
    let blockers = list(session);
    let error = Error::transient(what.to_owned());
    if blockers.is_empty() {
        return error.hint("No blocking connection can be seen: GRANT PROCESS ON *.* to this user, or look at SHOW PROCESSLIST.");
    }
    error
        .hint(format!("It may wait for: {}.", blockers.join("; ")))
        .hint("End that connection (KILL number) or wait for it, then try again.")
}
