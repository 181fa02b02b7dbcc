//! The road where replication is forbidden (managed services, ACL): `SCAN`, then `DUMP` and the expiry of each key, pipelined.
//!
//! What it gives is not one point in time: keys are read over the whole duration of the pass.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::io::{Read, Take};

use plan::{Error, Result};
use xxhash_rust::xxh3::xxh3_128;

use crate::connection::{Connection, Reply};
use crate::pass::{Keeper, Pass, printable, time_ms};
use crate::rdb::Format;
use crate::rdb::crc64::crc64;
use crate::rdb::source::{NoTap, Source, Tap};
use crate::rdb::walk::KeyHead;
use crate::server::Server;

/// Keys asked for in one `SCAN`.
const SCAN_COUNT: &[u8] = b"1000";
/// Values asked for at once, in bytes as far as the last ones tell: the server holds the replies in its memory.
const AHEAD_BYTES: u64 = 4 << 20;
/// Version and checksum after a dumped value.
const FOOTER_BYTES: u64 = 10;
/// `SCAN` may give a key twice while its table shrinks; both times are close together.
const SEEN_KEYS: usize = 1 << 18;

impl Pass<'_> {
    /// Reads the databases of the pass by `SCAN` and `DUMP`.
    pub(crate) fn by_scan<K: Keeper>(&mut self, connection: &mut Connection, server: &Server, mut keeper: K) -> Result<K> {
        let numbers: Vec<u32> = self.databases.iter().map(|database| database.number).collect();
        let format = dumped_format(connection, &numbers)?.unwrap_or_else(|| server.writes());
        self.format = Some(format);
        keeper.begin(format, &BTreeMap::from([("redis-ver".to_owned(), server.field("redis_version").as_bytes().to_vec())]))?;
        let mut reader = Reader::new(server);
        for position in 0..self.databases.len() {
            let number = self.databases.get(position).map_or(0, |database| database.number);
            keeper.database(position)?;
            connection.select(number)?;
            let mut seen = Seen::default();
            let mut cursor = b"0".to_vec();
            loop {
                let (next, mut keys) = page(connection, &cursor)?;
                keys.retain(|key| seen.is_new(key));
                let mut rest = keys.as_slice();
                while !rest.is_empty() {
                    let ahead = usize::try_from(AHEAD_BYTES / reader.average.max(1)).unwrap_or(1).clamp(1, 500).min(rest.len());
                    let (now, later) = rest.split_at(ahead);
                    keeper = reader.values(self, connection, format, position, now, keeper)?;
                    rest = later;
                    self.advance(reader.bytes)?;
                }
                if next == b"0" {
                    break;
                }
                cursor = next;
            }
        }
        keeper.end()?;
        self.tell();
        Ok(keeper)
    }

    /// Reads these keys of the first database of the pass, one after the other. The server is asked for one value at a time.
    pub(crate) fn by_keys(&mut self, connection: &mut Connection, server: &Server, keys: &[Vec<u8>]) -> Result<()> {
        let numbers: Vec<u32> = self.databases.iter().map(|database| database.number).collect();
        let format = dumped_format(connection, &numbers)?.unwrap_or_else(|| server.writes());
        let mut reader = Reader::new(server);
        for key in keys {
            reader.values(self, connection, format, 0, std::slice::from_ref(key), NoTap)?;
            self.context.stop.check()?;
        }
        Ok(())
    }
}

/// A page of keys, and where the next begins.
pub(crate) fn page(connection: &mut Connection, cursor: &[u8]) -> Result<(Vec<u8>, Vec<Vec<u8>>)> {
    let mut reply = connection.call(&[b"SCAN", cursor, b"COUNT", SCAN_COUNT])?.list().into_iter();
    let (Some(Reply::Bytes(next)), Some(keys)) = (reply.next(), reply.next()) else {
        return Err(Error::failed("SCAN answered something else than a cursor and keys"));
    };
    Ok((next, keys.list().into_iter().filter_map(|key| if let Reply::Bytes(key) = key { Some(key) } else { None }).collect()))
}

/// The format of what the server dumps, seen on any key.
pub(crate) fn dumped_format(connection: &mut Connection, databases: &[u32]) -> Result<Option<Format>> {
    for database in databases {
        connection.select(*database)?;
        let Reply::Bytes(key) = connection.call(&[b"RANDOMKEY"])? else { continue };
        connection.push(&[b"DUMP", &key]);
        connection.flush()?;
        let Ok(length) = connection.bulk_head()? else { continue };
        let mut left = length;
        let mut last = Vec::new();
        while left > 0 {
            let mut chunk = [0u8; 4096];
            let wanted = usize::try_from(left.min(4096)).unwrap_or(4096);
            let count = connection.read(chunk.get_mut(..wanted).unwrap_or_default()).map_err(crate::rdb::source::from_io)?;
            last.extend_from_slice(chunk.get(..count).unwrap_or_default());
            let keep = last.len().saturating_sub(10);
            last.drain(..keep);
            left -= count as u64;
        }
        connection.end_of_bulk()?;
        if let Some(version) = last.first_chunk::<2>() {
            return Ok(Some(Format::of_version(u16::from_le_bytes(*version))));
        }
    }
    Ok(None)
}

struct Reader {
    buffer: Vec<u8>,
    bytes: u64,
    average: u64,
    knows_expiry: bool,
}

/// How often a key is asked when it expires while its milliseconds passed.
const ASKED_MAX: usize = 100;

