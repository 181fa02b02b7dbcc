//! WebSockets of the API server: several channels of bytes in one connection, and whether it still lives.
//!
//! The client's own exec and port-forward are not used: they end a stream that broke like one that is whole, and do not say why a request was refused.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use http::header::{
    CONNECTION, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, Method, StatusCode};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::{client::generate_key, derive_accept_key};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error as SocketError, Message};

use super::error::ApiError;
use super::request::{Call, Line};

/// Bytes of one message that is sent. The servers copy in pieces of 32 KiB; more than this is of no use.
pub(super) const MESSAGE_BYTES: usize = 64 << 10;
/// No server sends messages near this size: more is not ours.
const MESSAGE_BYTES_MAX: usize = 16 << 20;
/// kubelets end a connection that they got nothing on for hours (4 by default); pings do not count.
const KEEP_ALIVE: Duration = Duration::from_secs(600);

type Stream = WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>;

/// The direction from the server.
pub(super) type Receiver = SplitStream<Stream>;

/// An open WebSocket: its two directions.
pub(super) struct Socket {
    pub sender: Sender,
    pub receiver: Receiver,
}

/// Opens a WebSocket. `protocols`, the preferred first. Repeated while the API server is away: nothing is begun before it is open.
pub(super) async fn open(line: &Line, path: &str, protocols: &'static str) -> Result<Socket, ApiError> {
    let key = generate_key();
    let mut call = Call::new(Method::GET, path);
    let key_value = HeaderValue::from_str(&key).map_err(|error| call.unanswered(error.to_string()))?;
    call.headers = vec![
        (CONNECTION, HeaderValue::from_static("Upgrade")),
        (UPGRADE, HeaderValue::from_static("websocket")),
        (SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13")),
        (SEC_WEBSOCKET_KEY, key_value),
        (SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocols)),
    ];
    let response = line.send(&call).await?;
    if !is_ours(response.status(), response.headers(), &key, protocols) {
        return Err(call.unanswered("it opened no WebSocket; a proxy between here and the API server may not let them through"));
    }
    let upgraded = hyper::upgrade::on(response).await.map_err(|error| call.unanswered(super::error::chain(&error)))?;
    let config = WebSocketConfig::default().max_message_size(Some(MESSAGE_BYTES_MAX)).max_frame_size(Some(MESSAGE_BYTES_MAX));
    let stream: Stream = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Client, Some(config)).await;
    let (sink, receiver) = stream.split();
    Ok(Socket { sender: Sender { sink, last_data: Instant::now() }, receiver })
}

/// Whether the answer opens the WebSocket that was asked for.
fn is_ours(status: StatusCode, headers: &HeaderMap, key: &str, protocols: &str) -> bool {
    let header = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).unwrap_or_default();
    status == StatusCode::SWITCHING_PROTOCOLS
        && header(SEC_WEBSOCKET_ACCEPT) == derive_accept_key(key.as_bytes())
        && protocols.split(", ").any(|protocol| protocol == header(SEC_WEBSOCKET_PROTOCOL))
}

/// The direction to the server.
pub(super) struct Sender {
    sink: SplitSink<Stream, Message>,
    last_data: Instant,
}

impl Sender {
    /// Sends a message that begins with its channel, and waits until it is on its way.
    pub(super) async fn send(&mut self, message: Bytes, alive: &Alive) -> Result<(), SocketError> {
        self.last_data = Instant::now();
        alive.sent.fetch_add(1, Ordering::SeqCst);
        self.sink.send(Message::Binary(message)).await
    }

    /// Asks for a sign of life; from time to time sends an empty message too, for servers that count messages only.
    pub(super) async fn ping(&mut self, alive: &Alive) -> Result<(), SocketError> {
        if self.last_data.elapsed() > KEEP_ALIVE {
            self.send(Bytes::from_static(&[0]), alive).await?;
        }
        let so_far = alive.sent.load(Ordering::SeqCst);
        self.sink.send(Message::Ping(so_far.to_be_bytes().to_vec().into())).await
    }

    /// Says that this is the end, as far as anybody still listens.
    pub(super) async fn close(mut self) {
        tokio::time::timeout(Duration::from_secs(5), self.sink.close()).await.ok();
    }
}

/// Whether the far side still answers.
///
/// While it has not read what was sent (a program that does not read its input, a server that is busy), it does not read pings either: then silence says
/// nothing, and only the kernel's retransmissions tell a dead peer.
#[derive(Debug)]
pub(super) struct Alive {
    /// Messages that were sent.
    sent: AtomicU64,
    /// Messages that were read over there when it answered last.
    read: AtomicU64,
    stall: Duration,
}

impl Alive {
    pub(super) fn new(stall: Duration) -> Self {
        Self { sent: AtomicU64::new(0), read: AtomicU64::new(0), stall }
    }

    /// How often to ping.
    pub(super) fn ping_every(&self) -> Duration {
        (self.stall / 4).min(Duration::from_secs(15))
    }

    /// How often to look.
    pub(super) fn look_every(&self) -> Duration {
        (self.stall / 8).min(Duration::from_secs(1))
    }

    /// Notes the answer to a ping.
    pub(super) fn answered(&self, payload: &[u8]) {
        if let Ok(count) = payload.try_into() {
            self.read.fetch_max(u64::from_be_bytes(count), Ordering::SeqCst);
        }
    }

    /// Whether a silence since `heard` means that the connection is dead.
    pub(super) fn is_dead(&self, heard: Instant) -> bool {
        heard.elapsed() > self.stall && self.sent.load(Ordering::SeqCst) <= self.read.load(Ordering::SeqCst)
    }

    /// The limit, for people.
    pub(super) fn stall(&self) -> Duration {
        self.stall
    }
}

/// What came from the server.
#[derive(Debug)]
pub(super) enum Arrived {
    /// Bytes of a channel.
    Data(u8, Bytes),
    /// The server said that this is the end.
    Closed,
    /// The connection broke: nobody said that this is the end.
    Broken(String),
    /// Nothing for a while; time to look around.
    Nothing,
}

/// Waits for the next message.
pub(super) async fn next(receiver: &mut Receiver, alive: &Alive, heard: &mut Instant) -> Arrived {
    loop {
        let message = match tokio::time::timeout(alive.look_every(), receiver.next()).await {
            Ok(message) => message,
            Err(_) if alive.is_dead(*heard) => {
                return Arrived::Broken(format!("nothing came for {} seconds, no answer to pings either", alive.stall().as_secs()));
            }
            Err(_) => return Arrived::Nothing,
        };
        *heard = Instant::now();
        match message {
            Some(Ok(Message::Binary(bytes))) if bytes.is_empty() => {}
            Some(Ok(Message::Binary(mut bytes))) => {
                let channel = bytes.split_to(1);
                return Arrived::Data(channel.first().copied().unwrap_or_default(), bytes);
            }
            Some(Ok(Message::Pong(payload))) => alive.answered(&payload),
            Some(Ok(Message::Close(_))) => return Arrived::Closed,
            Some(Ok(_)) => {}
            Some(Err(error)) => return Arrived::Broken(super::error::chain(&error)),
            None => return Arrived::Broken("the connection ended without a word".to_owned()),
        }
    }
}

/// A message of a channel.
pub(super) fn message(channel: u8, bytes: &[u8]) -> Bytes {
    let mut message = Vec::with_capacity(bytes.len() + 1);
    message.push(channel);
    message.extend_from_slice(bytes);
    message.into()
}
