//! Builds one RDB for a whole server out of the RDB files of a set's databases, and sends it to the server's container as it is made.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

use plan::manifest::KeptDataSet;
use plan::ports::{Context, Event, Input, Program, Snapshot, Verb};
use plan::{Error, Queues, Result};
use sha2::{Digest, Sha256};

use super::left_out::{LeftOut, base_ms};
use super::place::{Placed, Spot};
use super::stage::{ADVANCE_KEYS, functions};
use super::stored::{Parts, Stored};
use super::{Named, RedisStore};
use crate::pass::server_time_ms;
use crate::rdb::crc64::crc64;
use crate::rdb::source::{Source, Tap, from_io};
use crate::rdb::value::value;
use crate::rdb::walk::{Item, KeyHead, Walk};
use crate::rdb::{Dialect, Format, OPCODE_EOF, OPCODE_FUNCTION2, write};
use crate::server::Server;

/// Sent at a time.
const SEND_BYTES: usize = 1 << 20;
/// Stores what comes, and says what it has stored.
const STORE: &str = r#"cd "$1" && cat > "$2" && sync && sha256sum < "$2""#;

impl RedisStore {
    /// Stage by file: upload, install, restart.
    pub(crate) fn stage_by_file(&self, context: &Context, placed: &Placed, snapshot: &Arc<dyn Snapshot>, kept: &KeptDataSet) -> Result<()> {
        self.check_known(context, placed)?;
        let (road, at) = self.file_road()?;
        let is_put_back = placed.is_put_back(kept);
        let spots = placed.servers.first().map_or(&[][..], Vec::as_slice);
        let mut connection = self.connect(context, at)?;
        let server = Server::ask(&mut connection)?;
        let now_ms = server_time_ms(&mut connection)?;
        drop(connection);
        let format = format_of(kept, &server)?;
        let program = Program::script(STORE, &[&road.data_folder, &placed.part_file()]).with_input();
        let mut process = road.remote.start(context, &program)?;
        let input = process.input().ok_or_else(|| Error::failed("the way to the server's container has no input"))?;
        let mut upload = Upload::new(input);
        upload.write(&write::header(format))?;
        if server.at_least(7, 0) {
            for code in functions(snapshot, &kept.evidence)? {
                let mut bytes = vec![OPCODE_FUNCTION2];
                write::string(&mut bytes, &code);
                upload.write(&bytes)?;
            }
        }
        for spot in spots {
            let parts = Stored::of(Arc::clone(snapshot), kept, &spot.name)?.read()?;
            let left_out = LeftOut::new(placed.selection(self.name, spot), base_ms(kept)?);
            upload = Building { store: self, context, placed, spot, format, now_ms, left_out, is_put_back }.run(parts, upload)?;
        }
        let digest = upload.end()?;
        let mut said = String::new();
        if let Some(mut output) = process.output() {
            output.read_to_string(&mut said).map_err(from_io)?;
        }
        process.finish()?.success(format!("could not store the RDB in {}", road.remote.place()))?;
        if said.split_whitespace().next() != Some(digest.as_str()) {
            return Err(Error::failed(format!("what was stored in {} is not what was sent", road.remote.place())).hint("Stage it again."));
        }
        self.install(context, placed)
    }
}

/// The format of the file: the newest of those that the set's files have.
fn format_of(kept: &KeptDataSet, server: &Server) -> Result<Format> {
    let versions = kept.evidence.facts.get("rdb-version").map_or("", String::as_str).split(", ");
    let newest = versions.filter_map(|version| version.parse::<u16>().ok()).max();
    let format = newest.map(Format::of_version).ok_or_else(|| Error::failed("the set does not tell its RDB version"))?;
    if !server.accepts(format) || format.dialect != Dialect::Redis {
        return Err(Error::refused(format!("RDB version {} cannot be loaded by {server} as a file", format.version)));
    }
    Ok(format)
}

/// The RDB on its way.
struct Upload {
    input: Box<dyn Input>,
    buffer: Vec<u8>,
    crc: u64,
    digest: Sha256,
}

