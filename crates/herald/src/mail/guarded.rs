//! The connection to a mail server that says no more than it may: lettre reads a line to its end however long it is, and takes what came before TLS for an answer
//! that came after (RFC 3207, section 6).

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use lettre::transport::smtp::client::AsyncTokioStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What a server may say in one conversation, its part of TLS included.
pub(super) const HEARD_BYTES_MAX: usize = 1 << 20;
const SECURES: &[u8] = b"STARTTLS\r\n";

/// See the module.
#[derive(Debug)]
pub(super) struct Guarded<S> {
    stream: S,
    peer: SocketAddr,
    heard_bytes: usize,
    /// From the word STARTTLS to what is said next, which is TLS.
    is_securing: bool,
}

impl<S> Guarded<S> {
    pub(super) const fn new(stream: S, peer: SocketAddr) -> Self {
        Self { stream, peer, heard_bytes: 0, is_securing: false }
    }
}

impl<S: AsyncRead + Unpin> Guarded<S> {
    /// Whether there is more than the answer to STARTTLS, for which nobody asked.
    fn says_more(&mut self) -> bool {
        let (mut byte, mut context) = ([0], Context::from_waker(Waker::noop()));
        let mut more = ReadBuf::new(&mut byte);
        matches!(Pin::new(&mut self.stream).poll_read(&mut context, &mut more), Poll::Ready(Ok(()))) && !more.filled().is_empty()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        let before = to.filled().len();
        if me.is_securing && to.remaining() > 0 {
            // Who asks gets no byte beyond the answer, so that what is behind it is seen here.
            let mut byte = [0];
            let mut one = ReadBuf::new(&mut byte);
            ready!(Pin::new(&mut me.stream).poll_read(context, &mut one))?;
            to.put_slice(one.filled());
        } else {
            ready!(Pin::new(&mut me.stream).poll_read(context, to))?;
        }
        me.heard_bytes = me.heard_bytes.saturating_add(to.filled().len() - before);
        if me.heard_bytes > HEARD_BYTES_MAX {
            return Poll::Ready(Err(io::Error::other(format!("it says more than {HEARD_BYTES_MAX} bytes, which no mail server does"))));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let me = self.get_mut();
        if std::mem::take(&mut me.is_securing) && me.says_more() {
            let more = "more was said than the answer to STARTTLS, before TLS began: somebody between may have put it there";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, more)));
        }
        let written = ready!(Pin::new(&mut me.stream).poll_write(context, bytes))?;
        me.is_securing = bytes == SECURES;
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin + std::fmt::Debug> AsyncTokioStream for Guarded<S> {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.peer)
    }
}
