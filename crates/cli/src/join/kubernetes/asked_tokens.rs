//! Tokens for a role that are asked for at the cluster: kept in memory only, and asked for again before they end, because a run may take longer than one is good.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bucket::{TokenFile, Tokens};
use plan::Result;
use platforms::kubernetes::AccountToken;

use super::memory::InMemory;

type Ask = Box<dyn Fn() -> Result<AccountToken> + Send + Sync>;

/// See the module.
pub(super) struct AskedTokens {
    ask: Ask,
    held: Mutex<Option<Held>>,
}

struct Held {
    file: TokenFile,
    since: Instant,
    life: Duration,
}

impl Held {
    /// A part of its life that was lived, in fifths.
    fn is_older_than(&self, fifths: u32) -> bool {
        self.since.elapsed() >= self.life / 5 * fifths
    }
}

impl AskedTokens {
    pub(super) fn new(ask: impl Fn() -> Result<AccountToken> + Send + Sync + 'static) -> Self {
        Self { ask: Box::new(ask), held: Mutex::new(None) }
    }
}

impl Tokens for AskedTokens {
    /// The one that there is, as long as a fifth of its life is left, as the cluster's own nodes do; after that a new one, or the old one while it is good and there is
    /// no other to be had.
    fn file(&self) -> Result<TokenFile> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = held.as_ref().filter(|held| !held.is_older_than(4)) {
            return Ok(held.file.clone());
        }
        // Its life is counted from before it was asked for.
        let since = Instant::now();
        match ((self.ask)(), held.as_ref().filter(|held| !held.is_older_than(5))) {
            (Ok(token), _) => {
                let kept = InMemory::of(&token.token)?;
                let file = TokenFile::new(kept.path(), Arc::new(kept));
                *held = Some(Held { file: file.clone(), since, life: token.life });
                Ok(file)
            }
            (Err(_), Some(good)) => Ok(good.file.clone()),
            (Err(error), None) => Err(error),
        }
    }
}
