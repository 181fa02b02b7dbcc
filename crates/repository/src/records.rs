//! Records: small named documents that belong to no set.
//!
//! A record is a snapshot with the tags `threescale-backup`, `record`, `kind:K`, `name:N` that holds one file. The newest of a name counts; older ones are
//! removed when a newer one is written, and no rule of retention touches any. They outlive `restic tag --add` and `restic copy`, which keep the tags.

pub mod damage;

use std::collections::BTreeMap;
use std::sync::Arc;

use plan::ids::SetId;
use plan::ports::Record;
use plan::{Class, Error, Result};
use rustic_core::FileType;
use rustic_core::repofile::SnapshotFile;

use crate::document;
use crate::engine::Open;
use crate::fault::EngineResult as _;
use crate::index::Index;
use crate::parallel;
use crate::sink::Label;
use crate::small::{path_of, unless_passing};
use crate::snapshots::{Held, PROGRAM, READERS, Snapshots};

/// Tag of every record.
pub const RECORD: &str = "record";
const FILE: &str = "record";
const WORD_BYTES_MAX: usize = 200;

/// Every record of a kind, and what could not be read of it.
#[derive(Debug, Default)]
pub struct Records {
    /// Oldest first, the newest of each name.
    pub records: Vec<Record>,
    /// What is damaged; also in other kinds, when the kind cannot be told any more.
    pub damaged: Vec<Error>,
}

fn word<'a>(what: &str, text: &'a str) -> Result<&'a str> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-:".contains(&byte));
    if is_plain && !text.is_empty() && text.len() <= WORD_BYTES_MAX {
        return Ok(text);
    }
    Err(Error::refused(format!("{text:?} cannot be the {what} of a record"))
        .hint("It has 1 to 200 ASCII letters, digits, dots, colons, underscores and hyphens."))
}

fn kind_tag(kind: &str) -> Result<String> {
    Ok(format!("kind:{}", word("kind", kind)?))
}

fn name_tag(name: &str) -> Result<String> {
    Ok(format!("name:{}", word("name", name)?))
}

fn name_of(file: &SnapshotFile) -> Option<&str> {
    file.tags.iter().find_map(|tag| tag.strip_prefix("name:"))
}

/// Records of a kind whose names begin with a set's id, `SET:…`, and with which set's.
pub fn of_sets<'a>(records: &'a [Held], kind: &str) -> impl Iterator<Item = (SetId, &'a Held)> {
    let kind_tag = format!("kind:{kind}");
    let of = |held: &'a Held| Some((SetId(name_of(&held.file)?.split_once(':')?.0.to_owned()), held));
    records.iter().filter(move |held| held.file.tags.contains(&kind_tag)).filter_map(of)
}

/// See [`plan::ports::Repository::put_record`].
///
/// # Errors
/// See there.
pub fn put(open: &Open, kind: &str, name: &str, bytes: &[u8]) -> Result<()> {
    let (kind_tag, name_tag) = (kind_tag(kind)?, name_tag(name)?);
    if bytes.len() as u64 > document::BYTES_MAX {
        return Err(Error::refused(format!("record {kind}/{name} has {} bytes, which is too much", bytes.len())));
    }
    let during = |error: Error| error.during(format!("failed to write record {kind}/{name}"));
    let older = snapshots_of(open, &kind_tag, &name_tag).map_err(during)?;
    let tags = vec![PROGRAM.to_owned(), RECORD.to_owned(), kind_tag, name_tag];
    document::write(open, &Label { tags, label: RECORD.to_owned(), description: None }, FILE, bytes.to_vec()).map_err(during)?;
    // When this fails, or the program dies before it, the newest counts.
    match delete(open, &older) {
        // Whoever may add and never delete has said what there is to say.
        Err(error) if error.class() == Class::Refused => {
            log::warn!("what record {kind}/{name} said before stays beside it: {}", error.chain())
        }
        done => done.map_err(during)?,
    }
    Ok(())
}

/// What a record holds.
///
/// # Errors
/// When it is damaged.
pub fn content(index: &Arc<Index>, held: &Held) -> Result<Vec<u8>> {
    document::read(index, &held.file, FILE)
}

/// See [`plan::ports::Repository::records`]; says what is damaged too.
///
/// # Errors
/// See there.
pub fn read(open: &Open, kind: &str) -> Result<Records> {
    let kind_tag = kind_tag(kind)?;
    let Snapshots { records, damaged, .. } = Snapshots::read(open)?;
    let mut found = Records { damaged: damaged.into_iter().map(|(_, error)| error).collect(), ..Records::default() };
    let records = newest_first(records, &kind_tag);
    if !records.is_empty() {
        read_newest(&open.index()?, kind, &records, &mut found)?;
    }
    Ok(found)
}

/// The records of a kind, the newest first.
fn newest_first(mut records: Vec<Held>, kind_tag: &str) -> Vec<Held> {
    records.retain(|held| held.file.tags.contains(kind_tag));
    records.sort_by_key(|held| std::cmp::Reverse((held.file.time.timestamp(), held.id)));
    records
}

/// Reads records that come newest first: of each name the first that can be read counts.
fn read_newest(index: &Arc<Index>, kind: &str, records: &[Held], found: &mut Records) -> Result<()> {
    let mut by_name = BTreeMap::<_, Vec<_>>::new();
    for held in records {
        if let Some(name) = name_of(&held.file) {
            by_name.entry(name).or_default().push(held);
        }
    }
    let by_name: Vec<_> = by_name.into_iter().collect();
    let read = parallel::try_map(&by_name, READERS, |(name, all)| {
        let mut damaged = Vec::new();
        for held in all {
            match unless_passing(document::read(index, &held.file, FILE))? {
                Ok(bytes) => return Ok((Some(Record { name: (*name).to_owned(), at: held.file.time.timestamp(), bytes }), damaged)),
                Err(error) => {
                    let file = path_of(FileType::Snapshot, &held.id);
                    damaged.push(error.during(format!("failed to read record {kind}/{name} in {file}")));
                }
            }
        }
        Ok((None, damaged))
    })?;
    for (record, damaged) in read {
        found.records.extend(record);
        found.damaged.extend(damaged);
    }
    found.records.sort_by(|a, b| (a.at, &a.name).cmp(&(b.at, &b.name)));
    Ok(())
}

/// See [`plan::ports::Repository::remove_record`].
///
/// # Errors
/// See there.
pub fn remove(open: &Open, kind: &str, name: &str) -> Result<()> {
    let all = snapshots_of(open, &kind_tag(kind)?, &name_tag(name)?)?;
    delete(open, &all).map_err(|error| error.during(format!("failed to remove record {kind}/{name}")))
}

fn snapshots_of(open: &Open, kind_tag: &str, name_tag: &str) -> Result<Vec<Held>> {
    let mut records = Snapshots::read(open)?.records;
    records.retain(|held| held.file.tags.contains(kind_tag) && held.file.tags.contains(name_tag));
    Ok(records)
}

fn delete(open: &Open, records: &[Held]) -> Result<()> {
    let ids: Vec<_> = records.iter().map(|held| held.id.into()).collect();
    open.plain.delete_snapshots(&ids).during(|| "delete snapshots".to_owned())
}
