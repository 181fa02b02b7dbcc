//! What a dump counts while the entries pass, wherever they come from: the local walk and the stream from a pod end in the same evidence.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use plan::evidence::{ELEMENTS, Evidence};
use plan::ports::{Meta, Verdict};
use plan::{Error, Result};

use crate::census::Census;
use crate::notices::Notices;
use crate::root::RootMeta;
use crate::times::clamp;

/// What was counted.
#[derive(Default)]
pub(crate) struct Tallied {
    pub(crate) census: Census,
    pub(crate) notices: Notices,
    /// Large files handed out whose content was not yet read to the end.
    pub(crate) unread: u64,
    pub(crate) bytes: u64,
    pub(crate) allocated_bytes: u64,
    pub(crate) entries: u64,
    pub(crate) longest_name_bytes: usize,
    pub(crate) longest_path_bytes: usize,
    /// Paths that no key of a bucket can be.
    pub(crate) names_not_utf8: u64,
    pub(crate) ended_at: Option<Timestamp>,
}

impl Tallied {
    /// Puts a time that no set can hold to the nearest one, and tells.
    pub(crate) fn clamp(&mut self, path: &Path, meta: &mut Meta) {
        if clamp(meta) {
            self.notices.about("odd-times", path, "its time of change is not in the years 1 to 9999; kept as the nearest that is");
        }
    }

    /// An entry passes; `first` is the first name of the file that it is a further name of.
    pub(crate) fn arrive(&mut self, path: &Path, meta: &Meta, size_bytes: u64, first: Option<&Path>, is_symlink: bool) {
        self.entries += 1;
        self.bytes += size_bytes;
        self.names_not_utf8 += u64::from(path.to_str().is_none());
        self.longest_path_bytes = self.longest_path_bytes.max(path.as_os_str().len());
        self.longest_name_bytes = self.longest_name_bytes.max(path.file_name().map_or(0, OsStr::len));
        match first {
            Some(first) => self.census.hard_link(path, first),
            None => self.census.meta(path, meta, is_symlink),
        }
    }

    /// The verdict, when the dump came to its end.
    pub(crate) fn verdict(&self, ended: bool, root: &RootMeta) -> Result<Verdict> {
        if !ended {
            return Err(Error::failed("the dump of files was not read to its end"));
        }
        if self.unread > 0 {
            return Err(Error::failed(format!("the content of {} large files was not read to its end", self.unread)));
        }
        let mut evidence = Evidence { collections: self.census.collections(), warnings: self.notices.lines(), ..Evidence::default() };
        if self.entries == 0 {
            evidence.warnings.push("the folder is empty: is the volume mounted?".to_owned());
        }
        let mut fact = |name: &str, value: String| evidence.facts.insert(name.to_owned(), value);
        fact("bytes", self.bytes.to_string());
        fact("allocated-bytes", self.allocated_bytes.to_string());
        fact(ELEMENTS, self.entries.to_string());
        fact("longest-name-bytes", self.longest_name_bytes.to_string());
        fact("longest-path-bytes", self.longest_path_bytes.to_string());
        fact("names-not-utf8", self.names_not_utf8.to_string());
        fact("root", root.to_json());
        for (kind, count) in self.notices.counts() {
            fact(kind, count.to_string());
        }
        Ok(Verdict { evidence, consistent_at: self.ended_at.unwrap_or_default(), problems: Vec::new() })
    }
}

/// The first name of a file with several.
struct First {
    path: PathBuf,
    size_bytes: u64,
    mtime_ns: Option<i128>,
    names_left: u64,
}

/// The first name of every file with several, until all its names were met.
#[derive(Default)]
pub(crate) struct FirstNames(HashMap<(u64, u64), First>);

impl FirstNames {
    /// Whether an entry is a further name of one that was given out; when so, that one's path. An entry that changed between its names becomes a
    /// file of its own, and that is reported.
    pub(crate) fn meet(&mut self, path: &Path, meta: &mut Meta, size_bytes: u64, notices: &mut Notices) -> Option<PathBuf> {
        let identity = meta.identity?;
        let Some(first) = self.0.get_mut(&identity) else {
            let names_left = meta.links.saturating_sub(1);
            self.0.insert(identity, First { path: path.to_owned(), size_bytes, mtime_ns: meta.mtime_ns, names_left });
            return None;
        };
        if (first.size_bytes, first.mtime_ns) != (size_bytes, meta.mtime_ns) {
            let text = "a further name of a file that changed between the two; kept as a file of its own";
            notices.about("changed-while-read", path, text);
            (meta.identity, meta.links) = (None, 1);
            return None;
        }
        first.names_left = first.names_left.saturating_sub(1);
        if first.names_left > 0 {
            return Some(first.path.clone());
        }
        self.0.remove(&identity).map(|first| first.path)
    }
}
