//! One forwarded connection: bytes both ways, and its end passed on as what it was.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};

use crate::kubernetes::websocket::{Alive, Arrived, MESSAGE_BYTES, Receiver, Sender, Socket, message, next};

const DATA: u8 = 0;
const ERROR: u8 = 1;
/// Each channel begins with the number of its port.
const PORT_BYTES: usize = 2;
/// A client that will send no more may wait for an answer, or may be gone: a closed socket does not tell. After this long without a byte for it, it is
/// gone; otherwise connections of clients that do not say goodbye would stay open over there for ever.
const LINGER: Duration = Duration::from_secs(60);

/// Carries a connection until its end. When it did not end well, that is told before the local side is reset: who is cut off may ask at once.
pub(super) async fn relay(local: TcpStream, socket: Socket, alive: &Arc<Alive>, tell: impl Fn(String)) {
    let Socket { mut sender, mut receiver } = socket;
    let mut local = Local { stream: local, is_whole: false };
    let (done, mut is_done) = tokio::sync::watch::channel(false);
    let result = {
        let (from_local, mut to_local) = local.stream.split();
        let up = up(from_local, &mut sender, alive, &done);
        let down = down(&mut receiver, &mut to_local, alive, &mut is_done);
        tokio::pin!(up, down);
        tokio::select! {
            result = &mut down => result,
            broken = &mut up => Err(broken),
        }
    };
    match result {
        Ok(()) => {
            local.stream.shutdown().await.ok();
            local.is_whole = true;
        }
        Err(why) => tell(why),
    }
    drop(local);
    sender.close().await;
}

/// The local side: reset when it is dropped before its end was reached, whoever drops it.
struct Local {
    stream: TcpStream,
    is_whole: bool,
}

impl Drop for Local {
    fn drop(&mut self) {
        if !self.is_whole {
            reset(&self.stream);
        }
    }
}

/// Ends a socket so that its other end sees that it broke.
pub(super) fn reset(local: &TcpStream) {
    local.set_zero_linger().ok();
}

/// From here to there. Comes back only when it broke: the end of what is sent is not the end of the connection.
async fn up(mut local: ReadHalf<'_>, sender: &mut Sender, alive: &Alive, done: &tokio::sync::watch::Sender<bool>) -> String {
    let mut ping = tokio::time::interval(alive.ping_every());
    ping.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut buffer, mut is_open) = (vec![0; MESSAGE_BYTES], true);
    loop {
        let sent = tokio::select! {
            read = local.read(&mut buffer), if is_open => match read {
                Ok(0) => {
                    // The protocol has no word for it; the rest of the answer is still wanted.
                    is_open = false;
                    done.send(true).ok();
                    Ok(())
                }
                Ok(count) => sender.send(message(DATA, buffer.get(..count).unwrap_or_default()), alive).await,
                Err(error) => return format!("the client went away: {error}"),
            },
            _ = ping.tick() => sender.ping(alive).await,
        };
        if let Err(error) = sent {
            // What came before it broke is passed on, and then why.
            tokio::time::sleep(Duration::from_secs(1)).await;
            return crate::kubernetes::error::chain(&error);
        }
    }
}

/// From there to here, until the connection ends.
async fn down(
    receiver: &mut Receiver,
    local: &mut WriteHalf<'_>,
    alive: &Alive,
    client_is_done: &mut tokio::sync::watch::Receiver<bool>,
) -> Result<(), String> {
    let (mut heard, mut data_heard) = (Instant::now(), Instant::now());
    let (mut data_head, mut error_head) = (PORT_BYTES, PORT_BYTES);
    let mut trouble = Vec::new();
    loop {
        match next(receiver, alive, &mut heard).await {
            Arrived::Data(DATA, mut bytes) => {
                drop(bytes.split_to(data_head.min(bytes.len())));
                data_head = 0;
                local.write_all(&bytes).await.map_err(|error| format!("the client went away: {error}"))?;
                data_heard = Instant::now();
                heard = data_heard;
            }
            Arrived::Data(ERROR, mut bytes) => {
                drop(bytes.split_to(error_head.min(bytes.len())));
                error_head = 0;
                trouble.extend_from_slice(bytes.get(..bytes.len().min(1000)).unwrap_or_default());
            }
            Arrived::Closed if trouble.is_empty() => return Ok(()),
            Arrived::Closed => return Err(String::from_utf8_lossy(&trouble).trim().to_owned()),
            Arrived::Broken(why) if trouble.is_empty() => return Err(why),
            Arrived::Broken(_) => return Err(String::from_utf8_lossy(&trouble).trim().to_owned()),
            Arrived::Data(..) | Arrived::Nothing => {}
        }
        if *client_is_done.borrow() {
            if client_is_done.has_changed().unwrap_or(false) {
                client_is_done.mark_unchanged();
                data_heard = Instant::now();
            }
            if data_heard.elapsed() > LINGER {
                return Err(format!("the client had no more to say, and got nothing for {} seconds", LINGER.as_secs()));
            }
        }
    }
}
