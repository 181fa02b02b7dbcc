//! Stages a snapshot through one tar stream, unpacked over there. What the place cannot hold is found out before (a probe) and after (owners), and
//! accounted for as the local staging does.

use std::collections::BTreeMap;
use std::io::{Cursor, Read, Write};

use beneath::{Links, SET_ID_BITS, Unset};
use plan::ids::DataSetName;
use plan::manifest::KeptDataSet;
use plan::ports::{Advancing, Context, Entry, EntryKind, Event, Road, Snapshot, Verb};
use plan::tree_order::TreeOrder;
use plan::{Error, Result};

use super::lend::{self, Of};
use super::pack;
use super::place::{There, broken};
use super::swap::{Status, Words, folder};
use super::unpack::{Header, Unpack};
use crate::census::{Census, add_attribute};
use crate::dump::SMALL_BYTES;
use crate::notices::Notices;
use crate::root::RootMeta;
use crate::run_folder::Spot;
use crate::runs::{MARK, Mark};
use crate::stage::{NOT_KEPT, STAGE, STAGED, Staged, are_some, check_all, check_entry, is_put_back};
use crate::times::Span;

const EXTRACT: &str = concat!(include_str!("enter.sh"), include_str!("extract.sh"));
const PROBE: &str = concat!(include_str!("enter.sh"), include_str!("probe.sh"));
const OWNERS: &str = concat!(include_str!("enter.sh"), include_str!("owners.sh"));
/// The place's `tar` unpacks by whole paths, which the kernel limits to 4095 bytes.
pub(super) const PATH_BYTES_MAX: usize = 3900;
/// The way out where `tar` cannot do it.
pub(super) const WITH_THE_VOLUME: &str = "Restore with the volume mounted: run threescale-backup in the cluster.";
/// Warnings that are kept with the staged copy, and their length.
const WARNINGS: (usize, usize) = (40, 400);
const SETGID: u32 = 0o2000;

/// Names of extended attributes by whether the place can set them.
const CLASSES: [&str; 3] = ["user.", "trusted.", "system.posix_acl_"];

/// Entries by owner and group.
type Owners = BTreeMap<(u32, u32), u64>;

/// Stages into the run's folder, or (in place) instead of the live data.
pub(super) fn stage(
    there: &There,
    context: &Context,
    (spot, mark): (&Spot, &Mark),
    snapshot: &dyn Snapshot,
    kept: &KeptDataSet,
) -> Result<()> {
    let in_place = spot.road == Road::InPlace;
    if in_place {
        check_all(context, snapshot)?;
    }
    let status = Status::ask(there, context, spot)?;
    // The mark comes before the first change: in place it tells every reader that the data is half replaced.
    let asks: &[&str] = if in_place { &["movable", "replaceable", "make"] } else { &["movable", "make"] };
    let steps = Words::new(there, spot).then(asks).write(MARK, mark)?.then(&["clear", "room"]);
    steps.run(context, "make room for the staged files in")?;
    let (staged, settable, span) = probe(there, context, spot)?;
    // Not before the place has shown that it can be written.
    let (step, target) =
        if in_place { (["empty"].as_slice(), ".".to_owned()) } else { ([STAGE].as_slice(), format!("{}/{STAGE}", folder(spot))) };
    context.stop.check()?;
    Words::new(there, spot).then(step).run(context, "make room for the staged files in")?;
    let mut staging = Staging {
        context,
        snapshot,
        user: status.user,
        settable,
        span,
        links: Links::default(),
        staged,
        notices: Notices::default(),
        left_out: Census::default(),
        owners: Owners::new(),
        progress: Advancing::of(DataSetName::SystemStorage, Verb::Stage),
    };
    let what = format!("unpack the files in {}", there.address());
    let owner = if status.user == 0 { "--same-owner" } else { "--no-same-owner" };
    there.feed(context, &what, EXTRACT, &[&there.root, &target, owner], |to| staging.write(to))?;
    staging.progress.end(&*context.watch);
    let count = || owners(&there.ask(context, &what, OWNERS, &[&there.root, &target])?);
    let found = lend::while_lent(there, context, spot, (&target, Of::Folders), |_| count())?;
    let staged = Staged { is_put_back: is_put_back(kept, spot), are_some: are_some(kept), ..staging.finish(kept, &found) };
    staged.warnings.iter().for_each(|text| context.watch.see(Event::Warning(text)));
    let steps = Words::new(there, spot);
    let steps = if in_place { steps.then(&["door"]).root(staged.root.as_ref()).then(&["tick"]) } else { steps };
    let steps = if staged.are_some { steps.then(&["some"]) } else { steps };
    steps.write(STAGED, &staged)?.run(context, "finish the staged files in")
}

/// A staging at work.
struct Staging<'a> {
    context: &'a Context,
    snapshot: &'a dyn Snapshot,
    user: u32,
    settable: Vec<&'static str>,
    span: Span,
    links: Links,
    staged: Staged,
    notices: Notices,
    left_out: Census,
    owners: Owners,
    progress: Advancing,
}

