//! A server of HTTP that takes whatever is posted, and can refuse it or be silent.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};

/// What it does with what is posted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Taken,
    Refused,
    Silent,
}

/// See the module.
pub struct Sink {
    port: u16,
    posts: Receiver<(String, String)>,
}

impl Sink {
    pub fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, (sender, posts)) = (listener.local_addr().unwrap().port(), channel());
        std::thread::spawn(move || {
            let mut silent = Vec::new();
            for stream in listener.incoming().map_while(Result::ok) {
                if answer == Answer::Silent {
                    silent.push(stream);
                    continue;
                }
                let (said, mut stream) = read(stream);
                // Who has his answer has posted: it is known before.
                if sender.send(said).is_err() {
                    return;
                }
                let status = if answer == Answer::Taken { "200 OK" } else { "403 Forbidden" };
                write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
            }
        });
        Self { port, posts }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Path and body of all that was posted so far; whoever posted has had his answer.
    pub fn posts(&self) -> Vec<(String, String)> {
        let path = |line: String| line.split(' ').nth(1).unwrap().to_owned();
        self.requests().into_iter().map(|(line, body)| (path(line), body)).collect()
    }

    /// The same with the method before the path.
    pub fn requests(&self) -> Vec<(String, String)> {
        self.posts.try_iter().collect()
    }
}

fn read(stream: TcpStream) -> ((String, String), TcpStream) {
    let mut reader = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    reader.read_line(&mut head).unwrap();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if let Some(text) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = text.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    ((head.rsplit_once(' ').unwrap().0.to_owned(), String::from_utf8(body).unwrap()), reader.into_inner())
}
