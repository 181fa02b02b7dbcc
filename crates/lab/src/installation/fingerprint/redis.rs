//! Redis: the server's own `DEBUG DIGEST-VALUE` of every key of the named logical databases, with its type and expiry.

use plan::Result;
use xxhash_rust::xxh3::xxh3_128;

use super::Fingerprint;
use crate::Redis;
use crate::link::{Answer, Link};

const KEYS_AT_ONCE: &str = "2000";

#[derive(Default)]
struct Sum {
    keys: u64,
    digest: u128,
}

impl Sum {
    /// Addition does not depend on the order in which SCAN finds keys.
    fn add(&mut self, text: &[u8]) {
        self.keys += 1;
        self.digest = self.digest.wrapping_add(xxh3_128(text));
    }

    fn told(&self) -> String {
        format!("{} keys, digest {:032x}", self.keys, self.digest)
    }
}

/// Counters of ids, which go on: a restore, and its undo, give none twice.
const COUNTERS: [&str; 2] = ["events/id", "alerts/current_id"];

pub(super) fn fingerprint(server: &Redis, databases: &[u32]) -> Result<Fingerprint> {
    let mut found = Fingerprint::new();
    for &db in databases {
        let mut link = Link::open(server, db)?;
        let (lasting, expiring) = sums(&mut link)?;
        for counter in COUNTERS {
            if matches!(link.call(&["EXISTS", counter])?, Answer::Number(1)) {
                found.insert(format!("db{db}/next-id/{counter}"), link.call(&["GET", counter])?.text());
            }
        }
        found.insert(format!("db{db}/lasting"), lasting.told());
        found.insert(format!("db{db}/expiring"), expiring.told());
    }
    Ok(found)
}

/// SCAN tells a key twice when the table is resized meanwhile; a resting server's does not.
fn sums(link: &mut Link) -> Result<(Sum, Sum)> {
    let (mut lasting, mut expiring, mut cursor) = (Sum::default(), Sum::default(), "0".to_owned());
    loop {
        let mut page = link.call(&["SCAN", &cursor, "COUNT", KEYS_AT_ONCE])?.list();
        let keys: Vec<Vec<u8>> = page.pop().map(Answer::list).unwrap_or_default().into_iter().map(Answer::into_bytes).collect();
        cursor = page.pop().map(|answer| answer.text()).unwrap_or_default();
        if !keys.is_empty() {
            let command: Vec<&[u8]> = [b"DEBUG".as_slice(), b"DIGEST-VALUE"].into_iter().chain(keys.iter().map(Vec::as_slice)).collect();
            let digests = link.call(&command)?.list();
            let expiries = link.each(&[b"PEXPIRETIME"], &keys)?;
            let types = link.each(&[b"TYPE"], &keys)?;
            for (((key, digest), expiry), kind) in keys.iter().zip(digests).zip(expiries).zip(types) {
                let text = [key.as_slice(), digest.text().as_bytes(), expiry.text().as_bytes(), kind.text().as_bytes()].join(&0);
                match expiry {
                    _ if COUNTERS.iter().any(|counter| key == counter.as_bytes()) => {}
                    // -1: none. -2: gone meanwhile.
                    Answer::Number(-1) => lasting.add(&text),
                    Answer::Number(-2) => {}
                    _ => expiring.add(&text),
                }
            }
        }
        if cursor == "0" || cursor.is_empty() {
            return Ok((lasting, expiring));
        }
    }
}