impl Staging<'_> {
    /// Writes all entries of the snapshot.
    fn write(&mut self, to: &mut dyn Write) -> Result<()> {
        let mut order = TreeOrder::default();
        for entry in self.snapshot.entries()? {
            self.context.stop.check()?;
            let entry = entry?;
            check_entry(&mut order, &entry)?;
            self.entry(to, &entry)?;
        }
        pack::end(&mut &mut *to).map_err(|error| broken("write the end of the files", error))
    }

    fn entry(&mut self, to: &mut dyn Write, entry: &Entry) -> Result<()> {
        let Some(mut header) = self.header(entry)? else { return Ok(()) };
        let first = if entry.is_file() { self.links.first(&entry.path, &entry.meta)? } else { None };
        if let Some(first) = first {
            header = Header { kind: b'1', link: super::dump::raw_path(&first), size_bytes: 0, xattrs: Vec::new(), ..header };
        } else {
            self.take_xattrs(entry, &mut header);
        }
        if self.span.lacks(entry.meta.mtime_ns) {
            self.staged.times_unset += 1;
            self.notices.about("odd-times", &entry.path, NOT_KEPT);
        }
        let key = (entry.meta.uid.unwrap_or(self.user), entry.meta.gid.unwrap_or(0));
        *self.owners.entry(key).or_default() += 1;
        let lost = |error| broken(&format!("write {}", entry.path.display()), error);
        pack::header(&mut &mut *to, &header).map_err(lost)?;
        if header.size_bytes > 0 {
            self.content(to, entry)?;
            pack::padding(&mut &mut *to, header.size_bytes).map_err(lost)?;
        }
        self.progress.add(&*self.context.watch, 0, 1);
        Ok(())
    }

    /// The header of an entry; `None` when it is left out.
    fn header(&mut self, entry: &Entry) -> Result<Option<Header>> {
        let (kind, link) = match &entry.kind {
            EntryKind::File => (b'0', Vec::new()),
            EntryKind::Folder => (b'5', Vec::new()),
            EntryKind::Symlink(target) => (b'2', std::os::unix::ffi::OsStrExt::as_bytes(target.as_os_str()).to_vec()),
            EntryKind::Fifo => (b'6', Vec::new()),
            EntryKind::Socket => {
                self.left_out.plain("sockets", &entry.path);
                self.left_out.meta(&entry.path, &entry.meta, false);
                self.notices.about("sockets", &entry.path, "a socket, which tar cannot make; left out (its program makes it anew)");
                return Ok(None);
            }
        };
        let mut path = super::dump::raw_path(&entry.path);
        if entry.path.as_os_str().len() > PATH_BYTES_MAX {
            return Err(Error::failed(format!("a path in the set has {} bytes: the tar over there cannot make it", path.len()))
                .hint(WITH_THE_VOLUME));
        }
        if kind == b'5' {
            path.push(b'/');
        }
        let meta = &entry.meta;
        // Set-id bits without their owner would give away somebody else's rights; on a folder the group's only says which group new files get.
        let foreign = self.user != 0 && meta.uid.is_some_and(|uid| uid != self.user);
        let kept_bits = if kind == b'5' { SETGID } else { 0 };
        let mode = if foreign { meta.mode & !(SET_ID_BITS & !kept_bits) } else { meta.mode };
        Ok(Some(Header {
            path,
            kind,
            mode,
            uid: meta.uid.unwrap_or(self.user),
            gid: meta.gid.unwrap_or(0),
            mtime_ns: meta.mtime_ns.unwrap_or(0),
            size_bytes: entry.size_bytes,
            link,
            xattrs: Vec::new(),
        }))
    }

    /// Extended attributes that the place can set go with the entry; the others are counted.
    fn take_xattrs(&mut self, entry: &Entry, header: &mut Header) {
        let mut unset = Unset::default();
        for (index, (name, value)) in entry.meta.xattrs.iter().enumerate() {
            if self.settable.iter().any(|class| name.starts_with(class)) {
                header.xattrs.push((name.clone(), value.clone()));
            } else {
                unset.xattrs.push(index);
                add_attribute(&mut self.staged.xattrs_unset, &entry.path, name, value);
                self.notices.about("extended-attributes", &entry.path, &format!("its extended attribute {name} could not be set"));
            }
        }
    }

    fn content(&mut self, to: &mut dyn Write, entry: &Entry) -> Result<()> {
        let unreadable = |error| Error::failed(format!("failed to read {} from the repository", entry.path.display())).because(error);
        let mut reader: Box<dyn Read> =
            if entry.size_bytes > SMALL_BYTES { self.snapshot.read(entry)? } else { Box::new(Cursor::new(self.snapshot.read_all(entry)?)) };
        let mut piece = vec![0; usize::try_from(entry.size_bytes).unwrap_or(usize::MAX).min(1 << 20)];
        let mut total_bytes = 0;
        loop {
            self.context.stop.check()?;
            let length = match reader.read(&mut piece) {
                Ok(0) => break,
                Ok(length) => length,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(unreadable(error)),
            };
            total_bytes += length as u64;
            if total_bytes > entry.size_bytes {
                break;
            }
            let bytes = piece.get(..length).unwrap_or_default();
            to.write_all(bytes).map_err(|error| broken(&format!("write {}", entry.path.display()), error))?;
            self.progress.add(&*self.context.watch, length as u64, 0);
        }
        if total_bytes == entry.size_bytes {
            return Ok(());
        }
        Err(Error::failed(format!("{} has {total_bytes} bytes in the repository instead of {}", entry.path.display(), entry.size_bytes)))
    }

    /// What staging leaves for the proof and the cut-over.
    fn finish(mut self, kept: &KeptDataSet, found: &Owners) -> Staged {
        let missing = |(key, count): (&(u32, u32), &u64)| count.saturating_sub(found.get(key).copied().unwrap_or(0));
        self.staged.owners_unset = self.owners.iter().map(missing).sum();
        if self.staged.owners_unset > 0 {
            let text = || format!("the owners of {} entries could not be set; they belong to the pod's user now", self.staged.owners_unset);
            self.notices.say("owners", text);
        }
        let mut staged = self.staged;
        staged.left_out = self.left_out.collections().into_iter().filter(|(_, tally)| tally.count > 0).collect();
        staged.root = kept.evidence.facts.get("root").and_then(|text| RootMeta::from_json(text));
        let lines = self.notices.lines();
        let cut = |text: &String| text.chars().take(WARNINGS.1).collect();
        staged.warnings = lines.iter().take(WARNINGS.0).map(cut).collect();
        if lines.len() > WARNINGS.0 {
            staged.warnings.extend(lines.last().map(cut));
        }
        staged
    }
}

