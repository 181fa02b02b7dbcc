//! Writes what only Backend has of some services, each key as a line of JSON: counters of usage, and errors of integration.

use std::collections::BTreeSet;

use plan::Result;
use plan::ports::{KeyReader, ReadKey};
use threescale::keys::{Class, Keys, Store};

use super::archive::Archive;
use super::rows::text;

/// Where its lines are.
const FOLDER: &str = "usage";

pub(super) struct Usage<'a> {
    services: BTreeSet<String>,
    knows: Keys,
    archive: &'a mut Archive,
    /// Of the key that is being read, when it is wanted.
    pieces: Vec<String>,
    keys: u64,
}

impl<'a> Usage<'a> {
    pub(super) fn new(services: BTreeSet<String>, archive: &'a mut Archive) -> Self {
        let knows = Keys::of(Store::BackendStorage, None);
        Self { services, knows, archive, pieces: Vec::new(), keys: 0 }
    }

    /// How many keys there were.
    pub(super) fn end(self) -> Result<u64> {
        self.archive.end_of_lines()?;
        Ok(self.keys)
    }
}

impl KeyReader for Usage<'_> {
    fn wants(&self, key: &[u8]) -> bool {
        let Some(known) = self.knows.know(key) else { return false };
        let service = || std::str::from_utf8(known.part("service")?).ok();
        matches!(known.kind.class, Class::Usage | Class::Errors) && service().is_some_and(|service| self.services.contains(service))
    }

    fn begin(&mut self, _key: &[u8]) {
        self.pieces.clear();
    }

    fn piece(&mut self, _key: &[u8], piece: &[u8]) {
        self.pieces.push(text(piece));
    }

    fn key(&mut self, key: &ReadKey<'_>) -> Result<()> {
        // Only of keys that are wanted are there pieces, and each has one at least.
        if self.pieces.is_empty() {
            return Ok(());
        }
        let value = if key.kind == "string" { self.pieces.concat() } else { format!("[{}]", self.pieces.join(",")) };
        let expires = key.expires_ms.map_or_else(|| "null".to_owned(), |at| at.to_string());
        let line = format!("{{\"key\":{},\"type\":{:?},\"expires_ms\":{expires},\"value\":{value}}}\n", text(key.key), key.kind);
        self.keys += 1;
        self.archive.line(FOLDER, line.as_bytes())
    }
}
