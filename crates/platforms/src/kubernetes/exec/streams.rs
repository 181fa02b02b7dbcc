//! The blocking ends of a program's streams.

use std::io::{self, Read, Write};

use bytes::{Buf, Bytes};
use plan::ports::Input;
use plan::{Error, Result};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::pump::Broken;
use super::script;
use crate::kubernetes::websocket::{MESSAGE_BYTES, message};

/// Bytes of one frame of input: each costs a process over there.
const FRAME_BYTES: usize = 1 << 20;
/// The channel of standard input.
pub(super) const STDIN: u8 = 0;

/// What the pump passes on.
#[derive(Debug)]
pub(super) enum Piece {
    Data(Bytes),
    /// The whole came, proven.
    End,
    Broken(Broken),
}

/// What goes to the pump.
#[derive(Debug)]
pub(super) enum Outgoing {
    /// The messages of one frame: sent all or, with the connection, not at all.
    Frame(Vec<Bytes>),
    /// The end of the input.
    End(String),
    /// The input was dropped: the program must not see an end.
    Abandoned,
}

/// Standard output.
pub(super) struct Output {
    pieces: mpsc::Receiver<Piece>,
    left: Bytes,
    is_ended: bool,
    broken: Option<Broken>,
}

impl Output {
    pub(super) fn new(pieces: mpsc::Receiver<Piece>) -> Self {
        Self { pieces, left: Bytes::new(), is_ended: false, broken: None }
    }
}

impl Read for Output {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.left.is_empty() && !self.is_ended {
            if let Some(broken) = &self.broken {
                return Err(io::Error::other(broken.error("a container")));
            }
            match self.pieces.blocking_recv() {
                Some(Piece::Data(bytes)) => self.left = bytes,
                Some(Piece::End) => self.is_ended = true,
                Some(Piece::Broken(broken)) => self.broken = Some(broken),
                None => self.broken = Some(Broken::new(plan::Class::Failed, "its output was dropped")),
            }
        }
        let count = self.left.len().min(buffer.len());
        self.left.copy_to_slice(buffer.get_mut(..count).unwrap_or_default());
        Ok(count)
    }
}

/// Standard input.
pub(super) struct Stdin {
    frames: mpsc::Sender<Outgoing>,
    waiting: Vec<u8>,
    digest: Sha256,
    is_ended: bool,
}

impl Stdin {
    pub(super) fn new(frames: mpsc::Sender<Outgoing>) -> Self {
        Self { frames, waiting: Vec::new(), digest: Sha256::new(), is_ended: false }
    }

    fn send(&mut self, what: Outgoing) -> io::Result<()> {
        self.frames.blocking_send(what).map_err(|_| {
            io::Error::new(io::ErrorKind::BrokenPipe, "the program ended, or its connection broke, before it was given its whole input")
        })
    }

    fn send_frame(&mut self) -> io::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let bytes = std::mem::take(&mut self.waiting);
        self.digest.update(&bytes);
        let head = script::frame_head(bytes.len());
        let messages = std::iter::once(head.as_bytes()).chain(bytes.chunks(MESSAGE_BYTES)).map(|piece| message(STDIN, piece));
        self.send(Outgoing::Frame(messages.collect()))
    }
}

impl Write for Stdin {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.waiting.len() >= FRAME_BYTES {
            self.send_frame()?;
        }
        let count = bytes.len().min(FRAME_BYTES - self.waiting.len());
        self.waiting.extend_from_slice(bytes.get(..count).unwrap_or_default());
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send_frame()
    }
}

impl Input for Stdin {
    fn end(mut self: Box<Self>) -> Result<()> {
        let digest = |this: &Self| script::end_of_input(&script::hex_digest(this.digest.clone()));
        let sent = self.send_frame().and_then(|()| {
            let end = Outgoing::End(digest(&self));
            self.send(end)
        });
        self.is_ended = true;
        sent.map_err(|error| Error::failed("the program was not given its whole input").because(error))
    }
}

impl Drop for Stdin {
    fn drop(&mut self) {
        if !self.is_ended {
            // Waits for its turn like any other frame; when the pump is gone, there is nobody to tell.
            self.frames.blocking_send(Outgoing::Abandoned).ok();
        }
    }
}
