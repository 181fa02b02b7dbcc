//! Of several restores of the same live database the newest is undone first. Each says so in the marks of those before it, which keep their previous data still: so an
//! earlier one is not taken back over what a later one has restored, also when that was settled and nothing else of it is left.

use plan::{Error, Result};

use super::mark::{MARK, Mark, Marks, Role, Seen, read, to_text};
use super::place::Spot;
use super::swap::State;
use super::transaction::{Commands, command};
use crate::connection::Connection;
use crate::server::Server;

/// Previous data that other runs keep of the same live database, whatever installation they say they are of: where, and its mark.
pub(crate) fn kept_by_others(connection: &mut Connection, server: &Server, marks: &Marks<'_>, spot: &Spot) -> Result<Vec<(u32, Mark)>> {
    let mut kept = Vec::new();
    for database in (0..1024).filter(|database| server.keys(*database).0 > 0) {
        connection.select(database)?;
        if let Ok(Seen::Mark(mark)) = read(connection, MARK)
            && (mark.role, mark.data_set, mark.live) == (Role::Previous, marks.data_set, spot.live)
            && mark.run != marks.placed.run
        {
            kept.push((database, *mark));
        }
    }
    Ok(kept)
}

/// Commands of a cut-over: those before it are replaced now. Any change of their marks by others undoes the transaction.
pub(crate) fn replaced(connection: &mut Connection, marks: &Marks<'_>, kept: &[(u32, Mark)]) -> Result<Commands> {
    let mut commands = Commands::new();
    for (database, mark) in kept.iter().filter(|(_, mark)| mark.replaced_by.is_none()) {
        marks.watch(connection, *database)?;
        let mark = to_text(&Mark { replaced_by: Some(marks.placed.run.clone()), ..mark.clone() })?;
        commands.extend([command(&["SELECT", &database.to_string()]), command(&["SET", MARK, &mark])]);
    }
    Ok(commands)
}

/// The run is taken back: what it has replaced is live again.
pub(crate) fn not_replaced_any_more(state: &mut State<'_>, marks: &Marks<'_>) -> Result<()> {
    let server = Server::ask(&mut state.connection)?;
    for spot in state.spots {
        for (database, mark) in kept_by_others(&mut state.connection, &server, marks, spot)? {
            if mark.replaced_by.as_ref() == Some(&marks.placed.run) {
                state.connection.select(database)?;
                let mark = to_text(&Mark { replaced_by: None, ..mark })?;
                state.connection.call(&[b"SET", MARK.as_bytes(), mark.as_bytes(), b"XX"])?;
            }
        }
    }
    Ok(())
}

/// What another run has replaced since is not taken away from under it: its own undo would then put back what this one restored.
pub(crate) fn check_newest(state: &mut State<'_>, marks: &Marks<'_>) -> Result<()> {
    let run = &marks.placed.run;
    for spot in state.spots {
        let Some(side) = spot.side else { continue };
        state.connection.select(side)?;
        let Seen::Mark(own) = read(&mut state.connection, MARK)? else { continue };
        let others = kept_by_others(&mut state.connection, &state.server, marks, spot)?;
        let later = others.into_iter().map(|(_, mark)| mark).find(|mark| mark.order > own.order);
        let has_replaced = |later: &str| Error::needs_person(format!("run {later} has replaced {} since run {run} did", spot.name));
        if let Some(later) = later {
            let later = &later.run;
            return Err(has_replaced(later)
                .hint(format!("Undo that one first (`undo {later}`), then this one; or settle it. Nothing was touched.")));
        }
        if let Some(later) = own.replaced_by {
            return Err(has_replaced(&later)
                .hint("That run keeps nothing any more (it was settled), so what is live is nowhere else. Nothing was touched.")
                .hint(format!("`settle {run}` drops what this run keeps; to go back, restore an older set.")));
        }
    }
    Ok(())
}