impl Upload {
    fn new(input: Box<dyn Input>) -> Self {
        Self { input, buffer: Vec::with_capacity(SEND_BYTES), crc: 0, digest: Sha256::new() }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.crc = crc64(self.crc, bytes);
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= SEND_BYTES { self.send() } else { Ok(()) }
    }

    fn send(&mut self) -> Result<()> {
        self.digest.update(&self.buffer);
        self.input.write_all(&self.buffer).map_err(from_io)?;
        self.buffer.clear();
        Ok(())
    }

    /// Ends the file with its checksum; gives the digest of all of it.
    fn end(mut self) -> Result<String> {
        self.write(&[OPCODE_EOF])?;
        let crc = self.crc;
        self.write(&crc.to_le_bytes())?;
        self.send()?;
        self.input.end()?;
        Ok(self.digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

impl Tap for Upload {
    fn take(&mut self, bytes: &[u8]) -> Result<()> {
        self.write(bytes)
    }
}

/// One database on its way into the file.
struct Building<'a> {
    store: &'a RedisStore,
    context: &'a Context,
    placed: &'a Placed,
    spot: &'a Spot,
    format: Format,
    now_ms: u64,
    left_out: LeftOut,
    is_put_back: bool,
}

impl Building<'_> {
    fn run(mut self, parts: Parts, mut upload: Upload) -> Result<Upload> {
        let mut bytes = Vec::new();
        write::database(&mut bytes, self.spot.live.into());
        upload.write(&bytes)?;
        let mut walk = Walk::begin(Source::new(parts, upload))?;
        let format = walk.format;
        if format.dialect != self.format.dialect || format.version > self.format.version {
            return Err(Error::failed(format!(
                "the file of {} has RDB version {}, which the set does not tell",
                self.spot.name, format.version
            )));
        }
        let (mut keys, mut told, mut told_bytes) = (0u64, 0u64, 0u64);
        loop {
            match walk.next()? {
                Item::Key(head) => {
                    self.key(&mut walk, &head, format)?;
                    keys += 1;
                }
                Item::End { .. } => break,
                _ => {}
            }
            if keys - told >= ADVANCE_KEYS || walk.source.offset() - told_bytes >= 4 << 20 {
                self.advance(walk.source.offset() - told_bytes, keys - told);
                (told, told_bytes) = (keys, walk.source.offset());
                self.context.stop.check()?;
            }
        }
        walk.source.at_end()?;
        self.advance(walk.source.offset() - told_bytes, keys - told);
        self.left_out.tell(&*self.context.watch);
        let (_parts, mut upload, _buffer) = walk.source.into_parts();
        for (key, text) in self.markers()? {
            let mut bytes = Vec::new();
            write::key_head(&mut bytes, &KeyHead { key: key.into_bytes(), ..KeyHead::default() });
            write::string(&mut bytes, text.as_bytes());
            upload.write(&bytes)?;
        }
        Ok(upload)
    }

    fn key(&mut self, walk: &mut Walk<Parts, Upload>, head: &KeyHead, format: Format) -> Result<()> {
        if self.left_out.fate(head, format)?.is_some() {
            return self.left_out.pass_over(&mut walk.source, head, format);
        }
        if head.expires_ms.is_some_and(|expires_ms| expires_ms <= self.now_ms) {
            return value(&mut walk.source, head.kind, format, &mut ());
        }
        let mut bytes = Vec::with_capacity(head.key.len() + 32);
        write::key_head(&mut bytes, head);
        walk.source.tap.write(&bytes)?;
        walk.source.tap_on()?;
        value(&mut walk.source, head.kind, format, &mut ())?;
        walk.source.tap_off()
    }

    /// Keys of the run: that this was loaded, and what was left out of it.
    fn markers(&self) -> Result<BTreeMap<String, String>> {
        let mut markers = BTreeMap::from([(self.placed.by_file(), Placed::by_file_value(self.is_put_back).to_owned())]);
        if self.placed.queues != Queues::Keep {
            let named = Named { name: self.spot.name.clone(), database: self.spot.live };
            markers.insert(self.placed.left_out(), self.left_out.to_text(&named)?);
        }
        Ok(markers)
    }

    fn advance(&self, bytes: u64, items: u64) {
        self.context.watch.see(Event::Advance { data_set: self.store.name, verb: Verb::Stage, bytes, items });
    }
}
