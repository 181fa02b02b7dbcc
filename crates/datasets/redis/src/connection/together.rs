//! Several commands in one round trip.

use plan::{Error, Result};

use super::{Connection, Reply};

impl Connection {
    /// Sends commands together and reads their replies, in their order; a refusal is a reply like any other.
    pub(crate) fn together(&mut self, commands: &[Vec<Vec<u8>>]) -> Result<Vec<Reply>> {
        let dies = self.dies();
        if dies == Some(false) {
            return Err(Error::transient("pretended crash before commands"));
        }
        for arguments in commands {
            let arguments: Vec<&[u8]> = arguments.iter().map(Vec::as_slice).collect();
            self.push(&arguments);
        }
        self.flush()?;
        let replies = commands.iter().map(|_| self.reply()).collect::<Result<Vec<_>>>()?;
        if dies.is_some() { Err(Error::transient("pretended crash after commands")) } else { Ok(replies) }
    }
}
