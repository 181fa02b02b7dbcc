//! How many connections a verb may have: the application needs its own. Changes nothing.

use plan::Result;
use plan::ports::Context;

use crate::session::Session;

/// Connections that a verb has besides its workers, at most: those that read definitions, hold them, look out, and end waits.
const OTHERS: u64 = 6;

/// As many workers as are wanted, but no more than half of the connections that the server has left, nor than it gives this user; one at least.
pub(crate) fn workers(session: &mut Session, context: &Context) -> Result<usize> {
    let number = |text: Option<String>| text.and_then(|text| text.parse::<u64>().ok());
    let (max, of_user) = (number(session.variable("GLOBAL.max_connections")?), number(session.variable("SESSION.max_user_connections")?));
    let connected = session.rows("read how many connections there are", "SHOW GLOBAL STATUS LIKE 'Threads_connected'")?;
    let connected = connected.first().map_or(0, |record| record.number(1));
    let own = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER = SUBSTRING_INDEX(USER(), '@', 1)";
    let own = session.rows("read how many connections this user has", own)?.first().map_or(0, |record| record.number(0));
    let half = max.map(|max| max.saturating_sub(connected) / 2);
    // 0 is no limit.
    let left = of_user.filter(|limit| *limit > 0).map(|limit| limit.saturating_sub(own));
    let most = [half, left]
        .into_iter()
        .flatten()
        .min()
        .map_or(usize::MAX, |most| usize::try_from(most.saturating_sub(OTHERS)).unwrap_or(usize::MAX));
    Ok(context.workers.min(most).max(1))
}
