//! Carries a program's streams between the WebSocket and their blocking ends, and finds out how it ended.
//!
//! Two halves that never wait for each other: what comes, and what goes. Memory is bounded by the queues between them and the blocking ends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use plan::ports::{Ended, StopFlag};
use plan::{Class, Error};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};

use super::script::{BYE, OVER, Trailer};
use super::streams::{Outgoing, Piece, STDIN};
use crate::kubernetes::websocket::{Alive, Arrived, MESSAGE_BYTES, Receiver, Sender, Socket, message, next};

/// How much of what a program says on standard error is kept.
const SAID_BYTES: usize = 64 << 10;
/// How long the script may take to end after everything came.
const ENDING: Duration = Duration::from_secs(60);
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const STATUS: u8 = 3;

pub(super) type Ending = Result<Ended, Broken>;

/// How a stream broke. Told to each who asks: the reader, and `finish`.
#[derive(Debug, Clone)]
pub(super) struct Broken {
    class: Class,
    why: Arc<str>,
    hints: Arc<[String]>,
}

impl Broken {
    pub(super) fn new(class: Class, why: impl Into<String>) -> Self {
        Self { class, why: why.into().into(), hints: Arc::new([]) }
    }

    fn with_hints(self, hints: Vec<String>) -> Self {
        Self { hints: hints.into(), ..self }
    }

    pub(super) fn error(&self, place: &str) -> Error {
        if self.class == Class::Interrupted {
            return Error::interrupted();
        }
        let error = Error::new(self.class, format!("a program in {place} was cut off: {}", self.why));
        self.hints.iter().fold(error, |error, hint| error.hint(hint.clone()))
    }
}

/// What a stream needs to run.
pub(super) struct Pump {
    pub place: String,
    pub alive: Arc<Alive>,
    pub output: mpsc::Sender<Piece>,
    pub input: mpsc::Receiver<Outgoing>,
    pub stop: StopFlag,
    pub trailer: Trailer,
    /// What must not be repeated, should the program say it on standard error.
    pub secrets: Vec<SecretString>,
}

/// How far what comes has come, for what goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running,
    /// The whole output came: no input is wanted any more, the script may end.
    Arrived,
}

/// What the two halves come to.
enum Half {
    Ended(i32),
    Broken(Broken),
}

impl Pump {
    pub(super) async fn run(self, socket: Socket, greeting: Vec<u8>, ended: oneshot::Sender<Ending>) {
        let Self { place, alive, output, input, stop, trailer, secrets } = self;
        let (phase, phases) = watch::channel(Phase::Running);
        let mut coming = Coming { output, trailer, phase, said: Vec::new(), status: None, came: None, stop };
        let going = going(socket.sender, greeting, input, phases, &alive);
        let mut receiver = socket.receiver;
        let half = tokio::select! {
            half = coming.run(&mut receiver, &alive) => half,
            broken = going => Half::Broken(broken),
        };
        let mut said = String::from_utf8_lossy(&coming.said).into_owned();
        for secret in &secrets {
            said = said.replace(secret.expose_secret(), "***");
        }
        let ending = match half {
            Half::Ended(status) => Ok(Ended { status, said }),
            Half::Broken(broken) => {
                let mut hints = vec![format!("It was {place}; {} bytes of output had come.", coming.trailer.length())];
                if !said.trim().is_empty() {
                    hints.push(format!("It said: {}", said.trim().chars().take(2000).collect::<String>()));
                }
                let broken = if broken.hints.is_empty() { broken.with_hints(hints) } else { broken };
                coming.output.send(Piece::Broken(broken.clone())).await.ok();
                Err(broken)
            }
        };
        ended.send(ending).ok();
    }
}

/// What comes.
struct Coming {
    output: mpsc::Sender<Piece>,
    trailer: Trailer,
    phase: watch::Sender<Phase>,
    said: Vec<u8>,
    /// What the API server said about the end.
    status: Option<Result<(), Broken>>,
    /// The program's exit status, from the trailer.
    came: Option<(i32, Instant)>,
    stop: StopFlag,
}

impl Coming {
    async fn run(&mut self, receiver: &mut Receiver, alive: &Alive) -> Half {
        let mut heard = Instant::now();
        loop {
            let arrived = next(receiver, alive, &mut heard).await;
            if let Some(half) = self.take(arrived).await {
                return half;
            }
            if self.stop.is_raised() && self.came.is_none() {
                return Half::Broken(Broken::new(Class::Interrupted, "interrupted"));
            }
            if self.came.is_some_and(|(_, at)| at.elapsed() > ENDING) {
                return Half::Broken(Broken::new(Class::Transient, "it did not end after all its output had come"));
            }
        }
    }

