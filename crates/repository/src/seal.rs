//! Opens and seals what the engine's format encrypts, and unpacks it in bounded memory.
//!
//! The engine unpacks whatever it is given, however large it becomes, and compares nothing with its name. So everything that this program reads passes here:
//! a size is known, or bounded, before memory is asked for.

use std::io::Read as _;

use aes256ctr_poly1305aes::aead::Aead as _;
use aes256ctr_poly1305aes::{Aes256CtrPoly1305Aes, Key as RawKey, Nonce};
use plan::{Error, Result};
use rustic_core::repofile::MasterKey;

const NONCE_BYTES: usize = 16;
/// Nonce and authentication code: how much longer something is when sealed.
pub const SEAL_BYTES: u32 = 32;
/// First byte of a file that is packed; others begin with `{` or `[`.
const PACKED: u8 = 2;

/// The repository's key, ready for use. Deliberately without `Debug`.
#[derive(Clone)]
pub struct Key(Aes256CtrPoly1305Aes);

impl Key {
    /// # Errors
    /// When the parts of the key do not have the lengths of the format.
    pub fn new(master: &MasterKey) -> Result<Self> {
        Self::from_parts(&master.encrypt, &master.mac.k, &master.mac.r)
    }

    /// # Errors
    /// As [`Self::new`].
    pub fn from_parts(encrypt: &[u8], k: &[u8], r: &[u8]) -> Result<Self> {
        let raw = [encrypt, k, r].concat();
        if (encrypt.len(), k.len(), raw.len()) != (32, 16, 64) {
            return Err(Error::failed("failed to open the repository: its master key is not one"));
        }
        Ok(Self(Aes256CtrPoly1305Aes::new(RawKey::from_slice(&raw))))
    }

    /// What was sealed; `None` when it was not sealed with this key, or is damaged.
    pub fn open(&self, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, text) = sealed.split_at_checked(NONCE_BYTES)?;
        self.0.decrypt(Nonce::from_slice(nonce), text).ok()
    }

    /// Seals.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn seal(&self, plain: &[u8]) -> Result<Vec<u8>> {
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(|error| Error::failed("failed to get randomness").because(error))?;
        let text = self.0.encrypt(Nonce::from_slice(&nonce), plain).map_err(|_| Error::failed("encrypt"))?;
        Ok([&nonce[..], &text].concat())
    }

    /// Packs and seals the text of a small file.
    ///
    /// # Errors
    /// As [`Self::seal`].
    pub fn seal_file(&self, text: &[u8]) -> Result<Vec<u8>> {
        let packed =
            zstd::bulk::compress(text, zstd::DEFAULT_COMPRESSION_LEVEL).map_err(|error| Error::failed("compress").because(error))?;
        self.seal(&[&[PACKED][..], &packed].concat())
    }

    /// The text of a small file (snapshot, index), which may be packed; `Err` says what is wrong with it.
    pub fn open_file(&self, sealed: &[u8], bytes_max: u64) -> Result<Vec<u8>, &'static str> {
        let plain = self.open(sealed).ok_or("it cannot be decrypted")?;
        match plain.first() {
            Some(b'{' | b'[') => Ok(plain),
            Some(&PACKED) => unpack_at_most(&plain[1..], bytes_max),
            _ => Err("it is of no known format"),
        }
    }
}

/// Unpacks what becomes exactly `length` bytes; asks for no more memory than that.
pub fn unpack_exactly(packed: &[u8], length: usize) -> Result<Vec<u8>, &'static str> {
    let unpacked = zstd::bulk::decompress(packed, length).map_err(|_| "it cannot be unpacked to the length that it claims")?;
    if unpacked.len() == length { Ok(unpacked) } else { Err("it is shorter than it claims") }
}

fn unpack_at_most(packed: &[u8], bytes_max: u64) -> Result<Vec<u8>, &'static str> {
    let mut unpacked = Vec::new();
    let decoder = zstd::stream::read::Decoder::new(packed).map_err(|_| "it cannot be unpacked")?;
    decoder.take(bytes_max + 1).read_to_end(&mut unpacked).map_err(|_| "it cannot be unpacked")?;
    if unpacked.len() as u64 > bytes_max { Err("it is larger than such a file can be") } else { Ok(unpacked) }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn key() -> Key {
        Key::new(&MasterKey::new()).unwrap()
    }

    #[test]
    fn what_was_sealed_opens_with_the_same_key_only() {
        let (ours, theirs) = (key(), key());
        let sealed = ours.seal(b"text").unwrap();
        assert_eq!(sealed.len(), 4 + SEAL_BYTES as usize);
        assert_eq!(ours.open(&sealed).unwrap(), b"text");
        assert!(theirs.open(&sealed).is_none());
        for length in 0..sealed.len() {
            assert!(ours.open(&sealed[..length]).is_none());
        }
        for place in 0..sealed.len() {
            let mut bad = sealed.clone();
            bad[place] ^= 1;
            assert!(ours.open(&bad).is_none());
        }
    }

    #[test]
    fn what_unpacks_to_more_than_it_may_is_refused() {
        let packed = zstd::bulk::compress(&vec![0; 64 << 20], 3).unwrap();
        assert!(packed.len() < 10_000);
        assert!(unpack_exactly(&packed, 1 << 20).is_err());
        assert!(unpack_exactly(&packed, 65 << 20).is_err());
        assert!(unpack_at_most(&packed, (64 << 20) - 1).is_err());
        assert_eq!(unpack_at_most(&packed, 64 << 20).unwrap().len(), 64 << 20);
        assert_eq!(unpack_exactly(&packed, 64 << 20).unwrap().len(), 64 << 20);
        let key = key();
        let file = key.seal(&[&[PACKED][..], &packed].concat()).unwrap();
        assert!(key.open_file(&file, 1 << 20).is_err());
    }
}
