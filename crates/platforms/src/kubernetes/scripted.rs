//! An API server that does what a test says, for what a real one cannot be made to do.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::future::Future;
use std::io::Write;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::{Cluster, Options};

pub(super) type Far = WebSocketStream<TcpStream>;
type Play = Box<dyn FnOnce(Far) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// What the server does with a request.
pub(super) enum Reply {
    Json(u16, Value),
    /// Closes the connection without a word.
    Nothing,
    /// Opens a WebSocket of this protocol.
    Socket(&'static str, Play),
}

/// A WebSocket that is played by a function.
pub(super) fn socket<F: Future<Output = ()> + Send + 'static>(
    protocol: &'static str,
    play: impl FnOnce(Far) -> F + Send + 'static,
) -> Reply {
    Reply::Socket(protocol, Box::new(move |far| Box::pin(play(far))))
}

/// A cluster whose API server answers by `reply` (method, path with query, body); one running pod is always there.
pub(super) fn cluster(reply: impl Fn(&str, &str, &str) -> Reply + Send + Sync + 'static) -> Cluster {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let (listener, reply) = (TcpListener::from_std(listener).unwrap(), Arc::new(reply));
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, Arc::clone(&reply)));
            }
        });
    });
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let kubeconfig = json!({"apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": format!("http://{address}")}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": "n"}}], "users": [{"name": "u", "user": {}}]});
    file.write_all(kubeconfig.to_string().as_bytes()).unwrap();
    let (patience, stall) = (Some(Duration::from_secs(20)), Some(Duration::from_secs(2)));
    Cluster::connect(&Options { kubeconfig: Some(file.path().to_owned()), patience, stall, ..Options::default() }).unwrap()
}

async fn serve(mut stream: TcpStream, reply: Arc<impl Fn(&str, &str, &str) -> Reply>) {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => return,
            }
        }
        let head = String::from_utf8(head).unwrap();
        let header = |name: &str| {
            let line = head.lines().find(|line| line.to_ascii_lowercase().starts_with(&format!("{name}:")))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let mut body = vec![0; header("content-length").map_or(0, |length| length.parse().unwrap())];
        stream.read_exact(&mut body).await.unwrap();
        let mut words = head.split_whitespace();
        let (method, path) = (words.next().unwrap(), words.next().unwrap());
        let answer = match (method, path) {
            ("GET", "/version") => Reply::Json(200, json!({"gitVersion": "v1.20.0"})),
            ("GET", "/api/v1/namespaces/n") => Reply::Json(200, json!({})),
            ("GET", "/api/v1/namespaces/n/pods/p") => Reply::Json(200, pod()),
            _ => reply(method, path, &String::from_utf8(body).unwrap()),
        };
        match answer {
            Reply::Nothing => return,
            Reply::Json(status, value) => {
                let text = value.to_string();
                let head = format!("HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", text.len());
                stream.write_all([head, text].concat().as_bytes()).await.unwrap();
            }
            Reply::Socket(protocol, play) => {
                let accept = derive_accept_key(header("sec-websocket-key").unwrap().as_bytes());
                let head = format!(
                    "HTTP/1.1 101 X\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: {accept}\r\nsec-websocket-protocol: {protocol}\r\n\r\n"
                );
                stream.write_all(head.as_bytes()).await.unwrap();
                return play(WebSocketStream::from_raw_socket(stream, Role::Server, None).await).await;
            }
        }
    }
}

fn pod() -> Value {
    json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c"}]}, "status": {"phase": "Running"}})
}

/// Sends bytes of a channel.
pub(super) async fn say(far: &mut Far, channel: u8, bytes: impl AsRef<[u8]>) {
    far.send(Message::Binary([&[channel], bytes.as_ref()].concat().into())).await.unwrap();
}

/// Reads until what came on the first channel ends so; pings are answered meanwhile.
pub(super) async fn hear(far: &mut Far, end: &str) -> Vec<u8> {
    let mut heard = Vec::new();
    while !heard.ends_with(end.as_bytes()) {
        match far.next().await {
            Some(Ok(Message::Binary(bytes))) => heard.extend_from_slice(bytes.get(1..).unwrap()),
            Some(Ok(_)) => {}
            other => panic!("{other:?} after {:?}", String::from_utf8_lossy(&heard)),
        }
    }
    heard
}
