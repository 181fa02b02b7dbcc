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

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::sync::atomic::{AtomicU64, Ordering};

    use plan::Error;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn counting(life: Duration) -> (AskedTokens, Arc<AtomicU64>) {
        let asked = Arc::<AtomicU64>::default();
        let counted = Arc::clone(&asked);
        let give = move || Ok(AccountToken { token: format!("token-{}", counted.fetch_add(1, Ordering::SeqCst)).into(), life });
        (AskedTokens::new(give), asked)
    }

    /// As if it had been asked for so long ago.
    fn aged(tokens: &AskedTokens, age: Duration) {
        let mut held = tokens.held.lock().unwrap();
        let old = held.take().unwrap();
        *held = Some(Held { since: Instant::now().checked_sub(age).unwrap(), ..old });
    }

    #[test]
    fn a_token_is_asked_for_once_as_long_as_a_fifth_of_its_life_is_left() {
        let (tokens, asked) = counting(HOUR);
        tokens.file().unwrap();
        aged(&tokens, HOUR / 5 * 3);
        tokens.file().unwrap();
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        aged(&tokens, HOUR / 10 * 9);
        let (one, other) = (tokens.file().unwrap(), tokens.file().unwrap());
        assert_eq!(asked.load(Ordering::SeqCst), 2);
        assert_eq!((std::fs::read_to_string(one.path()).unwrap().as_str(), one.path()), ("token-1", other.path()));
    }

    #[test]
    fn a_file_is_there_as_long_as_somebody_uses_it() {
        let (tokens, _) = counting(Duration::ZERO);
        let old = tokens.file().unwrap();
        let new = tokens.file().unwrap();
        let read = |file: &TokenFile| std::fs::read_to_string(file.path()).unwrap();
        assert_eq!((read(&old), read(&new)), ("token-0".to_owned(), "token-1".to_owned()));
    }

    #[test]
    fn a_token_that_is_good_is_used_while_there_is_no_other_and_no_longer() {
        let given = Arc::<AtomicU64>::default();
        let counted = Arc::clone(&given);
        let tokens = AskedTokens::new(move || match counted.fetch_add(1, Ordering::SeqCst) {
            0 => Ok(AccountToken { token: "good".into(), life: HOUR }),
            _ => Err(Error::transient("the API server is away")),
        });
        tokens.file().unwrap();
        aged(&tokens, HOUR / 10 * 9);
        tokens.file().unwrap();
        aged(&tokens, HOUR);
        assert_eq!(tokens.file().map(drop).unwrap_err().class(), plan::Class::Transient);
        assert_eq!(given.load(Ordering::SeqCst), 3);
    }
}
