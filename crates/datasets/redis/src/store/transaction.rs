//! `MULTI` … `EXEC`: all or nothing, also for a crash of the program or of the server in between; and waiting until the server has written down what it did.

use std::time::Duration;

use plan::{Error, Result};

use crate::connection::{Connection, Reply};
use crate::server::Server;

/// How often a server is asked whether it is done.
const GLANCE: Duration = Duration::from_millis(20);

/// Commands of a transaction, as their arguments.
pub(crate) type Commands = Vec<Vec<Vec<u8>>>;

/// A command from texts.
pub(crate) fn command(arguments: &[&str]) -> Vec<Vec<u8>> {
    arguments.iter().map(|argument| argument.as_bytes().to_vec()).collect()
}

/// Runs the commands as one transaction. Whatever was watched must not have changed.
pub(crate) fn transaction(connection: &mut Connection, commands: &Commands) -> Result<()> {
    if unless_changed(connection, commands)? {
        return Ok(());
    }
    Err(Error::needs_person(format!("somebody else changed a marker of this run at {}", connection.peer()))
        .hint("Is another restore running against the same server?"))
}

/// Runs the commands as one transaction. Whether it was done: not when what was watched has changed.
pub(crate) fn unless_changed(connection: &mut Connection, commands: &Commands) -> Result<bool> {
    connection.call(&[b"MULTI"])?;
    for arguments in commands {
        let arguments: Vec<&[u8]> = arguments.iter().map(Vec::as_slice).collect();
        if let Err(error) = connection.call(&arguments) {
            // Best effort: the server drops the transaction with the connection anyway.
            drop(connection.ask(&[b"DISCARD"]));
            return Err(error);
        }
    }
    match connection.call(&[b"EXEC"])? {
        Reply::List(replies) => replies.into_iter().try_for_each(|reply| reply.ok().map(drop)).map(|()| true),
        _ => Ok(false),
    }
}

/// The same in one round trip, with what each command answered, refusals too; `None` when what was watched has changed.
pub(crate) fn in_one_trip(connection: &mut Connection, commands: &Commands) -> Result<Option<Vec<Reply>>> {
    let all: Commands = std::iter::once(command(&["MULTI"])).chain(commands.iter().cloned()).chain([command(&["EXEC"])]).collect();
    let mut replies = connection.together(&all)?;
    let end = replies.pop();
    // What could not be queued is why nothing was done.
    replies
        .into_iter()
        .try_for_each(|reply| reply.ok().map(drop))
        .map_err(|error| error.during(format!("a transaction at {}", connection.peer())))?;
    match end {
        Some(Reply::List(replies)) => Ok(Some(replies)),
        Some(reply) => reply.ok().map(|_| None),
        None => Ok(None),
    }
}

/// Runs commands that take keys away, in one transaction. Where the memory is full the server queues nothing (`processCommand` in `src/server.c`), and would not
/// for ever: there they are run one after the other, which it does not refuse. Each must be harmless without those after it.
pub(crate) fn clear(connection: &mut Connection, commands: &Commands) -> Result<()> {
    match transaction(connection, commands) {
        Err(error) if is_full(&error) => commands.iter().try_for_each(|arguments| {
            let arguments: Vec<&[u8]> = arguments.iter().map(Vec::as_slice).collect();
            connection.call(&arguments).map(drop)
        }),
        outcome => outcome,
    }
}

/// Waits until what was dropped in the background has given its memory back, as long as that takes: what comes next needs it.
pub(crate) fn wait_until_freed(connection: &mut Connection) -> Result<()> {
    while Server::ask(connection)?.number("lazyfree_pending_objects") > 0 {
        std::thread::sleep(GLANCE);
    }
    Ok(())
}

/// Whether a server refused a command because it has reached `maxmemory`.
pub(crate) fn is_full(error: &Error) -> bool {
    error.chain().contains("\"OOM ")
}

/// Waits until what was written is in the AOF, and starts a save where there are save points but no AOF, so that it survives a restart.
pub(crate) fn settle_writes(connection: &mut Connection, server: &Server) -> Result<()> {
    let now = Server::ask(connection)?;
    if now.number("aof_enabled") == 1 {
        if server.at_least(7, 2) {
            // Replies how many wrote it; in time or not, the status below decides.
            drop(connection.ask(&[b"WAITAOF", b"1", b"0", b"30000"])?);
        }
        let status = Server::ask(connection)?.field("aof_last_write_status").to_owned();
        if status != "ok" {
            return Err(Error::failed(format!("{} cannot write its AOF (aof_last_write_status: {status})", connection.peer()))
                .hint("What was done would be lost with a restart: look at its disk and its log."));
        }
        return Ok(());
    }
    let save = connection.ask(&[b"CONFIG", b"GET", b"save"])?.list();
    if save.get(1).is_some_and(|save| !save.text().is_empty()) {
        // Refused while another save runs; SCHEDULE then lets it follow.
        drop(connection.ask(&[b"BGSAVE", b"SCHEDULE"])?);
    }
    Ok(())
}
