//! What a door and this process say to each other: a question, then pieces of the answer, and how it ended.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;

use plan::Result;
use plan::ports::Context;
use plan::words::printable;
use runner::Looking;

/// A piece of the answer.
pub(super) const PIECE: u8 = b'p';
/// The answer is whole.
pub(super) const WHOLE: u8 = b'w';
/// Why there is no more of it.
pub(super) const FAILED: u8 = b'f';
/// More than any command line has.
const QUESTION_MAX_BYTES: u32 = 16 << 20;
const PIECE_BYTES: usize = 32 << 10;

/// Writes one message.
pub(super) fn send(to: &mut impl Write, what: u8, bytes: &[u8]) -> io::Result<()> {
    let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    to.write_all(&[what])?;
    to.write_all(&length.to_be_bytes())?;
    to.write_all(bytes)
}

/// Reads one message; `None` when nobody is there any more.
pub(super) fn receive(from: &mut impl Read) -> io::Result<Option<(u8, Vec<u8>)>> {
    let mut head = [0; 5];
    match from.read_exact(&mut head) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let [what, length @ ..] = head;
    let length = u32::from_be_bytes(length);
    if length > QUESTION_MAX_BYTES {
        return Err(io::Error::other("a message is longer than any that there is"));
    }
    let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    from.read_exact(&mut bytes)?;
    Ok(Some((what, bytes)))
}

/// Answers one question.
pub(super) fn answer(mut client: UnixStream, looking: &Looking<'_>, context: &Context) -> io::Result<()> {
    let Some((_, question)) = receive(&mut client)? else { return Ok(()) };
    let words: Vec<String> = serde_json::from_slice(&question).map_err(io::Error::other)?;
    let Some((name, words)) = words.split_first() else { return Ok(()) };
    let mut pieces = io::BufWriter::with_capacity(PIECE_BYTES, Pieces(client.try_clone()?));
    let answered: Result<()> = super::ask(looking, context, name, words, &mut pieces);
    pieces.flush()?;
    match answered {
        Ok(()) => send(&mut client, WHOLE, &[]),
        Err(error) => {
            let text = std::iter::once(error.chain()).chain(error.hints().iter().cloned()).collect::<Vec<_>>().join(". ");
            send(&mut client, FAILED, printable(&text).as_bytes())
        }
    }
}

struct Pieces(UnixStream);

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let piece = bytes.get(..bytes.len().min(PIECE_BYTES)).unwrap_or_default();
        send(&mut self.0, PIECE, piece).map(|()| piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn messages_come_as_they_were_sent_and_an_end_is_an_end() {
        let mut line = Vec::new();
        send(&mut line, PIECE, b"a\0b").unwrap();
        send(&mut line, WHOLE, b"").unwrap();
        let mut from = line.as_slice();
        assert_eq!(receive(&mut from).unwrap(), Some((PIECE, b"a\0b".to_vec())));
        assert_eq!(receive(&mut from).unwrap(), Some((WHOLE, Vec::new())));
        assert_eq!(receive(&mut from).unwrap(), None);
        assert!(receive(&mut &line[..6]).is_err(), "a message that broke off is no message");
    }
}
