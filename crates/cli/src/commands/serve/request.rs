//! The head of a request of HTTP/1 (RFC 9112): what is needed of it, read within bounds of size and time.

use std::io::{ErrorKind, Read};

/// A head is so long at most.
const HEAD_BYTES_MAX: usize = 8 << 10;

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Head,
    Other,
}

/// See the module.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) method: Method,
    /// Without a query.
    pub(super) path: String,
    /// Rather than the older text format.
    pub(super) wants_open_metrics: bool,
}

/// Why there is none.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Broken,
    TooLong,
    TooSlow,
}

/// Reads a head. `None` when nothing came, or the connection broke: there is nobody to answer.
pub(super) fn read(from: &mut impl Read) -> Option<Result<Request, Refusal>> {
    let mut head = Vec::new();
    let mut piece = [0; 1024];
    loop {
        match from.read(&mut piece) {
            Ok(0) => return (!head.is_empty()).then_some(Err(Refusal::Broken)),
            Ok(length) => head.extend_from_slice(piece.get(..length).unwrap_or_default()),
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return Some(Err(Refusal::TooSlow)),
            Err(_) => return None,
        }
        if let Some(end) = head.windows(4).position(|bytes| bytes == b"\r\n\r\n").filter(|end| *end <= HEAD_BYTES_MAX) {
            return Some(head.get(..end).and_then(parse).ok_or(Refusal::Broken));
        }
        if head.len() > HEAD_BYTES_MAX {
            return Some(Err(Refusal::TooLong));
        }
    }
}

fn parse(head: &[u8]) -> Option<Request> {
    let head = std::str::from_utf8(head).ok()?;
    let mut lines = head.split("\r\n");
    let mut words = lines.next()?.split(' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    let is_token = !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'-');
    if words.next().is_some() || !is_token || !version.starts_with("HTTP/1.") || target.contains(|sign: char| sign.is_control()) {
        return None;
    }
    let method = match method {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        _ => Method::Other,
    };
    let mut accepted = Vec::new();
    for line in lines {
        let (name, value) = line.split_once(':')?;
        if name.eq_ignore_ascii_case("accept") {
            accepted.push(value);
        }
    }
    Some(Request { method, path: path(target)?.to_owned(), wants_open_metrics: prefers_open_metrics(&accepted.join(",")) })
}

/// Of a target in origin form, or in absolute form, which a proxy sends.
fn path(target: &str) -> Option<&str> {
    let path = match target.strip_prefix("http://") {
        Some(rest) => rest.find('/').map_or("/", |begin| rest.get(begin..).unwrap_or("/")),
        None => target,
    };
    let path = path.split(['?', '#']).next()?;
    // `OPTIONS *` has no path, and is refused by its method.
    (path.starts_with('/') || path == "*").then_some(path)
}

/// Whether OpenMetrics is named, and no less than plain text.
fn prefers_open_metrics(accepted: &str) -> bool {
    let weight = |kind: &str| {
        let ranges = accepted.split(',').map(|range| range.split(';').map(str::trim));
        let of_kind = ranges.filter_map(|mut range| range.next().filter(|name| name.eq_ignore_ascii_case(kind)).map(|_| range));
        let weights = of_kind.map(|mut parameters| {
            let given = parameters.find_map(|parameter| parameter.strip_prefix("q=")).map(str::parse::<f32>);
            given.map_or(1.0, |given| given.unwrap_or(0.0))
        });
        weights.fold(0.0, f32::max)
    };
    let open = weight("application/openmetrics-text");
    open > 0.0 && open >= weight("text/plain")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn of(head: &str) -> Option<Result<Request, Refusal>> {
        read(&mut head.as_bytes())
    }

    fn good(head: &str) -> (Method, String, bool) {
        let request = of(head).unwrap().unwrap();
        (request.method, request.path, request.wants_open_metrics)
    }

    #[test]
    fn what_clients_send_is_understood() {
        assert_eq!(good("GET /metrics?x=1 HTTP/1.1\r\nHost: h\r\n\r\n"), (Method::Get, "/metrics".to_owned(), false));
        assert_eq!(good("HEAD http://h:1/status.json HTTP/1.0\r\n\r\n"), (Method::Head, "/status.json".to_owned(), false));
        assert_eq!(good("POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc").0, Method::Other);
        assert_eq!(good("OPTIONS * HTTP/1.1\r\n\r\n").0, Method::Other);
        // A method is written in capitals (RFC 9110, section 9.1).
        assert_eq!(good("get / HTTP/1.1\r\n\r\n").0, Method::Other);
    }

    #[test]
    fn the_format_is_the_one_that_is_liked_better() {
        let wants = |accept: &str| good(&format!("GET / HTTP/1.1\r\naccept: {accept}\r\n\r\n")).2;
        // Of Prometheus 2.42, 3 and before 2.5.
        assert!(wants(
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
        ));
        assert!(wants("application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.4,*/*;q=0.2"));
        assert!(!wants("text/plain;version=0.0.4;q=1,*/*;q=0.1"));
        assert!(!wants("text/plain, application/openmetrics-text;q=0.5") && !wants("application/openmetrics-text;q=0") && !wants("*/*"));
        assert!(good("GET / HTTP/1.1\r\nAccept: text/html\r\nACCEPT: application/openmetrics-text\r\n\r\n").2);
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for broken in [
            "\r\n\r\n",
            "GET /\r\n\r\n",
            "GET / HTTP/2\r\n\r\n",
            "GET  / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1 x\r\n\r\n",
            "GET metrics HTTP/1.1\r\n\r\n",
            "GET /\u{7} HTTP/1.1\r\n\r\n",
            "G\u{e4}T / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nno colon\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\n",
        ] {
            assert_eq!(of(broken), Some(Err(Refusal::Broken)), "{broken:?}");
        }
        assert_eq!(read(&mut &b"GET /\xff HTTP/1.1\r\n\r\n"[..]), Some(Err(Refusal::Broken)));
        assert_eq!(of(""), None);
        let long = |length: usize| of(&format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(length)));
        assert!(long(8000).unwrap().is_ok());
        assert_eq!(long(9000), Some(Err(Refusal::TooLong)));
        assert_eq!(read(&mut std::io::repeat(b'x')), Some(Err(Refusal::TooLong)));
    }

    #[test]
    fn whatever_comes_a_head_is_read_to_an_end() {
        let mut random = fastrand::Rng::with_seed(7);
        let words: [&[u8]; 12] =
            [b"GET", b" ", b"/", b"HTTP/1.1", b"\r\n", b"\r", b"\n", b":", b"accept", b"\xff", b"q=", b"application/openmetrics-text"];
        for _ in 0..20_000 {
            let bytes: Vec<u8> = (0..random.usize(..24)).flat_map(|_| words[random.usize(..words.len())].to_vec()).collect();
            drop(read(&mut bytes.as_slice()));
        }
    }
}
