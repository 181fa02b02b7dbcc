//! Answers questions about the staged copy: a command that reads, in one of the databases of the place.

use std::io::Write;

use plan::error::During;
use plan::ports::{Context, Staged};
use plan::{Error, Result};

use super::RedisStore;
use super::place::Placed;
use crate::connection::{Connection, Reply};
use crate::rights::{For, RIGHTS};

impl RedisStore {
    /// How it is looked at.
    pub(crate) fn staged_at(placed: &Placed) -> Option<Staged> {
        placed.servers.iter().flatten().any(|spot| spot.side.is_some()).then_some(Staged::Answers)
    }

    /// `-n NUMBER COMMAND …`: 0 is the storage (or System's database), 1 the queues. What comes back, as `redis-cli` writes it into a pipe: a line for each element.
    pub(crate) fn answer(&self, context: &Context, placed: &Placed, words: &[String], to: &mut dyn Write) -> Result<()> {
        let (number, command) = match words {
            [option, number, command @ ..] if option == "-n" => (number.as_str(), command),
            command => ("0", command),
        };
        let first = command.first().ok_or_else(|| Error::refused("there is no command").hint("Write `-n 0 GET KEY`."))?;
        let known: Vec<_> = RIGHTS.iter().filter(|right| right.of == For::Look).map(|right| right.command.to_uppercase()).collect();
        if !known.contains(&first.to_uppercase()) {
            return Err(
                Error::refused(format!("{first} is no command that reads a few keys")).hint(format!("Known are {}.", known.join(", ")))
            );
        }
        let mut spots: Vec<_> =
            placed.servers.iter().zip(&self.servers).flat_map(|(spots, at)| spots.iter().map(move |spot| (at, spot))).collect();
        spots.sort_by_key(|(_, spot)| spot.name == "queues");
        let found = number.parse::<usize>().ok().and_then(|number| spots.get(number)).and_then(|(at, spot)| Some((*at, spot.side?)));
        let (at, side) = found.ok_or_else(|| {
            Error::refused(format!("there is no staged database {number}")).hint(format!("There are {}, counted from 0.", spots.len()))
        })?;
        let mut connection: Connection = self.connect(context, at)?;
        connection.select(side)?;
        let arguments: Vec<_> = command.iter().map(|word| word.as_bytes()).collect();
        let mut text = Vec::new();
        written(&connection.call(&arguments)?.ok()?, &mut text);
        to.write_all(&text).during(|| "write the answer".to_owned())
    }
}

fn written(reply: &Reply, to: &mut Vec<u8>) {
    match reply {
        Reply::List(list) => return list.iter().for_each(|one| written(one, to)),
        Reply::Bytes(bytes) => to.extend_from_slice(bytes),
        other => to.extend_from_slice(other.text().as_bytes()),
    }
    to.push(b'\n');
}
