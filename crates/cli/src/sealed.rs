//! Room for what is sorted outside of memory and holds credentials: files without a name, whose bytes are sealed under a key that is in memory only and was never used before.

use std::io::{self, Read, Seek, SeekFrom, Write};

use aes::Aes256;
use ctr::Ctr128BE;
use ctr::cipher::{KeyIvInit, StreamCipher, StreamCipherSeek};
use threescale::verify::Spill;

/// A file that is written from its begin to its end, and then read so.
struct Sealed<F> {
    inner: F,
    cipher: Ctr128BE<Aes256>,
    is_written: bool,
}

/// A new file.
pub(crate) fn room() -> io::Result<Box<dyn Spill>> {
    Ok(Box::new(Sealed::new(tempfile::tempfile()?)?))
}

impl<F> Sealed<F> {
    fn new(inner: F) -> io::Result<Self> {
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|error| io::Error::other(format!("the system gave no random bytes: {error}")))?;
        // Each file has a key of its own, so that no part of the key stream is used twice.
        Ok(Self { inner, cipher: Ctr128BE::new(&key.into(), &[0; 16].into()), is_written: false })
    }
}

impl<F: Write> Write for Sealed<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_written {
            return Err(io::Error::other("what is sealed is written once"));
        }
        let mut sealed = bytes.to_vec();
        self.cipher.apply_keystream(&mut sealed);
        self.inner.write_all(&sealed).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<F: Read> Read for Sealed<F> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(bytes)?;
        self.cipher.apply_keystream(bytes.get_mut(..length).unwrap_or_default());
        Ok(length)
    }
}

impl<F: Seek> Seek for Sealed<F> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        if to != SeekFrom::Start(0) {
            return Err(io::Error::other("what is sealed is read from its begin"));
        }
        self.is_written = true;
        self.cipher.seek(0_u64);
        self.inner.seek(to)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn what_is_sealed_comes_back_and_is_not_readable_in_the_file() {
        let secret = b"a credential, ".repeat(5000);
        let mut sealed = Sealed::new(Cursor::new(Vec::new())).unwrap();
        secret.chunks(777).for_each(|chunk| sealed.write_all(chunk).unwrap());
        assert_eq!(sealed.inner.get_ref().len(), secret.len());
        assert!(!sealed.inner.get_ref().windows(8).any(|window| window == b"a creden"));
        sealed.rewind().unwrap();
        let (mut back, mut piece) = (Vec::new(), [0; 1000]);
        loop {
            match sealed.read(&mut piece).unwrap() {
                0 => break,
                length => back.extend_from_slice(&piece[..length]),
            }
        }
        assert_eq!(back, secret);
        assert!(sealed.write(b"more").is_err() && sealed.seek(SeekFrom::End(0)).is_err());
        let mut other = Sealed::new(Cursor::new(Vec::new())).unwrap();
        other.write_all(&secret).unwrap();
        assert_ne!(other.inner.get_ref(), sealed.inner.get_ref(), "each file has its own key");
    }
}
