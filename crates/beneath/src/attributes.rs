//! Metadata of an entry, from the file system into [`Meta`].
//!
//! Extended attributes that belong to the place and not to the data are left alone: SELinux labels (those of another namespace would lock the
//! pods out), integrity signatures, and what overlay and Gluster keep for themselves.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};

use plan::ports::Meta;
use rustix::fs::{Stat, Timespec, Timestamps, fgetxattr, flistxattr, lgetxattr, llistxattr};
use rustix::io::Errno;

const NOT_DATA: [&str; 6] = ["security.selinux", "security.ima", "security.evm", "trusted.overlay.", "trusted.glusterfs.", "trusted.afr."];

/// Whether an extended attribute belongs to the data.
#[must_use]
pub fn is_data(name: &str) -> bool {
    !NOT_DATA.iter().any(|prefix| name.starts_with(prefix))
}

/// The largest list of names and the largest value that Linux allows (`XATTR_LIST_MAX`, `XATTR_SIZE_MAX`).
const XATTR_BYTES_MAX: usize = 64 << 10;

/// [`Meta`] of a stat, without extended attributes. Links are kept for files only.
#[must_use]
pub fn meta_of(stat: &Stat, is_file: bool) -> Meta {
    let linked = is_file && stat.st_nlink > 1;
    Meta {
        mode: stat.st_mode & 0o7777,
        uid: Some(stat.st_uid),
        gid: Some(stat.st_gid),
        mtime_ns: Some(mtime_ns(stat)),
        links: if linked { stat.st_nlink } else { 1 },
        identity: linked.then_some((stat.st_dev, stat.st_ino)),
        xattrs: Vec::new(),
        read_at_ns: None,
        note: Vec::new(),
    }
}

/// Time of change in nanoseconds since the epoch.
#[must_use]
pub fn mtime_ns(stat: &Stat) -> i128 {
    i128::from(stat.st_mtime) * 1_000_000_000 + i128::from(stat.st_mtime_nsec)
}

/// Bytes that an entry takes on its volume.
#[must_use]
pub fn allocated_bytes(stat: &Stat) -> u64 {
    u64::try_from(stat.st_blocks).unwrap_or(0) * 512
}

/// A path to an entry that cannot be opened (link, pipe, socket), short whatever the depth.
fn short_path(folder: impl AsFd, name: &OsStr) -> PathBuf {
    Path::new("/proc/self/fd").join(folder.as_fd().as_raw_fd().to_string()).join(name)
}

/// Extended attributes of something open, sorted by name.
///
/// # Errors
/// The system's.
pub fn read_xattrs(fd: impl AsFd) -> io::Result<Vec<(String, Vec<u8>)>> {
    let fd = fd.as_fd();
    collect_xattrs(|buffer| flistxattr(fd, buffer), |name, buffer| fgetxattr(fd, name, buffer))
}

/// Extended attributes of a link, pipe or socket.
///
/// # Errors
/// The system's.
pub fn read_xattrs_at(folder: impl AsFd, name: &OsStr) -> io::Result<Vec<(String, Vec<u8>)>> {
    let path = short_path(folder, name);
    collect_xattrs(|buffer| llistxattr(&path, buffer), |name, buffer| lgetxattr(&path, name, buffer))
}

fn collect_xattrs(
    list: impl Fn(&mut [u8]) -> rustix::io::Result<usize>,
    get: impl Fn(&[u8], &mut [u8]) -> rustix::io::Result<usize>,
) -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut first = [0_u8; 1024];
    let mut large = Vec::new();
    let names = match list(&mut first) {
        Ok(length) => first.get(..length).unwrap_or_default(),
        Err(Errno::NOTSUP) => return Ok(Vec::new()),
        Err(Errno::RANGE) => {
            large.resize(XATTR_BYTES_MAX, 0);
            let length = list(&mut large)?;
            large.get(..length).unwrap_or_default()
        }
        Err(error) => return Err(error.into()),
    };
    let mut xattrs = Vec::new();
    for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let text = std::str::from_utf8(name)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "the name of an extended attribute is not UTF-8"))?;
        if !is_data(text) {
            continue;
        }
        let mut value = vec![0; XATTR_BYTES_MAX];
        match get(name, &mut value) {
            Ok(length) => {
                value.truncate(length);
                value.shrink_to_fit();
                xattrs.push((text.to_owned(), value));
            }
            Err(Errno::NODATA | Errno::NOTSUP) => {}
            Err(error) => return Err(error.into()),
        }
    }
    xattrs.sort();
    Ok(xattrs)
}

/// A time of change as the system takes it; the time of the last access stays.
#[must_use]
pub fn timestamps(mtime_ns: i128) -> Timestamps {
    let seconds = i64::try_from(mtime_ns.div_euclid(1_000_000_000)).unwrap_or(0);
    let nanoseconds = i64::try_from(mtime_ns.rem_euclid(1_000_000_000)).unwrap_or(0);
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT },
        last_modification: Timespec { tv_sec: seconds, tv_nsec: nanoseconds },
    }
}