/// Finds out what the volume keeps of modes, times and extended attributes.
fn probe(there: &There, context: &Context, spot: &Spot) -> Result<(Staged, Vec<&'static str>, Span)> {
    let what = format!("write into {}", there.address());
    // An access list with a user of its own: the group's bits are its mask, which is the group's right here.
    let acl = [
        &[2, 0, 0, 0][..],
        &[1, 0, 7, 0, 255, 255, 255, 255],
        &[2, 0, 5, 0, 210, 4, 0, 0],
        &[4, 0, 5, 0, 255, 255, 255, 255],
        &[16, 0, 5, 0, 255, 255, 255, 255],
        &[32, 0, 1, 0, 255, 255, 255, 255],
    ]
    .concat();
    let sent = Header {
        path: b"./probe".to_vec(),
        kind: b'0',
        mode: 0o751,
        mtime_ns: 1_234_567_891_123_456_789,
        xattrs: vec![
            ("system.posix_acl_access".to_owned(), acl),
            ("trusted.threescale-backup".to_owned(), b"probe".to_vec()),
            ("user.threescale-backup".to_owned(), b"probe".to_vec()),
        ],
        ..Header::default()
    };
    let all = Span::default();
    let timed = |name: &[u8], mtime_ns| Header { path: [b"./", name].concat(), kind: b'0', mode: 0o600, mtime_ns, ..Header::default() };
    let write = |to: &mut dyn Write| {
        let mut to = to;
        let entries = [sent.clone(), timed(b"probe-first", all.first_ns), timed(b"probe-last", all.last_ns)];
        let sent = entries.iter().try_for_each(|entry| pack::header(&mut to, entry));
        sent.and_then(|()| pack::end(&mut to)).map_err(|error| broken(&what, error))
    };
    let bytes = there.feed(context, &what, PROBE, &[&there.root, &folder(spot)], write)?;
    let mut tar = Unpack::new(bytes.as_slice());
    let mut next = || tar.next().map_err(|error| broken(&what, error)).map(Option::unwrap_or_default);
    let (back, first, last) = (next()?, next()?, next()?);
    let span = Span { first_ns: first.mtime_ns, last_ns: last.mtime_ns };
    let settable = CLASSES.into_iter().filter(|class| {
        let of = |header: &Header| header.xattrs.iter().find(|(name, _)| name.starts_with(class)).cloned();
        of(&back).is_some() && of(&back) == of(&sent)
    });
    let staged = Staged { holds_modes: back.mode == sent.mode, holds_times: back.mtime_ns == sent.mtime_ns, ..Staged::default() };
    Ok((staged, settable.collect(), span))
}

/// Lines of `uniq -c`: count, owner, group.
fn owners(bytes: &[u8]) -> Result<Owners> {
    let mut owners = Owners::new();
    for line in String::from_utf8_lossy(bytes).lines() {
        let fields: Vec<u64> = line.split_whitespace().filter_map(|field| field.parse().ok()).collect();
        let &[count, uid, gid] = fields.as_slice() else { return Err(Error::failed("count the owners of the staged files")) };
        let id = |value| u32::try_from(value).unwrap_or(u32::MAX);
        owners.insert((id(uid), id(gid)), count);
    }
    Ok(owners)
}
