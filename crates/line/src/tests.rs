//! A line to a server that echoes, is silent, does not read, or is asked what it does.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use plan::Class;
use plan::ports::StopFlag;

use crate::{Doing, Limits, Line, Peer};

const QUIET: Duration = Duration::from_millis(400);

/// A server whose every connection is handled so.
fn server(handle: impl Fn(TcpStream) + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let handle = Arc::new(handle);
    std::thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let handle = Arc::clone(&handle);
            std::thread::spawn(move || handle(socket));
        }
    });
    port
}

fn echo(mut socket: TcpStream) {
    let mut other = socket.try_clone().unwrap();
    drop(std::io::copy(&mut socket, &mut other));
}

/// Keeps the connection open, and neither reads nor writes.
fn frozen(socket: TcpStream) {
    std::thread::park();
    drop(socket);
}

fn line(port: u16, stop: &StopFlag) -> (Line, TcpStream) {
    let line = Line::open("127.0.0.1", port, &Limits::new(QUIET, stop.clone())).unwrap();
    let client = TcpStream::connect(("127.0.0.1", line.port())).unwrap();
    (line, client)
}

/// What comes, until the line ends.
fn rest(mut client: TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    // Cut or closed: either way it ends.
    drop(client.read_to_end(&mut bytes));
    bytes
}

struct Always(Doing, AtomicU32, bool);

impl Peer for Always {
    fn ask(&self, end: bool, _limit: Duration) -> Doing {
        self.1.fetch_add(1, Ordering::SeqCst);
        if end && self.2 { Doing::Ended } else { self.0 }
    }
}

#[test]
fn bytes_pass_both_ways_on_several_connections_and_the_end_too() {
    let (line, first) = line(server(echo), &StopFlag::default());
    let second = TcpStream::connect(("127.0.0.1", line.port())).unwrap();
    for mut client in [first, second] {
        let sent: Vec<u8> = (0..3_000_000_u32).map(|number| u8::try_from(number % 251).unwrap()).collect();
        let (mut writer, expected) = (client.try_clone().unwrap(), sent.clone());
        let writing = std::thread::spawn(move || {
            writer.write_all(&sent).unwrap();
            writer.shutdown(std::net::Shutdown::Write).unwrap();
        });
        let mut came = Vec::new();
        client.read_to_end(&mut came).unwrap();
        writing.join().unwrap();
        assert!(came == expected);
    }
    assert!(line.fault().is_none());
}

#[test]
fn a_server_that_is_not_there_is_told_when_the_line_is_opened() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let error = Line::open("127.0.0.1", port, &Limits::new(QUIET, StopFlag::default())).err().unwrap();
    assert_eq!(error.class(), Class::Transient, "{error:?}");
}

#[test]
fn whoever_waits_in_vain_is_cut_loose_and_told() {
    let (line, client) = line(server(frozen), &StopFlag::default());
    let _waiting = line.waiting();
    assert!(rest(client).is_empty());
    let error = line.explain(plan::Error::failed("read"));
    assert_eq!(error.class(), Class::Transient, "{error:?}");
    assert!(error.hints().iter().any(|hint| hint.contains("io-seconds-max")), "{error:?}");
}

#[test]
fn a_server_that_does_not_read_is_noticed_too() {
    let (line, mut client) = line(server(frozen), &StopFlag::default());
    let _waiting = line.waiting();
    let chunk = vec![0; 1 << 20];
    while client.write_all(&chunk).is_ok() {}
    assert_eq!(line.fault().unwrap().class(), Class::Transient);
}

#[test]
fn silence_while_nobody_waits_is_nothing() {
    let (line, mut client) = line(server(echo), &StopFlag::default());
    {
        let waiting = line.waiting();
        let _pause = waiting.pause();
        std::thread::sleep(QUIET * 4);
    }
    client.write_all(b"still there").unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(rest(client), b"still there");
    assert!(line.fault().is_none());
}

#[test]
fn a_server_at_work_is_waited_for_and_one_that_says_nothing_is_not() {
    let (line, client) = line(server(frozen), &StopFlag::default());
    let peer = Arc::new(Always(Doing::Work, AtomicU32::new(0), false));
    line.set_peer(Arc::clone(&peer) as Arc<dyn Peer>);
    let _waiting = line.waiting();
    while peer.1.load(Ordering::SeqCst) < 3 {
        assert!(line.fault().is_none());
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    line.set_peer(Arc::new(Always(Doing::Nothing, AtomicU32::new(0), false)));
    assert!(rest(client).is_empty());
    assert_eq!(line.fault().unwrap().class(), Class::Transient);
}

#[test]
fn a_signal_ends_a_wait_in_the_midst_of_a_read() {
    for peer in [None, Some(Doing::Nothing), Some(Doing::Work)] {
        let stop = StopFlag::default();
        let (line, client) = line(server(frozen), &stop);
        if let Some(doing) = peer {
            // One that is at work is told to end.
            line.set_peer(Arc::new(Always(doing, AtomicU32::new(0), true)));
        }
        let _waiting = line.waiting();
        stop.raise();
        assert!(rest(client).is_empty());
        assert_eq!(line.fault().unwrap().class(), Class::Interrupted);
    }
}

#[test]
fn dropping_a_line_ends_its_connections() {
    let (line, client) = line(server(echo), &StopFlag::default());
    drop(line);
    assert!(rest(client).is_empty());
}