/// When keys expire, to the millisecond, from a server that tells only how long they still have (`PTTL`, before Redis 7.0): by its clock before and after, which is
/// the answer when no millisecond has passed between the two, and else is asked again.
pub(crate) fn expiries(connection: &mut Connection, keys: &[Vec<u8>]) -> Result<Vec<Option<u64>>> {
    let mut expiries = vec![None; keys.len()];
    let mut open: Vec<usize> = (0..keys.len()).collect();
    for _ in 0..ASKED_MAX {
        for key in open.iter().filter_map(|at| keys.get(*at)) {
            connection.push(&[b"TIME"]);
            connection.push(&[b"PTTL", key]);
            connection.push(&[b"TIME"]);
        }
        connection.flush()?;
        let mut again = Vec::new();
        for at in std::mem::take(&mut open) {
            let before_ms = time_ms(connection.reply()?.ok()?)?;
            let left_ms = connection.reply()?.ok()?.number().and_then(|left| u64::try_from(left).ok());
            let after_ms = time_ms(connection.reply()?.ok()?)?;
            if let Some(expiry) = expiries.get_mut(at) {
                *expiry = left_ms.map(|left| before_ms + left);
            }
            if left_ms.is_some() && before_ms != after_ms {
                again.push(at);
            }
        }
        if again.is_empty() {
            break;
        }
        open = again;
    }
    Ok(expiries)
}

impl Reader {
    fn new(server: &Server) -> Self {
        Self { buffer: vec![0; 64 << 10], bytes: 0, average: 256, knows_expiry: server.at_least(7, 0) }
    }

    fn values<K: Keeper>(
        &mut self,
        pass: &mut Pass<'_>,
        connection: &mut Connection,
        format: Format,
        position: usize,
        keys: &[Vec<u8>],
        mut keeper: K,
    ) -> Result<K> {
        let told = if self.knows_expiry { Vec::new() } else { expiries(connection, keys)? };
        for key in keys {
            if self.knows_expiry {
                connection.push(&[b"PEXPIRETIME", key]);
            }
            connection.push(&[b"DUMP", key]);
        }
        connection.flush()?;
        let before = self.bytes;
        for (at, key) in keys.iter().enumerate() {
            let expires_ms = if self.knows_expiry {
                connection.reply()?.ok()?.number().and_then(|at_ms| u64::try_from(at_ms).ok())
            } else {
                told.get(at).copied().flatten()
            };
            let length = match connection.bulk_head()? {
                Ok(length) => length,
                // Deleted or expired since SCAN.
                Err(Reply::Nil) => continue,
                Err(other) => return Err(other.ok().err().unwrap_or_else(|| Error::failed("DUMP gave no value"))),
            };
            let head = KeyHead { key: key.clone(), expires_ms, ..KeyHead::default() };
            keeper = self.value(pass, connection, format, position, head, length, keeper)?;
            connection.end_of_bulk()?;
            self.bytes += length;
        }
        self.average = (self.bytes - before) / (keys.len() as u64).max(1);
        Ok(keeper)
    }

    /// One dumped value.
    #[expect(clippy::too_many_arguments, reason = "one call, all of it is needed")]
    fn value<K: Keeper>(
        &mut self,
        pass: &mut Pass<'_>,
        connection: &mut Connection,
        format: Format,
        position: usize,
        mut head: KeyHead,
        length: u64,
        keeper: K,
    ) -> Result<K> {
        let name = printable(&head.key);
        dumped(connection, format, &name, length, (keeper, &mut self.buffer), |source, kind| {
            head.kind = kind;
            pass.key(source, format, &head, position)
        })
    }
}

/// One dumped value: type, raw value, version, checksum (`verifyDumpPayload` in `src/cluster.c`). `read` reads it, given its type; the tap is given back.
pub(crate) fn dumped<T: Tap>(
    connection: &mut Connection,
    format: Format,
    name: &str,
    length: u64,
    (tap, buffer): (T, &mut Vec<u8>),
    read: impl FnOnce(&mut Source<Take<&mut Connection>, T>, u8) -> Result<()>,
) -> Result<T> {
    let raw = length.checked_sub(FOOTER_BYTES).ok_or_else(|| Error::failed(format!("the dumped value of {name:?} is too short")))?;
    let mut source = Source::with_buffer(connection.by_ref().take(raw), tap, std::mem::take(buffer));
    let kind = source.byte()?;
    read(&mut source, kind)?;
    source.at_end()?;
    let crc = source.crc()?;
    let (_payload, tap, used) = source.into_parts();
    *buffer = used;
    let mut footer = [0u8; 10];
    connection.read_exact(&mut footer).map_err(crate::rdb::source::from_io)?;
    let (version, checksum) = footer.split_first_chunk::<2>().ok_or_else(|| Error::failed("no footer"))?;
    if u16::from_le_bytes(*version) != format.version {
        return Err(
            Error::transient("the server's RDB version changed during the dump").hint("It seems to be under upgrade: try again later.")
        );
    }
    let checksum = checksum.first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    if checksum != 0 && checksum != crc64(crc, version) {
        return Err(Error::failed(format!("the dumped value of {name:?} does not fit its checksum")));
    }
    Ok(tap)
}

/// The keys given last.
#[derive(Default)]
pub(crate) struct Seen {
    hashes: HashSet<u128>,
    order: VecDeque<u128>,
}

impl Seen {
    pub(crate) fn is_new(&mut self, key: &[u8]) -> bool {
        let hash = xxh3_128(key);
        if !self.hashes.insert(hash) {
            return false;
        }
        self.order.push_back(hash);
        if self.order.len() > SEEN_KEYS
            && let Some(oldest) = self.order.pop_front()
        {
            self.hashes.remove(&oldest);
        }
        true
    }
}
