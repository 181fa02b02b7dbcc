//! HTTP/1.1 as far as clients of S3 speak it: bodies have lengths, connections stay.

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;

/// A request.
pub(super) struct Request {
    pub(super) method: String,
    /// Path and query, as they came.
    pub(super) target: String,
    /// By names in lower case.
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Vec<u8>,
}

impl Request {
    /// The path, as it came.
    pub(super) fn path(&self) -> &str {
        self.target.split_once('?').map_or(&self.target, |(path, _)| path)
    }

    /// Names and values of the query, as they came.
    pub(super) fn raw_query(&self) -> Vec<(&str, &str)> {
        let query = self.target.split_once('?').map_or("", |(_, query)| query);
        query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, ""))).collect()
    }

    /// A value of the query.
    pub(super) fn query(&self, name: &str) -> Option<String> {
        self.raw_query().into_iter().find(|(known, _)| *known == name).map(|(_, value)| decoded(value))
    }

    /// A header.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// `%41` as `A`.
pub(super) fn decoded(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text.bytes());
    while let Some(byte) = rest.next() {
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16)).and_then(|digit| u8::try_from(digit).ok());
        bytes.push(if byte == b'%' { digit(rest.next()).unwrap_or(0) * 16 + digit(rest.next()).unwrap_or(0) } else { byte });
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A response.
#[derive(Default)]
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    /// Instead of `body`: an object from this byte on, which nobody copies.
    pub(super) object: Option<(Arc<Vec<u8>>, usize)>,
    /// What a HEAD says of the body that it does not have.
    pub(super) length: Option<u64>,
    /// Whether the connection breaks in the middle of the body.
    pub(super) breaks: bool,
}

/// Serves a connection until it ends.
pub(super) fn serve(connection: &TcpStream, answer: impl Fn(&Request) -> Response) {
    connection.set_nodelay(true).unwrap_or_default();
    let mut reader = BufReader::new(connection);
    loop {
        let request = match read(&mut reader) {
            Ok(Some(request)) => request,
            Ok(None) => return,
            // Somebody speaks TLS, for example.
            Err(_) => return write(connection, &Response { status: 400, ..Response::default() }).unwrap_or_default(),
        };
        let response = answer(&request);
        if write(connection, &response).is_err() || response.breaks {
            drop(connection.shutdown(std::net::Shutdown::Both));
            return;
        }
    }
}

fn read(from: &mut BufReader<&TcpStream>) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if from.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let (method, target) = (words.next().unwrap_or_default().to_owned(), words.next().unwrap_or_default().to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        from.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    from.read_exact(&mut body)?;
    Ok(Some(Request { method, target, headers, body }))
}

fn write(mut to: &TcpStream, response: &Response) -> io::Result<()> {
    let mut head = format!("HTTP/1.1 {} S3\r\n", response.status);
    for (name, value) in &response.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let object = response.object.as_ref().and_then(|(bytes, from)| bytes.get(*from..)).unwrap_or_default();
    let body = if object.is_empty() { response.body.as_slice() } else { object };
    head.push_str(&format!("content-length: {}\r\n\r\n", response.length.unwrap_or(body.len() as u64)));
    let sent = if response.breaks { body.len() / 2 } else { body.len() };
    let mut bytes = head.into_bytes();
    // What is small goes in one packet.
    let first = sent.min(64 << 10);
    bytes.extend_from_slice(body.get(..first).unwrap_or_default());
    to.write_all(&bytes)?;
    to.write_all(body.get(first..sent).unwrap_or_default())
}
