//! Digests of secrets that may be seen, and the key that guards those in the evidence.
//!
//! A plain digest of a short password is the password to whoever tries all of them. Hence three kinds:
//! * the evidence (in the manifest, printed by `show --json`) is keyed with a *proof key* that lies in the snapshot only;
//! * what a plan shows is keyed with a key of the call, which is forgotten;
//! * what `fits` compares with is in the manifest beside its salt, so only long random tokens get a digest, a slow and short one; of the rest only whether
//!   they are there.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use plan::{Error, Result};
use sha2::{Digest as _, Sha256};

/// A key of random bytes. Not part of any output.
#[derive(Clone)]
pub(crate) struct SecretKey([u8; 32]);

impl SecretKey {
    pub(crate) fn random() -> Result<Self> {
        random().map(Self)
    }

    pub(crate) fn from_text(text: &str) -> Result<Self> {
        let mut key = [0; 32];
        hex::decode_to_slice(text.trim(), &mut key).map_err(|_| Error::failed("the proof key of the set is not 64 hexadecimal digits"))?;
        Ok(Self(key))
    }

    pub(crate) fn to_text(&self) -> String {
        hex::encode(self.0)
    }

    /// What the evidence counts for an element.
    pub(crate) fn element(&self, bytes: &[u8]) -> [u8; 32] {
        Sha256::new().chain_update(self.0).chain_update(bytes).finalize().into()
    }

    /// Eight digits for people.
    pub(crate) fn shown(&self, bytes: &[u8]) -> String {
        short(self.element(bytes))
    }
}

/// Of random tokens only: 16 characters or more, 8 of them different.
pub(crate) const TOKEN_LENGTH: usize = 16;
const ROUNDS: u32 = 50_000;

/// What a manifest may say of a value: `empty`, `present`, or a digest of a token that nobody guesses.
pub(crate) fn kept(salt: &str, value: &[u8]) -> String {
    let different = value.iter().collect::<std::collections::BTreeSet<_>>().len();
    if value.is_empty() {
        return "empty".to_owned();
    }
    if value.len() < TOKEN_LENGTH || different < TOKEN_LENGTH / 2 {
        return "present".to_owned();
    }
    let mut sum: [u8; 32] = Sha256::new().chain_update(salt).chain_update(value).finalize().into();
    for _ in 0..ROUNDS {
        sum = Sha256::new().chain_update(sum).chain_update(salt).chain_update(value).finalize().into();
    }
    short(sum)
}

/// A salt for [`kept`].
pub(crate) fn salt() -> Result<String> {
    random::<16>().map(hex::encode)
}

/// The bytes of an entry of a Secret's `data`.
pub(crate) fn decoded(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| Error::failed(format!("failed to get random bytes from the system: {error}")))?;
    Ok(bytes)
}

fn short(sum: [u8; 32]) -> String {
    hex::encode(&sum[..4])
}