    async fn take(&mut self, arrived: Arrived) -> Option<Half> {
        match arrived {
            Arrived::Data(STDOUT, bytes) => self.take_output(bytes).await,
            Arrived::Data(STDERR, bytes) => {
                let room = SAID_BYTES.saturating_sub(self.said.len()).min(bytes.len());
                self.said.extend_from_slice(bytes.get(..room).unwrap_or_default());
                None
            }
            Arrived::Data(STATUS, bytes) if !bytes.is_empty() => {
                self.status = Some(verdict(&bytes));
                self.conclude(None)
            }
            Arrived::Data(..) | Arrived::Nothing => None,
            Arrived::Closed => self.conclude(Some("the connection was closed")),
            Arrived::Broken(why) => self.conclude(Some(&why)),
        }
    }

    async fn take_output(&mut self, bytes: Bytes) -> Option<Half> {
        let data = self.trailer.take(bytes);
        // A reader that went away wants no more, but the end is still of interest: an early drop ends the whole process anyway.
        if !data.is_empty() {
            self.output.send(Piece::Data(data)).await.ok();
        }
        match self.trailer.status() {
            Some(Ok(status)) if self.came.is_none() => {
                self.came = Some((status, Instant::now()));
                self.output.send(Piece::End).await.ok();
                self.phase.send(Phase::Arrived).ok();
                None
            }
            Some(Err(why)) => Some(Half::Broken(Broken::new(Class::Transient, why))),
            _ => None,
        }
    }

    /// At the API server's word, or at the end of the connection.
    fn conclude(&self, gone: Option<&str>) -> Option<Half> {
        Some(match (&self.status, self.came, gone) {
            (Some(Ok(())), Some((status, _)), _) => Half::Ended(status),
            (Some(Ok(())), None, _) => {
                Half::Broken(Broken::new(Class::Transient, "its output was truncated, though the API server said that it ended well"))
            }
            (Some(Err(broken)), ..) => Half::Broken(broken.clone()),
            (None, _, Some(why)) => Half::Broken(Broken::new(Class::Transient, format!("{why}, and nobody said how it ended"))),
            (None, _, None) => return None,
        })
    }
}

/// What goes. Comes back only when it cannot go on.
async fn going(
    mut sender: Sender,
    greeting: Vec<u8>,
    mut input: mpsc::Receiver<Outgoing>,
    mut phases: watch::Receiver<Phase>,
    alive: &Alive,
) -> Broken {
    let lost = |error: tokio_tungstenite::tungstenite::Error| Broken::new(Class::Transient, crate::kubernetes::error::chain(&error));
    for piece in greeting.chunks(MESSAGE_BYTES) {
        if let Err(error) = sender.send(message(STDIN, piece), alive).await {
            return lost(error);
        }
    }
    let mut ping = tokio::time::interval(alive.ping_every());
    ping.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut is_ended, mut said_bye) = (false, false);
    loop {
        let sent = tokio::select! {
            // What the output's end means goes before frames that nobody reads any more.
            biased;
            changed = phases.changed(), if !said_bye => match changed {
                Ok(()) => {
                    said_bye = true;
                    let words = format!("{}{BYE}", if is_ended { "" } else { OVER });
                    is_ended = true;
                    // From here on writers are told that nobody reads.
                    input.close();
                    sender.send(message(STDIN, words.as_bytes()), alive).await
                }
                Err(_) => std::future::pending().await,
            },
            outgoing = input.recv(), if !is_ended => match outgoing {
                Some(Outgoing::Frame(messages)) => send_all(&mut sender, messages, alive).await,
                Some(Outgoing::End(words)) => {
                    is_ended = true;
                    sender.send(message(STDIN, words.as_bytes()), alive).await
                }
                Some(Outgoing::Abandoned) | None => {
                    sender.close().await;
                    return Broken::new(Class::Failed, "its input was not finished");
                }
            },
            _ = ping.tick() => sender.ping(alive).await,
        };
        if let Err(error) = sent {
            // What the server said before it went is of more interest.
            tokio::time::sleep(Duration::from_secs(1)).await;
            return lost(error);
        }
    }
}

async fn send_all(sender: &mut Sender, messages: Vec<Bytes>, alive: &Alive) -> Result<(), tokio_tungstenite::tungstenite::Error> {
    for message in messages {
        sender.send(message, alive).await?;
    }
    Ok(())
}

/// The API server's word about the end of the script, as a `Status`.
fn verdict(bytes: &[u8]) -> Result<(), Broken> {
    let status: Value = serde_json::from_slice(bytes).unwrap_or(Value::Null);
    if status["status"] == "Success" {
        return Ok(());
    }
    let code = status["details"]["causes"]
        .as_array()
        .and_then(|causes| causes.iter().find(|cause| cause["reason"] == "ExitCode"))
        .and_then(|cause| cause["message"].as_str());
    let failed = |why: &str| Broken::new(Class::Failed, why);
    Err(match code {
        // A pod that is deleted or evicted ends so, too (128 and SIGKILL): another one takes its place.
        Some("137") => {
            Broken::new(Class::Transient, "it was killed: its pod was ended, its input broke off, or the container has too little memory")
        }
        Some("126" | "127") => failed("the container has no usable shell (sh, head, tee, sha256sum, wc are needed)"),
        Some(code) => failed(&format!("its script ended with exit status {code}")),
        None => failed(status["message"].as_str().unwrap_or("the API server's last word cannot be read")),
    })
}
