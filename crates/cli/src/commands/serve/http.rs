//! A small server of HTTP/1: one request a connection, bounded in number, size and time. What it shows is no secret and cannot be changed through it.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;
use plan::{Error, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::request;
use super::shown::{Answer, Shown};

/// Connections at a time; who comes then waits until one of them ends, which is soon.
const CONNECTIONS_MAX: usize = 32;
/// How long a request may take to come, and its answer to be taken.
const REQUEST_TIME: Duration = Duration::from_secs(5);
const ANSWER_TIME: Duration = Duration::from_secs(10);
/// How long a connection that was answered is listened to: closed at once, what the other side still sends would cost it the answer.
const LINGER_TIME: Duration = Duration::from_secs(1);
const LINGER_BYTES_MAX: usize = 64 << 10;
/// How soon the end is noticed.
const LOOK_UP: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };

/// Answers until it is over, then lets the answers that are under way go out. The listener does not block.
pub(super) fn serve(listener: &TcpListener, is_over: &dyn Fn() -> bool, shown: &Arc<Shown>) -> Result<()> {
    let open = Arc::new(AtomicUsize::new(0));
    while !is_over() {
        if open.load(Ordering::Acquire) >= CONNECTIONS_MAX {
            std::thread::sleep(Duration::from_millis(20));
            continue;
        }
        match poll(&mut [PollFd::new(listener, PollFlags::IN)], Some(&LOOK_UP)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => continue,
            Ok(_) => {}
            Err(error) => return Err(Error::failed("failed to wait for connections").because(error)),
        }
        match listener.accept() {
            Ok((stream, _)) => begin(stream, &open, shown),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted | ErrorKind::ConnectionAborted) => {}
            Err(error) => {
                // No file is left for it: those that are open end by their limits.
                tracing::warn!("a connection was not taken: {error}");
                std::thread::sleep(Duration::from_millis(100));
            }
        }
    }
    let end = Instant::now() + ANSWER_TIME;
    while open.load(Ordering::Acquire) > 0 && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// One connection that is counted.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

fn begin(stream: TcpStream, open: &Arc<AtomicUsize>, shown: &Arc<Shown>) {
    open.fetch_add(1, Ordering::AcqRel);
    let counted = Counted(Arc::clone(open));
    let shown = Arc::clone(shown);
    let thread = std::thread::Builder::new().name("connection".to_owned()).spawn(move || {
        // Who went away is missed by nobody.
        drop(answer(stream, &shown));
        drop(counted);
    });
    if let Err(error) = thread {
        tracing::warn!("a connection was not answered: {error}");
    }
}

fn answer(mut stream: TcpStream, shown: &Shown) -> io::Result<()> {
    let read = request::read(&mut Bounded::new(&mut stream, REQUEST_TIME));
    let Some(read) = read else { return Ok(()) };
    let answer = match read {
        Ok(request) => shown.answer(&request),
        Err(refusal) => Answer::of_refusal(&refusal),
    };
    write(&mut Bounded::new(&mut stream, ANSWER_TIME), &answer)?;
    stream.shutdown(Shutdown::Write)?;
    let (mut rest, mut piece) = (0, [0; 1024]);
    let mut bounded = Bounded::new(&mut stream, LINGER_TIME);
    while rest < LINGER_BYTES_MAX {
        match bounded.read(&mut piece)? {
            0 => break,
            length => rest += length,
        }
    }
    Ok(())
}

fn write(to: &mut impl Write, answer: &Answer) -> io::Result<()> {
    let date = DateTimePrinter::new().timestamp_to_rfc9110_string(&Timestamp::now()).unwrap_or_default();
    let Answer { status, content_type, body, has_body } = answer;
    let allow = if status.starts_with("405") { "Allow: GET, HEAD\r\n" } else { "" };
    let head = format!(
        "HTTP/1.1 {status}\r\nDate: {date}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n{allow}Cache-Control: no-store\r\n\
         X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n",
        body.len()
    );
    to.write_all(head.as_bytes())?;
    if *has_body {
        to.write_all(body.as_bytes())?;
    }
    to.flush()
}

/// A stream for a time: the time of all that is read or written, not of each piece.
struct Bounded<'a> {
    stream: &'a mut TcpStream,
    end: Instant,
}

impl<'a> Bounded<'a> {
    fn new(stream: &'a mut TcpStream, time: Duration) -> Self {
        Self { stream, end: Instant::now() + time }
    }

    fn left(&self) -> io::Result<Duration> {
        let left = self.end.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
    }
}

impl Read for Bounded<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(self.left()?))?;
        self.stream.read(buffer)
    }
}

impl Write for Bounded<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(self.left()?))?;
        self.stream.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}
